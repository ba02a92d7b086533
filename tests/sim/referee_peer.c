/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams from peers and ICMP errors on their way to a client. */
#include <string.h>

#include "referee.h"
#include "wire/channel_data.h"

/* Both ways to the client: his own 5-tuple, by the listener he came in on. */
static void check_way_to_client(struct sim *sim, const struct model_alloc *a)
{
    if (!net_addr_equal(&sim->pkt.remote, &a->client) ||
        !net_addr_equal(&sim->pkt.local, &a->server) ||
        sim->pkt.port != site_listener(sim, &a->server) || sim->pkt.df ||
        sim->pkt.transport != a->transport) {
        sim_fail(sim, "data for a client goes another way");
    }
}

static void check_to_client(struct sim *sim, const struct model_alloc *a,
                            const struct net_packet *packet, uint16_t channel)
{
    const bool stream = net_is_stream(a->transport); /* T-8656-16-01, T-8656-12.5-03 */
    struct bytes payload = {NULL, 0};
    uint16_t number = 0;

    check_way_to_client(sim, a);
    if (sim->pkt.tos != (stream ? 0 : referee_tos(sim->model.config, packet->tos))) {
        sim_fail(sim, "TOS %02x on the way to the client", sim->pkt.tos);
    }
    if (channel != 0) { /* T-8656-12.5-01 */
        const int err =
            channel_data_decode((struct bytes){sim->pkt.data, sim->pkt.len}, &number, &payload);
        const size_t padding = stream ? -payload.n & 3 : 0;
        sim->seen.padded += padding > 0;
        if (err < 0 || number != channel || sim->pkt.len != payload.n + CHANNEL_HEAD + padding) {
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
    struct turn_server *server = sim->site.core[socket->core].server;
    uint16_t channel = 0;
    int relay = 0;
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &relay);

    referee_load(sim, packet, socket);
    if (a == NULL) {
        sim_fail(sim, "relay socket %u without an allocation", socket->bound.port);
        net_put(&sim->net, packet);
        return;
    }
    const bool reaches =
        model_to_client(&sim->model, a, relay, &packet->from, sim->now_ms, &channel);
    const struct tally before = referee_tally(sim, server);
    const enum turn_verdict verdict =
        turn_server_peer_packet(server, socket->relay, &sim->pkt, sim->now_ms);
    const struct tally after = referee_tally(sim, server);
    const struct tally expected = {.drops = verdict == TURN_DROP,
                                   .to_client = verdict == TURN_TO_CLIENT};
    trace_say(&sim->trace, sim->now_ms, "  core %u: peer port %u to relay port %u -> %s",
              socket->core, packet->from.port, socket->bound.port, referee_word(verdict));
    referee_check_tally(sim, &before, &after, &expected);
    referee_note(sim, verdict);
    if (verdict == TURN_TO_CLIENT) {
        if (!reaches) {
            sim_fail(sim, "peer data reached a client without a permission");
        } else {
            check_to_client(sim, a, packet, channel);
        }
        if (!model_bandwidth_may(&sim->model, a, TO_CLIENT, sim->pkt.len, sim->now_ms)) {
            sim_fail(sim, "more than max-bps reached a client");
        }
        referee_passed(sim, a, TO_CLIENT, sim->pkt.len);
        sim->seen.peer_as_channel += channel != 0;
        sim->seen.peer_as_data += channel == 0;
        referee_send(sim, NULL);
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
    const struct turn_icmp icmp = packet->icmp;
    struct turn_server *server = sim->site.core[socket->core].server;
    int relay = 0;
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &relay);

    packet->len = 0;
    referee_load(sim, packet, socket);
    net_put(&sim->net, packet);
    if (a == NULL) {
        sim_fail(sim, "relay socket %u without an allocation", socket->bound.port);
        return;
    }
    const bool told = model_icmp(&sim->model, a, relay, &icmp, sim->now_ms);
    const struct tally before = referee_tally(sim, server);
    const enum turn_verdict verdict =
        turn_server_peer_icmp(server, socket->relay, &icmp, &sim->pkt, sim->now_ms);
    const struct tally after = referee_tally(sim, server);
    const struct tally expected = {.drops = verdict == TURN_DROP};
    trace_say(&sim->trace, sim->now_ms, "  core %u: ICMP %u/%u to relay port %u -> %s",
              socket->core, icmp.type, icmp.code, socket->bound.port, referee_word(verdict));
    referee_check_tally(sim, &before, &after, &expected);
    referee_note(sim, verdict);
    if (verdict != (told ? TURN_TO_CLIENT : TURN_DROP)) {
        sim_fail(sim, "ICMP error: verdict %d, told %d", (int)verdict, told);
    }
    sim->seen.icmp_dropped += verdict == TURN_DROP;
    if (verdict == TURN_TO_CLIENT) {
        check_icmp(sim, a, &icmp);
        sim->seen.icmp_told++;
        referee_send(sim, NULL);
    }
}
