/* SPDX-License-Identifier: Apache-2.0 */
/* TLS in the engine: handshakes, records, and ends (streams.md K30, K34, K38, K39). */
#include <errno.h>
#include <openssl/err.h>

#include "stream_stage.h"

static void tls_open(struct stage *stage, const struct stage_options *options)
{
    stage_open(stage, options);
    stage->tls = stage_server_context();
}

static struct peer *tls_join(struct stage *stage, int rcvbuf, struct stream **out_s)
{
    struct peer *peer = peer_join(stage, rcvbuf, out_s);

    peer_tls(peer, NULL);
    peer_shake(stage, peer);
    return peer;
}

static SSL_CTX *client_context(int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    assert_non_null(context);
    (void)SSL_CTX_set_max_proto_version(context, version);
    return context;
}

/* --- handshakes ---------------------------------------------------------------------------------
 */

static void handshake__works_with_both_versions(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct stage stage;
        struct stream *s;
        tls_open(&stage, NULL);
        SSL_CTX *context = client_context(versions[i]);
        struct peer *peer = peer_join(&stage, 0, &s);
        assert_null(stream_ssl(s));
        peer_tls(peer, context);
        peer_shake(&stage, peer);
        assert_int_equal(SSL_version(peer->ssl), versions[i]);
        assert_non_null(stream_ssl(s));
        assert_int_equal(stage.inputs, 0);
        peer_text(peer, "question");
        STAGE_UNTIL(&stage, stage.got.len == 8);
        stage_bytes_are(&stage.got, "question");
        assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"answer", 6));
        STAGE_UNTIL(&stage, peer_pump(peer) == 6);
        assert_int_equal(STAGE_COUNT(&stage, tls_handshakes), 1);
        assert_int_equal(STAGE_COUNT(&stage, tls_established), 1);
        assert_int_equal(STAGE_COUNT(&stage, tls_failed), 0);
        assert_int_equal(STAGE_COUNT(&stage, tls_deferred), 0);
        SSL_CTX_free(context);
        peer_free(peer);
        stage_close(&stage);
    }
}

/* Send what is unsent a byte at a time, each read by itself. */
static bool shake_by_bytes(struct stage *stage, struct peer *peer)
{
    while (peer->unsent.len > 0) {
        const uint64_t before = STAGE_COUNT(stage, rx_bytes);
        peer_drip(peer, 1);
        STAGE_UNTIL(stage, STAGE_COUNT(stage, rx_bytes) == before + 1);
    }
    return SSL_is_init_finished(peer->ssl) != 0;
}

/* Read without sending, so that the test can send byte by byte. */
static void pump_in(struct peer *peer)
{
    uint8_t room[4096];
    ssize_t n;

    while ((n = recv(peer->fd, room, sizeof(room), MSG_DONTWAIT)) > 0) {
        assert_int_equal(BIO_write(peer->in, room, (int)n), n);
    }
    ERR_clear_error();
    if (SSL_is_init_finished(peer->ssl) == 0) {
        (void)SSL_do_handshake(peer->ssl);
    }
    while ((n = BIO_read(peer->out, room, sizeof(room))) > 0) {
        stage_bytes_add(&peer->unsent, room, (size_t)n);
    }
}

/* Proves K30: every byte of the handshake by itself. */
static void handshake__works_byte_by_byte(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct stage stage;
        tls_open(&stage, NULL);
        SSL_CTX *context = client_context(versions[i]);
        struct peer *peer = peer_join(&stage, 0, NULL);
        peer_tls(peer, context);
        STAGE_UNTIL(&stage, (pump_in(peer), shake_by_bytes(&stage, peer)) &&
                                peer->unsent.len == 0 && STAGE_COUNT(&stage, tls_handshakes) == 1);
        peer_text(peer, "x");
        STAGE_UNTIL(&stage, stage.got.len == 1);
        SSL_CTX_free(context);
        peer_free(peer);
        stage_close(&stage);
    }
}

/* Proves K13: a handshake that does not get on ends in its time, whatever drips in. */
static void handshake__has_a_deadline(void **state)
{
    struct stage stage;

    (void)state;
    for (int dripping = 0; dripping < 2; dripping++) {
        tls_open(&stage, NULL);
        struct peer *peer = peer_join(&stage, 0, NULL);
        peer_tls(peer, NULL);
        peer_drip(peer, 20);
        stage_settle(&stage);
        for (int i = 0; i < 9; i++) {
            stage_pass(&stage, 1000);
            peer_drip(peer, dripping != 0 ? 5 : 0);
            stage_settle(&stage);
            assert_int_equal(stage.closed, 0);
        }
        stage_pass(&stage, 999);
        assert_int_equal(stage.closed, 0);
        stage_pass(&stage, 1);
        assert_int_equal(stage.closed, 1);
        assert_int_equal(stage.why, STREAM_CLOSE_HANDSHAKE_TIMEOUT);
        assert_int_equal(STAGE_COUNT(&stage, con_timeout), 1);
        assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
        peer_free(peer);
        stage_close(&stage);
    }
}

