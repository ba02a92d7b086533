/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: the answer is one of the right ones, carries what it must, and changes what it should.
 */
#include <errno.h>
#include <string.h>

#include "conns.h"
#include "referee.h"
#include "wire/stun_code.h"

enum {
    STRANGER_MAX = 548, /* the largest answer to one who has not proven who he is: T-8489-6.1-01 */
    ANSWER_MAX = 1232,
};

/* The relays that came out of an Allocate are the ones asked for, new, and even when even ones
 * were. */
static void check_relays(struct sim *sim, const struct expect *e, const struct reply *r)
{
    for (uint32_t i = 0; i < r->relayed_count; i++) {
        const struct net_addr *at = &r->relayed[i];
        const struct net_addr own = peers_addr(peers_own(at->family), at->port);
        int index;
        if (!net_addr_equal(at, &own) || i >= sim->site.opened_count ||
            !net_addr_equal(at, &sim->site.opened[i]) || at->port < sim->model.port_min ||
            at->port > sim->model.port_max ||
            (e->even != EVEN_NO && !e->redeem && at->port % 2 != 0) ||
            (at->family != e->family[0] && at->family != e->family[1])) {
            sim_fail(sim, "relayed address %u is not what was asked for", at->port);
        }
        if (model_of_relay(&sim->model, at, &index) != NULL) {
            sim_fail(sim, "relay port %u belongs to another allocation", at->port);
        }
    }
}

/* The ticket in the answer is the one in force from now on, or still is. */
static void check_ticket(struct sim *sim, struct model_alloc *a, const struct reply *r, bool again)
{
    struct intent_ticket *ticket = &a->ticket;
    const struct intent_ticket before = *ticket;

    if (r->ticket.n != INTENT_TICKET_LEN) {
        sim_fail(sim, "a ticket of %zu bytes", r->ticket.n);
        return;
    }
    const bool same = memcmp(r->ticket.p, before.bytes, INTENT_TICKET_LEN) == 0;
    const bool expected = again && before.generation == sim->model.nonce_generation;
    if (same != expected) {
        sim_fail(sim, "the ticket is %s as before", same ? "the same" : "not the same");
    }
    ticket->known = true;
    ticket->generation = sim->model.nonce_generation;
    ticket->number = a->number;
    ticket->serial = before.serial + !again;
    memcpy(ticket->bytes, r->ticket.p, INTENT_TICKET_LEN);
    sim->ticket = *ticket;
}

static void commit_allocate(struct sim *sim, const struct model_input *at, const struct expect *e,
                            const struct reply *r)
{
    const uint32_t wanted =
        (e->family[0] != NET_NONE ? 1U : 0U) + (e->family[1] != NET_NONE ? 1U : 0U);

    check_relays(sim, e, r);
    struct model_alloc *a = model_new(&sim->model);
    if (a == NULL || r->relayed_count == 0 ||
        (r->relayed_count != wanted && !sim->options.faults)) {
        sim_fail(sim, "an allocation with %u relays instead of %u", r->relayed_count, wanted);
        return;
    }
    a->used = true;
    a->client = *at->from;
    a->server = *at->to;
    a->transport = at->transport;
    a->protocol = at->in->transport;
    a->core = at->core;
    a->user = e->integrity == MODEL_UNSIGNED ? MODEL_ANONYMOUS : at->in->user;
    a->created_ms = at->now_ms;
    memcpy(a->tid, at->in->tid, STUN_TID);
    a->token = sim->site.new_token;
    a->number = ++sim->model.alloc_number;
    a->mobile = at->in->ticket_use == TICKET_ASK;
    if (a->mobile) {
        check_ticket(sim, a, r, false);
    }
    for (uint32_t i = 0; i < r->relayed_count; i++) {
        a->relay[r->relayed[i].family - NET_V4] =
            (struct model_relay){true, r->relayed[i], at->now_ms + (uint64_t)e->lifetime_s * 1000};
    }
}

