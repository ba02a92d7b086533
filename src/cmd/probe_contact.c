/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_contact.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/probe_client.h"
#include "cmd/probe_contact_tls.h"
#include "cmd/probe_reply.h"
#include "crypto/random.h"
#include "wire/stun_msg.h"

enum { ANSWER_MAX = 2048, DTLS_STEP_US = 200 * 1000 };

/* A connection to a server. */
struct line {
    int fd;
    struct probe_contact_tls *tls; /* NULL without */
    uint64_t end_us;
};

static int over_udp(const struct net_addr *server, uint32_t timeout_ms, struct net_addr *out_mapped)
{
    const struct probe_request request = {.method = STUN_BINDING};
    struct probe_result result;
    struct probe_client *client;
    int err = probe_client_new(server, NULL, NULL, timeout_ms, &client);

    if (err < 0) {
        return err;
    }
    err = probe_client_call(client, &request, &result);
    if (err == 0 && (result.reply.code != 0 || result.reply.mapped.family == NET_NONE)) {
        err = -EPROTO;
    }
    if (err == 0) {
        *out_mapped = result.reply.mapped;
    }
    probe_client_free(client);
    return err;
}

/* Wait until `fd` is ready for `events`.  0, -ETIMEDOUT or an errno. */
static int wait_for(int fd, short events, uint64_t end_us)
{
    struct pollfd p = {.fd = fd, .events = events};
    const uint64_t now = probe_client_now_us();

    if (now >= end_us) {
        return -ETIMEDOUT;
    }
    const int ready = poll(&p, 1, (int)((end_us - now + 999) / 1000));
    if (ready < 0 && errno != EINTR) {
        return -errno;
    }
    return ready == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(int fd, const struct net_addr *server, uint64_t end_us)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(server, &ss);
    int err = 0;
    socklen_t err_len = sizeof(err);

    if (connect(fd, (const struct sockaddr *)&ss, len) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return -errno;
    }
    err = wait_for(fd, POLLOUT, end_us);
    if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len) < 0) {
        err = errno;
    }
    return err > 0 ? -err : err;
}

static ssize_t take(const struct line *line, uint8_t *p, size_t n)
{
    if (line->tls != NULL) {
        return probe_contact_tls_receive(line->tls, p, n);
    }
    const ssize_t got = recv(line->fd, p, n, 0);
    return got >= 0 ? got : errno == EINTR ? -EAGAIN : -errno;
}

/* Read one message: a header, and as much as it says (RFC 8489 section 6.2.2). */
static int read_message(const struct line *line, uint8_t *buf, size_t *out_len)
{
    size_t wanted = STUN_HEADER;
    size_t len = 0;

    while (len < wanted) {
        const ssize_t n = take(line, buf + len, wanted - len);
        if (n == 0) {
            return -EPROTO;
        }
        if (n < 0 && n != -EAGAIN) {
            return (int)n;
        }
        const int err = n < 0 ? wait_for(line->fd, POLLIN, line->end_us) : 0;
        if (err < 0) {
            return err;
        }
        len += n > 0 ? (size_t)n : 0;
        if (len == STUN_HEADER && wanted == STUN_HEADER) {
            wanted += be16(buf + 2);
            if (wanted > ANSWER_MAX) {
                return -EPROTO;
            }
        }
    }
    *out_len = len;
    return 0;
}

static int give(const struct line *line, const uint8_t *p, size_t n)
{
    const ssize_t sent = line->tls != NULL ? probe_contact_tls_send(line->tls, p, n)
                                           : send(line->fd, p, n, MSG_NOSIGNAL);

    return sent == (ssize_t)n ? 0 : -EPIPE; /* the first bytes of a connection always find room */
}

static int ask(const struct line *line, struct net_addr *out_mapped)
{
    uint8_t buf[ANSWER_MAX];
    uint8_t tid[STUN_TID];
    struct stun_out out;
    struct probe_reply reply;
    struct crypto_random *random = crypto_random_new();
    size_t len = 0;

    if (random == NULL) {
        return -ENOMEM;
    }
    crypto_random_fill(random, tid, sizeof(tid));
    crypto_random_free(random);
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_BINDING, STUN_REQUEST), tid);
    const int n = stun_out_end(&out);
    int err = n < 0 ? n : give(line, buf, (size_t)n);
    if (err == 0) {
        err = read_message(line, buf, &len);
    }
    if (err < 0) {
        return err;
    }
    if (probe_reply_decode((struct bytes){buf, len}, &reply) < 0 ||
        memcmp(reply.msg.tid, tid, sizeof(tid)) != 0 || reply.mapped.family == NET_NONE) {
        return -EPROTO;
    }
    *out_mapped = reply.mapped;
    return 0;
}

/* Shake hands; what the certificate is worth is written to `out`.  0 or an errno. */
static int secure(struct line *line, bool datagrams, const char *host, struct probe_contact *out)
{
    short events = POLLIN;
    int err;

    line->tls = probe_contact_tls_new(line->fd, datagrams, host);
    if (line->tls == NULL) {
        return -ENOMEM;
    }
    while ((err = probe_contact_tls_handshake(line->tls, &events)) == -EAGAIN) {
        /* DTLS wants to be called again for what got lost. */
        const uint64_t step = probe_client_now_us() + DTLS_STEP_US;
        const bool brief = datagrams && step < line->end_us;
        err = wait_for(line->fd, events, brief ? step : line->end_us);
        if (err < 0 && !(err == -ETIMEDOUT && brief)) {
            return err;
        }
    }
    const char *doubt = err == 0 ? probe_contact_tls_doubt(line->tls) : NULL;
    snprintf(out->doubt, sizeof(out->doubt), "%s", doubt == NULL ? "" : doubt);
    return err;
}

/* Over all but plain UDP. */
static int over_line(const struct net_addr *server, enum net_transport transport, const char *host,
                     uint32_t timeout_ms, struct probe_contact *out)
{
    const bool datagrams = transport == NET_DTLS;
    struct line line = {.end_us = probe_client_now_us() + (uint64_t)timeout_ms * 1000};

    line.fd = socket(server->family == NET_V6 ? AF_INET6 : AF_INET,
                     (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (line.fd < 0) {
        return -errno;
    }
    int err = connect_to(line.fd, server, line.end_us);
    if (err == 0 && transport != NET_TCP) {
        err = secure(&line, datagrams, host, out);
    }
    if (err == 0) {
        err = ask(&line, &out->mapped);
    }
    probe_contact_tls_free(line.tls);
    close(line.fd);
    return err;
}

int probe_contact(const struct net_addr *server, enum net_transport transport, const char *host,
                  uint32_t timeout_ms, struct probe_contact *out)
{
    struct probe_contact contact = {.doubt = ""};
    const int err = transport == NET_UDP ? over_udp(server, timeout_ms, &contact.mapped)
                                         : over_line(server, transport, host, timeout_ms, &contact);

    if (err == 0) {
        *out = contact;
    }
    return err;
}
