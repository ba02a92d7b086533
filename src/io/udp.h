/* SPDX-License-Identifier: Apache-2.0 */
/* UDP sockets: opening them, and the little that is known of one while it is in use.
 *
 * No option of a shared socket ever changes after udp_open(): what differs from packet to packet
 * (source address, DSCP and ECN, IPv6 DF) travels in control messages.  The exceptions are DF over
 * IPv4, for which Linux has no control message (see udp_tx.h), and UDP_GRO (see udp_gso.h).
 *
 * Owner   whoever embeds the struct udp_port.  Thread  one worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/net_addr.h"
#include "io/loop.h"

/* One socket in the hands of a worker. */
struct udp_port {
    struct loop_watch watch;
    struct list ready;     /* of the owner: where the ports wait that have something to be read */
    struct net_addr local; /* what it is bound to */
    int fd;
    uint32_t overflow; /* packets that the kernel dropped, as it last told */
    bool wildcard;     /* bound to all addresses: each packet tells and needs its own */
    bool errors;       /* ICMP errors are queued for udp_error_read() */
    bool v4_df;        /* IPv4 packets leave with DF set, until that is changed back */
    bool readable;     /* of the owner: there may be packets */
    bool in_error;     /* of the owner: there may be errors */
    bool closing;      /* of the owner */
    bool buffer_full;  /* of udp_buffer: the receive buffer cannot grow any more */
    uint8_t role;      /* of the owner */
    bool connected;    /* to one remote address: packets are sent without one */
    bool gro;          /* messages may hold bursts; never switched off again: see udp_gso.h */
    bool gro_never;    /* of the owner: whoever gets its packets wants each by itself */
    bool gso_off;      /* the kernel has refused to segment for it */
    uint8_t gro_score; /* of udp_gso: visits that have found several packets of a flow */
    uint8_t queued;    /* of udp_tx: there is a chain of packets for this port */
    uint16_t tx_first;
    uint16_t tx_last;
    uint16_t gso_max; /* longest segment that is asked for; longer ones were refused */
};

struct udp_options {
    struct net_addr local; /* an unspecified address is a wildcard */
    bool share;            /* SO_REUSEPORT: other sockets with `share` may have the same address */
    bool ask_tos;          /* tell DSCP and ECN of each packet */
    bool ask_errors;       /* queue ICMP errors */
    bool ask_drops;        /* tell how many packets the kernel had to drop */
    uint32_t buffer_bytes; /* for receiving and sending; 0: what the system gives */
};

/* Open and bind a non-blocking socket into `*port`.  Returns 0; the negative errno of the call that
 * failed, `*port` untouched. */
MUST_USE int udp_open(const struct udp_options *options, struct udp_port *port);

/* Make `*port` of a socket that udp_open() made earlier. */
void udp_adopt(struct udp_port *port, int fd, const struct net_addr *local, bool errors);

/* Close it.  Harmless when it is closed already. */
void udp_close(struct udp_port *port);

/* Bytes of receive buffer that the kernel granted. */
uint32_t udp_buffer_bytes(const struct udp_port *port);

/* True for 0.0.0.0 and ::. */
bool udp_is_wildcard(const struct net_addr *addr);
