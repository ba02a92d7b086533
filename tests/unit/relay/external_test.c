/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/external.h"

#include <errno.h>
#include <stdlib.h>

#include "relay/interfaces.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nno-auth\nmin-port=50000\nmax-port=50010\n"

static struct net_addr at(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

static struct interface_address items[] = {
    {.index = 1, .loopback = true},
    {.index = 2},
    {.index = 2},
    {.index = 2},
};
static const struct interfaces own = {COUNT_OF(items), items};

static int setup(void **state)
{
    (void)state;
    items[0].ip = at("127.0.0.1").ip;
    items[1].ip = at("10.0.0.5").ip;
    items[2].ip = at("10.0.0.6").ip;
    items[3].ip = at("fd00::5").ip;
    return 0;
}

static struct external_map *make(const char *text)
{
    char why[200] = "";
    struct external_map *map = NULL;
    struct conf *conf = relay_conf(text);

    assert_int_equal(external_map_new(conf, &own, &map, why, sizeof(why)), 0);
    conf_unref(conf);
    return map;
}

static void expect_relayed(const struct external_map *map, const char *bound, const char *relayed)
{
    const struct net_addr in = at(bound);
    const struct net_addr want = at(relayed);
    const struct net_addr got = external_relayed(map, &in);

    assert_true(net_addr_equal(&got, &want));
}

static void external__none_changes_nothing(void **state)
{
    struct external_map *map = make(BASE);

    (void)state;
    assert_int_equal(map->count, 0);
    expect_relayed(map, "10.0.0.5:50001", "10.0.0.5:50001");
    external_map_free(map);
}

/* A plain address a family, and a pair that goes before it. */
static void external__plain_and_pairs(void **state)
{
    struct external_map *map = make(BASE "external-ip=198.51.100.1\nexternal-ip=2600::1\n"
                                         "external-ip=198.51.100.2/10.0.0.6\n");

    (void)state;
    expect_relayed(map, "10.0.0.5:50001", "198.51.100.1:50001");
    expect_relayed(map, "10.0.0.6:50001", "198.51.100.2:50001");
    expect_relayed(map, "[fd00::5]:50001", "[2600::1]:50001");
    expect_relayed(map, "127.0.0.1:50001", "127.0.0.1:50001");
    external_map_free(map);
}

/* A peer behind our own public address is one of our relay sockets: both ways. */
static void external__turns_round_at_home(void **state)
{
    struct external_map *map = make(BASE "external-ip=198.51.100.1\n");
    struct net_addr addr = at("198.51.100.1:50001");
    struct net_addr want = at("10.0.0.5:50001");

    (void)state;
    external_to_private(map, &addr);
    assert_true(net_addr_equal(&addr, &want));
    external_to_public(map, &addr);
    want = at("198.51.100.1:50001");
    assert_true(net_addr_equal(&addr, &want));
    /* Other ports of these addresses are not relays. */
    addr = at("198.51.100.1:3478");
    want = addr;
    external_to_private(map, &addr);
    assert_true(net_addr_equal(&addr, &want));
    addr = at("10.0.0.5:49999");
    want = addr;
    external_to_public(map, &addr);
    assert_true(net_addr_equal(&addr, &want));
    external_map_free(map);
}

static void external__refuses_two_plain_of_one_family(void **state)
{
    char why[200] = "";
    struct external_map *map = NULL;
    struct conf *conf =
        relay_conf_unchecked(BASE "external-ip=198.51.100.1\nexternal-ip=198.51.100.2\n");

    (void)state;
    assert_int_equal(external_map_new(conf, &own, &map, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "test.conf:6"));
    assert_non_null(strstr(why, "pairs"));
    conf_unref(conf);
}

static void external__refuses_plain_for_two_relay_addresses(void **state)
{
    char why[300] = "";
    struct external_map *map = NULL;
    struct conf *conf =
        relay_conf(BASE "external-ip=198.51.100.1\nrelay-ip=10.0.0.5\nrelay-ip=fd00::5\n"
                        "relay-ip=10.0.0.5\nrelay-ip=10.0.0.6\n");

    (void)state;
    assert_int_equal(external_map_new(conf, &own, &map, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "test.conf:9"));
    assert_non_null(strstr(why, "10.0.0.6"));
    assert_non_null(strstr(why, "pair"));
    conf_unref(conf);
    /* With a pair for one of them, the plain address is the other's. */
    map = make(BASE "external-ip=198.51.100.1\nexternal-ip=198.51.100.2/10.0.0.6\n"
                    "relay-ip=10.0.0.5\nrelay-ip=10.0.0.6\n");
    expect_relayed(map, "10.0.0.5:50001", "198.51.100.1:50001");
    expect_relayed(map, "10.0.0.6:50001", "198.51.100.2:50001");
    external_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(external__none_changes_nothing, setup),
        cmocka_unit_test_setup(external__plain_and_pairs, setup),
        cmocka_unit_test_setup(external__turns_round_at_home, setup),
        cmocka_unit_test_setup(external__refuses_two_plain_of_one_family, setup),
        cmocka_unit_test_setup(external__refuses_plain_for_two_relay_addresses, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
