/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/capacity.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/bucket_rule.h"

enum { LEASE_BYTES = 64 * 1024, LEASES_PER_S = 16 };

void capacity_set(struct capacity *c, uint64_t rate)
{
    atomic_store_explicit(&c->rate, rate, memory_order_relaxed);
}

void capacity_share(struct capacity *c, __u64 *busy_until_ns)
{
    c->shared = busy_until_ns;
}

static bool sell(struct capacity *c, uint64_t rate, uint64_t bytes, uint64_t now_ns)
{
    __u64 *line = c->shared != NULL ? c->shared : &c->busy_until_ns;
    __u64 busy_ns = __atomic_load_n(line, __ATOMIC_RELAXED);
    __u64 after_ns;

    do {
        after_ns = bucket_after(busy_ns, rate, (uint32_t)bytes, now_ns);
        if (after_ns == 0) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(line, &busy_ns, after_ns, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
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
