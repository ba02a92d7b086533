/* SPDX-License-Identifier: Apache-2.0 */
/* Relay sockets of all workers: which address and port each gets, and the ports that are kept for
 * a reservation (EVEN-PORT with R, RFC 8656 section 7.2) until a client comes with its token.
 *
 * Owner   the relay server.  Thread  any: a mutex guards choice and reservations; it is taken when
 *         an allocation is made or ends, never for a packet.
 * Clock   passed in, monotonic milliseconds of any worker. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct conf;
struct interfaces;
struct relay_ports;
struct turn_relay_want;
struct udp_port;

enum {
    RELAY_PORTS_RESERVATION_MS = 60 * 1000, /* RFC 8656 section 7.2 asks for 30 s at least */
    RELAY_PORTS_RESERVATIONS = 4096,
    RELAY_PORTS_SPARE_FDS = 256,      /* descriptors that are never relay sockets */
    RELAY_PORTS_EXTRA_ADDRESSES = 64, /* that clients may reach though no interface has them */
};

/* 0 with `*out`; -ENOMEM; -EINVAL, -EADDRNOTAVAIL, ... with `why`: a relay-ip cannot be used. */
MUST_USE int relay_ports_new(const struct conf *conf, const struct interfaces *own,
                             struct relay_ports **out, char *why, size_t cap);

/* Close what is reserved and release all; every relay socket must be closed. */
void relay_ports_free(struct relay_ports *ports);

/* `count` descriptors more are needed by others: so many sockets fewer are opened.  At start. */
void relay_ports_spare(struct relay_ports *ports, size_t count);

/* Open the socket that `want` asks for; `ask_tos` as in udp_open().  For TCP it is a listening one,
 * whose descriptor the caller may take out of `*out`.
 * Returns 0 with `*out`; -EAFNOSUPPORT no address of that family; -ENOSPC no port, socket or room
 * for a reservation; -ENOENT no such reservation.  Nothing is kept on failure. */
MUST_USE int relay_ports_open(struct relay_ports *ports, const struct turn_relay_want *want,
                              bool ask_tos, uint64_t now_ms, struct udp_port *out);

/* Close it and give its port back. */
void relay_ports_close(struct relay_ports *ports, struct udp_port *port, uint64_t now_ms);

/* Close the reserved sockets whose time is over.  Opening does so, too. */
void relay_ports_sweep(struct relay_ports *ports, uint64_t now_ms);

/* The host's addresses have changed.  0 or -ENOMEM, the old ones stay in use then. */
MUST_USE int relay_ports_refresh(struct relay_ports *ports, const struct interfaces *own);

/* True when clients can get a relay address of `family` at all. */
bool relay_ports_serve(struct relay_ports *ports, uint8_t family);

/* The addresses that were given by relay-ip; none: they follow the clients. */
size_t relay_ports_given(const struct relay_ports *ports, const struct net_ip **out);
