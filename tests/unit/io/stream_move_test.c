/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that move from one engine to another (ConnectionBind on another worker). */
#include "base/mem.h"
#include "io/conn_limit.h"
#include "stream_stage.h"

enum { OWNER = 16 };

/* Two engines with their loops, and a connection in the first. */
struct move {
    struct conn_limit *shared;
    struct stage from;
    struct stage to;
    struct peer *peer;
    struct stream *s;
    struct stream_parcel *parcel; /* of the last detach() */
    unsigned tries;
};

/* Take out whoever sends "go", with what follows that. */
static size_t detach_inside(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    struct move *move = stage->test;

    if (len < 2 || memcmp(data, "go", 2) != 0) {
        return 0;
    }
    move->tries++;
    move->parcel = stream_detach(s, data + 2, len - 2);
    return move->parcel != NULL ? 0 : 2;
}

static void move_open(struct move *move, bool tls)
{
    const struct conn_limits limits = {100, 100, 0, 0};

    *move = (struct move){.shared = conn_limit_new(&limits, 100, (struct hash_key){1, 2})};
    assert_non_null(move->shared);
    const struct stage_options options = {
        .shared = move->shared,
        .owner_bytes = OWNER,
        .sndbuf = 4096,
    };
    stage_open(&move->from, &options);
    stage_open(&move->to, &options);
    move->from.input = detach_inside;
    move->from.test = move;
    move->from.tls = tls ? stage_server_context() : NULL;
    move->peer = peer_join(&move->from, 4096, &move->s);
    if (tls) {
        peer_tls(move->peer, NULL);
        peer_shake(&move->from, move->peer);
    }
}

static void move_close(struct move *move)
{
    peer_free(move->peer);
    stage_close(&move->from);
    stage_close(&move->to);
    assert_int_equal(conn_limit_count(move->shared), 0);
    conn_limit_free(move->shared);
}

static void check_moved(struct move *move, bool tls)
{
    struct stage *to = &move->to;

    peer_text(move->peer, "goon");
    STAGE_UNTIL(&move->from, move->parcel != NULL);
    stage_settle(&move->from);
    assert_int_equal(move->from.closed, 0); /* it has not ended: it is elsewhere */
    assert_int_equal(STAGE_COUNT(&move->from, established), 0);
    assert_int_equal(STAGE_COUNT(&move->from, tls_established), 0);
    peer_text(move->peer, " and"); /* while it is nowhere */
    struct stream *s = stream_attach(to->streams, move->parcel, &to->handler);
    assert_non_null(s);
    assert_int_equal(to->inputs, 0); /* from streams_run() only */
    STAGE_UNTIL(to, to->got.len == 6);
    peer_text(move->peer, " on");
    STAGE_UNTIL(to, to->got.len == 9);
    stage_bytes_are(&to->got, "on and on");
    assert_int_equal(to->opened, 0);
    assert_int_equal(STAGE_COUNT(to, established), 1);
    assert_int_equal(STAGE_COUNT(to, tls_established), tls ? 1 : 0);
    assert_int_equal(conn_limit_count(move->shared), 1);
    assert_string_equal((const char *)stream_owner(s), "luggage");
    assert_true(stage_send(to, s, STREAM_CONTROL, (const uint8_t *)"hello", 5));
    STAGE_UNTIL(to, peer_pump(move->peer) == 5);
    stage_bytes_are(&move->peer->got, "hello");
    stream_finish(s);
    STAGE_UNTIL(to, (peer_pump(move->peer), move->peer->eof));
    assert_int_equal(move->peer->notified, tls);
    peer_fin(move->peer);
    STAGE_UNTIL(to, to->closed == 1);
}

static void move__takes_everything_along(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, false);
    (void)strcpy(stream_owner(move.s), "luggage");
    const struct net_addr remote = *stream_remote(move.s);
    check_moved(&move, false);
    assert_int_equal(remote.family, NET_V4);
    move_close(&move);
}

static void move__takes_tls_along(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, true);
    (void)strcpy(stream_owner(move.s), "luggage");
    check_moved(&move, true);
    move_close(&move);
}

/* The addresses are the same, those that a balancer told, too. */
static void move__keeps_the_addresses(void **state)
{
    struct move move;
    struct net_addr remote;

    (void)state;
    move_open(&move, false);
    assert_int_equal(net_addr_parse("192.0.2.1:7", 0, &remote), 0);
    const struct net_addr local = *stream_local(move.s);
    assert_true(stream_set_addresses(move.s, &remote, &local));
    peer_text(move.peer, "go");
    STAGE_UNTIL(&move.from, move.parcel != NULL);
    struct stream *s = stream_attach(move.to.streams, move.parcel, &move.to.handler);
    assert_true(net_addr_equal(stream_remote(s), &remote));
    assert_true(net_addr_equal(stream_local(s), &local));
    move_close(&move);
}

