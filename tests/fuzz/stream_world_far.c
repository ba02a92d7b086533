/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "stream_world.h"

enum { SMALL_BUFFER = 8192, READ = 64 * 1024 };

/* --- contexts -----------------------------------------------------------------------------------
 */

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *x = X509_new();

    (void)X509_set_version(x, X509_VERSION_3);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 86400L * 3650);
    (void)X509_set_pubkey(x, key);
    if (X509_sign(x, key, EVP_sha256()) <= 0) {
        abort();
    }
    return x;
}

SSL_CTX *far_server_context(void)
{
    static SSL_CTX *context;

    if (context == NULL) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *x = certificate_of(key);
        context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate(context, x) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1) {
            abort();
        }
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
        X509_free(x);
        EVP_PKEY_free(key);
    }
    return context;
}

static SSL_CTX *client_context(void)
{
    static SSL_CTX *context;

    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL) {
            abort();
        }
        (void)SSL_CTX_set_mode(context,
                               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    return context;
}

size_t far_client_hello(uint8_t *out, size_t cap)
{
    SSL *ssl = SSL_new(client_context());
    BIO *bio = BIO_new(BIO_s_mem());
    size_t n = 0;

    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, bio, bio);
    (void)SSL_do_handshake(ssl);
    if (BIO_read_ex(bio, out, cap, &n) != 1) {
        abort();
    }
    ERR_clear_error();
    SSL_free(ssl);
    return n;
}

/* --- opening ------------------------------------------------------------------------------------
 */

static void set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void connect_to(struct world_conn *c, const struct net_addr *address, bool small)
{
    struct sockaddr_storage ss;
    socklen_t len = net_addr_to_sockaddr(address, &ss);

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (small) {
        set(c->fd, SOL_SOCKET, SO_RCVBUF, SMALL_BUFFER);
    }
    set(c->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(c->fd, (struct sockaddr *)&ss, len) < 0) {
        abort();
    }
    len = sizeof(ss);
    if (getsockname(c->fd, (struct sockaddr *)&ss, &len) < 0 ||
        net_addr_from_sockaddr(&ss, &c->far) < 0) {
        abort();
    }
}

static void be_connected(struct stream_world *w, struct world_conn *c, bool refused)
{
    struct net_addr from = w->accept_address;

    from.port = 0;
    const int err =
        stream_connect(w->ends[c->engine].streams, &from,
                       refused ? &w->nowhere : &w->accept_address, &world_handler, &c->stream);
    if (err < 0) {
        c->stream = NULL;
        return;
    }
    *(struct world_conn **)stream_owner(c->stream) = c;
    struct pollfd ready = {.fd = w->accept_fd, .events = POLLIN};
    if (!refused && poll(&ready, 1, 5000) == 1) {
        c->fd = accept4(w->accept_fd, NULL, NULL, SOCK_CLOEXEC);
        assert(c->fd >= 0);
    }
}

void far_open(struct stream_world *w, struct world_conn *c, unsigned engine, enum world_open how)
{
    if (c->begun) {
        return;
    }
    c->begun = true;
    c->engine = engine;
    c->phase = how == WORLD_ACCEPTED_PROXY ? WORLD_PROXY : WORLD_FIRST;
    if (how == WORLD_ACCEPTED || how == WORLD_ACCEPTED_PROXY) {
        connect_to(c, &w->ends[engine].address, ((c - w->conns) & 2) != 0);
    } else {
        be_connected(w, c, how == WORLD_REFUSED);
    }
}

/* --- sending ------------------------------------------------------------------------------------
 */

void far_say(struct world_conn *c, const uint8_t *data, size_t len)
{
    if (c->begun && !c->shut && len > 0 && len <= WORLD_LOG - c->log_len) {
        memcpy(c->log + c->log_len, data, len);
        c->log_len += (uint32_t)len;
    }
}

static size_t push_tls(struct world_conn *c, size_t n)
{
    size_t done = 0;

    ERR_clear_error();
    const int result = SSL_write_ex(c->ssl, c->log + c->sent, n, &done);
    if (result == 1) {
        return done;
    }
    const int error = SSL_get_error(c->ssl, result);
    c->broken = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return 0;
}

static size_t push_plain(struct world_conn *c, size_t n)
{
    const ssize_t done = send(c->fd, c->log + c->sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);

    c->broken = done < 0 && errno != EAGAIN;
    return done > 0 ? (size_t)done : 0;
}

