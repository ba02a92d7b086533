/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving datagrams in batches, bursts included (UDP_GRO).
 *
 * Owner   the engine.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "cmd/bench_socket.h"

enum { BENCH_RX_BATCH = 64 };

struct bench_rx;

/* One datagram.  `when_ns` is when the kernel received it, by CLOCK_REALTIME; `to`, on a socket
 * that is `sourced`, the address that it was sent to, else NULL. */
typedef void (*bench_rx_fn)(void *arg, const struct bench_socket *socket, const struct net_ip *to,
                            struct bytes datagram, uint64_t when_ns);

/* For datagrams of at most `cap` bytes; with `gro`, also for bursts.  NULL without memory. */
MUST_USE struct bench_rx *bench_rx_new(uint32_t cap, bool gro, bench_rx_fn fn, void *arg);
void bench_rx_free(struct bench_rx *rx);

/* Receive once from `socket`, at most a batch, and tell of each datagram.  Adds to `*dropped` what
 * the kernel had to drop.  The number of messages, 0 when there are none; a negative errno of the
 * network (an ICMP message). */
int bench_rx_read(struct bench_rx *rx, struct bench_socket *socket, uint64_t *dropped);