/* Also from outside a handler, with what is kept of a message. */
static void move__takes_what_is_kept_along(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, false);
    peer_text(move.peer, "half a mess");
    STAGE_UNTIL(&move.from, move.from.inputs == 1);
    move.parcel = stream_detach(move.s, NULL, 0);
    assert_non_null(move.parcel);
    stage_settle(&move.from);
    assert_non_null(stream_attach(move.to.streams, move.parcel, &move.to.handler));
    peer_text(move.peer, "age");
    STAGE_UNTIL(&move.to, move.to.got.len == 14);
    stage_bytes_are(&move.to.got, "half a message");
    assert_int_equal(STAGE_COUNT(&move.from, queued_bytes), 0);
    move_close(&move);
}

/* The end may have come before. */
static void move__tells_the_end_afterwards(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, false);
    peer_text(move.peer, "golast");
    peer_fin(move.peer);
    STAGE_UNTIL(&move.from, move.parcel != NULL);
    stage_settle(&move.from);
    assert_int_equal(move.from.ended, 0);
    assert_non_null(stream_attach(move.to.streams, move.parcel, &move.to.handler));
    STAGE_UNTIL(&move.to, move.to.ended == 1);
    stage_bytes_are(&move.to.got, "last");
    move_close(&move);
}

static void move__waits_while_something_is_unsent(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, false);
    const size_t sum = stage_block(&move.from, move.s, 1000, 5000);
    peer_text(move.peer, "go");
    STAGE_UNTIL(&move.from, move.tries == 1);
    assert_null(move.parcel);
    STAGE_UNTIL(&move.from, peer_pump(move.peer) == sum);
    assert_int_equal(move.from.closed, 0); /* nothing has changed */
    stage_settle(&move.from);
    peer_text(move.peer, "go");
    STAGE_UNTIL(&move.from, move.parcel != NULL);
    stream_parcel_free(move.parcel);
    STAGE_UNTIL(&move.from, (peer_pump(move.peer), move.peer->eof || move.peer->reset));
    move_close(&move);
}

static void move__waits_for_the_handshake(void **state)
{
    struct move move;

    (void)state;
    move_open(&move, false);
    move.from.tls = stage_server_context();
    peer_tls(move.peer, NULL);
    peer_drip(move.peer, 100);
    stage_settle(&move.from);
    assert_null(stream_detach(move.s, NULL, 0));
    move_close(&move);
}

static void attach__closes_when_there_is_no_room(void **state)
{
    struct move move;
    struct stage full;

    (void)state;
    move_open(&move, false);
    stage_open(&full, &(struct stage_options){.owner_bytes = OWNER, .max_streams = 1});
    struct peer *other = peer_join(&full, 0, NULL);
    peer_text(move.peer, "go");
    STAGE_UNTIL(&move.from, move.parcel != NULL);
    assert_null(stream_attach(full.streams, move.parcel, &full.handler));
    STAGE_UNTIL(&full, (peer_pump(move.peer), move.peer->eof || move.peer->reset));
    assert_int_equal(conn_limit_count(move.shared), 0);
    peer_free(other);
    stage_close(&full);
    move_close(&move);
}

static void detach__survives_the_want_of_memory(void **state)
{
    struct move move;

    (void)state;
    mem_fail_at(0);
    if (!mem_fails()) {
        CHECK_SKIP("built without fault injection");
    }
    mem_fail_at(-1);
    move_open(&move, false);
    for (long n = 0; move.parcel == NULL; n++) {
        assert_true(n < 10);
        mem_fail_at(n);
        move.parcel = stream_detach(move.s, (const uint8_t *)"abc", 3);
        mem_fail_at(-1);
        stage_settle(&move.from);
        assert_int_equal(STAGE_COUNT(&move.from, established), move.parcel != NULL ? 0 : 1);
    }
    stream_parcel_free(move.parcel);
    stream_parcel_free(NULL);
    move_close(&move);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(move__takes_everything_along),
        cmocka_unit_test(move__takes_tls_along),
        cmocka_unit_test(move__keeps_the_addresses),
        cmocka_unit_test(move__takes_what_is_kept_along),
        cmocka_unit_test(move__tells_the_end_afterwards),
        cmocka_unit_test(move__waits_while_something_is_unsent),
        cmocka_unit_test(move__waits_for_the_handshake),
        cmocka_unit_test(attach__closes_when_there_is_no_room),
        cmocka_unit_test(detach__survives_the_want_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
