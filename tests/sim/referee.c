/* SPDX-License-Identifier: Apache-2.0 */
/* Hands each packet to a core and compares what comes out with what the model says must. */
#include <errno.h>
#include <string.h>

#include "sim.h"
#include "wire/channel_data.h"
#include "wire/stun_code.h"

enum {
    STRANGER_MAX = 548, /* the largest answer to one who has not proven who he is: T-8489-6.1-01 */
    ANSWER_MAX = 1232,
    TO_PEER = 0,
    TO_CLIENT = 1,
    DSCP_BITS = 0xfc,
    ECN_BITS = 0x03,
};

/* --- the counters -------------------------------------------------------------------------------
 */

/* What the counters of a core say in all: every packet counts once, whatever becomes of it. */
struct tally {
    uint64_t drops;
    uint64_t answers;
    uint64_t to_peer;
    uint64_t to_client;
};

static struct tally tally_of(const struct turn_server *server)
{
    const struct turn_counters *c = turn_server_counters(server);
    struct tally t = {0, 0, c->to_peer_packets, c->to_client_packets};

    for (size_t i = 0; i < ARRAY_SIZE(c->drops); i++) {
        t.drops += c->drops[i];
    }
    for (size_t i = 0; i < ARRAY_SIZE(c->successes); i++) {
        t.answers += c->successes[i];
    }
    for (size_t i = 0; i < ARRAY_SIZE(c->refused_300_to_599); i++) {
        t.answers += c->refused_300_to_599[i];
    }
    return t;
}

static void check_tally(struct sim *sim, const struct tally *before, const struct tally *after,
                        const struct tally *expected)
{
    if (after->drops - before->drops != expected->drops ||
        after->answers - before->answers != expected->answers ||
        after->to_peer - before->to_peer != expected->to_peer ||
        after->to_client - before->to_client != expected->to_client) {
        sim_fail(sim, "counters: drops %+lld, answers %+lld, to peers %+lld, to clients %+lld",
                 (long long)(after->drops - before->drops),
                 (long long)(after->answers - before->answers),
                 (long long)(after->to_peer - before->to_peer),
                 (long long)(after->to_client - before->to_client));
    }
}

/* --- handing over -------------------------------------------------------------------------------
 */

static void load(struct sim *sim, const struct net_packet *packet, void *port)
{
    memset(sim->buf, 0x5a, PKT_HEADROOM);
    if (packet->len > 0) {
        memcpy(sim->buf + PKT_HEADROOM, packet->data, packet->len);
    }
    sim->pkt = (struct pkt){
        .data = sim->buf + PKT_HEADROOM,
        .len = packet->len,
        .cap = NET_PACKET_MAX,
        .buf = sim->buf,
        .remote = packet->from,
        .local = packet->to,
        .port = port,
        .tos = packet->tos,
    };
    sim->packets++;
    sim->site.opened_count = 0;
    sim->site.new_token = 0;
    sim->site.redeemed = false;
    sim->site.lease_refused = false;
}

static void note_output(struct sim *sim, enum turn_verdict verdict)
{
    trace_mix_number(&sim->trace, sim->now_ms << 2 | (uint64_t)verdict);
    if (verdict == TURN_TO_CLIENT || verdict == TURN_TO_PEER) {
        trace_mix(&sim->trace, &sim->pkt.remote, sizeof(sim->pkt.remote));
        trace_mix(&sim->trace, sim->pkt.data, sim->pkt.len);
    }
}

/* Give the loaded packet to the client side of a core. */
static enum turn_verdict submit(struct sim *sim, const struct model_input *at)
{
    struct turn_server *server = sim->site.core[at->core].server;
    const struct tally before = tally_of(server);

