/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wheel.h"

#include "check.h"
#include "seeded.h"

static struct wheel_timer *drain_one(struct wheel *w, uint64_t now_ms)
{
    struct wheel_timer *t = wheel_expired(w, now_ms);
    assert_null(wheel_expired(w, now_ms));
    return t;
}

static void expired__is_exact_to_the_millisecond(void **state)
{
    static const uint64_t delays[] = {1,          2,          63,         64,   65,    4095,
                                      4096,       4097,       262143,     5000, 30000, 300000,
                                      600000,     3600000,    3600001,    1,    64,    16777216,
                                      1073741824, 4294967295, 4294967296, 7,    8,     86400000};
    static struct wheel w;
    uint64_t now = 12345;

    (void)state;
    wheel_init(&w, now);
    for (size_t i = 0; i < COUNT_OF(delays); i++) {
        struct wheel_timer t;
        wheel_timer_init(&t);
        wheel_start(&w, &t, now + delays[i]);
        assert_null(wheel_expired(&w, now + delays[i] - 1));
        assert_ptr_equal(drain_one(&w, now + delays[i]), &t);
        now += delays[i];
    }
    assert_true(wheel_next_deadline(&w) == UINT64_MAX);
}

static void start__with_a_past_deadline_is_due_at_once(void **state)
{
    static struct wheel w;
    struct wheel_timer t;

    (void)state;
    wheel_init(&w, 1000);
    wheel_timer_init(&t);
    wheel_start(&w, &t, 10);
    assert_true(wheel_next_deadline(&w) == 1000);
    assert_ptr_equal(drain_one(&w, 1000), &t);
}

static void start__again_moves_the_timer(void **state)
{
    static struct wheel w;
    struct wheel_timer t;

    (void)state;
    wheel_init(&w, 0);
    wheel_timer_init(&t);
    wheel_start(&w, &t, 10);
    wheel_start(&w, &t, 100000);
    assert_null(wheel_expired(&w, 99999));
    wheel_start(&w, &t, 100005);
    assert_null(wheel_expired(&w, 100004));
    assert_ptr_equal(drain_one(&w, 100005), &t);
    wheel_start(&w, &t, 5); /* due, not yet taken, and moved all the same */
    wheel_start(&w, &t, 100010);
    assert_null(wheel_expired(&w, 100009));
    assert_ptr_equal(drain_one(&w, 100010), &t);
}

static void cancel__stops_a_timer_wherever_it_is(void **state)
{
    static struct wheel w;
    struct wheel_timer t;
    struct wheel_timer twin;

    (void)state;
    wheel_init(&w, 0);
    wheel_timer_init(&t);
    wheel_timer_init(&twin);
    wheel_cancel(&w, &t); /* not running */
    wheel_start(&w, &t, 50);
    wheel_start(&w, &twin, 50);
    wheel_cancel(&w, &t);
    wheel_cancel(&w, &t);
    assert_ptr_equal(drain_one(&w, 50), &twin);
    wheel_start(&w, &t, 1); /* in the list of those due */
    wheel_cancel(&w, &t);
    assert_null(wheel_expired(&w, 60));
    assert_true(wheel_next_deadline(&w) == UINT64_MAX);
}

static void expired__lets_a_timer_be_started_again_in_the_loop(void **state)
{
    static struct wheel w;
    struct wheel_timer t;
    unsigned count = 0;

    (void)state;
    wheel_init(&w, 0);
    wheel_timer_init(&t);
    wheel_start(&w, &t, 100);
    while (wheel_expired(&w, 1000) != NULL) {
        count++;
        wheel_start(&w, &t, 1001 + count);
    }
    assert_int_equal(count, 1);
    assert_null(wheel_expired(&w, 1001));
    assert_ptr_equal(drain_one(&w, 1002), &t);
}

static void wheel__reaches_the_end_of_the_clock(void **state)
{
    static struct wheel w;
    struct wheel_timer t;

    (void)state;
    wheel_init(&w, 0);
    wheel_timer_init(&t);
    wheel_start(&w, &t, UINT64_MAX - 1);
    assert_null(wheel_expired(&w, UINT64_MAX - 2));
    assert_ptr_equal(drain_one(&w, UINT64_MAX - 1), &t);
}

/* A naive model: deadlines in an array, searched whole. */
enum { TIMERS = 400, NOT_RUNNING = 0 };

struct model {
    struct wheel w;
    struct wheel_timer timers[TIMERS];
    uint64_t deadline[TIMERS]; /* NOT_RUNNING, or the time; the clock starts far above */
    uint64_t now;
};

