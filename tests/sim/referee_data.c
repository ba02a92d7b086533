/* SPDX-License-Identifier: Apache-2.0 */
/* Data from clients, and bytes from them that mean nothing. */
#include <errno.h>
#include <string.h>

#include "referee.h"

/* What goes to a peer leaves from the relay of its family, with exactly the client's bytes. */
static void check_to_peer(struct sim *sim, const struct model_input *at,
                          const struct net_addr *peer, const struct model_alloc *a, uint8_t tos)
{
    const struct intent *in = at->in;
    const struct model_relay *relay = &a->relay[peer->family - NET_V4];
    const struct sim_socket *socket = sim->pkt.port;
    uint8_t payload[NET_PACKET_MAX];
    const bool stream = net_is_stream(at->transport); /* T-8656-15-01 to -03 */
    const bool df = in->kind == INTENT_SEND && in->dont_fragment &&
                    (stream || (at->from->family == NET_V4 && peer->family == NET_V4));

    actor_payload(in->payload_seed, payload, in->payload_len);
    if (!net_addr_equal(&sim->pkt.remote, peer) ||
        !net_addr_equal(&sim->pkt.local, &relay->bound) ||
        socket != effects_socket_at(sim, &relay->bound) || sim->pkt.transport != NET_UDP) {
        sim_fail(sim, "data for a peer goes another way");
    }
    if (sim->pkt.len != in->payload_len ||
        (in->payload_len > 0 && memcmp(sim->pkt.data, payload, in->payload_len) != 0)) {
        sim_fail(sim, "the payload changed on its way to the peer");
    }
    if (sim->pkt.df != df ||
        sim->pkt.tos != referee_tos(sim->model.config, stream ? tos & 0xfc : tos)) {
        sim_fail(sim, "DF %d or TOS %02x wrong", sim->pkt.df, sim->pkt.tos);
    }
}

static void note_relayed(struct sim *sim, enum intent_kind kind, const struct net_addr *peer)
{
    sim->seen.send_relayed += kind == INTENT_SEND;
    sim->seen.channel_relayed += kind == INTENT_CHANNEL;
    sim->seen.between_relays += peers_row_of(peer) >= peers_own(NET_V4);
}

void referee_data(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    struct model_alloc *a = NULL;
    struct net_addr peer;
    model_hear(&sim->model, at);
    const bool reaches = model_to_peer(&sim->model, at, &peer, &a);
    const enum turn_verdict verdict = referee_submit(sim, at);

    if (verdict == TURN_TO_PEER) {
        if (!reaches) {
            sim_fail(sim, "data reached a peer that it must not reach");
        } else {
            check_to_peer(sim, at, &peer, a, packet->tos);
            if (!model_bandwidth_may(&sim->model, a, TO_PEER, packet->len, at->now_ms)) {
                sim_fail(sim, "more than max-bps reached a peer");
            }
            referee_passed(sim, a, TO_PEER, packet->len);
        }
        note_relayed(sim, at->in->kind, &peer);
        referee_send(sim, NULL);
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
void referee_noise(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    const uint32_t events = sim->site.events;
    struct model_input there = *at;
    sim->site.noise = true;
    enum turn_verdict verdict = referee_submit(sim, at);
    if (verdict == TURN_ELSEWHERE) {
        there.core = (uint8_t)turn_server_elsewhere(sim->site.core[at->core].server);
        at = &there;
        verdict = referee_submit(sim, at);
    }
    sim->site.noise = false;

    if (verdict == TURN_TO_PEER) {
        struct model_alloc *a = model_find(&sim->model, at->from, at->to, at->now_ms);
        if (!model_peer_reachable(&sim->model, at->from, at->to, &sim->pkt.remote, at->now_ms)) {
            sim_fail(sim, "noise reached a peer that it must not reach");
        } else {
            referee_passed(sim, a, TO_PEER, packet->len);
        }
        sim->seen.noise_relayed++;
        referee_send(sim, NULL);
    } else if (verdict == TURN_TO_CLIENT) {
        const struct reply r = client_read(&sim->reader, verdict, sim->pkt.data, sim->pkt.len);
        const bool classic = r.msg.tid == NULL; /* another cookie: T-8489-11-01 */
        if (classic && at->transport != NET_DTLS) {
            sim_fail(sim, "classic STUN was answered");
        }
        if (classic || (r.msg.class == STUN_ERROR && !r.has_mi && !r.has_mi256)) {
            model_charge(&sim->model, at->core, at->transport, at->from, at->now_ms);
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
