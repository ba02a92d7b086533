/* SPDX-License-Identifier: Apache-2.0 */
/* The clients on the stage. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>

#include "stream_stage.h"

static struct peer *peer_connect(struct stage *stage, int rcvbuf, const char *source)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    struct sockaddr_storage ss;
    const int on = 1;

    assert_non_null(peer);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    if (rcvbuf > 0) {
        (void)setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    }
    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (source != NULL) {
        struct net_addr from;
        assert_int_equal(net_addr_parse(source, 0, &from), 0);
        const socklen_t len = net_addr_to_sockaddr(&from, &ss);
        assert_int_equal(bind(peer->fd, (struct sockaddr *)&ss, len), 0);
    }
    const socklen_t len = net_addr_to_sockaddr(&stage->address, &ss);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&ss, len), 0); /* by the backlog */
    assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    return peer;
}

struct peer *peer_new(struct stage *stage, int rcvbuf)
{
    return peer_connect(stage, rcvbuf, NULL);
}

struct peer *peer_new_from(struct stage *stage, const char *source)
{
    return peer_connect(stage, 0, source);
}

struct peer *peer_join(struct stage *stage, int rcvbuf, struct stream **out_s)
{
    const unsigned before = stage->opened;
    struct peer *peer = peer_connect(stage, rcvbuf, NULL);

    STAGE_UNTIL(stage, stage->opened > before);
    if (out_s != NULL) {
        *out_s = stage->streams_seen[before];
    }
    return peer;
}

void peer_free(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    SSL_free(peer->ssl);
    if (peer->fd >= 0) {
        (void)close(peer->fd);
    }
    free(peer->got.data);
    free(peer->unsent.data);
    free(peer);
}

/* What TLS wants to send joins what is unsent. */
static void take_ciphertext(struct peer *peer)
{
    uint8_t room[4096];
    int n;

    while (peer->ssl != NULL && (n = BIO_read(peer->out, room, sizeof(room))) > 0) {
        stage_bytes_add(&peer->unsent, room, (size_t)n);
    }
}

void peer_drip(struct peer *peer, size_t n)
{
    take_ciphertext(peer);
    n = n < peer->unsent.len ? n : peer->unsent.len;
    if (n == 0 || peer->fd < 0) {
        return;
    }
    const ssize_t sent = send(peer->fd, peer->unsent.data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        stage_bytes_drop(&peer->unsent, (size_t)sent);
    } else if (errno == EPIPE || errno == ECONNRESET) {
        peer->unsent.len = 0;
    }
}

/* What came through TLS. */
static void take_plaintext(struct peer *peer)
{
    uint8_t room[16384];

    if (peer->ssl == NULL || peer->failed) {
        return;
    }
    for (;;) {
        int n;
        ERR_clear_error();
        if (SSL_is_init_finished(peer->ssl) == 0) {
            n = SSL_do_handshake(peer->ssl);
        } else if ((n = SSL_read(peer->ssl, room, sizeof(room))) > 0) {
            stage_bytes_add(&peer->got, room, (size_t)n);
        }
        if (n <= 0) {
            const int error = SSL_get_error(peer->ssl, n);
            peer->notified = peer->notified || error == SSL_ERROR_ZERO_RETURN;
            peer->failed = error == SSL_ERROR_SSL;
            ERR_clear_error(); /* the engine is in the same thread */
            return;
        }
    }
}

size_t peer_pump(struct peer *peer)
{
    static uint8_t room[65536];
    size_t sum = 0;

    while (!peer->deaf && !peer->eof && !peer->reset && peer->fd >= 0 &&
           (peer->budget == 0 || sum < peer->budget)) {
        const size_t left = peer->budget == 0 ? sizeof(room) : peer->budget - sum;
        const size_t want = left < sizeof(room) ? left : sizeof(room);
        const ssize_t n = recv(peer->fd, room, want, MSG_DONTWAIT);
        if (n > 0) {
            sum += (size_t)n;
            peer->wire_bytes += (size_t)n;
            if (peer->ssl != NULL) {
                (void)BIO_write(peer->in, room, (int)n);
            } else {
                stage_bytes_add(&peer->got, room, (size_t)n);
            }
            continue;
        }
        peer->eof = n == 0;
        peer->reset = n < 0 && errno == ECONNRESET;
        if (n < 0) {
            break;
        }
    }
    take_plaintext(peer);
    peer_drip(peer, SIZE_MAX);
    return peer->got.len;
}

void peer_tls(struct peer *peer, SSL_CTX *context)
{
    SSL_CTX *own = context == NULL ? SSL_CTX_new(TLS_client_method()) : NULL;

    peer->ssl = SSL_new(context != NULL ? context : own);
    peer->in = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    assert_true(peer->ssl != NULL && peer->in != NULL && peer->out != NULL);
    SSL_set_bio(peer->ssl, peer->in, peer->out);
    SSL_set_connect_state(peer->ssl);
    SSL_CTX_free(own);
    take_plaintext(peer); /* the ClientHello */
    take_ciphertext(peer);
}

static bool is_shaken(struct peer *peer)
{
    (void)peer_pump(peer);
    return SSL_is_init_finished(peer->ssl) != 0 && peer->unsent.len == 0;
}

void peer_shake(struct stage *stage, struct peer *peer)
{
    const uint64_t before = STAGE_COUNT(stage, tls_handshakes);

    STAGE_UNTIL(stage, is_shaken(peer) && STAGE_COUNT(stage, tls_handshakes) > before);
}

void peer_seal(struct peer *peer, const void *data, size_t len)
{
    ERR_clear_error();
    assert_int_equal(SSL_write(peer->ssl, data, (int)len), len);
    take_ciphertext(peer);
}

void peer_send(struct peer *peer, const void *data, size_t len)
{
    if (peer->ssl != NULL) {
        peer_seal(peer, data, len);
    } else {
        stage_bytes_add(&peer->unsent, data, len);
    }
    peer_drip(peer, SIZE_MAX);
}

void peer_text(struct peer *peer, const char *text)
{
    peer_send(peer, text, strlen(text));
}

void peer_fin(struct peer *peer)
{
    assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
}

void peer_reset(struct peer *peer)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    (void)close(peer->fd);
    peer->fd = -1;
}

/* --- a certificate ------------------------------------------------------------------------------
 */

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();

    assert_non_null(cert);
    X509_NAME *name = X509_get_subject_name(cert);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"stage", -1, -1, 0),
        1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

SSL_CTX *stage_server_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");

    assert_true(context != NULL && key != NULL);
    X509 *cert = make_certificate(key);
    assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    X509_free(cert);
    EVP_PKEY_free(key);
    return context;
}
