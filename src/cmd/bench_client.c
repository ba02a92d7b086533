/* SPDX-License-Identifier: Apache-2.0 */
/* The requests of a client:
 *
 *   CONNECT -> ALLOCATE -> BIND -> READY -> (REFRESH -> REBIND -> READY)... -> DELETE -> IDLE
 *
 * Each is sent again until it is answered, over UDP, as RFC 8489 section 6.2.1 says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/bench_int.h"
#include "cmd/probe_advice.h"
#include "cmd/probe_reply.h"
#include "wire/stun_code.h"

enum {
    RTO_MS = 500,     /* RFC 8489 section 6.2.1 */
    AGAIN_MS = 20,    /* a connection that takes nothing now */
    TRIES = 4,        /* of a request: challenges, stale nonces */
    MOVES = 32,       /* of an allocation: with one address, many ports have been used already */
    KEEP_MS = 200000, /* permissions live for 300 s (RFC 8656 section 9) */
};

static struct bench_client *client_at(const struct bench_engine *e, uint32_t i)
{
    return &e->clients[i];
}

/* --- what has become of a client ---------------------------------------------------------------
 */

/* Waits the client for an answer that a phase waits for, too? */
static bool is_awaited(const struct bench_client *c)
{
    return c->step == BENCH_CONNECT || c->step == BENCH_ALLOCATE || c->step == BENCH_BIND ||
           c->step == BENCH_DELETE;
}

static void set_step(struct bench_engine *e, struct bench_client *c, enum bench_step step)
{
    e->active -= is_awaited(c);
    c->step = (uint8_t)step;
    e->active += is_awaited(c);
    c->tries = 0;
}

/* Client `i` gets no further.  The first one's reason is kept. */
static void give_up(struct bench_engine *e, uint32_t i, const char *text, const char *advice)
{
    struct bench_client *c = client_at(e, i);
    struct bench_alloc_total *total = &e->result->alloc;

    wheel_cancel(&e->wheel, &c->timer);
    if (e->phase != BENCH_TEARDOWN) {
        if (total->failure[0] == '\0') {
            snprintf(total->failure, sizeof(total->failure), "%s: %s. %s", bench_request_name(e, c),
                     text, advice);
        }
        total->ended += c->live;
        total->failed += !c->live;
    }
    c->live = false;
    set_step(e, c, BENCH_GONE);
    if (bench_is_stream(e)) {
        bench_conn_close(&c->conn);
    }
    if (e->setup->pairs && client_at(e, i ^ 1)->step == BENCH_WAIT) {
        give_up(e, i ^ 1, "the other one of the pair failed", "");
    }
}

void bench_client_lost(struct bench_engine *e, uint32_t i, int err, const char *why)
{
    const struct bench_client *c = client_at(e, i);

    if (c->step == BENCH_GONE || c->step == BENCH_IDLE) {
        return;
    }
    if (why != NULL && why[0] != '\0') {
        give_up(e, i, why, "Look at the server's certificate, at --ca and --insecure.");
    } else if (err == -ECONNREFUSED) {
        give_up(e, i, strerror(-err),
                "Nobody listens there: start the server, or give the port that it listens on.");
    } else if (err == -ECONNRESET || err == -EPIPE) {
        give_up(e, i, "the server closed the connection",
                "It refuses it (limits, TLS settings), or has ended: its log tells.");
    } else {
        give_up(e, i, strerror(-err), probe_advice_errno(err));
    }
}

static void refuse(struct bench_engine *e, uint32_t i, const struct probe_reply *reply)
{
    char text[64];
    const char *advice = probe_advice_code(reply->code);

    if (reply->code == STUN_UNAUTHENTICATED && !e->auth.has_credentials) {
        advice = "The server asks for credentials: give -u USER with --password-stdin, or "
                 "--secret-stdin.";
    }
    if (reply->code == STUN_FORBIDDEN) {
        advice = "The server does not relay to our peers' address (--peer-address): allow it "
                 "there (allowed-peer-ip, allow-loopback-peers, allow-private-peers).";
    }
    e->result->alloc.refused++;
    snprintf(text, sizeof(text), "%d %s", reply->code,
             stun_code_phrase((enum stun_code)reply->code));
    give_up(e, i, text, advice);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Send the request of the step under way, and wait. */
static void transmit(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);
    uint8_t buf[BENCH_TX_REQUEST];
    const int n = bench_request_encode(e, i, buf, sizeof(buf));
    int err = n < 0 ? n : bench_link_request(e, i, buf, (uint32_t)n);

    if (err == -EAGAIN) {
        wheel_start(&e->wheel, &c->timer, bench_now_ms(e) + AGAIN_MS);
        return;
    }
    if (err < 0) {
        bench_client_lost(e, i, err, NULL);
        return;
    }
    const uint64_t next = bench_now_ms(e) + c->wait_ms;
    wheel_start(&e->wheel, &c->timer,
                bench_is_stream(e) || next > c->deadline_ms ? c->deadline_ms : next);
}

