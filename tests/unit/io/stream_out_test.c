/* SPDX-License-Identifier: Apache-2.0 */
/* Sending towards those who read slowly, or not at all (streams.md K1 to K5, K9). */
#include "stream_stage.h"

enum { SMALL = 4096 };

static const struct stage_options small_buffers = {.sndbuf = SMALL};

/* --- at once, queued, at once again -------------------------------------------------------------
 */

/* Proves K1, K2: sent at once; then blocked and queued, in order; then at once again. */
static void send__goes_from_direct_to_queued_and_back(void **state)
{
    struct stage stage;
    struct stream *s;
    uint8_t more[100];

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, SMALL, &s);
    pattern_fill(more, 0, sizeof(more));
    assert_true(stage_send(&stage, s, STREAM_CONTROL, more, sizeof(more)));
    assert_false(stream_is_blocked(s));
    assert_int_equal(stream_queued_bytes(s), 0);
    STAGE_UNTIL(&stage, peer_pump(peer) == sizeof(more));
    size_t sum = stage_block(&stage, s, 500, 10000);
    assert_true(stream_is_blocked(s));
    assert_int_equal(STAGE_COUNT(&stage, blocked), 1);
    stage_settle(&stage);
    assert_true(STAGE_COUNT(&stage, queued_bytes) >= 10000);
    assert_true(stream_kernel_bytes(s) > 0); /* told apart from what is queued here */
    /* While something is queued nothing overtakes it, though the kernel takes data again. */
    peer->budget = 3000;
    (void)peer_pump(peer);
    pattern_fill(more, sum, sizeof(more));
    assert_true(stage_send(&stage, s, STREAM_CONTROL, more, sizeof(more)));
    sum += sizeof(more);
    peer->budget = 0;
    STAGE_UNTIL(&stage, peer_pump(peer) == sum + sizeof(more));
    pattern_check(peer->got.data + sizeof(more), 0, sum);
    assert_false(stream_is_blocked(s));
    assert_int_equal(stream_queued_bytes(s), 0);
    STAGE_UNTIL(&stage, stream_kernel_bytes(s) == 0);
    stage_settle(&stage);
    assert_int_equal(STAGE_COUNT(&stage, blocked), 0);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    const uint64_t calls = STAGE_COUNT(&stage, tx_calls);
    assert_true(stage_send(&stage, s, STREAM_CONTROL, more, sizeof(more)));
    assert_int_equal(STAGE_COUNT(&stage, tx_calls), calls + 1); /* at once */
    assert_int_equal(stream_queued_bytes(s), 0);
    peer_free(peer);
    stage_close(&stage);
}

/* Many messages of one flush need few calls. */
static void flush__sends_many_messages_in_one_call(void **state)
{
    static uint8_t all[50 * 20];
    struct stage stage;
    struct stream *s;

    (void)state;
    pattern_fill(all, 0, sizeof(all));
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    for (size_t i = 0; i < 50; i++) {
        assert_true(stream_send(s, STREAM_CONTROL, all + 20 * i, 20));
    }
    assert_int_equal(STAGE_COUNT(&stage, tx_calls), 0);
    streams_flush(stage.streams);
    assert_int_equal(STAGE_COUNT(&stage, tx_calls), 1);
    assert_int_equal(STAGE_COUNT(&stage, tx_messages), 50);
    STAGE_UNTIL(&stage, peer_pump(peer) == sizeof(all));
    pattern_check(peer->got.data, 0, sizeof(all));
    peer_free(peer);
    stage_close(&stage);
}

/* More messages than one flush has room for are sent in between, in order. */
static void flush__has_no_limit_that_loses(void **state)
{
    static uint8_t all[1000 * 4];
    struct stage stage;
    struct stream *s[2];
    struct peer *peer[2];

    (void)state;
    pattern_fill(all, 0, sizeof(all));
    stage_open(&stage, NULL);
    for (int i = 0; i < 2; i++) {
        peer[i] = peer_join(&stage, 0, &s[i]);
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_true(stream_send(s[0], STREAM_CONTROL, all + 4 * i, 4));
        assert_true(stream_send(s[1], STREAM_DATAGRAM, all + 4 * i, 4));
    }
    streams_flush(stage.streams);
    for (int i = 0; i < 2; i++) {
        STAGE_UNTIL(&stage, peer_pump(peer[i]) == sizeof(all));
        pattern_check(peer[i]->got.data, 0, sizeof(all));
        peer_free(peer[i]);
    }
    stage_close(&stage);
}

