/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: conformance section 4 (order) and sections 3.9 to 3.13 and 3.16. */
#include <errno.h>
#include <string.h>

#include "model.h"
#include "peers.h"
#include "wire/stun_code.h"

enum { UDP = 17, TCP = 6, UNKNOWN_ATTR = 0x7ffe };

uint32_t model_lifetime(const struct turn_config *config, const struct intent *in)
{
    /* T-8656-7.2-29, T-8656-8.2-04 */
    uint32_t granted = config->default_lifetime_s;

    if (in->has_lifetime && in->lifetime_s > granted) {
        granted = in->lifetime_s < config->max_lifetime_s ? in->lifetime_s : config->max_lifetime_s;
    }
    return granted;
}

static bool family_served(const struct model *m, uint8_t family)
{
    return (family == NET_V4 && m->config->ipv4_relay) ||
           (family == NET_V6 && m->config->ipv6_relay);
}

static uint8_t family_without_wish(const struct model *m, const struct net_addr *client)
{
    switch (m->config->default_family) {
    case TURN_DEFAULT_IPV6:
        return NET_V6;
    case TURN_DEFAULT_KEEP:
        return client->family;
    case TURN_DEFAULT_IPV4:
    default:
        return NET_V4; /* T-8656-7.2-11 */
    }
}

/* --- ports --------------------------------------------------------------------------------------
 */

/* What this client had before, and whose time is over, is taken away before its request is judged.
 * What others had may still be there. */
static bool given_up(const struct model_alloc *a, const struct model_input *at)
{
    return !model_alive(a, at->now_ms) &&
           (model_is_coming(a, at->from, at->to) ||
            (net_addr_equal(&a->client, at->from) && net_addr_equal(&a->server, at->to)));
}

static bool port_taken(const struct model *m, uint8_t family, uint16_t port,
                       const struct model_input *at)
{
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        const struct model_relay *r = &m->alloc[i].relay[family - NET_V4];
        if (m->alloc[i].used && r->open && r->bound.port == port && !given_up(&m->alloc[i], at)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(m->reservation); i++) {
        const struct model_reservation *r = &m->reservation[i];
        if (at->now_ms < r->expires_ms && r->bound.family == family && r->bound.port == port) {
            return true;
        }
    }
    return false;
}

static bool port_available(const struct model *m, uint8_t family, enum intent_even even,
                           const struct model_input *at)
{
    for (uint16_t port = m->port_min; port <= m->port_max; port++) {
        if (port_taken(m, family, port, at) || (even != EVEN_NO && port % 2 != 0)) {
            continue;
        }
        if (even != EVEN_RESERVE ||
            (port < m->port_max && !port_taken(m, family, (uint16_t)(port + 1), at))) {
            return true;
        }
    }
    return false;
}

/* --- Allocate -----------------------------------------------------------------------------------
 */

/* T-8656-3.7-01: from an IPv4 client to an IPv6 relay DF cannot be honoured; T-8656-15-03: but it
 * can from a stream. */
static bool df_impossible(const struct model_input *at, uint8_t family)
{
    return at->in->dont_fragment && at->from->family == NET_V4 && family == NET_V6 &&
           (at->transport == NET_UDP || at->transport == NET_DTLS);
}

/* T-6062-5.1-04, T-7350-4.6-01, T-6062-5.1-05, A-29 */
static bool tcp_legal(const struct model_input *at, bool aaf)
{
    const struct intent *in = at->in;

    return (at->transport == NET_TCP || at->transport == NET_TLS) && !in->dont_fragment &&
           in->even == EVEN_NO && !in->has_token && !aaf;
}