/* A new transaction. */
static void ask(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);

    c->turn++;
    c->wait_ms = RTO_MS;
    c->deadline_ms = bench_now_ms(e) + bench_timeout_ms(e);
    c->forged = false;
    transmit(e, i);
}

static void enter(struct bench_engine *e, uint32_t i, enum bench_step step)
{
    set_step(e, client_at(e, i), step);
    ask(e, i);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int keep_nonce(struct bench_client *c, struct bytes nonce)
{
    if (nonce.n > c->nonce_cap) {
        uint8_t *room = mem_new(1, nonce.n);
        if (room == NULL) {
            return -ENOMEM;
        }
        free(c->nonce);
        c->nonce = room;
        c->nonce_cap = (uint16_t)nonce.n;
    }
    memcpy(c->nonce, nonce.p, nonce.n);
    c->nonce_len = (uint16_t)nonce.n;
    return 0;
}

/* The first challenge teaches realm and algorithm; the others, only their nonce. */
static int learn(struct bench_engine *e, struct bench_client *c, const struct probe_reply *reply)
{
    const struct probe_auth *auth = &e->auth;
    const bool known = auth->learned && reply->nonce.n > 0 && reply->nonce.n <= PROBE_TEXT_MAX &&
                       (reply->realm.n == 0 ||
                        bytes_equal(reply->realm, (struct bytes){auth->realm, auth->realm_len}));

    if (!known) {
        const int err = probe_auth_learn(&e->auth, reply);
        if (err < 0) {
            return err;
        }
    }
    return keep_nonce(c, reply->nonce);
}

static void on_deleted(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);

    if (e->setup->mix == BENCH_ALLOC && e->phase == BENCH_LOAD) {
        bench_count_allocation(e, e->now_ns - c->began_ns);
        e->result->alloc.cycles++;
    }
    wheel_cancel(&e->wheel, &c->timer);
    set_step(e, c, BENCH_IDLE);
    c->live = false;
    if (bench_is_stream(e)) {
        bench_conn_close(&c->conn);
    }
    if (e->setup->mix == BENCH_ALLOC) {
        (void)bench_place_turn(e, i);
    }
}

/* The server remembers an allocation that was here: begin again from elsewhere. */
static void move(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);
    const int err = bench_open_renew(e, i);

    c->nonce_len = 0;
    c->tries = 0;
    e->must_move = true;
    if (err < 0) {
        give_up(e, i, strerror(-err), probe_advice_errno(err));
        return;
    }
    ask(e, i);
}

static void on_error(struct bench_engine *e, uint32_t i, const struct probe_reply *reply)
{
    struct bench_client *c = client_at(e, i);
    /* RFC 8489 section 9.2.5: a 401 to a signed request is final.  But a nonce that was kept from
     * an earlier allocation may have been forgotten, with all else about this client. */
    const bool again = reply->code == STUN_STALE_NONCE ||
                       (reply->code == STUN_UNAUTHENTICATED && e->auth.has_credentials &&
                        c->step == BENCH_ALLOCATE && c->tries == 0);

    if (c->step == BENCH_DELETE && reply->code == STUN_ALLOCATION_MISMATCH) {
        on_deleted(e, i); /* the response to an earlier sending was lost */
        return;
    }
    if (c->step == BENCH_ALLOCATE && reply->code == STUN_ALLOCATION_MISMATCH &&
        e->setup->mix == BENCH_ALLOC && !bench_is_stream(e) && ++c->moves < MOVES) {
        move(e, i);
        return;
    }
    if (!again || ++c->tries >= TRIES) {
        refuse(e, i, reply);
        return;
    }
    const int err = learn(e, c, reply);
    if (err < 0) {
        give_up(e, i, strerror(-err), probe_advice_errno(err));
        return;
    }
    ask(e, i);
}

static void rest(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);

    set_step(e, c, BENCH_READY);
    wheel_start(&e->wheel, &c->timer, bench_now_ms(e) + c->keep_ms + i % (c->keep_ms / 8 + 1));
}

static void on_allocated(struct bench_engine *e, uint32_t i, const struct probe_reply *reply)
{
    struct bench_client *c = client_at(e, i);

    if (reply->relayed.family == NET_NONE) {
        give_up(e, i, "a success without XOR-RELAYED-ADDRESS", "This is no TURN server.");
        return;
    }
    c->relayed = reply->relayed;
    const uint64_t half_ms = (uint64_t)reply->lifetime_s * 1000 / 2; /* 0: it told none */
    c->keep_ms = half_ms == 0 || half_ms > KEEP_MS ? KEEP_MS : (uint32_t)half_ms;
    bench_socket_name(&c->relayed, &c->relay);
    if (e->setup->mix == BENCH_ALLOC) {
        enter(e, i, BENCH_DELETE);
        return;
    }
    bench_count_allocation(e, e->now_ns - c->began_ns);
    if (!e->setup->pairs) {
        enter(e, i, BENCH_BIND);
    } else if (client_at(e, i ^ 1)->step == BENCH_WAIT) {
        enter(e, i ^ 1, BENCH_BIND);
        enter(e, i, BENCH_BIND);
    } else {
        wheel_cancel(&e->wheel, &c->timer);
        set_step(e, c, BENCH_WAIT);
    }
}

