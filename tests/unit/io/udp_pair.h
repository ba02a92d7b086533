/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets on loopback for the tests of io/: opened, waited for, told their address. */
#pragma once

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "io/udp.h"

static inline struct net_addr pair_addr(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

/* What `fd` is bound to. */
static inline struct net_addr pair_name(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct net_addr addr;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, &addr), 0);
    return addr;
}

/* Open a port that learns its own number. */
static inline void pair_open(struct udp_port *port, const struct udp_options *options)
{
    assert_int_equal(udp_open(options, port), 0);
    port->local.port = pair_name(port->fd).port;
}

static inline void pair_send(int fd, const struct net_addr *to, const void *p, size_t n)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(to, &ss);

    assert_int_equal(sendto(fd, p, n, 0, (const struct sockaddr *)&ss, len), n);
}

/* Wait until `fd` has something (`events` of poll(2)). */
static inline void pair_wait(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};

    assert_int_equal(poll(&p, 1, 5000), 1);
}