/* Checks 3 to 9 of RFC 8656 section 7.2, in that order.  True when the combination is legal. */
static bool allocate_form(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;
    const bool aaf = in->additional_family != 0 && m->config->additional_family;
    const uint8_t family =
        in->requested_family != 0 ? in->requested_family : family_without_wish(m, at->from);

    if (in->transport != UDP && in->transport != TCP) {
        expect_code(e, in->transport == 0 ? STUN_BAD_REQUEST : STUN_UNSUPPORTED_TRANSPORT);
        return false;
    }
    if (in->transport == TCP && !tcp_legal(at, aaf)) {
        expect_code(e, STUN_BAD_REQUEST);
        return false;
    }
    if (!aaf && !in->has_token && df_impossible(at, family)) {
        expect_code(e, STUN_UNKNOWN_ATTRIBUTE);
        e->unknown = STUN_DONT_FRAGMENT;
        return false;
    }
    if ((in->has_token && (in->even != EVEN_NO || in->requested_family != 0 || aaf)) ||
        (in->requested_family != 0 && aaf)) {
        expect_code(e, STUN_BAD_REQUEST);
        return false;
    }
    if (!in->has_token && !aaf && !family_served(m, family)) {
        expect_code(e, STUN_FAMILY_NOT_SUPPORTED);
        return false;
    }
    if (aaf && (in->even == EVEN_RESERVE || in->additional_family != NET_V6)) {
        expect_code(e, STUN_BAD_REQUEST);
        return false;
    }
    e->redeem = in->has_token;
    e->dual = aaf;
    e->even = in->even;
    e->family[0] = aaf ? NET_V4 : family;
    e->family[1] = aaf ? NET_V6 : NET_NONE;
    return true;
}

static bool alternate_for(const struct model *m, const struct model_input *at)
{
    const struct turn_alternates *list =
        &m->config->alternates[at->transport == NET_UDP   ? TURN_ALTERNATE_UDP
                               : at->transport == NET_TCP ? TURN_ALTERNATE_TCP
                                                          : TURN_ALTERNATE_TLS];

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].addr.family == at->from->family) {
            return true;
        }
    }
    return false;
}

/* A reservation's family is that of its port.  T-8656-7.2-07, T-8656-3.7-01 */
static bool allocate_redeem(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct model_reservation *r = model_reservation(m, at->in->token, at->now_ms);

    if (r == NULL) {
        if (!expect_has(e, STUN_INSUFFICIENT_CAPACITY)) {
            expect_code(e, STUN_INSUFFICIENT_CAPACITY);
        }
        return false;
    }
    if (df_impossible(at, r->bound.family)) {
        expect_code(e, STUN_UNKNOWN_ATTRIBUTE);
        e->unknown = STUN_DONT_FRAGMENT;
        return false;
    }
    e->family[0] = r->bound.family;
    return true;
}

/* At least one of the wanted relays can be had.  Families that cannot are struck out. */
static bool allocate_ports(struct model *m, const struct model_input *at, struct expect *e)
{
    if (e->redeem) {
        return true;
    }
    for (int i = 0; i < 2; i++) {
        const uint8_t family = e->family[i];
        if (family != NET_NONE &&
            ((e->dual && (!family_served(m, family) || df_impossible(at, family))) ||
             !port_available(m, family, e->even, at))) {
            e->family[i] = NET_NONE;
        }
    }
    if (e->even == EVEN_RESERVE && model_reservation_count(m, at->now_ms) == m->max_reservations) {
        return false;
    }
    return e->family[0] != NET_NONE || e->family[1] != NET_NONE;
}

/* Limits: each that is reached may be named; what expired a moment ago may still count. */
static bool allocate_limits(const struct model *m, const struct model_input *at, struct expect *e)
{
    const uint8_t user = e->integrity == MODEL_UNSIGNED ? MODEL_ANONYMOUS : at->in->user;
    bool certain = false;

    for (int alive = 0; alive < 2; alive++) {
        const uint64_t when = alive == 1 ? at->now_ms : 0;
        const bool full = model_count_core(m, at->core, when) >= m->max_allocations ||
                          (m->total_quota != 0 && model_count_all(m, when) >= m->total_quota);
        const bool user_full =
            m->user_quota != 0 && model_count_user(m, user, when) >= m->user_quota;
        if (full && !expect_has(e, STUN_INSUFFICIENT_CAPACITY)) {
            expect_code(e, STUN_INSUFFICIENT_CAPACITY);
        }
        if (user_full && !expect_has(e, STUN_QUOTA_REACHED)) {
            expect_code(e, STUN_QUOTA_REACHED);
        }
        certain = alive == 1 && (full || user_full);
    }
    return !certain;
}

