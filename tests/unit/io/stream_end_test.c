/* SPDX-License-Identifier: Apache-2.0 */
/* How connections end (streams.md K17 to K19). */
#include <errno.h>

#include "stream_stage.h"

/* Proves K18 and T-8489-6.2.2-02 for the engine: one that has finished sending is still answered.
 */
static void half_close__leaves_the_other_half(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    peer_text(peer, "question");
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.ended == 1);
    stage_bytes_are(&stage.got, "question");
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"answer", 6));
    STAGE_UNTIL(&stage, peer_pump(peer) == 6);
    assert_false(peer->eof);
    stream_finish(s);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof) && stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_LOCAL);
    assert_int_equal(stage.ended, 1);
    assert_int_equal(STAGE_COUNT(&stage, established), 0);
    peer_free(peer);
    stage_close(&stage);
}

static void end__closes_without_a_handler_for_it(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &(struct stage_options){.sndbuf = 4096});
    stage.handler.ended = NULL;
    struct peer *peer = peer_join(&stage, 4096, &s);
    const size_t sum = stage_block(&stage, s, 1000, 8000);
    peer_fin(peer);
    stage_settle(&stage);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof) && stage.closed == 1);
    assert_int_equal(peer->got.len, sum); /* everything was sent before */
    pattern_check(peer->got.data, 0, sum);
    assert_int_equal(stage.why, STREAM_CLOSE_EOF);
    peer_free(peer);
    stage_close(&stage);
}

static void reset__is_told(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_reset(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_RESET);
    assert_int_equal(stage.error, ECONNRESET);
    assert_int_equal(STAGE_COUNT(&stage, con_reset), 1);
    assert_int_equal(STAGE_COUNT(&stage, established), 0);
    peer_free(peer);
    stage_close(&stage);
}

/* What was sent before the RST is not guaranteed to be seen, but a reset while we send is. */
static void reset__is_told_while_sending(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &(struct stage_options){.sndbuf = 4096});
    struct peer *peer = peer_join(&stage, 4096, &s);
    (void)stage_block(&stage, s, 1000, 4000);
    assert_int_equal(STAGE_COUNT(&stage, blocked), 1);
    peer_reset(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_RESET);
    assert_int_equal(STAGE_COUNT(&stage, blocked), 0);
    stage_settle(&stage);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    peer_free(peer);
    stage_close(&stage);
}

static void close__is_silent_and_at_once(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *fin = peer_join(&stage, 0, &s);
    stream_close(s, false);
    STAGE_UNTIL(&stage, (peer_pump(fin), fin->eof));
    struct peer *rst = peer_join(&stage, 0, &s);
    stream_close(s, true);
    STAGE_UNTIL(&stage, (peer_pump(rst), rst->reset));
    assert_int_equal(stage.closed, 0);
    assert_int_equal(STAGE_COUNT(&stage, established), 0);
    peer_free(fin);
    peer_free(rst);
    stage_close(&stage);
}

static size_t close_inside(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)stage;
    (void)data;
    stream_close(s, false);
    return len / 2;
}

static void close__is_possible_inside_the_handler(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = close_inside;
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_text(peer, "abcdef");
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof || peer->reset));
    assert_int_equal(stage.closed, 0);
    assert_int_equal(stage.inputs, 1);
    peer_free(peer);
    stage_close(&stage);
}

static size_t fail_inside(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)stage;
    (void)data;
    (void)stream_send(s, STREAM_CONTROL, (const uint8_t *)"sorry", 5);
    stream_fail(s);
    return len;
}

/* Proves K17: what explains the end comes before it. */
static void fail__sends_what_explains_it(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = fail_inside;
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_text(peer, "garbage");
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof));
    stage_bytes_are(&peer->got, "sorry");
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_PROTOCOL);
    assert_int_equal(stage.inputs, 1);
    peer_free(peer);
    stage_close(&stage);
}

static void free__closes_without_a_call(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    stage_close(&stage);
    assert_int_equal(stage.closed, 0);
    char byte;
    assert_true(recv(peer->fd, &byte, 1, 0) <= 0);
    peer_free(peer);
}

static void close__has_a_name(void **state)
{
    (void)state;
    assert_string_equal(stream_close_text(STREAM_CLOSE_EOF), "eof");
    assert_string_equal(stream_close_text(STREAM_CLOSE_PROTOCOL), "protocol");
    for (unsigned i = 0; i < STREAM_CLOSE_COUNT; i++) {
        assert_true(strlen(stream_close_text((enum stream_close)i)) > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_close__leaves_the_other_half),
        cmocka_unit_test(end__closes_without_a_handler_for_it),
        cmocka_unit_test(reset__is_told),
        cmocka_unit_test(reset__is_told_while_sending),
        cmocka_unit_test(close__is_silent_and_at_once),
        cmocka_unit_test(close__is_possible_inside_the_handler),
        cmocka_unit_test(fail__sends_what_explains_it),
        cmocka_unit_test(free__closes_without_a_call),
        cmocka_unit_test(close__has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
