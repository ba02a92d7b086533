/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_flow.h"

#include <errno.h>
#include <math.h>
#include <string.h>

void bench_flow_stamp(uint8_t out[BENCH_STAMP], const struct bench_stamp *stamp)
{
    be32_put(out, stamp->run);
    be32_put(out + 4, stamp->flow);
    be32_put(out + 8, stamp->seq);
    be64_put(out + 12, stamp->sent_ns);
}

int bench_flow_read(struct bytes packet, struct bench_stamp *out)
{
    if (packet.n < BENCH_STAMP) {
        return -EBADMSG;
    }
    *out = (struct bench_stamp){
        .run = be32(packet.p),
        .flow = be32(packet.p + 4),
        .seq = be32(packet.p + 8),
        .sent_ns = be64(packet.p + 12),
    };
    return 0;
}

static uint64_t *word_of(struct bench_flow *flow, uint32_t seq)
{
    return &flow->seen[seq % BENCH_FLOW_WINDOW / 64];
}

static uint64_t bit_of(uint32_t seq)
{
    return UINT64_C(1) << seq % 64;
}

/* Move the window's upper end behind `seq`: the numbers in between have not been seen. */
static void raise_top(struct bench_flow *flow, uint32_t seq)
{
    if (seq - flow->top >= BENCH_FLOW_WINDOW) {
        memset(flow->seen, 0, sizeof(flow->seen));
    } else {
        for (uint32_t i = flow->top; i <= seq; i++) {
            *word_of(flow, i) &= ~bit_of(i);
        }
    }
    flow->top = seq + 1;
}

static void note_jitter(struct bench_flow *flow, int64_t transit_ns)
{
    if (flow->began) {
        const double d_us = fabs((double)(transit_ns - flow->transit_ns)) / 1000;
        flow->jitter_us += (d_us - flow->jitter_us) / 16;
    }
    flow->transit_ns = transit_ns;
    flow->began = true;
}

enum bench_arrival bench_flow_arrive(struct bench_flow *flow, const struct bench_stamp *stamp,
                                     uint64_t received_ns, int64_t *gap)
{
    const uint32_t seq = stamp->seq;
    enum bench_arrival arrival = BENCH_NEW;

    if (seq >= flow->top) {
        *gap += seq - flow->top;
        raise_top(flow, seq);
    } else if (flow->top - seq <= BENCH_FLOW_WINDOW && (*word_of(flow, seq) & bit_of(seq)) != 0) {
        return BENCH_AGAIN;
    } else {
        arrival = BENCH_LATE;
        *gap -= 1;
    }
    if (flow->top - seq <= BENCH_FLOW_WINDOW) {
        *word_of(flow, seq) |= bit_of(seq);
    }
    note_jitter(flow, (int64_t)(received_ns - stamp->sent_ns));
    return arrival;
}
