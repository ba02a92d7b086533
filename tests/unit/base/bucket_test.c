/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bucket.h"

#include <string.h>

#include "check.h"
#include "dice.h"

#define DATAGRAM 65535U
#define DAY_MS   UINT64_C(86400000)

static void take__an_idle_bucket_passes_the_largest_datagram(void **state)
{
    static const uint64_t rates[] = {1, 1000, 65535, 65536, 65537, BUCKET_RATE_MAX, UINT64_MAX};
    struct bucket b;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        bucket_init(&b, rates[i], 77);
        assert_true(bucket_take(&b, rates[i], DATAGRAM, 77));
    }
}

static void take__starts_with_one_second_and_no_more(void **state)
{
    enum { RATE = 100000 };
    struct bucket b;

    (void)state;
    bucket_init(&b, RATE, 0);
    assert_true(bucket_take(&b, RATE, RATE - 1, 0));
    assert_true(bucket_take(&b, RATE, 1, 0));
    assert_false(bucket_take(&b, RATE, 1, 0));
    assert_true(bucket_take(&b, RATE, 0, 0)); /* nothing is always there */
    assert_true(bucket_take(&b, RATE, 100, 1));
    assert_false(bucket_take(&b, RATE, 1, 1));
}

static void take__a_refusal_takes_nothing(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 1, 0);
    assert_false(bucket_take(&b, 1, 65537, 0));
    assert_false(bucket_take(&b, 1, UINT32_MAX, 0));
    assert_true(bucket_take(&b, 1, 65536, 0));
    assert_false(bucket_take(&b, 1, 1, 999));
    assert_true(bucket_take(&b, 1, 1, 1000)); /* a byte a second, to the millisecond */
    assert_false(bucket_take(&b, 1, 1, 1999));
}

static void take__no_rate_is_no_limit(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 0, 0);
    for (size_t i = 0; i < 100; i++) {
        assert_true(bucket_take(&b, 0, UINT32_MAX, 0));
    }
}

static void take__an_idle_bucket_never_holds_more_than_its_depth(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 100000, 0);
    assert_true(bucket_take(&b, 100000, 100000, 365 * DAY_MS));
    assert_false(bucket_take(&b, 100000, 1, 365 * DAY_MS));
}

/* At a reload the rate changes under a bucket in use. */
static void take__a_lower_rate_cuts_what_was_saved(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b, 1000000, 0);
    assert_false(bucket_take(&b, 1000, 65537, 0));
    assert_true(bucket_take(&b, 1000, 65536, 0));
    assert_false(bucket_take(&b, 1000, 1, 0));
    assert_true(bucket_take(&b, 1000000, 1000, 1)); /* the new rate fills faster at once */
}

static void clock__jumps_neither_lock_nor_overflow(void **state)
{
    static const uint64_t rates[] = {1, 999, 65536, 1000003, BUCKET_RATE_MAX, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        const uint64_t rate = rates[i];
        struct bucket b;

        bucket_init(&b, rate, 0);
        while (bucket_take(&b, rate, UINT32_MAX, 0)) {
        }
        while (bucket_take(&b, rate, 65536, 0)) {
        }
        assert_true(bucket_take(&b, rate, DATAGRAM, UINT64_MAX)); /* all the time there is */
        while (bucket_take(&b, rate, 65536, UINT64_MAX)) {
        }
        const uint64_t before = b.tokens;
        assert_true(bucket_take(&b, rate, 0, 5)); /* back: nothing gained */
        assert_int_equal(b.tokens, before);
        assert_true(bucket_take(&b, rate, DATAGRAM, 5 + DAY_MS)); /* and it goes on from there */
    }
}

/* A user who takes every byte there is, at odd moments, for 30 days: bytes passed and bytes left
 * together are exactly what the rate gave. */
static void take__does_not_drift_over_days(void **state)
{
    enum { RATE = 1777, DEPTH = 65536 };
    struct dice dice = {30};
    struct bucket b;
    uint64_t now_ms = 12345;
    uint64_t passed = DEPTH;

    (void)state;
    bucket_init(&b, RATE, now_ms);
    assert_true(bucket_take(&b, RATE, DEPTH, now_ms)); /* from now on it is never full */
    const uint64_t start_ms = now_ms;
    while (now_ms < start_ms + 30 * DAY_MS) {
        now_ms += dice_below(&dice, 7000);
        uint32_t bytes = DEPTH;
        for (; bytes > 0; bytes /= 2) { /* halves, so that hardly anything stays */
            while (bucket_take(&b, RATE, bytes, now_ms)) {
                passed += bytes;
            }
        }
        assert_int_equal(passed * 1000 + b.tokens,
                         DEPTH * UINT64_C(1000) + (now_ms - start_ms) * RATE);
        assert_true(b.tokens < 1000);
    }
}

/* A product of 128 bits: nothing to overflow, no case but the definition. */
struct wide {
    __extension__ unsigned __int128 n;
};

static struct wide product(uint64_t a, uint64_t b)
{
    struct wide w = {a};

    w.n *= b;
    return w;
}

static void model__agrees_with_exact_fractions(void **state)
{
    enum { ROUNDS = 200, STEPS = 500 };
    struct dice dice = {128};

    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        const uint64_t rate = 1 + dice_next(&dice) % (UINT64_C(1) << dice_below(&dice, 41));
        const struct wide depth = product(rate > 65536 ? rate : 65536, 1000);
        struct wide level = depth; /* in thousandths of a byte */
        uint64_t now_ms = dice_next(&dice) >> 1;
        struct bucket b;

        bucket_init(&b, rate, now_ms);
        for (size_t step = 0; step < STEPS; step++) {
            const uint64_t ahead = dice_next(&dice) >> (28 + dice_below(&dice, 36));
            const uint32_t bytes = (uint32_t)(dice_next(&dice) >> (32 + dice_below(&dice, 32)));
            const struct wide price = product(bytes, 1000);

            now_ms += ahead;
            level.n += product(ahead, rate).n;
            level.n = level.n < depth.n ? level.n : depth.n;
            const bool passes = level.n >= price.n;
            level.n -= passes ? price.n : 0;
            assert_int_equal(bucket_take(&b, rate, bytes, now_ms), passes);
            assert_true(b.tokens == level.n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__an_idle_bucket_passes_the_largest_datagram),
        cmocka_unit_test(take__starts_with_one_second_and_no_more),
        cmocka_unit_test(take__a_refusal_takes_nothing),
        cmocka_unit_test(take__no_rate_is_no_limit),
        cmocka_unit_test(take__an_idle_bucket_never_holds_more_than_its_depth),
        cmocka_unit_test(take__a_lower_rate_cuts_what_was_saved),
        cmocka_unit_test(clock__jumps_neither_lock_nor_overflow),
        cmocka_unit_test(take__does_not_drift_over_days),
        cmocka_unit_test(model__agrees_with_exact_fractions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
