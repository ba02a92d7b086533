/* SPDX-License-Identifier: Apache-2.0 */
/* A log-linear histogram of durations in microseconds: 7 KiB, whatever it is told.
 *
 * Durations below 32 us have a bucket each; above, every power of two is split into 32 buckets, so
 * a bucket is at most 1/32 (3.1 %) wide.  What exceeds HISTOGRAM_MAX_US (71 minutes) counts as
 * that value.
 *
 *     0 1 2 ... 31 | 32 33 ... 63 | 64 66 ... 126 | 128 132 ... 252 | ... 4160749568
 *     step 1         step 1         step 2          step 4              step 2^27
 *
 * Owner   the struct that holds it; all zero bytes is an empty histogram.
 * Thread  histogram_add(): the owning worker alone.  Reading, and merging from one: any; what is
 *         added meanwhile may be seen or not. */
#pragma once

#include <stdint.h>

#include "stats/counters.h"

#define HISTOGRAM_STEP_BITS 5
#define HISTOGRAM_BUCKETS   ((32 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_MAX_US    UINT32_MAX

struct histogram {
    struct stats_counter bucket[HISTOGRAM_BUCKETS];
    struct stats_counter sum_us;
    struct stats_counter max_us;
};

/* Count one duration.  O(1), hot path. */
void histogram_add(struct histogram *h, uint64_t us);

/* Add all that `from` holds to `into`, which belongs to the caller. */
void histogram_merge(struct histogram *into, const struct histogram *from);

uint64_t histogram_count(const struct histogram *h);
uint64_t histogram_sum_us(const struct histogram *h);
uint64_t histogram_max_us(const struct histogram *h);

/* How many durations were at most `us`.  Exact when `us` is the last value of a bucket (each
 * 2^n - 1 is one), else the whole bucket that holds `us` is left out. */
uint64_t histogram_count_to(const struct histogram *h, uint64_t us);

/* The duration that `per_10000` of 10000 entries do not exceed (5000: the median), rounded up to
 * the end of its bucket but not above the longest one seen; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, unsigned per_10000);