/* --- bounds -------------------------------------------------------------------------------------
 */

/* Proves K3, K9: control messages are never lost, so a reader that lets too many wait is closed;
 * the next one is served. */
static void control__beyond_its_bound_closes(void **state)
{
    static uint8_t message[1000];
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, SMALL, &s);
    (void)stage_block(&stage, s, 1000, 0);
    while (stream_queued_bytes(s) + 1000 <= 32 * 1024) {
        assert_true(stage_send(&stage, s, STREAM_CONTROL, message, 1000));
        assert_int_equal(STAGE_COUNT(&stage, sendq_full), 0);
    }
    stage_settle(&stage);
    assert_int_equal(stage.closed, 0);
    (void)stage_send(&stage, s, STREAM_CONTROL, message, 1000);
    assert_false(stage_send(&stage, s, STREAM_CONTROL, message, 1000)); /* it is being closed */
    assert_int_equal(stage.closed, 0); /* told from streams_run() only */
    stage_settle(&stage);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_QUEUE_FULL);
    assert_int_equal(STAGE_COUNT(&stage, sendq_full), 1);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    assert_int_equal(STAGE_COUNT(&stage, blocked), 0);
    struct peer *next = peer_join(&stage, 0, &s);
    assert_true(stage_send(&stage, s, STREAM_CONTROL, message, 1000));
    STAGE_UNTIL(&stage, peer_pump(next) == 1000);
    peer_free(next);
    peer_free(peer);
    stage_close(&stage);
}

/* A datagram of the tests: its length, its number, a pattern. */
static size_t make_datagram(uint8_t *out, uint32_t number)
{
    const uint32_t len = 100 + number * 37 % 1300;

    memcpy(out, &len, 4);
    memcpy(out + 4, &number, 4);
    pattern_fill(out + 8, number, len - 8);
    return len;
}

/* All that came from `at` on: whole datagrams, numbers rising.  How many; the last number, and how
 * often some are missing. */
static unsigned check_datagrams(const struct stage_bytes *got, size_t at, uint32_t *out_last,
                                unsigned *out_gaps)
{
    uint32_t before = UINT32_MAX;
    unsigned count = 0;

    *out_gaps = 0;
    for (; at < got->len; count++) {
        uint8_t expected[1500];
        uint32_t number;
        assert_true(got->len - at >= 8);
        memcpy(&number, got->data + at + 4, 4);
        assert_true(before == UINT32_MAX || number > before);
        *out_gaps += before != UINT32_MAX && number != before + 1 ? 1 : 0;
        before = number;
        const size_t len = make_datagram(expected, number);
        assert_true(len <= got->len - at); /* never a part of one */
        assert_memory_equal(expected, got->data + at, len);
        at += len;
    }
    *out_last = before;
    return count;
}

/* The peer has read everything that was to be sent. */
static bool is_all_read(struct stage *stage, struct stream *s, struct peer *peer)
{
    (void)peer_pump(peer);
    return stream_queued_bytes(s) == 0 && !stream_is_blocked(s) &&
           peer->wire_bytes == STAGE_COUNT(stage, tx_bytes);
}

static uint32_t send_datagrams(struct stage *stage, struct stream *s, uint32_t first,
                               uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        uint8_t datagram[1500];
        const size_t len = make_datagram(datagram, i);
        (void)stage_send(stage, s, STREAM_DATAGRAM, datagram, (uint32_t)len);
    }
    return first + count;
}

/* Datagrams towards one who does not read: bounded, dropped whole and the oldest first; he who
 * reads again gets the youngest. */