static void judge_allocate(struct model *m, const struct model_input *at, struct expect *e)
{
    e->lifetime_s = model_lifetime(m->config, at->in);
    if (!allocate_form(m, at, e)) {
        return;
    }
    if (e->redeem && model_reservation(m, at->in->token, at->now_ms) != NULL &&
        !allocate_redeem(m, at, e)) {
        return;
    }
    if (e->redeem && df_impossible(at, NET_V6) &&
        model_reservation(m, at->in->token, at->now_ms) == NULL) {
        expect_code(e, STUN_UNKNOWN_ATTRIBUTE); /* nobody knows of which family it would be */
        e->unknown = STUN_DONT_FRAGMENT;
    }
    if (at->in->ticket_use == TICKET_SHOW) {
        expect_code(e, STUN_BAD_REQUEST); /* T-8016-3.1.2-02 */
        return;
    }
    if (at->in->ticket_use == TICKET_ASK && !model_mobility_allowed(m, at)) {
        expect_code(e, STUN_MOBILITY_FORBIDDEN); /* T-8016-3.1.2-01 */
        return;
    }
    if (!(at->in->transport == TCP ? m->config->tcp_relay : m->config->udp_relay)) {
        expect_code(e, STUN_FORBIDDEN);
        return;
    }
    if (e->integrity != MODEL_UNSIGNED && !at->in->has_token && alternate_for(m, at)) {
        expect_code(e, STUN_TRY_ALTERNATE);
        return;
    }
    if (m->config->draining) {
        expect_code(e, STUN_FORBIDDEN);
        return;
    }
    const bool room = allocate_limits(m, at, e);
    if (e->redeem && !allocate_redeem(m, at, e)) {
        return;
    }
    if (!allocate_ports(m, at, e)) {
        if (!expect_has(e, STUN_INSUFFICIENT_CAPACITY)) {
            expect_code(e, STUN_INSUFFICIENT_CAPACITY);
        }
        return;
    }
    if (room) {
        expect_code(e, STUN_OK);
    }
}

/* --- the other methods --------------------------------------------------------------------------
 */

static void judge_refresh(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;

    e->lifetime_s = in->has_lifetime && in->lifetime_s == 0 ? 0 : model_lifetime(m->config, in);
    if (in->requested_family != 0 &&
        !model_relay_alive(e->alloc, in->requested_family, at->now_ms)) {
        expect_code(e, STUN_PEER_FAMILY_MISMATCH); /* T-8656-8.2-01 */
        return;
    }
    /* T-8656-8.1-02 */
    e->survives =
        in->requested_family != 0 &&
        model_relay_alive(e->alloc, in->requested_family == NET_V4 ? NET_V6 : NET_V4, at->now_ms);
    if (e->ticket == MODEL_TICKET_GOOD && (e->lifetime_s > 0 || e->survives) &&
        e->alloc->protocol == NET_TCP && !net_is_stream(at->transport)) {
        expect_code(e, STUN_BAD_REQUEST); /* T-6062-5.1-04 */
        return;
    }
    const struct model_alloc *there = model_find(m, at->from, at->to, at->now_ms);
    if (e->ticket == MODEL_TICKET_GOOD && (e->lifetime_s > 0 || e->survives) && there != NULL &&
        there != e->alloc) {
        expect_code(e, STUN_ALLOCATION_MISMATCH); /* that address is taken */
        return;
    }
    expect_code(e, STUN_OK);
}

static void judge_permit(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;
    bool mismatch = in->peer_count == 0;
    bool forbidden = false;
    uint32_t fresh = 0;

    if (in->peer_count == 0) {
        expect_code(e, STUN_BAD_REQUEST);
        return;
    }
    for (uint32_t i = 0; i < in->peer_count; i++) {
        const struct net_addr *peer = &in->peer[i].addr;
        bool again = model_perm(e->alloc, &peer->ip, at->now_ms) != NULL;
        mismatch = mismatch || !model_relay_alive(e->alloc, peer->family, at->now_ms);
        forbidden = forbidden || !peers_ip_open(in->peer[i].row, m->rules);
        for (uint32_t k = 0; k < i; k++) {
            again = again || net_ip_equal(&in->peer[k].addr.ip, &peer->ip);
        }
        fresh += !again;
    }
    if (mismatch) {
        expect_code(e, STUN_PEER_FAMILY_MISMATCH);
    } else if (forbidden) {
        expect_code(e, STUN_FORBIDDEN);
    } else if (model_perm_count(e->alloc, at->now_ms) + fresh > m->config->max_permissions &&
               fresh > 0) {
        expect_code(e, STUN_INSUFFICIENT_CAPACITY);
    } else {
        expect_code(e, STUN_OK);
    }
}

