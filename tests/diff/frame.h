/* SPDX-License-Identifier: Apache-2.0 */
/* UDP datagrams in Ethernet frames, written and read by the book: the reference that the kernel
 * path is measured by.  Every checksum is computed in full.
 *
 * Owner   nobody: plain values; `data` borrows.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net_addr.h"

enum {
    FRAME_ETHER = 14,
    FRAME_IPV4 = 20,
    FRAME_IPV6 = 40,
    FRAME_UDP = 8,
    FRAME_MAX = 4096,
    FRAME_DATA_MAX = 2048,
    FRAME_MAC = 6,
};

/* One datagram, field by field. */
struct frame {
    uint8_t to[FRAME_MAC];
    uint8_t from[FRAME_MAC];
    struct net_addr src;
    struct net_addr dst; /* of the same family */
    uint8_t tos;
    uint8_t ttl;
    bool df;        /* IPv4 */
    uint16_t id;    /* IPv4 */
    uint32_t label; /* IPv6 */
    bool no_sum;    /* the UDP checksum field is 0: there is none */
    /* What the UDP checksum is too large by, modulo 65535; 0: it is right. */
    uint16_t sum_error;
    const uint8_t *data;
    size_t n; /* at most FRAME_DATA_MAX when written */
};

/* Write `f`; returns the length. */
size_t frame_write(const struct frame *f, uint8_t out[FRAME_MAX]);

/* Read a frame that is a UDP datagram of the simplest kind: no VLAN tag, no options or extension
 * headers, whole, a right IP header checksum, and lengths that agree; the frame may go on behind it
 * (Ethernet pads).  False for all others, `*out` unchanged.  `data` borrows from `p`. */
bool frame_read(const uint8_t *p, size_t n, struct frame *out);

/* Bytes of frame of the datagram in it. */
size_t frame_size(const struct frame *f);

/* Compute the checksum of the IPv4 header of `words` 32-bit words at `ip` anew. */
void frame_ip_sum(uint8_t *ip, size_t words);

/* The bare sum of the pseudo header: what senders that count on hardware leave in the UDP checksum
 * field. */
uint16_t frame_pseudo_sum(const struct frame *f);

/* True when the UDP checksum field of the frame of `f` at `p` holds just that. */
bool frame_is_partial(const struct frame *f, const uint8_t *p);
