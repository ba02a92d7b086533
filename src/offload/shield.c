/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/shield.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/mem.h"

enum {
    NS_PER_S = 1000000000,
    SOFTWARE_MAX = 128, /* bytes (RFC 8489 section 14.14) */
    SOFTWARE = 0x8022,
    ATTR_HEAD = 4,
};

/* As it lies in the map. */
struct entry {
    struct shield_at at;
    uint32_t take; /* enum shield_take */
};

struct shield {
    struct shield_parts parts;
    struct entry *entries; /* by address and port; those that the map has, or may have */
    size_t count;
};

int shield_new(const struct shield_parts *parts, struct shield **out)
{
    struct shield *shield = mem_new(1, sizeof(*shield));
    struct shield_rules *rules = parts->rules;

    if (shield == NULL) {
        return -ENOMEM;
    }
    shield->parts = *parts;
    if (getrandom(rules->key, sizeof(rules->key), 0) != sizeof(rules->key)) {
        free(shield);
        return errno != 0 ? -errno : -EIO;
    }
    rules->answer = SHIELD_NO_ANSWER;
    *out = shield;
    return 0;
}

void shield_free(struct shield *shield)
{
    if (shield == NULL) {
        return;
    }
    shield_set_on(shield, false);
    free(shield->entries);
    free(shield);
}

void shield_set_on(struct shield *shield, bool on)
{
    __atomic_store_n(&shield->parts.control->shield, on ? 1 : 0, __ATOMIC_RELEASE);
}

/* --- limits --------------------------------------------------------------------------------------
 */

static void set_rate(struct shield_rate *rate, uint32_t per_s)
{
    /* Rounded up, and the burst is then just so many packets. */
    const uint64_t step_ns = per_s == 0 ? 0 : (NS_PER_S + (uint64_t)per_s - 1) / per_s;

    __atomic_store_n(&rate->burst_ns, step_ns * per_s, __ATOMIC_RELAXED);
    __atomic_store_n(&rate->step_ns, step_ns, __ATOMIC_RELAXED);
}

void shield_set_limits(struct shield *shield, const struct shield_limits *limits)
{
    set_rate(&shield->parts.rules->prefix, limits->prefix_per_s);
    set_rate(&shield->parts.rules->total, limits->newcomers_per_s);
}

/* --- the answer ----------------------------------------------------------------------------------
 */

/* One's complement sum of 16-bit words as they lie (RFC 1071). */
static uint32_t sum_of(const uint32_t *words, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += (words[i] & 0xffff) + (words[i] >> 16);
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint32_t)sum;
}

/* The attribute SOFTWARE, padded with zeros (RFC 8489 section 14). */
static void write_answer(struct shield_answer *answer, const char *software, size_t len)
{
    uint8_t *to = (uint8_t *)answer->data;

    memset(answer, 0, sizeof(*answer));
    if (len > 0) {
        be16_put(to, SOFTWARE);
        be16_put(to + 2, (uint16_t)len);
        memcpy(to + ATTR_HEAD, software, len);
        answer->words = (uint32_t)((ATTR_HEAD + len + 3) / 4);
    }
    answer->sum = sum_of(answer->data, answer->words);
}

int shield_set_answer(struct shield *shield, const char *software)
{
    struct shield_rules *rules = shield->parts.rules;
    const size_t len = software != NULL ? strlen(software) : 0;
    const uint32_t old = rules->answer;

    if (software == NULL || len > SOFTWARE_MAX) {
        __atomic_store_n(&rules->answer, SHIELD_NO_ANSWER, __ATOMIC_RELEASE);
        return software == NULL ? 0 : -EINVAL;
    }
    /* Into the place that is not in use: a packet that is being answered keeps the old one. */
    const uint32_t next = old == 0 ? 1 : 0;
    write_answer(&rules->answers[next], software, len);
    __atomic_store_n(&rules->answer, next, __ATOMIC_RELEASE);
    return 0;
}

/* --- listeners -----------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct shield_at)); /* the key comes first in an entry */
}

static const struct entry *entry_find(const struct entry *entries, size_t count,
                                      const struct shield_at *at)
{
    return count == 0 ? NULL : bsearch(at, entries, count, sizeof(*entries), compare);
}

static bool is_wildcard(const struct net_addr *addr)
{
    static const uint8_t none[sizeof(addr->ip.b)];

    return net_ip_is_v4(&addr->ip) ? memcmp(net_ip_v4_bytes(&addr->ip), none, 4) == 0
                                   : memcmp(addr->ip.b, none, sizeof(none)) == 0;
}

static int entry_make(const struct shield_listener *listener, struct entry *out)
{
    if (is_wildcard(&listener->addr) || listener->addr.port == 0) {
        return -EINVAL;
    }
    *out = (struct entry){
        .at.port = htons(listener->addr.port),
        .take = (listener->plain ? SHIELD_TAKE_PLAIN : 0U) |
                (listener->dtls ? SHIELD_TAKE_DTLS : 0U) |
                (listener->classic ? SHIELD_TAKE_CLASSIC : 0U),
    };
    memcpy(out->at.ip, listener->addr.ip.b, sizeof(out->at.ip));
    return 0;
}

/* The list in the map's terms, sorted, an address and port once. */
static int entries_make(const struct shield_listener *list, size_t count, struct entry **out,
                        size_t *out_count)
{
    struct entry *entries = mem_new(count > 0 ? count : 1, sizeof(*entries));
    size_t kept = 0;

    if (entries == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const int err = entry_make(&list[i], &entries[i]);
        if (err < 0) {
            free(entries);
            return err;
        }
    }
    qsort(entries, count, sizeof(*entries), compare);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && compare(&entries[kept - 1], &entries[i]) == 0) {
            entries[kept - 1].take |= entries[i].take;
        } else {
            entries[kept++] = entries[i];
        }
    }
    *out = entries;
    *out_count = kept;
    return 0;
}

static void entries_remove(const struct shield *shield, const struct entry *next, size_t count)
{
    for (size_t i = 0; i < shield->count; i++) {
        const struct shield_at *at = &shield->entries[i].at;
        if (entry_find(next, count, at) == NULL) {
            (void)bpf_map_delete_elem(shield->parts.listeners, at);
        }
    }
}

int shield_set_listeners(struct shield *shield, const struct shield_listener *list, size_t count)
{
    struct entry *next;
    size_t next_count;

    if (count > SHIELD_LISTENERS) {
        return -ENOSPC;
    }
    int err = entries_make(list, count, &next, &next_count);
    if (err < 0) {
        return err;
    }
    entries_remove(shield, next, next_count); /* first: there may be no room for both */
    for (size_t i = 0; i < next_count; i++) {
        const int failed =
            bpf_map_update_elem(shield->parts.listeners, &next[i].at, &next[i].take, BPF_ANY);
        err = failed < 0 ? failed : err;
    }
    free(shield->entries);
    shield->entries = next;
    shield->count = next_count;
    return err;
}
