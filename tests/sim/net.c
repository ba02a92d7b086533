/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

void net_init(struct net *n, struct prng *random, const struct net_link *link)
{
    n->random = random;
    n->link = *link;
    n->sequence = 0;
    n->event_count = 0;
    n->free_count = NET_PACKETS;
    for (uint16_t i = 0; i < NET_PACKETS; i++) {
        n->free[i] = (uint16_t)(NET_PACKETS - 1 - i);
    }
}

struct net_packet *net_take(struct net *n)
{
    if (n->free_count == 0) {
        return NULL;
    }
    const uint16_t index = n->free[--n->free_count];
    struct net_packet *packet = &n->packets[index];

    memset(packet, 0, offsetof(struct net_packet, data));
    packet->index = index;
    return packet;
}

void net_put(struct net *n, struct net_packet *packet)
{
    assert(n->free_count < NET_PACKETS);
    n->free[n->free_count++] = packet->index;
}

static bool earlier(const struct net_event *a, const struct net_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

void net_schedule(struct net *n, uint64_t at_ms, enum net_event_kind kind,
                  struct net_packet *packet)
{
    const struct net_event event = {at_ms, n->sequence++, kind, packet};
    uint32_t at = n->event_count++;

    assert(at < NET_EVENTS); /* a packet has one event, a step, too */
    while (at > 0 && earlier(&event, &n->events[(at - 1) / 2])) {
        n->events[at] = n->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    n->events[at] = event;
}

uint64_t net_next_at(const struct net *n)
{
    return n->event_count == 0 ? UINT64_MAX : n->events[0].at_ms;
}

struct net_event net_next(struct net *n)
{
    const struct net_event first = n->events[0];
    const struct net_event last = n->events[--n->event_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n->event_count) {
            break;
        }
        if (child + 1 < n->event_count && earlier(&n->events[child + 1], &n->events[child])) {
            child++;
        }
        if (!earlier(&n->events[child], &last)) {
            break;
        }
        n->events[at] = n->events[child];
        at = child;
    }
    n->events[at] = last;
    return first;
}

static void travel(struct net *n, struct net_packet *packet, uint64_t now_ms)
{
    if (prng_chance(n->random, n->link.loss)) {
        net_put(n, packet);
        return;
    }
    const uint64_t at_ms = now_ms + n->link.delay_ms + prng_below(n->random, n->link.jitter_ms);
    net_schedule(n, at_ms, NET_ARRIVE, packet);
}

bool net_send(struct net *n, struct net_packet *packet, uint64_t now_ms)
{
    if (packet->len + (uint32_t)UDP_OVERHEAD > n->link.mtu && packet->df) {
        return false;
    }
    if (prng_chance(n->random, n->link.duplicate)) {
        struct net_packet *twin = net_take(n);
        if (twin != NULL) {
            const uint16_t index = twin->index;
            memcpy(twin, packet, offsetof(struct net_packet, data) + packet->len);
            twin->index = index;
            travel(n, twin, now_ms);
        }
    }
    travel(n, packet, now_ms);
    return true;
}