static void check_drop_by_bytes(bool tls)
{
    struct stage stage;
    struct stream *s;
    unsigned gaps;
    uint32_t last;

    stage_open(&stage, &small_buffers);
    struct peer *peer = NULL;
    if (tls) {
        stage.tls = stage_server_context();
    }
    peer = peer_join(&stage, SMALL, &s);
    if (tls) {
        peer_tls(peer, NULL);
        peer_shake(&stage, peer);
    }
    const uint32_t sent = send_datagrams(&stage, s, 0, 2000);
    stage_settle(&stage);
    assert_true(stream_queued_bytes(s) <= 256 * 1024 + 70 * 1024);
    assert_true(STAGE_COUNT(&stage, queued_bytes) <= 2 * 256 * 1024);
    const uint64_t dropped = STAGE_COUNT(&stage, dropped);
    assert_true(dropped > 500);
    assert_true(STAGE_COUNT(&stage, dropped_bytes) >= 100 * dropped);
    assert_int_equal(stage.closed, 0);
    STAGE_UNTIL(&stage, is_all_read(&stage, s, peer));
    (void)send_datagrams(&stage, s, sent, 1);
    STAGE_UNTIL(&stage, is_all_read(&stage, s, peer));
    assert_int_equal(check_datagrams(&peer->got, 0, &last, &gaps) + dropped, sent + 1);
    assert_int_equal(last, sent);
    assert_int_equal(gaps, 1); /* the oldest went, and nothing else */
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K3 for datagrams. */
static void datagram__is_dropped_whole_and_oldest_first(void **state)
{
    (void)state;
    check_drop_by_bytes(false);
}

static void datagram__is_dropped_whole_under_tls(void **state)
{
    (void)state;
    check_drop_by_bytes(true);
}

static void check_drop_by_age(bool tls)
{
    struct stage stage;
    struct stream *s;
    unsigned gaps;
    uint32_t last;

    stage_open(&stage, &small_buffers);
    stage.tls = tls ? stage_server_context() : NULL;
    struct peer *peer = peer_join(&stage, SMALL, &s);
    if (tls) {
        peer_tls(peer, NULL);
        peer_shake(&stage, peer);
    }
    uint32_t sent = send_datagrams(&stage, s, 0, 200);
    assert_true(stream_is_blocked(s));
    assert_int_equal(STAGE_COUNT(&stage, dropped), 0);
    stage_pass(&stage, 199);
    sent = send_datagrams(&stage, s, sent, 10);
    assert_int_equal(STAGE_COUNT(&stage, dropped), 0);
    stage_pass(&stage, 2);
    sent = send_datagrams(&stage, s, sent, 1);
    const uint64_t dropped = STAGE_COUNT(&stage, dropped);
    assert_in_range(dropped, 50, 200); /* of the first ones those that had not begun */
    STAGE_UNTIL(&stage, is_all_read(&stage, s, peer));
    assert_int_equal(check_datagrams(&peer->got, 0, &last, &gaps) + dropped, sent);
    assert_int_equal(last, sent - 1);
    assert_int_equal(gaps, 1);
    peer_free(peer);
    stage_close(&stage);
}

static void datagram__is_dropped_by_age(void **state)
{
    (void)state;
    check_drop_by_age(false);
}

static void datagram__is_dropped_by_age_under_tls(void **state)
{
    (void)state;
    check_drop_by_age(true);
}

/* Old ones are dropped when the reader comes back, too: he does not get what is out of date. */
static void datagram__that_is_old_is_not_sent_late(void **state)
{
    struct stage stage;
    struct stream *s;
    unsigned gaps;
    uint32_t last;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, SMALL, &s);
    (void)send_datagrams(&stage, s, 0, 200);
    stage_pass(&stage, 5000);
    STAGE_UNTIL(&stage, is_all_read(&stage, s, peer));
    assert_true(STAGE_COUNT(&stage, dropped) > 50);
    assert_int_equal(check_datagrams(&peer->got, 0, &last, &gaps) + STAGE_COUNT(&stage, dropped),
                     200);
    peer_free(peer);
    stage_close(&stage);
}