/* RFC 8656 section 7.2: the same relays and token, the time that is left. */
static void check_repeat(struct sim *sim, const struct expect *e, const struct reply *r)
{
    struct model_alloc *a = e->alloc;
    uint64_t left_ms = 0;
    uint32_t n = 0;

    for (uint8_t family = NET_V4; family <= NET_V6; family++) {
        const struct model_relay *relay = &a->relay[family - NET_V4];
        if (!model_relay_alive(a, family, sim->now_ms)) {
            continue;
        }
        if (n >= r->relayed_count || !net_addr_equal(&r->relayed[n], &relay->bound)) {
            sim_fail(sim, "a repeated Allocate got another relay");
        }
        n++;
        left_ms =
            relay->expires_ms - sim->now_ms > left_ms ? relay->expires_ms - sim->now_ms : left_ms;
    }
    if (a->mobile) {
        check_ticket(sim, a, r, true);
    }
    if (n != r->relayed_count || r->lifetime_s != left_ms / 1000 || r->token != a->token ||
        sim->site.opened_count != 0) {
        sim_fail(sim, "a repeated Allocate got %u relays, %u s, another token or new ports",
                 r->relayed_count, r->lifetime_s);
    }
}

static void commit_refresh(struct sim *sim, const struct model_input *at, const struct expect *e,
                           const struct reply *r)
{
    struct model_alloc *a = e->alloc;
    const uint8_t family = at->in->requested_family;

    if (r->lifetime_s != e->lifetime_s) {
        sim_fail(sim, "refreshed for %u s instead of %u s", r->lifetime_s, e->lifetime_s);
    }
    if (e->ticket != MODEL_NO_TICKET && (e->lifetime_s > 0 || e->survives)) {
        sim->seen.shown += !e->retransmission;
        sim->seen.shown_again += e->retransmission;
        check_ticket(sim, a, r, e->retransmission);
        if (!e->retransmission) {
            model_move(&sim->model, a, at);
        }
    }
    if (e->lifetime_s == 0) {
        if (a->used != e->survives || (a->used && a->relay[family - NET_V4].open)) {
            sim_fail(sim, "after a deletion the allocation is %s", a->used ? "there" : "gone");
        }
        return;
    }
    for (uint8_t f = NET_V4; f <= NET_V6; f++) {
        if (model_relay_alive(a, f, at->now_ms) && (family == NET_NONE || family == f)) {
            a->relay[f - NET_V4].expires_ms = at->now_ms + (uint64_t)e->lifetime_s * 1000;
        }
    }
}

static void commit(struct sim *sim, const struct model_input *at, const struct expect *e,
                   const struct reply *r)
{
    const struct intent *in = at->in;
    const struct turn_config *config = sim->model.config;
    const uint64_t permitted_ms = at->now_ms + (uint64_t)config->permission_s * 1000;

    switch ((int)in->kind) {
    case INTENT_ALLOCATE:
        if (e->retransmission) {
            sim->seen.repeated++;
            check_repeat(sim, e, r);
        } else {
            sim->seen.redeemed += e->redeem;
            sim->seen.dual += r->relayed_count == 2;
            commit_allocate(sim, at, e, r);
        }
        break;
    case INTENT_REFRESH:
        commit_refresh(sim, at, e, r);
        break;
    case INTENT_PERMIT:
        for (uint32_t i = 0; i < in->peer_count; i++) {
            model_permit(e->alloc, &in->peer[i], permitted_ms, at->now_ms);
        }
        break;
    case INTENT_CONN_BIND:
        if (!e->conn->bound) {
            sim_fail(sim, "a ConnectionBind has succeeded, and nothing is bound");
        }
        break;
    case INTENT_BIND:
        model_bind(e->alloc, in, at->now_ms + (uint64_t)config->channel_s * 1000, at->now_ms);
        model_permit(e->alloc, &in->peer[0], permitted_ms, at->now_ms);
        break;
    default:
        break;
    }
}