    turn_server_set_wall(server, at->wall_s);
    const enum turn_verdict verdict = turn_server_client_packet(server, &sim->pkt, at->now_ms);
    const struct tally after = tally_of(server);
    const struct tally expected = {
        .drops = verdict == TURN_DROP,
        .answers = verdict == TURN_TO_CLIENT,
        .to_peer = verdict == TURN_TO_PEER,
    };
    trace_say(&sim->trace, at->now_ms, "  core %u: %s%d of client port %u -> verdict %d", at->core,
              at->in->mutated ? "mutated " : "", (int)at->in->kind, at->from->port, (int)verdict);
    check_tally(sim, &before, &after, &expected);
    note_output(sim, verdict);
    return verdict;
}

/* Put what a core gave out on the network. */
static void send_out(struct sim *sim, const struct intent_nonce *nonce)
{
    struct net_packet *out = net_take(&sim->net);

    if (out == NULL || sim->pkt.len > NET_PACKET_MAX) {
        if (out != NULL) {
            net_put(&sim->net, out);
        }
        return;
    }
    out->from = sim->pkt.local;
    out->to = sim->pkt.remote;
    out->df = sim->pkt.df;
    out->tos = sim->pkt.tos;
    out->len = (uint16_t)sim->pkt.len;
    out->nonce = *nonce;
    memcpy(out->data, sim->pkt.data, sim->pkt.len);
    if (!net_send(&sim->net, out, sim->now_ms)) { /* too big: the router complains */
        out->icmp = (struct turn_icmp){out->to, out->to.family == NET_V4 ? 3 : 2,
                                       out->to.family == NET_V4 ? 4 : 0, sim->net.link.mtu};
        out->is_icmp = true;
        out->to = out->from;
        net_schedule(&sim->net, sim->now_ms + 1, NET_ARRIVE, out);
    }
}

/* --- requests -----------------------------------------------------------------------------------
 */

/* The relays that came out of an Allocate are the ones asked for, new, and even when even ones
 * were. */
static void check_relays(struct sim *sim, const struct expect *e, const struct reply *r)
{
    for (uint32_t i = 0; i < r->relayed_count; i++) {
        const struct net_addr *at = &r->relayed[i];
        const struct net_addr own = peers_addr(peers_own(at->family), at->port);
        int index;
        if (!net_addr_equal(at, &own) || i >= sim->site.opened_count ||
            !net_addr_equal(at, &sim->site.opened[i]) || at->port < sim->model.port_min ||
            at->port > sim->model.port_max ||
            (e->even != EVEN_NO && !e->redeem && at->port % 2 != 0) ||
            (at->family != e->family[0] && at->family != e->family[1])) {
            sim_fail(sim, "relayed address %u is not what was asked for", at->port);
        }
        if (model_of_relay(&sim->model, at, &index) != NULL) {
            sim_fail(sim, "relay port %u belongs to another allocation", at->port);
        }
    }
}

static void commit_allocate(struct sim *sim, const struct model_input *at, const struct expect *e,
                            const struct reply *r)
{
    const uint32_t wanted =
        (e->family[0] != NET_NONE ? 1U : 0U) + (e->family[1] != NET_NONE ? 1U : 0U);

    check_relays(sim, e, r);
    struct model_alloc *a = model_new(&sim->model);
    if (a == NULL || r->relayed_count == 0 ||
        (r->relayed_count != wanted && !sim->options.faults)) {
        sim_fail(sim, "an allocation with %u relays instead of %u", r->relayed_count, wanted);
        return;
    }
    a->used = true;
    a->client = *at->from;
    a->server = *at->to;
    a->core = at->core;
    a->user = e->integrity == MODEL_UNSIGNED ? MODEL_ANONYMOUS : at->in->user;
    a->created_ms = at->now_ms;
    memcpy(a->tid, at->in->tid, STUN_TID);
    a->token = sim->site.new_token;
    for (uint32_t i = 0; i < r->relayed_count; i++) {
        a->relay[r->relayed[i].family - NET_V4] =
            (struct model_relay){true, r->relayed[i], at->now_ms + (uint64_t)e->lifetime_s * 1000};
    }
}

