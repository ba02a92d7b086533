/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random numbers for property tests: the same seed gives the same test everywhere.
 *
 * Owner   the test.  Thread  one. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

/* splitmix64. */
static inline uint64_t dice_next(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15U;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* 0..n-1. */
static inline uint32_t dice_below(struct dice *d, uint32_t n)
{
    return (uint32_t)(dice_next(d) % n);
}

/* For those who ask for a source of random bytes; `arg` is the dice. */
static inline void dice_fill(void *arg, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)dice_next(arg);
    }
}
