/* SPDX-License-Identifier: Apache-2.0 */
/* sterna-forwarder: client <-> relay port <-> peer with nothing but the 4 bytes of ChannelData
 * taken off or put on.  What a relay on sockets can cost at best, with one technique or another.
 *
 * Flow `i` is the client with the i-th port, the i-th relay port and the peer with the i-th port.
 *
 * Owner   forwarder.c.  Thread  one.  Every failure ends the process with a message. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/bare_map.h" /* which the skeleton needs, too */

enum { FORWARDER_FLOWS_MAX = 10000, FORWARDER_HEAD = 4, FORWARDER_CHANNEL = 0x4000 };

struct forwarder {
    uint32_t flows;
    struct sockaddr_in listen;
    struct sockaddr_in relay;  /* of flow 0 */
    struct sockaddr_in client; /* of flow 0 */
    struct sockaddr_in peer;   /* of flow 0 */
    bool segments;             /* UDP_GRO in, UDP_SEGMENT out */
    bool connected;            /* a socket for each client beside the listener */
    int listener;
    int *relay_fd;
    int *client_fd; /* with `connected` */
};

_Noreturn void forwarder_die(const char *what);

/* The address of flow `i`, where that of flow 0 is `first`. */
struct sockaddr_in forwarder_address(const struct sockaddr_in *first, uint32_t i);

/* Run for ever; `ready` is called when packets are taken. */
void forwarder_batch_run(struct forwarder *f, void (*ready)(void));
void forwarder_uring_run(struct forwarder *f, void (*ready)(void));

/* `technique`: xdp, xdpfib, xdp-generic, tc.  A side is "INTERFACE,NEIGHBOUR-MAC". */
void forwarder_bpf_run(struct forwarder *f, const char *technique, const char *client_side,
                       const char *peer_side, void (*ready)(void));