/* RFC 8656 section 7.2: the same relays and token, the time that is left. */
static void check_repeat(struct sim *sim, const struct expect *e, const struct reply *r)
{
    const struct model_alloc *a = e->alloc;
    uint64_t left_ms = 0;
    uint32_t n = 0;

    for (uint8_t family = NET_V4; family <= NET_V6; family++) {
        const struct model_relay *relay = &a->relay[family - NET_V4];
        if (!model_relay_alive(a, family, sim->now_ms)) {
            continue;
        }
        if (n >= r->relayed_count || !net_addr_equal(&r->relayed[n], &relay->bound)) {
            sim_fail(sim, "a repeated Allocate got another relay");
        }
        n++;
        left_ms =
            relay->expires_ms - sim->now_ms > left_ms ? relay->expires_ms - sim->now_ms : left_ms;
    }
    if (n != r->relayed_count || r->lifetime_s != left_ms / 1000 || r->token != a->token ||
        sim->site.opened_count != 0) {
        sim_fail(sim, "a repeated Allocate got %u relays, %u s, another token or new ports",
                 r->relayed_count, r->lifetime_s);
    }
}

static void commit_refresh(struct sim *sim, const struct model_input *at, const struct expect *e,
                           const struct reply *r)
{
    struct model_alloc *a = e->alloc;
    const uint8_t family = at->in->requested_family;

    if (r->lifetime_s != e->lifetime_s) {
        sim_fail(sim, "refreshed for %u s instead of %u s", r->lifetime_s, e->lifetime_s);
    }
    if (e->lifetime_s == 0) {
        if (a->used != e->survives || (a->used && a->relay[family - NET_V4].open)) {
            sim_fail(sim, "after a deletion the allocation is %s", a->used ? "there" : "gone");
        }
        return;
    }
    for (uint8_t f = NET_V4; f <= NET_V6; f++) {
        if (model_relay_alive(a, f, at->now_ms) && (family == NET_NONE || family == f)) {
            a->relay[f - NET_V4].expires_ms = at->now_ms + (uint64_t)e->lifetime_s * 1000;
        }
    }
}

static void commit(struct sim *sim, const struct model_input *at, const struct expect *e,
                   const struct reply *r)
{
    const struct intent *in = at->in;
    const struct turn_config *config = sim->model.config;
    const uint64_t permitted_ms = at->now_ms + (uint64_t)config->permission_s * 1000;

    switch ((int)in->kind) {
    case INTENT_ALLOCATE:
        if (e->retransmission) {
            sim->seen.repeated++;
            check_repeat(sim, e, r);
        } else {
            sim->seen.redeemed += e->redeem;
            sim->seen.dual += r->relayed_count == 2;
            commit_allocate(sim, at, e, r);
        }
        break;
    case INTENT_REFRESH:
        commit_refresh(sim, at, e, r);
        break;
    case INTENT_PERMIT:
        for (uint32_t i = 0; i < in->peer_count; i++) {
            model_permit(e->alloc, &in->peer[i], permitted_ms, at->now_ms);
        }
        break;
    case INTENT_BIND:
        model_bind(e->alloc, in, at->now_ms + (uint64_t)config->channel_s * 1000, at->now_ms);
        model_permit(e->alloc, &in->peer[0], permitted_ms, at->now_ms);
        break;
    default:
        break;
    }
}

