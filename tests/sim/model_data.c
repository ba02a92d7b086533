/* SPDX-License-Identifier: Apache-2.0 */
/* Application data and ICMP: conformance sections 3.14 to 3.16. */
#include "model.h"
#include "peers.h"

enum { LEAST_DEPTH = 65536 };

static bool is_mapped(const struct net_addr *addr)
{
    return addr->family == NET_V6 && net_ip_is_v4(&addr->ip);
}

static bool send_reaches(struct model *m, const struct model_input *at, struct model_alloc *a)
{
    const struct intent *in = at->in;
    const struct intent_peer *peer = &in->peer[0];

    /* T-8656-11.2-01, -04, -06, -09, T-8489-6.3.2-01 */
    return in->peer_count > 0 && peer->addr.port != 0 && !in->unknown_attr &&
           !is_mapped(&peer->addr) && model_relay_alive(a, peer->addr.family, at->now_ms) &&
           model_perm(a, &peer->addr.ip, at->now_ms) != NULL &&
           peers_addr_open(peer->row, peer->addr.port, m->rules);
}

bool model_to_peer(struct model *m, const struct model_input *at, struct net_addr *out_peer,
                   struct model_alloc **out_alloc)
{
    const struct intent *in = at->in;
    struct model_alloc *a = model_find(m, at->from, at->to, at->now_ms);

    if (in->kind == INTENT_KEEPALIVE || a == NULL || !m->config->turn_enabled ||
        a->protocol != NET_UDP) {
        return false; /* T-8489-6.3.2-03, T-8656-5-09, T-6062-5.1-09 */
    }
    *out_alloc = a;
    if (in->kind == INTENT_SEND) {
        *out_peer = in->peer[0].addr;
        return send_reaches(m, at, a);
    }
    /* T-8656-12.6-01, -02, -03, -07: no permission is asked for on a live channel. */
    const struct model_chan *chan = model_chan_number(a, in->channel, at->now_ms);
    if (in->channel < 0x4000 || in->channel > (m->config->channels_5766 ? 0x7fff : 0x4fff) ||
        chan == NULL || in->short_length || !model_relay_alive(a, chan->peer.family, at->now_ms)) {
        return false;
    }
    *out_peer = chan->peer;
    return true;
}

bool model_peer_reachable(struct model *m, const struct net_addr *client,
                          const struct net_addr *server, const struct net_addr *peer,
                          uint64_t now_ms)
{
    struct model_alloc *a = model_find(m, client, server, now_ms);
    if (a == NULL || a->protocol != NET_UDP || !model_relay_alive(a, peer->family, now_ms)) {
        return false;
    }
    const struct model_chan *chan = model_chan_peer(a, peer, now_ms);
    const struct model_perm *perm = model_perm(a, &peer->ip, now_ms);

    return chan != NULL || (perm != NULL && peers_addr_open(perm->row, peer->port, m->rules));
}

bool model_to_client(struct model *m, struct model_alloc *a, int relay, const struct net_addr *peer,
                     uint64_t now_ms, uint16_t *out_channel)
{
    const struct model_chan *chan = model_chan_peer(a, peer, now_ms);
    const struct model_perm *perm = model_perm(a, &peer->ip, now_ms);

    *out_channel = chan != NULL ? chan->number : 0;
    /* T-8656-9-05, T-8656-11.3-05: the permission is asked for first, and a channel does not
     * replace it. */
    return !a->away && a->relay[relay].open && now_ms < a->relay[relay].expires_ms &&
           perm != NULL && (chan != NULL || peers_addr_open(perm->row, peer->port, m->rules));
}

bool model_icmp(struct model *m, struct model_alloc *a, int relay, const struct turn_icmp *icmp,
                uint64_t now_ms)
{
    const bool v4 = icmp->peer.family == NET_V4;
    /* T-8656-11.5-01 */
    const bool told = v4 ? icmp->type == 3 || icmp->type == 11 : icmp->type >= 1 && icmp->type <= 3;

    (void)m;
    return told && !a->away && a->relay[relay].open && now_ms < a->relay[relay].expires_ms &&
           model_perm(a, &icmp->peer.ip, now_ms) != NULL;
}

bool model_bandwidth_must(const struct model *m, const struct model_alloc *a, int direction,
                          uint64_t bytes)
{
    return m->config->main.max_bps == 0 ||
           a->bytes[direction] + a->refused[direction] + bytes <= LEAST_DEPTH;
}

bool model_bandwidth_may(const struct model *m, const struct model_alloc *a, int direction,
                         uint64_t bytes, uint64_t now_ms)
{
    const uint64_t rate = m->config->main.max_bps;
    const uint64_t depth = rate > LEAST_DEPTH ? rate : LEAST_DEPTH;
    const uint64_t allowed = depth + (now_ms - a->created_ms) * rate / 1000;

    return rate == 0 || a->bytes[direction] + bytes <= allowed;
}