static void on_success(struct bench_engine *e, uint32_t i, const struct probe_reply *reply)
{
    struct bench_client *c = client_at(e, i);

    switch (c->step) {
    case BENCH_ALLOCATE:
        on_allocated(e, i, reply);
        break;
    case BENCH_BIND:
        c->live = true;
        e->result->alloc.ready++;
        rest(e, i);
        break;
    case BENCH_REFRESH:
        enter(e, i, BENCH_REBIND);
        break;
    case BENCH_REBIND:
        rest(e, i);
        break;
    case BENCH_DELETE:
        on_deleted(e, i);
        break;
    default:
        break;
    }
}

/* RFC 8489 section 9.2.5: these cannot be signed. */
static bool may_be_unsigned(const struct probe_reply *reply)
{
    return reply->code == STUN_UNAUTHENTICATED || reply->code == STUN_STALE_NONCE ||
           reply->code == STUN_TRY_ALTERNATE;
}

void bench_client_message(struct bench_engine *e, uint32_t i, struct bytes message)
{
    struct bench_client *c = client_at(e, i);
    struct probe_reply reply;
    uint8_t tid[STUN_TID];

    if (c->step >= BENCH_WAIT || c->step == BENCH_CONNECT ||
        probe_reply_decode(message, &reply) < 0 ||
        (reply.msg.class != STUN_SUCCESS && reply.msg.class != STUN_ERROR)) {
        return;
    }
    bench_request_tid(e, i, tid);
    if (reply.msg.method != bench_request_method(e, c) ||
        memcmp(reply.msg.tid, tid, STUN_TID) != 0) {
        return;
    }
    if (bench_request_signed(e, c) && !may_be_unsigned(&reply) &&
        probe_auth_check(&e->auth, e->mac, &reply) < 0) {
        c->forged = true; /* as if it had not come */
        return;
    }
    if (reply.code != 0) {
        on_error(e, i, &reply);
    } else {
        on_success(e, i, &reply);
    }
}

/* --- from outside ----------------------------------------------------------------------------- */

void bench_client_start(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);

    c->began_ns = e->now_ns;
    c->nonce_len = 0;
    c->moves = 0;
    c->refused = false;
    if (!bench_is_stream(e)) {
        if (e->must_move && !e->sockets[0].sourced) {
            set_step(e, c, BENCH_ALLOCATE);
            move(e, i);
        } else {
            enter(e, i, BENCH_ALLOCATE);
        }
        return;
    }
    set_step(e, c, BENCH_CONNECT);
    c->deadline_ms = bench_now_ms(e) + bench_timeout_ms(e);
    wheel_start(&e->wheel, &c->timer, c->deadline_ms);
    const int err = bench_link_connect(e, i);
    if (err < 0) {
        bench_client_lost(e, i, err, NULL);
    }
}

void bench_client_connected(struct bench_engine *e, uint32_t i)
{
    enter(e, i, BENCH_ALLOCATE);
}

void bench_client_stop(struct bench_engine *e, uint32_t i)
{
    struct bench_client *c = client_at(e, i);

    if (c->step == BENCH_READY || c->step == BENCH_REFRESH || c->step == BENCH_REBIND ||
        c->step == BENCH_WAIT) {
        enter(e, i, BENCH_DELETE);
    } else if (c->step < BENCH_IDLE && c->step != BENCH_DELETE) {
        wheel_cancel(&e->wheel, &c->timer);
        set_step(e, c, BENCH_GONE);
    }
}

/* Nothing came. */
static const char *silence_advice(const struct bench_engine *e)
{
    if (e->heard) { /* by others, something did */
        return "Others got answers: the server is overloaded (--outstanding, --ramp, --timeout), "
               "or "
               "limits what it answers to one address (unauthorized-ratelimit): spread the clients "
               "over more with --source, or raise the limit.";
    }
    return bench_is_stream(e) ? "Either the host or port is wrong, or a firewall drops TCP to it."
                              : probe_advice_errno(-ETIMEDOUT);
}

static void on_timeout(struct bench_engine *e, uint32_t i)
{
    const struct bench_client *c = client_at(e, i);

    if (c->refused) {
        bench_client_lost(e, i, -ECONNREFUSED, NULL);
    } else if (c->forged) {
        give_up(e, i, "no answer that is signed with our password", probe_advice_errno(-EPERM));
    } else {
        give_up(e, i, "no answer", silence_advice(e));
    }
}

void bench_client_timer(struct bench_engine *e, struct bench_client *c)
{
    const uint32_t i = (uint32_t)(c - e->clients);

    if (c->step == BENCH_READY) {
        enter(e, i, BENCH_REFRESH);
    } else if (c->step >= BENCH_WAIT) {
        return;
    } else if (bench_now_ms(e) >= c->deadline_ms) {
        on_timeout(e, i);
    } else {
        if (!bench_is_stream(e)) {
            c->wait_ms *= 2;
            e->result->alloc.retransmissions++;
        }
        transmit(e, i);
    }
}