/* A response came out: is it one of the right ones, sent to the right place? */
static void judge_answer(struct sim *sim, const struct model_input *at, const struct expect *e,
                         const struct net_packet *packet)
{
    const struct intent *in = at->in;
    struct client *reader = &sim->reader;
    struct intent_nonce nonce = {.known = false};
    const bool unsigned_ = e->integrity == MODEL_UNSIGNED;

    reader->auth = in->auth;
    reader->user = site_user_name(in->user);
    reader->password = site_user_password(in->user);
    const struct reply r = client_read(reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);
    const bool refused = r.msg.class == STUN_ERROR;
    const int code = refused ? r.code : 0;

    if (!expect_has(e, code) &&
        !(sim->options.faults && !unsigned_ && code == STUN_INSUFFICIENT_CAPACITY)) {
        sim_fail(sim, "answered %d, the model says %d (or %u others)", code,
                 e->code_count > 0 ? e->code[0] : -1, e->code_count > 0 ? e->code_count - 1 : 0);
        return;
    }
    if (!net_addr_equal(&sim->pkt.remote, &packet->from) ||
        !net_addr_equal(&sim->pkt.local, &packet->to) ||
        sim->pkt.port != site_listener(sim, &packet->to) || sim->pkt.tos != 0 || sim->pkt.df) {
        sim_fail(sim, "the answer leaves on another way than the request came");
    }
    reply_check(sim, in, e, &r, sim->pkt.len);
    if (sim->pkt.len > (unsigned_ && refused ? STRANGER_MAX : ANSWER_MAX)) {
        sim_fail(sim, "an answer of %u bytes", sim->pkt.len);
    }
    if (unsigned_ && refused) {
        model_charge(&sim->model, at->core, at->from, at->now_ms);
    }
    sim->seen.answer[in->kind][code]++;
    if (!refused) {
        commit(sim, at, e, &r);
    }
    if (r.nonce.n > 0) {
        nonce = (struct intent_nonce){
            .known = true,
            .generation = sim->model.nonce_generation,
            .issued_s = at->wall_s,
            .issued_to = *at->from,
            .offered = sim->model.config->algorithms,
        };
    }
    send_out(sim, &nonce);
}

static void keep_waiting(struct sim *sim, struct net_packet *packet)
{
    sim->seen.waited++;
    if (sim->pkt.len != packet->len || memcmp(sim->pkt.data, packet->data, packet->len) != 0) {
        sim_fail(sim, "a packet that waits was changed");
    }
    if (sim->site.waiting_count < SIM_WAITING) {
        sim->site.waiting[sim->site.waiting_count++] = packet;
        return;
    }
    net_put(&sim->net, packet);
}

static void request(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    struct expect e;

    model_request(&sim->model, at, &e);
    sim->site.deleting = at->in->kind == INTENT_REFRESH && expect_has(&e, 0) && e.lifetime_s == 0;
    const enum turn_verdict verdict = submit(sim, at);
    sim->site.deleting = false;
    if (verdict == TURN_TO_CLIENT) {
        judge_answer(sim, at, &e, packet);
    } else if (!(verdict == TURN_DROP && e.drop) && !(verdict == TURN_WAIT && e.wait)) {
        sim_fail(sim, "request %d: verdict %d, the model says %d", (int)at->in->kind, (int)verdict,
                 e.code_count > 0 ? e.code[0] : -1);
    }
    if (verdict == TURN_WAIT) {
        keep_waiting(sim, packet);
        return;
    }
    net_put(&sim->net, packet);
}

/* --- data towards peers -------------------------------------------------------------------------
 */

static uint8_t tos_right(const struct turn_config *config, uint8_t tos)
{
    return (uint8_t)(tos &
                     ((config->copy_dscp ? DSCP_BITS : 0) | (config->copy_ecn ? ECN_BITS : 0)));
}

/* What goes to a peer leaves from the relay of its family, with exactly the client's bytes. */
static void check_to_peer(struct sim *sim, const struct model_input *at,
                          const struct net_addr *peer, const struct model_alloc *a, uint8_t tos)
{
    const struct intent *in = at->in;
    const struct model_relay *relay = &a->relay[peer->family - NET_V4];
    const struct sim_socket *socket = sim->pkt.port;
    uint8_t payload[NET_PACKET_MAX];
    const bool df = in->kind == INTENT_SEND && in->dont_fragment && at->from->family == NET_V4 &&
                    peer->family == NET_V4;

    actor_payload(in->payload_seed, payload, in->payload_len);
    if (!net_addr_equal(&sim->pkt.remote, peer) ||
        !net_addr_equal(&sim->pkt.local, &relay->bound) ||
        socket != site_socket_at(sim, &relay->bound)) {
        sim_fail(sim, "data for a peer goes another way");
    }
    if (sim->pkt.len != in->payload_len ||
        (in->payload_len > 0 && memcmp(sim->pkt.data, payload, in->payload_len) != 0)) {
        sim_fail(sim, "the payload changed on its way to the peer");
    }
    if (sim->pkt.df != df || sim->pkt.tos != tos_right(sim->model.config, tos)) {
        sim_fail(sim, "DF %d or TOS %02x wrong", sim->pkt.df, sim->pkt.tos);
    }
}