/* A response came out: is it one of the right ones, sent to the right place? */
static void judge_answer(struct sim *sim, const struct model_input *at, const struct expect *e,
                         const struct net_packet *packet)
{
    const struct intent *in = at->in;
    struct client *reader = &sim->reader;
    struct intent_nonce nonce = {.known = false};
    const bool unsigned_ = e->integrity == MODEL_UNSIGNED;

    reader->auth = in->auth;
    reader->user = users_name(in->user);
    reader->password = users_password(in->user);
    reader->realm = users_realm(in->user);
    const struct reply r = client_read(reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);
    const bool refused = r.msg.class == STUN_ERROR;
    const int code = refused ? r.code : 0;

    trace_say(&sim->trace, at->now_ms, "    answered %d", code);

    if (!expect_has(e, code) &&
        !(sim->options.faults && !unsigned_ && code == STUN_INSUFFICIENT_CAPACITY)) {
        sim_fail(sim, "answered %d, the model says %d (or %u others)", code,
                 e->code_count > 0 ? e->code[0] : -1, e->code_count > 0 ? e->code_count - 1 : 0);
        return;
    }
    if (!net_addr_equal(&sim->pkt.remote, &packet->from) ||
        !net_addr_equal(&sim->pkt.local, &packet->to) ||
        sim->pkt.port != site_listener(sim, &packet->to) || sim->pkt.tos != 0 || sim->pkt.df ||
        sim->pkt.transport != at->transport) {
        sim_fail(sim, "the answer leaves on another way than the request came");
    }
    reply_check(sim, in, e, &r, sim->pkt.len);
    if (sim->pkt.len > (unsigned_ && refused ? STRANGER_MAX : ANSWER_MAX)) {
        sim_fail(sim, "an answer of %u bytes", sim->pkt.len);
    }
    if (unsigned_ && refused) {
        model_charge(&sim->model, at->core, at->transport, at->from, at->now_ms);
    }
    sim->seen.answer[in->kind][code]++;
    if (!refused) {
        commit(sim, at, e, &r);
    }
    if (r.nonce.n > 0) {
        nonce = (struct intent_nonce){
            .known = true,
            .generation = sim->model.nonce_generation,
            .issued_s = at->wall_s,
            .issued_to = model_nonce_owner(at->from, at->transport),
            .offered = sim->model.config->main.algorithms,
        };
    }
    referee_send(sim, &nonce);
}

static void keep_waiting(struct sim *sim, struct net_packet *packet)
{
    sim->seen.waited++;
    if (sim->pkt.len != packet->len || memcmp(sim->pkt.data, packet->data, packet->len) != 0) {
        sim_fail(sim, "a packet that waits was changed");
    }
    if (sim->site.waiting_count < SIM_WAITING) {
        sim->site.waiting[sim->site.waiting_count++] = packet;
        return;
    }
    net_put(&sim->net, packet);
}

void referee_request(struct sim *sim, const struct model_input *at, struct net_packet *packet)
{
    static const int answers[] = {0, 0, 0, 0, 0, 0, 0, 0, -ENOSPC, -ECONNREFUSED};
    struct expect e;

    sim->model.connect_answer = answers[prng_below(&sim->random, ARRAY_SIZE(answers))];
    model_request(&sim->model, at, &e);
    sim->site.deleting = at->in->kind == INTENT_REFRESH && expect_has(&e, 0) && e.lifetime_s == 0;
    const enum turn_verdict verdict = referee_submit(sim, at);
    sim->site.deleting = false;
    if (e.alloc != NULL && e.alloc->used && e.alloc->heard) {
        sim_fail(sim, "a client has not arrived that was heard");
    }
    if (verdict == TURN_TO_CLIENT) {
        judge_answer(sim, at, &e, packet);
    } else if (verdict == TURN_LATER) {
        conns_begin(sim, &e, packet);
        return;
    } else if (!(verdict == TURN_DROP && e.drop) && !(verdict == TURN_WAIT && e.wait)) {
        sim_fail(sim, "request %d: verdict %d, the model says %d", (int)at->in->kind, (int)verdict,
                 e.code_count > 0 ? e.code[0] : -1);
    }
    if (verdict == TURN_WAIT) {
        keep_waiting(sim, packet);
        return;
    }
    net_put(&sim->net, packet);
}
