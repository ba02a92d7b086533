/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/bench_socket.h"

/* --- TLS -------------------------------------------------------------------------------------- */

static void tls_why(const char *what, char *why, size_t cap)
{
    char text[160];
    const unsigned long code = ERR_peek_last_error();

    ERR_error_string_n(code, text, sizeof(text));
    snprintf(why, cap, "%s%s%s", what, code == 0 ? "" : ": ", code == 0 ? "" : text);
    ERR_clear_error();
}

int bench_conn_context(const char *ca, bool insecure, SSL_CTX **out, char *why, size_t cap)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL) {
        return -ENOMEM;
    }
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    const int trusted = insecure     ? 1
                        : ca == NULL ? SSL_CTX_set_default_verify_paths(context)
                                     : SSL_CTX_load_verify_file(context, ca);
    if (trusted != 1) {
        tls_why("cannot read the certificates to be trusted", why, cap);
        SSL_CTX_free(context);
        return -EINVAL;
    }
    *out = context;
    return 0;
}

void bench_conn_context_free(SSL_CTX *context)
{
    SSL_CTX_free(context);
}

/* The name that the server must prove, and is told (SNI; not for addresses, RFC 6066 section 3). */
static bool set_host(SSL *ssl, const char *host)
{
    struct net_ip ip;

    if (net_ip_parse(host, &ip) == 0) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    /* What the macro SSL_set_tlsext_host_name does, which casts const away. */
    char name[256];
    snprintf(name, sizeof(name), "%s", host);
    return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1 &&
           SSL_set1_host(ssl, host) == 1;
}

static int begin_tls(struct bench_conn *conn, const struct bench_conn_options *options)
{
    conn->ssl = SSL_new(options->context);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1 ||
        !set_host(conn->ssl, options->host)) {
        return -ENOMEM;
    }
    SSL_set_connect_state(conn->ssl);
    return 0;
}

/* What a call of libssl that did not succeed means: -EAGAIN or the end. */
static int tls_outcome(const struct bench_conn *conn, int result)
{
    const int why = SSL_get_error(conn->ssl, result);

    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -EAGAIN : -ECONNRESET;
}

/* --- connecting ------------------------------------------------------------------------------- */

static int begin_tcp(int fd, const struct bench_conn_options *options)
{
    const int one = 1;
    struct bench_name name;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (options->local->family != NET_NONE) {
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
        bench_socket_name(options->local, &name);
        if (bind(fd, &name.at.sa, name.len) < 0) {
            return -errno;
        }
    }
    bench_socket_name(options->server, &name);
    return connect(fd, &name.at.sa, name.len) < 0 && errno != EINPROGRESS ? -errno : 0;
}

int bench_conn_open(const struct bench_conn_options *options, struct bench_conn *out)
{
    struct bench_conn conn = {
        .fd = socket(options->server->family == NET_V4 ? AF_INET : AF_INET6,
                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };

    if (conn.fd < 0) {
        return -errno;
    }
    int err = begin_tcp(conn.fd, options);
    if (err == 0 && options->context != NULL) {
        err = begin_tls(&conn, options);
    }
    if (err < 0) {
        bench_conn_close(&conn);
        return err;
    }
    *out = conn;
    return 0;
}

void bench_conn_close(struct bench_conn *conn)
{
    if (conn->ssl != NULL) {
        if (SSL_is_init_finished(conn->ssl)) {
            (void)SSL_shutdown(conn->ssl);
        }
        SSL_free(conn->ssl);
        ERR_clear_error();
    }
    if (conn->fd >= 0) {
        (void)close(conn->fd);
    }
    free(conn->pending);
    free(conn->carry);
    *conn = (struct bench_conn){.fd = -1};
}

static int advance_tls(struct bench_conn *conn, char *why, size_t cap)
{
    ERR_clear_error();
    const int result = SSL_do_handshake(conn->ssl);
    if (result == 1) {
        return 1;
    }
    const int error = SSL_get_error(conn->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    const long verdict = SSL_get_verify_result(conn->ssl);
    if (verdict != X509_V_OK) {
        snprintf(why, cap, "its certificate is not accepted: %s",
                 X509_verify_cert_error_string(verdict));
        ERR_clear_error();
    } else {
        tls_why("the TLS handshake failed", why, cap);
    }
    return -EPROTO;
}

int bench_conn_advance(struct bench_conn *conn, char *why, size_t cap)
{
    struct tcp_info info;
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        return -error;
    }
    len = sizeof(info);
    if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
        info.tcpi_state == TCP_SYN_SENT) {
        return 0;
    }
    return conn->ssl == NULL ? 1 : advance_tls(conn, why, cap);
}

/* --- data ------------------------------------------------------------------------------------- */

/* Hand bytes to the kernel: how many it took, -EAGAIN for none, or the end. */
static ssize_t push(const struct bench_conn *conn, const uint8_t *p, size_t n)
{
    if (conn->ssl != NULL) {
        const int sent = SSL_write(conn->ssl, p, (int)n);
        return sent > 0 ? sent : tls_outcome(conn, sent);
    }
    const ssize_t sent = send(conn->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 ? sent : errno == EINTR ? -EAGAIN : -errno;
}

int bench_conn_flush(struct bench_conn *conn)
{
    while (conn->pending_len > 0) {
        const ssize_t n = push(conn, conn->pending + conn->pending_at, conn->pending_len);
        if (n < 0) {
            return n == -EAGAIN ? 0 : (int)n;
        }
        conn->pending_at += (uint32_t)n;
        conn->pending_len -= (uint32_t)n;
    }
    conn->pending_at = 0;
    return 0;
}

int bench_conn_write(struct bench_conn *conn, const uint8_t *p, uint32_t n)
{
    if (conn->pending_len > 0 || n > BENCH_CONN_PENDING) {
        return -EAGAIN;
    }
    while (n > 0) {
        const ssize_t sent = push(conn, p, n);
        if (sent == -EAGAIN) {
            break;
        }
        if (sent < 0) {
            return (int)sent;
        }
        p += sent;
        n -= (uint32_t)sent;
    }
    if (n == 0) {
        return 0;
    }
    if (conn->pending == NULL) {
        conn->pending = mem_new(1, BENCH_CONN_PENDING);
    }
    if (conn->pending == NULL) {
        return -ENOMEM;
    }
    memcpy(conn->pending, p, n);
    conn->pending_at = 0;
    conn->pending_len = n;
    return 0;
}

ssize_t bench_conn_read(struct bench_conn *conn, uint8_t *to, size_t cap)
{
    if (conn->ssl != NULL) {
        const int n = SSL_read(conn->ssl, to, (int)cap);
        if (n > 0) {
            return n;
        }
        const int err = tls_outcome(conn, n);
        return err == -EAGAIN ? 0 : err;
    }
    const ssize_t n = recv(conn->fd, to, cap, MSG_DONTWAIT);
    if (n == 0) {
        return -ECONNRESET;
    }
    return n > 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int bench_conn_carry(struct bench_conn *conn, const uint8_t *p, uint32_t n)
{
    if (n > conn->carry_cap) {
        uint8_t *room = mem_new(1, n + 2048);
        if (room == NULL) {
            return -ENOMEM;
        }
        free(conn->carry);
        conn->carry = room;
        conn->carry_cap = n + 2048;
    }
    if (n > 0) {
        memcpy(conn->carry, p, n);
    }
    conn->carry_len = n;
    return 0;
}