static void note_relayed(struct sim *sim, enum intent_kind kind, const struct net_addr *peer)
{
    sim->seen.send_relayed += kind == INTENT_SEND;
    sim->seen.channel_relayed += kind == INTENT_CHANNEL;
    sim->seen.between_relays += peers_row_of(peer) >= peers_own(NET_V4);
}

static void data(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    const struct intent_nonce none = {.known = false};
    struct model_alloc *a = NULL;
    struct net_addr peer;
    const bool reaches = model_to_peer(&sim->model, at, &peer, &a);
    const enum turn_verdict verdict = submit(sim, at);

    if (verdict == TURN_TO_PEER) {
        if (!reaches) {
            sim_fail(sim, "data reached a peer that it must not reach");
        } else {
            check_to_peer(sim, at, &peer, a, packet->tos);
            if (!model_bandwidth_may(&sim->model, a, TO_PEER, packet->len, at->now_ms)) {
                sim_fail(sim, "more than max-bps reached a peer");
            }
            a->bytes[TO_PEER] += packet->len;
        }
        note_relayed(sim, at->in->kind, &peer);
        send_out(sim, &none);
    } else if (verdict != TURN_DROP ||
               (reaches && !sim->site.lease_refused &&
                model_bandwidth_must(&sim->model, a, TO_PEER, packet->len))) {
        sim_fail(sim, "data: verdict %d, but it must reach the peer", (int)verdict);
    } else {
        if (reaches) {
            sim->seen.limited++;
            a->refused[TO_PEER] += packet->len;
        }
        sim->seen.send_dropped += at->in->kind == INTENT_SEND;
        sim->seen.channel_dropped += at->in->kind == INTENT_CHANNEL;
    }
    net_put(&sim->net, packet);
}

/* Bytes without a known meaning: nothing may change, and nothing may go where nothing may go. */
static void noise(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    const struct intent_nonce none = {.known = false};
    const uint32_t events = sim->site.events;
    const enum turn_verdict verdict = submit(sim, at);

    if (verdict == TURN_TO_PEER) {
        struct model_alloc *a = model_find(&sim->model, at->from, at->to, at->now_ms);
        if (!model_peer_reachable(&sim->model, at->from, at->to, &sim->pkt.remote, at->now_ms)) {
            sim_fail(sim, "noise reached a peer that it must not reach");
        } else {
            a->bytes[TO_PEER] += packet->len;
        }
        sim->seen.noise_relayed++;
        send_out(sim, &none);
    } else if (verdict == TURN_TO_CLIENT) {
        const struct reply r = client_read(&sim->reader, verdict, sim->pkt.data, sim->pkt.len);
        if (r.msg.class == STUN_ERROR && !r.has_mi && !r.has_mi256) {
            model_charge(&sim->model, at->core, at->from, at->now_ms);
        }
        if (r.msg.class == STUN_SUCCESS && r.msg.method != STUN_BINDING) {
            sim_fail(sim, "noise was answered with a success");
        }
    } else if (verdict == TURN_WAIT && sim->model.key_answer != -EAGAIN) {
        sim_fail(sim, "noise waits for nothing");
    } else {
        struct model_alloc *a = model_find(&sim->model, at->from, at->to, at->now_ms);
        if (a != NULL) { /* it may have been data, over a limit */
            a->refused[TO_PEER] += packet->len;
        }
    }
    if (sim->site.opened_count > 0 || (sim->site.events != events && !sim->site.late_ticks)) {
        sim_fail(sim, "noise changed something");
    }
    net_put(&sim->net, packet);
}

