/* SPDX-License-Identifier: Apache-2.0 */
/* Counters with one writer and any number of readers.
 *
 * Only the owning thread adds, so an add is a plain load and store without a bus lock.  A reader
 * sees each counter whole and never falling, but several counters not at one moment.
 *
 * Owner   the struct that holds them; all zero bytes is a valid start.
 * Thread  stats_add(), stats_set(): the owning worker alone; stats_read(): any. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct stats_counter {
    _Atomic uint64_t value;
};

/* Read a counter of any thread. */
static inline uint64_t stats_read(const struct stats_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* Give a gauge its new value. */
static inline void stats_set(struct stats_counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

/* Add `n`; wraps at 2^64.  Hot path. */
static inline void stats_add(struct stats_counter *counter, uint64_t n)
{
    stats_set(counter, stats_read(counter) + n);
}
