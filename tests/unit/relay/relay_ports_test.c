/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay_ports.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "io/udp.h"
#include "relay/interfaces.h"
#include "relay_conf.h"
#include "turn/turn_server.h"

/* Ports of this test alone, below those that systems hand out by themselves. */
#define RANGE(from, to)                                                                            \
    "realm=example.org\nno-auth\nport-quarantine=0\nmin-port=" #from "\nmax-port=" #to "\n"

static struct interfaces own;
static uint64_t now_ms = 1000000;

static struct net_addr at(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 3478, &addr) < 0) {
        abort();
    }
    return addr;
}

static int setup(void **state)
{
    (void)state;
    return interfaces_read(&own);
}

static int teardown(void **state)
{
    (void)state;
    interfaces_fini(&own);
    return 0;
}

static struct relay_ports *make(const char *text)
{
    char why[300] = "";
    struct relay_ports *ports = NULL;
    struct conf *conf = relay_conf(text);

    assert_int_equal(relay_ports_new(conf, &own, &ports, why, sizeof(why)), 0);
    conf_unref(conf);
    return ports;
}

static struct turn_relay_want want(enum turn_port_want kind, uint8_t family)
{
    return (struct turn_relay_want){
        .server = at("127.0.0.1"),
        .family = family,
        .want = kind,
        .user = bytes_of("alice"),
    };
}

static int open_kind(struct relay_ports *ports, enum turn_port_want kind, struct udp_port *out)
{
    const struct turn_relay_want w = want(kind, NET_V4);

    return relay_ports_open(ports, &w, false, now_ms, out);
}

static void ports__follow_the_address_that_the_client_reached(void **state)
{
    struct relay_ports *ports = make(RANGE(20100, 20109));
    struct turn_relay_want w = want(TURN_PORT_ANY, NET_V4);
    struct udp_port port;

    (void)state;
    w.server = at("127.0.0.9");
    assert_int_equal(relay_ports_open(ports, &w, true, now_ms, &port), 0);
    assert_true(net_ip_equal(&port.local.ip, &w.server.ip));
    assert_in_range(port.local.port, 20100, 20109);
    assert_true(port.errors);
    relay_ports_close(ports, &port, now_ms);
    /* The other family: loopback beside loopback. */
    w.family = NET_V6;
    const struct net_addr six = at("[::1]");
    if (interfaces_have(&own, &six.ip)) {
        w.server = at("127.0.0.1");
        assert_int_equal(relay_ports_open(ports, &w, true, now_ms, &port), 0);
        assert_true(net_ip_equal(&port.local.ip, &six.ip));
        relay_ports_close(ports, &port, now_ms);
    }
    relay_ports_free(ports);
}

/* A host without the family asked for. */
static void ports__say_when_there_is_no_such_family(void **state)
{
    const struct interfaces none = {0, NULL};
    char why[300];
    struct relay_ports *ports = NULL;
    struct conf *conf = relay_conf(RANGE(20100, 20109));
    const struct turn_relay_want w = want(TURN_PORT_ANY, NET_V6);
    struct udp_port port;

    (void)state;
    assert_int_equal(relay_ports_new(conf, &none, &ports, why, sizeof(why)), 0);
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &port), -EAFNOSUPPORT);
    assert_false(relay_ports_serve(ports, NET_V6));
    assert_int_equal(relay_ports_refresh(ports, &own), 0);
    assert_true(relay_ports_serve(ports, NET_V4));
    relay_ports_free(ports);
    conf_unref(conf);
}

/* The whole range is usable, then there is none; what is given back is usable again. */
static void ports__use_the_whole_range(void **state)
{
    struct relay_ports *ports = make(RANGE(20110, 20119));
    struct udp_port port[10];
    struct udp_port more;
    bool seen[10] = {false};

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port[i]), 0);
        assert_false(seen[port[i].local.port - 20110]);
        seen[port[i].local.port - 20110] = true;
    }
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &more), -ENOSPC);
    relay_ports_close(ports, &port[4], now_ms);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port[4]), 0);
    for (int i = 0; i < 10; i++) {
        relay_ports_close(ports, &port[i], now_ms);
    }
    relay_ports_free(ports);
}

/* A port that a foreign program holds is passed over. */
static void ports__pass_over_foreign_ones(void **state)
{
    struct relay_ports *ports = make(RANGE(20120, 20121));
    struct udp_options options = {.local = at("127.0.0.1")};
    struct udp_port foreign;
    struct udp_port port;

    (void)state;
    options.local.port = 20120;
    assert_int_equal(udp_open(&options, &foreign), 0);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port), 0);
    assert_int_equal(port.local.port, 20121);
    struct udp_port none;
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &none), -ENOSPC);
    udp_close(&foreign);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &none), 0);
    relay_ports_close(ports, &none, now_ms);
    relay_ports_close(ports, &port, now_ms);
    relay_ports_free(ports);
}

