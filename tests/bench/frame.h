/* SPDX-License-Identifier: Apache-2.0 */
/* Raw Ethernet ends for the load generators: they play any number of clients and peers through two
 * sockets, so that they cost far less than the server they measure.
 *
 * Owner   a load generator.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xsk.h"

enum {
    FRAME_HEAD = 14 + 20 + 8,
    FRAME_HEAD6 = 14 + 40 + 8,
    FRAME_MAX = 2048,
    FRAME_BATCH = 64,
};

/* An endpoint, host order.  At an end with IPv6, a.b.c.d is fd00::a.b.c.d. */
struct endpoint {
    uint32_t ip;
    uint16_t port;
};

/* One end, on a named interface of a named network namespace: an AF_XDP socket that has the
 * interface for itself, or a packet socket that shares it with a TCP/IP stack. */
struct end {
    int fd;          /* packet socket */
    struct xsk *xsk; /* NULL: it is a packet socket */
    bool v6;         /* all frames; set by the holder */
    uint8_t mac[6];
    uint8_t peer_mac[6];
    unsigned queued;
    uint8_t tx[FRAME_BATCH][FRAME_MAX];
    uint16_t tx_len[FRAME_BATCH];
    uint8_t rx[FRAME_BATCH][FRAME_MAX];
    uint64_t sent;
    uint64_t refused; /* frames that the kernel did not take */
};

/* A received datagram; `payload` borrows until the next receive. */
struct datagram {
    struct endpoint from;
    struct endpoint to;
    const uint8_t *payload;
    size_t n;
};

/* Sockets that this thread opens from now on are of namespace `netns` (a name of `ip netns`). Exits
 * with a message when that fails. */
void frame_enter(const char *netns);

/* Open `end` on interface `dev` of namespace `netns`, which is entered; frames go to the
 * Ethernet address `peer_mac` ("02:00:00:00:00:01").  Exits with a message when that fails. */
void end_open(struct end *end, const char *netns, const char *dev, const char *peer_mac);

/* The same, with all of the interface through AF_XDP. */
void end_open_xsk(struct end *end, const char *netns, const char *dev, const char *peer_mac);

/* The same, with what a program of the caller's hands to the AF_XDP socket. */
void end_open_part(struct end *end, const char *netns, const char *dev, const char *peer_mac);

/* The address that `ip` stands for at an end with IPv6. */
void frame_ip6(uint32_t ip, uint8_t out[16]);

/* Write a whole frame around a datagram, checksums included; returns its length. */
size_t end_fill(const struct end *end, uint8_t *frame, struct endpoint from, struct endpoint to,
                const void *p, size_t n);

/* Queue one UDP datagram, checksums included; a full queue is flushed first.  `end_flush` sends
 * what is queued. */
void end_send(struct end *end, struct endpoint from, struct endpoint to, const void *p, size_t n);
void end_flush(struct end *end);

/* Receive what is there, at most FRAME_BATCH datagrams; calls `each` for every UDP one.  Returns
 * how many came. */
unsigned end_receive(struct end *end, void (*each)(void *arg, const struct datagram *d), void *arg);
