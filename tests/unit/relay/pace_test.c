/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/pace.h"

#include "check.h"

/* A worker in its time. */
struct course {
    struct pace pace;
    uint64_t now_ms;
    uint64_t packets;
    uint32_t pauses; /* milliseconds of the last run in which there was one */
    uint32_t last_us;
};

static const struct course at_noon = {.now_ms = 1000000};

/* `ms` milliseconds of `per_ms` packets each, in `turns` turns, or, when the worker pauses, in
 * `paused` turns. */
static void run(struct course *c, uint32_t ms, uint32_t per_ms, uint32_t turns, uint32_t paused)
{
    bool pausing = false;

    c->pauses = 0;
    for (uint32_t i = 0; i < ms; i++) {
        const uint32_t n = pausing ? paused : turns;
        uint32_t us = 0;
        c->now_ms++;
        for (uint32_t k = 0; k < n; k++) {
            c->packets += per_ms / n;
            us = pace_pause_us(&c->pace, c->now_ms, c->packets);
            assert_true(us == 0 || (us >= PACE_MIN_US && us <= PACE_MAX_US));
        }
        pausing = us > 0;
        c->pauses += pausing;
        c->last_us = pausing ? us : c->last_us;
    }
}

static void pace__pauses_between_idle_and_busy(void **state)
{
    static const struct {
        uint32_t per_ms;
        uint32_t turns;
        uint32_t us;
    } cases[] = {
        {0, 1, 0},
        {1, 1, 0},
        {PACE_MIN_PER_MS - 1, 7, 0},
        {PACE_MIN_PER_MS, 15, PACE_MAX_US},
        {50, 50, 100},
        {100, 100, 50},
        {PACE_MAX_PER_MS, 60, PACE_GATHER * 1000 / PACE_MAX_PER_MS},
        {PACE_MAX_PER_MS + 30, 150, 0},
        {100000, 1000, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct course c = at_noon;
        run(&c, 1000, cases[i].per_ms, cases[i].turns, cases[i].turns / 5);
        assert_int_equal(c.last_us, cases[i].us);
        assert_int_equal(c.pauses > 0, cases[i].us > 0);
    }
}

/* Where packets gather by themselves, because others use the CPU, a pause only makes more turns:
 * it is tried now and then, and given up at once. */
static void pace__pauses_only_where_it_pays(void **state)
{
    struct course c = at_noon;

    (void)state;
    run(&c, 10000, 50, 5, 10);
    assert_in_range(c.pauses, 1, 10000 * 2 / PACE_PROBE);
    run(&c, 10000, 50, 15, 10); /* some gain, but less than a timer costs */
    assert_in_range(c.pauses, 1, 10000 * 2 / PACE_PROBE);
}

/* It pays again, or does not any more: found out within a second or so. */
static void pace__follows_the_times(void **state)
{
    struct course c = at_noon;

    (void)state;
    for (int i = 0; i < 3; i++) {
        run(&c, 2 * PACE_PROBE * PACE_WINDOW_MS, 50, 50, 10);
        run(&c, 1000, 50, 50, 10);
        assert_in_range(c.pauses, 900, 1000);
        run(&c, 2 * PACE_PROBE * PACE_WINDOW_MS, 50, 5, 10);
        run(&c, 1000, 50, 5, 10);
        assert_in_range(c.pauses, 0, 100);
    }
}

/* Timers and mail wake a worker, too: after a turn without packets, or with many, no pause. */
static void pace__does_not_pause_for_nothing(void **state)
{
    struct course c = at_noon;

    (void)state;
    run(&c, 500, 50, 50, 10);
    assert_true(c.pauses > 0);
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets), 0);
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets + PACE_FEW + 1), 0);
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets + PACE_FEW + 2), 100);
}

/* What was moderate an hour ago says nothing now. */
static void pace__forgets(void **state)
{
    struct course c = at_noon;

    (void)state;
    run(&c, 500, 50, 50, 10);
    assert_true(c.pauses > 0);
    c.now_ms += 3600 * 1000;
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets + 2), 0);
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets + 4), 0);
}

/* The first call, whatever the clock and the count are, and counts that run over. */
static void pace__begins_anywhere(void **state)
{
    struct course c = {.now_ms = UINT64_MAX - 100, .packets = UINT64_MAX - 1000};

    (void)state;
    assert_int_equal(pace_pause_us(&c.pace, c.now_ms, c.packets), 0);
    run(&c, 500, 50, 50, 10);
    assert_true(c.pauses > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pace__pauses_between_idle_and_busy),
        cmocka_unit_test(pace__pauses_only_where_it_pays),
        cmocka_unit_test(pace__follows_the_times),
        cmocka_unit_test(pace__does_not_pause_for_nothing),
        cmocka_unit_test(pace__forgets),
        cmocka_unit_test(pace__begins_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
