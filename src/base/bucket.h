/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket for bytes: exact, on a passed-in clock, no timer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t tokens;    /* bytes left, scaled by 1000 */
    uint64_t last_ms;
};

/* Full at the start: one second's worth of `rate` bytes (at least 64 KiB, so that one largest
 * datagram always passes an idle bucket). */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t now_ms);

/* Refill for the time since the last call and take `bytes`.  Returns false, taking nothing, when
 * there are too few tokens.  A `rate` of 0 means without limit.  Hot path. */
bool bucket_take(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms);
