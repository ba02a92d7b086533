/* SPDX-License-Identifier: Apache-2.0 */
/* The UDP sockets of `sterna bench`: a client's own, one that many clients share (each with a
 * source address of its own), and those of the peers.
 *
 * Owner   the engine.  Thread  one. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

/* A socket address in 28 bytes, ready for the kernel. */
struct bench_name {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;

    socklen_t len;
};

void bench_socket_name(const struct net_addr *addr, struct bench_name *out);

struct bench_socket {
    int fd;
    uint32_t number;       /* of the client, or of the socket among its kind */
    uint32_t dropped;      /* packets that the kernel dropped, as it last told */
    bool connected;        /* packets go to one address: none is given */
    bool sourced;          /* each packet gives the address that it comes from */
    bool gso;              /* the kernel takes bursts as one */
    struct net_addr local; /* what it is bound to */
};

struct bench_socket_options {
    struct net_addr local;         /* NET_NONE: any; port 0: any */
    const struct net_addr *remote; /* connect to it; NULL: unconnected */
    bool sourced;
    bool gro;              /* take bursts as one */
    bool whole;            /* no packet needs to be fragmented: DF, which costs less */
    uint32_t buffer_bytes; /* 0: what the system gives */
};

/* Open a non-blocking socket.  0 with `*out`, all of whose packets come with the time of their
 * arrival; the negative errno of the call that failed. */
MUST_USE int bench_socket_open(const struct bench_socket_options *options, uint32_t number,
                               struct bench_socket *out);
void bench_socket_close(struct bench_socket *socket);

/* Take what the error queue holds, so that it does not fill the receive buffer.  True when it told
 * that nobody listens at the other end. */
bool bench_socket_refused(const struct bench_socket *socket);
