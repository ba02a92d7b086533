/* SPDX-License-Identifier: Apache-2.0 */
/* The scenario's dice: splitmix64, so that a 64-bit seed names a whole run on every machine.
 *
 * Owner   whoever embeds it.  Thread  one at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0..n-1; 0 for n = 0. */
static inline uint32_t prng_below(struct prng *r, uint32_t n)
{
    return (uint32_t)((prng_next(r) >> 32) * n >> 32);
}

/* True `permille` times in a thousand. */
static inline bool prng_chance(struct prng *r, uint32_t permille)
{
    return prng_below(r, 1000) < permille;
}
