/* SPDX-License-Identifier: Apache-2.0 */
/* Data under TLS: records in pieces, readers that stall, keys that change, ends that are proven
 * (streams.md K30 to K34, K39). */
#include <errno.h>
#include <openssl/err.h>

#include "stream_stage.h"

static const struct stage_options small_buffers = {.sndbuf = 4096};

static struct peer *tls_open(struct stage *stage, const struct stage_options *options, int rcvbuf,
                             struct stream **out_s)
{
    stage_open(stage, options);
    stage->tls = stage_server_context();
    struct peer *peer = peer_join(stage, rcvbuf, out_s);
    peer_tls(peer, NULL);
    peer_shake(stage, peer);
    return peer;
}

/* --- records ------------------------------------------------------------------------------------
 */

/* Proves K30: a record may be cut anywhere. */
static void record__may_be_cut_anywhere(void **state)
{
    uint8_t data[60];
    struct stage stage;

    (void)state;
    pattern_fill(data, 0, sizeof(data));
    struct peer *peer = tls_open(&stage, NULL, 0, NULL);
    for (size_t cut = 1;; cut++) {
        stage.got.len = 0;
        peer_seal(peer, data, sizeof(data));
        if (cut == peer->unsent.len) {
            break;
        }
        const uint64_t before = STAGE_COUNT(&stage, rx_bytes);
        peer_drip(peer, cut);
        STAGE_UNTIL(&stage, STAGE_COUNT(&stage, rx_bytes) == before + cut);
        assert_int_equal(stage.got.len, 0); /* half a record is nothing */
        peer_drip(peer, SIZE_MAX);
        STAGE_UNTIL(&stage, stage.got.len == sizeof(data));
        pattern_check(stage.got.data, 0, sizeof(data));
    }
    peer_free(peer);
    stage_close(&stage);
}

enum { LONG_MESSAGE = 65539 };

static size_t take_long(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)s;
    stage_bytes_add(&stage->got, data, len < LONG_MESSAGE ? 0 : LONG_MESSAGE);
    return len < LONG_MESSAGE ? 0 : LONG_MESSAGE;
}

/* A message of many records, and many messages of one. */
static void input__has_messages_of_any_size(void **state)
{
    static uint8_t data[3 * LONG_MESSAGE];
    struct stage stage;

    (void)state;
    pattern_fill(data, 0, sizeof(data));
    struct peer *peer = tls_open(&stage, NULL, 0, NULL);
    stage.input = take_long;
    for (size_t at = 0; at < sizeof(data); at += 5000) {
        peer_send(peer, data + at, sizeof(data) - at < 5000 ? sizeof(data) - at : 5000);
        stage_wait(&stage);
    }
    STAGE_UNTIL(&stage, (peer_pump(peer), stage.got.len == sizeof(data)));
    pattern_check(stage.got.data, 0, sizeof(data));
    stage_settle(&stage);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    peer_free(peer);
    stage_close(&stage);
}

/* Many messages of one flush share a record; one longer than a record is cut. */
static void send__fills_records(void **state)
{
    static uint8_t data[LONG_MESSAGE];
    struct stage stage;
    struct stream *s;

    (void)state;
    pattern_fill(data, 0, sizeof(data));
    struct peer *peer = tls_open(&stage, NULL, 0, &s);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->wire_bytes == STAGE_COUNT(&stage, tx_bytes)));
    const size_t wire_before = peer->wire_bytes;
    for (size_t i = 0; i < 100; i++) {
        assert_true(stream_send(s, STREAM_CONTROL, data + 100 * i, 100));
    }
    streams_flush(stage.streams);
    STAGE_UNTIL(&stage, peer_pump(peer) == 10000);
    assert_true(peer->wire_bytes - wire_before < 10000 + 100);
    assert_true(stage_send(&stage, s, STREAM_DATAGRAM, data + 10000, sizeof(data) - 10000));
    STAGE_UNTIL(&stage, peer_pump(peer) == sizeof(data));
    pattern_check(peer->got.data, 0, sizeof(data));
    peer_free(peer);
    stage_close(&stage);
}

static void pause__holds_plaintext_back(void **state)
{
    static uint8_t data[1 << 20];
    struct stage stage;
    struct stream *s;

    (void)state;
    pattern_fill(data, 0, sizeof(data));
    struct peer *peer = tls_open(&stage, NULL, 0, &s);
    stream_pause(s);
    peer_send(peer, data, sizeof(data));
    for (int i = 0; i < 50; i++) {
        stage_wait(&stage);
    }
    assert_int_equal(stage.got.len, 0);
    assert_true(STAGE_COUNT(&stage, queued_bytes) <= 160 * 1024);
    stream_resume(s);
    STAGE_UNTIL(&stage, (peer_pump(peer), stage.got.len == sizeof(data)));
    pattern_check(stage.got.data, 0, sizeof(data));
    peer_free(peer);
    stage_close(&stage);
}

