/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "io/clock.h"

struct seen {
    struct loop_watch watch;
    unsigned events;
    int calls;
    int fd;
};

static void on_event(void *arg, struct loop_watch *watch, unsigned events)
{
    struct seen *seen = (struct seen *)watch; /* the first member */
    int *total = arg;

    seen->events |= events;
    seen->calls++;
    (*total)++;
}

static void seen_open(struct seen *seen, struct loop *loop, bool edge)
{
    *seen = (struct seen){.watch = {on_event}, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    assert_true(seen->fd >= 0);
    assert_int_equal(loop_add(loop, seen->fd, edge, &seen->watch), 0);
}

static void fire(const struct seen *seen)
{
    const uint64_t one = 1;

    assert_int_equal(write(seen->fd, &one, sizeof(one)), sizeof(one));
}

static void loop__tells_who_is_ready(void **state)
{
    int total = 0;
    struct loop *loop = loop_new(&total);
    struct seen a;
    struct seen b;

    (void)state;
    assert_non_null(loop);
    seen_open(&a, loop, false);
    seen_open(&b, loop, true);
    assert_int_equal(loop_turn(loop, 1000, 1000), 0);
    fire(&a);
    fire(&b);
    assert_int_equal(loop_turn(loop, 1000, UINT64_MAX), 2);
    assert_int_equal(a.events, LOOP_READ);
    assert_int_equal(b.events, LOOP_READ);
    /* Nobody has read: the level is told again, the edge is not. */
    assert_int_equal(loop_turn(loop, 1000, 1000), 1);
    assert_int_equal(a.calls, 2);
    assert_int_equal(b.calls, 1);
    loop_remove(loop, a.fd);
    (void)close(b.fd);
    assert_int_equal(loop_turn(loop, 1000, 1000), 0);
    assert_int_equal(total, 3);
    (void)close(a.fd);
    loop_free(loop);
    loop_free(NULL);
}

static void loop__has_a_budget(void **state)
{
    enum { MANY = LOOP_EVENTS + 10 };

    static struct seen many[MANY];
    int total = 0;
    struct loop *loop = loop_new(&total);

    (void)state;
    for (int i = 0; i < MANY; i++) {
        seen_open(&many[i], loop, true);
        fire(&many[i]);
    }
    assert_int_equal(loop_turn(loop, 0, UINT64_MAX), LOOP_EVENTS);
    assert_int_equal(loop_turn(loop, 0, UINT64_MAX), MANY - LOOP_EVENTS);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(many[i].calls, 1); /* nobody twice before everybody once */
        (void)close(many[i].fd);
    }
    loop_free(loop);
}

static void loop__waits_until_the_deadline(void **state)
{
    int total = 0;
    struct loop *loop = loop_new(&total);
    const uint64_t start_ms = clock_now_ms();

    (void)state;
    assert_int_equal(loop_turn(loop, start_ms, start_ms + 30), 0);
    assert_true(clock_now_ms() >= start_ms + 29); /* the clocks tick at different edges */
    assert_int_equal(loop_turn(loop, start_ms + 50, start_ms), 0); /* the past: at once */
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop__tells_who_is_ready),
        cmocka_unit_test(loop__has_a_budget),
        cmocka_unit_test(loop__waits_until_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
