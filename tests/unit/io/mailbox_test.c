/* SPDX-License-Identifier: Apache-2.0 */
#include "io/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "check.h"

static bool woken(const struct mailbox *box)
{
    struct pollfd p = {.fd = mailbox_fd(box), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void mailbox__keeps_order_and_wakes(void **state)
{
    struct mailbox *box = mailbox_new(4);
    struct mail mail = {0, NULL};

    (void)state;
    assert_non_null(box);
    assert_false(woken(box));
    assert_false(mailbox_take(box, &mail));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(mailbox_post(box, &(struct mail){.kind = i, .what = &mail}), 0);
    }
    assert_true(woken(box));
    mailbox_quiet(box);
    assert_false(woken(box));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(mailbox_take(box, &mail));
        assert_int_equal(mail.kind, i);
        assert_ptr_equal(mail.what, &mail);
    }
    assert_false(mailbox_take(box, &mail));
    mailbox_wake(box);
    assert_true(woken(box));
    mailbox_free(box);
    mailbox_free(NULL);
}

static void mailbox__refuses_more_than_it_holds(void **state)
{
    struct mailbox *box = mailbox_new(2);
    struct mail mail = {0, NULL};

    (void)state;
    for (uint32_t round = 0; round < 5; round++) {
        assert_int_equal(mailbox_post(box, &mail), 0);
        assert_int_equal(mailbox_post(box, &mail), 0);
        assert_int_equal(mailbox_post(box, &mail), -ENOSPC);
        assert_true(mailbox_take(box, &mail));
        assert_int_equal(mailbox_post(box, &mail), 0);
        assert_true(mailbox_take(box, &mail));
        assert_true(mailbox_take(box, &mail));
        assert_false(mailbox_take(box, &mail));
    }
    mailbox_free(box);
}

enum { SENDERS = 4, EACH = 5000 };

static void *send_many(void *arg)
{
    static uint32_t value[SENDERS * EACH];
    struct mailbox *box = arg;
    static _Atomic uint32_t next;

    for (uint32_t i = 0; i < EACH; i++) {
        const uint32_t n = next++;
        value[n] = n;
        while (mailbox_post(box, &(struct mail){.kind = n, .what = &value[n]}) == -ENOSPC) {
            sched_yield();
        }
    }
    return NULL;
}

/* Each message arrives once and whole, whoever sent it. */
static void mailbox__takes_from_many_threads(void **state)
{
    static bool seen[SENDERS * EACH];
    struct mailbox *box = mailbox_new(64);
    pthread_t thread[SENDERS];
    struct mail mail;

    (void)state;
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, send_many, box), 0);
    }
    for (uint32_t got = 0; got < SENDERS * EACH;) {
        if (!mailbox_take(box, &mail)) {
            sched_yield();
            continue;
        }
        assert_int_equal(*(const uint32_t *)mail.what, mail.kind);
        assert_false(seen[mail.kind]);
        seen[mail.kind] = true;
        got++;
    }
    for (int i = 0; i < SENDERS; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    mailbox_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mailbox__keeps_order_and_wakes),
        cmocka_unit_test(mailbox__refuses_more_than_it_holds),
        cmocka_unit_test(mailbox__takes_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
