/* SPDX-License-Identifier: Apache-2.0 */
#include "log/ring.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "check.h"

#define MANY 200000U

static struct ring ring; /* static: too big for a stack */

static int empty(void **state)
{
    (void)state;
    memset(&ring, 0, sizeof(ring));
    return 0;
}

/* A record of `n` >= 8 bytes that tells its number and checks itself.  False when full. */
static bool put(uint64_t number, size_t n)
{
    uint8_t *room = ring_room(&ring);

    if (room == NULL) {
        return false;
    }
    memset(room, (int)(number & 0xff), n);
    memcpy(room, &number, sizeof(number));
    ring_commit(&ring, n);
    return true;
}

static size_t size_of(uint64_t number)
{
    return 8 + (size_t)(number * 37 % (RECORD_MAX - 7));
}

static void take_and_check(uint64_t number)
{
    const uint8_t *front = ring_front(&ring);
    uint64_t got;

    assert_non_null(front);
    assert_int_equal((uintptr_t)front % 8, 0);
    memcpy(&got, front, sizeof(got));
    assert_int_equal(got, number);
    for (size_t i = sizeof(got); i < size_of(number); i++) {
        if (front[i] != (number & 0xff)) {
            fail_msg("record %lu is damaged at byte %zu", (unsigned long)number, i);
        }
    }
    ring_pop(&ring);
}

static void ring__is_first_in_first_out_over_its_end(void **state)
{
    (void)state;
    assert_null(ring_front(&ring));
    assert_false(ring_used(&ring));
    for (uint64_t i = 0; i < 5000; i++) { /* some twenty rounds */
        assert_true(put(i, size_of(i)));
        if (i >= 3) {
            take_and_check(i - 3);
        }
    }
    assert_true(ring_used(&ring));
}

static void full__refuses_and_keeps_all(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (put(n, size_of(n))) {
        n++;
    }
    assert_true(n > RING_BYTES / (RECORD_MAX + 8) - 1);
    ring_drop(&ring);
    ring_drop(&ring);
    assert_int_equal(ring_dropped(&ring), 2);
    for (uint64_t i = 0; i < n; i++) {
        take_and_check(i);
    }
    assert_null(ring_front(&ring));
    assert_true(put(0, RECORD_MAX));
}

static void *produce(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < MANY;) {
        if (put(i, size_of(i) / 8 + 8)) {
            i++;
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void threads__pass_every_record_whole(void **state)
{
    pthread_t producer;
    uint64_t bad = 0;

    (void)state;
    assert_int_equal(pthread_create(&producer, NULL, produce, NULL), 0);
    for (uint64_t i = 0; i < MANY;) {
        const uint8_t *front = ring_front(&ring);
        if (front == NULL) {
            (void)sched_yield();
            continue;
        }
        uint64_t got;
        memcpy(&got, front, sizeof(got));
        bad += got != i || front[size_of(i) / 8 + 7] != (size_of(i) / 8 > 0 ? (i & 0xff) : i >> 56);
        ring_pop(&ring);
        i++;
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ring__is_first_in_first_out_over_its_end, empty),
        cmocka_unit_test_setup(full__refuses_and_keeps_all, empty),
        cmocka_unit_test_setup(threads__pass_every_record_whole, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
