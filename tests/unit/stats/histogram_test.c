/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/histogram.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define ADDS 100000U

/* A xorshift generator: the same values in each run. */
static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int clear(void **state)
{
    static struct histogram h;

    memset(&h, 0, sizeof(h));
    *state = &h;
    return 0;
}

static void histogram__is_empty_at_first(void **state)
{
    struct histogram *h = *state;

    assert_int_equal(histogram_count(h), 0);
    assert_int_equal(histogram_percentile(h, 5000), 0);
    assert_int_equal(histogram_max_us(h), 0);
}

static void small__is_exact(void **state)
{
    struct histogram *h = *state;

    for (unsigned us = 0; us < 64; us++) {
        histogram_add(h, us);
    }
    assert_int_equal(histogram_count(h), 64);
    assert_int_equal(histogram_sum_us(h), 63 * 64 / 2);
    assert_int_equal(histogram_percentile(h, 0), 0);
    assert_int_equal(histogram_percentile(h, 5000), 31);
    assert_int_equal(histogram_percentile(h, 5001), 32);
    assert_int_equal(histogram_percentile(h, 10000), 63);
    for (unsigned us = 0; us < 64; us++) {
        assert_int_equal(histogram_count_to(h, us), us + 1);
    }
}

/* Each power of two, its neighbours and the longest: the bucket's end is at most 1/32 away. */
static void bucket__is_never_wider_than_a_32nd(void **state)
{
    struct histogram *h = *state;

    for (unsigned bit = 0; bit < 32; bit++) {
        for (int off = -1; off <= 1; off++) {
            const uint64_t us = (UINT64_C(1) << bit) + (uint64_t)(int64_t)off;
            memset(h, 0, sizeof(*h));
            histogram_add(h, us);
            histogram_add(h, HISTOGRAM_MAX_US); /* so that the maximum hides nothing */
            const uint64_t end = histogram_percentile(h, 5000);
            assert_true(end >= us);
            assert_true(end - us <= us / 32);
        }
    }
}

static void long__counts_as_the_longest(void **state)
{
    struct histogram *h = *state;

    histogram_add(h, UINT64_MAX);
    histogram_add(h, UINT64_C(1) << 32);
    assert_int_equal(histogram_count(h), 2);
    assert_int_equal(histogram_max_us(h), HISTOGRAM_MAX_US);
    assert_int_equal(histogram_percentile(h, 10000), HISTOGRAM_MAX_US);
    assert_int_equal(histogram_sum_us(h), 2 * (uint64_t)HISTOGRAM_MAX_US);
}

static void count_to__is_exact_at_powers_of_two(void **state)
{
    struct histogram *h = *state;
    uint32_t x = 7;
    static uint32_t values[ADDS];

    for (unsigned i = 0; i < ADDS; i++) {
        values[i] = next_random(&x) >> (next_random(&x) % 32);
        histogram_add(h, values[i]);
    }
    for (unsigned bit = 0; bit <= 32; bit++) {
        const uint64_t edge = (UINT64_C(1) << bit) - 1;
        uint64_t below = 0;
        for (unsigned i = 0; i < ADDS; i++) {
            below += values[i] <= edge;
        }
        assert_int_equal(histogram_count_to(h, edge), below);
    }
}

/* Against the sorted values themselves. */
static void percentile__is_at_most_a_32nd_above_the_true_one(void **state)
{
    struct histogram *h = *state;
    static uint32_t values[ADDS];
    uint32_t x = 11;

    for (unsigned i = 0; i < ADDS; i++) {
        values[i] = next_random(&x) >> (next_random(&x) % 32);
        histogram_add(h, values[i]);
    }
    qsort(values, ADDS, sizeof(values[0]), by_value);
    for (unsigned p = 1; p <= 10000; p++) {
        const uint64_t rank = ((uint64_t)ADDS * p + 9999) / 10000;
        const uint64_t truth = values[rank - 1];
        const uint64_t got = histogram_percentile(h, p);
        assert_true(got >= truth);
        assert_true(got - truth <= truth / 32);
    }
}

static void merge__equals_adding_to_one(void **state)
{
    struct histogram *all = *state;
    static struct histogram part[3], sum;
    uint32_t x = 5;

    for (unsigned i = 0; i < ADDS; i++) {
        const uint32_t us = next_random(&x) >> (i % 32);
        histogram_add(all, us);
        histogram_add(&part[i % 3], us);
    }
    for (unsigned i = 0; i < 3; i++) {
        histogram_merge(&sum, &part[i]);
    }
    assert_memory_equal(&sum, all, sizeof(sum));
}

static void *add_many(void *arg)
{
    for (unsigned i = 0; i < ADDS; i++) {
        histogram_add(arg, i);
    }
    return NULL;
}

/* Under TSan this also shows that merging from a histogram in use is no data race. */
static void merge__may_read_while_the_owner_adds(void **state)
{
    struct histogram *h = *state;
    static struct histogram seen;
    pthread_t owner;

    assert_int_equal(pthread_create(&owner, NULL, add_many, h), 0);
    do {
        memset(&seen, 0, sizeof(seen));
        histogram_merge(&seen, h);
        assert_true(histogram_percentile(&seen, 9999) <= histogram_max_us(&seen));
    } while (histogram_count(&seen) < ADDS);
    assert_int_equal(pthread_join(owner, NULL), 0);
    assert_int_equal(histogram_sum_us(h), (uint64_t)ADDS * (ADDS - 1) / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(histogram__is_empty_at_first, clear),
        cmocka_unit_test_setup(small__is_exact, clear),
        cmocka_unit_test_setup(bucket__is_never_wider_than_a_32nd, clear),
        cmocka_unit_test_setup(long__counts_as_the_longest, clear),
        cmocka_unit_test_setup(count_to__is_exact_at_powers_of_two, clear),
        cmocka_unit_test_setup(percentile__is_at_most_a_32nd_above_the_true_one, clear),
        cmocka_unit_test_setup(merge__equals_adding_to_one, clear),
        cmocka_unit_test_setup(merge__may_read_while_the_owner_adds, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
