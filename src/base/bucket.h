/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket for bytes: exact, on a passed-in clock, no timer.
 *
 * A token is a thousandth of a byte, so `rate` bytes a second are `rate` tokens a millisecond and
 * nothing is ever rounded: over any time no more than depth + rate * seconds bytes pass.
 *
 * Owner   whoever embeds it.  Thread  one at a time.
 * Clock   passed in, milliseconds; a step back adds nothing, a step ahead fills it at most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A higher rate counts as this one (8.8 Tbit/s); it keeps the sums within 64 bits. */
#define BUCKET_RATE_MAX (UINT64_C(1) << 40)

struct bucket {
    uint64_t tokens; /* bytes left, scaled by 1000 */
    uint64_t last_ms;
};

/* Full at the start: one second's worth of `rate` bytes (at least 64 KiB, so that one largest
 * datagram always passes an idle bucket). */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t now_ms);

/* Refill for the time since the last call and take `bytes`.  Returns false, taking nothing, when
 * there are too few tokens.  A `rate` of 0 means without limit; the rate may differ from call to
 * call, and holds for the whole time since the last one.  Hot path. */
bool bucket_take(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms);
