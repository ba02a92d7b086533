/* SPDX-License-Identifier: Apache-2.0 */
/* Allocate (RFC 8656 section 7.2): checks in the order of the RFC, then relays, then state. */
#include <errno.h>
#include <string.h>

#include "turn/turn_int.h"

uint32_t turn_grant_lifetime(const struct turn_call *call)
{
    const struct turn_config *config = call->server->config;
    const struct turn_req *req = call->req;
    uint32_t lifetime = config->default_lifetime_s;

    if ((req->has & HAS_LIFETIME) != 0) {
        const uint32_t asked =
            req->lifetime_s < config->max_lifetime_s ? req->lifetime_s : config->max_lifetime_s;
        if (asked > lifetime) {
            lifetime = asked;
        }
    }
    return call->lifetime_cap_s > 0 && lifetime > call->lifetime_cap_s ? call->lifetime_cap_s
                                                                       : lifetime;
}

/* What the attributes ask for, once their combination is found to be legal. */
struct wish {
    uint8_t family;   /* NET_V4 or NET_V6 */
    bool both;        /* ADDITIONAL-ADDRESS-FAMILY */
    uint8_t protocol; /* NET_UDP or NET_TCP */
    enum turn_port_want port;
};

static bool family_served(const struct turn_config *config, uint8_t family)
{
    return family == NET_V4 ? config->ipv4_relay : family == NET_V6 && config->ipv6_relay;
}

/* Check 7: without REQUESTED-ADDRESS-FAMILY the answer is IPv4, even for an IPv6 client, unless the
 * administrator says otherwise. */
static uint8_t default_family(const struct turn_call *call)
{
    switch (call->server->config->default_family) {
    case TURN_DEFAULT_IPV6:
        return NET_V6;
    case TURN_DEFAULT_KEEP:
        return call->tuple.client.family;
    case TURN_DEFAULT_IPV4:
    default:
        return NET_V4;
    }
}

/* Check 4, and RFC 8656 section 3.7: from an IPv4 client to an IPv6 relay the DF bit of what comes
 * in cannot be seen, so DONT-FRAGMENT is answered as an unknown attribute.  A stream has no such
 * bit, and the attribute is honoured (RFC 8656 section 15). */
static bool df_impossible(const struct turn_call *call, uint8_t family)
{
    return (call->req->has & HAS_DONT_FRAGMENT) != 0 && call->tuple.client.family == NET_V4 &&
           family == NET_V6 && !net_is_stream(call->tuple.protocol);
}

/* A reservation's token tells its family in its lowest bit. */
static uint8_t token_family(uint64_t token)
{
    return (token & 1) != 0 ? NET_V6 : NET_V4;
}

/* RFC 6062 section 5.1: a TCP relay is for clients on a stream, and has neither ports in pairs nor
 * datagrams; two families at once are not offered. */
static bool tcp_legal(const struct turn_call *call, bool additional)
{
    const uint32_t illegal = HAS_DONT_FRAGMENT | HAS_EVEN_PORT | HAS_RESERVATION_TOKEN;

    return net_is_stream(call->tuple.protocol) && (call->req->has & illegal) == 0 && !additional;
}

/* Checks 3 to 9 of RFC 8656 section 7.2. */
static enum stun_code read_wish(struct turn_call *call, struct wish *wish)
{
    const struct turn_config *config = call->server->config;
    const struct turn_req *req = call->req;
    const bool additional =
        config->additional_family && (req->has & HAS_ADDITIONAL_ADDRESS_FAMILY) != 0;
    const bool requested = (req->has & HAS_REQUESTED_ADDRESS_FAMILY) != 0;
    const bool even = (req->has & HAS_EVEN_PORT) != 0;
    const bool token = (req->has & HAS_RESERVATION_TOKEN) != 0;

