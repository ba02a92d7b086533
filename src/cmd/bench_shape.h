/* SPDX-License-Identifier: Apache-2.0 */
/* What a client sends, from what was asked for: packets a burst, their sizes, and the time between
 * two bursts.
 *
 * Owner   nobody; plain values.  Thread  any; pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "cmd/bench_result.h"

enum {
    BENCH_PAYLOAD_MIN = 20, /* the stamp */
    BENCH_PAYLOAD_MAX = 8192,
    BENCH_BURST_MAX = 1024,
    BENCH_FPS_MAX = 240,
};

/* Zero: not asked for. */
struct bench_wish {
    double rate;    /* packets/s of a flow */
    double bitrate; /* bits of payload/s of a flow */
    uint32_t fps;   /* video: frames/s */
    uint32_t payload;
    uint32_t burst;
    bool flat;
    bool any; /* one of the above was asked for */
};

/* Set packet_bytes, burst, tail_bytes, tick_s, flat and rate_planned of `setup` from its mix,
 * number of clients and `wish`.  NULL; else what does not go together, and `setup` is as it was. */
MUST_USE const char *bench_shape_settle(const struct bench_wish *wish, struct bench_setup *setup);

/* Bytes of packet number `seq` of a flow: the last of each burst is the tail. */
static inline uint32_t bench_shape_bytes(const struct bench_setup *setup, uint32_t seq)
{
    return seq % setup->burst == setup->burst - 1 ? setup->tail_bytes : setup->packet_bytes;
}
