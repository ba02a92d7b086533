/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "crypto/mac.h"
#include "crypto/random.h"
#include "wire/channel_data.h"
#include "wire/demux.h"
#include "wire/stun_addr.h"
#include "wire/stun_code.h"

enum {
    RTO_US = 500 * 1000, /* RFC 8489 section 6.2.1: first wait, doubled each time */
    SEND_COUNT = 7,      /* Rc */
    LAST_WAIT = 16,      /* Rm, in RTOs */
    TRIES = 3,           /* the request, after a challenge, after a nonce grown stale meanwhile */
    BUF_SIZE = 65536,
    UDP = 17,
};

struct probe_client {
    int fd;
    uint32_t timeout_ms;
    struct net_addr server;
    struct net_addr local;
    struct crypto_mac *mac;
    struct crypto_random *random;
    struct probe_auth auth;
    uint8_t tid[STUN_TID];
    uint8_t out[BUF_SIZE];
    uint8_t in[BUF_SIZE];
};

uint64_t probe_client_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int open_socket(struct probe_client *c)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(&c->server, &ss);
    socklen_t local_len = sizeof(ss);

    c->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        return -errno;
    }
    /* Connected: the kernel drops packets of strangers and reports ICMP errors. */
    if (connect(c->fd, (const struct sockaddr *)&ss, len) < 0 ||
        getsockname(c->fd, (struct sockaddr *)&ss, &local_len) < 0) {
        return -errno;
    }
    return net_addr_from_sockaddr(&ss, &c->local);
}

int probe_client_new(const struct net_addr *server, const char *user, const char *password,
                     uint32_t timeout_ms, struct probe_client **out)
{
    struct probe_client *c = mem_new(1, sizeof(*c));

    if (c == NULL) {
        return -ENOMEM;
    }
    c->fd = -1;
    c->server = *server;
    c->timeout_ms = timeout_ms;
    c->mac = crypto_mac_new();
    c->random = crypto_random_new();
    int err = c->mac == NULL || c->random == NULL ? -ENOMEM : 0;
    if (err == 0) {
        err = probe_auth_init(&c->auth, user, password);
    }
    if (err == 0) {
        err = open_socket(c);
    }
    if (err < 0) {
        probe_client_free(c);
        return err;
    }
    *out = c;
    return 0;
}

void probe_client_free(struct probe_client *c)
{
    if (c == NULL) {
        return;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    probe_auth_fini(&c->auth);
    crypto_mac_free(c->mac);
    crypto_random_free(c->random);
    free(c);
}

const struct net_addr *probe_client_local(const struct probe_client *c)
{
    return &c->local;
}

const struct probe_auth *probe_client_auth(const struct probe_client *c)
{
    return &c->auth;
}

int probe_client_learn(struct probe_client *c, const struct probe_reply *challenge)
{
    return probe_auth_learn(&c->auth, challenge);
}

/* Write `request` to c->out under a fresh transaction ID.  Its length, -EIO or -ENOBUFS. */
static int encode(struct probe_client *c, const struct probe_request *request, bool sign)
{
    static const uint8_t transport[4] = {UDP};
    struct stun_out out;
    int err = 0;

    crypto_random_fill(c->random, c->tid, sizeof(c->tid));
    stun_out_begin(&out, c->out, sizeof(c->out), stun_type(request->method, STUN_REQUEST), c->tid);
    if (request->transport) {
        stun_out_attr(&out, STUN_REQUESTED_TRANSPORT, (struct bytes){transport, 4});
    }
    if (request->family != NET_NONE) {
        const uint8_t family[4] = {request->family};
        stun_out_attr(&out, STUN_REQUESTED_ADDRESS_FAMILY, (struct bytes){family, 4});
    }
    if (request->has_lifetime) {
        stun_out_u32(&out, STUN_LIFETIME, request->lifetime_s);
    }
    if (request->has_ticket) {
        stun_out_attr(&out, STUN_MOBILITY_TICKET, request->ticket);
    }
    if (request->channel != 0) {
        stun_out_u32(&out, STUN_CHANNEL_NUMBER, (uint32_t)request->channel << 16);
    }
    if (request->peer.family != NET_NONE) {
        stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, &request->peer);
    }
    if (sign) {
        err = probe_auth_sign(&c->auth, c->mac, &out);
    }
    return err < 0 ? err : stun_out_end(&out);
}

static int send_out(struct probe_client *c, size_t n)
{
    if (send(c->fd, c->out, n, 0) < 0 && errno != EAGAIN && errno != ENOBUFS) {
        return errno == EPERM ? -EACCES : -errno; /* a firewall of this host */
    }
    return 0; /* what the host has no room for is a loss like any other */
}

