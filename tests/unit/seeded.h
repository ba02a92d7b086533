/* SPDX-License-Identifier: Apache-2.0 */
/* A small generator for property tests: the same seed gives the same test in each run (splitmix64).
 *
 * Owner   the test.  Thread  that of the test. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct seeded {
    uint64_t state;
};

static inline uint64_t seeded_u64(struct seeded *s)
{
    s->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = s->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* A number below `limit`, which is not 0. */
static inline uint32_t seeded_below(struct seeded *s, uint32_t limit)
{
    return (uint32_t)(seeded_u64(s) >> 32) % limit;
}

static inline void seeded_fill(struct seeded *s, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)seeded_u64(s);
    }
}
