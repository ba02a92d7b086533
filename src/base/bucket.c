/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bucket.h"

enum { TOKENS_PER_BYTE = 1000, MIN_DEPTH = 65536 };

static uint64_t rate_within(uint64_t rate)
{
    return rate < BUCKET_RATE_MAX ? rate : BUCKET_RATE_MAX;
}

/* Tokens in a full bucket; at most 2^50. */
static uint64_t depth_of(uint64_t rate)
{
    return (rate > MIN_DEPTH ? rate : MIN_DEPTH) * TOKENS_PER_BYTE;
}

void bucket_init(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
    b->tokens = depth_of(rate_within(rate));
    b->last_ms = now_ms;
}

static void refill(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
    const uint64_t depth = depth_of(rate);
    const uint64_t elapsed = now_ms > b->last_ms ? now_ms - b->last_ms : 0;
    uint64_t gain;

    if (b->tokens >= depth || __builtin_mul_overflow(elapsed, rate, &gain) ||
        gain > depth - b->tokens) {
        b->tokens = depth;
    } else {
        b->tokens += gain;
    }
    b->last_ms = now_ms;
}

bool bucket_take(struct bucket *b, uint64_t rate, uint32_t bytes, uint64_t now_ms)
{
    const uint64_t price = (uint64_t)bytes * TOKENS_PER_BYTE;

    if (rate == 0) {
        return true;
    }
    refill(b, rate_within(rate), now_ms);
    if (b->tokens < price) {
        return false;
    }
    b->tokens -= price;
    return true;
}
