/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_nat_link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/probe_client.h"
#include "cmd/probe_reply.h"
#include "crypto/random.h"
#include "wire/stun_msg.h"

enum {
    RTO_US = 500 * 1000, /* RFC 8489 section 6.2.1 */
    SENDINGS = 3,        /* silence is an outcome here: 0.5 s, 1 s, 2 s, and it is one */
    PACE_US = 100 * 1000,
    PORT_FIRST = 32768, /* RFC 5780 section 4.1: the ranges from which to pick at random */
    PORT_COUNT = 65536 - PORT_FIRST,
    BIND_TRIES = 64,
    BUF_SIZE = 2048,
    HAIRPIN_LEN = 16,
};

struct probe_nat_link {
    int fd[PROBE_NAT_SOCKETS];
    struct net_addr local[PROBE_NAT_SOCKETS];
    struct crypto_random *random;
    uint32_t timeout_ms;
    uint64_t last_us; /* when the last transaction began */
    uint8_t tid[STUN_TID];
    uint8_t in[BUF_SIZE];
};

/* Our own address on the way to `server`, without a port. */
static int find_source(const struct net_addr *server, struct net_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = net_addr_to_sockaddr(server, &ss);
    const int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int err = fd < 0 || connect(fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : 0;

    len = sizeof(ss);
    if (err == 0) {
        err = getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ? -errno
                                                                : net_addr_from_sockaddr(&ss, out);
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

static int bind_random(struct probe_nat_link *link, int fd, struct net_addr *addr)
{
    struct sockaddr_storage ss;
    uint8_t random[2];

    for (int i = 0; i < BIND_TRIES; i++) {
        crypto_random_fill(link->random, random, sizeof(random));
        addr->port = (uint16_t)(PORT_FIRST + be16(random) % PORT_COUNT);
        const socklen_t len = net_addr_to_sockaddr(addr, &ss);
        if (bind(fd, (const struct sockaddr *)&ss, len) == 0) {
            return 0;
        }
        if (errno != EADDRINUSE) {
            return -errno;
        }
    }
    return -EADDRINUSE;
}

static int open_sockets(struct probe_nat_link *link, const struct net_addr *server)
{
    struct net_addr source = {.family = NET_NONE};
    int err = find_source(server, &source);

    for (int i = 0; i < PROBE_NAT_SOCKETS && err == 0; i++) {
        link->local[i] = source;
        link->fd[i] = socket(source.family == NET_V6 ? AF_INET6 : AF_INET,
                             SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        err = link->fd[i] < 0 ? -errno : bind_random(link, link->fd[i], &link->local[i]);
    }
    return err;
}

int probe_nat_link_new(const struct net_addr *server, uint32_t timeout_ms,
                       struct probe_nat_link **out)
{
    struct probe_nat_link *link = mem_new(1, sizeof(*link));

    if (link == NULL) {
        return -ENOMEM;
    }
    for (int i = 0; i < PROBE_NAT_SOCKETS; i++) {
        link->fd[i] = -1;
    }
    link->timeout_ms = timeout_ms;
    link->random = crypto_random_new();
    const int err = link->random == NULL ? -ENOMEM : open_sockets(link, server);
    if (err < 0) {
        probe_nat_link_free(link);
        return err;
    }
    *out = link;
    return 0;
}

void probe_nat_link_free(struct probe_nat_link *link)
{
    if (link == NULL) {
        return;
    }
    for (int i = 0; i < PROBE_NAT_SOCKETS; i++) {
        if (link->fd[i] >= 0) {
            close(link->fd[i]);
        }
    }
    crypto_random_free(link->random);
    free(link);
}

static int send_to(int fd, const struct net_addr *to, struct bytes data)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(to, &ss);

    if (sendto(fd, data.p, data.n, 0, (const struct sockaddr *)&ss, len) < 0 && errno != EAGAIN &&
        errno != ENOBUFS) {
        return errno == EPERM ? -EACCES : -errno; /* a firewall of this host */
    }
    return 0;
}

static int poll_until(struct pollfd *fds, nfds_t count, uint64_t until_us)
{
    const uint64_t now = probe_client_now_us();
    const uint64_t wait_ms = now >= until_us ? 0 : (until_us - now + 999) / 1000;
    const int ready = poll(fds, count, (int)wait_ms);

    return ready < 0 && errno != EINTR ? -errno : 0;
}

/* Take a datagram from `fd` if there is one.  Its length, -EAGAIN or another errno. */
static ssize_t take(struct probe_nat_link *link, int fd, struct net_addr *out_from)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    const ssize_t n = recvfrom(fd, link->in, sizeof(link->in), 0, (struct sockaddr *)&ss, &len);

    if (n < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    return net_addr_from_sockaddr(&ss, out_from) < 0 ? -EAGAIN : n;
}

/* Wait for the response until `until_us`.  0, -ETIMEDOUT or an errno. */
static int await(struct probe_nat_link *link, int fd, uint64_t until_us,
                 struct probe_nat_answer *out)
{
    for (;;) {
        struct probe_reply reply;
        const ssize_t n = take(link, fd, &out->from);
        if (n >= 0 && probe_reply_decode((struct bytes){link->in, (size_t)n}, &reply) == 0 &&
            (reply.msg.class == STUN_SUCCESS || reply.msg.class == STUN_ERROR) &&
            reply.msg.method == STUN_BINDING && memcmp(reply.msg.tid, link->tid, STUN_TID) == 0) {
            out->code = reply.code;
            out->mapped = reply.mapped;
            out->origin = reply.origin;
            out->other = reply.other;
            return 0;
        }
        if (n < 0 && n != -EAGAIN) {
            return (int)n;
        }
        if (n < 0) {
            if (probe_client_now_us() >= until_us) {
                return -ETIMEDOUT;
            }
            struct pollfd p = {.fd = fd, .events = POLLIN};
            const int err = poll_until(&p, 1, until_us);
            if (err < 0) {
                return err;
            }
        }
    }
}

/* RFC 5780 section 5: not more than ten new transactions a second. */
static void pace(struct probe_nat_link *link)
{
    const uint64_t now = probe_client_now_us();

    if (link->last_us != 0 && now < link->last_us + PACE_US) {
        const struct timespec rest = {.tv_nsec = (long)(link->last_us + PACE_US - now) * 1000};
        nanosleep(&rest, NULL);
    }
    link->last_us = probe_client_now_us();
}

static int encode(struct probe_nat_link *link, enum probe_nat_change change, uint8_t *buf,
                  size_t cap)
{
    struct stun_out out;

    crypto_random_fill(link->random, link->tid, sizeof(link->tid));
    stun_out_begin(&out, buf, cap, stun_type(STUN_BINDING, STUN_REQUEST), link->tid);
    if (change != PROBE_NAT_SAME) {
        stun_out_u32(&out, STUN_CHANGE_REQUEST, (uint32_t)change);
    }
    return stun_out_end(&out);
}

static int ask(void *arg, const struct probe_nat_ask *what, struct probe_nat_answer *out)
{
    struct probe_nat_link *link = arg;
    struct probe_nat_answer answer = {.code = 0};
    const int fd = link->fd[what->socket];
    uint8_t buf[64];
    int err;

    pace(link);
    const int len = encode(link, what->change, buf, sizeof(buf));
    if (len < 0) {
        return len;
    }
    const uint64_t end = link->last_us + (uint64_t)link->timeout_ms * 1000;
    uint64_t until = link->last_us;
    for (int i = 0; i < SENDINGS && until < end; i++) {
        err = send_to(fd, &what->to, (struct bytes){buf, (size_t)len});
        if (err < 0) {
            return err;
        }
        until += (uint64_t)RTO_US << i;
        err = await(link, fd, until < end ? until : end, &answer);
        if (err == 0) {
            *out = answer;
        }
        if (err != -ETIMEDOUT) {
            return err;
        }
    }
    return -ETIMEDOUT;
}

/* Has `mark` come in on any socket?  1, 0 or an errno. */
static int came(struct probe_nat_link *link, const uint8_t mark[HAIRPIN_LEN])
{
    struct net_addr from;

    for (int i = 0; i < PROBE_NAT_PAIR; i++) {
        ssize_t n;
        while ((n = take(link, link->fd[i], &from)) >= 0) {
            if (n == HAIRPIN_LEN && memcmp(link->in, mark, HAIRPIN_LEN) == 0) {
                return 1;
            }
        }
        if (n != -EAGAIN && n != -ECONNREFUSED) {
            return (int)n;
        }
    }
    return 0;
}

/* Each socket sends to the other's public address, again and again: the first packets open the way
 * for the later ones where the NAT filters. */
static int hairpin(void *arg, const struct net_addr mapped[PROBE_NAT_PAIR])
{
    struct probe_nat_link *link = arg;
    uint8_t mark[HAIRPIN_LEN];
    int got = 0;

    crypto_random_fill(link->random, mark, sizeof(mark));
    mark[0] = 0xff; /* no STUN message (RFC 7983) */
    for (int round = 0; round < SENDINGS && got == 0; round++) {
        for (int i = 0; i < PROBE_NAT_PAIR; i++) {
            const int err = send_to(link->fd[i], &mapped[PROBE_NAT_PAIR - 1 - i],
                                    (struct bytes){mark, sizeof(mark)});
            if (err < 0 && err != -ECONNREFUSED && err != -EHOSTUNREACH) {
                return err;
            }
        }
        const uint64_t until = probe_client_now_us() + RTO_US;
        while ((got = came(link, mark)) == 0 && probe_client_now_us() < until) {
            struct pollfd fds[PROBE_NAT_PAIR] = {{.fd = link->fd[0], .events = POLLIN},
                                                 {.fd = link->fd[1], .events = POLLIN}};
            const int err = poll_until(fds, PROBE_NAT_PAIR, until);
            if (err < 0) {
                return err;
            }
        }
    }
    return got;
}

struct probe_nat_net probe_nat_link_net(struct probe_nat_link *link)
{
    struct probe_nat_net net = {.arg = link, .ask = ask, .hairpin = hairpin};

    memcpy(net.local, link->local, sizeof(net.local));
    return net;
}
