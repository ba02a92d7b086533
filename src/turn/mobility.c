/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that move (RFC 8016).
 *
 *   Refresh with a ticket from B        ChannelData or Send from B,
 *        |                              or the connection from A is closed
 *        v                                   |
 *   A ---+--- A, coming to B ----------------+--- B
 *              packets to the client go to A      A is free for others
 *
 * Each success makes a new ticket; the one before is good only for that Refresh, once more.
 *
 * A client whose connection ends while it is at A alone is away: its allocation waits for it, until
 * its time is over, and then it arrives at B at once. */
#include <errno.h>
#include <string.h>

#include "turn/turn_int.h"

static bool same_tuple(const struct five_tuple *a, const struct five_tuple *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* --- the record ---------------------------------------------------------------------------------
 */

int turn_mobile_get(struct turn_tables *t, struct turn_alloc *alloc)
{
    struct turn_mobile *mobile = slab_get(t->mobile_slab);
    if (mobile == NULL) {
        return -ENOMEM;
    }
    mobile->serial = 1;
    mobile->alloc = alloc;
    alloc->mobile = mobile;
    return 0;
}

int turn_mobile_come(struct turn_tables *t, struct turn_alloc *alloc,
                     const struct five_tuple *tuple, void *listener)
{
    struct turn_mobile *mobile = alloc->mobile;

    turn_mobile_stop(t, alloc); /* then there is room for it again */
    mobile->coming = *tuple;
    const int err = table_insert(&t->coming, mobile);
    if (err < 0) {
        return err;
    }
    mobile->moving = true;
    mobile->listener = listener;
    return 0;
}

void turn_mobile_stop(struct turn_tables *t, struct turn_alloc *alloc)
{
    struct turn_mobile *mobile = alloc->mobile;

    if (mobile->moving) {
        (void)table_remove(&t->coming, &mobile->coming);
        mobile->moving = false;
    }
}

void turn_mobile_put(struct turn_tables *t, struct turn_alloc *alloc)
{
    if (alloc->mobile != NULL) {
        turn_mobile_stop(t, alloc);
        slab_put(t->mobile_slab, alloc->mobile);
        alloc->mobile = NULL;
    }
}

/* --- tickets ------------------------------------------------------------------------------------
 */

/* RFC 8016 section 5: only under the long-term mechanism, or TLS or DTLS. */
bool turn_mobility_allowed(const struct turn_call *call)
{
    const struct turn_config *config = call->server->config;

    return config->mobility && (config->require_auth || call->tuple.protocol == NET_TLS ||
                                call->tuple.protocol == NET_DTLS);
}

static int seal_into(struct turn_call *call, const struct turn_alloc *alloc, uint32_t serial)
{
    struct turn_ticket_content content = {.session = alloc->session, .serial = serial};
    int err = turn_ticket_mark(call->server, alloc, &content.mark);

    err = err < 0 ? err : turn_ticket_seal(call->server, &content, call->new_ticket);
    call->ticket_out = err == 0;
    return err;
}

enum stun_code turn_mobility_begin(struct turn_call *call, struct turn_alloc *alloc)
{
    if (turn_mobile_get(&call->server->tables, alloc) < 0) {
        return STUN_INSUFFICIENT_CAPACITY;
    }
    return seal_into(call, alloc, alloc->mobile->serial) < 0 ? STUN_SERVER_ERROR : STUN_OK;
}

enum stun_code turn_mobility_repeat(struct turn_call *call, const struct turn_alloc *alloc)
{
    return seal_into(call, alloc, alloc->mobile->serial) < 0 ? STUN_SERVER_ERROR : STUN_OK;
}

/* Where the client was last granted to be. */
static const struct five_tuple *latest(const struct turn_alloc *alloc)
{
    return alloc->mobile->moving ? &alloc->mobile->coming : &alloc->tuple;
}

/* RFC 8016 section 3.2.2: for at least 30 seconds a Refresh is known by its old ticket. */
static bool is_again(const struct turn_call *call, const struct turn_alloc *alloc, uint32_t serial)
{
    const struct turn_mobile *mobile = alloc->mobile;

    return serial + 1 == mobile->serial && mobile->moved_ms + TURN_TRANSACTION_MS > call->now_ms &&
           memcmp(mobile->tid, call->req->msg.tid, STUN_TID) == 0 &&
           same_tuple(&call->tuple, latest(alloc));
}

/* What an authentic ticket is worth at the allocation that it names. */
static enum turn_ticket appraise(const struct turn_call *call, const struct turn_alloc *alloc,
                                 uint32_t serial)
{
    if (is_again(call, alloc, serial)) {
        return TURN_TICKET_AGAIN;
    }
    if (serial != alloc->mobile->serial) {
        return TURN_TICKET_OLD;
    }
    return same_tuple(&call->tuple, latest(alloc)) ? TURN_TICKET_SAME : TURN_TICKET_GOOD;
}

/* The ticket's allocation is not here. */
static enum turn_ticket ask_around(struct turn_server *s, uint64_t session)
{
    const int owner =
        s->fx.session_owner != NULL ? s->fx.session_owner(s->fx.arg, session) : -ENOENT;

    if (owner < 0) {
        return TURN_TICKET_GONE;
    }
    if ((uint32_t)owner == s->instance) {
        return TURN_TICKET_TRAVELLING;
    }
    s->elsewhere = (uint32_t)owner;
    return TURN_TICKET_ELSEWHERE;
}

/* The 5-tuple of the packet is not what counts (RFC 8016 section 3.2.2). */
int turn_mobility_find(struct turn_call *call)
{
    struct turn_server *s = call->server;
    struct turn_ticket_content content;
    uint32_t mark = 0;

    if (!turn_mobility_allowed(call)) {
        call->ticket = TURN_TICKET_FORBIDDEN;
        return 0;
    }
    const bool taken = call->alloc != NULL;
    call->alloc = NULL;
    int err = turn_ticket_open(s, call->req->ticket, &content);
    if (err < 0) {
        call->ticket = TURN_TICKET_INVALID;
        return err == -EBADMSG ? 0 : err;
    }
    struct turn_alloc *alloc = turn_alloc_numbered(&s->tables, content.session);
    if (alloc == NULL) {
        call->ticket = taken ? TURN_TICKET_GONE : ask_around(s, content.session);
        return 0;
    }
    alloc = turn_current(s, alloc, call->now_ms);
    if (alloc == NULL) {
        call->ticket = TURN_TICKET_GONE;
        return 0;
    }
    err = turn_ticket_mark(s, alloc, &mark);
    if (err < 0 || alloc->mobile == NULL || mark != content.mark) {
        call->ticket = TURN_TICKET_GONE;
        return err;
    }
    call->alloc = alloc;
    call->ticket = appraise(call, alloc, content.serial);
    call->retransmission = call->ticket == TURN_TICKET_AGAIN;
    return 0;
}

enum stun_code turn_mobility_judge(const struct turn_call *call)
{
    switch ((int)call->ticket) {
    case TURN_TICKET_FORBIDDEN:
        return STUN_MOBILITY_FORBIDDEN;
    case TURN_TICKET_INVALID:
    case TURN_TICKET_OLD:
    case TURN_TICKET_SAME:
        return STUN_BAD_REQUEST;
    case TURN_TICKET_GONE:
        return STUN_ALLOCATION_MISMATCH;
    default:
        return STUN_OK;
    }
}

/* --- moving -------------------------------------------------------------------------------------
 */

static void tell_left(struct turn_server *s, const struct turn_alloc *alloc,
                      const struct five_tuple *was, void *was_listener)
{
    struct turn_event event = turn_event_about(s, alloc, TURN_EVENT_LEFT);

    event.was = was;
    event.was_listener = was_listener;
    s->fx.event(s->fx.arg, &event);
}

static void tell_moved(struct turn_server *s, const struct turn_alloc *alloc)
{
    const struct turn_mobile *mobile = alloc->mobile;
    struct turn_event event = turn_event_about(s, alloc, TURN_EVENT_MOVED);

    event.client = &mobile->coming.client;
    event.server = &mobile->coming.server;
    event.transport = (uint8_t)mobile->coming.protocol;
    event.listener = mobile->listener;
    event.was = &alloc->tuple;
    event.was_listener = alloc->listener;
    s->fx.event(s->fx.arg, &event);
}

/* Serve `call->tuple`, too.  It may be the address that the client had begun to move away from. */
static int come(struct turn_call *call)
{
    struct turn_server *s = call->server;
    struct turn_alloc *alloc = call->alloc;
    const struct turn_mobile before = *alloc->mobile;

    if (same_tuple(&call->tuple, &alloc->tuple)) {
        alloc->listener = call->pkt->port;
        turn_mobility_stay(s, alloc);
        return 0;
    }
    const int err = turn_mobile_come(&s->tables, alloc, &call->tuple, call->pkt->port);
    if (err == 0 && before.moving) {
        tell_left(s, alloc, &before.coming, before.listener);
    }
    if (err == 0) {
        tell_moved(s, alloc);
    }
    return err;
}

enum stun_code turn_mobility_move(struct turn_call *call)
{
    struct turn_alloc *alloc = call->alloc;
    struct turn_mobile *mobile = alloc->mobile;

    if (call->ticket == TURN_TICKET_AGAIN) {
        return turn_mobility_repeat(call, alloc);
    }
    if (alloc->protocol == NET_TCP && !net_is_stream(call->tuple.protocol)) {
        return STUN_BAD_REQUEST; /* RFC 6062 section 4: its control connection is a stream */
    }
    const struct turn_alloc *other = turn_alloc_find(&call->server->tables, &call->tuple);
    if (other != NULL && other != alloc) {
        return STUN_ALLOCATION_MISMATCH; /* that address is taken */
    }
    if (seal_into(call, alloc, mobile->serial + 1) < 0) {
        return STUN_SERVER_ERROR;
    }
    if (come(call) < 0) {
        call->ticket_out = false;
        return STUN_INSUFFICIENT_CAPACITY;
    }
    if (turn_client_away(alloc)) {
        turn_mobility_arrive(call->server, alloc, call->now_ms); /* there is no old address */
    }
    turn_flow_update(call->server, alloc, NULL, call->now_ms);
    mobile->serial++;
    mobile->moved_ms = call->now_ms;
    memcpy(mobile->tid, call->req->msg.tid, STUN_TID);
    return STUN_OK;
}

void turn_mobility_arrive(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    struct turn_mobile *mobile = alloc->mobile;
    const struct five_tuple was = alloc->tuple;
    void *was_listener = alloc->listener;

    if (mobile == NULL || !mobile->moving) {
        return;
    }
    if (!turn_client_away(alloc)) {
        turn_tombstone_keep(&s->tables, alloc, false, now_ms);
    }
    turn_mobile_stop(&s->tables, alloc);
    turn_alloc_readdress(&s->tables, alloc, &mobile->coming);
    alloc->listener = mobile->listener;
    tell_left(s, alloc, &was, was_listener);
    turn_flow_update(s, alloc, NULL, now_ms);
}

void turn_mobility_stay(struct turn_server *s, struct turn_alloc *alloc)
{
    struct turn_mobile *mobile = alloc->mobile;

    if (mobile != NULL && mobile->moving) {
        turn_mobile_stop(&s->tables, alloc);
        tell_left(s, alloc, &mobile->coming, mobile->listener);
    }
}

void turn_mobility_lose(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    const struct five_tuple was = alloc->tuple;
    void *was_listener = alloc->listener;
    struct five_tuple nowhere = {.client = {.family = NET_NONE}};

    be64_put(nowhere.client.ip.b, alloc->session); /* no other has it */
    turn_tombstone_keep(&s->tables, alloc, false, now_ms);
    turn_alloc_readdress(&s->tables, alloc, &nowhere);
    alloc->listener = NULL;
    tell_left(s, alloc, &was, was_listener);
}

void turn_mobility_heard(struct turn_server *s, struct turn_alloc *alloc,
                         const struct five_tuple *tuple, uint64_t now_ms)
{
    if (alloc->mobile->moving && same_tuple(tuple, &alloc->mobile->coming)) {
        turn_mobility_arrive(s, alloc, now_ms);
    }
}
