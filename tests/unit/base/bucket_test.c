/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bucket.h"

#include <pthread.h>

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
        bucket_init(&b);
        assert_true(bucket_take(&b, rates[i], DATAGRAM, i));
    }
}

static void take__starts_with_one_second_and_no_more(void **state)
{
    enum { RATE = 100000 };
    struct bucket b;

    (void)state;
    bucket_init(&b);
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
    bucket_init(&b);
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
    bucket_init(&b);
    for (size_t i = 0; i < 100; i++) {
        assert_true(bucket_take(&b, 0, UINT32_MAX, 0));
    }
}

static void take__an_idle_bucket_never_holds_more_than_its_depth(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b);
    assert_true(bucket_take(&b, 100000, 100000, 365 * DAY_MS));
    assert_false(bucket_take(&b, 100000, 1, 365 * DAY_MS));
}

/* At a reload the rate changes under a bucket in use. */
static void take__a_lower_rate_cuts_what_was_saved(void **state)
{
    struct bucket b;

    (void)state;
    bucket_init(&b);
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

        bucket_init(&b);
        while (bucket_take(&b, rate, UINT32_MAX, DAY_MS)) {
        }
        while (bucket_take(&b, rate, 65536, DAY_MS)) {
        }
        const uint64_t before = b.busy_until_ns;
        assert_false(bucket_take(&b, rate, 65536, 0)); /* back: nothing gained */
        assert_int_equal(b.busy_until_ns, before);
        assert_true(bucket_take(&b, rate, DATAGRAM, 3 * DAY_MS)); /* and it goes on from there */
        assert_true(bucket_take(&b, rate, DATAGRAM, UINT64_MAX)); /* all the time there is */
        assert_false(bucket_take(&b, 1, 65536, UINT64_MAX));
    }
}

/* A user who takes every byte there is, at odd moments, for 30 days: what has passed and what is
 * left together are what the rate gave, but for a nanosecond a call. */
static void take__does_not_drift_over_days(void **state)
{
    enum { RATE = 1777, DEPTH = 65536 };
    struct dice dice = {30};
    struct bucket b;
    uint64_t now_ms = 12345;
    uint64_t passed = 0;
    uint64_t calls = 0;

    (void)state;
    bucket_init(&b);
    assert_true(bucket_take(&b, RATE, DEPTH, now_ms)); /* from now on it is never full */
    const uint64_t start_ms = now_ms;
    while (now_ms < start_ms + 30 * DAY_MS) {
        now_ms += dice_below(&dice, 7000);
        uint32_t bytes = DEPTH;
        for (; bytes > 0; bytes /= 2) { /* halves, so that hardly anything stays */
            while (bucket_take(&b, RATE, bytes, now_ms)) {
                passed += bytes;
                calls++;
            }
        }
        const uint64_t given = (now_ms - start_ms) * RATE; /* thousandths of a byte */
        assert_true(passed * 1000 <= given);
        assert_true(given - passed * 1000 < 1000 + calls * RATE / 1000000 + 1);
    }
}

static void shared__passes_what_one_alone_would(void **state)
{
    enum { RATE = 123456 };
    struct dice dice = {31};
    struct bucket alone;
    struct bucket shared;
    uint64_t now_ms = 1;

    (void)state;
    bucket_init(&alone);
    bucket_init(&shared);
    for (size_t i = 0; i < 10000; i++) {
        const uint32_t bytes = dice_below(&dice, 3000);

        now_ms += dice_below(&dice, 20);
        assert_int_equal(bucket_take_shared(&shared, RATE, bytes, now_ms),
                         bucket_take(&alone, RATE, bytes, now_ms));
        assert_int_equal(bucket_read_shared(&shared).busy_until_ns, alone.busy_until_ns);
    }
    assert_true(bucket_take_shared(&shared, 0, UINT32_MAX, now_ms)); /* without limit */
}

