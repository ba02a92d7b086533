/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dtls.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/dtls_stage.h"

static struct dtls_stage stage;

#define COUNT(name) stats_read(&dtls_counters(stage.dtls)->name)

static int stage_up(void **state)
{
    (void)state;
    dtls_stage_open(&stage, NULL, NULL);
    return 0;
}

static int stage_down(void **state)
{
    (void)state;
    dtls_stage_close(&stage);
    return 0;
}

/* A connected client that the test holds the association of. */
static struct dtls_peer *known_peer(const char *text, struct dtls_client **out)
{
    struct dtls_peer *peer = dtls_peer_connected(&stage, text);

    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    *out = stage.client_last;
    return peer;
}

static void change_limits(struct dtls_limits limits)
{
    dtls_set_limits(stage.dtls, &limits);
}

/* --- the way of a message -----------------------------------------------------------------------
 */

static void message__goes_there_and_back(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");

    assert_true(dtls_peer_write(peer, "ping", 4));
    dtls_stage_run(&stage);
    assert_int_equal(stage.messages, 1);
    assert_string_equal(stage.log[0].text, "ping");
    assert_true(net_addr_equal(dtls_remote(stage.client_last), &peer->addr));
    assert_true(net_addr_equal(dtls_local(stage.client_last), &stage.local));
    assert_false(dtls_is_discovery(stage.client_last));
    assert_int_equal(peer->got_count, 1);
    assert_memory_equal(peer->got, "ping", 4);
    assert_int_equal(COUNT(established), 1);
    assert_int_equal(COUNT(handshakes), 1);
    assert_int_equal(COUNT(completed), 1);
    assert_int_equal(COUNT(cookies_sent), 1);
    assert_int_equal(COUNT(failed), 0);
    assert_int_equal(COUNT(refused), 0);
    assert_int_equal(COUNT(bad_records), 0);
}

/* Proves T-7350-3-05: one message a record, however many of those a datagram holds. */
static void message__comes_once_a_record_and_in_order(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "two", "three", "four"};
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    uint8_t all[1024];
    uint32_t n = 0;

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_true(dtls_peer_write(peer, texts[i], (uint32_t)strlen(texts[i])));
        struct dtls_datagram *d = dtls_line_take(&peer->out);
        memcpy(all + n, d->data, d->len);
        n += d->len;
        free(d);
    }
    dtls_stage_input(&stage, &peer->addr, all, n);
    assert_int_equal(stage.messages, 4);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_string_equal(stage.log[i].text, texts[i]);
    }
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_count, 4); /* the echoes, made while later records waited */
    assert_int_equal(COUNT(bad_records), 0);
}

static void message__that_ends_the_association_is_its_last(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    uint8_t all[256];
    uint32_t n = 0;

    stage.close_on_message = true;
    for (int i = 0; i < 2; i++) {
        assert_true(dtls_peer_write(peer, "bye", 3));
        struct dtls_datagram *d = dtls_line_take(&peer->out);
        memcpy(all + n, d->data, d->len);
        n += d->len;
        free(d);
    }
    dtls_stage_input(&stage, &peer->addr, all, n);
    assert_int_equal(stage.messages, 1);
    assert_int_equal(COUNT(established), 0);
    assert_int_equal(COUNT(bad_records), 1); /* the second record has nobody to go to */
    dtls_stage_run(&stage);
    assert_true(peer->closed);
}

static void output__is_bounded_by_a_record_and_by_the_packet(void **state)
{
    (void)state;
    static uint8_t big[16385];
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    memset(big, 'b', sizeof(big));
    assert_true(dtls_stage_send(&stage, client, big, 1));
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_len, 1);
    assert_true(dtls_stage_send(&stage, client, big, 16384));
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_len, 16384);
    assert_int_equal(peer->got[16383], 'b');
    assert_false(dtls_stage_send(&stage, client, big, 16385));
    assert_false(dtls_stage_send(&stage, client, big, 0));

    for (uint32_t cap = 100; cap < 160; cap++) { /* 100 bytes become 137 */
        uint8_t *buf = malloc(PKT_HEADROOM + cap);
        struct pkt pkt = {.data = buf + PKT_HEADROOM, .len = 100, .cap = cap, .buf = buf};
        memset(pkt.data, 'c', 100);
        const bool ok = dtls_output(stage.dtls, client, &pkt, stage.now_ms);
        assert_int_equal(ok, cap + PKT_HEADROOM >= 137);
        assert_int_equal(pkt.len, ok ? 137 : 100);
        assert_ptr_equal(pkt.data, ok && cap < 137 ? buf : buf + PKT_HEADROOM);
        free(buf);
    }
    assert_true(dtls_stage_send(&stage, client, "still there", 11));
    dtls_stage_run(&stage);
    assert_memory_equal(peer->got, "still there", 11);
}

