/* SPDX-License-Identifier: Apache-2.0 */
/* The packets that a worker has in hand: received together, judged one by one, sent together.
 *
 *     udp_rx() takes packets from a socket into free places of the batch; the owner rewrites them
 *     and gives those to be sent to udp_tx_queue(); udp_tx_flush() sends all that is queued with as
 *     few system calls as there are sockets, and makes every place free again.
 *
 * Each place has a buffer of its own for the largest datagram there is, with head room; the buffers
 * are spread so that the first lines of all of them fit the first-level cache together.
 *
 * Owner   one worker.  Thread  that worker. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/pkt.h"
#include "stats/counters.h"

enum {
    UDP_BATCH = 64,
    UDP_PKT_CAP = 65536, /* more than any UDP datagram: nothing is ever truncated */
};

struct udp_batch;
struct udp_port;

/* A packet that had to leave with DF set was too big for its way.  `pkt` is as it was queued; its
 * place may be used for another packet, which may be queued: the flush under way sends it, too. */
typedef void (*udp_too_big_fn)(void *arg, struct pkt *pkt);

struct udp_counters {
    struct stats_counter rx_batches;
    struct stats_counter rx_packets;
    struct stats_counter rx_overflow; /* packets that the kernel dropped: receive buffer full */
    struct stats_counter rx_errors;
    struct stats_counter tx_packets;
    struct stats_counter tx_calls; /* system calls that sent them */
    struct stats_counter tx_errors;
    struct stats_counter tx_full; /* packets dropped: send buffer or device queue full */
    struct stats_counter icmp;    /* errors read from error queues */
};

/* NULL without memory. */
MUST_USE struct udp_batch *udp_batch_new(udp_too_big_fn too_big, void *arg);
void udp_batch_free(struct udp_batch *batch);

/* How many places are free. */
uint32_t udp_batch_room(const struct udp_batch *batch);

/* A free place for a packet that did not come from a socket: data and len are empty.  NULL when the
 * batch is full. */
struct pkt *udp_batch_take(struct udp_batch *batch);

/* Written by the batch's worker, read by any thread. */
struct udp_counters *udp_batch_counters(struct udp_batch *batch);
