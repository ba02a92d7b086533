/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/secret.h"
#include "check.h"

static void new__gives_zeroed_memory(void **state)
{
    uint8_t *block = mem_new(100, 7);

    (void)state;
    assert_non_null(block);
    for (size_t i = 0; i < 700; i++) {
        assert_int_equal(block[i], 0);
    }
    free(block);
}

static void new__refuses_a_product_that_overflows(void **state)
{
    volatile size_t half = SIZE_MAX / 2 + 1; /* volatile: the compiler shall not see the product */

    (void)state;
    assert_null(mem_new(half, 2));
}

static void text__copies_with_the_end(void **state)
{
    char *copy = mem_text("word");
    char *empty = mem_text("");

    (void)state;
    assert_string_equal(copy, "word");
    assert_string_equal(empty, "");
    free(copy);
    free(empty);
}

static void fail_at__fails_the_nth_allocation_and_no_other(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    for (long n = 0; n < 4; n++) {
        mem_fail_at(n);
        for (long i = 0; i < 6; i++) {
            char *copy = mem_text("x");
            assert_true((copy == NULL) == (i == n));
            free(copy);
        }
    }
    mem_fail_at(2);
    mem_fail_at(-1); /* stopped again */
#else
    mem_fail_at(0);
#endif
    for (int i = 0; i < 8; i++) {
        assert_false(mem_fails());
    }
}

static void wipe__overwrites_every_byte(void **state)
{
    uint8_t key[33];

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = 0xA5;
    }
    secret_wipe(key, 32);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(key[i], 0);
    }
    assert_int_equal(key[32], 0xA5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new__gives_zeroed_memory),
        cmocka_unit_test(new__refuses_a_product_that_overflows),
        cmocka_unit_test(text__copies_with_the_end),
        cmocka_unit_test(fail_at__fails_the_nth_allocation_and_no_other),
        cmocka_unit_test(wipe__overwrites_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