static void output__that_does_not_fit_leaves_the_packet(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    uint8_t buf[PKT_HEADROOM + 30];
    struct pkt pkt = {.data = buf + 4, .len = 80, .cap = 30, .buf = buf};

    (void)known_peer("192.0.2.1:4000", &client);
    memset(buf, 'd', sizeof(buf));
    assert_false(dtls_output(stage.dtls, client, &pkt, stage.now_ms)); /* 117 bytes into 94 */
    assert_ptr_equal(pkt.data, buf + 4);
    assert_int_equal(pkt.len, 80);
    for (size_t i = 0; i < sizeof(buf); i++) {
        assert_int_equal(buf[i], 'd');
    }
}

static void output__keeps_to_the_fragment_length_agreed_on(void **state)
{
    (void)state;

    static const struct {
        uint8_t code;
        uint32_t bytes;
    } agreed[] = {{TLSEXT_max_fragment_length_512, 512}, {TLSEXT_max_fragment_length_4096, 4096}};

    static uint8_t data[4097];

    for (size_t i = 0; i < COUNT_OF(agreed); i++) {
        struct dtls_client *client = NULL;
        assert_int_equal(SSL_CTX_set_tlsext_max_fragment_length(stage.client, agreed[i].code), 1);
        struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
        assert_false(dtls_stage_send(&stage, client, data, agreed[i].bytes + 1));
        assert_true(dtls_stage_send(&stage, client, data, agreed[i].bytes)); /* no harm done */
        dtls_stage_run(&stage);
        assert_int_equal(peer->got_len, agreed[i].bytes);
        dtls_close(stage.dtls, client);
        dtls_peer_free(peer);
    }
}

/* Proves T-7443-2-01: the protocol is known to who has to keep to it. */
static void discovery__is_what_alpn_says(void **state)
{
    (void)state;
    static const unsigned char discovery[] = "\x12stun.nat-discovery";
    struct dtls_client *client = NULL;

    assert_int_equal(SSL_CTX_set_alpn_protos(stage.client, discovery, sizeof(discovery) - 1), 0);
    (void)known_peer("192.0.2.1:4000", &client);
    assert_true(dtls_is_discovery(client));
}

/* --- loss ---------------------------------------------------------------------------------------
 */

/* Proves T-7350-3-06. */
static void flight__is_sent_again_when_it_is_lost(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");

    dtls_peer_step(peer);
    struct dtls_datagram *hello = dtls_line_take(&peer->out);
    dtls_stage_input(&stage, &peer->addr, hello->data, hello->len); /* the cookie comes */
    free(hello);
    stage.lose = 100;
    dtls_stage_run(&stage);
    const uint32_t lost = 100 - stage.lose;
    assert_true(lost >= 1);
    stage.lose = 0;
    dtls_stage_pass(&stage, 800, false);
    assert_int_equal(peer->in.count, 0);
    dtls_stage_pass(&stage, 400, false); /* RFC 6347 section 4.2.4.1: one second at first */
    assert_true(peer->in.count >= lost);
    dtls_stage_run(&stage);
    assert_true(peer->connected);
    assert_int_equal(COUNT(established), 1);
}

static void flight__of_the_end_is_sent_again_when_asked_for(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");

    while (COUNT(established) == 0) {
        struct dtls_datagram *d;
        stage.lose = 0;
        dtls_peer_step(peer);
        while ((d = dtls_line_take(&peer->out)) != NULL) {
            dtls_stage_input(&stage, &peer->addr, d->data, d->len);
            free(d);
        }
    }
    assert_int_equal(COUNT(completed), 1);
    dtls_line_clear(&peer->in); /* lost: our Finished */
    dtls_peer_step(peer);
    assert_false(peer->connected);
    dtls_stage_pass(&stage, 1500, true); /* the client's timer */
    assert_true(peer->connected);
    assert_int_equal(COUNT(completed), 1);
}

static void handshake__survives_any_loss(void **state)
{
    (void)state;
    for (uint32_t pattern = 1; pattern < 64; pattern++) {
        struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
        uint32_t seen = 0;
        for (int turn = 0; turn < 200 && !peer->connected; turn++) {
            struct dtls_datagram *d;
            dtls_peer_step(peer);
            while ((d = dtls_line_take(&peer->out)) != NULL) {
                const bool lost = seen < 6 && (pattern >> seen & 1) != 0;
                seen++;
                stage.lose = lost ? 1 : 0; /* its answer */
                if (!lost || seen % 2 == 0) {
                    dtls_stage_input(&stage, &peer->addr, d->data, d->len);
                }
                free(d);
            }
            stage.lose = 0;
            dtls_stage_pass(&stage, 100, true);
        }
        assert_true(peer->connected);
        dtls_peer_shutdown(peer);
        dtls_stage_run(&stage);
        assert_int_equal(COUNT(established), 0);
        dtls_peer_free(peer);
    }
}

