/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/stash.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct stashed {
    uint64_t since_ms;
    struct net_addr remote;
    struct net_addr local;
    void *port;
    uint32_t len;
    uint8_t tos;
    uint8_t transport;
    uint8_t data[STASH_BYTES];
};

struct stash {
    uint32_t first;
    uint32_t count;
    struct stashed ring[STASH_PACKETS];
};

struct stash *stash_new(void)
{
    return mem_new(1, sizeof(struct stash));
}

void stash_free(struct stash *stash)
{
    free(stash);
}

uint32_t stash_count(const struct stash *stash)
{
    return stash->count;
}

static void drop_first(struct stash *stash)
{
    stash->first = (stash->first + 1) % STASH_PACKETS;
    stash->count--;
}

uint32_t stash_put(struct stash *stash, const struct pkt *pkt, uint64_t now_ms)
{
    uint32_t dropped = 0;

    if (pkt->len > STASH_BYTES) {
        return 1;
    }
    if (stash->count == STASH_PACKETS) {
        drop_first(stash);
        dropped = 1;
    }
    struct stashed *slot = &stash->ring[(stash->first + stash->count) % STASH_PACKETS];
    slot->since_ms = now_ms;
    slot->remote = pkt->remote;
    slot->local = pkt->local;
    slot->port = pkt->port;
    slot->tos = pkt->tos;
    slot->transport = pkt->transport;
    slot->len = pkt->len;
    memcpy(slot->data, pkt->data, pkt->len);
    stash->count++;
    return dropped;
}

void stash_forget(struct stash *stash, const void *port)
{
    for (uint32_t i = 0; i < stash->count; i++) {
        struct stashed *slot = &stash->ring[(stash->first + i) % STASH_PACKETS];
        if (slot->port == port) {
            slot->len = 0; /* what a datagram without bytes becomes: nothing */
            slot->port = NULL;
        }
    }
}

bool stash_take(struct stash *stash, struct pkt *pkt, uint64_t now_ms, uint32_t *out_dropped)
{
    *out_dropped = 0;
    while (stash->count > 0 && stash->ring[stash->first].since_ms + STASH_MS < now_ms) {
        drop_first(stash);
        (*out_dropped)++;
    }
    if (stash->count == 0) {
        return false;
    }
    const struct stashed *slot = &stash->ring[stash->first];
    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = slot->len;
    pkt->remote = slot->remote;
    pkt->local = slot->local;
    pkt->port = slot->port;
    pkt->tos = slot->tos;
    pkt->transport = slot->transport;
    pkt->df = false;
    memcpy(pkt->data, slot->data, slot->len);
    drop_first(stash);
    return true;
}
