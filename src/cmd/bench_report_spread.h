/* SPDX-License-Identifier: Apache-2.0 */
/* How latencies are spread, as two plots show it: the share of packets in equal steps of a
 * logarithmic axis, and the latency that a share of the packets does not exceed.
 *
 * Owner   the caller.  Thread  any; plain values. */
#pragma once

#include <stddef.h>

#include "cmd/bench_page_axis.h"
#include "stats/histogram.h"

enum {
    BENCH_REPORT_BARS = 60,
    BENCH_REPORT_NINES = 6,
    BENCH_REPORT_NINE_STEPS = 20, /* points for each nine of a share */
    BENCH_REPORT_TAIL = BENCH_REPORT_NINES * BENCH_REPORT_NINE_STEPS + 1,
};

/* The logarithmic axis that holds all of the histograms (NULL ones are left out). */
struct bench_page_axis bench_report_spread_axis(const struct histogram *const *histogram, size_t n);

/* The ends of the bars that cover `axis`, in microseconds. */
void bench_report_spread_edges(const struct bench_page_axis *axis,
                               double edge[BENCH_REPORT_BARS + 1]);

/* The percentage of `h` between each two edges; all 0 when `h` is empty. */
void bench_report_spread_bars(const struct histogram *h, const double edge[BENCH_REPORT_BARS + 1],
                              double percent[BENCH_REPORT_BARS]);

/* How many nines `count` packets have something to say about, 1 to BENCH_REPORT_NINES. */
unsigned bench_report_spread_nines(uint64_t count);

/* The latency in microseconds that the share 1 - 10^-x does not exceed; NaN when `h` is empty, or
 * too small to tell. */
double bench_report_spread_tail(const struct histogram *h, double x);