/* The whole flight of the server lies in the kernel or in one block: a stalled handshake is small.
 */
static void handshake__that_stalls_is_small(void **state)
{
    enum { CLIENTS = 50 };

    struct stage stage;
    struct peer *peer[CLIENTS];

    (void)state;
    tls_open(&stage, &(struct stage_options){.sndbuf = 4096});
    for (int i = 0; i < CLIENTS; i++) {
        peer[i] = peer_join(&stage, 4096, NULL);
        peer_tls(peer[i], NULL);
        peer_drip(peer[i], SIZE_MAX);
    }
    stage_settle(&stage);
    assert_true(STAGE_COUNT(&stage, queued_bytes) <= CLIENTS * 4200);
    assert_int_equal(STAGE_COUNT(&stage, tls_established), 0);
    stage_pass(&stage, 10000);
    assert_int_equal(stage.closed, CLIENTS);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    for (int i = 0; i < CLIENTS; i++) {
        peer_free(peer[i]);
    }
    stage_close(&stage);
}

/* The first message is due from the end of the handshake. */
static void handshake__then_a_message_is_due(void **state)
{
    struct stage stage;

    (void)state;
    tls_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    stage_pass(&stage, 9000);
    peer_tls(peer, NULL);
    peer_shake(&stage, peer);
    stage_pass(&stage, 9999);
    assert_int_equal(stage.closed, 0);
    stage_pass(&stage, 1);
    assert_int_equal(stage.closed, 1);
    assert_int_equal(stage.why, STREAM_CLOSE_FIRST_TIMEOUT);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->notified));
    peer_free(peer);
    stage_close(&stage);
}

/* Garbage in place of a handshake, and in place of a record: an alert explains it. */
static void handshake__fails_with_an_alert(void **state)
{
    struct stage stage;
    SSL_CTX *old = client_context(TLS1_1_VERSION);

    (void)state;
    SSL_CTX_set_security_level(old, 0);
    tls_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_tls(peer, old);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->failed && peer->eof));
    assert_int_equal(SSL_is_init_finished(peer->ssl), 0);
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_TLS);
    assert_int_equal(STAGE_COUNT(&stage, tls_failed), 1);
    assert_int_equal(STAGE_COUNT(&stage, tls_handshakes), 0);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left over for the next one */
    SSL_CTX_free(old);
    peer_free(peer);
    stage_close(&stage);
}

static void record__that_is_broken_ends_it(void **state)
{
    struct stage stage;

    (void)state;
    tls_open(&stage, NULL);
    struct peer *peer = tls_join(&stage, 0, NULL);
    peer_text(peer, "good");
    STAGE_UNTIL(&stage, stage.got.len == 4);
    peer_seal(peer, "evil", 4);
    peer->unsent.data[peer->unsent.len - 1] ^= 1;
    peer_drip(peer, SIZE_MAX);
    STAGE_UNTIL(&stage, (peer_pump(peer), peer->failed || peer->eof));
    stage_bytes_are(&stage.got, "good");
    peer_fin(peer);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_TLS);
    assert_int_equal(STAGE_COUNT(&stage, tls_failed), 0); /* the handshake was good */
    peer_free(peer);
    stage_close(&stage);
}

/* What came in the segment of the last handshake message is handed over. */
static void handshake__may_be_followed_by_data(void **state)
{
    struct stage stage;

    (void)state;
    tls_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_tls(peer, NULL);
    peer_drip(peer, SIZE_MAX);
    STAGE_UNTIL(&stage, (pump_in(peer), SSL_is_init_finished(peer->ssl) != 0));
    peer_seal(peer, "at once", 7);
    peer_drip(peer, SIZE_MAX);
    STAGE_UNTIL(&stage, stage.got.len == 7);
    stage_bytes_are(&stage.got, "at once");
    peer_free(peer);
    stage_close(&stage);
}

/* What is sent before the handshake is complete is sent after it, in order. */
static void send__waits_for_the_handshake(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    tls_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    peer_tls(peer, NULL);
    peer_drip(peer, SIZE_MAX);
    STAGE_UNTIL(&stage, stream_ssl(s) != NULL);
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"one ", 4));
    assert_true(stage_send(&stage, s, STREAM_DATAGRAM, (const uint8_t *)"two", 3));
    peer_shake(&stage, peer);
    STAGE_UNTIL(&stage, peer_pump(peer) == 7);
    stage_bytes_are(&peer->got, "one two");
    peer_free(peer);
    stage_close(&stage);
}