enum { THREADS = 4, SIP = 1500, SHARED_RATE = 3000000 };

static void *drink(void *arg)
{
    struct bucket *b = arg;
    uintptr_t sips = 0;

    while (bucket_take_shared(b, SHARED_RATE, SIP, 5)) {
        sips++;
    }
    return (void *)sips; /* NOLINT(performance-no-int-to-ptr): a number */
}

/* Whoever takes at the same time: together they get what one would get, and all of it. */
static void shared__is_one_bucket_for_all(void **state)
{
    pthread_t threads[THREADS];
    struct bucket b;
    uintptr_t sips = 0;

    (void)state;
    bucket_init(&b);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, drink, &b), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *got = NULL;
        assert_int_equal(pthread_join(threads[i], &got), 0);
        sips += (uintptr_t)got;
    }
    assert_int_equal(sips, SHARED_RATE / SIP);
}

/* To another clock and back. */
static void idle__is_what_remains_the_same(void **state)
{
    enum { RATE = 100000 };
    struct bucket b;

    (void)state;
    bucket_init(&b);
    assert_true(bucket_take(&b, RATE, 60000, 7 * DAY_MS));
    const uint64_t idle_ns = bucket_idle_ns(&b, 7 * DAY_MS);
    assert_int_equal(idle_ns, 400000000); /* the 40000 bytes that are left */

    struct bucket there = bucket_of_idle(idle_ns, 3);
    assert_int_equal(bucket_idle_ns(&there, 3), idle_ns);
    assert_true(bucket_take(&there, RATE, 40000, 3));
    assert_false(bucket_take(&there, RATE, 1, 3));

    there = bucket_of_idle(UINT64_MAX, 3); /* longer than this clock has been running */
    assert_int_equal(there.busy_until_ns, 0);
    assert_true(bucket_take(&there, RATE, RATE, 3));
    assert_false(bucket_take(&there, RATE, 1, 3));

    there = bucket_of_idle(0, 3);
    assert_false(bucket_take(&there, RATE, 1, 3));
    assert_int_equal(bucket_idle_ns(&there, 2), 0); /* a clock that lags behind */
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

/* The bucket of exact fractions, told what has passed: it never has less than that, and what is
 * refused is not in it, but for a nanosecond's worth a call. */
static void model__agrees_with_exact_fractions(void **state)
{
    enum { ROUNDS = 200, STEPS = 500 };
    struct dice dice = {128};

    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        const uint64_t rate = 1 + dice_next(&dice) % (UINT64_C(1) << dice_below(&dice, 41));
        /* In 10^-9 bytes. */
        const struct wide depth = product(rate > 65536 ? rate : 65536, 1000000000);
        struct wide level = depth;
        uint64_t now_ms = dice_next(&dice) >> 22; /* 140 years */
        struct bucket b;

        bucket_init(&b);
        for (uint64_t calls = 0; calls < STEPS; calls++) {
            const uint64_t ahead = dice_next(&dice) >> (28 + dice_below(&dice, 36));
            const uint32_t bytes = (uint32_t)(dice_next(&dice) >> (32 + dice_below(&dice, 32)));
            const struct wide price = product(bytes, 1000000000);

            now_ms += ahead;
            level.n += product(ahead * 1000000, rate).n;
            level.n = level.n < depth.n ? level.n : depth.n;
            if (bucket_take(&b, rate, bytes, now_ms)) {
                assert_true(level.n + rate >= price.n); /* its depth is rounded to nanoseconds */
                level.n -= level.n < price.n ? level.n : price.n;
            } else {
                assert_true(level.n < price.n + product(calls + 1, rate).n);
            }
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
        cmocka_unit_test(shared__passes_what_one_alone_would),
        cmocka_unit_test(shared__is_one_bucket_for_all),
        cmocka_unit_test(idle__is_what_remains_the_same),
        cmocka_unit_test(model__agrees_with_exact_fractions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
