/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/counters.h"

#include <pthread.h>
#include <stdbool.h>

#include "check.h"

#define ADDS 200000U

static void counter__adds_sets_and_wraps(void **state)
{
    struct stats_counter c = {0};

    (void)state;
    stats_add(&c, 2);
    stats_add(&c, 40);
    assert_int_equal(stats_read(&c), 42);
    stats_set(&c, UINT64_MAX);
    stats_add(&c, 3);
    assert_int_equal(stats_read(&c), 2);
}

static void *add_many(void *arg)
{
    struct stats_counter *c = arg;

    for (unsigned i = 0; i < ADDS; i++) {
        stats_add(c, 1);
    }
    return NULL;
}

/* Under TSan this also shows that reading while the owner adds is no data race. */
static void counter__never_falls_for_a_reader(void **state)
{
    static struct stats_counter c;
    pthread_t owner;
    uint64_t last = 0;
    bool fell = false;

    (void)state;
    assert_int_equal(pthread_create(&owner, NULL, add_many, &c), 0);
    while (last < ADDS) {
        const uint64_t now = stats_read(&c);
        fell = fell || now < last;
        last = now;
    }
    assert_int_equal(pthread_join(owner, NULL), 0);
    assert_false(fell);
    assert_int_equal(stats_read(&c), ADDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counter__adds_sets_and_wraps),
        cmocka_unit_test(counter__never_falls_for_a_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
