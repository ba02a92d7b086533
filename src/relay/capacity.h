/* SPDX-License-Identifier: Apache-2.0 */
/* The bandwidth of the whole server (`bps-capacity`), leased to the workers in pieces so that they
 * seldom meet: one atomic exchange for some 64 KiB.  The kernel path takes from the same line.
 *
 * Owner   the relay server.  Thread  capacity_lease(): any; capacity_set(): control.
 * Clock   passed in, monotonic milliseconds of any worker. */
#pragma once

#include <linux/types.h>
#include <stdatomic.h>
#include <stdint.h>

/* One direction.  What was sold is kept as base/bucket_rule.h says. */
struct capacity {
    _Atomic uint64_t rate; /* bytes a second */
    __u64 busy_until_ns;   /* atomic */
    __u64 *shared;         /* where that is kept instead, or NULL */
};

/* Sell from `busy_until_ns`, which others take from as well (the kernel path's programs), and which
 * outlives `c`.  Before there are threads. */
void capacity_share(struct capacity *c, __u64 *busy_until_ns);

/* `rate` 0 leases nothing: callers without a limit do not ask. */
void capacity_set(struct capacity *c, uint64_t rate);

/* Lease at least `bytes`; returns how many, or 0 when the capacity is used up.  One second's worth
 * (64 KiB at least) may be taken in a burst. */
uint64_t capacity_lease(struct capacity *c, uint32_t bytes, uint64_t now_ms);
