/* SPDX-License-Identifier: Apache-2.0 */
/* Application data in both directions: ChannelData, Send and Data (RFC 8656 sections 11 and 12.5 to
 * 12.7), and ICMP errors (section 11.5).  Hot path: at most two table probes a packet, no copy. */
#include <string.h>

#include "turn/turn_int.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"

enum {
    /* Largest payload of a UDP datagram over IPv4 and over IPv6 (no jumbograms). */
    UDP_MAX_V4 = 65535 - 20 - 8,
    UDP_MAX_V6 = 65535 - 8,
    XOR_ADDR_V4 = 4 + 8,
    XOR_ADDR_V6 = 4 + 20,
    DSCP_BITS = 0xfc,
    ECN_BITS = 0x03,
    /* Largest messages of a stream: a STUN body is a multiple of 4; ChannelData with padding. */
    STREAM_STUN_MAX = STUN_HEADER + 65532,
    STREAM_CHANNEL_MAX = CHANNEL_HEAD + 65536,
    /* Largest plaintext of a DTLS record (RFC 6347 section 4.1), and one message fills one. */
    DTLS_MAX = 16384,
};

enum direction { TO_PEER = 0, TO_CLIENT = 1 };

/* Take `bytes` of the server's bandwidth; small leases keep the workers from meeting. */
static bool capacity_take(struct turn_server *s, enum direction way, uint32_t bytes,
                          uint64_t now_ms)
{
    if (s->lease[way] < bytes) {
        s->lease[way] +=
            s->fx.capacity_lease(s->fx.arg, (int)way, bytes - (uint32_t)s->lease[way], now_ms);
        if (s->lease[way] < bytes) {
            return false;
        }
    }
    s->lease[way] -= bytes;
    return true;
}

/* Take `bytes` of the allocation's bandwidth, from where the path below the core takes it, too. */
static bool share_take(struct turn_alloc *alloc, enum direction way, uint64_t rate, uint32_t bytes,
                       uint64_t now_ms)
{
    return alloc->shared == NULL ? bucket_take(&alloc->bucket[way], rate, bytes, now_ms)
                                 : bucket_take_shared(&alloc->shared[way], rate, bytes, now_ms);
}

/* Apart, so that what a server without limits goes through remains short. */
static NOINLINE enum drop over_any(struct turn_server *s, struct turn_alloc *alloc,
                                   enum direction way, uint32_t bytes, uint64_t now_ms)
{
    if (s->config->limit_capacity && !capacity_take(s, way, bytes, now_ms)) {
        return DROP_CAPACITY;
    }
    const uint64_t max_bps = turn_alloc_realm(s, alloc)->max_bps;
    if (max_bps != 0 && !share_take(alloc, way, max_bps, bytes, now_ms)) {
        if (s->config->limit_capacity) {
            s->lease[way] += bytes; /* it is not relayed: the server's share is left */
        }
        return DROP_BANDWIDTH;
    }
    return DROP_COUNT;
}

/* max-bps and bps-capacity; DROP_COUNT when the packet may pass. */
static inline enum drop over_limit(struct turn_server *s, struct turn_alloc *alloc,
                                   enum direction way, uint32_t bytes, uint64_t now_ms)
{
    return turn_alloc_realm(s, alloc)->max_bps == 0 && !s->config->limit_capacity
               ? DROP_COUNT
               : over_any(s, alloc, way, bytes, now_ms);
}

/* RFC 8656 sections 14 to 16: DSCP and ECN as they came, or the alternate values.  A stream has no
 * ECN of one message, and nothing of ours is set on it. */
static inline uint8_t tos_out(const struct turn_config *config, uint8_t tos, bool ecn)
{
    return (uint8_t)(tos & ((config->copy_dscp ? DSCP_BITS : 0) |
                            (config->copy_ecn && ecn ? ECN_BITS : 0)));
}

static enum turn_verdict send_to_peer(struct turn_server *s, struct turn_alloc *alloc,
                                      const struct turn_relay *relay, struct pkt *pkt)
{
    pkt->local = relay->bound;
    pkt->port = relay->port;
    pkt->transport = NET_UDP;
    pkt->tos = tos_out(s->config, pkt->tos, !net_is_stream(alloc->tuple.protocol));
    alloc->traffic.to_peer_packets++;
    alloc->traffic.to_peer_bytes += pkt->len;
    turn_count(&s->count.to_peer_packets, 1);
    turn_count(&s->count.to_peer_bytes, pkt->len);
    return TURN_TO_PEER;
}