/* Wait for one datagram until `deadline_us`.  Its length, -ETIMEDOUT or an errno. */
static ssize_t receive(struct probe_client *c, uint64_t deadline_us)
{
    for (;;) {
        const ssize_t n = recv(c->fd, c->in, sizeof(c->in), 0);
        if (n >= 0) {
            return n;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        const uint64_t now = probe_client_now_us();
        if (now >= deadline_us) {
            return -ETIMEDOUT;
        }
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        const uint64_t wait_ms = (deadline_us - now + 999) / 1000;
        if (poll(&p, 1, wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms) < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

/* RFC 8489 section 9.2.5: these ask for (other) credentials, or send us elsewhere, and so cannot
 * be signed; all else must be, once the request was. */
static bool may_be_unsigned(const struct probe_reply *reply)
{
    return reply->code == STUN_UNAUTHENTICATED || reply->code == STUN_STALE_NONCE ||
           reply->code == STUN_TRY_ALTERNATE;
}

/* Judge a datagram: 0 the response, with `*out` set; -EAGAIN none for us; -EPERM one that must be
 * discarded for its integrity, `*out` set all the same. */
static int judge(struct probe_client *c, uint16_t method, bool signed_request, size_t n,
                 struct probe_result *out)
{
    struct probe_reply reply;

    if (probe_reply_decode((struct bytes){c->in, n}, &reply) < 0 ||
        (reply.msg.class != STUN_SUCCESS && reply.msg.class != STUN_ERROR) ||
        reply.msg.method != method || memcmp(reply.msg.tid, c->tid, STUN_TID) != 0) {
        return -EAGAIN;
    }
    out->reply = reply;
    out->received_bytes = n;
    if (!signed_request || may_be_unsigned(&reply)) {
        return 0;
    }
    return probe_auth_check(&c->auth, c->mac, &reply);
}

/* Wait for the response until `until_us`.  0; -ETIMEDOUT, or -EPERM when only unsigned or wrongly
 * signed ones came; an errno of the network. */
static int await(struct probe_client *c, uint16_t method, bool signed_request, uint64_t until_us,
                 struct probe_result *out)
{
    int why = -ETIMEDOUT;

    for (;;) {
        const ssize_t n = receive(c, until_us);
        if (n < 0) {
            return n == -ETIMEDOUT ? why : (int)n;
        }
        const int verdict = judge(c, method, signed_request, (size_t)n, out);
        if (verdict == 0) {
            return 0;
        }
        if (verdict != -EAGAIN) {
            why = verdict;
        }
    }
}

/* Send what lies in c->out until an answer comes (RFC 8489 section 6.2.1). */
static int transact(struct probe_client *c, uint16_t method, bool signed_request, size_t len,
                    struct probe_result *out)
{
    const uint64_t start = probe_client_now_us();
    const uint64_t end = start + (uint64_t)c->timeout_ms * 1000;
    uint64_t until = start;
    int why = -ETIMEDOUT;

    out->sent_count = 0;
    for (uint64_t wait = RTO_US; out->sent_count < SEND_COUNT && until < end; wait *= 2) {
        int err = send_out(c, len);
        if (err < 0) {
            return err;
        }
        out->sent_count++;
        until += out->sent_count == SEND_COUNT ? (uint64_t)LAST_WAIT * RTO_US : wait;
        err = await(c, method, signed_request, until < end ? until : end, out);
        if (err == 0) {
            out->rtt_us = probe_client_now_us() - start;
            return 0;
        }
        if (err != -ETIMEDOUT && err != -EPERM) {
            return err;
        }
        why = err == -EPERM ? err : why; /* a discarded answer tells more than none */
    }
    return why;
}

int probe_client_call(struct probe_client *c, const struct probe_request *request,
                      struct probe_result *out)
{
    memset(out, 0, sizeof(*out));
    for (int tries = 0;; tries++) {
        const bool sign = request->sign && c->auth.has_credentials && c->auth.learned;
        const int len = encode(c, request, sign);
        if (len < 0) {
            return len;
        }
        out->sent_bytes = (size_t)len;
        int err = transact(c, request->method, sign, (size_t)len, out);
        if (err < 0) {
            return err;
        }
        /* RFC 8489 section 9.2.5: a 401 to a signed request is final: nothing would change. */
        const bool again =
            out->reply.code == STUN_STALE_NONCE ||
            (out->reply.code == STUN_UNAUTHENTICATED && !sign && c->auth.has_credentials);
        if (!request->sign || !again || tries + 1 == TRIES) {
            return 0;
        }
        err = probe_auth_learn(&c->auth, &out->reply);
        if (err < 0) {
            return err;
        }
    }
}

int probe_client_send(struct probe_client *c, uint16_t channel, const struct net_addr *peer,
                      struct bytes data)
{
    struct stun_out out;

    if (channel != 0) {
        struct writer w = writer_over(c->out, sizeof(c->out));
        uint8_t head[CHANNEL_HEAD];
        channel_data_head(head, channel, (uint16_t)data.n);
        writer_put(&w, head, sizeof(head));
        writer_bytes(&w, data);
        return w.full ? -ENOBUFS : send_out(c, w.len);
    }
    crypto_random_fill(c->random, c->tid, sizeof(c->tid));
    stun_out_begin(&out, c->out, sizeof(c->out), stun_type(STUN_SEND, STUN_INDICATION), c->tid);
    stun_out_xor_addr(&out, STUN_XOR_PEER_ADDRESS, peer);
    stun_out_attr(&out, STUN_DATA_ATTR, data);
    const int n = stun_out_end(&out);
    return n < 0 ? n : send_out(c, (size_t)n);
}

static bool take_data(struct bytes datagram, struct probe_data *out)
{
    struct probe_reply reply;

    if (datagram.n == 0) {
        return false;
    }
    if (demux_first_byte(datagram.p[0]) == DEMUX_CHANNEL) {
        out->peer.family = NET_NONE;
        return channel_data_decode(datagram, &out->channel, &out->data) == 0;
    }
    if (probe_reply_decode(datagram, &reply) < 0 || reply.msg.method != STUN_DATA ||
        reply.msg.class != STUN_INDICATION || reply.data.p == NULL) {
        return false;
    }
    *out = (struct probe_data){.peer = reply.peer, .data = reply.data};
    return true;
}

int probe_client_receive(struct probe_client *c, uint64_t deadline_us, struct probe_data *out)
{
    for (;;) {
        const ssize_t n = receive(c, deadline_us);
        if (n < 0) {
            return (int)n;
        }
        if (take_data((struct bytes){c->in, (size_t)n}, out)) {
            return 0;
        }
    }
}
