/* SPDX-License-Identifier: Apache-2.0 */
/* Which interfaces get the programs of the kernel path. */
#include <stdlib.h>

#include "relay/interfaces.h"
#include "relay/kernel_path_int.h"
#include "relay/listener.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nno-auth\n"

enum { LO = 1, ETH0, ETH1, DOWN, LOCAL_ONLY };

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    if (net_ip_parse(text, &ip) < 0) {
        abort();
    }
    return ip;
}

static size_t choose(const char *text, struct forward_interface out[FORWARD_INTERFACES])
{
    struct interface_address items[] = {
        {.index = LO, .ip = ip_of("127.0.0.1"), .loopback = true},
        {.index = ETH0, .ip = ip_of("192.0.2.1")},
        {.index = ETH0, .ip = ip_of("2001:db8::1")},
        {.index = ETH0, .ip = ip_of("fe80::1"), .link_local = true},
        {.index = ETH1, .ip = ip_of("10.0.0.1")},
        {.index = DOWN, .ip = ip_of("10.9.0.1"), .down = true},
        {.index = LOCAL_ONLY, .ip = ip_of("fe80::5"), .link_local = true},
    };
    const struct interfaces own = {COUNT_OF(items), items};
    struct conf *conf = relay_conf_unchecked(text);
    struct listener_plan *plan = calloc(1, sizeof(*plan));
    struct net_ip relays[4];
    char why[200];

    assert_non_null(plan);
    assert_int_equal(listener_plan_read(conf, plan, why, sizeof(why)), 0);
    for (size_t i = 0; i < conf->relay_ip.count; i++) {
        relays[i] = ip_of(conf->relay_ip.items[i].text);
    }
    const struct kernel_path_input in = {
        .conf = conf,
        .own = &own,
        .listeners = plan,
        .relays = relays,
        .relay_count = conf->relay_ip.count,
        .max_allocations = 10,
    };
    const size_t count = kernel_path_choose(&in, out);

    free(plan);
    conf_unref(conf);
    return count;
}

static void choice__is_where_clients_and_peers_are(void **state)
{
    struct forward_interface list[FORWARD_INTERFACES];

    (void)state;
    assert_int_equal(choose(BASE "offload=auto\n", list), 2);
    assert_int_equal(list[0].index, ETH0);
    assert_int_equal(list[0].mode, FORWARD_AUTO);
    assert_int_equal(list[1].index, ETH1);

    assert_int_equal(choose(BASE "offload=tc\nlistening-ip=192.0.2.1\nrelay-ip=192.0.2.1\n", list),
                     1);
    assert_int_equal(list[0].index, ETH0);
    assert_int_equal(list[0].mode, FORWARD_TC);
    assert_int_equal(choose(BASE "offload=xdp\nlistening-ip=192.0.2.1\nrelay-ip=10.0.0.1\n", list),
                     2);
    assert_int_equal(list[1].index, ETH1);
    assert_int_equal(list[1].mode, FORWARD_XDP);
    assert_int_equal(choose(BASE "offload=xdp\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\n", list),
                     0);
    assert_int_equal(
        choose(BASE "offload=xdp\nlistening-ip=2001:db8::1\nrelay-ip=2001:db8::1\n", list), 1);
}

/* Without relay-ip a relay may be on any address: its family need not be the client's. */
static void choice__relays_may_be_anywhere(void **state)
{
    struct forward_interface list[FORWARD_INTERFACES];

    (void)state;
    assert_int_equal(choose(BASE "offload=auto\nlistening-ip=192.0.2.1\n", list), 2);
}

static void choice__is_what_is_named(void **state)
{
    struct forward_interface list[FORWARD_INTERFACES];

    (void)state;
    assert_int_equal(choose(BASE "offload=xdp-generic\noffload-interface=lo\n"
                                 "offload-interface=no-such-one=tc\n",
                            list),
                     2);
    assert_string_equal(list[0].name, "lo");
    assert_int_equal(list[0].mode, FORWARD_XDP_GENERIC);
    assert_string_equal(list[1].name, "no-such-one");
    assert_int_equal(list[1].mode, FORWARD_TC);
    /* For the shield alone. */
    assert_int_equal(choose(BASE "flood-shield\noffload-interface=lo\n", list), 1);
    assert_int_equal(list[0].mode, FORWARD_AUTO);
}

static void names__of_indices_are_looked_up(void **state)
{
    struct forward_interface list[] = {
        {.index = LO}, {.index = 0x7ffffff0}, {.name = "named"}, {.index = LO}};
    size_t count = COUNT_OF(list);

    (void)state;
    kernel_path_name(list, &count);
    assert_int_equal(count, 3); /* nobody has the second one */
    assert_string_equal(list[0].name, "lo");
    assert_string_equal(list[1].name, "named");
    assert_string_equal(list[2].name, "lo");
}

static void modes__have_the_words_of_the_option(void **state)
{
    (void)state;
    assert_string_equal(kernel_path_mode_name(FORWARD_OFF), "off");
    assert_string_equal(kernel_path_mode_name(FORWARD_XDP_NATIVE), "xdp");
    assert_string_equal(kernel_path_mode_name(FORWARD_XDP_GENERIC), "xdp-generic");
    assert_string_equal(kernel_path_mode_name(FORWARD_TC), "tc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choice__is_where_clients_and_peers_are),
        cmocka_unit_test(choice__relays_may_be_anywhere),
        cmocka_unit_test(choice__is_what_is_named),
        cmocka_unit_test(names__of_indices_are_looked_up),
        cmocka_unit_test(modes__have_the_words_of_the_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
