/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines of a connection, on the engine's clock (streams.md K6, K7, K12, K13). */
#include <errno.h>

#include "stream_stage.h"

static const struct stage_options small_buffers = {.sndbuf = 4096};

/* The stage closes nothing before `ms` have passed, and the one there is for `why` then. */
static void check_deadline(struct stage *stage, uint64_t ms, enum stream_close why)
{
    const unsigned before = stage->closed;
    const uint64_t end_ms = stage->now_ms + ms;

    while (stage->now_ms < end_ms - 1) {
        const uint64_t step_ms =
            end_ms - 1 - stage->now_ms < 777 ? end_ms - 1 - stage->now_ms : 777;
        assert_true(streams_next_deadline(stage->streams) <= end_ms);
        stage_pass(stage, step_ms);
        assert_int_equal(stage->closed, before);
    }
    stage_pass(stage, 1);
    assert_int_equal(stage->closed, before + 1);
    assert_int_equal(stage->why, why);
}

/* --- sending ------------------------------------------------------------------------------------
 */

/* Proves K6: who takes nothing is closed, with RST. */
static void send__has_a_timeout(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, 4096, &s);
    stream_proven(s);
    stage_pass(&stage, 50000); /* idle does not count */
    assert_int_equal(stage.closed, 0);
    (void)stage_block(&stage, s, 1000, 2000);
    check_deadline(&stage, 10000, STREAM_CLOSE_SEND_TIMEOUT);
    assert_int_equal(STAGE_COUNT(&stage, send_timeout), 1);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->reset));
    peer_free(peer);
    stage_close(&stage);
}

/* Read until the engine could send more. */
static void take_some(struct stage *stage, struct peer *peer)
{
    const uint64_t before = STAGE_COUNT(stage, tx_bytes);

    peer->budget = 2000;
    STAGE_UNTIL(stage, (peer_pump(peer), STAGE_COUNT(stage, tx_bytes) > before));
    stage_settle(stage);
}

/* Proves K6: progress of any size begins the time anew. */
static void send__lives_on_with_progress(void **state)
{
    static uint8_t message[1000];
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, 4096, &s);
    stream_proven(s);
    (void)stage_block(&stage, s, 1000, 2000);
    for (int i = 0; i < 12; i++) {
        stage_pass(&stage, 5000);
        take_some(&stage, peer);
        assert_int_equal(stage.closed, 0);
        while (!stream_is_blocked(s) || stream_queued_bytes(s) < 20000) {
            assert_true(stage_send(&stage, s, STREAM_CONTROL, message, sizeof(message)));
        }
    }
    stage_pass(&stage, 9000);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 11000); /* two spans at most after the last byte */
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_SEND_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K6b: progress that is too slow does not help. */
static void send__has_a_least_rate(void **state)
{
    struct stage_options options = {.limits = stage_limits(), .sndbuf = 4096};
    struct stage stage;
    struct stream *s;

    (void)state;
    options.limits.send_min_bytes = 1 << 20;
    stage_open(&stage, &options);
    struct peer *peer = peer_join(&stage, 4096, &s);
    stream_proven(s);
    (void)stage_block(&stage, s, 1000, 25000);
    stage_pass(&stage, 5000);
    take_some(&stage, peer);
    assert_true(stream_queued_bytes(s) > 0);
    stage_pass(&stage, 4900);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 100);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_SEND_TIMEOUT);
    assert_int_equal(STAGE_COUNT(&stage, send_timeout), 1);
    peer_free(peer);
    stage_close(&stage);
}

/* A reader that keeps up is not judged by how little there was to send. */
static void send__rate_counts_only_while_something_waits(void **state)
{
    struct stage_options options = {.limits = stage_limits()};
    struct stage stage;
    struct stream *s;

    (void)state;
    options.limits.send_min_bytes = 1000;
    stage_open(&stage, &options);
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    for (size_t i = 1; i <= 20; i++) {
        assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"x", 1));
        stage_pass(&stage, 9000);
        STAGE_UNTIL(&stage, peer_pump(peer) == i);
    }
    assert_int_equal(stage.closed, 0);
    peer_free(peer);
    stage_close(&stage);
}

/* What is sent after a long wait, before the engine has had its turn, has all the time there is. */
static void send__time_begins_with_the_sending(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, 4096, &s);
    stream_proven(s);
    stage.now_ms += 9500;
    streams_set_now(stage.streams, stage.now_ms);
    (void)stage_block(&stage, s, 1000, 2000);
    stage_pass(&stage, 9900);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 200);
    assert_int_equal(stage.why, STREAM_CLOSE_SEND_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* Closing after all is sent does not wait longer for a reader than sending does. */
static void finish__has_the_send_timeout(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, 4096, &s);
    (void)stage_block(&stage, s, 1000, 2000);
    stream_finish(s);
    stage_pass(&stage, 9900);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 200);
    assert_int_equal(stage.closed, 1);
    peer_free(peer);
    stage_close(&stage);
}

/* --- receiving ----------------------------------------------------------------------------------
 */

/* Proves K13: connected and silent. */
static void first__message_is_due(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    check_deadline(&stage, 10000, STREAM_CLOSE_FIRST_TIMEOUT);
    assert_int_equal(STAGE_COUNT(&stage, con_timeout), 1);
    assert_int_equal(stage.error, ETIMEDOUT);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof || peer->reset));
    peer_free(peer);
    stage_close(&stage);
}

static size_t take_nothing(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)stage;
    (void)s;
    (void)data;
    (void)len;
    return 0;
}