static void handshake__resumes(void **state)
{
    struct stage stage;
    SSL_CTX *context = client_context(TLS1_2_VERSION);

    (void)state;
    tls_open(&stage, NULL);
    struct peer *first = peer_join(&stage, 0, NULL);
    peer_tls(first, context);
    peer_shake(&stage, first);
    SSL_SESSION *session = SSL_get1_session(first->ssl);
    assert_int_equal(STAGE_COUNT(&stage, tls_resumed), 0);
    struct peer *second = peer_join(&stage, 0, NULL);
    peer_tls(second, context);
    BIO_reset(second->out);
    second->unsent.len = 0;
    SSL_clear(second->ssl);
    assert_int_equal(SSL_set_session(second->ssl, session), 1);
    SSL_set_connect_state(second->ssl);
    (void)SSL_do_handshake(second->ssl);
    peer_shake(&stage, second);
    assert_int_equal(STAGE_COUNT(&stage, tls_resumed), 1);
    assert_int_equal(STAGE_COUNT(&stage, tls_handshakes), 2);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
    peer_free(first);
    peer_free(second);
    stage_close(&stage);
}

/* --- a limit on handshakes ----------------------------------------------------------------------
 */

/* Proves K38: more handshakes than a second may begin wait, and begin in the order they came. */
static void handshakes__wait_for_their_turn_in_order(void **state)
{
    enum { CLIENTS = 40 };

    struct stage_options options = {.limits = stage_limits()};
    struct stage stage;
    struct peer *peer[CLIENTS];

    (void)state;
    options.limits.handshakes_per_s = 20;
    options.limits.handshake_timeout_ms = 10000;
    tls_open(&stage, &options);
    for (int i = 0; i < CLIENTS; i++) {
        peer[i] = peer_join(&stage, 0, NULL);
        peer_tls(peer[i], NULL);
        peer_drip(peer[i], SIZE_MAX);
        stage_settle(&stage);
    }
    assert_true(STAGE_COUNT(&stage, tls_deferred) >= CLIENTS - 5);
    int before = 0;
    for (int step = 0; before < CLIENTS; step++) {
        assert_true(step < 30); /* 3 s */
        assert_true(streams_next_deadline(stage.streams) <= stage.now_ms + 100);
        stage_pass(&stage, 100);
        int begun = 0;
        for (int i = 0; i < CLIENTS; i++) {
            (void)peer_pump(peer[i]);
            if (peer[i]->wire_bytes > 0) {
                assert_int_equal(begun, i); /* nobody before me is without an answer */
                begun++;
            }
        }
        assert_in_range(begun - before, step == 0 ? 0 : 1, 6);
        before = begun;
    }
    STAGE_UNTIL(&stage, STAGE_COUNT(&stage, tls_handshakes) == CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        peer_free(peer[i]);
    }
    stage_close(&stage);
}

/* Who goes while he waits leaves no gap and no trace. */
static void handshakes__may_be_given_up_while_waiting(void **state)
{
    enum { CLIENTS = 10 };

    struct stage_options options = {.limits = stage_limits()};
    struct stage stage;
    struct peer *peer[CLIENTS];

    (void)state;
    options.limits.handshakes_per_s = 1;
    tls_open(&stage, &options);
    for (int i = 0; i < CLIENTS; i++) {
        peer[i] = peer_join(&stage, 0, NULL);
        peer_tls(peer[i], NULL);
        peer_drip(peer[i], SIZE_MAX);
        stage_settle(&stage);
    }
    stream_close(stage.streams_seen[5], true);
    peer_reset(peer[6]);
    stage_pass(&stage, 9000);
    stage_pass(&stage, 2000);
    assert_in_range(stage.closed, 1, CLIENTS);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    for (int i = 0; i < CLIENTS; i++) {
        peer_free(peer[i]);
    }
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake__works_with_both_versions),
        cmocka_unit_test(handshake__works_byte_by_byte),
        cmocka_unit_test(handshake__has_a_deadline),
        cmocka_unit_test(handshake__that_stalls_is_small),
        cmocka_unit_test(handshake__then_a_message_is_due),
        cmocka_unit_test(handshake__fails_with_an_alert),
        cmocka_unit_test(record__that_is_broken_ends_it),
        cmocka_unit_test(handshake__may_be_followed_by_data),
        cmocka_unit_test(send__waits_for_the_handshake),
        cmocka_unit_test(handshake__resumes),
        cmocka_unit_test(handshakes__wait_for_their_turn_in_order),
        cmocka_unit_test(handshakes__may_be_given_up_while_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