void turn_to_client(const struct turn_alloc *alloc, struct pkt *pkt)
{
    pkt->remote = alloc->tuple.client;
    pkt->local = alloc->tuple.server;
    pkt->port = alloc->listener;
    pkt->transport = (uint8_t)alloc->tuple.protocol;
    pkt->tos = 0;
    pkt->df = false;
}

static enum turn_verdict send_to_client(const struct turn_server *s, const struct turn_alloc *alloc,
                                        struct pkt *pkt)
{
    const uint8_t tos =
        net_is_stream(alloc->tuple.protocol) ? 0 : tos_out(s->config, pkt->tos, true);

    turn_to_client(alloc, pkt);
    pkt->tos = tos;
    return TURN_TO_CLIENT;
}

/* Whose data it is.  From a client that is moving, it says that it has arrived. */
static inline struct turn_alloc *sender(struct turn_server *s, const struct five_tuple *tuple,
                                        uint64_t now_ms)
{
    struct turn_alloc *alloc = turn_alloc_again(&s->tables, tuple);

    if (alloc != NULL && alloc->mobile != NULL) {
        turn_mobility_heard(s, alloc, tuple, now_ms);
    }
    return alloc;
}

/* RFC 8656 section 12.6.  No permission is asked for from client to peer on a live channel:
 * the binding was judged when it was made, and is judged again when the rules change. */
enum turn_verdict turn_channel_data(struct turn_server *s, struct pkt *pkt, uint64_t now_ms)
{
    uint16_t number;
    struct bytes data;

    if (channel_data_decode((struct bytes){pkt->data, pkt->len}, &number, &data) < 0) {
        return turn_drop(s, DROP_BAD_LENGTH);
    }
    const struct five_tuple tuple = turn_tuple_of(pkt);
    struct turn_alloc *alloc = sender(s, &tuple, now_ms);
    if (alloc == NULL) {
        return turn_drop(s, DROP_NO_ALLOCATION);
    }
    const struct turn_chan *chan = turn_chan_again(&s->tables, alloc, number, now_ms);
    if (chan == NULL) {
        return turn_drop(s, DROP_NO_CHANNEL);
    }
    const struct turn_relay *relay = turn_alloc_relay(alloc, chan->peer.addr.family);
    if (relay == NULL || relay->expires_ms <= now_ms) {
        return turn_drop(s, DROP_NO_ALLOCATION);
    }
    const enum drop limit = over_limit(s, alloc, TO_PEER, pkt->len, now_ms);
    if (limit != DROP_COUNT) {
        return turn_drop(s, limit);
    }
    pkt_strip(pkt, CHANNEL_HEAD, (uint32_t)data.n);
    pkt->remote = chan->peer.addr;
    pkt->df = false;
    return send_to_peer(s, alloc, relay, pkt);
}

/* RFC 8656 section 13: DONT-FRAGMENT is ignored wherever IPv6 is on one side; but not from a stream
 * (section 15). */
static bool df_honoured(const struct turn_alloc *alloc, const struct net_addr *peer)
{
    return net_is_stream(alloc->tuple.protocol) ||
           (alloc->tuple.client.family == NET_V4 && peer->family == NET_V4);
}