static void drip(struct stage *stage, struct peer *peer)
{
    const uint64_t before = STAGE_COUNT(stage, rx_bytes);

    peer_text(peer, "x");
    STAGE_UNTIL(stage, STAGE_COUNT(stage, rx_bytes) > before);
}

/* Proves K13: a byte now and then does not put the first message off. */
static void first__message_is_not_put_off_by_drops(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = take_nothing;
    struct peer *peer = peer_join(&stage, 0, NULL);
    for (int i = 0; i < 9; i++) {
        drip(&stage, peer);
        stage_pass(&stage, 1000);
        assert_int_equal(stage.closed, 0);
    }
    drip(&stage, peer);
    stage_pass(&stage, 1000);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_FIRST_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K13: the rest of a message is due, drops or not; a whole one ends the wait. */
static void message__has_to_end(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    stage_pass(&stage, 100000);
    for (int i = 0; i < 3; i++) {
        stage.input = take_nothing;
        drip(&stage, peer);
        stage_pass(&stage, 9999);
        assert_int_equal(stage.closed, 0);
        stage.input = NULL;
        drip(&stage, peer); /* the end of the message */
        stage_pass(&stage, 20000);
        assert_int_equal(stage.closed, 0);
    }
    stage.input = take_nothing;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(stage.closed, 0);
        drip(&stage, peer);
        stage_pass(&stage, 1000);
    }
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_MESSAGE_TIMEOUT);
    assert_int_equal(STAGE_COUNT(&stage, con_timeout), 1);
    peer_free(peer);
    stage_close(&stage);
}

static size_t take_one(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)stage;
    (void)s;
    (void)data;
    return len > 1 ? len - 1 : 0;
}

/* Always in the middle of a message, but never long in the same. */
static void message__time_begins_with_each(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = take_one;
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    for (int i = 0; i < 10; i++) {
        drip(&stage, peer);
        stage_pass(&stage, 9000);
        assert_int_equal(stage.closed, 0);
    }
    stage_pass(&stage, 1000);
    assert_int_equal(stage.why, STREAM_CLOSE_MESSAGE_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* It is us who do not take input then. */
static void message__time_does_not_run_in_a_pause(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = take_nothing;
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    drip(&stage, peer);
    stream_pause(s);
    stage_pass(&stage, 60000);
    assert_int_equal(stage.closed, 0);
    stream_resume(s);
    stage_settle(&stage);
    assert_int_equal(stage.closed, 0);
    check_deadline(&stage, 10000, STREAM_CLOSE_MESSAGE_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* --- idleness -----------------------------------------------------------------------------------
 */

/* Proves K12: both directions count; the owner is asked and may wait once more. */
static void idle__asks_and_closes(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    stream_set_idle(s, 30000);
    stage_pass(&stage, 29000);
    drip(&stage, peer);
    stage_pass(&stage, 29000);
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"x", 1));
    stage_pass(&stage, 29999);
    assert_int_equal(stage.idle, 0);
    stage.idle_answer = false;
    stage_pass(&stage, 1);
    assert_int_equal(stage.idle, 1);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 29999);
    assert_int_equal(stage.idle, 1);
    stage.idle_answer = true;
    stage_pass(&stage, 1);
    assert_int_equal(stage.idle, 2);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_IDLE);
    assert_int_equal(STAGE_COUNT(&stage, con_timeout), 1);
    assert_int_equal(stage.error, 0);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof));
    peer_free(peer);
    stage_close(&stage);
}

static void idle__can_be_changed_and_ended(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    stage.handler.idle = NULL; /* closes without asking */
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_proven(s);
    stream_set_idle(s, 30000);
    stage_pass(&stage, 20000);
    stream_set_idle(s, 0);
    stage_pass(&stage, 1000000);
    assert_int_equal(stage.closed, 0);
    drip(&stage, peer);
    stream_set_idle(s, 60000);
    stage_pass(&stage, 1000);
    stream_set_idle(s, 5000); /* sooner than what was set */
    stage_pass(&stage, 3999);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 1);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_IDLE);
    peer_free(peer);
    stage_close(&stage);
}

/* New limits hold for those that live. */
static void limits__may_change(void **state)
{
    struct stage_options options = {.limits = stage_limits(), .sndbuf = 4096};
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &options);
    struct peer *peer = peer_join(&stage, 4096, &s);
    options.limits.send_timeout_ms = 60000;
    options.limits.control_queue_bytes = 100000;
    streams_set_limits(stage.streams, &options.limits);
    stream_proven(s);
    (void)stage_block(&stage, s, 1000, 90000);
    stage_pass(&stage, 59000);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 1000);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_SEND_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send__has_a_timeout),
        cmocka_unit_test(send__lives_on_with_progress),
        cmocka_unit_test(send__has_a_least_rate),
        cmocka_unit_test(send__rate_counts_only_while_something_waits),
        cmocka_unit_test(send__time_begins_with_the_sending),
        cmocka_unit_test(finish__has_the_send_timeout),
        cmocka_unit_test(first__message_is_due),
        cmocka_unit_test(first__message_is_not_put_off_by_drops),
        cmocka_unit_test(message__has_to_end),
        cmocka_unit_test(message__time_begins_with_each),
        cmocka_unit_test(message__time_does_not_run_in_a_pause),
        cmocka_unit_test(idle__asks_and_closes),
        cmocka_unit_test(idle__can_be_changed_and_ended),
        cmocka_unit_test(limits__may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
