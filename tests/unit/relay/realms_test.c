/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/realms.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "turn/realm.h"

static uint32_t added(struct realms *realms, const char *name)
{
    uint32_t id = 0;

    assert_int_equal(realms_add(realms, name, &id), 0);
    return id;
}

static void number__stays(void **state)
{
    struct realms *realms = realms_new();
    uint32_t id = 77;

    (void)state;
    assert_non_null(realms);
    assert_int_equal(realms_find(realms, "a", &id), -ENOENT);
    assert_int_equal(id, 77);
    assert_int_equal(added(realms, "m"), 1);
    assert_int_equal(added(realms, "z"), 2);
    assert_int_equal(added(realms, "a"), 3);
    assert_int_equal(added(realms, "M"), 4);
    assert_int_equal(added(realms, "m"), 1);
    assert_int_equal(added(realms, "a"), 3);
    assert_int_equal(realms_count(realms), 4);
    assert_int_equal(realms_find(realms, "z", &id), 0);
    assert_int_equal(id, 2);
    assert_string_equal(realms_name(realms, 3), "a");
    realms_free(realms);
    realms_free(NULL);
}

static void number__is_given_to_so_many_and_they_are_in_order(void **state)
{
    struct realms *realms = realms_new();
    uint32_t id = 0;
    char name[16];

    (void)state;
    assert_non_null(realms);
    for (uint32_t i = 1; i < TURN_MAX_REALMS; i++) {
        (void)snprintf(name, sizeof(name), "r%u", i * 7919 % 10007);
        assert_int_equal(added(realms, name), i);
    }
    assert_int_equal(realms_add(realms, "more", &id), -ENOSPC);
    assert_int_equal(realms_add(realms, "r7919", &id), 0); /* one of them */
    assert_int_equal(id, 1);
    for (uint32_t i = 1; i < realms_count(realms); i++) {
        const char *before = realms_name(realms, realms_order(realms)[i - 1]);
        const char *after = realms_name(realms, realms_order(realms)[i]);
        assert_true(turn_realm_order(bytes_of(before), bytes_of(after)) < 0);
    }
    realms_free(realms);
}

static void number__survives_the_end_of_memory(void **state)
{
    uint32_t id = 0;

    (void)state;
    mem_fail_at(0);
    if (!mem_fails()) {
        mem_fail_at(-1);
        CHECK_SKIP("built without fault injection");
    }
    mem_fail_at(0);
    assert_null(realms_new());
    mem_fail_at(-1);
    struct realms *realms = realms_new();
    mem_fail_at(0);
    assert_int_equal(realms_add(realms, "a", &id), -ENOMEM);
    mem_fail_at(-1);
    assert_int_equal(realms_count(realms), 0);
    assert_int_equal(added(realms, "a"), 1);
    realms_free(realms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number__stays),
        cmocka_unit_test(number__is_given_to_so_many_and_they_are_in_order),
        cmocka_unit_test(number__survives_the_end_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
