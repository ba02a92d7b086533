/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/quotas.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "turn/turn_config.h"

static int take(struct quotas *quotas, uint32_t realm, const char *user)
{
    return quotas_take(quotas, realm, bytes_of(user));
}

/* RFC 8656 section 7.2: 486 for the user's own limit; each realm has users of its own. */
static void quotas__of_realms_are_their_own(void **state)
{
    struct quotas *quotas = quotas_new(100);
    static const struct quota_limits limits[] = {{2, 3}, {1, 0}, {0, 1}};

    (void)state;
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    assert_int_equal(take(quotas, 0, "ann"), 0);
    assert_int_equal(take(quotas, 0, "ann"), 0);
    assert_int_equal(take(quotas, 0, "ann"), -EDQUOT);
    assert_int_equal(take(quotas, 1, "ann"), 0); /* another ann */
    assert_int_equal(take(quotas, 1, "ann"), -EDQUOT);
    assert_int_equal(take(quotas, 2, "ann"), 0);
    assert_int_equal(take(quotas, 2, "bob"), -ENOSPC);
    assert_int_equal(take(quotas, 0, "bob"), 0);
    assert_int_equal(take(quotas, 0, "eve"), -ENOSPC);
    assert_int_equal(take(quotas, 1, "bob"), 0);
    assert_int_equal(take(quotas, TURN_MAX_REALMS - 1, "ann"), 0); /* no limit was told */
    assert_int_equal(quotas_of_realm(quotas, 0), 3);
    assert_int_equal(quotas_of_realm(quotas, 1), 2);
    assert_int_equal(quotas_of_realm(quotas, 3), 0);
    assert_int_equal(quotas_total(quotas), 7);
    quotas_give(quotas, 1, bytes_of("ann"));
    assert_int_equal(take(quotas, 1, "ann"), 0);
    quotas_free(quotas);
    quotas_free(NULL);
}

static void quotas__have_one_bound_together(void **state)
{
    struct quotas *quotas = quotas_new(3);
    static const struct quota_limits limits[] = {{0, 0}, {1, 0}};

    (void)state;
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    assert_int_equal(take(quotas, 0, "ann"), 0);
    assert_int_equal(take(quotas, 0, "ann"), 0);
    assert_int_equal(take(quotas, 1, "ann"), 0);
    assert_int_equal(take(quotas, 0, "ann"), -ENOSPC);
    assert_int_equal(take(quotas, 1, "bob"), -ENOSPC);
    assert_int_equal(take(quotas, 1, "ann"), -EDQUOT); /* who can act is told that */
    assert_int_equal(quotas_total(quotas), 3);
    quotas_give(quotas, 0, bytes_of("ann"));
    assert_int_equal(take(quotas, 1, "bob"), 0);
    quotas_free(quotas);
}

static void quotas__follow_new_limits(void **state)
{
    struct quotas *quotas = quotas_new(10);
    struct quota_limits limits[] = {{0, 0}, {3, 0}};

    (void)state;
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    assert_int_equal(take(quotas, 1, "ann"), 0);
    assert_int_equal(take(quotas, 1, "ann"), 0);
    limits[1].per_user = 1;
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    assert_int_equal(take(quotas, 1, "ann"), -EDQUOT);
    quotas_give(quotas, 1, bytes_of("ann"));
    assert_int_equal(take(quotas, 1, "ann"), -EDQUOT);
    quotas_give(quotas, 1, bytes_of("ann"));
    assert_int_equal(take(quotas, 1, "ann"), 0);
    limits[1] = (struct quota_limits){0, 2};
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    assert_int_equal(take(quotas, 1, "ann"), 0);
    assert_int_equal(take(quotas, 1, "ann"), -ENOSPC);
    quotas_free(quotas);
}

enum { THREADS = 3, ROUNDS = 2000 };

static void *takes_and_gives(void *arg)
{
    struct quotas *quotas = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (take(quotas, i % 3, "ann") == 0) {
            quotas_give(quotas, i % 3, bytes_of("ann"));
        }
    }
    return NULL;
}

static void quotas__are_for_all_threads(void **state)
{
    struct quotas *quotas = quotas_new(2);
    static const struct quota_limits limits[] = {{1, 0}, {0, 1}, {0, 0}};
    pthread_t threads[THREADS];

    (void)state;
    quotas_set_limits(quotas, limits, COUNT_OF(limits));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, takes_and_gives, quotas), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        quotas_set_limits(quotas, limits, COUNT_OF(limits));
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(quotas_total(quotas), 0);
    quotas_free(quotas);
}

static void quotas__survive_the_end_of_memory(void **state)
{
    (void)state;
    mem_fail_at(0);
    if (!mem_fails()) {
        mem_fail_at(-1);
        CHECK_SKIP("built without fault injection");
    }
    mem_fail_at(0);
    assert_null(quotas_new(1));
    mem_fail_at(-1);
    struct quotas *quotas = quotas_new(2);
    for (int i = 0; i < 2; i++) { /* the realm, then its user */
        mem_fail_at(i);
        assert_int_equal(take(quotas, 5, "ann"), -ENOMEM);
        mem_fail_at(-1);
        assert_int_equal(quotas_total(quotas), 0);
        if (i == 0) {
            assert_int_equal(quotas_of_realm(quotas, 5), 0);
        }
    }
    assert_int_equal(take(quotas, 5, "ann"), 0);
    quotas_free(quotas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas__of_realms_are_their_own),
        cmocka_unit_test(quotas__have_one_bound_together),
        cmocka_unit_test(quotas__follow_new_limits),
        cmocka_unit_test(quotas__are_for_all_threads),
        cmocka_unit_test(quotas__survive_the_end_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