/* --- readers that stall -------------------------------------------------------------------------
 */

/* Proves K1, K31 for TLS: order holds from direct to queued and back. */
static void send__goes_from_direct_to_queued_and_back(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, &small_buffers, 4096, &s);
    for (int i = 0; i < 5; i++) {
        peer->got.len = 0;
        const size_t sum = stage_block(&stage, s, 700, 20000);
        peer->budget = 3000;
        STAGE_UNTIL(&stage, peer_pump(peer) == sum);
        pattern_check(peer->got.data, 0, sum);
        stage_settle(&stage);
        assert_false(stream_is_blocked(s));
        assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    }
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K6 under TLS. */
static void send__has_a_timeout(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, &small_buffers, 4096, &s);
    stream_proven(s);
    (void)stage_block(&stage, s, 700, 2000);
    stage_pass(&stage, 9999);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 1);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_SEND_TIMEOUT);
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K17 under TLS: everything, close_notify, FIN. */
static void finish__comes_after_everything(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, &small_buffers, 4096, &s);
    const size_t sum = stage_block(&stage, s, 700, 20000);
    stream_finish(s);
    stage_settle(&stage);
    assert_int_equal(stage.closed, 0);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->eof));
    assert_true(peer->notified);
    assert_int_equal(peer->got.len, sum);
    pattern_check(peer->got.data, 0, sum);
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_LOCAL);
    peer_free(peer);
    stage_close(&stage);
}

/* --- keys that change ---------------------------------------------------------------------------
 */

static void request_keys(struct peer *peer)
{
    ERR_clear_error();
    assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(peer->ssl), 1);
    peer_drip(peer, SIZE_MAX);
}

/* Proves K32: one who does not read asks for new keys, then reads: all goes on, in order. */
static void keys__change_while_the_window_is_closed(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, &small_buffers, 4096, &s);
    stream_proven(s);
    for (int i = 0; i < 3; i++) {
        peer->got.len = 0;
        const size_t sum = stage_block(&stage, s, 700, 15000);
        request_keys(peer);
        peer_text(peer, "x");
        STAGE_UNTIL(&stage, stage.got.len == (size_t)i + 1);
        STAGE_UNTIL(&stage, peer_pump(peer) == sum);
        pattern_check(peer->got.data, 0, sum);
    }
    assert_int_equal(stage.closed, 0);
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K32: asking for keys without end costs a bounded amount of memory. */
static void keys__asked_for_without_end_are_bounded(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, &small_buffers, 4096, &s);
    stream_proven(s);
    (void)stage_block(&stage, s, 700, 1000);
    for (int i = 0; i < 60000; i++) {
        request_keys(peer);
        if (i % 500 == 0) {
            (void)stage_turn(&stage);
            assert_true(STAGE_COUNT(&stage, queued_bytes) <= 300 * 1024);
        }
    }
    stage_settle(&stage);
    assert_true(STAGE_COUNT(&stage, queued_bytes) <= 300 * 1024);
    stage_pass(&stage, 10000);
    assert_int_equal(stage.closed, 1); /* as everybody who takes nothing */
    peer_free(peer);
    stage_close(&stage);
}

/* Proves K34: no renegotiation, and no loop because of it. */
static void renegotiation__is_refused(void **state)
{
    struct stage stage;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    (void)state;
    (void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    stage_open(&stage, NULL);
    stage.tls = stage_server_context();
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_tls(peer, context);
    peer_shake(&stage, peer);
    assert_int_equal(SSL_renegotiate(peer->ssl), 1);
    ERR_clear_error();
    (void)SSL_do_handshake(peer->ssl);
    const uint64_t calls = STAGE_COUNT(&stage, rx_calls);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->failed || peer->eof || peer->reset ||
                                              STAGE_COUNT(&stage, rx_calls) > calls + 1));
    stage_settle(&stage);
    assert_true(STAGE_COUNT(&stage, rx_calls) < calls + 10);
    assert_int_equal(STAGE_COUNT(&stage, tls_handshakes), 1);
    SSL_CTX_free(context);
    peer_free(peer);
    stage_close(&stage);
}

