/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/interfaces.h"

#include <stdlib.h>

#include "check.h"

static struct net_ip ip(const char *text)
{
    struct net_ip out;

    if (net_ip_parse(text, &out) < 0) {
        abort();
    }
    return out;
}

static void interfaces__reads_this_host(void **state)
{
    struct interfaces own;
    const struct net_ip localhost = ip("127.0.0.1");
    const struct net_ip foreign = ip("203.0.113.77");

    (void)state;
    assert_int_equal(interfaces_read(&own), 0);
    assert_true(interfaces_have(&own, &localhost));
    assert_false(interfaces_have(&own, &foreign));
    for (size_t i = 0; i < own.count; i++) {
        if (net_ip_equal(&own.items[i].ip, &localhost)) {
            assert_true(own.items[i].loopback);
            assert_int_equal(own.items[i].index, 1);
        }
    }
    interfaces_fini(&own);
    assert_int_equal(own.count, 0);
}

static void interfaces__knows_private_networks(void **state)
{
    static const struct {
        const char *ip;
        bool is_private;
    } cases[] = {
        {"10.1.2.3", true},      {"172.16.0.1", true},  {"172.31.255.1", true},
        {"172.32.0.1", false},   {"192.168.9.9", true}, {"100.64.0.1", true},
        {"100.128.0.1", false},  {"8.8.8.8", false},    {"fd00::1", true},
        {"2001:4860::1", false}, {"fe80::1", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct net_ip a = ip(cases[i].ip);
        assert_int_equal(interfaces_private(&a), cases[i].is_private);
    }
}

static void interfaces__chooses_for_the_other_family(void **state)
{
    struct interface_address items[] = {
        {.ip = ip("127.0.0.1"), .index = 1, .loopback = true},
        {.ip = ip("::1"), .index = 1, .loopback = true},
        {.ip = ip("10.0.0.5"), .index = 2},
        {.ip = ip("fe80::5"), .index = 2, .link_local = true},
        {.ip = ip("fd00::5"), .index = 2},
        {.ip = ip("198.51.100.5"), .index = 3},
        {.ip = ip("2600:1::5"), .index = 3},
        {.ip = ip("2600:2::5"), .index = 4},
    };
    const struct interfaces own = {COUNT_OF(items), items};
    struct net_ip out;

    (void)state;
    /* Beside the public IPv4 address stands the public IPv6 address of its interface. */
    assert_true(interfaces_best(&own, &items[5].ip, NET_V6, &out));
    assert_true(net_ip_equal(&out, &items[6].ip));
    /* Whoever uses loopback gets loopback, and nobody else does. */
    assert_true(interfaces_best(&own, &items[0].ip, NET_V6, &out));
    assert_true(net_ip_equal(&out, &items[1].ip));
    assert_true(interfaces_best(&own, &items[7].ip, NET_V4, &out));
    assert_true(net_ip_equal(&out, &items[5].ip));
    assert_true(interfaces_best(&own, NULL, NET_V4, &out));
    assert_true(net_ip_equal(&out, &items[5].ip));
    const struct interfaces only_local = {2, items};
    assert_false(interfaces_best(&only_local, NULL, NET_V6, &out));
    const struct interfaces link_local = {4, items};
    assert_false(interfaces_best(&link_local, &items[2].ip, NET_V6, &out));
}

/* What cannot be bound to now is ours all the same. */
static void interfaces__that_are_down_are_own_and_never_best(void **state)
{
    struct interface_address items[] = {
        {.ip = ip("198.51.100.5"), .index = 2, .down = true},
        {.ip = ip("10.0.0.5"), .index = 3},
    };
    struct interface_address later[] = {items[0], items[1]};
    const struct interfaces own = {COUNT_OF(items), items};
    const struct interfaces now = {COUNT_OF(later), later};
    struct net_ip out;

    (void)state;
    assert_true(interfaces_have(&own, &items[0].ip));
    assert_true(interfaces_best(&own, NULL, NET_V4, &out));
    assert_true(net_ip_equal(&out, &items[1].ip));
    assert_true(interfaces_same(&own, &now));
    later[0].down = false;
    assert_false(interfaces_same(&own, &now)); /* it came up: that is a change */
    assert_true(interfaces_best(&now, NULL, NET_V4, &out));
    assert_true(net_ip_equal(&out, &items[0].ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interfaces__reads_this_host),
        cmocka_unit_test(interfaces__knows_private_networks),
        cmocka_unit_test(interfaces__chooses_for_the_other_family),
        cmocka_unit_test(interfaces__that_are_down_are_own_and_never_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