/* Send indication (RFC 8656 section 11.2). */
enum turn_verdict turn_on_send(struct turn_server *s, struct pkt *pkt, const struct turn_req *req,
                               uint64_t now_ms)
{
    const uint32_t required = HAS_XOR_PEER_ADDRESS | HAS_DATA;
    const uint32_t used = required | HAS_DONT_FRAGMENT;
    const struct net_addr *peer = &req->peer;

    if (req->overrun || (req->bad & used) != 0 || (req->has & required) != required ||
        peer->port == 0) {
        return turn_drop(s, DROP_BAD_INDICATION);
    }
    if (req->unknown_count > 0) {
        return turn_drop(s, DROP_UNKNOWN_ATTRIBUTE);
    }
    const struct five_tuple tuple = turn_tuple_of(pkt);
    struct turn_alloc *alloc = sender(s, &tuple, now_ms);
    if (alloc == NULL) {
        return turn_drop(s, DROP_NO_ALLOCATION);
    }
    if (alloc->protocol != NET_UDP) {
        return turn_drop(s, DROP_TCP_ALLOCATION);
    }
    const struct turn_relay *relay = turn_alloc_relay(alloc, peer->family);
    if (relay == NULL || relay->expires_ms <= now_ms ||
        (peer->family == NET_V6 && net_ip_is_v4(&peer->ip))) {
        return turn_drop(s, DROP_PEER_FAMILY);
    }
    if (turn_perm_again(&s->tables, alloc, &peer->ip, now_ms) == NULL) {
        return turn_drop(s, DROP_NO_PERMISSION);
    }
    if (gate_check_addr(turn_alloc_realm(s, alloc)->gate, peer) != GATE_OPEN) {
        return turn_drop(s, DROP_PEER_DENIED);
    }
    const enum drop limit = over_limit(s, alloc, TO_PEER, pkt->len, now_ms);
    if (limit != DROP_COUNT) {
        return turn_drop(s, limit);
    }
    pkt->df = (req->has & HAS_DONT_FRAGMENT) != 0 && df_honoured(alloc, peer);
    pkt_strip(pkt, (uint32_t)(req->data.p - pkt->data), (uint32_t)req->data.n);
    pkt->remote = *peer;
    return send_to_peer(s, alloc, relay, pkt);
}

/* How long a message to the client may be: `stream_max` on a stream; 0: it is away. */
static uint32_t message_max(const struct five_tuple *tuple, uint32_t stream_max)
{
    if (tuple->protocol == NET_UDP || tuple->protocol == NET_PROXIED) {
        return tuple->client.family == NET_V4 ? UDP_MAX_V4 : UDP_MAX_V6;
    }
    if (tuple->protocol == 0) {
        return 0;
    }
    return net_is_stream(tuple->protocol) ? stream_max : DTLS_MAX;
}

static enum drop too_big(const struct turn_alloc *alloc)
{
    return turn_client_away(alloc) ? DROP_CLIENT_AWAY : DROP_TOO_BIG;
}

static void put_attr_head(uint8_t *at, uint16_t type, uint16_t len)
{
    be16_put(at, type);
    be16_put(at + 2, len);
}

/* Write header, XOR-PEER-ADDRESS and the head of a last attribute of `len` bytes to `at`: a Data
 * indication that wants only that attribute's value behind it. */
static void put_data_head(struct turn_server *s, uint8_t *at, const struct net_addr *peer,
                          uint16_t last_type, uint32_t len)
{
    const uint32_t addr_len = peer->family == NET_V4 ? XOR_ADDR_V4 : XOR_ADDR_V6;
    uint8_t tid[STUN_TID];
    struct stun_out out;

    s->fx.random_fill(s->fx.arg, tid, sizeof(tid));
    stun_out_begin(&out, at, STUN_HEADER + addr_len, stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, peer);
    be16_put(at + 2, (uint16_t)(addr_len + STUN_ATTR_HEAD + ((len + 3) & ~3U)));
    put_attr_head(at + STUN_HEADER + addr_len, last_type, (uint16_t)len);
}

/* Wrap a peer's datagram into a Data indication in place (RFC 8656 section 11.3). */
static enum drop wrap_data(struct turn_server *s, const struct turn_alloc *alloc, struct pkt *pkt)
{
    const uint32_t addr_len = pkt->remote.family == NET_V4 ? XOR_ADDR_V4 : XOR_ADDR_V6;
    const uint32_t head = STUN_HEADER + addr_len + STUN_ATTR_HEAD;
    const uint32_t len = pkt->len;
    const uint32_t padding = -len & 3;

    if (head + len + padding > message_max(&alloc->tuple, STREAM_STUN_MAX) ||
        !pkt_append_zeros(pkt, padding)) {
        return too_big(alloc);
    }
    put_data_head(s, pkt_prepend(pkt, head), &pkt->remote, STUN_DATA_ATTR, len);
    return DROP_COUNT;
}

/* Put a ChannelData head before a peer's datagram, and padding behind it on a stream (RFC 8656
 * section 12.5); Length does not count it. */
static enum drop wrap_channel(const struct turn_alloc *alloc, const struct turn_chan *chan,
                              struct pkt *pkt)
{
    const uint32_t len = pkt->len;
    const uint32_t padding = net_is_stream(alloc->tuple.protocol) ? -len & 3 : 0;

