/* SPDX-License-Identifier: Apache-2.0 */
/* Hands each packet to a core; what comes out is judged by what the packet means. */
#include "referee.h"

#include <string.h>

#include "conns.h"
#include "message.h"

enum { DSCP_BITS = 0xfc, ECN_BITS = 0x03 };

struct tally referee_tally(const struct sim *sim, const struct turn_server *server)
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
    for (size_t i = 0; i < SIM_CORES; i++) {
        if (sim->site.core[i].server == server) {
            t.to_peer -= sim->site.below.told[i][TO_PEER];
            t.to_client -= sim->site.below.told[i][TO_CLIENT];
        }
    }
    return t;
}

void referee_check_tally(struct sim *sim, const struct tally *before, const struct tally *after,
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

void referee_load(struct sim *sim, const struct net_packet *packet, void *port)
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
        .transport = effects_socket_at(sim, &packet->to) == NULL
                         ? actor_transport(sim, &packet->from)
                         : NET_UDP,
        .tos = packet->tos,
    };
    sim->packets++;
    sim->ticket.known = false;
    sim->site.opened_count = 0;
    sim->site.new_token = 0;
    sim->site.redeemed = false;
    sim->site.lease_refused = false;
}

const char *referee_word(enum turn_verdict verdict)
{
    static const char *const words[] = {
        [TURN_DROP] = "dropped",
        [TURN_TO_CLIENT] = "to the client",
        [TURN_TO_PEER] = "to a peer",
        [TURN_WAIT] = "waits",
        [TURN_LATER] = "is answered later",
        [TURN_ELSEWHERE] = "is another core's",
    };

    return words[verdict];
}

void referee_note(struct sim *sim, enum turn_verdict verdict)
{
    trace_mix_number(&sim->trace, sim->now_ms << 3 | (uint64_t)verdict);
    if (verdict == TURN_TO_CLIENT || verdict == TURN_TO_PEER) {
        trace_mix(&sim->trace, &sim->pkt.remote, sizeof(sim->pkt.remote));
        trace_mix(&sim->trace, sim->pkt.data, sim->pkt.len);
    }
}

void referee_passed(struct sim *sim, struct model_alloc *a, int direction, uint64_t bytes)
{
    a->bytes[direction] += bytes;
    a->passed[direction]++;
    sim->model.passed[direction]++;
}

enum turn_verdict referee_submit(struct sim *sim, const struct model_input *at)
{
    struct turn_server *server = sim->site.core[at->core].server;
    const struct tally before = referee_tally(sim, server);

    turn_server_set_wall(server, at->wall_s);
    const enum turn_verdict verdict = turn_server_client_packet(server, &sim->pkt, at->now_ms);
    const struct tally after = referee_tally(sim, server);
    const struct tally expected = {
        .drops = verdict == TURN_DROP,
        .answers = verdict == TURN_TO_CLIENT,
        .to_peer = verdict == TURN_TO_PEER,
    };
    trace_say(&sim->trace, at->now_ms, "  core %u: %s%s of client port %u -> %s", at->core,
              at->in->mutated ? "mutated " : "", message_name(at->in->kind), at->from->port,
              referee_word(verdict));
    referee_check_tally(sim, &before, &after, &expected);
    referee_note(sim, verdict);
    return verdict;
}

void referee_send(struct sim *sim, const struct intent_nonce *nonce)
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
    if (nonce != NULL) {
        out->nonce = *nonce;
        out->ticket = sim->ticket;
    }
    memcpy(out->data, sim->pkt.data, sim->pkt.len);
    if (!net_send(&sim->net, out, sim->now_ms)) { /* too big: the router complains */
        out->icmp = (struct turn_icmp){out->to, out->to.family == NET_V4 ? 3 : 2,
                                       out->to.family == NET_V4 ? 4 : 0, sim->net.link.mtu};
        out->is_icmp = true;
        out->to = out->from;
        net_schedule(&sim->net, sim->now_ms + 1, NET_ARRIVE, out);
    }
}

uint8_t referee_tos(const struct turn_config *config, uint8_t tos)
{
    return (uint8_t)(tos &
                     ((config->copy_dscp ? DSCP_BITS : 0) | (config->copy_ecn ? ECN_BITS : 0)));
}

/* The core that got it does not have the session: it names the one that has. */
static void forward(struct sim *sim, struct model_input *at, const struct net_packet *packet,
                    uint8_t core)
{
    const enum turn_verdict verdict = referee_submit(sim, at);

    if (verdict != TURN_ELSEWHERE ||
        turn_server_elsewhere(sim->site.core[at->core].server) != core ||
        sim->pkt.len != packet->len || memcmp(sim->pkt.data, packet->data, packet->len) != 0) {
        sim_fail(sim, "a Refresh for core %u was not forwarded as it came", core);
    }
    sim->seen.forwarded++;
    at->core = core;
}

void referee_client_packet(struct sim *sim, struct net_packet *packet)
{
    const struct net_addr from = packet->from;
    const struct net_addr to = packet->to;
    const struct intent in = packet->intent;
    uint8_t elsewhere;
    struct model_input at = {
        .in = &in,
        .from = &from,
        .to = &to,
        .transport = actor_transport(sim, &from),
        .core = conns_core(sim, packet, site_core_for(sim, &from, &to)),
        .now_ms = sim->now_ms,
        .wall_s = sim_wall_s(sim),
    };

    referee_load(sim, packet, site_listener(sim, &to));
    if (!in.mutated && model_elsewhere(&sim->model, &at, &elsewhere)) {
        forward(sim, &at, packet, elsewhere);
    }
    switch (in.mutated ? INTENT_NOISE : in.kind) {
    case INTENT_NOISE:
        referee_noise(sim, &at, packet);
        break;
    case INTENT_KEEPALIVE:
    case INTENT_SEND:
    case INTENT_CHANNEL:
        referee_data(sim, &at, packet);
        break;
    case INTENT_BINDING:
    case INTENT_ALLOCATE:
    case INTENT_REFRESH:
    case INTENT_PERMIT:
    case INTENT_BIND:
    case INTENT_CONNECT:
    case INTENT_CONN_BIND:
    default:
        referee_request(sim, &at, packet);
        break;
    }
    const struct model_alloc *a = model_record(&sim->model, &from, &to);
    if (a != NULL) {
        audit_allocation(sim, a);
    }
}
