/* SPDX-License-Identifier: Apache-2.0 */
#include "base/prefix_set.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "check.h"
#include "dice.h"

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    assert_int_equal(net_ip_parse(text, &ip), 0);
    return ip;
}

static int add(struct prefix_set *set, const char *first, const char *last, uint8_t tag)
{
    const struct net_ip a = ip_of(first);
    const struct net_ip b = ip_of(last);

    return prefix_set_add(set, &a, &b, tag);
}

static uint8_t find(const struct prefix_set *set, const char *text)
{
    const struct net_ip ip = ip_of(text);

    return prefix_set_find(set, &ip);
}

static struct prefix_set *set_make(void)
{
    struct prefix_set *set = prefix_set_new();

    assert_non_null(set);
    return set;
}

static void find__an_empty_set_holds_nothing(void **state)
{
    struct prefix_set *set = set_make();

    (void)state;
    assert_int_equal(prefix_set_build(set), 0);
    assert_int_equal(find(set, "::"), 0);
    assert_int_equal(find(set, "1.2.3.4"), 0);
    assert_int_equal(find(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
    prefix_set_free(set);
    prefix_set_free(NULL);
}

static void add__refuses_what_is_no_range(void **state)
{
    struct prefix_set *set = set_make();

    (void)state;
    assert_int_equal(add(set, "10.0.0.2", "10.0.0.1", 1), -EINVAL);
    assert_int_equal(add(set, "2a00::1:0", "2a00::ffff", 1), -EINVAL);
    assert_int_equal(add(set, "10.0.0.1", "10.0.0.1", 0), -EINVAL);
    assert_int_equal(add(set, "10.0.0.1", "10.0.0.1", 255), 0);
    assert_int_equal(prefix_set_build(set), 0);
    assert_int_equal(find(set, "10.0.0.0"), 0);
    assert_int_equal(find(set, "10.0.0.1"), 255);
    assert_int_equal(find(set, "10.0.0.2"), 0);
    prefix_set_free(set);
}

static void add_text__first_and_last_of_a_prefix_are_inside(void **state)
{
    static const struct {
        const char *prefix;
        const char *before;
        const char *first;
        const char *last;
        const char *after;
    } cases[] = {
        {"10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        {"172.16.0.0/12", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
        {"100.64.0.0/10", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
        {"192.0.2.1/32", "192.0.2.0", "192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"192.0.2.1", "192.0.2.0", "192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"0.0.0.0/0", "::fffe:ffff:ffff", "0.0.0.0", "255.255.255.255", "::1:0:0:0"},
        {"::ffff:10.0.0.0/104", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
        {"::1", "::", "::1", "::1", "::2"},
        {"fc00::/7", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"},
        {"2001::/23", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
        {"2a00:1:2:3::/64", "2a00:1:2:2:ffff:ffff:ffff:ffff",
         "2a00:1:2:3::", "2a00:1:2:3:ffff:ffff:ffff:ffff", "2a00:1:2:4::"},
        {"2a00::fffe/127", "2a00::fffd", "2a00::fffe", "2a00::ffff", "2a00::1:0"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct prefix_set *set = set_make();
        assert_int_equal(prefix_set_add_text(set, cases[i].prefix, 9), 0);
        assert_int_equal(prefix_set_build(set), 0);
        assert_int_equal(find(set, cases[i].before), 0);
        assert_int_equal(find(set, cases[i].first), 9);
        assert_int_equal(find(set, cases[i].last), 9);
        assert_int_equal(find(set, cases[i].after), 0);
        prefix_set_free(set);
    }
}

static void add_text__refuses_what_is_no_prefix(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.1/8",
        "10.0.0/8",
        "10/8",
        "fc00::/129",
        "fc00::1/7",
        "fc00::/1a",
        "fc00:/7",
        "::ffff:10.0.0.0/8",
        "0.0.0.0/128",
        "10.0.0.0/4294967304",
        "host.example/8",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff:0000:1111:2222",
    };
    struct prefix_set *set = set_make();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (prefix_set_add_text(set, bad[i], 1) != -EBADMSG) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_int_equal(prefix_set_build(set), 0);
    assert_int_equal(find(set, "10.0.0.1"), 0);
    prefix_set_free(set);
}

static void build__the_later_tag_holds_where_ranges_overlap(void **state)
{
    struct prefix_set *set = set_make();

    (void)state;
    assert_int_equal(prefix_set_add_text(set, "::/0", 1), 0);
    assert_int_equal(prefix_set_add_text(set, "10.0.0.0/8", 2), 0);
    assert_int_equal(prefix_set_add_text(set, "10.1.0.0/16", 3), 0);
    assert_int_equal(add(set, "10.0.255.255", "10.1.0.0", 4), 0);
    assert_int_equal(prefix_set_add_text(set, "192.168.1.1", 5), 0);
    assert_int_equal(prefix_set_add_text(set, "192.168.0.0/16", 6), 0); /* over the former */
    assert_int_equal(prefix_set_build(set), 0);
    assert_int_equal(find(set, "::"), 1);
    assert_int_equal(find(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 1);
    assert_int_equal(find(set, "9.255.255.255"), 1);
    assert_int_equal(find(set, "10.0.0.0"), 2);
    assert_int_equal(find(set, "10.0.255.254"), 2);
    assert_int_equal(find(set, "10.0.255.255"), 4);
    assert_int_equal(find(set, "10.1.0.0"), 4);
    assert_int_equal(find(set, "10.1.0.1"), 3);
    assert_int_equal(find(set, "10.1.255.255"), 3);
    assert_int_equal(find(set, "10.2.0.0"), 2);
    assert_int_equal(find(set, "11.0.0.0"), 1);
    assert_int_equal(find(set, "192.168.1.1"), 6);
    prefix_set_free(set);
}

/* Ranges are numbers, not strings of bytes: a carry from byte to byte, and from one half to the
 * other. */
static void find__ranges_carry(void **state)
{
    struct prefix_set *set = set_make();

    (void)state;
    assert_int_equal(add(set, "2a00::ff", "2a00::100", 1), 0);
    assert_int_equal(add(set, "2b00:0:0:1:ffff:ffff:ffff:fffe", "2b00:0:0:2::1", 2), 0);
    assert_int_equal(prefix_set_build(set), 0);
    assert_int_equal(find(set, "2a00::fe"), 0);
    assert_int_equal(find(set, "2a00::ff"), 1);
    assert_int_equal(find(set, "2a00::100"), 1);
    assert_int_equal(find(set, "2a00::101"), 0);
    assert_int_equal(find(set, "2a00::1ff"), 0);
    assert_int_equal(find(set, "2b00:0:0:1:ffff:ffff:ffff:fffd"), 0);
    assert_int_equal(find(set, "2b00:0:0:1:ffff:ffff:ffff:ffff"), 2);
    assert_int_equal(find(set, "2b00:0:0:2::"), 2);
    assert_int_equal(find(set, "2b00:0:0:2::1"), 2);
    assert_int_equal(find(set, "2b00:0:0:2::2"), 0);
    prefix_set_free(set);
}

/* ---- a naive model ---- */

enum { MODEL_MAX = 60 };

struct model_range {
    struct net_ip first;
    struct net_ip last;
    uint8_t tag;
};

/* Few distinct numbers, many of them next to a carry or to an end of the space. */
static struct net_ip random_ip(struct dice *dice)
{
    static const uint64_t halves[] = {0, 1, 0xff, 0x100, 0xffff, UINT64_MAX / 2, UINT64_MAX};
    struct net_ip ip = {{0}};

    for (size_t half = 0; half < 2; half++) {
        uint64_t number = halves[dice_below(dice, COUNT_OF(halves))];
        number += dice_below(dice, 5);
        number -= 2; /* wraps on purpose */
        be64_put(ip.b + 8 * half, number);
    }
    return ip;
}

static uint8_t model_find(const struct model_range *ranges, size_t count, const struct net_ip *ip)
{
    for (size_t i = count; i > 0; i--) {
        const struct model_range *range = &ranges[i - 1];
        if (net_ip_compare(&range->first, ip) <= 0 && net_ip_compare(ip, &range->last) <= 0) {
            return range->tag;
        }
    }
    return 0;
}

static void model__a_linear_search_agrees(void **state)
{
    enum { ROUNDS = 400, LOOKUPS = 400 };
    static struct model_range ranges[MODEL_MAX];
    struct dice dice = {4};

    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        struct prefix_set *set = set_make();
        const size_t count = dice_below(&dice, MODEL_MAX + 1);

        for (size_t i = 0; i < count; i++) {
            struct net_ip a = random_ip(&dice);
            struct net_ip b = random_ip(&dice);
            const bool ordered = net_ip_compare(&a, &b) <= 0;
            ranges[i].first = ordered ? a : b;
            ranges[i].last = ordered ? b : a;
            ranges[i].tag = (uint8_t)(1 + dice_below(&dice, 4));
            assert_int_equal(prefix_set_add(set, &ranges[i].first, &ranges[i].last, ranges[i].tag),
                             0);
        }
        assert_int_equal(prefix_set_build(set), 0);
        for (size_t i = 0; i < LOOKUPS; i++) {
            const struct net_ip ip = random_ip(&dice);
            assert_int_equal(prefix_set_find(set, &ip), model_find(ranges, count, &ip));
        }
        prefix_set_free(set);
    }
}

/* Large lists (a country's prefixes) are built without a quadratic step. */
static void build__a_hundred_thousand_ranges(void **state)
{
    enum { MANY = 100000 };
    struct prefix_set *set = set_make();
    struct net_ip ip = ip_of("2a00::");

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        be32_put(ip.b + 4, i * 2);
        assert_int_equal(prefix_set_add(set, &ip, &ip, (uint8_t)(1 + i % 200)), 0);
    }
    assert_int_equal(prefix_set_build(set), 0);
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        be32_put(ip.b + 4, i);
        assert_int_equal(prefix_set_find(set, &ip), i % 2 == 0 ? 1 + i / 2 % 200 : 0);
    }
    prefix_set_free(set);
}

static void memory__a_failed_allocation_leaves_the_set_as_it_was(void **state)
{
    int err = -ENOMEM;

    (void)state;
    for (long n = 0; err != 0; n++) {
        mem_fail_at(n);
        struct prefix_set *set = prefix_set_new();
        err = set == NULL ? -ENOMEM : 0;
        for (int i = 0; i < 40 && err == 0; i++) {
            err = prefix_set_add_text(set, "10.0.0.0/8", 1);
        }
        err = err == 0 ? prefix_set_build(set) : err;
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        if (set != NULL) {
            assert_int_equal(err == 0 ? 0 : prefix_set_add_text(set, "10.0.0.0/8", 2), 0);
            assert_int_equal(err == 0 ? 0 : prefix_set_build(set), 0); /* it can be tried again */
            assert_int_equal(find(set, "10.1.1.1"), err == 0 ? 1 : 2);
        }
        prefix_set_free(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__an_empty_set_holds_nothing),
        cmocka_unit_test(add__refuses_what_is_no_range),
        cmocka_unit_test(add_text__first_and_last_of_a_prefix_are_inside),
        cmocka_unit_test(add_text__refuses_what_is_no_prefix),
        cmocka_unit_test(build__the_later_tag_holds_where_ranges_overlap),
        cmocka_unit_test(find__ranges_carry),
        cmocka_unit_test(model__a_linear_search_agrees),
        cmocka_unit_test(build__a_hundred_thousand_ranges),
        cmocka_unit_test(memory__a_failed_allocation_leaves_the_set_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
