/* SPDX-License-Identifier: Apache-2.0 */
#include "base/prefix_set.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

enum { FIRST_RANGES = 16, IP_BITS = 128, V4_BITS = 32 };

/* An address as a number, so that a comparison is two instructions. */
struct point {
    uint64_t hi;
    uint64_t lo;
};

struct range {
    struct point first;
    struct point last;
    uint8_t tag;
};

/* From `start` to the next segment's start every address has `tag`. */
struct segment {
    struct point start;
    uint8_t tag;
};

struct prefix_set {
    struct range *ranges; /* as added; gone after prefix_set_build() */
    size_t range_count;
    size_t range_room;
    struct segment *segments; /* sorted; NULL before prefix_set_build() */
    size_t segment_count;
};

static struct point point_of(const struct net_ip *ip)
{
    return (struct point){be64(ip->b), be64(ip->b + 8)};
}

static inline bool point_less(struct point a, struct point b)
{
    return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static int point_order(const void *a, const void *b)
{
    const struct point *x = a;
    const struct point *y = b;

    return point_less(*y, *x) - point_less(*x, *y);
}

struct prefix_set *prefix_set_new(void)
{
    return mem_new(1, sizeof(struct prefix_set));
}

void prefix_set_free(struct prefix_set *set)
{
    if (set == NULL) {
        return;
    }
    free(set->ranges);
    free(set->segments);
    free(set);
}

static int ranges_grow(struct prefix_set *set)
{
    const size_t room = set->range_room == 0 ? FIRST_RANGES : set->range_room * 2;
    struct range *ranges = mem_new(room, sizeof(*ranges));

    if (ranges == NULL) {
        return -ENOMEM;
    }
    if (set->range_count > 0) {
        memcpy(ranges, set->ranges, set->range_count * sizeof(*ranges));
    }
    free(set->ranges);
    set->ranges = ranges;
    set->range_room = room;
    return 0;
}

int prefix_set_add(struct prefix_set *set, const struct net_ip *first, const struct net_ip *last,
                   uint8_t tag)
{
    assert(set->segments == NULL); /* built sets do not change */
    if (tag == 0 || net_ip_compare(last, first) < 0) {
        return -EINVAL;
    }
    if (set->range_count == set->range_room) {
        const int err = ranges_grow(set);
        if (err < 0) {
            return err;
        }
    }
    set->ranges[set->range_count++] = (struct range){point_of(first), point_of(last), tag};
    return 0;
}

/* "0" to "128", no sign, no blank, no leading zero. */
static int bits_parse(const char *text, unsigned max, unsigned *out)
{
    unsigned value = 0;

    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0')) {
        return -EBADMSG;
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return -EBADMSG;
        }
        value = value * 10 + (unsigned)(*c - '0');
        if (value > max) {
            return -EBADMSG;
        }
    }
    *out = value;
    return 0;
}

/* Set every bit of `ip` from number `bits` on; false when one of them was set already. */
static bool host_bits_fill(struct net_ip *ip, unsigned bits)
{
    for (unsigned i = bits / 8; i < sizeof(ip->b); i++) {
        const unsigned kept = i == bits / 8 ? bits % 8 : 0;
        const uint8_t host = (uint8_t)(0xff >> kept);
        if ((ip->b[i] & host) != 0) {
            return false;
        }
        ip->b[i] = (uint8_t)(ip->b[i] | host);
    }
    return true;
}

int prefix_set_add_text(struct prefix_set *set, const char *prefix, uint8_t tag)
{
    char host[NET_ADDR_TEXT];
    const char *slash = strchr(prefix, '/');
    const size_t host_len = slash == NULL ? strlen(prefix) : (size_t)(slash - prefix);
    struct net_ip first;

    if (host_len >= sizeof(host)) {
        return -EBADMSG;
    }
    memcpy(host, prefix, host_len);
    host[host_len] = '\0';
    if (net_ip_parse(host, &first) < 0) {
        return -EBADMSG;
    }
    const bool dotted = strchr(host, ':') == NULL; /* bits count from the IPv4 part */
    const unsigned max = dotted ? V4_BITS : IP_BITS;
    unsigned bits = max;
    if (slash != NULL && bits_parse(slash + 1, max, &bits) < 0) {
        return -EBADMSG;
    }
    struct net_ip last = first;
    if (!host_bits_fill(&last, bits + (IP_BITS - max))) {
        return -EBADMSG;
    }
    return prefix_set_add(set, &first, &last, tag);
}

