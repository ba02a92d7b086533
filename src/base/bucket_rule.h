/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of base/bucket.h as a pure function.  Compiled for user space and for the kernel's BPF
 * alike, so it knows the kernel's types only.
 *
 * A line of `rate` bytes a second is busy until some time with what has passed.  It may lag behind
 * the present by the depth of the bucket, and never runs ahead of it:
 *
 *     now - burst                     now
 *     ----|-------------|--------------|---->        what is left: from `busy` to `now`
 *                      busy  + duration of the bytes: passes while it ends before `now` */
#pragma once

#include <linux/types.h>

enum {
    BUCKET_MIN_DEPTH = 65536, /* bytes: one largest datagram always passes an idle bucket */
    BUCKET_NS_PER_S = 1000000000,
};

/* A higher rate counts as this one (8.8 Tbit/s); it keeps the sums within 64 bits. */
#define BUCKET_RATE_MAX (1ULL << 40)

/* Added to every time, and more than the longest burst (65536 s): then 0 is a full bucket even when
 * the clock has just begun. */
#define BUCKET_EPOCH_NS (1ULL << 50)

/* The time that `bytes` take, rounded up: never is more let through than the rate gives. */
static inline __u64 bucket_duration_ns(__u32 bytes, __u64 rate)
{
    return ((__u64)bytes * BUCKET_NS_PER_S + rate - 1) / rate;
}

/* Take `bytes` from a bucket that is at `busy_ns` (0: full) at a rate of 1 or more bytes a second.
 * Returns the new value, never 0, or 0 when there is not enough: then it stays as it is.
 * `now_ns`: monotonic, below 2^63.  Hot path. */
static inline __u64 bucket_after(__u64 busy_ns, __u64 rate, __u32 bytes, __u64 now_ns)
{
    const __u64 end_ns = now_ns + BUCKET_EPOCH_NS;

    rate = rate < BUCKET_RATE_MAX ? rate : BUCKET_RATE_MAX;
    const __u64 burst_ns =
        rate < BUCKET_MIN_DEPTH ? bucket_duration_ns(BUCKET_MIN_DEPTH, rate) : BUCKET_NS_PER_S;
    const __u64 past_ns = end_ns - burst_ns;
    const __u64 after_ns =
        (busy_ns > past_ns ? busy_ns : past_ns) + bucket_duration_ns(bytes, rate);
    return after_ns > end_ns ? 0 : after_ns;
}