static bool channel_legal(const struct model *m, uint16_t number)
{
    return number >= 0x4000 && number <= (m->config->channels_5766 ? 0x7fff : 0x4fff);
}

static void judge_bind(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;
    const struct net_addr *peer = &in->peer[0].addr;

    if (e->alloc->protocol != NET_UDP || in->peer_count == 0 || !channel_legal(m, in->channel) ||
        peer->port == 0) {
        expect_code(e, STUN_BAD_REQUEST);
        return;
    }
    const struct model_chan *of_number = model_chan_number(e->alloc, in->channel, at->now_ms);
    const struct model_chan *of_peer = model_chan_peer(e->alloc, peer, at->now_ms);
    const bool conflict = of_number != of_peer; /* T-8656-12.2-03, T-8656-12.2-04 */
    if (!model_relay_alive(e->alloc, peer->family, at->now_ms)) {
        expect_code(e, STUN_PEER_FAMILY_MISMATCH);
    } else if (!peers_addr_open(in->peer[0].row, peer->port, m->rules)) {
        expect_code(e, STUN_FORBIDDEN);
    } else if (conflict) {
        expect_code(e, STUN_BAD_REQUEST); /* before capacity */
    } else if ((of_number == NULL &&
                model_chan_count(e->alloc, at->now_ms) >= m->config->max_channels) ||
               (model_perm(e->alloc, &peer->ip, at->now_ms) == NULL &&
                model_perm_count(e->alloc, at->now_ms) >= m->config->max_permissions)) {
        expect_code(e, STUN_INSUFFICIENT_CAPACITY);
    } else {
        expect_code(e, STUN_OK);
    }
}

/* RFC 6062 section 5.2. */
static void judge_connect(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent_peer *peer = &at->in->peer[0];

    if (e->alloc->protocol != NET_TCP || at->in->peer_count == 0 || peer->addr.port == 0) {
        expect_code(e, STUN_BAD_REQUEST); /* T-6062-5.1-09, T-6062-5.2-04 */
    } else if (!model_relay_alive(e->alloc, peer->addr.family, at->now_ms)) {
        expect_code(e, STUN_PEER_FAMILY_MISMATCH); /* T-6062-5.1-10 */
    } else if (!peers_addr_open(peer->row, peer->addr.port, m->rules)) {
        expect_code(e, STUN_FORBIDDEN); /* T-6062-5.2-05 */
    } else if (model_conn_peer(m, e->alloc, &peer->addr, at->now_ms) != NULL) {
        expect_code(e, STUN_CONNECTION_EXISTS); /* T-6062-5.2-02, T-6062-5.2-03 */
    } else if (model_conn_count(m, e->alloc, at->now_ms) >= m->config->max_connections ||
               m->connect_answer == -ENOSPC) {
        expect_code(e, STUN_INSUFFICIENT_CAPACITY);
    } else if (m->connect_answer < 0) {
        expect_code(e, STUN_CONNECTION_FAILED); /* T-6062-5.2-07 */
    } else {
        e->later = true; /* T-6062-5.2-11, T-6062-5.2-12 */
    }
}

/* --- the order of processing --------------------------------------------------------------------
 */

static bool same_user(const struct model_alloc *a, const struct expect *e, const struct intent *in)
{
    return a->user == (e->integrity == MODEL_UNSIGNED ? MODEL_ANONYMOUS : in->user);
}

/* RFC 6062 section 5.4. */
static void judge_conn_bind(const struct model_input *at, struct expect *e)
{
    const struct model_conn *c = e->conn;

    if ((at->transport != NET_TCP && at->transport != NET_TLS) || e->alloc != NULL || c == NULL ||
        c->bound) {
        expect_code(e, STUN_BAD_REQUEST); /* T-6062-5.4-01, T-6062-5.4-02 */
    } else if (!same_user(c->alloc, e, at->in)) {
        expect_code(e, STUN_WRONG_CREDENTIALS); /* T-6062-4.3-01 */
    } else {
        expect_code(e, STUN_OK);
    }
}

