/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { WAIT_S = 10 };

void stream_conn_die(const char *what)
{
    if (errno != 0) {
        perror(what);
    } else {
        (void)fprintf(stderr, "stream-load: %s\n", what);
    }
    ERR_print_errors_fp(stderr);
    exit(1);
}

SSL_CTX *stream_conn_context(int version)
{
    static char groups[] = "P-256"; /* a macro of libssl casts const away */
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL || SSL_CTX_set_min_proto_version(context, version) != 1 ||
        SSL_CTX_set_max_proto_version(context, version) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:"
                                         "ECDHE-RSA-AES128-GCM-SHA256") != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(context, groups) != 1) {
        stream_conn_die("no TLS context");
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    return context;
}

static int open_socket(uint32_t from_ip)
{
    const int one = 1;
    const struct timeval patience = {.tv_sec = WAIT_S};
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from_ip)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0) {
        stream_conn_die("socket");
    }
    return fd;
}

void stream_conn_open(struct stream_conn *c, uint32_t from_ip, struct endpoint to, SSL_CTX *context,
                      bool wait)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET,
        .sin_port = htons(to.port),
        .sin_addr.s_addr = htonl(to.ip),
    };

    *c = (struct stream_conn){.fd = open_socket(from_ip), .ssl = NULL};
    if (!wait) {
        stream_conn_nonblocking(c);
    }
    if (connect(c->fd, (const struct sockaddr *)&at, sizeof(at)) < 0 && errno != EINPROGRESS) {
        stream_conn_die("connect");
    }
    errno = 0;
    if (context == NULL) {
        return;
    }
    c->ssl = SSL_new(context);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
        stream_conn_die("SSL_new");
    }
    SSL_set_connect_state(c->ssl);
    if (wait && SSL_do_handshake(c->ssl) != 1) {
        stream_conn_die("TLS handshake");
    }
}

void stream_conn_nonblocking(struct stream_conn *c)
{
    const int flags = fcntl(c->fd, F_GETFL);

    if (flags < 0 || fcntl(c->fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        stream_conn_die("fcntl");
    }
}

/* What a call of libssl that did not succeed means: 0 wait, -1 ended. */
static int ssl_outcome(struct stream_conn *c, int result)
{
    const int why = SSL_get_error(c->ssl, result);

    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static int plain_outcome(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int stream_conn_advance(struct stream_conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (c->ssl != NULL) {
        ERR_clear_error();
        const int result = SSL_do_handshake(c->ssl);
        return result == 1 ? 1 : ssl_outcome(c, result);
    }
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0 ? -1 : 1;
}

ssize_t stream_conn_read(struct stream_conn *c, void *p, size_t n)
{
    if (c->ssl != NULL) {
        ERR_clear_error();
        const int got = SSL_read(c->ssl, p, (int)n);
        return got > 0 ? got : ssl_outcome(c, got);
    }
    const ssize_t got = recv(c->fd, p, n, 0);
    return got > 0 ? got : plain_outcome(got);
}

ssize_t stream_conn_write(struct stream_conn *c, const void *p, size_t n)
{
    if (c->ssl != NULL) {
        ERR_clear_error();
        const int sent = SSL_write(c->ssl, p, (int)n);
        return sent > 0 ? sent : ssl_outcome(c, sent);
    }
    const ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
    return sent > 0 ? sent : plain_outcome(sent);
}

ssize_t stream_conn_discard(struct stream_conn *c, void *room, size_t n)
{
    if (c->ssl != NULL) {
        return stream_conn_read(c, room, n);
    }
    const ssize_t got = recv(c->fd, room, n, MSG_TRUNC); /* TCP: nothing is copied */
    return got > 0 ? got : plain_outcome(got);
}

void stream_conn_close(struct stream_conn *c)
{
    if (c->ssl != NULL) {
        (void)SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
    }
    (void)close(c->fd);
    *c = (struct stream_conn){.fd = -1, .ssl = NULL};
}
