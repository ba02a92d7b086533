/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/quota.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "dice.h"

static struct quota *quota_make(uint32_t per_user, uint32_t total, uint32_t max_users)
{
    struct quota *quota = quota_new(per_user, total, max_users);

    assert_non_null(quota);
    return quota;
}

static int take(struct quota *quota, const char *user)
{
    return quota_take(quota, bytes_of(user));
}

static void take__stops_at_the_user_limit(void **state)
{
    struct quota *quota = quota_make(2, 0, 10);

    (void)state;
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "ann"), -EDQUOT);
    assert_int_equal(take(quota, "bob"), 0);
    assert_int_equal(quota_of(quota, bytes_of("ann")), 2);
    assert_int_equal(quota_of(quota, bytes_of("bob")), 1);
    assert_int_equal(quota_of(quota, bytes_of("cid")), 0);
    assert_int_equal(quota_total(quota), 3);
    quota_give(quota, bytes_of("ann"));
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "ann"), -EDQUOT);
    quota_free(quota);
    quota_free(NULL);
}

static void take__stops_at_the_total(void **state)
{
    struct quota *quota = quota_make(2, 3, 10);

    (void)state;
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "bob"), 0);
    assert_int_equal(take(quota, "bob"), -ENOSPC);
    assert_int_equal(take(quota, "cid"), -ENOSPC);
    assert_int_equal(take(quota, "ann"), -EDQUOT); /* the user's own limit is told first */
    assert_int_equal(quota_of(quota, bytes_of("cid")), 0);
    quota_give(quota, bytes_of("ann"));
    assert_int_equal(take(quota, "cid"), 0);
    assert_int_equal(quota_total(quota), 3);
    quota_free(quota);
}

static void take__stops_when_the_table_of_users_is_full(void **state)
{
    struct quota *quota = quota_make(0, 0, 2);

    (void)state;
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(take(quota, "bob"), 0);
    assert_int_equal(take(quota, "cid"), -ENOSPC);
    for (size_t i = 0; i < 1000; i++) { /* those who are in it go on */
        assert_int_equal(take(quota, "ann"), 0);
    }
    quota_give(quota, bytes_of("bob")); /* a record goes with the last one */
    assert_int_equal(take(quota, "cid"), 0);
    assert_int_equal(take(quota, "bob"), -ENOSPC);
    quota_free(quota);
}

static void limits__change_under_what_is_out(void **state)
{
    struct quota *quota = quota_make(0, 0, 10);

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(take(quota, "ann"), 0);
    }
    quota_set_limits(quota, 3, 0);
    assert_int_equal(take(quota, "ann"), -EDQUOT);
    quota_give(quota, bytes_of("ann"));
    quota_give(quota, bytes_of("ann"));
    assert_int_equal(take(quota, "ann"), -EDQUOT); /* 3 are out */
    quota_give(quota, bytes_of("ann"));
    assert_int_equal(take(quota, "ann"), 0);
    quota_set_limits(quota, 0, 2);
    assert_int_equal(take(quota, "ann"), -ENOSPC);
    quota_set_limits(quota, 0, 0);
    assert_int_equal(take(quota, "ann"), 0);
    assert_int_equal(quota_total(quota), 4);
    quota_free(quota);
}

/* Names are bytes: nothing ends them, nothing folds them, none is a prefix of another. */
static void names__are_any_bytes_of_any_length(void **state)
{
    enum { LONG = 100000 };

    static uint8_t long_name[LONG];
    static const uint8_t zeros[3];
    const struct bytes names[] = {
        {NULL, 0},
        {zeros, 1},
        {zeros, 2},
        {zeros, 3},
        bytes_of("ann"),
        bytes_of("an"),
        bytes_of("Ann"),
        bytes_of("ann "),
        {(const uint8_t *)"ann\0x", 5},
        {(const uint8_t *)"ann\0y", 5},
        {(const uint8_t *)"\xff\xfe%s%n", 6},
        {long_name, LONG},
        {long_name, LONG - 1},
    };
    struct quota *quota = quota_make(1, 0, COUNT_OF(names));

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(quota_of(quota, names[i]), 0);
        assert_int_equal(quota_take(quota, names[i]), 0);
        assert_int_equal(quota_take(quota, names[i]), -EDQUOT);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(quota_of(quota, names[i]), 1);
        quota_give(quota, names[i]);
        assert_int_equal(quota_of(quota, names[i]), 0);
        assert_int_equal(quota_total(quota), COUNT_OF(names) - 1 - i);
    }
    quota_free(quota);
}

