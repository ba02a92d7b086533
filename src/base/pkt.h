/* SPDX-License-Identifier: Apache-2.0 */
/* One datagram on its way through: a view into a buffer with room before it, and its addresses.
 *
 * The same packet goes in and comes out: a relay strips or prepends a few bytes in place and
 * rewrites the addresses, and the payload is never copied.
 *
 * Owner   the batch whose array it lies in; the buffer is the batch's, too.
 * Thread  the worker of that batch. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net_addr.h"

/* Room in front of the payload: ChannelData needs 4 bytes, a Data indication 36 (IPv4) or 48. */
enum { PKT_HEADROOM = 64 };

struct pkt {
    uint8_t *data;          /* payload, inside buf .. buf + PKT_HEADROOM + cap */
    uint32_t len;           /* bytes of payload */
    uint32_t cap;           /* bytes that the buffer holds after its head room */
    uint8_t *buf;           /* head room, then cap bytes */
    struct net_addr remote; /* in: where it came from; out: where it goes */
    struct net_addr local;  /* in: the address it was sent to; out: the address it leaves from */
    void *port;  /* in and out: the socket's owner (a listener, a relay socket, a connection, a DTLS
                    association); opaque */
    uint8_t tos; /* DSCP and ECN octet: as received; as to be sent */
    bool df;     /* out: must not be fragmented */
    uint8_t transport; /* enum net_transport: of the client it is from; of the client or peer it
                          goes to (peers that get packets: NET_UDP) */
};

/* Drop the first `n` bytes and keep `len` of what follows; the caller knows that they exist. */
static inline void pkt_strip(struct pkt *pkt, uint32_t n, uint32_t len)
{
    pkt->data += n;
    pkt->len = len;
}

/* Make `n` more bytes in front; the caller knows that the head room is left. */
static inline uint8_t *pkt_prepend(struct pkt *pkt, uint32_t n)
{
    pkt->data -= n;
    pkt->len += n;
    return pkt->data;
}