    if (CHANNEL_HEAD + len + padding > message_max(&alloc->tuple, STREAM_CHANNEL_MAX) ||
        (padding > 0 && !pkt_append_zeros(pkt, padding))) {
        return too_big(alloc);
    }
    channel_data_head(pkt_prepend(pkt, CHANNEL_HEAD), (uint16_t)chan->number.number, (uint16_t)len);
    return DROP_COUNT;
}

enum turn_verdict turn_server_peer_packet(struct turn_server *s, struct turn_relay *relay,
                                          struct pkt *pkt, uint64_t now_ms)
{
    struct turn_alloc *alloc = relay->alloc;
    const uint32_t payload = pkt->len;
    enum drop why = DROP_NO_ALLOCATION;

    if (relay->expires_ms <= now_ms) {
        goto drop;
    }
    /* The permission comes first: a bound channel does not replace an expired one. */
    why = DROP_NO_PERMISSION;
    if (turn_perm_again(&s->tables, alloc, &pkt->remote.ip, now_ms) == NULL) {
        goto drop;
    }
    const struct turn_chan *chan = turn_chan_with(&s->tables, alloc, &pkt->remote, now_ms);
    why = DROP_PEER_DENIED; /* a channel's transport address was judged when it was bound */
    if (chan == NULL &&
        gate_check_addr(turn_alloc_realm(s, alloc)->gate, &pkt->remote) != GATE_OPEN) {
        goto drop;
    }
    why = chan != NULL ? wrap_channel(alloc, chan, pkt) : wrap_data(s, alloc, pkt);
    if (why != DROP_COUNT) {
        goto drop;
    }
    why = over_limit(s, alloc, TO_CLIENT, pkt_size(pkt), now_ms);
    if (why != DROP_COUNT) {
        goto drop;
    }
    alloc->traffic.to_client_packets++;
    alloc->traffic.to_client_bytes += payload;
    turn_count(&s->count.to_client_packets, 1);
    turn_count(&s->count.to_client_bytes, payload);
    return send_to_client(s, alloc, pkt);

drop:
    return turn_drop(s, why);
}

/* RFC 8656 section 11.5: only these are told to the client. */
static bool icmp_relayed(uint8_t family, uint8_t type)
{
    return family == NET_V4 ? type == 3 || type == 11 : type >= 1 && type <= 3;
}

/* RFC 8656 section 18.13: the error data is the next hop's MTU, for "too big" errors only. */
static bool icmp_tells_mtu(uint8_t family, const struct turn_icmp *icmp)
{
    return family == NET_V4 ? icmp->type == 3 && icmp->code == 4
                            : icmp->type == 2 && icmp->code == 0;
}

enum turn_verdict turn_server_peer_icmp(struct turn_server *s, struct turn_relay *relay,
                                        const struct turn_icmp *icmp, struct pkt *pkt,
                                        uint64_t now_ms)
{
    struct turn_alloc *alloc = relay->alloc;
    const uint8_t family = icmp->peer.family;

    enum { ICMP_LEN = 8 };

    if (relay->expires_ms <= now_ms) {
        return turn_drop(s, DROP_NO_ALLOCATION);
    }
    if (!icmp_relayed(family, icmp->type)) {
        return turn_drop(s, DROP_ICMP_OTHER);
    }
    if (turn_client_away(alloc)) {
        return turn_drop(s, DROP_CLIENT_AWAY);
    }
    /* The datagram's destination needs the permission, not the router that complains. */
    if (turn_perm_find(&s->tables, alloc, &icmp->peer.ip, now_ms) == NULL) {
        return turn_drop(s, DROP_NO_PERMISSION);
    }
    const uint32_t addr_len = family == NET_V4 ? XOR_ADDR_V4 : XOR_ADDR_V6;
    uint8_t *at = pkt->buf + PKT_HEADROOM;

    pkt->data = at;
    pkt->len = STUN_HEADER + addr_len + STUN_ATTR_HEAD + ICMP_LEN;
    put_data_head(s, at, &icmp->peer, STUN_ICMP, ICMP_LEN);
    at += STUN_HEADER + addr_len + STUN_ATTR_HEAD;
    be16_put(at, 0);
    at[2] = icmp->type;
    at[3] = icmp->code;
    be32_put(at + 4, icmp_tells_mtu(family, icmp) ? icmp->mtu : 0);
    pkt->tos = 0;
    return send_to_client(s, alloc, pkt);
}
