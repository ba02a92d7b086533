/* SPDX-License-Identifier: Apache-2.0 */
/* CreatePermission (RFC 8656 section 10.2) and ChannelBind (section 12.2): the two requests that
 * say whom an allocation may reach.  Syntax (400) before family (443) before policy (403) before
 * capacity (508); a request that fails changes nothing. */

#include "turn/turn_int.h"
#include "wire/channel_data.h"

enum stun_code turn_judge_peer(struct turn_call *call, const struct net_addr *peer, bool with_port)
{
    const struct gate *gate = call->realm->gate;

    if (turn_alloc_relay(call->alloc, peer->family) == NULL) {
        return STUN_PEER_FAMILY_MISMATCH;
    }
    /* An IPv4 address dressed as IPv6 (::ffff:a.b.c.d) names no host that an IPv6 relay could
     * reach: its only use is to slip past rules. */
    if (peer->family == NET_V6 && net_ip_is_v4(&peer->ip)) {
        call->gate = GATE_SPECIAL;
    } else {
        call->gate = with_port ? gate_check_addr(gate, peer) : gate_check_ip(gate, &peer->ip);
    }
    return call->gate == GATE_OPEN ? STUN_OK : STUN_FORBIDDEN;
}

/* Judge every XOR-PEER-ADDRESS: of several faults the one that comes first in the order above. */
static enum stun_code judge_peers(struct turn_call *call)
{
    struct bytes rest = call->req->peers;
    enum stun_code worst = STUN_OK;
    struct net_addr peer;
    int step;

    while ((step = turn_req_next_peer(call->req, &rest, &peer)) > 0) {
        const enum stun_code code = turn_judge_peer(call, &peer, false);
        if (code == STUN_PEER_FAMILY_MISMATCH || (code != STUN_OK && worst == STUN_OK)) {
            worst = code;
        }
    }
    return step < 0 ? STUN_BAD_REQUEST : worst;
}

enum stun_code turn_on_create_permission(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct turn_config *config = s->config;
    struct net_addr peer;

    if ((call->req->has & HAS_XOR_PEER_ADDRESS) == 0) {
        return STUN_BAD_REQUEST;
    }
    const enum stun_code code = judge_peers(call);
    if (code != STUN_OK) {
        return code;
    }
    turn_perm_sweep(&s->tables, call->alloc, call->now_ms);

    /* First every entry, then every deadline: nothing comes alive unless all can. */
    struct bytes rest = call->req->peers;
    while (turn_req_next_peer(call->req, &rest, &peer) > 0) {
        if (turn_perm_get(&s->tables, call->alloc, &peer.ip, config->max_permissions,
                          call->now_ms) == NULL) {
            turn_perm_sweep(&s->tables, call->alloc, call->now_ms);
            return STUN_INSUFFICIENT_CAPACITY;
        }
    }
    uint32_t count = 0;
    rest = call->req->peers;
    for (; turn_req_next_peer(call->req, &rest, &peer) > 0; count++) {
        struct turn_perm *perm =
            turn_perm_get(&s->tables, call->alloc, &peer.ip, config->max_permissions, call->now_ms);
        if (perm != NULL) { /* it is there: the first walk made it */
            turn_perm_refresh(&s->tables, call->alloc, perm,
                              call->now_ms + (uint64_t)config->permission_s * 1000);
            turn_tell(s, call->alloc, TURN_EVENT_PERMISSION, &peer);
        }
    }
    turn_flow_update(s, call->alloc, count == 1 ? &peer.ip : NULL, call->now_ms);
    return STUN_OK;
}

static bool channel_legal(const struct turn_config *config, uint16_t channel)
{
    return channel >= CHANNEL_MIN &&
           channel <= (config->channels_5766 ? CHANNEL_MAX_5766 : CHANNEL_MAX);
}

enum stun_code turn_on_channel_bind(struct turn_call *call)
{
    struct turn_server *s = call->server;
    const struct turn_config *config = s->config;
    const struct turn_req *req = call->req;
    const struct net_addr *peer = &req->peer;
    const uint32_t required = HAS_CHANNEL_NUMBER | HAS_XOR_PEER_ADDRESS;

    /* RFC 6062 section 5.1: a TCP allocation has no channels. */
    if (call->alloc->protocol != NET_UDP || (req->has & required) != required ||
        !channel_legal(config, req->channel) || peer->port == 0) {
        return STUN_BAD_REQUEST;
    }
    const enum stun_code code = turn_judge_peer(call, peer, true);
    if (code != STUN_OK) {
        return code;
    }
    turn_alloc_sweep(&s->tables, call->alloc, call->now_ms);
    /* The number, or the peer, is bound to another: told before any want of capacity. */
    if (turn_chan_by_number(&s->tables, call->alloc, req->channel, call->now_ms) !=
        turn_chan_by_peer(&s->tables, call->alloc, peer, call->now_ms)) {
        return STUN_BAD_REQUEST;
    }
    struct turn_perm *perm =
        turn_perm_get(&s->tables, call->alloc, &peer->ip, config->max_permissions, call->now_ms);
    if (perm == NULL) {
        return STUN_INSUFFICIENT_CAPACITY;
    }
    if (turn_chan_bind(&s->tables, call->alloc, req->channel, peer, config->max_channels,
                       call->now_ms + (uint64_t)config->channel_s * 1000, call->now_ms) < 0) {
        turn_perm_sweep(&s->tables, call->alloc, call->now_ms);
        return STUN_INSUFFICIENT_CAPACITY;
    }
    /* A ChannelBind is a CreatePermission, too (RFC 8656 section 12.2). */
    turn_perm_refresh(&s->tables, call->alloc, perm,
                      call->now_ms + (uint64_t)config->permission_s * 1000);
    turn_flow_update(s, call->alloc, &peer->ip, call->now_ms);
    turn_tell(s, call->alloc, TURN_EVENT_CHANNEL, peer);
    return STUN_OK;
}
