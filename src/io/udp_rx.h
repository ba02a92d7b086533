/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving a batch (see udp_batch.h). */
#pragma once

#include <stdint.h>

#include "base/pkt.h"

struct udp_batch;
struct udp_port;

/* Receive at most `max` messages from `port` into the free places of `batch`, without waiting.
 * `*out` is the first packet, the others follow it: data, len, remote, local, port (`port` itself)
 * and tos are set.  A message that holds a burst becomes several packets, views into its buffer, at
 * most UDP_BURST.  A packet that was not sent to one of our addresses alone (broadcast) has len 0.
 * Returns how many packets came, and clears port->readable when nothing is left.  Hot path: one
 * system call. */
uint32_t udp_rx(struct udp_batch *batch, struct udp_port *port, uint32_t max, struct pkt **out);
