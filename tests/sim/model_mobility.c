/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that move: RFC 8016, conformance section 3.20. */
#include <string.h>

#include "model.h"
#include "wire/stun_code.h"

enum { GENERATIONS = 2, AGAIN_MS = 40 * 1000, CREATED_MS = 40 * 1000 };

bool model_mobility_allowed(const struct model *m, const struct model_input *at)
{
    return m->config->mobility &&
           (m->config->require_auth || at->transport == NET_TLS || at->transport == NET_DTLS);
}

bool model_is_coming(const struct model_alloc *a, const struct net_addr *client,
                     const struct net_addr *server)
{
    return a->moving && net_addr_equal(&a->coming_client, client) &&
           net_addr_equal(&a->coming_server, server);
}

/* The client of `a` was last granted to be there. */
static bool is_latest(const struct model_alloc *a, const struct model_input *at)
{
    return a->moving ? model_is_coming(a, at->from, at->to)
                     : net_addr_equal(&a->client, at->from) && net_addr_equal(&a->server, at->to);
}

static bool is_authentic(const struct model *m, const struct intent_ticket *ticket)
{
    return !ticket->forged && ticket->generation + GENERATIONS > m->nonce_generation;
}

static struct model_alloc *named(struct model *m, const struct intent_ticket *ticket)
{
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        if (m->alloc[i].used && m->alloc[i].number == ticket->number) {
            return &m->alloc[i];
        }
    }
    return NULL;
}

bool model_elsewhere(struct model *m, const struct model_input *at, uint8_t *out_core)
{
    const struct intent *in = at->in;

    if (in->kind != INTENT_REFRESH || in->ticket_use != TICKET_SHOW ||
        !model_mobility_allowed(m, at) || !is_authentic(m, &in->ticket)) {
        return false;
    }
    const struct model_alloc *a = named(m, &in->ticket);
    if (a == NULL || a->core == at->core || model_find(m, at->from, at->to, at->now_ms) != NULL) {
        return false;
    }
    *out_core = a->core;
    return true;
}

/* T-8016-3.2.2-03, -05, -10, -11 */
static enum model_ticket appraise(const struct model_alloc *a, const struct model_input *at)
{
    const struct intent_ticket *shown = &at->in->ticket;

    if (shown->serial + 1 == a->ticket.serial && at->now_ms < a->moved_ms + AGAIN_MS &&
        memcmp(a->move_tid, at->in->tid, STUN_TID) == 0 && is_latest(a, at)) {
        return MODEL_TICKET_AGAIN;
    }
    return shown->serial == a->ticket.serial && !is_latest(a, at) ? MODEL_TICKET_GOOD
                                                                  : MODEL_TICKET_BAD;
}

void model_ticket(struct model *m, const struct model_input *at, struct expect *e)
{
    if (!model_mobility_allowed(m, at)) {
        e->ticket = MODEL_TICKET_FORBIDDEN;
        return;
    }
    e->alloc = NULL; /* T-8016-3.2.2-02 */
    if (!is_authentic(m, &at->in->ticket)) {
        e->ticket = MODEL_TICKET_BAD;
        return;
    }
    struct model_alloc *a = named(m, &at->in->ticket);
    if (a == NULL || a->core != at->core || !model_alive(a, at->now_ms)) {
        e->ticket = MODEL_TICKET_GONE;
        return;
    }
    e->alloc = a;
    e->ticket = appraise(a, at);
    e->retransmission = e->ticket == MODEL_TICKET_AGAIN;
}

int model_ticket_code(const struct expect *e)
{
    switch (e->ticket) {
    case MODEL_TICKET_FORBIDDEN:
        return STUN_MOBILITY_FORBIDDEN; /* T-8016-3.2.2-01 */
    case MODEL_TICKET_BAD:
        return STUN_BAD_REQUEST;
    case MODEL_TICKET_GONE:
        return STUN_ALLOCATION_MISMATCH;
    case MODEL_NO_TICKET:
    case MODEL_TICKET_AGAIN:
    case MODEL_TICKET_GOOD:
    default:
        return STUN_OK;
    }
}

void model_stay(struct model *m, struct model_alloc *a)
{
    m->lefts += a->moving;
    a->moving = false;
}

struct five_tuple model_tuple(const struct model_alloc *a)
{
    return (struct five_tuple){a->client, a->server, a->away ? 0 : a->transport};
}

/* A late Allocate must not find the place empty. */
static void bury(struct model *m, const struct model_alloc *a, uint64_t now_ms)
{
    if (now_ms - a->created_ms < CREATED_MS) {
        struct model_dead *d = &m->dead[m->next_dead++ % MODEL_DEAD];
        *d = (struct model_dead){a->client, a->server, {0}, now_ms + CREATED_MS};
        memcpy(d->tid, a->tid, STUN_TID);
    }
}

void model_lose(struct model *m, struct model_alloc *a, uint64_t now_ms)
{
    bury(m, a, now_ms);
    a->away = true;
    m->lefts++;
}

void model_return(struct model *m, struct model_alloc *a, const struct net_addr *client,
                  const struct net_addr *server)
{
    a->away = false;
    a->client = *client;
    a->server = *server;
    m->moves++;
    m->lefts++;
}

void model_move(struct model *m, struct model_alloc *a, const struct model_input *at)
{
    model_stay(m, a);
    a->moved_ms = at->now_ms;
    memcpy(a->move_tid, at->in->tid, STUN_TID);
    if (net_addr_equal(&a->client, at->from) && net_addr_equal(&a->server, at->to)) {
        return; /* it comes back */
    }
    a->moving = true; /* T-8016-3.2.2-08 */
    a->coming_client = *at->from;
    a->coming_server = *at->to;
    m->moves++;
}

void model_arrive(struct model *m, struct model_alloc *a, uint64_t now_ms)
{
    bury(m, a, now_ms);
    model_stay(m, a);
    a->client = a->coming_client;
    a->server = a->coming_server;
}

/* What is a Send indication or a ChannelData message at all (T-8016-3.2.2-09). */
static bool is_data(const struct model *m, const struct intent *in)
{
    if (in->kind == INTENT_SEND) {
        return in->peer_count > 0 && in->peer[0].addr.port != 0 && !in->unknown_attr;
    }
    return in->kind == INTENT_CHANNEL && !in->short_length && in->channel >= 0x4000 &&
           in->channel <= (m->config->channels_5766 ? 0x7fff : 0x4fff);
}

void model_hear(struct model *m, const struct model_input *at)
{
    struct model_alloc *a = model_record(m, at->from, at->to);

    if (a != NULL && is_data(m, at->in) && model_is_coming(a, at->from, at->to)) {
        model_arrive(m, a, at->now_ms);
    }
}