static void ports__keep_a_reservation(void **state)
{
    struct relay_ports *ports = make(RANGE(20130, 20133));
    struct turn_relay_want w = want(TURN_PORT_EVEN_RESERVE, NET_V4);
    struct udp_port even;
    struct udp_port odd;
    struct udp_port other;

    (void)state;
    w.new_token = 4711;
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &even), 0);
    assert_int_equal(even.local.port % 2, 0);
    /* Nobody else gets the port in between. */
    w.new_token = 4712;
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &other), 0);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &odd), -ENOSPC);
    struct turn_relay_want redeem = want(TURN_PORT_RESERVED, 0);
    redeem.token = 4710;
    assert_int_equal(relay_ports_open(ports, &redeem, false, now_ms, &odd), -ENOENT);
    redeem.token = 4711;
    assert_int_equal(relay_ports_open(ports, &redeem, false, now_ms, &odd), 0);
    assert_int_equal(odd.local.port, even.local.port + 1);
    assert_int_equal(relay_ports_open(ports, &redeem, false, now_ms, &odd), -ENOENT); /* once */
    relay_ports_close(ports, &odd, now_ms);
    relay_ports_close(ports, &even, now_ms);
    relay_ports_close(ports, &other, now_ms);
    relay_ports_free(ports); /* and the reservation 4712 with it */
}

/* Proves T-8656-7.2-28 */
static void ports__end_a_reservation_in_time(void **state)
{
    struct relay_ports *ports = make(RANGE(20140, 20141));
    struct turn_relay_want w = want(TURN_PORT_EVEN_RESERVE, NET_V4);
    struct turn_relay_want redeem = want(TURN_PORT_RESERVED, 0);
    struct udp_port even;
    struct udp_port odd;
    const uint64_t before = now_ms;

    (void)state;
    w.new_token = redeem.token = 99;
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &even), 0);
    now_ms = before + 30 * 1000;
    relay_ports_sweep(ports, now_ms);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &odd), -ENOSPC);
    now_ms = before + RELAY_PORTS_RESERVATION_MS;
    assert_int_equal(relay_ports_open(ports, &redeem, false, now_ms, &odd), -ENOENT);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &odd), 0); /* free for all */
    relay_ports_close(ports, &odd, now_ms);
    relay_ports_close(ports, &even, now_ms);
    relay_ports_free(ports);
}

/* Proves T-8656-7.2-26 */
static void ports__redeem_late_but_in_time(void **state)
{
    struct relay_ports *ports = make(RANGE(20180, 20181));
    struct turn_relay_want w = want(TURN_PORT_EVEN_RESERVE, NET_V4);
    struct turn_relay_want redeem = want(TURN_PORT_RESERVED, 0);
    struct udp_port even;
    struct udp_port odd;

    (void)state;
    w.new_token = redeem.token = 5;
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &even), 0);
    now_ms += 30 * 1000;
    assert_int_equal(relay_ports_open(ports, &redeem, false, now_ms, &odd), 0);
    assert_int_equal(odd.local.port, 20181);
    relay_ports_close(ports, &odd, now_ms);
    relay_ports_close(ports, &even, now_ms);
    relay_ports_free(ports);
}

/* Without descriptors an allocation is refused, and no port is lost. */
static void ports__survive_a_lack_of_descriptors(void **state)
{
    struct relay_ports *ports = make(RANGE(20150, 20151));
    struct udp_port port;
    struct rlimit limit;
    struct turn_relay_want w = want(TURN_PORT_EVEN_RESERVE, NET_V4);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port), -ENOSPC);
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &port), -ENOSPC);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &port), 0);
    relay_ports_close(ports, &port, now_ms);
    relay_ports_free(ports);
}

/* Relay sockets never take the last descriptors: the server needs some for itself. */
static void ports__leave_descriptors_for_others(void **state)
{
    enum { LIMIT = 40, BUDGET = 30, OTHERS = 20 };

    struct udp_port port[BUDGET];
    struct udp_port more;
    struct rlimit limit;
    struct turn_relay_want pair = want(TURN_PORT_EVEN_RESERVE, NET_V4);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit low = {.rlim_cur = LIMIT, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct relay_ports *ports = make(RANGE(20400, 20499));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    relay_ports_spare(ports, OTHERS);
    for (int i = 0; i < BUDGET - OTHERS; i++) {
        assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port[i]), 0);
    }
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &more), -ENOSPC);
    relay_ports_close(ports, &port[0], now_ms);
    assert_int_equal(relay_ports_open(ports, &pair, false, now_ms, &more), -ENOSPC); /* two */
    relay_ports_close(ports, &port[1], now_ms);
    pair.new_token = 7;
    assert_int_equal(relay_ports_open(ports, &pair, false, now_ms, &port[0]), 0);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &more), -ENOSPC);
    now_ms += RELAY_PORTS_RESERVATION_MS; /* what was reserved counts no more */
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port[1]), 0);
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &more), -ENOSPC);
    for (int i = 0; i < BUDGET - OTHERS; i++) {
        relay_ports_close(ports, &port[i], now_ms);
    }
    relay_ports_free(ports);
}

