/* SPDX-License-Identifier: Apache-2.0 */
/* The peers of the virtual network, and what the gate should say about each of them under each of
 * four sets of rules: written down by hand, not computed.
 *
 * Owner   nobody: constant once peers_init() has run.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "turn/gate.h"

enum {
    PEER_RULE_SETS = 4,
    PEER_RELAY_PORT_MIN = 49152,
    PEER_RELAY_PORT_MAX = 49279,
    PEER_LISTENERS = 3, /* servers, each with an IPv4 and an IPv6 listener on port 3478 */
    PEER_LISTENER_PORT = 3478,
};

void peers_init(void);

/* How many rows there are; the first peers_friendly() are hosts that usually may be reached, the
 * last two are the server's own relay addresses. */
uint8_t peers_count(void);
uint8_t peers_friendly(void);
uint8_t peers_own(uint8_t family);

/* The address of `row` with a port; as it stands on the wire. */
struct net_addr peers_addr(uint8_t row, uint16_t port);

/* The row of `addr` as it stands on the wire; peers_count() when there is none. */
uint8_t peers_row_of(const struct net_addr *addr);

/* True when some host answers there: a packet to others comes back as an ICMP error, or vanishes.
 */
bool peers_is_host(uint8_t row);

/* May the address be given a permission; may packets go to that port of it? */
bool peers_ip_open(uint8_t row, uint8_t rules);
bool peers_addr_open(uint8_t row, uint16_t port, uint8_t rules);

/* The address of listener `server` (0..PEER_LISTENERS-1). */
struct net_addr peers_listener(uint8_t server, uint8_t family);

/* The real gate with a set of rules; NULL without memory. */
struct gate *peers_gate_new(uint8_t rules);
