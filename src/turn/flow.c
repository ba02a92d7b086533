/* SPDX-License-Identifier: Apache-2.0 */
/* Bound channels at a path below the core, which relays their packets by itself (struct
 * turn_effects, flow_*).
 *
 *   what changes                 who tells that path
 *   a request was granted        turn_flow_update(), once it was
 *   a client has moved           the same; while it is moving, the path below has none of it
 *   rules, settings, a parcel    turn_flow_judged(): every deadline is told again
 *   time                         nobody: deadlines are enough
 *   a channel, a relay or the    turn_flow_end(), before: nothing is relayed below for what is
 *   allocation ends              not there any more, and an end is told with all its traffic */
#include "turn/turn_int.h"
#include "wire/channel_data.h"

enum { TO_PEER = 0, TO_CLIENT = 1, WAYS = 2 };

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void add_traffic(struct turn_server *s, struct turn_alloc *alloc,
                        const struct turn_traffic *more)
{
    alloc->traffic.to_peer_packets += more->to_peer_packets;
    alloc->traffic.to_peer_bytes += more->to_peer_bytes;
    alloc->traffic.to_client_packets += more->to_client_packets;
    alloc->traffic.to_client_bytes += more->to_client_bytes;
    turn_count(&s->count.to_peer_packets, more->to_peer_packets);
    turn_count(&s->count.to_peer_bytes, more->to_peer_bytes);
    turn_count(&s->count.to_client_packets, more->to_client_packets);
    turn_count(&s->count.to_client_bytes, more->to_client_bytes);
}

/* --- max-bps ------------------------------------------------------------------------------------
 */

/* True when both paths keep to the allocation's bandwidth: it is shared, or there is no bound. */
static bool limit_get(struct turn_server *s, struct turn_alloc *alloc)
{
    if (turn_alloc_realm(s, alloc)->max_bps == 0 || alloc->limit != 0) {
        return true;
    }
    alloc->limit = s->fx.limit_open(s->fx.arg, alloc->bucket, &alloc->shared);
    return alloc->limit != 0;
}

/* Its last channel is back: so is what is left of the bandwidth. */
static void limit_put(struct turn_server *s, struct turn_alloc *alloc)
{
    if (alloc->limit == 0) {
        return;
    }
    for (int way = 0; way < WAYS; way++) {
        alloc->bucket[way] = bucket_read_shared(&alloc->shared[way]);
    }
    alloc->shared = NULL;
    s->fx.limit_close(s->fx.arg, alloc->limit);
    alloc->limit = 0;
}

/* --- one channel --------------------------------------------------------------------------------
 */

static void take_back(struct turn_server *s, struct turn_alloc *alloc, struct turn_chan *chan)
{
    struct turn_traffic last = {0};

    s->fx.flow_close(s->fx.arg, chan->flow.handle, &last);
    add_traffic(s, alloc, &last);
    list_remove(&chan->flow.node);
    chan->flow.handle = 0;
    s->tables.flow_count--;
    if (--alloc->flow_count == 0) {
        limit_put(s, alloc);
    }
}

static void hand_over(struct turn_server *s, struct turn_alloc *alloc, struct turn_chan *chan,
                      const struct turn_relay *relay)
{
    if (limit_get(s, alloc)) {
        const struct turn_flow flow = {
            .session = alloc->session,
            .number = (uint16_t)chan->number.number,
            .client = alloc->tuple.client,
            .server = alloc->tuple.server,
            .relay = relay->bound,
            .peer = chan->peer.addr,
            .limit = alloc->limit,
            .to_peer_until_ms = chan->flow.until_ms[TO_PEER],
            .to_client_until_ms = chan->flow.until_ms[TO_CLIENT],
        };
        chan->flow.handle = s->fx.flow_open(s->fx.arg, &flow);
    }
    if (chan->flow.handle != 0) {
        list_push(&s->tables.flows, &chan->flow.node);
        s->tables.flow_count++;
        alloc->flow_count++;
    } else if (alloc->flow_count == 0) {
        limit_put(s, alloc);
    }
}

/* Until when this core would relay for the channel: RFC 8656 section 12.6 towards the peer, where
 * no permission is asked for; towards the client section 12.7 with one. */
static void deadlines(const struct turn_server *s, const struct turn_alloc *alloc,
                      const struct turn_chan *chan, const struct turn_relay *relay, uint64_t now_ms,
                      uint64_t out_until_ms[WAYS])
{
    const struct turn_perm *perm = turn_perm_find(&s->tables, alloc, &chan->peer.addr.ip, now_ms);

    out_until_ms[TO_PEER] = sooner(chan->expires_ms, relay->expires_ms);
    out_until_ms[TO_CLIENT] = perm != NULL ? sooner(out_until_ms[TO_PEER], perm->expires_ms) : 0;
}

