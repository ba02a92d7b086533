/* SPDX-License-Identifier: Apache-2.0 */
/* One flow (the packets of one client in one direction): the stamp that each of its packets carries
 * and what their arrival tells.
 *
 *   0       4       8       12              20
 *  +-------+-------+-------+---------------+---- - - -
 *  | run   | flow  | seq   | time of       | pattern
 *  |       |       |       | sending (ns)  |
 *  +-------+-------+-------+---------------+---- - - -
 *
 * Owner   the client that embeds it.  Thread  one.  Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { BENCH_STAMP = 20, BENCH_FLOW_WINDOW = 256 };

struct bench_stamp {
    uint32_t run;  /* tells this run's packets from others */
    uint32_t flow; /* client * 2 + direction */
    uint32_t seq;
    uint64_t sent_ns;
};

void bench_flow_stamp(uint8_t out[BENCH_STAMP], const struct bench_stamp *stamp);

/* 0; -EBADMSG when there are fewer bytes. */
MUST_USE int bench_flow_read(struct bytes packet, struct bench_stamp *out);

struct bench_flow {
    uint32_t sent; /* the next packet's number */
    uint32_t top;  /* highest number received, plus one */
    uint64_t seen[BENCH_FLOW_WINDOW / 64];
    int64_t transit_ns; /* of the packet received last */
    double jitter_us;   /* RFC 3550 section 6.4.1 */
    bool began;         /* transit_ns holds something */
};

enum bench_arrival { BENCH_NEW, BENCH_LATE, BENCH_AGAIN };

/* Packet `seq`, sent and received at these times of one clock, has arrived.  Numbers below `sent`
 * only.  `*gap` grows by the packets that it overtook, and falls by one when it was one of those.
 * One that comes after 256 later ones is taken for late, never for a duplicate. */
enum bench_arrival bench_flow_arrive(struct bench_flow *flow, const struct bench_stamp *stamp,
                                     uint64_t received_ns, int64_t *gap);
