/* SPDX-License-Identifier: Apache-2.0 */
/* Channels (RFC 8656 section 12): a number stands for a peer's transport address. */
#include <errno.h>

#include "turn/alloc.h"

struct turn_chan *turn_chan_by_number(const struct turn_tables *t, const struct turn_alloc *alloc,
                                      uint16_t number, uint64_t now_ms)
{
    const struct turn_chan_number key = {alloc->session, number};
    struct turn_chan *chan = table_find(&t->by_number, &key);

    return chan != NULL && chan->expires_ms > now_ms ? chan : NULL;
}

struct turn_chan *turn_chan_by_peer(const struct turn_tables *t, const struct turn_alloc *alloc,
                                    const struct net_addr *peer, uint64_t now_ms)
{
    const struct turn_chan_peer key = {alloc->session, *peer};
    struct turn_chan *chan = table_find(&t->by_peer, &key);

    return chan != NULL && chan->expires_ms > now_ms ? chan : NULL;
}

struct turn_chan *turn_chan_again(const struct turn_tables *t, struct turn_alloc *alloc,
                                  uint16_t number, uint64_t now_ms)
{
    struct turn_chan *chan = alloc->last_chan;

    if (chan != NULL && chan->expires_ms > now_ms && chan->number.number == number) {
        return chan;
    }
    chan = turn_chan_by_number(t, alloc, number, now_ms);
    if (chan != NULL) {
        alloc->last_chan = chan;
    }
    return chan;
}

struct turn_chan *turn_chan_with(const struct turn_tables *t, struct turn_alloc *alloc,
                                 const struct net_addr *peer, uint64_t now_ms)
{
    struct turn_chan *chan = alloc->last_chan;

    if (chan != NULL && chan->expires_ms > now_ms && net_addr_equal(&chan->peer.addr, peer)) {
        return chan;
    }
    chan = alloc->chan_count > 0 ? turn_chan_by_peer(t, alloc, peer, now_ms) : NULL;
    if (chan != NULL) {
        alloc->last_chan = chan;
    }
    return chan;
}

/* Free number and address of bindings that have expired but still lie in the tables: they may be
 * bound to others at once (RFC 8656 section 12: the five-minute wait is the client's). */
static void chan_evict_expired(struct turn_tables *t, struct turn_alloc *alloc, uint16_t number,
                               const struct net_addr *peer, uint64_t now_ms)
{
    const struct turn_chan_number by_number = {alloc->session, number};
    const struct turn_chan_peer by_peer = {alloc->session, *peer};
    struct turn_chan *chan = table_find(&t->by_number, &by_number);

    if (chan != NULL && chan->expires_ms <= now_ms) {
        turn_chan_remove(t, alloc, chan);
    }
    chan = table_find(&t->by_peer, &by_peer);
    if (chan != NULL && chan->expires_ms <= now_ms) {
        turn_chan_remove(t, alloc, chan);
    }
}

static struct turn_chan *chan_make(struct turn_tables *t, struct turn_alloc *alloc, uint16_t number,
                                   const struct net_addr *peer)
{
    const bool shares = alloc->chan_count >= TURN_SURE_CHANS;
    struct turn_chan *chan =
        shares && t->chan_shared >= t->chan_pool ? NULL : slab_get(t->chan_slab);
    if (chan == NULL) {
        return NULL;
    }
    chan->number = (struct turn_chan_number){alloc->session, number};
    chan->peer = (struct turn_chan_peer){alloc->session, *peer};
    if (table_insert(&t->by_number, chan) < 0) {
        slab_put(t->chan_slab, chan);
        return NULL;
    }
    if (table_insert(&t->by_peer, chan) < 0) {
        (void)table_remove(&t->by_number, &chan->number);
        slab_put(t->chan_slab, chan);
        return NULL;
    }
    list_push(&alloc->chans, &chan->node);
    alloc->chan_count++;
    t->chan_shared += shares;
    return chan;
}

int turn_chan_bind(struct turn_tables *t, struct turn_alloc *alloc, uint16_t number,
                   const struct net_addr *peer, uint32_t max, uint64_t expires_ms, uint64_t now_ms)
{
    chan_evict_expired(t, alloc, number, peer, now_ms);

    struct turn_chan *of_number = turn_chan_by_number(t, alloc, number, now_ms);
    struct turn_chan *of_peer = turn_chan_by_peer(t, alloc, peer, now_ms);
    if (of_number != of_peer) {
        return -EEXIST;
    }
    struct turn_chan *chan = of_number;
    if (chan == NULL) {
        chan = alloc->chan_count < max ? chan_make(t, alloc, number, peer) : NULL;
        if (chan == NULL) {
            return -ENOSPC;
        }
    }
    chan->expires_ms = expires_ms;
    turn_alloc_wake_by(t, alloc, expires_ms);
    return 0;
}

void turn_chan_remove(struct turn_tables *t, struct turn_alloc *alloc, struct turn_chan *chan)
{
    if (chan->flow.handle != 0) {
        turn_flow_leave(t, alloc, chan);
    }
    if (alloc->last_chan == chan) {
        alloc->last_chan = NULL;
    }
    list_remove(&chan->node);
    (void)table_remove(&t->by_number, &chan->number);
    (void)table_remove(&t->by_peer, &chan->peer);
    slab_put(t->chan_slab, chan);
    alloc->chan_count--;
    t->chan_shared -= alloc->chan_count >= TURN_SURE_CHANS;
}