/* --- ends ---------------------------------------------------------------------------------------
 */

static void notify(struct peer *peer)
{
    ERR_clear_error();
    (void)SSL_shutdown(peer->ssl);
    peer_drip(peer, SIZE_MAX);
}

/* close_notify is the end of one direction. */
static void close_notify__leaves_the_other_half(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    struct peer *peer = tls_open(&stage, NULL, 0, &s);
    peer_seal(peer, "question", 8);
    notify(peer);
    STAGE_UNTIL(&stage, stage.ended == 1);
    stage_bytes_are(&stage.got, "question");
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"answer", 6));
    STAGE_UNTIL(&stage, peer_pump(peer) == 6);
    stream_finish(s);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->notified && peer->eof));
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.ended, 1);
    peer_free(peer);
    stage_close(&stage);
}

static struct peer *tls_more(struct stage *stage, struct stream **out_s)
{
    struct peer *peer = peer_join(stage, 0, out_s);

    peer_tls(peer, NULL);
    peer_shake(stage, peer);
    return peer;
}

/* Proves K39: of a splice the end is passed on only when it is proven: close_notify becomes the end
 * of the data, a cut becomes a reset. */
static void splice__tells_an_end_from_a_cut(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct stage stage;
        struct stream *sa;
        struct stream *sb;
        struct peer *a = tls_open(&stage, NULL, 0, &sa);
        struct peer *b = tls_more(&stage, &sb);
        stream_splice(sa, sb, 60000);
        peer_text(a, "data");
        STAGE_UNTIL(&stage, peer_pump(b) == 4);
        if (cut == 0) {
            notify(a);
            peer_fin(a);
            STAGE_UNTIL(&stage, (peer_pump(b), b->notified));
            peer_text(b, "answer");
            STAGE_UNTIL(&stage, peer_pump(a) == 6);
            notify(b);
            peer_fin(b);
            STAGE_UNTIL(&stage, stage.closed == 2);
            assert_int_equal(stage.why, STREAM_CLOSE_EOF);
        } else {
            peer_fin(a);
            STAGE_UNTIL(&stage, (peer_pump(b), b->reset));
            assert_false(b->notified);
            STAGE_UNTIL(&stage, stage.closed == 2);
            assert_int_equal(stage.why, STREAM_CLOSE_RESET);
        }
        assert_int_equal(stage.inputs + stage.ended, 0);
        peer_free(a);
        peer_free(b);
        stage_close(&stage);
    }
}

/* Proves K3 for TLS on both sides: nothing is lost, little is held. */
static void splice__loses_nothing_under_tls(void **state)
{
    enum { BIG = 2 << 20 };

    static uint8_t data[BIG];
    struct stage stage;
    struct stream *sa;
    struct stream *sb;

    (void)state;
    pattern_fill(data, 0, BIG);
    struct peer *a = tls_open(&stage, NULL, 0, &sa);
    struct peer *b = tls_more(&stage, &sb);
    stream_splice(sa, sb, 60000);
    peer_send(a, data, BIG);
    peer_send(b, data, BIG);
    for (int i = 0; a->got.len < BIG || b->got.len < BIG; i++) {
        assert_true(i < 1000000);
        a->deaf = i % 200 < 70;
        b->deaf = i % 300 > 200;
        a->budget = 70000;
        b->budget = 50000;
        (void)peer_pump(a);
        (void)peer_pump(b);
        (void)stage_turn(&stage);
        assert_true(STAGE_COUNT(&stage, queued_bytes) <= 2 * (256 + 256 + 80) * 1024);
    }
    pattern_check(a->got.data, 0, BIG);
    pattern_check(b->got.data, 0, BIG);
    peer_free(a);
    peer_free(b);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__may_be_cut_anywhere),
        cmocka_unit_test(input__has_messages_of_any_size),
        cmocka_unit_test(send__fills_records),
        cmocka_unit_test(pause__holds_plaintext_back),
        cmocka_unit_test(send__goes_from_direct_to_queued_and_back),
        cmocka_unit_test(send__has_a_timeout),
        cmocka_unit_test(finish__comes_after_everything),
        cmocka_unit_test(keys__change_while_the_window_is_closed),
        cmocka_unit_test(keys__asked_for_without_end_are_bounded),
        cmocka_unit_test(renegotiation__is_refused),
        cmocka_unit_test(close_notify__leaves_the_other_half),
        cmocka_unit_test(splice__tells_an_end_from_a_cut),
        cmocka_unit_test(splice__loses_nothing_under_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
