/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/directory.h"

#include <errno.h>
#include <pthread.h>

#include "base/mem.h"
#include "check.h"

enum { ROOM = 4, THREADS = 3, ROUNDS = 2000 };

static struct directory *make(uint32_t room)
{
    struct directory *d = directory_new(room);

    assert_non_null(d);
    return d;
}

static void directory__finds_what_was_put(void **state)
{
    struct directory *d = make(ROOM);

    (void)state;
    assert_int_equal(directory_find(d, 1), -ENOENT);
    directory_put(d, 1, 0);
    directory_put(d, UINT64_C(7) << 48, 1023);
    assert_int_equal(directory_find(d, 1), 0);
    assert_int_equal(directory_find(d, UINT64_C(7) << 48), 1023);
    assert_int_equal(directory_find(d, 7), -ENOENT);
    directory_free(d);
}

static void directory__knows_the_last_worker_only(void **state)
{
    struct directory *d = make(ROOM);

    (void)state;
    for (uint32_t worker = 0; worker < 10; worker++) { /* more often than there is room */
        directory_put(d, 5, worker);
        assert_int_equal(directory_find(d, 5), worker);
    }
    directory_remove(d, 5);
    assert_int_equal(directory_find(d, 5), -ENOENT);
    directory_remove(d, 5);
    directory_free(d);
}

static void directory__that_is_full_forgets_the_newcomer(void **state)
{
    struct directory *d = make(ROOM);

    (void)state;
    for (uint64_t i = 0; i <= ROOM; i++) {
        directory_put(d, i, 1);
    }
    assert_int_equal(directory_find(d, ROOM - 1), 1);
    assert_int_equal(directory_find(d, ROOM), -ENOENT);
    directory_put(d, 0, 2); /* one that is there may still travel */
    assert_int_equal(directory_find(d, 0), 2);
    directory_remove(d, 0);
    directory_put(d, ROOM, 3);
    assert_int_equal(directory_find(d, ROOM), 3);
    directory_free(d);
}

static void directory__need_not_be(void **state)
{
    (void)state;
    directory_put(NULL, 1, 1);
    directory_remove(NULL, 1);
    assert_int_equal(directory_find(NULL, 1), -ENOENT);
    directory_free(NULL);
}

static void directory__survives_without_memory(void **state)
{
    struct directory *d = NULL;

    (void)state;
    for (long n = 0; d == NULL && n < 10; n++) {
        mem_fail_at(n);
        d = directory_new(ROOM);
    }
    mem_fail_at(-1);
    assert_non_null(d);
    for (long n = 0; n < 10; n++) {
        mem_fail_at(n);
        directory_put(d, (uint64_t)n, 1);
        mem_fail_at(-1);
        const int found = directory_find(d, (uint64_t)n);
        assert_true(found == 1 || found == -ENOENT);
        directory_remove(d, (uint64_t)n);
        assert_int_equal(directory_find(d, (uint64_t)n), -ENOENT);
    }
    for (uint64_t i = 0; i < ROOM; i++) { /* no place was lost */
        directory_put(d, i, 1);
        assert_int_equal(directory_find(d, i), 1);
    }
    directory_free(d);
}

struct hand {
    struct directory *directory;
    uint32_t worker;
    bool ok;
};

/* Sessions of its own come and go, and one is everybody's. */
static void *work(void *arg)
{
    struct hand *hand = arg;

    hand->ok = true;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t mine = ((uint64_t)hand->worker + 1) << 48 | i;

        directory_put(hand->directory, mine, hand->worker);
        directory_put(hand->directory, 1, hand->worker);
        const int shared = directory_find(hand->directory, 1);
        hand->ok = hand->ok && directory_find(hand->directory, mine) == (int)hand->worker &&
                   shared >= 0 && shared < THREADS;
        directory_remove(hand->directory, mine);
    }
    return NULL;
}

static void directory__is_for_any_thread(void **state)
{
    struct directory *d = make(THREADS + 1);
    struct hand hands[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    for (uint32_t i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){.directory = d, .worker = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(hands[i].ok);
    }
    directory_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory__finds_what_was_put),
        cmocka_unit_test(directory__knows_the_last_worker_only),
        cmocka_unit_test(directory__that_is_full_forgets_the_newcomer),
        cmocka_unit_test(directory__need_not_be),
        cmocka_unit_test(directory__survives_without_memory),
        cmocka_unit_test(directory__is_for_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
