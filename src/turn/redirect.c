/* SPDX-License-Identifier: Apache-2.0 */
/* Allocate requests that are answered with another address to go to (300, RFC 8489 section 10): one
 * of this server, or another server.
 *
 * Nobody is sent round for ever, however servers name each other and however often a client asks:
 * the redirects of one client, and of one user at one host, are counted. */
#include <string.h>

#include "turn/turn_int.h"

enum {
    CLIENT_COST = 10, /* so that of the bucket's one token a second, one redirect in 10 s comes */
    HOST_COST = 1,    /* many clients may share a user and an address: ten times as many */
};

/* An address was chosen from `list`; the next client gets the one after it. */
struct choice {
    const struct turn_alternate *best;  /* of the client's family */
    const struct turn_alternate *other; /* of the other one, or NULL */
    uint32_t next;
};

static enum turn_alternate_kind kind_of(uint32_t transport)
{
    switch (transport) {
    case NET_TCP:
        return TURN_ALTERNATE_TCP;
    case NET_TLS:
    case NET_DTLS:
        return TURN_ALTERNATE_TLS;
    default:
        return TURN_ALTERNATE_UDP;
    }
}

/* The first of `list`, from number `first` on, that has the client's family: it stands first in the
 * response, and without it there is none; one of the other family may come after it. */
static bool choose(const struct turn_call *call, const struct turn_alternates *list, uint32_t first,
                   struct choice *out)
{
    *out = (struct choice){.best = NULL};
    for (size_t i = 0; i < list->count; i++) {
        const size_t at = (first + i) % list->count;
        const struct turn_alternate *item = &list->items[at];
        if (item->addr.family != call->tuple.client.family) {
            out->other = out->other == NULL ? item : out->other;
        } else if (out->best == NULL) {
            out->best = item;
            out->next = (uint32_t)((at + 1) % list->count);
        }
    }
    return out->best != NULL;
}

static enum stun_code send_away(struct turn_call *call, const struct turn_alternate *best,
                                const struct turn_alternate *other)
{
    call->alternate[0] = best;
    call->alternate[1] = other;
    call->alternate_count = other != NULL ? 2 : 1;
    return STUN_TRY_ALTERNATE;
}

/* --- never a loop ------------------------------------------------------------------------------
 */

void turn_redirect_limit(const struct turn_config *config, uint32_t *out_per_s, uint32_t *out_burst)
{
    *out_per_s = config->max_redirects > 0 ? 1 : 0;
    *out_burst = config->max_redirects * CLIENT_COST;
}

/* May the client be sent away once more?  A client that follows a redirect with a new socket is
 * another one here: hence the count of its host. */
static bool may_redirect(struct turn_call *call)
{
    struct rate *rate = call->server->redirects;
    uint8_t who[sizeof(struct net_addr) + sizeof(call->found.name)];
    struct net_addr from = call->tuple.client;
    const size_t len = sizeof(from) + call->found.name_len;

    memcpy(who, &from, sizeof(from));
    memcpy(who + sizeof(from), call->found.name, call->found.name_len);
    if (!rate_take_of(rate, (struct bytes){who, len}, CLIENT_COST, call->now_ms)) {
        return false;
    }
    from.port = 0;
    memcpy(who, &from, sizeof(from));
    return rate_take_of(rate, (struct bytes){who, len}, HOST_COST, call->now_ms);
}

/* --- which addresses ---------------------------------------------------------------------------
 */

/* RFC 8155 section 6: two packets to an anycast address may reach two servers, so the client is
 * told an address of this one; at the same port when it is served there. */
static const struct turn_alternate *unicast_for(const struct turn_call *call)
{
    const struct turn_alternates *list =
        &call->server->config->anycast_to[kind_of(call->tuple.protocol)];
    const struct turn_alternate *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        const struct turn_alternate *item = &list->items[i];
        if (item->addr.family != call->tuple.client.family) {
            continue;
        }
        if (item->addr.port == call->tuple.server.port) {
            return item;
        }
        found = found == NULL ? item : found;
    }
    return found;
}

static bool came_to_anycast(const struct turn_call *call)
{
    const struct turn_config *config = call->server->config;

    for (size_t i = 0; i < config->anycast_count; i++) {
        if (net_ip_equal(&config->anycast[i], &call->tuple.server.ip)) {
            return true;
        }
    }
    return false;
}

static bool came_to_own(const struct turn_call *call)
{
    const struct turn_config *config = call->server->config;

    for (size_t i = 0; i < config->balance.count; i++) {
        if (net_addr_equal(&config->balance_bound[i], &call->tuple.server)) {
            return true;
        }
    }
    return false;
}

/* `udp-self-balance` is instead of the alternate servers for UDP clients: who has come to one of
 * the addresses that it spreads them over stays there. */
static bool balances(const struct turn_call *call)
{
    const struct turn_config *config = call->server->config;

    return config->balance.count > 0 && call->tuple.protocol == NET_UDP && !config->draining &&
           !config->redirect_only;
}

static enum stun_code to_alternate(struct turn_call *call)
{
    const enum turn_alternate_kind kind = kind_of(call->tuple.protocol);
    const bool balance = balances(call);
    const struct turn_alternates *list =
        balance ? &call->server->config->balance : &call->server->config->alternates[kind];
    uint32_t *next = balance ? &call->server->next_balance : &call->server->next_alternate[kind];
    struct choice choice;

    if ((balance && came_to_own(call)) || !choose(call, list, *next, &choice) ||
        !may_redirect(call)) {
        return STUN_OK;
    }
    *next = choice.next;
    return send_away(call, choice.best, choice.other);
}

enum stun_code turn_redirect(struct turn_call *call)
{
    const struct turn_config *config = call->server->config;
    /* RFC 8489 section 14.8: without integrity a 300 is not sent, but 400 in place of it. */
    const bool proven = call->integrity != TURN_NO_INTEGRITY;

    if (came_to_anycast(call) && !config->draining && !config->redirect_only) {
        const struct turn_alternate *unicast = unicast_for(call);
        if (!proven) {
            return STUN_BAD_REQUEST;
        }
        return unicast != NULL ? send_away(call, unicast, NULL) : STUN_INSUFFICIENT_CAPACITY;
    }
    /* What a token stands for is here and nowhere else. */
    if (proven && (call->req->has & HAS_RESERVATION_TOKEN) == 0 &&
        to_alternate(call) == STUN_TRY_ALTERNATE) {
        return STUN_TRY_ALTERNATE;
    }
    if (config->draining) {
        return STUN_FORBIDDEN;
    }
    if (config->redirect_only) {
        return proven ? STUN_INSUFFICIENT_CAPACITY : STUN_BAD_REQUEST;
    }
    return STUN_OK;
}
