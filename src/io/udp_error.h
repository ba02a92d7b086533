/* SPDX-License-Identifier: Apache-2.0 */
/* The error queue of a socket: ICMP errors about what it sent, and the kernel's own refusals.
 *
 * Owner   nobody; plain values.  Thread  the worker of the socket. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

enum udp_error_origin {
    UDP_ERROR_OTHER,
    UDP_ERROR_LOCAL, /* this host did not send: `error` tells why */
    UDP_ERROR_ICMP,  /* ICMP over IPv4: type and code */
    UDP_ERROR_ICMP6,
};

struct udp_error {
    enum udp_error_origin origin;
    struct net_addr peer; /* where the datagram was to go; port 0 when unknown */
    int error;            /* errno */
    uint8_t type;
    uint8_t code;
    uint32_t info; /* the MTU of "too big" errors */
};

struct udp_port;

/* Take the oldest error of `port`.  Returns 1 with `*out`, 0 when there is none. */
MUST_USE int udp_error_read(const struct udp_port *port, struct udp_error *out);
