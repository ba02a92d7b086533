/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/capacity.h"

#include <pthread.h>

#include "check.h"

enum { KIB = 1024, MS = 1000 };

static const uint64_t start_ms = 1000000;

/* Sum of all leases of `bytes` that are granted at `now_ms`. */
static uint64_t drink(struct capacity *c, uint32_t bytes, uint64_t now_ms)
{
    uint64_t sum = 0;

    for (uint64_t got = 1; got > 0; sum += got) {
        got = capacity_lease(c, bytes, now_ms);
    }
    return sum;
}

static void capacity__is_the_rate(void **state)
{
    static const uint64_t rates[] = {1000, 100 * KIB, 10 * KIB * KIB, UINT64_C(12500000000)};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        struct capacity c = {.rate = 0};
        const uint64_t burst = rates[i] < 64 * KIB ? 64 * KIB : rates[i];
        capacity_set(&c, rates[i]);
        assert_in_range(drink(&c, 100, start_ms), burst - burst / 10000 - 200, burst);
        assert_int_equal(capacity_lease(&c, 100, start_ms), 0);
        uint64_t sum = 0;
        for (uint64_t ms = 1; ms <= 10 * MS; ms += 7) {
            sum += drink(&c, 100, start_ms + ms);
        }
        assert_in_range(sum, rates[i] * 10 - rates[i] / 50 - 200, rates[i] * 10 + 200);
    }
}

/* A lease covers many packets, but never more than the sixteenth part of a second. */
static void capacity__leases_pieces(void **state)
{
    struct capacity c = {.rate = 0};

    (void)state;
    capacity_set(&c, 100 * KIB * KIB);
    assert_int_equal(capacity_lease(&c, 100, start_ms), 64 * KIB);
    capacity_set(&c, 160 * KIB);
    assert_int_equal(capacity_lease(&c, 100, start_ms), 10 * KIB);
    assert_int_equal(capacity_lease(&c, 20 * KIB, start_ms), 20 * KIB);
    capacity_set(&c, 0);
    assert_int_equal(capacity_lease(&c, 1, start_ms), 0);
}

struct drinker {
    struct capacity *capacity;
    uint64_t sum;
};

static void *drink_all(void *arg)
{
    struct drinker *d = arg;

    d->sum = drink(d->capacity, 1500, start_ms);
    return NULL;
}

/* Workers that meet at the lease never get more than there is between them. */
static void capacity__is_shared_by_threads(void **state)
{
    enum { THREADS = 4 };

    struct capacity c = {.rate = 0};
    struct drinker drinker[THREADS];
    pthread_t thread[THREADS];
    uint64_t sum = 0;

    (void)state;
    capacity_set(&c, 500 * KIB * KIB);
    for (int i = 0; i < THREADS; i++) {
        drinker[i] = (struct drinker){&c, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, drink_all, &drinker[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(thread[i], NULL);
        sum += drinker[i].sum;
    }
    assert_in_range(sum, UINT64_C(500) * KIB * KIB - 1500, UINT64_C(500) * KIB * KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capacity__is_the_rate),
        cmocka_unit_test(capacity__leases_pieces),
        cmocka_unit_test(capacity__is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