static void update_chan(struct turn_server *s, struct turn_alloc *alloc, struct turn_chan *chan,
                        bool again, uint64_t now_ms)
{
    const struct turn_relay *relay = turn_alloc_relay(alloc, chan->peer.addr.family);
    struct turn_handed *flow = &chan->flow;
    uint64_t until_ms[WAYS];

    if (relay == NULL || relay->expires_ms <= now_ms || chan->expires_ms <= now_ms ||
        (chan->number.number > CHANNEL_MAX && !s->config->channels_5766)) {
        if (flow->handle != 0) {
            take_back(s, alloc, chan);
        }
        return;
    }
    deadlines(s, alloc, chan, relay, now_ms, until_ms);
    /* One that was refused is not offered once more as it was. */
    if (!again && until_ms[TO_PEER] == flow->until_ms[TO_PEER] &&
        until_ms[TO_CLIENT] == flow->until_ms[TO_CLIENT]) {
        return;
    }
    flow->until_ms[TO_PEER] = until_ms[TO_PEER];
    flow->until_ms[TO_CLIENT] = until_ms[TO_CLIENT];
    if (flow->handle != 0) {
        s->fx.flow_renew(s->fx.arg, flow->handle, until_ms[TO_PEER], until_ms[TO_CLIENT]);
    } else {
        hand_over(s, alloc, chan, relay);
    }
}

/* --- an allocation ------------------------------------------------------------------------------
 */

/* The path below knows one rate: a realm with another, or without one, stays here. */
static bool rate_is_common(const struct turn_server *s, const struct turn_alloc *alloc)
{
    return turn_alloc_realm(s, alloc)->max_bps == s->config->main.max_bps;
}

/* May the path below have channels of it?  Of a client that is moving (RFC 8016) the core has to
 * see whether data comes from the new address; what the rules in force have not judged waits. */
static bool may_hand_over(const struct turn_server *s, const struct turn_alloc *alloc)
{
    return s->config->turn_enabled && !s->config->draining &&
           !(alloc->mobile != NULL && alloc->mobile->moving) && rate_is_common(s, alloc) &&
           alloc->gate_generation == s->tables.generation;
}

static void update(struct turn_server *s, struct turn_alloc *alloc, const struct net_ip *ip,
                   bool again, uint64_t now_ms)
{
    if (s->fx.flow_open == NULL || alloc->protocol != NET_UDP || alloc->tuple.protocol != NET_UDP) {
        return;
    }
    if (!may_hand_over(s, alloc)) {
        turn_flow_end(s, alloc, NULL);
        return;
    }
    if (turn_alloc_realm(s, alloc)->max_bps != 0 && alloc->limit == 0 && alloc->flow_count > 0) {
        turn_flow_end(s, alloc, NULL); /* from before there was a bound */
    }
    LIST_EACH (node, &alloc->chans) {
        struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        if (ip == NULL || net_ip_equal(ip, &chan->peer.addr.ip)) {
            update_chan(s, alloc, chan, again, now_ms);
        }
    }
}

void turn_flow_update(struct turn_server *s, struct turn_alloc *alloc, const struct net_ip *ip,
                      uint64_t now_ms)
{
    update(s, alloc, ip, false, now_ms);
}

void turn_flow_judged(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    update(s, alloc, NULL, true, now_ms);
}

void turn_flow_end(struct turn_server *s, struct turn_alloc *alloc, const struct turn_relay *relay)
{
    if (s->fx.flow_open == NULL) {
        return;
    }
    LIST_EACH (node, &alloc->chans) {
        struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        if (relay != NULL && relay != turn_alloc_relay(alloc, chan->peer.addr.family)) {
            continue;
        }
        if (chan->flow.handle != 0) {
            take_back(s, alloc, chan);
        }
        chan->flow.until_ms[TO_PEER] = 0; /* it is another offer when it comes again */
    }
}

void turn_flow_leave(struct turn_tables *t, struct turn_alloc *alloc, struct turn_chan *chan)
{
    take_back(CONTAINER_OF(t, struct turn_server, tables), alloc, chan);
}

/* --- usage --------------------------------------------------------------------------------------
 */

static void ask_usage(struct turn_server *s, struct turn_alloc *alloc, const struct turn_chan *chan)
{
    struct turn_traffic more = {0};

    s->fx.flow_usage(s->fx.arg, chan->flow.handle, &more);
    add_traffic(s, alloc, &more);
}

uint32_t turn_server_collect(struct turn_server *s, uint32_t budget)
{
    struct list *flows = &s->tables.flows;
    const uint32_t count = budget < s->tables.flow_count ? budget : s->tables.flow_count;

    for (uint32_t i = 0; i < count; i++) {
        struct list *node = flows->next; /* those asked last are at the end */
        const struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, flow.node);
        list_remove(node);
        list_push(flows, node);
        ask_usage(s, turn_alloc_numbered(&s->tables, chan->number.session), chan);
    }
    return count;
}
