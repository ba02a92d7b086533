/* SPDX-License-Identifier: Apache-2.0 */
/* One datagram on its way through: bytes in a buffer, and its addresses.
 *
 * The same packet goes in and comes out: a relay strips or prepends a few bytes and rewrites the
 * addresses, and the payload is never copied.
 *
 * A packet has a buffer of its own, with room in front, or is a *view*: one of several datagrams
 * that lie end to end in a buffer, as the kernel delivers a burst.  What lies before and behind a
 * view are its neighbours.  What is put in front of it goes to a small buffer beside it, what is to
 * be appended is only counted, and it takes no answer in its place.
 *
 *     own buffer   buf [head room | data ... len ......... | rest of cap ]
 *
 *     view         buf [     | head_len ]   data [ len ]   tail_len zeros
 *                      PKT_HEADROOM bytes   in the burst
 *
 * Owner   the batch whose array it lies in; the buffer is the batch's, too.
 * Thread  the worker of that batch. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/net_addr.h"

enum {
    /* Room in front of the payload: ChannelData needs 4 bytes, a Data indication 36 (IPv4) or 48.
     */
    PKT_HEADROOM = 64,
    PKT_TAIL = 3, /* attributes and frames end at multiples of 4 */
};

struct pkt {
    uint8_t *data;          /* payload, inside buf .. buf + PKT_HEADROOM + cap unless a view */
    uint32_t len;           /* bytes at data */
    uint32_t cap;           /* bytes that the buffer holds after its head room; of a view 0 */
    uint8_t *buf;           /* head room, then cap bytes */
    struct net_addr remote; /* in: where it came from; out: where it goes */
    struct net_addr local;  /* in: the address it was sent to; out: the address it leaves from */
    void *port;  /* in and out: the socket's owner (a listener, a relay socket, a connection, a DTLS
                    association); opaque */
    uint8_t tos; /* DSCP and ECN octet: as received; as to be sent */
    bool df;     /* out: must not be fragmented */
    uint8_t transport; /* enum net_transport: of the client it is from; of the client or peer it
                          goes to (peers that get packets: NET_UDP) */
    bool view;
    uint8_t head_len; /* of a view: bytes before data, at the end of buf's PKT_HEADROOM */
    uint8_t tail_len; /* of a view: zeros behind data, at most PKT_TAIL */
};

/* Bytes of the whole message. */
static inline uint32_t pkt_size(const struct pkt *pkt)
{
    return pkt->head_len + pkt->len + pkt->tail_len;
}

/* What stands before data. */
static inline uint8_t *pkt_head(const struct pkt *pkt)
{
    return pkt->buf + PKT_HEADROOM - pkt->head_len;
}

/* Drop the first `n` bytes and keep `len` of what follows; the caller knows that they exist. */
static inline void pkt_strip(struct pkt *pkt, uint32_t n, uint32_t len)
{
    pkt->data += n;
    pkt->len = len;
}

/* Make `n` more bytes in front and return where they are to be written; the caller knows that the
 * room is left: PKT_HEADROOM bytes at most, of a packet that has not been stripped. */
static inline uint8_t *pkt_prepend(struct pkt *pkt, uint32_t n)
{
    if (pkt->view) {
        pkt->head_len = (uint8_t)(pkt->head_len + n);
        return pkt_head(pkt);
    }
    pkt->data -= n;
    pkt->len += n;
    return pkt->data;
}

/* Put `n` zeros (at most PKT_TAIL) behind, before anything is put in front.  False when the buffer
 * is full. */
static inline bool pkt_append_zeros(struct pkt *pkt, uint32_t n)
{
    if (pkt->view) {
        pkt->tail_len = (uint8_t)n;
        return true;
    }
    if (pkt->data + pkt->len + n > pkt->buf + PKT_HEADROOM + pkt->cap) {
        return false;
    }
    memset(pkt->data + pkt->len, 0, n);
    pkt->len += n;
    return true;
}
