/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket for bytes, on a passed-in clock, no timer; it is one number, so that several can
 * take from it without a lock.
 *
 * Over any time no more than depth + rate * seconds bytes pass.  Every call rounds up to the
 * nanosecond, so that less may pass: at most a nanosecond's worth a call.
 *
 * Owner   whoever embeds it; all zero is a full one.
 * Thread  one at a time; bucket_take_shared(): any, also the kernel path (base/bucket_rule.h).
 * Clock   passed in, monotonic milliseconds; those who share a bucket may differ in it by some:
 *         a step back gains nothing, a step ahead fills it at most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bucket_rule.h"

struct bucket {
    uint64_t busy_until_ns; /* clock + BUCKET_EPOCH_NS; 0: full */
};

/* Full at the start: one second's worth of bytes (at least 64 KiB, so that one largest datagram
 * always passes an idle bucket). */
void bucket_init(struct bucket *b);

/* Take `bytes`.  Returns false, taking nothing, when there are too few.  A `rate` (bytes a second)
 * of 0 means without limit; the rate may differ from call to call: kept is for how long the bucket
 * was idle, which is worth more at a higher rate.  Hot path. */
bool bucket_take(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms);

/* The same for a bucket that others take from at the same time.  Hot path: an atomic exchange. */
bool bucket_take_shared(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms);

/* What others may be changing. */
struct bucket bucket_read_shared(const struct bucket *b);

/* A bucket as something that does not depend on the clock: for how many nanoseconds it was idle,
 * and back. */
uint64_t bucket_idle_ns(const struct bucket *b, uint64_t now_ms);
struct bucket bucket_of_idle(uint64_t idle_ns, uint64_t now_ms);