    if ((req->has & HAS_REQUESTED_TRANSPORT) == 0) {
        return STUN_BAD_REQUEST;
    }
    if (req->transport != NET_UDP && req->transport != NET_TCP) {
        return STUN_UNSUPPORTED_TRANSPORT;
    }
    if (req->transport == NET_TCP && !tcp_legal(call, additional)) {
        return STUN_BAD_REQUEST;
    }
    *wish = (struct wish){
        .family = requested ? req->family : default_family(call),
        .both = additional,
        .protocol = req->transport,
        .port = even ? (req->even_port_reserve ? TURN_PORT_EVEN_RESERVE : TURN_PORT_EVEN)
                     : TURN_PORT_ANY,
    };
    if (token) {
        if (even || requested || additional) {
            return STUN_BAD_REQUEST;
        }
        wish->family = token_family(req->reservation_token);
        wish->port = TURN_PORT_RESERVED;
    }
    if (!additional && df_impossible(call, wish->family)) {
        call->refused_attr = STUN_DONT_FRAGMENT;
        return STUN_UNKNOWN_ATTRIBUTE;
    }
    if (token) {
        return STUN_OK;
    }
    if (requested && additional) {
        return STUN_BAD_REQUEST;
    }
    if (!additional && !family_served(config, wish->family)) {
        return STUN_FAMILY_NOT_SUPPORTED;
    }
    if (additional && (wish->port == TURN_PORT_EVEN_RESERVE || req->additional_family != NET_V6)) {
        return STUN_BAD_REQUEST;
    }
    return STUN_OK;
}

/* Open one relay of `alloc`. */
static enum stun_code open_relay(struct turn_call *call, struct turn_alloc *alloc, uint8_t family,
                                 enum turn_port_want port)
{
    struct turn_server *s = call->server;
    struct turn_relay_grant grant;
    uint64_t new_token = 0;

    if (port == TURN_PORT_EVEN_RESERVE) {
        while (new_token <= 1) { /* 0 stands for none */
            s->fx.random_fill(s->fx.arg, (uint8_t *)&new_token, sizeof(new_token));
            new_token = (new_token & ~UINT64_C(1)) | (family == NET_V6 ? 1 : 0);
        }
    }
    struct turn_relay *slot = &alloc->relay[family == NET_V6 ? 1 : 0];
    const struct turn_relay_want want = {
        .relay = slot,
        .server = call->tuple.server,
        .family = family,
        .protocol = alloc->protocol,
        .user = turn_alloc_quota_user(alloc),
        .want = port,
        .token = call->req->reservation_token,
        .new_token = new_token,
    };
    switch (s->fx.relay_open(s->fx.arg, &want, &grant)) {
    case 0:
        break;
    case -EAFNOSUPPORT:
        return STUN_FAMILY_NOT_SUPPORTED;
    default:
        return STUN_INSUFFICIENT_CAPACITY;
    }
    slot->port = grant.port;
    slot->bound = grant.bound;
    slot->relayed = grant.relayed;
    slot->expires_ms = call->now_ms + (uint64_t)call->lifetime_s * 1000;
    alloc->reservation = new_token;
    return STUN_OK;
}

/* Dual allocation (RFC 8656 section 7.2, check 9): one family is enough for a success. */
static enum stun_code open_both(struct turn_call *call, struct turn_alloc *alloc,
                                enum turn_port_want port)
{
    const struct turn_config *config = call->server->config;
    enum stun_code code[2];

    for (int i = 0; i < 2; i++) {
        const uint8_t family = i == 0 ? NET_V4 : NET_V6;
        const bool served = family_served(config, family) && !df_impossible(call, family);
        code[i] = served ? open_relay(call, alloc, family, port) : STUN_FAMILY_NOT_SUPPORTED;
        alloc->family_code[i] = (uint16_t)code[i];
    }
    return code[0] == STUN_OK || code[1] == STUN_OK ? STUN_OK : STUN_INSUFFICIENT_CAPACITY;
}

