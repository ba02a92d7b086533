/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/histogram.h"

#include <assert.h>
#include <stddef.h>

#define STEPS (1U << HISTOGRAM_STEP_BITS)

static size_t bucket_of(uint32_t us)
{
    if (us < STEPS) {
        return us;
    }
    const unsigned top = 31U - (unsigned)__builtin_clz(us); /* >= HISTOGRAM_STEP_BITS */
    const unsigned shift = top - HISTOGRAM_STEP_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_STEP_BITS) + ((us >> shift) & (STEPS - 1));
}

/* The longest duration that bucket `i` counts. */
static uint32_t bucket_last(size_t i)
{
    if (i < STEPS) {
        return (uint32_t)i;
    }
    const unsigned shift = (unsigned)(i >> HISTOGRAM_STEP_BITS) - 1;
    const uint64_t first = (uint64_t)(STEPS + (i & (STEPS - 1))) << shift;
    return (uint32_t)(first + (UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *h, uint64_t us)
{
    const uint32_t value = us < HISTOGRAM_MAX_US ? (uint32_t)us : HISTOGRAM_MAX_US;

    stats_add(&h->bucket[bucket_of(value)], 1);
    stats_add(&h->sum_us, value);
    if (value > stats_read(&h->max_us)) {
        stats_set(&h->max_us, value);
    }
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        stats_add(&into->bucket[i], stats_read(&from->bucket[i]));
    }
    stats_add(&into->sum_us, stats_read(&from->sum_us));
    if (stats_read(&from->max_us) > stats_read(&into->max_us)) {
        stats_set(&into->max_us, stats_read(&from->max_us));
    }
}

uint64_t histogram_count(const struct histogram *h)
{
    return histogram_count_to(h, HISTOGRAM_MAX_US);
}

uint64_t histogram_sum_us(const struct histogram *h)
{
    return stats_read(&h->sum_us);
}

uint64_t histogram_max_us(const struct histogram *h)
{
    return stats_read(&h->max_us);
}

uint64_t histogram_count_to(const struct histogram *h, uint64_t us)
{
    uint64_t count = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS && bucket_last(i) <= us; i++) {
        count += stats_read(&h->bucket[i]);
    }
    return count;
}

uint64_t histogram_percentile(const struct histogram *h, unsigned per_10000)
{
    assert(per_10000 <= 10000);
    const uint64_t count = histogram_count(h);
    const uint64_t max = histogram_max_us(h);

    /* The rank, rounded up, in two parts so that the product cannot overflow. */
    const uint64_t rest = (count % 10000) * per_10000;
    uint64_t rank = count / 10000 * per_10000 + (rest + 9999) / 10000;
    if (rank == 0) {
        rank = 1;
    }
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += stats_read(&h->bucket[i]);
        if (seen >= rank) {
            return bucket_last(i) < max ? bucket_last(i) : max;
        }
    }
    return max; /* empty: 0 */
}