void referee_client_packet(struct sim *sim, struct net_packet *packet)
{
    const struct net_addr from = packet->from;
    const struct net_addr to = packet->to;
    const struct intent in = packet->intent;
    const struct model_input at = {
        .in = &in,
        .from = &from,
        .to = &to,
        .core = site_core_for(sim, &from, &to),
        .now_ms = sim->now_ms,
        .wall_s = sim_wall_s(sim),
    };

    load(sim, packet, site_listener(sim, &to));
    switch (in.mutated ? INTENT_NOISE : in.kind) {
    case INTENT_NOISE:
        noise(sim, &at, packet);
        break;
    case INTENT_KEEPALIVE:
    case INTENT_SEND:
    case INTENT_CHANNEL:
        data(sim, &at, packet);
        break;
    case INTENT_BINDING:
    case INTENT_ALLOCATE:
    case INTENT_REFRESH:
    case INTENT_PERMIT:
    case INTENT_BIND:
    default:
        request(sim, &at, packet);
        break;
    }
    const struct model_alloc *a = model_record(&sim->model, &from, &to);
    if (a != NULL) {
        audit_allocation(sim, a);
    }
}

/* --- from peers ---------------------------------------------------------------------------------
 */

/* Both ways to the client: his own 5-tuple, by the listener he came in on. */
static void check_way_to_client(struct sim *sim, const struct model_alloc *a)
{
    if (!net_addr_equal(&sim->pkt.remote, &a->client) ||
        !net_addr_equal(&sim->pkt.local, &a->server) ||
        sim->pkt.port != site_listener(sim, &a->server) || sim->pkt.df) {
        sim_fail(sim, "data for a client goes another way");
    }
}

static void check_to_client(struct sim *sim, const struct model_alloc *a,
                            const struct net_packet *packet, uint16_t channel)
{
    struct bytes payload = {NULL, 0};
    uint16_t number = 0;

    check_way_to_client(sim, a);
    if (sim->pkt.tos != tos_right(sim->model.config, packet->tos)) {
        sim_fail(sim, "TOS %02x on the way to the client", sim->pkt.tos);
    }
    if (channel != 0) { /* T-8656-12.5-01 */
        const int err =
            channel_data_decode((struct bytes){sim->pkt.data, sim->pkt.len}, &number, &payload);
        if (err < 0 || number != channel || sim->pkt.len != payload.n + CHANNEL_HEAD) {
            sim_fail(sim, "channel %04x, not %04x, on the way to the client", number, channel);
        }
    } else { /* T-8656-11.3-02 */
        const struct reply r =
            client_read(&sim->reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);
        if (r.msg.method != STUN_DATA || r.msg.class != STUN_INDICATION || !r.has_data ||
            r.attr_count != 2 || !net_addr_equal(&r.peer, &packet->from)) {
            sim_fail(sim, "not a right Data indication");
        }
        payload = r.data;
    }
    if (!bytes_equal(payload, (struct bytes){packet->data, packet->len})) {
        sim_fail(sim, "the payload changed on its way to the client");
    }
}