/* What prefix_set_build() works on: the address space cut at every edge of a range. */
struct cuts {
    struct point *at; /* sorted, without repeats */
    size_t count;
    size_t *unpainted; /* piece -> a piece at or after it that may be free; `count` is the end */
    uint8_t *tags;
};

static void cuts_free(struct cuts *cuts)
{
    free(cuts->at);
    free(cuts->unpainted);
    free(cuts->tags);
}

static bool point_step(struct point *p)
{
    p->lo++;
    p->hi += p->lo == 0;
    return p->hi != 0 || p->lo != 0; /* false past the last address */
}

static int cuts_make(struct cuts *cuts, const struct range *ranges, size_t count)
{
    *cuts = (struct cuts){
        .at = mem_new(2 * count + 1, sizeof(*cuts->at)),
        .unpainted = mem_new(2 * count + 1, sizeof(*cuts->unpainted)),
        .tags = mem_new(2 * count + 1, sizeof(*cuts->tags)),
    };
    if (cuts->at == NULL || cuts->unpainted == NULL || cuts->tags == NULL) {
        cuts_free(cuts);
        return -ENOMEM;
    }
    size_t edges = 0;
    for (size_t i = 0; i < count; i++) {
        struct point after = ranges[i].last;
        cuts->at[edges++] = ranges[i].first;
        if (point_step(&after)) {
            cuts->at[edges++] = after;
        }
    }
    qsort(cuts->at, edges, sizeof(*cuts->at), point_order);
    for (size_t i = 0; i < edges; i++) {
        if (i == 0 || point_order(&cuts->at[i], &cuts->at[cuts->count - 1]) != 0) {
            cuts->at[cuts->count++] = cuts->at[i];
        }
    }
    for (size_t i = 0; i <= cuts->count; i++) {
        cuts->unpainted[i] = i;
    }
    return 0;
}

/* The first piece at or after `piece` without a tag; shortens the way for the next call. */
static size_t cuts_unpainted(struct cuts *cuts, size_t piece)
{
    while (cuts->unpainted[piece] != piece) {
        cuts->unpainted[piece] = cuts->unpainted[cuts->unpainted[piece]];
        piece = cuts->unpainted[piece];
    }
    return piece;
}

static void cuts_paint(struct cuts *cuts, const struct range *range)
{
    const struct point *first =
        bsearch(&range->first, cuts->at, cuts->count, sizeof(*cuts->at), point_order);

    assert(first != NULL); /* each first address was made a cut */
    size_t piece = cuts_unpainted(cuts, (size_t)(first - cuts->at));
    while (piece < cuts->count && !point_less(range->last, cuts->at[piece])) {
        cuts->tags[piece] = range->tag;
        cuts->unpainted[piece] = piece + 1;
        piece = cuts_unpainted(cuts, piece + 1);
    }
}

int prefix_set_build(struct prefix_set *set)
{
    struct cuts cuts;

    assert(set->segments == NULL);
    const int err = cuts_make(&cuts, set->ranges, set->range_count);
    if (err < 0) {
        return err;
    }
    struct segment *segments = mem_new(cuts.count + 1, sizeof(*segments));
    if (segments == NULL) {
        cuts_free(&cuts);
        return -ENOMEM;
    }
    /* The last-added range paints first and nobody paints over it. */
    for (size_t i = set->range_count; i > 0; i--) {
        cuts_paint(&cuts, &set->ranges[i - 1]);
    }
    size_t count = 0;
    for (size_t i = 0; i < cuts.count; i++) {
        if (count == 0 || segments[count - 1].tag != cuts.tags[i]) {
            segments[count++] = (struct segment){cuts.at[i], cuts.tags[i]};
        }
    }
    cuts_free(&cuts);
    free(set->ranges);
    set->ranges = NULL;
    set->range_count = 0;
    set->range_room = 0;
    set->segments = segments;
    set->segment_count = count;
    return 0;
}

uint8_t prefix_set_find(const struct prefix_set *set, const struct net_ip *ip)
{
    const struct point key = point_of(ip);
    size_t below = 0; /* segments known to start at or before `key` */
    size_t above = set->segment_count;

    assert(set->segments != NULL); /* prefix_set_build() comes first */
    while (below < above) {
        const size_t middle = below + (above - below) / 2;
        if (point_less(key, set->segments[middle].start)) {
            above = middle;
        } else {
            below = middle + 1;
        }
    }
    return below == 0 ? 0 : set->segments[below - 1].tag;
}