static void handshake__may_be_in_small_parts(void **state)
{
    (void)state;
    static const unsigned char many[] = "\x09stun.turn\x20"
                                        "01234567890123456789012345678901\x20"
                                        "01234567890123456789012345678901"
                                        "\x20"
                                        "01234567890123456789012345678901\x20"
                                        "01234567890123456789012345678901\x20"
                                        "01234567890123456789012345678901\x20"
                                        "01234567890123456789012345678901";
    struct dtls_limits limits = dtls_stage_limits();

    limits.mtu = 1; /* the least that there is */
    change_limits(limits);
    assert_int_equal(SSL_CTX_set_alpn_protos(stage.client, many, sizeof(many) - 1), 0);
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    (void)SSL_set_mtu(peer->ssl, 256);
    dtls_peer_step(peer);
    assert_true(peer->out.count >= 2);
    dtls_stage_run(&stage);
    assert_true(peer->connected);
    assert_true(stage.sent_last <= 256);
}

/* Proves T-8016-1-01. */
static void handshake__may_resume_a_session(void **state)
{
    (void)state;
    struct dtls_peer *first = dtls_peer_connected(&stage, "192.0.2.1:4000");
    SSL_SESSION *session = SSL_get1_session(first->ssl);
    struct dtls_peer *second = dtls_peer_open(&stage, "192.0.2.77:5000");

    assert_int_equal(SSL_set_session(second->ssl, session), 1);
    dtls_stage_run(&stage);
    assert_true(second->connected);
    assert_int_equal(SSL_session_reused(second->ssl), 1);
    assert_true(dtls_peer_write(second, "moved", 5));
    dtls_stage_run(&stage);
    assert_int_equal(second->got_count, 1);
    SSL_SESSION_free(session);
}

static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static void handshake__may_ask_for_a_certificate(void **state)
{
    (void)state;
    SSL_CTX_set_verify(stage.server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    struct dtls_peer *without = dtls_peer_open(&stage, "192.0.2.1:4000");
    dtls_stage_run(&stage);
    assert_true(without->failed);
    assert_int_equal(stage.closed[DTLS_CLOSE_ERROR], 1);
    assert_int_equal(COUNT(failed), 1);

    struct dtls_peer *with = dtls_peer_open(&stage, "192.0.2.2:4000");
    assert_int_equal(SSL_use_certificate(with->ssl, SSL_CTX_get0_certificate(stage.server)), 1);
    assert_int_equal(SSL_use_PrivateKey(with->ssl, SSL_CTX_get0_privatekey(stage.server)), 1);
    dtls_stage_run(&stage);
    assert_true(with->connected);
}

static int move_on(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    return SSL_set_SSL_CTX(ssl, arg) != NULL ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

/* As server names do. */
static void handshake__may_move_to_a_context_without_cookies(void **state)
{
    (void)state;
    SSL_CTX *other = dtls_stage_server_context();

    SSL_CTX_set_client_hello_cb(stage.server, move_on, other);
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    X509 *seen = SSL_get1_peer_certificate(peer->ssl);
    assert_int_equal(X509_cmp(seen, SSL_CTX_get0_certificate(other)), 0);
    X509_free(seen);
    SSL_CTX_free(other);
}

static void context__that_is_replaced_serves_whom_it_has(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_connected(&stage, "192.0.2.1:4000");
    SSL_CTX *renewed = dtls_stage_server_context();

    dtls_set_context(stage.dtls, renewed);
    struct dtls_peer *new = dtls_peer_connected(&stage, "192.0.2.1:4001");
    X509 *seen = SSL_get1_peer_certificate(new->ssl);
    assert_int_equal(X509_cmp(seen, SSL_CTX_get0_certificate(renewed)), 0);
    X509_free(seen);
    SSL_CTX_free(renewed);
    assert_true(dtls_peer_write(old, "old", 3));
    dtls_stage_run(&stage);
    assert_int_equal(old->got_count, 1);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(message__goes_there_and_back),
        STAGED(message__comes_once_a_record_and_in_order),
        STAGED(message__that_ends_the_association_is_its_last),
        STAGED(output__is_bounded_by_a_record_and_by_the_packet),
        STAGED(output__that_does_not_fit_leaves_the_packet),
        STAGED(output__keeps_to_the_fragment_length_agreed_on),
        STAGED(discovery__is_what_alpn_says),
        STAGED(flight__is_sent_again_when_it_is_lost),
        STAGED(flight__of_the_end_is_sent_again_when_asked_for),
        STAGED(handshake__survives_any_loss),
        STAGED(handshake__may_be_in_small_parts),
        STAGED(handshake__may_resume_a_session),
        STAGED(handshake__may_ask_for_a_certificate),
        STAGED(handshake__may_move_to_a_context_without_cookies),
        STAGED(context__that_is_replaced_serves_whom_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