void referee_peer_packet(struct sim *sim, struct sim_socket *socket, struct net_packet *packet)
{
    const struct intent_nonce none = {.known = false};
    struct turn_server *server = sim->site.core[socket->core].server;
    uint16_t channel = 0;
    int relay = 0;
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &relay);

    load(sim, packet, socket);
    if (a == NULL) {
        sim_fail(sim, "relay socket %u without an allocation", socket->bound.port);
        net_put(&sim->net, packet);
        return;
    }
    const bool reaches =
        model_to_client(&sim->model, a, relay, &packet->from, sim->now_ms, &channel);
    const struct tally before = tally_of(server);
    const enum turn_verdict verdict =
        turn_server_peer_packet(server, socket->relay, &sim->pkt, sim->now_ms);
    const struct tally after = tally_of(server);
    const struct tally expected = {.drops = verdict == TURN_DROP,
                                   .to_client = verdict == TURN_TO_CLIENT};
    trace_say(&sim->trace, sim->now_ms, "  core %u: peer port %u to relay port %u -> verdict %d",
              socket->core, packet->from.port, socket->bound.port, (int)verdict);
    check_tally(sim, &before, &after, &expected);
    note_output(sim, verdict);
    if (verdict == TURN_TO_CLIENT) {
        if (!reaches) {
            sim_fail(sim, "peer data reached a client without a permission");
        } else {
            check_to_client(sim, a, packet, channel);
        }
        if (!model_bandwidth_may(&sim->model, a, TO_CLIENT, sim->pkt.len, sim->now_ms)) {
            sim_fail(sim, "more than max-bps reached a client");
        }
        a->bytes[TO_CLIENT] += sim->pkt.len;
        sim->seen.peer_as_channel += channel != 0;
        sim->seen.peer_as_data += channel == 0;
        send_out(sim, &none);
    } else if (verdict != TURN_DROP ||
               (reaches && !sim->site.lease_refused &&
                model_bandwidth_must(&sim->model, a, TO_CLIENT, packet->len + PKT_HEADROOM))) {
        sim_fail(sim, "peer data: verdict %d, but it must reach the client", (int)verdict);
    } else {
        if (reaches) {
            sim->seen.limited++;
            a->refused[TO_CLIENT] += packet->len + PKT_HEADROOM;
        }
        sim->seen.peer_dropped++;
    }
    net_put(&sim->net, packet);
    audit_allocation(sim, a);
}

static void check_icmp(struct sim *sim, const struct model_alloc *a, const struct turn_icmp *icmp)
{
    const bool v4 = icmp->peer.family == NET_V4;
    const bool too_big =
        v4 ? icmp->type == 3 && icmp->code == 4 : icmp->type == 2 && icmp->code == 0;
    const struct reply r = client_read(&sim->reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);

    check_way_to_client(sim, a);
    /* T-8656-11.5-05 to -07, T-8656-18.13-01, -02: also when a channel is bound */
    if (r.msg.method != STUN_DATA || r.msg.class != STUN_INDICATION || r.has_data ||
        r.attr_count != 2 || !net_addr_equal(&r.peer, &icmp->peer) || r.icmp.n != 8 ||
        be16(r.icmp.p) != 0 || r.icmp.p[2] != icmp->type || r.icmp.p[3] != icmp->code ||
        be32(r.icmp.p + 4) != (too_big ? icmp->mtu : 0)) {
        sim_fail(sim, "not a right indication of an ICMP error");
    }
}

void referee_icmp(struct sim *sim, struct sim_socket *socket, struct net_packet *packet)
{
    const struct intent_nonce none = {.known = false};
    const struct turn_icmp icmp = packet->icmp;
    struct turn_server *server = sim->site.core[socket->core].server;
    int relay = 0;
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &relay);

    packet->len = 0;
    load(sim, packet, socket);
    net_put(&sim->net, packet);
    if (a == NULL) {
        sim_fail(sim, "relay socket %u without an allocation", socket->bound.port);
        return;
    }
    const bool told = model_icmp(&sim->model, a, relay, &icmp, sim->now_ms);
    const struct tally before = tally_of(server);
    const enum turn_verdict verdict =
        turn_server_peer_icmp(server, socket->relay, &icmp, &sim->pkt, sim->now_ms);
    const struct tally after = tally_of(server);
    const struct tally expected = {.drops = verdict == TURN_DROP};
    trace_say(&sim->trace, sim->now_ms, "  core %u: ICMP %u/%u to relay port %u -> verdict %d",
              socket->core, icmp.type, icmp.code, socket->bound.port, (int)verdict);
    check_tally(sim, &before, &after, &expected);
    note_output(sim, verdict);
    if (verdict != (told ? TURN_TO_CLIENT : TURN_DROP)) {
        sim_fail(sim, "ICMP error: verdict %d, told %d", (int)verdict, told);
    }
    sim->seen.icmp_dropped += verdict == TURN_DROP;
    if (verdict == TURN_TO_CLIENT) {
        check_icmp(sim, a, &icmp);
        sim->seen.icmp_told++;
        send_out(sim, &none);
    }
}