static void judge_method(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;

    if (in->kind == INTENT_ALLOCATE) {
        if (e->retransmission) {
            expect_code(e, STUN_OK);
        } else if (e->alloc != NULL || model_dead(m, at->from, at->to, in->tid, at->now_ms)) {
            expect_code(e, STUN_ALLOCATION_MISMATCH);
        } else {
            judge_allocate(m, at, e);
        }
        return;
    }
    if (in->kind == INTENT_CONN_BIND) {
        judge_conn_bind(at, e);
        return;
    }
    if (model_ticket_code(e) != STUN_OK) {
        expect_code(e, model_ticket_code(e));
        return;
    }
    if (e->alloc == NULL) {
        expect_code(e, STUN_ALLOCATION_MISMATCH); /* T-8656-5-08 */
        return;
    }
    if (!same_user(e->alloc, e, in)) {
        expect_code(e, STUN_WRONG_CREDENTIALS); /* T-8656-5-06 */
        return;
    }
    /* On the control connection of a TCP allocation no data comes: any request says as much. */
    if (e->alloc->protocol == NET_TCP && e->ticket == MODEL_NO_TICKET &&
        model_is_coming(e->alloc, at->from, at->to)) {
        e->alloc->heard = true;
    }
    switch ((int)in->kind) {
    case INTENT_REFRESH:
        judge_refresh(m, at, e);
        break;
    case INTENT_PERMIT:
        judge_permit(m, at, e);
        break;
    case INTENT_CONNECT:
        judge_connect(m, at, e);
        break;
    default:
        judge_bind(m, at, e);
        break;
    }
}

/* The answer costs a stranger's token: when there is none left there must be no answer. */
static void apply_challenge_limit(struct model *m, const struct model_input *at, struct expect *e)
{
    const bool may_succeed = expect_has(e, STUN_OK);

    if (e->integrity != MODEL_UNSIGNED || e->code_count <= (may_succeed ? 1U : 0U)) {
        return;
    }
    if (!model_may_challenge(m, at->core, at->transport, at->from, at->now_ms)) {
        e->code[0] = STUN_OK;
        e->code_count = may_succeed ? 1 : 0;
        e->drop = true;
    }
}

/* RFC 8656 section 21.4: no service for clients behind 6to4. */
static bool is_tunnel(const struct net_addr *client)
{
    return client->family == NET_V6 && client->ip.b[0] == 0x20 && client->ip.b[1] == 0x02;
}

void model_request(struct model *m, const struct model_input *at, struct expect *e)
{
    const struct intent *in = at->in;
    const bool binding = in->kind == INTENT_BINDING;

    memset(e, 0, sizeof(*e));
    if ((binding ? !m->config->stun_enabled : !m->config->turn_enabled) || is_tunnel(at->from)) {
        e->drop = true;
        return;
    }
    if (!binding) {
        e->alloc = model_find(m, at->from, at->to, at->now_ms);
        e->retransmission = in->kind == INTENT_ALLOCATE && e->alloc != NULL &&
                            memcmp(e->alloc->tid, in->tid, STUN_TID) == 0;
    }
    if (in->kind == INTENT_REFRESH && in->ticket_use == TICKET_SHOW) {
        model_ticket(m, at, e);
    }
    if (in->kind == INTENT_CONN_BIND && e->alloc == NULL) {
        struct model_conn *c = model_conn_id(m, in->connection_id, at->now_ms);
        e->conn = c != NULL && c->alloc->core == at->core ? c : NULL; /* no core knows another's */
    }
    const bool asked = binding ? m->config->auth_binding : m->config->require_auth;
    if (!asked || model_authenticate(m, at, e)) {
        if (in->unknown_attr) {
            expect_code(e, STUN_UNKNOWN_ATTRIBUTE);
            e->unknown = UNKNOWN_ATTR;
        } else if (binding) {
            expect_code(e, STUN_OK);
        } else {
            judge_method(m, at, e);
        }
    }
    apply_challenge_limit(m, at, e);
}