void far_push(struct world_conn *c, size_t n)
{
    while (c->fd >= 0 && !c->shut && !c->broken && n > 0 && c->sent < c->log_len) {
        const size_t some = n < c->log_len - c->sent ? n : c->log_len - c->sent;
        const size_t done = c->ssl != NULL ? push_tls(c, some) : push_plain(c, some);
        if (done == 0) {
            return;
        }
        c->sent += (uint32_t)done;
        n -= done;
    }
}

void far_tls(struct world_conn *c)
{
    const bool fits = c->log_len == 0 ? c->phase == WORLD_FIRST
                                      : c->phase == WORLD_FIRST && c->taken == c->log_len;

    if (c->ssl != NULL && SSL_is_init_finished(c->ssl) != 0) { /* once more: other keys */
        (void)SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
        (void)SSL_do_handshake(c->ssl);
        ERR_clear_error();
    }
    if (c->fd < 0 || c->secure || c->shut || c->twin != NULL || !fits) {
        return;
    }
    c->secure = true;
    c->ssl = SSL_new(client_context());
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        abort();
    }
    (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
    SSL_set_connect_state(c->ssl);
    (void)SSL_do_handshake(c->ssl);
    ERR_clear_error();
}

/* --- receiving ----------------------------------------------------------------------------------
 */

/* The head of an answer is complete: those that were left out were datagrams. */
static void got_head(struct world_conn *c)
{
    const uint32_t number = be32(c->head);

    assert(number >= c->answer_next && number < c->answer_count);
    for (; c->answer_next < number; c->answer_next++) {
        assert(c->answers[c->answer_next].datagram);
    }
    assert(c->answers[number].len == be32(c->head + 4));
}

static size_t got_answer(const struct stream_world *w, struct world_conn *c, const uint8_t *data,
                         size_t len)
{
    if (c->got < WORLD_ANSWER_HEAD) {
        c->head[c->got++] = data[0];
        if (c->got == WORLD_ANSWER_HEAD) {
            got_head(c);
        }
        len = 1;
    } else {
        const struct world_answer *a = &c->answers[c->answer_next];
        const uint8_t *is = (a->bulk ? w->bulk : c->log + a->at) + c->got;
        len = len < a->len - c->got ? len : a->len - c->got;
        assert(memcmp(is, data, len) == 0);
        (void)is;
        c->got += (uint32_t)len;
    }
    if (c->got >= WORLD_ANSWER_HEAD && c->got == c->answers[c->answer_next].len) {
        c->got = 0;
        c->answer_next++;
    }
    return len;
}

static void got(const struct stream_world *w, struct world_conn *c, const uint8_t *data, size_t len)
{
    if (c->blind_out) {
        return;
    }
    if (c->twin != NULL) {
        assert(len <= c->twin->sent - c->twin_at);
        assert(memcmp(c->twin->log + c->twin_at, data, len) == 0);
        c->twin_at += (uint32_t)len;
        return;
    }
    while (len > 0) {
        const size_t n = got_answer(w, c, data, len);
        data += n;
        len -= n;
    }
}

static ssize_t read_tls(struct world_conn *c, uint8_t *data, size_t len)
{
    size_t n = 0;

    ERR_clear_error();
    const int result = SSL_read_ex(c->ssl, data, len, &n);
    if (result == 1) {
        return (ssize_t)n;
    }
    const int error = SSL_get_error(c->ssl, result);
    ERR_clear_error();
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

bool far_read(struct stream_world *w, struct world_conn *c)
{
    static uint8_t data[READ];

    if (c->fd < 0 || c->deaf || c->quiet) {
        return false;
    }
    const ssize_t n = c->ssl != NULL ? read_tls(c, data, sizeof(data))
                                     : recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
    if (n > 0) {
        got(w, c, data, (size_t)n);
        return true;
    }
    c->quiet = n == 0 || errno != EAGAIN;
    /* OpenSSL refuses tickets that come after its own close_notify, and what is behind them. */
    c->blind_out = c->blind_out || (c->quiet && c->ssl != NULL && c->shut);
    return false;
}

/* --- ending -------------------------------------------------------------------------------------
 */

void far_shut(struct world_conn *c, bool notify)
{
    if (c->fd < 0 || c->shut) {
        return;
    }
    if (c->ssl != NULL && notify && SSL_is_init_finished(c->ssl) != 0) {
        (void)SSL_shutdown(c->ssl);
        ERR_clear_error();
    }
    c->shut = true;
    (void)shutdown(c->fd, SHUT_WR);
}

void far_close(struct world_conn *c, bool abort)
{
    if (c->fd < 0) {
        return;
    }
    if (abort) {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    (void)close(c->fd);
    c->fd = -1;
}
