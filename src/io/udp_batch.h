/* SPDX-License-Identifier: Apache-2.0 */
/* The packets that a worker has in hand: received together, judged one by one, sent together.
 *
 *     udp_rx() takes packets from a socket into the batch; the owner rewrites them and gives those
 *     to be sent to udp_tx_queue(); udp_tx_flush() sends all that is queued with as few system
 *     calls as there are sockets, and makes every place free again.
 *
 * There are buffers, each for the largest datagram there is, with head room, spread so that the
 * first lines of all of them fit the first-level cache together; and there are packets.  Mostly one
 * packet lies in one buffer.  But a socket with UDP_GRO delivers a burst of one flow as one
 * message: then its packets are views into one buffer (see base/pkt.h).  On the way out, packets
 * that follow each other to one destination leave as one message again (UDP_SEGMENT).
 *
 * Owner   one worker.  Thread  that worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/pkt.h"
#include "stats/counters.h"

enum {
    UDP_BATCH = 64,      /* buffers */
    UDP_PKT_CAP = 65536, /* more than any UDP datagram: nothing is ever truncated */
    UDP_BURST = 128,     /* packets that one buffer may hold: UDP_MAX_SEGMENTS of Linux */
    UDP_PACKETS = 64 * UDP_BURST,
    UDP_SPARES = 64, /* buffers for views that need one of their own */
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
    struct stats_counter rx_bursts;    /* messages that held several packets */
    struct stats_counter rx_truncated; /* packets dropped: no room for all of a burst */
    struct stats_counter tx_packets;
    struct stats_counter tx_bursts;  /* messages that held several packets */
    struct stats_counter tx_refused; /* of those, what the kernel refused: sent one by one */
    struct stats_counter tx_calls;   /* system calls that sent them */
    struct stats_counter tx_errors;
    struct stats_counter tx_full; /* packets dropped: send buffer or device queue full */
    struct stats_counter icmp;    /* errors read from error queues */
};

/* NULL without memory. */
MUST_USE struct udp_batch *udp_batch_new(udp_too_big_fn too_big, void *arg);
void udp_batch_free(struct udp_batch *batch);

/* Let sockets receive and send bursts as one message: for kernels that passed udp_gso_test(). */
void udp_batch_set_gso(struct udp_batch *batch, bool on);

/* But leave each packet that comes by itself: something below wants them so (the kernel path, which
 * forwards single packets). */
void udp_batch_no_gro(struct udp_batch *batch);

/* How many messages fit in. */
uint32_t udp_batch_room(const struct udp_batch *batch);

/* A free place for a packet that did not come from a socket: data and len are empty.  NULL when the
 * batch is full. */
struct pkt *udp_batch_take(struct udp_batch *batch);

/* Give a view a buffer of its own, the whole message contiguous in it; nothing to do for another
 * packet.  0; -ENOSPC: too many have one until the next udp_tx_send(), `*pkt` unchanged. */
MUST_USE int udp_batch_own(struct udp_batch *batch, struct pkt *pkt);

/* Written by the batch's worker, read by any thread. */
struct udp_counters *udp_batch_counters(struct udp_batch *batch);
