/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/traffic.h"

#include <string.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { SHORT = 48, ETHERNET_DATA = 1472, ODD_ONE_IN = 3, HEAD = 4, MOST = 1600, TRIES = 3 };

static uint32_t below(struct history *h, uint32_t n)
{
    return dice_below(&h->dice, n);
}

/* Of application data: short ones, all, and around the size that a cable takes. */
static size_t any_size(struct history *h)
{
    const uint32_t roll = below(h, 10);

    return roll < 4   ? below(h, SHORT)
           : roll < 7 ? below(h, ETHERNET_DATA + 1)
           : roll < 9 ? ETHERNET_DATA - 40 + below(h, 60)
                      : below(h, MOST);
}

/* --- payloads -----------------------------------------------------------------------------------
 */

/* Random, all zeros, all ones, or alike. */
static void fill(struct history *h, uint8_t *p, size_t n)
{
    const uint32_t roll = below(h, 8);

    if (roll < 2) {
        memset(p, roll == 0 ? 0 : 0xff, n);
        return;
    }
    dice_fill(&h->dice, p, n);
}

/* What a client sends: ChannelData, sometimes with up to three bytes of padding; `odd`: with
 * something wrong.  Returns its length. */
static size_t put_channel_data(struct history *h, uint8_t *p, uint16_t number, bool odd)
{
    const size_t n = any_size(h);
    size_t surplus = below(h, 3) == 0 ? (4 - n % 4) % 4 : 0;

    be16_put(p, number);
    be16_put(p + 2, (uint16_t)n);
    fill(h, p + HEAD, n);
    memset(p + HEAD + n, 0, 16);
    if (!odd) {
        return HEAD + n + surplus;
    }
    surplus = below(h, 9);
    switch (below(h, 6)) {
    case 0:
        be16_put(p, (uint16_t)dice_next(&h->dice));
        break;
    case 1:
        be16_put(p, (uint16_t)(0x4000 + below(h, 0x4000)));
        break;
    case 2: /* longer than it is */
        be16_put(p + 2, (uint16_t)(n + surplus + 1 + below(h, 100)));
        break;
    case 3: /* not even a head */
        return below(h, HEAD);
    case 4: /* padding that says something */
        p[HEAD + n + surplus / 2] = 1;
        break;
    default: /* too much of it */
        break;
    }
    return HEAD + n + surplus;
}

/* What a peer sends: anything, also what looks like ChannelData, or STUN. */
static size_t put_data(struct history *h, uint8_t *p, const struct party *party)
{
    const size_t n = any_size(h);

    fill(h, p, n);
    if (n >= HEAD && below(h, 3) == 0) {
        be16_put(p, below(h, 2) == 0 && party->channels > 0
                        ? party->number[below(h, party->channels)]
                        : (uint16_t)(0x4000 + below(h, 0x4000)));
        be16_put(p + 2, (uint16_t)(below(h, 2) == 0 ? n - HEAD : dice_next(&h->dice)));
    }
    return n;
}

/* --- datagrams ----------------------------------------------------------------------------------
 */

static struct net_addr server_of(const struct history *h, const struct net_addr *client)
{
    return h->paths->world.server_addr[client->family == NET_V4 ? 0 : 1];
}

/* From a client: through one of its channels. */
static void draw_up(struct history *h, const struct party *party, struct frame *f, uint8_t *data,
                    bool odd)
{
    const bool moved = party->was.family != NET_NONE && below(h, 4) == 0;
    const uint16_t number = party->channels > 0 ? party->number[below(h, party->channels)] : 0x4000;

    f->src = moved ? party->was : party->addr;
    f->dst = server_of(h, &f->src);
    f->n = put_channel_data(h, data, number, odd);
}

/* From one of its peers. */
static void draw_down(struct history *h, const struct party *party, struct frame *f, uint8_t *data)
{
    f->src = party->peer[below(h, party->channels)];
    f->dst = party->relay[f->src.family == NET_V4 ? 0 : 1];
    f->n = put_data(h, data, party);
}

static void make_strange(struct history *h, struct frame *f)
{
    struct net_addr *end = below(h, 2) == 0 ? &f->src : &f->dst;
    const uint16_t port = end->port;

    switch (below(h, 4)) {
    case 0:
        end->port ^= (uint16_t)(1U << below(h, 16));
        break;
    case 1:
        end->ip.b[15] ^= (uint8_t)(1U << below(h, 8));
        break;
    case 2:
        *end = stage_host(&h->dice, end->family);
        end->port = port;
        break;
    default: { /* somebody else's */
        const struct party *other = history_any(h);
        if (other->addr.family == end->family) {
            *end = other->addr;
        }
        break;
    }
    }
}