/* The name is copied: what the caller does with its bytes afterwards changes nothing. */
static void names__are_copied(void **state)
{
    struct quota *quota = quota_make(1, 0, 10);
    uint8_t name[] = {'a', 'n', 'n'};

    (void)state;
    assert_int_equal(quota_take(quota, (struct bytes){name, sizeof(name)}), 0);
    memset(name, 'z', sizeof(name));
    assert_int_equal(quota_of(quota, bytes_of("ann")), 1);
    assert_int_equal(quota_of(quota, bytes_of("zzz")), 0);
    quota_free(quota);
}

/* ---- a naive model ---- */

enum { MODEL_USERS = 60, MODEL_PER_USER = 5, MODEL_TOTAL = 120, MODEL_MAX_USERS = 40 };

static struct bytes model_name(size_t i, char text[16])
{
    const int n = snprintf(text, 16, "%.*s%zu", (int)(i % 4), "aaaa", i / 2);

    return (struct bytes){(const uint8_t *)text, (size_t)n + i % 2}; /* some with their NUL */
}

static void model__counts_agree_over_many_random_steps(void **state)
{
    enum { STEPS = 200000, PHASE = 1000 };

    static uint32_t counts[MODEL_USERS];
    struct quota *quota = quota_make(MODEL_PER_USER, MODEL_TOTAL, MODEL_MAX_USERS);
    struct dice dice = {486};
    uint32_t total = 0;
    uint32_t users = 0;
    char text[16];

    (void)state;
    for (size_t step = 0; step < STEPS; step++) {
        const uint32_t i = dice_below(&dice, MODEL_USERS);
        const struct bytes name = model_name(i, text);
        const bool filling = step / PHASE % 2 == 0;

        if (dice_below(&dice, 10) < (filling ? 7U : 3U)) {
            int expected = 0;
            if (counts[i] == MODEL_PER_USER) {
                expected = -EDQUOT;
            } else if (total == MODEL_TOTAL || (counts[i] == 0 && users == MODEL_MAX_USERS)) {
                expected = -ENOSPC;
            }
            assert_int_equal(quota_take(quota, name), expected);
            if (expected == 0) {
                users += counts[i]++ == 0;
                total++;
            }
        } else if (counts[i] > 0) {
            quota_give(quota, name);
            users -= --counts[i] == 0;
            total--;
        }
        assert_int_equal(quota_of(quota, name), counts[i]);
        assert_int_equal(quota_total(quota), total);
    }
    quota_free(quota);
}

/* Names in order are the worst case of a tree that does not balance itself. */
static void names__in_order_stay_fast(void **state)
{
    enum { MANY = 100000 };
    struct quota *quota = quota_make(1, 0, MANY);
    char text[16];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "%08u", i);
        assert_int_equal(take(quota, text), 0);
    }
    assert_int_equal(take(quota, "one more"), -ENOSPC);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "%08u", i);
        quota_give(quota, bytes_of(text));
    }
    assert_int_equal(quota_total(quota), 0);
    quota_free(quota);
}

static void memory__a_failed_allocation_leaves_the_counts_as_they_were(void **state)
{
    int err = -ENOMEM;

    (void)state;
    for (long n = 0; err != 0; n++) {
        mem_fail_at(n);
        struct quota *quota = quota_new(1, 1, 1);
        err = quota == NULL ? -ENOMEM : take(quota, "ann");
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        if (quota != NULL) {
            assert_int_equal(quota_total(quota), err == 0);
            assert_int_equal(quota_of(quota, bytes_of("ann")), err == 0);
        }
        quota_free(quota);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__stops_at_the_user_limit),
        cmocka_unit_test(take__stops_at_the_total),
        cmocka_unit_test(take__stops_when_the_table_of_users_is_full),
        cmocka_unit_test(limits__change_under_what_is_out),
        cmocka_unit_test(names__are_any_bytes_of_any_length),
        cmocka_unit_test(names__are_copied),
        cmocka_unit_test(model__counts_agree_over_many_random_steps),
        cmocka_unit_test(names__in_order_stay_fast),
        cmocka_unit_test(memory__a_failed_allocation_leaves_the_counts_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