/* All of 127.0.0.0/8 is this host: clients do not make it keep ports for each address. */
static void ports__keep_few_addresses_that_no_interface_has(void **state)
{
    struct relay_ports *ports = make(RANGE(20500, 20509));
    struct turn_relay_want w = want(TURN_PORT_ANY, NET_V4);
    struct udp_port port;

    (void)state;
    for (int i = 0; i < RELAY_PORTS_EXTRA_ADDRESSES + 10; i++) {
        const uint8_t raw[4] = {127, 1, 0, (uint8_t)(i + 1)};
        w.server.ip = net_ip_v4(raw);
        const int err = relay_ports_open(ports, &w, false, now_ms, &port);
        assert_int_equal(err, i < RELAY_PORTS_EXTRA_ADDRESSES ? 0 : -ENOSPC);
        if (err == 0) {
            relay_ports_close(ports, &port, now_ms);
        }
    }
    assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port), 0); /* an interface's own: always */
    relay_ports_close(ports, &port, now_ms);
    relay_ports_free(ports);
}

/* Who reached us by a link-local address gets one that peers can reach. */
static void ports__of_link_local_clients_are_on_another_address(void **state)
{
    struct interface_address items[] = {
        {.ip = at("[fe80::53]").ip, .index = 1, .link_local = true},
        {.ip = at("[::1]").ip, .index = 1}, /* stands for a global one: it can be bound */
    };
    const struct interfaces two = {COUNT_OF(items), items};
    const struct interfaces one = {1, items};
    struct relay_ports *ports = make(RANGE(20510, 20519));
    struct turn_relay_want w = want(TURN_PORT_ANY, NET_V6);
    struct udp_port port;

    (void)state;
    w.server = at("[fe80::53]");
    assert_int_equal(relay_ports_refresh(ports, &one), 0);
    assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &port), -EAFNOSUPPORT);
    assert_int_equal(relay_ports_refresh(ports, &two), 0);
    if (interfaces_have(&own, &items[1].ip)) {
        assert_int_equal(relay_ports_open(ports, &w, false, now_ms, &port), 0);
        assert_true(net_ip_equal(&port.local.ip, &items[1].ip));
        relay_ports_close(ports, &port, now_ms);
    }
    relay_ports_free(ports);
}

static void ports__spread_over_what_is_given(void **state)
{
    struct relay_ports *ports =
        make(RANGE(20160, 20163) "relay-ip=127.0.0.21\nrelay-ip=127.0.0.22\n");
    const struct net_ip *given;
    struct udp_port port[8];
    int count[2] = {0, 0};

    (void)state;
    assert_int_equal(relay_ports_given(ports, &given), 2);
    assert_true(relay_ports_serve(ports, NET_V4));
    assert_false(relay_ports_serve(ports, NET_V6));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(open_kind(ports, TURN_PORT_ANY, &port[i]), 0);
        count[net_ip_equal(&port[i].local.ip, &given[0]) ? 0 : 1]++;
    }
    assert_int_equal(count[0], 4);
    assert_int_equal(count[1], 4);
    for (int i = 0; i < 8; i++) {
        relay_ports_close(ports, &port[i], now_ms);
    }
    relay_ports_free(ports);
}

static void ports__refuse_a_relay_ip_of_another_host(void **state)
{
    char why[300] = "";
    struct relay_ports *ports = NULL;
    struct conf *conf = relay_conf(RANGE(20170, 20171) "relay-ip=203.0.113.250\n");

    (void)state;
    assert_int_equal(relay_ports_new(conf, &own, &ports, why, sizeof(why)), -EADDRNOTAVAIL);
    assert_non_null(strstr(why, "relay-ip 203.0.113.250"));
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports__follow_the_address_that_the_client_reached),
        cmocka_unit_test(ports__say_when_there_is_no_such_family),
        cmocka_unit_test(ports__use_the_whole_range),
        cmocka_unit_test(ports__pass_over_foreign_ones),
        cmocka_unit_test(ports__keep_a_reservation),
        cmocka_unit_test(ports__end_a_reservation_in_time),
        cmocka_unit_test(ports__redeem_late_but_in_time),
        cmocka_unit_test(ports__survive_a_lack_of_descriptors),
        cmocka_unit_test(ports__leave_descriptors_for_others),
        cmocka_unit_test(ports__keep_few_addresses_that_no_interface_has),
        cmocka_unit_test(ports__of_link_local_clients_are_on_another_address),
        cmocka_unit_test(ports__spread_over_what_is_given),
        cmocka_unit_test(ports__refuse_a_relay_ip_of_another_host),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