/* A frame as it should be, before it is written. */
static void draw(struct history *h, enum traffic_oddity oddity, struct frame *f, uint8_t *data)
{
    const struct party *party = history_any(h);

    for (int i = 0; i < TRIES && party->channels == 0; i++) {
        party = history_any(h);
    }

    f->data = data;
    f->tos = below(h, 2) == 0 ? 0 : (uint8_t)dice_next(&h->dice);
    f->ttl = (uint8_t)(oddity == TRAFFIC_TTL ? below(h, 3) : 2 + below(h, 254));
    f->df = below(h, 2) == 0;
    f->id = (uint16_t)dice_next(&h->dice);
    f->label = below(h, 2) == 0 ? 0 : below(h, 1 << 20);
    if (party->channels > 0 && below(h, 2) == 0 && oddity != TRAFFIC_CHANNEL) {
        draw_down(h, party, f, data);
        if (f->dst.family == NET_NONE) {
            draw_up(h, party, f, data, false);
        }
    } else {
        draw_up(h, party, f, data, oddity == TRAFFIC_CHANNEL);
    }
    if (oddity == TRAFFIC_ADDRESS) {
        make_strange(h, f);
    }
    if (oddity == TRAFFIC_OWN_SOURCE) {
        f->src = h->paths->world.server_addr[f->src.family == NET_V4 ? 0 : 1];
    }
    f->no_sum = oddity == TRAFFIC_NO_SUM;
    if (oddity == TRAFFIC_UDP_SUM) {
        f->sum_error = (uint16_t)(1 + below(h, 0xfffe));
    }
}

/* --- frames -------------------------------------------------------------------------------------
 */

/* Change any one bit of `n` bytes. */
static void flip(struct history *h, uint8_t *p, size_t n)
{
    const uint32_t bit = below(h, (uint32_t)(8 * n));

    p[bit / 8] ^= (uint8_t)(1U << bit % 8);
}

/* Put `n` bytes in at `at`. */
static void put_in(struct traffic *t, size_t at, const uint8_t *p, size_t n)
{
    memmove(t->bytes + at + n, t->bytes + at, t->n - at);
    memcpy(t->bytes + at, p, n);
    t->n += n;
}

static void add_options(struct history *h, struct traffic *t, bool v4)
{
    uint8_t *ip = t->bytes + FRAME_ETHER;

    if (v4) {
        static const uint8_t no_operation[] = {1, 1, 1, 0};
        put_in(t, FRAME_ETHER + FRAME_IPV4, no_operation, sizeof(no_operation));
        ip[0] = 0x46;
        be16_put(ip + 2, (uint16_t)(be16(ip + 2) + sizeof(no_operation)));
        frame_ip_sum(ip, ip[0] & 15);
        return;
    }
    static const uint8_t kinds[] = {0, 60, 43}; /* hop by hop, destination, routing */
    const uint8_t header[] = {ip[6], 0, 1, 4, 0, 0, 0, 0};
    put_in(t, FRAME_ETHER + FRAME_IPV6, header, sizeof(header));
    ip[6] = kinds[below(h, ARRAY_SIZE(kinds))];
    be16_put(ip + 4, (uint16_t)(be16(ip + 4) + sizeof(header)));
}

static void make_fragment(struct history *h, struct traffic *t, bool v4)
{
    uint8_t *ip = t->bytes + FRAME_ETHER;

    if (v4) {
        const uint16_t more = 0x2000;
        be16_put(ip + 6, (uint16_t)(below(h, 2) == 0 ? more : 1 + below(h, 0x3fff)));
        frame_ip_sum(ip, FRAME_IPV4 / 4);
        return;
    }
    const uint16_t offset = (uint16_t)dice_next(&h->dice);
    const uint8_t header[] = {ip[6], 0, (uint8_t)(offset >> 8), (uint8_t)offset, 0, 0, 0, 1};
    put_in(t, FRAME_ETHER + FRAME_IPV6, header, sizeof(header));
    ip[6] = 44;
    be16_put(ip + 4, (uint16_t)(be16(ip + 4) + sizeof(header)));
}

/* By a little, or to anything. */
static uint16_t other_length(struct history *h, uint16_t is)
{
    const uint32_t roll = below(h, 3);

    return roll == 0   ? (uint16_t)dice_next(&h->dice)
           : roll == 1 ? (uint16_t)(is + 1 + below(h, 8))
                       : (uint16_t)(is - 1 - below(h, 40));
}

