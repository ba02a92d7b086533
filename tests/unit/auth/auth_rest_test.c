/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_rest.h"

#include <errno.h>

#include "check.h"

struct sample {
    const char *name;
    uint64_t expiry_s;
    const char *user;
};

static void assert_taken(const struct sample *sample, char separator)
{
    struct auth_rest rest;

    assert_int_equal(auth_rest_parse(bytes_of(sample->name), separator, &rest), 0);
    assert_true(rest.expiry_s == sample->expiry_s);
    assert_int_equal(rest.user_len, strlen(sample->user));
    assert_memory_equal(sample->name + rest.user_from, sample->user, rest.user_len);
}

/* Proves T-REST-2.2-01 */
static void parse__takes_all_shapes(void **state)
{
    static const struct sample samples[] = {
        {"1433895918:12334", 1433895918, "12334"},
        {"1433895918:alice", 1433895918, "alice"},
        {"alice:1433895918", 1433895918, "alice"},
        {"1433895918", 1433895918, "1433895918"},
        {"1433895918:", 1433895918, ""},
        {":1433895918", 1433895918, ""},
        {"1433895918:a:b", 1433895918, "a:b"},
        {"a:b:1433895918", 1433895918, "a:b"},
        {"1:a:2", 1, "a:2"},
        {"0:x", 0, "x"},
        {"007:x", 7, "x"},
        {"9223372036854775807:x", INT64_MAX, "x"},
        {"1433895918:\xff%s%n", 1433895918, "\xff%s%n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_taken(&samples[i], ':');
    }
}

static void parse__follows_the_separator(void **state)
{
    static const struct sample sample = {"1433895918#a:b", 1433895918, "a:b"};
    struct auth_rest rest;

    (void)state;
    assert_taken(&sample, '#');
    assert_int_equal(auth_rest_parse(bytes_of("1433895918:alice"), '#', &rest), -EBADMSG);
}

/* Proves T-REST-4.2-05 */
static void parse__refuses_what_holds_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "alice",
        ":",
        "::",
        "alice:",
        ":alice",
        "alice:bob",
        "+1433895918:x",
        "-1:x",
        " 1433895918:x",
        "1433895918 :x",
        "0x10:x",
        "1e9:x",
        "1433895918.0:x",
        "9223372036854775808:x",
        "18446744073709551615:x",
        "18446744073709551616:x",
        "99999999999999999999999999999999999999:x",
        "x:9223372036854775808",
        "9223372036854775808",
        "alice:1433895918:bob",
        "\xd9\xa1:x",
    };
    static const uint8_t nul[] = {'1', 0, ':', 'x'};
    struct auth_rest rest = {7, 7, 7};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(auth_rest_parse(bytes_of(bad[i]), ':', &rest), -EBADMSG);
    }
    assert_int_equal(auth_rest_parse((struct bytes){nul, sizeof(nul)}, ':', &rest), -EBADMSG);
    assert_true(rest.expiry_s == 7); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_all_shapes),
        cmocka_unit_test(parse__follows_the_separator),
        cmocka_unit_test(parse__refuses_what_holds_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