/* Make the allocation's record, user included. */
static struct turn_alloc *make_record(struct turn_call *call)
{
    struct turn_server *s = call->server;
    struct turn_alloc *alloc = turn_alloc_new(&s->tables, &call->tuple, call->now_ms);
    if (alloc == NULL) {
        return NULL;
    }
    const struct bytes name = {call->found.name, call->found.name_len};
    if (turn_alloc_set_user(&s->tables, alloc, name, call->found.quota_from,
                            call->found.quota_len) < 0) {
        turn_alloc_free(&s->tables, alloc);
        return NULL;
    }
    alloc->listener = call->pkt->port;
    alloc->key = call->user_key;
    alloc->realm = call->realm_id;
    alloc->origin = turn_origin_mark(call->server->config, call->req);
    alloc->until_ms =
        call->lifetime_cap_s > 0 ? call->now_ms + (uint64_t)call->lifetime_cap_s * 1000 : 0;
    memcpy(alloc->tid, call->req->msg.tid, STUN_TID);
    bucket_init(&alloc->bucket[0]);
    bucket_init(&alloc->bucket[1]);
    return alloc;
}

static enum stun_code create(struct turn_call *call, const struct wish *wish)
{
    struct turn_server *s = call->server;
    struct turn_alloc *alloc = make_record(call);
    if (alloc == NULL) {
        return STUN_INSUFFICIENT_CAPACITY;
    }
    alloc->protocol = wish->protocol;
    enum stun_code code = STUN_OK;
    if ((call->req->has & HAS_MOBILITY_TICKET) != 0) {
        code = turn_mobility_begin(call, alloc);
        if (code != STUN_OK) {
            goto discard;
        }
    }
    switch (s->fx.quota_take(s->fx.arg, alloc->realm, turn_alloc_quota_user(alloc))) {
    case 0:
        break;
    case -EDQUOT:
        code = STUN_QUOTA_REACHED;
        goto discard;
    default:
        code = STUN_INSUFFICIENT_CAPACITY;
        goto discard;
    }
    if (wish->both) {
        code = open_both(call, alloc, wish->port);
    } else {
        code = open_relay(call, alloc, wish->family, wish->port);
    }
    if (code != STUN_OK) {
        s->fx.quota_give(s->fx.arg, alloc->realm, turn_alloc_quota_user(alloc));
        goto discard;
    }
    turn_alloc_wake_by(&s->tables, alloc, call->now_ms + (uint64_t)call->lifetime_s * 1000);
    call->alloc = alloc;
    turn_tell(s, alloc, TURN_EVENT_ALLOCATED, NULL);
    return STUN_OK;

discard:
    turn_alloc_free(&s->tables, alloc);
    return code;
}

/* The same success once more, with the time that is left (RFC 8656 section 7.2). */
static enum stun_code repeat(struct turn_call *call)
{
    uint64_t expires_ms = 0;

    for (int i = 0; i < 2; i++) {
        const struct turn_relay *relay = &call->alloc->relay[i];
        if (relay->port != NULL && relay->expires_ms > expires_ms) {
            expires_ms = relay->expires_ms;
        }
    }
    call->lifetime_s = (uint32_t)((expires_ms - call->now_ms) / 1000);
    return call->alloc->mobile != NULL ? turn_mobility_repeat(call, call->alloc) : STUN_OK;
}

enum stun_code turn_on_allocate(struct turn_call *call)
{
    const struct turn_config *config = call->server->config;
    struct wish wish;

    if (call->retransmission) {
        return repeat(call);
    }
    enum stun_code code = read_wish(call, &wish);
    if (code != STUN_OK) {
        return code;
    }
    const bool mobile = (call->req->has & HAS_MOBILITY_TICKET) != 0;
    if (mobile && call->req->ticket.n > 0) {
        return STUN_BAD_REQUEST; /* RFC 8016 section 3.1.2 */
    }
    if (mobile && !turn_mobility_allowed(call)) {
        return STUN_MOBILITY_FORBIDDEN;
    }
    if (!(wish.protocol == NET_TCP ? config->tcp_relay : config->udp_relay)) {
        return STUN_FORBIDDEN;
    }
    code = turn_redirect(call);
    if (code != STUN_OK) {
        return code;
    }
    call->lifetime_s = turn_grant_lifetime(call);
    return create(call, &wish);
}
