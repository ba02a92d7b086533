/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/watchdog.h"

#include "check.h"

/* Proves K21: each stage of a stall is told once, and its end. */
static void look__tells_each_stage_once(void **state)
{
    struct watchdog dog = {.since_ms = 0};

    (void)state;
    assert_int_equal(watchdog_look(&dog, 0, 100), WATCHDOG_NOTHING);
    assert_int_equal(watchdog_look(&dog, 1000, 2999), WATCHDOG_NOTHING);
    assert_int_equal(watchdog_look(&dog, 1000, 3000), WATCHDOG_SLOW);
    assert_int_equal(watchdog_look(&dog, 1000, 5000), WATCHDOG_NOTHING);
    assert_int_equal(watchdog_look(&dog, 1000, 11000), WATCHDOG_STUCK);
    assert_int_equal(watchdog_look(&dog, 1000, 60000), WATCHDOG_NOTHING);
    assert_int_equal(watchdog_look(&dog, 0, 61000), WATCHDOG_OVER);
    assert_int_equal(watchdog_look(&dog, 0, 62000), WATCHDOG_NOTHING);
}

/* A worker that is always busy, but gets on, is not stuck. */
static void look__is_content_with_turns_that_end(void **state)
{
    struct watchdog dog = {.since_ms = 0};

    (void)state;
    for (uint64_t now_ms = 1000; now_ms < 100000; now_ms += 1500) {
        assert_int_equal(watchdog_look(&dog, now_ms - 1000, now_ms), WATCHDOG_NOTHING);
    }
}

/* The next stall follows at once: it is one of its own. */
static void look__tells_the_next_stall(void **state)
{
    struct watchdog dog = {.since_ms = 0};

    (void)state;
    assert_int_equal(watchdog_look(&dog, 1000, 4000), WATCHDOG_SLOW);
    assert_int_equal(watchdog_look(&dog, 5000, 9000), WATCHDOG_OVER);
    assert_int_equal(watchdog_look(&dog, 5000, 11000), WATCHDOG_SLOW);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(look__tells_each_stage_once),
        cmocka_unit_test(look__is_content_with_turns_that_end),
        cmocka_unit_test(look__tells_the_next_stall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
