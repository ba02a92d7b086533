/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of sockets on loopback for the tests of offload/, clients that send to them, and where
 * their datagrams come out. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/net_addr.h"
#include "check.h"
#include "offload/steer.h"

enum { GROUP_MAX = 8 };

/* Sockets of one address; `at` is where clients send to. */
struct group {
    struct net_addr at;
    uint32_t count;
    int fd[GROUP_MAX];
};

static inline struct net_addr group_addr(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

/* True when this process holds CAP_BPF (39) or what it was part of, CAP_SYS_ADMIN (21), and not
 * only among users of its own. */
static inline bool group_may_load(void)
{
    unsigned long long held = 0;
    unsigned long own = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    FILE *users = fopen("/proc/self/uid_map", "re");

    assert_non_null(status);
    assert_non_null(users);
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "CapEff: %llx", &held);
    }
    assert_int_equal(fscanf(users, "%*u %*u %lu", &own), 1);
    (void)fclose(status);
    (void)fclose(users);
    return (held & (1ull << 39 | 1ull << 21)) != 0 && own == UINT32_MAX;
}

/* Steering for two groups, or NULL where this host or this build has none, which is then told: the
 * test has to leave. */
static inline struct steer *group_steer(uint32_t max_flows)
{
    const struct steer_options options = {
        .max_flows = max_flows, .max_groups = 2, .max_sockets = GROUP_MAX};
    struct steer *steer = NULL;
    char why[256] = "";
    const int err = steer_new(&options, &steer, why, sizeof(why));

    if (err == -ENOTSUP || (err == -EPERM && !group_may_load())) {
        print_message("# not run here: %s\n", why);
        return NULL;
    }
    if (err < 0) {
        fail_msg("steer_new: %s", why);
    }
    return steer;
}

/* A socket of `addr`, of both families if that is "::"; port 0 lets the system choose. */
static inline int group_socket(const struct net_addr *addr, bool share)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(addr, &ss);
    const int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = share ? 1 : 0;
    const int v6_only = 0;

    assert_true(fd >= 0);
    if (ss.ss_family == AF_INET6) {
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)), 0);
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&ss, len), 0);
    return fd;
}

static inline bool group_has_v6(void)
{
    const struct net_addr loopback = group_addr("::1");
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(&loopback, &ss);
    const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&ss, len) == 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return has;
}

static inline struct net_addr group_name(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct net_addr addr;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, &addr), 0);
    return addr;
}

/* `count` sockets bound to `bound`; clients send to `at`, the ports being equal. */
static inline struct group group_open(const char *bound, const char *at, uint32_t count)
{
    struct group group = {.at = group_addr(at), .count = count};
    struct net_addr addr = group_addr(bound);

    for (uint32_t i = 0; i < count; i++) {
        group.fd[i] = group_socket(&addr, true);
        addr.port = group_name(group.fd[i]).port;
    }
    group.at.port = addr.port;
    return group;
}

static inline void group_close(const struct group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        (void)close(group->fd[i]);
    }
}

/* A client with an address of its own, in the family of the group. */
static inline int group_client(const struct group *group, struct net_addr *out_name)
{
    const struct net_addr any = group_addr(group->at.family == NET_V4 ? "127.0.0.1" : "::1");
    const int fd = group_socket(&any, false);

    *out_name = group_name(fd);
    return fd;
}

/* Send one datagram from `client` and tell which socket of the group takes it. */
static inline uint32_t group_taker(const struct group *group, int client)
{
    struct pollfd polled[GROUP_MAX];
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(&group->at, &ss);
    uint32_t taker = UINT32_MAX;
    char byte;

    assert_int_equal(sendto(client, "x", 1, 0, (const struct sockaddr *)&ss, len), 1);
    for (uint32_t i = 0; i < group->count; i++) {
        polled[i] = (struct pollfd){.fd = group->fd[i], .events = POLLIN};
    }
    assert_int_equal(poll(polled, group->count, 5000), 1);
    for (uint32_t i = 0; i < group->count; i++) {
        if (polled[i].revents != 0) {
            taker = i;
        }
    }
    assert_true(taker < group->count);
    assert_int_equal(recv(group->fd[taker], &byte, 1, 0), 1);
    return taker;
}

/* Where `clients` new clients come out: `hits` counts them a socket. */
static inline void group_spread(const struct group *group, uint32_t clients,
                                uint32_t hits[GROUP_MAX])
{
    struct net_addr name;

    memset(hits, 0, GROUP_MAX * sizeof(hits[0]));
    for (uint32_t i = 0; i < clients; i++) {
        const int client = group_client(group, &name);
        hits[group_taker(group, client)]++;
        (void)close(client);
    }
}
