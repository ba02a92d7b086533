/* SPDX-License-Identifier: Apache-2.0 */
/* The network of the test: two interfaces of a namespace of its own, and what lies behind them.
 *
 *     STAGE_A   192.0.2.1, 2001:db8::1     the server's addresses; most clients and peers
 *     STAGE_B   another way out, to the rest of them
 *
 * Some hosts are on the cable, most behind routers; some can't be reached in one way or another, so
 * that their packets are for user space.
 *
 * Owner   the test program.  Thread  one, which the namespace is for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "dice.h"
#include "diff/frame.h"

enum stage_interface { STAGE_A, STAGE_B, STAGE_INTERFACES };

/* A network that clients and peers are of, and how packets get there. */
struct stage_net {
    const char *first; /* its addresses: this one and `count` - 1 after it */
    uint32_t count;
    enum stage_interface by;
    const char *router; /* NULL: on the cable */
    uint16_t mtu; /* of packets: STAGE_MTU, or less by a route; 0: they can't be sent at all */
};

enum { STAGE_MTU = 1500, STAGE_NARROW = 1300 };

/* Leave for a new namespace and set the network up there.  NULL, or why it could not be done. */
const char *stage_enter(void);

uint32_t stage_index(enum stage_interface i);
const char *stage_name(enum stage_interface i);
const uint8_t *stage_mac(enum stage_interface i);

/* A random host of the given family (port 0), and its network. */
struct net_addr stage_host(struct dice *dice, uint8_t family);

/* How packets get to a host.  NULL: to an address that is none of the stage's. */
const struct stage_net *stage_way(const struct net_addr *to);

/* The link address that they are sent to; only of a network with an mtu. */
void stage_next_hop(const struct net_addr *to, uint8_t out[FRAME_MAC]);
