/* SPDX-License-Identifier: Apache-2.0 */
/* A server in the test's own process, and clients of it: each with an allocation, a channel and a
 * peer, over real sockets. */
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/udp.h"
#include "relay/control.h"
#include "relay_conf.h"
#include "wire/stun_addr.h"
#include "wire/stun_msg.h"

enum { CLIENT_CHANNEL = 0x4000, CLIENT_WAIT_MS = 20 * 1000 };

struct server_client {
    int fd;
    int peer;
    struct net_addr relayed;
    uint32_t up[2]; /* sent to the peer, and received there */
    uint32_t down[2];
};

static inline struct relay_server *server_start(const char *text)
{
    struct relay_server *server = NULL;
    struct conf *conf = relay_conf(text);
    char why[300];

    if (relay_server_open(conf, NULL, &server, why, sizeof(why)) < 0 ||
        relay_server_run(server, why, sizeof(why)) < 0) {
        fail_msg("%s", why);
    }
    conf_unref(conf);
    return server;
}

static inline int server_reload(struct relay_server *server, const char *text)
{
    struct conf *conf = relay_conf(text);
    char why[300];
    const int err = relay_server_reload(server, conf, why, sizeof(why));

    conf_unref(conf);
    return err;
}

static inline struct relay_stats server_stats(const struct relay_server *server)
{
    struct relay_stats stats;

    relay_server_stats(server, &stats);
    return stats;
}

/* A socket on `local`, and what it is bound to. */
static inline int client_bound(const char *local, struct net_addr *out)
{
    struct sockaddr_storage ss;
    struct net_addr addr;
    socklen_t len;

    assert_int_equal(net_addr_parse(local, 0, &addr), 0);
    len = net_addr_to_sockaddr(&addr, &ss);
    const int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&ss, len), 0);
    len = sizeof(ss);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, out), 0);
    return fd;
}

static inline void client_connect(int fd, const struct net_addr *to)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(to, &ss);

    assert_int_equal(connect(fd, (const struct sockaddr *)&ss, len), 0);
}

/* The next datagram; its length, 0 when none comes. */
static inline size_t client_receive(int fd, uint8_t *buf, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, CLIENT_WAIT_MS) != 1) {
        return 0;
    }
    const ssize_t n = recv(fd, buf, cap, 0);
    return n > 0 ? (size_t)n : 0;
}

/* What the answer says of the relayed address, if anything. */
static inline void client_learn(struct server_client *c, const struct stun_msg *answer)
{
    struct bytes rest = answer->body;
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) == 1) {
        if (attr.type == STUN_XOR_RELAYED_ADDRESS) {
            assert_int_equal(stun_addr_decode_xor(attr.value, answer->tid, &c->relayed), 0);
        }
    }
}

static inline void client_attributes(struct stun_out *out, uint16_t method, uint32_t lifetime,
                                     const struct net_addr *peer)
{
    const uint8_t udp[4] = {17};

    if (method == STUN_ALLOCATE) {
        stun_out_attr(out, STUN_REQUESTED_TRANSPORT, (struct bytes){udp, sizeof(udp)});
    }
    if (method == STUN_REFRESH) {
        stun_out_u32(out, STUN_LIFETIME, lifetime);
    }
    if (method == STUN_CHANNEL_BIND) {
        stun_out_u32(out, STUN_CHANNEL_NUMBER, (uint32_t)CLIENT_CHANNEL << 16);
        stun_out_xor_addr(out, STUN_XOR_PEER_ADDRESS, peer);
    }
}

/* Send a request and wait for the answer to it; true when it is a success. */
static inline bool client_ask(struct server_client *c, uint16_t method, uint32_t lifetime,
                              const struct net_addr *peer)
{
    static uint8_t number;
    uint8_t tid[STUN_TID] = {++number, (uint8_t)method};
    uint8_t buf[1500];
    struct stun_out out;
    struct stun_msg answer;

    stun_out_begin(&out, buf, sizeof(buf), stun_type(method, STUN_REQUEST), tid);
    client_attributes(&out, method, lifetime, peer);
    const int len = stun_out_end(&out);
    assert_true(len > 0);
    assert_int_equal(send(c->fd, buf, (size_t)len, 0), len);
    const size_t got = client_receive(c->fd, buf, sizeof(buf));
    if (got == 0) {
        return false;
    }
    assert_int_equal(stun_msg_parse((struct bytes){buf, got}, &answer), 0);
    assert_memory_equal(answer.tid, tid, STUN_TID);
    assert_int_equal(answer.method, method);
    client_learn(c, &answer);
    return answer.class == STUN_SUCCESS;
}

static inline bool client_refresh(struct server_client *c, uint32_t lifetime)
{
    return client_ask(c, STUN_REFRESH, lifetime, NULL);
}

/* A client of the server at `server`, with all that it needs. */
static inline struct server_client client_new(const char *server)
{
    struct server_client c = {.fd = -1};
    struct net_addr to;
    struct net_addr local;
    struct net_addr peer;

    c.fd = client_bound("127.0.7.8:0", &local);
    c.peer = client_bound("127.0.7.9:0", &peer);
    assert_int_equal(net_addr_parse(server, 0, &to), 0);
    client_connect(c.fd, &to);
    assert_true(client_ask(&c, STUN_ALLOCATE, 0, NULL));
    assert_true(client_ask(&c, STUN_CHANNEL_BIND, 0, &peer));
    client_connect(c.peer, &c.relayed);
    return c;
}

static inline void client_free(struct server_client *c)
{
    (void)close(c->fd);
    (void)close(c->peer);
}

/* One numbered packet up; one down. */
static inline void client_send_up(struct server_client *c)
{
    uint8_t frame[8] = {CLIENT_CHANNEL >> 8, CLIENT_CHANNEL & 0xff, 0, 4};

    be32_put(frame + 4, c->up[0]++);
    assert_int_equal(send(c->fd, frame, sizeof(frame), 0), sizeof(frame));
}

static inline void client_send_down(struct server_client *c)
{
    uint8_t data[4];

    be32_put(data, c->down[0]++);
    assert_int_equal(send(c->peer, data, sizeof(data), 0), sizeof(data));
}

/* All that was sent comes, in order; false: nothing more came. */
static inline bool client_expect(struct server_client *c)
{
    uint8_t buf[1500];

    while (c->up[1] < c->up[0]) {
        const size_t n = client_receive(c->peer, buf, sizeof(buf));
        if (n == 0) {
            return false;
        }
        assert_int_equal(n, 4);
        assert_int_equal(be32(buf), c->up[1]++);
    }
    while (c->down[1] < c->down[0]) {
        const size_t n = client_receive(c->fd, buf, sizeof(buf));
        if (n == 0) {
            return false;
        }
        assert_int_equal(n, 8);
        assert_int_equal(be16(buf), CLIENT_CHANNEL);
        assert_int_equal(be32(buf + 4), c->down[1]++);
    }
    return true;
}