static void change_ip(struct history *h, struct traffic *t, bool v4)
{
    uint8_t *ip = t->bytes + FRAME_ETHER;

    switch ((int)t->oddity) {
    case TRAFFIC_IP_SUM:
        if (v4) {
            flip(h, ip + 10, 2);
        } else {
            ip[0] ^= 0x20;
        }
        return;
    case TRAFFIC_IP_LENGTH:
        be16_put(ip + (v4 ? 2 : 4), other_length(h, be16(ip + (v4 ? 2 : 4))));
        break;
    default: /* TCP, ICMP, none */
        ip[v4 ? 9 : 6] = (uint8_t)(below(h, 2) == 0 ? 6 : below(h, 256));
        break;
    }
    if (v4) {
        frame_ip_sum(ip, FRAME_IPV4 / 4);
    }
}

static void change_udp(struct history *h, struct traffic *t, bool v4)
{
    uint8_t *udp = t->bytes + FRAME_ETHER + (v4 ? FRAME_IPV4 : FRAME_IPV6);
    struct frame f;

    if (t->oddity == TRAFFIC_UDP_LENGTH) {
        be16_put(udp + 4, other_length(h, be16(udp + 4)));
    } else if (frame_read(t->bytes, t->n, &f)) {
        be16_put(udp + 6, frame_pseudo_sum(&f));
    }
}

static void change_ether(struct history *h, struct traffic *t)
{
    static const uint8_t tag[] = {0x81, 0, 0, 7};
    static const uint16_t kinds[] = {0x0806, 0x0800, 0x86dd, 0x8847, 0x88a8, 0x0100};

    if (t->oddity == TRAFFIC_MAC) {
        if (below(h, 3) == 0) {
            memset(t->bytes, 0xff, FRAME_MAC);
        } else {
            flip(h, t->bytes, FRAME_MAC);
        }
    } else if (t->oddity == TRAFFIC_VLAN) {
        put_in(t, 2 * FRAME_MAC, tag, sizeof(tag));
    } else {
        be16_put(t->bytes + 2 * FRAME_MAC, kinds[below(h, ARRAY_SIZE(kinds))]);
    }
}

static void change_size(struct history *h, struct traffic *t)
{
    if (t->oddity == TRAFFIC_CUT) {
        t->n = FRAME_ETHER + below(h, (uint32_t)(t->n - FRAME_ETHER));
        return;
    }
    const uint32_t more = 1 + below(h, 40);
    fill(h, t->bytes + t->n, more);
    t->n += more;
}

/* What is done to a frame that is otherwise right. */
static void make_odd(struct history *h, struct traffic *t, bool v4)
{
    switch (t->oddity) {
    case TRAFFIC_MAC:
    case TRAFFIC_VLAN:
    case TRAFFIC_ETHERTYPE:
        change_ether(h, t);
        break;
    case TRAFFIC_OPTIONS:
        add_options(h, t, v4);
        break;
    case TRAFFIC_FRAGMENT:
        make_fragment(h, t, v4);
        break;
    case TRAFFIC_IP_SUM:
    case TRAFFIC_IP_LENGTH:
    case TRAFFIC_PROTOCOL:
        change_ip(h, t, v4);
        break;
    case TRAFFIC_UDP_LENGTH:
    case TRAFFIC_PARTIAL_SUM:
        change_udp(h, t, v4);
        break;
    case TRAFFIC_CUT:
    case TRAFFIC_TRAILER:
        change_size(h, t);
        break;
    case TRAFFIC_FLIP:
        flip(h, t->bytes, t->n);
        break;
    case TRAFFIC_NONE:
    case TRAFFIC_TTL:
    case TRAFFIC_UDP_SUM:
    case TRAFFIC_NO_SUM:
    case TRAFFIC_ADDRESS:
    case TRAFFIC_CHANNEL:
    case TRAFFIC_OWN_SOURCE:
    case TRAFFIC_ODDITY_COUNT:
        break;
    }
}

void traffic_make(struct history *h, struct traffic *out)
{
    uint8_t data[FRAME_DATA_MAX];
    struct frame f = {.from = {2, 9, 9, 9, 9, 9}};

    out->at = (enum stage_interface)below(h, STAGE_INTERFACES);
    out->oddity = below(h, ODD_ONE_IN) == 0 ? (enum traffic_oddity)below(h, TRAFFIC_ODDITY_COUNT)
                                            : TRAFFIC_NONE;
    memcpy(f.to, stage_mac(out->at), FRAME_MAC);
    draw(h, out->oddity, &f, data);
    out->n = frame_write(&f, out->bytes);
    make_odd(h, out, f.src.family == NET_V4);
}

const char *traffic_name(enum traffic_oddity oddity)
{
    static const char *const names[] = {
#define X(name) #name,
        TRAFFIC_ODDITIES(X)
#undef X
    };

    return names[oddity];
}