static uint64_t model_next(const struct model *m)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < TIMERS; i++) {
        if (m->deadline[i] != NOT_RUNNING && m->deadline[i] < next) {
            next = m->deadline[i];
        }
    }
    return next;
}

/* Everything that comes out is due, was running, and comes in the order of the deadlines; all that
 * is due comes out. */
static void model_advance(struct model *m, uint64_t now)
{
    uint64_t last = 0;

    m->now = now;
    for (struct wheel_timer *t; (t = wheel_expired(&m->w, now)) != NULL;) {
        const size_t i = (size_t)(t - m->timers);
        assert_true(m->deadline[i] != NOT_RUNNING);
        assert_true(m->deadline[i] == t->deadline_ms);
        assert_true(m->deadline[i] <= now);
        assert_true(m->deadline[i] >= last);
        last = m->deadline[i];
        m->deadline[i] = NOT_RUNNING;
    }
    assert_true(model_next(m) > now);
}

static void model_check_next(const struct model *m)
{
    const uint64_t exact = model_next(m);
    const uint64_t claimed = wheel_next_deadline(&m->w);

    assert_true(claimed <= exact); /* never late */
    if (exact != UINT64_MAX && exact / WHEEL_SLOTS == m->now / WHEEL_SLOTS && exact > m->now) {
        assert_true(claimed == exact);
    }
    assert_true((exact == UINT64_MAX) == (claimed == UINT64_MAX));
    if (exact > m->now) {
        assert_true(claimed > m->now); /* a loop that waits for it makes progress */
    }
}

/* A time span of a random order of magnitude, from nothing to twelve days. */
static uint64_t random_span(struct seeded *seed)
{
    return seeded_u64(seed) & ((UINT64_C(1) << seeded_below(seed, 31)) - 1);
}

static void wheel__agrees_with_a_naive_model(void **state)
{
    static struct model m;

    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        struct seeded seed = {round};
        m.now = (UINT64_C(1) << 40) - random_span(&seed) + round;
        wheel_init(&m.w, m.now);
        for (size_t i = 0; i < TIMERS; i++) {
            wheel_timer_init(&m.timers[i]);
            m.deadline[i] = NOT_RUNNING;
        }
        for (int step = 0; step < 4000; step++) {
            const size_t i = seeded_below(&seed, TIMERS);
            const uint32_t dice = seeded_below(&seed, 100);
            if (dice < 60) {
                m.deadline[i] = m.now + 1 + random_span(&seed);
                wheel_start(&m.w, &m.timers[i], m.deadline[i]);
            } else if (dice < 75) {
                wheel_cancel(&m.w, &m.timers[i]);
                m.deadline[i] = NOT_RUNNING;
            } else if (dice < 90) {
                model_advance(&m, m.now + random_span(&seed) % 100000);
            } else {
                const uint64_t next = wheel_next_deadline(&m.w);
                model_advance(&m, next == UINT64_MAX ? m.now : next);
            }
            model_check_next(&m);
        }
    }
}

/* A loop that sleeps until wheel_next_deadline() wakes up at every deadline exactly. */
static void next_deadline__drives_a_loop_to_each_deadline(void **state)
{
    static struct model m;
    struct seeded seed = {77};
    unsigned wakes = 0;

    (void)state;
    m.now = 1000000;
    wheel_init(&m.w, m.now);
    for (size_t i = 0; i < TIMERS; i++) {
        wheel_timer_init(&m.timers[i]);
        m.deadline[i] = m.now + 1 + random_span(&seed) % 86400000;
        wheel_start(&m.w, &m.timers[i], m.deadline[i]);
    }
    for (uint64_t next; (next = wheel_next_deadline(&m.w)) != UINT64_MAX; wakes++) {
        const uint64_t exact = model_next(&m);
        assert_true(next > m.now && next <= exact);
        model_advance(&m, next);
    }
    assert_true(wakes <= TIMERS * 6); /* one for the deadline, few for the levels above it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expired__is_exact_to_the_millisecond),
        cmocka_unit_test(start__with_a_past_deadline_is_due_at_once),
        cmocka_unit_test(start__again_moves_the_timer),
        cmocka_unit_test(cancel__stops_a_timer_wherever_it_is),
        cmocka_unit_test(expired__lets_a_timer_be_started_again_in_the_loop),
        cmocka_unit_test(wheel__reaches_the_end_of_the_clock),
        cmocka_unit_test(wheel__agrees_with_a_naive_model),
        cmocka_unit_test(next_deadline__drives_a_loop_to_each_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
