/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/flow_pool.h"

#include <errno.h>
#include <stdbool.h>

#include "base/mem.h"
#include "check.h"
#include "seeded.h"

enum { REST_MS = 1000 };

static void pool__gives_each_number_once(void **state)
{
    struct flow_pool pool;
    bool seen[6] = {false};

    (void)state;
    assert_int_equal(flow_pool_init(&pool, 5, REST_MS), 0);
    for (uint32_t i = 0; i < 5; i++) {
        const uint32_t number = flow_pool_get(&pool, 0);
        assert_in_range(number, 1, 5);
        assert_false(seen[number]);
        seen[number] = true;
        assert_int_equal(flow_pool_used(&pool), i + 1);
    }
    assert_int_equal(flow_pool_get(&pool, 1000000), 0);
    assert_int_equal(flow_pool_used(&pool), 5);
    flow_pool_fini(&pool);
}

static void pool__lets_numbers_rest(void **state)
{
    const uint64_t starts[] = {0, 5000, UINT32_MAX - 500, (uint64_t)UINT32_MAX + 7};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        const uint64_t start = starts[i];
        struct flow_pool pool;
        assert_int_equal(flow_pool_init(&pool, 1, REST_MS), 0);
        assert_int_equal(flow_pool_get(&pool, start), 1);
        flow_pool_put(&pool, 1, start);
        assert_int_equal(flow_pool_used(&pool), 0);
        assert_int_equal(flow_pool_get(&pool, start), 0);
        assert_int_equal(flow_pool_get(&pool, start + REST_MS - 1), 0);
        assert_int_equal(flow_pool_get(&pool, start + REST_MS), 1);
        flow_pool_fini(&pool);
    }
}

static void pool__takes_the_oldest_first_and_new_ones_last(void **state)
{
    struct flow_pool pool;

    (void)state;
    assert_int_equal(flow_pool_init(&pool, 4, REST_MS), 0);
    assert_int_equal(flow_pool_get(&pool, 0), 1);
    assert_int_equal(flow_pool_get(&pool, 0), 2);
    assert_int_equal(flow_pool_get(&pool, 0), 3);
    flow_pool_put(&pool, 2, 100);
    flow_pool_put(&pool, 3, 200);
    flow_pool_put(&pool, 1, 300);
    assert_int_equal(flow_pool_get(&pool, 1100), 2);
    assert_int_equal(flow_pool_get(&pool, 1100), 4); /* 3 rests for 100 ms more */
    assert_int_equal(flow_pool_get(&pool, 1100), 0);
    assert_int_equal(flow_pool_get(&pool, 1300), 3);
    assert_int_equal(flow_pool_get(&pool, 1300), 1);
    assert_int_equal(flow_pool_get(&pool, 9999), 0);
    flow_pool_fini(&pool);
}

static void pool__that_needs_no_rest(void **state)
{
    struct flow_pool pool;

    (void)state;
    assert_int_equal(flow_pool_init(&pool, 1, 0), 0);
    for (uint64_t now = 0; now < 3; now++) {
        assert_int_equal(flow_pool_get(&pool, now / 2), 1);
        assert_int_equal(flow_pool_get(&pool, now / 2), 0);
        flow_pool_put(&pool, 1, now / 2);
    }
    flow_pool_fini(&pool);
}

/* Any order of calls: no number twice, none before its time, none lost. */
static void pool__keeps_its_promise_in_any_order(void **state)
{
    enum { MAX = 16, ROUNDS = 20000 };
    struct seeded seeded = {7};
    struct flow_pool pool;
    uint64_t free_at[MAX + 1] = {0}; /* UINT64_MAX: out */
    uint64_t now = UINT32_MAX - 1000000;

    (void)state;
    assert_int_equal(flow_pool_init(&pool, MAX, REST_MS), 0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t number = 1 + seeded_below(&seeded, MAX);
        now += seeded_below(&seeded, 300);
        if (free_at[number] == UINT64_MAX) {
            flow_pool_put(&pool, number, now);
            free_at[number] = now + REST_MS;
        } else {
            bool any = false;
            for (uint32_t n = 1; n <= MAX; n++) {
                any = any || free_at[n] <= now;
            }
            number = flow_pool_get(&pool, now);
            assert_int_equal(number != 0, any);
            assert_in_range(number, 0, MAX);
            assert_true(number == 0 || free_at[number] <= now);
            free_at[number] = UINT64_MAX;
        }
    }
    flow_pool_fini(&pool);
}

static void pool__without_memory(void **state)
{
#ifdef STERNA_FAULT_INJECTION
    struct flow_pool pool = {0};

    mem_fail_at(0);
    assert_int_equal(flow_pool_init(&pool, 3, REST_MS), -ENOMEM);
    mem_fail_at(-1);
    flow_pool_fini(&pool);
#endif
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool__gives_each_number_once),
        cmocka_unit_test(pool__lets_numbers_rest),
        cmocka_unit_test(pool__takes_the_oldest_first_and_new_ones_last),
        cmocka_unit_test(pool__that_needs_no_rest),
        cmocka_unit_test(pool__keeps_its_promise_in_any_order),
        cmocka_unit_test(pool__without_memory),
    };

    return cmocka_run_group_tests_name("offload/flow_pool", tests, NULL, NULL);
}
