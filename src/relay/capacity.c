/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/capacity.h"

#include <stdbool.h>

enum { LEASE_BYTES = 64 * 1024, LEASES_PER_S = 16 };

static const uint64_t ns_per_s = 1000000000;

void capacity_set(struct capacity *c, uint64_t rate)
{
    atomic_store_explicit(&c->rate, rate, memory_order_relaxed);
}

/* The time that `bytes` take, rounded up; both factors stay far from 2^64. */
static uint64_t duration_ns(uint64_t bytes, uint64_t rate)
{
    return (bytes * ns_per_s + rate - 1) / rate;
}

static bool sell(struct capacity *c, uint64_t rate, uint64_t bytes, uint64_t now_ns)
{
    const uint64_t burst_ns = rate < LEASE_BYTES ? duration_ns(LEASE_BYTES, rate) : ns_per_s;
    const uint64_t past_ns = now_ns > burst_ns ? now_ns - burst_ns : 0;
    uint64_t busy_ns = atomic_load_explicit(&c->busy_until_ns, memory_order_relaxed);
    uint64_t after_ns;

    do {
        after_ns = (busy_ns > past_ns ? busy_ns : past_ns) + duration_ns(bytes, rate);
        if (after_ns > now_ns) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&c->busy_until_ns, &busy_ns, after_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

uint64_t capacity_lease(struct capacity *c, uint32_t bytes, uint64_t now_ms)
{
    const uint64_t rate = atomic_load_explicit(&c->rate, memory_order_relaxed);
    const uint64_t now_ns = now_ms * 1000000;
    if (rate == 0) {
        return 0;
    }
    /* Many leases a second even at a low rate, or one worker would hold what others lack. */
    uint64_t piece = rate / LEASES_PER_S < LEASE_BYTES ? rate / LEASES_PER_S : LEASE_BYTES;
    if (piece < bytes) {
        piece = bytes;
    }
    if (sell(c, rate, piece, now_ns)) {
        return piece;
    }
    return piece > bytes && sell(c, rate, bytes, now_ns) ? bytes : 0;
}