/* Control messages between datagrams stay, in their place. */
static void control__survives_between_datagrams(void **state)
{
    static uint8_t datagram[1000];
    struct stage stage;
    struct stream *s;

    (void)state;
    memset(datagram, 'd', sizeof(datagram));
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, SMALL, &s);
    const size_t first = stage_block(&stage, s, 1000, 0);
    size_t controls = 0;
    for (int i = 0; i < 1000; i++) {
        (void)stage_send(&stage, s, STREAM_DATAGRAM, datagram, sizeof(datagram));
        if (i % 100 == 0) {
            char text[8] = {(char)('0' + i / 100)};
            assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)text, 1));
            controls++;
        }
    }
    stage_pass(&stage, 1000);
    STAGE_UNTIL(&stage, is_all_read(&stage, s, peer));
    char seen[16] = "";
    size_t n = 0;
    for (size_t i = first; i < peer->got.len; i++) {
        if (peer->got.data[i] != 'd' && n < sizeof(seen) - 1) {
            seen[n++] = (char)peer->got.data[i];
        }
    }
    assert_int_equal(controls, 10);
    assert_string_equal(seen, "0123456789");
    assert_int_equal(stage.closed, 0);
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K4: what all connections together hold is bounded: datagrams are dropped, and who needs a
 * control message is closed. */
static void total__is_bounded(void **state)
{
    enum { READERS = 20 };

    static uint8_t message[1000];
    struct stage_options options = {.limits = stage_limits(), .sndbuf = SMALL};
    struct stage stage;
    struct stream *s[READERS];
    struct peer *peer[READERS];

    (void)state;
    options.limits.total_bytes = 1 << 20;
    stage_open(&stage, &options);
    for (int i = 0; i < READERS; i++) {
        peer[i] = peer_join(&stage, SMALL, &s[i]);
        (void)stage_block(&stage, s[i], 1000, 0);
    }
    for (int i = 0; i < READERS; i++) {
        (void)send_datagrams(&stage, s[i], 0, 400);
        stage_settle(&stage);
        assert_true(STAGE_COUNT(&stage, queued_bytes) <= 1 << 20);
    }
    assert_int_equal(stage.closed, 0);
    assert_true(STAGE_COUNT(&stage, dropped) > 1000);
    assert_true(STAGE_COUNT(&stage, queued_bytes) > 900 << 10);
    for (int i = 0; i < 32 && stage.closed == 0; i++) {
        (void)stage_send(&stage, s[READERS - 1], STREAM_CONTROL, message, sizeof(message));
        stage_settle(&stage);
    }
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_MEMORY);
    assert_ptr_equal(stage.closed_seen[0], s[READERS - 1]);
    for (int i = 0; i < READERS; i++) {
        peer_free(peer[i]);
    }
    STAGE_UNTIL(&stage, stage.closed == READERS);
    stage_settle(&stage);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    stage_close(&stage);
}

/* Proves K17: closing waits for what is queued, and for one who reads slowly. */
static void finish__comes_after_everything(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &small_buffers);
    struct peer *peer = peer_join(&stage, SMALL, &s);
    const size_t sum = stage_block(&stage, s, 700, 20000);
    stream_finish(s);
    assert_false(stream_send(s, STREAM_CONTROL, (const uint8_t *)"x", 1));
    stage_settle(&stage);
    assert_int_equal(stage.closed, 0);
    peer->budget = 1000;
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof));
    assert_int_equal(peer->got.len, sum);
    pattern_check(peer->got.data, 0, sum);
    assert_int_equal(stage.closed, 0); /* what still comes is thrown away */
    peer_text(peer, "much too late");
    stage_settle(&stage);
    assert_int_equal(stage.inputs, 0);
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_LOCAL);
    peer_free(peer);
    stage_close(&stage);
}

/* ... for two seconds, unless the other side closes. */
static void finish__does_not_wait_for_ever(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_finish(s);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof));
    stage_pass(&stage, 1900);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 200);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_LOCAL);
    peer_free(peer);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(send__goes_from_direct_to_queued_and_back),
        cmocka_unit_test(flush__sends_many_messages_in_one_call),
        cmocka_unit_test(flush__has_no_limit_that_loses),
        cmocka_unit_test(control__beyond_its_bound_closes),
        cmocka_unit_test(datagram__is_dropped_whole_and_oldest_first),
        cmocka_unit_test(datagram__is_dropped_whole_under_tls),
        cmocka_unit_test(datagram__is_dropped_by_age),
        cmocka_unit_test(datagram__is_dropped_by_age_under_tls),
        cmocka_unit_test(datagram__that_is_old_is_not_sent_late),
        cmocka_unit_test(control__survives_between_datagrams),
        cmocka_unit_test(total__is_bounded),
        cmocka_unit_test(finish__comes_after_everything),
        cmocka_unit_test(finish__does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
