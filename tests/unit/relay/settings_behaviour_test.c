/* SPDX-License-Identifier: Apache-2.0 */
/* Which listeners stand in for one another (RFC 5780 section 6), from what a configuration says. */
#include <stdlib.h>

#include "relay/external.h"
#include "relay/front.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/settings_int.h"
#include "relay_conf.h"

#define BASE                                                                                       \
    "realm=example.org\nstun-only\nrfc5780\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2\n"
#define CERT "cert=/c\npkey=/k\n"

static struct listener_plan plan;
static struct settings settings;
static struct front front;
static struct front_item items[LISTENER_MAX];

/* A front with what is planned. */
static void fill_front(void)
{
    front.item_count = (uint32_t)plan.count;
    for (size_t i = 0; i < plan.count; i++) {
        items[i].spec = plan.item[i];
        front.item[i] = &items[i];
    }
}

static const struct turn_behaviour *make(const char *text)
{
    static const struct interfaces none;
    char why[300] = "";
    struct external_map *external;
    struct conf *conf = relay_conf(text);

    assert_int_equal(listener_plan_read(conf, &plan, why, sizeof(why)), 0);
    assert_int_equal(external_map_new(conf, &none, &external, why, sizeof(why)), 0);
    fill_front();
    const struct settings_input in = {
        .conf = conf, .external = external, .listeners = &plan, .front = &front};
    settings = (struct settings){.holdoff_ms = 1};
    settings_put_behaviour(&in, &settings);
    external_map_free(external);
    conf_unref(conf);
    return &settings.config.behaviour;
}

static bool is_planned(const char *text, bool stream)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    for (size_t i = 0; i < plan.count; i++) {
        if (plan.item[i].stream == stream && net_addr_equal(&plan.item[i].addr, &addr)) {
            return true;
        }
    }
    return false;
}

static void expect_set(const struct turn_behaviour *b, uint32_t n, bool stream,
                       const char *const wanted[TURN_BEHAVIOUR_ADDRS])
{
    const struct turn_behaviour_set *set = &b->sets[n];

    assert_true(n < b->count);
    assert_int_equal(set->stream, stream);
    for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
        struct net_addr addr;
        const struct front_item *item = settings.behaviour_item[n][at];

        assert_int_equal(net_addr_parse(wanted[at], 0, &addr), 0);
        assert_true(net_addr_equal(&set->local[at], &addr));
        assert_true(net_addr_equal(&set->told[at], &addr));
        assert_non_null(item);
        assert_true(net_addr_equal(&item->spec.addr, &addr) && item->spec.stream == stream);
    }
}

/* Proves T-5780-6-01 */
static void pair__is_opened_on_two_ports_of_every_transport(void **state)
{
    static const char *const plain[] = {"192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478",
                                        "192.0.2.2:3479"};
    static const char *const secure[] = {"192.0.2.1:5349", "192.0.2.1:5350", "192.0.2.2:5349",
                                         "192.0.2.2:5350"};

    (void)state;
    const struct turn_behaviour *b = make(BASE CERT "dtls\n");
    assert_int_equal(b->count, 4);
    expect_set(b, 0, false, plain);
    expect_set(b, 1, false, secure);
    expect_set(b, 2, true, plain);
    expect_set(b, 3, true, secure);
    assert_false(b->padding || b->response_port || settings.config.rfc3489);
}

static void transports__that_are_not_served_have_none(void **state)
{
    static const char *const plain[] = {"192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478",
                                        "192.0.2.2:3479"};

    (void)state;
    const struct turn_behaviour *b = make(BASE "no-tcp\n");
    assert_int_equal(b->count, 1);
    expect_set(b, 0, false, plain);
    assert_false(is_planned("192.0.2.1:3479", true));
    b = make(BASE "no-udp\n");
    assert_int_equal(b->count, 1);
    expect_set(b, 0, true, plain);
}

static void options__are_passed_on(void **state)
{
    (void)state;
    const struct turn_behaviour *b =
        make(BASE "rfc5780-padding\nrfc5780-response-port\nrfc3489-compatibility\n");

    assert_true(b->padding && b->response_port && settings.config.rfc3489);
}

/* Two families, and every transport: as many sets as there can be. */
static void both_families__fill_the_table(void **state)
{
    static const char *const last[] = {"[2001:db8::1]:5349", "[2001:db8::1]:5350",
                                       "[2001:db8::2]:5349", "[2001:db8::2]:5350"};

    (void)state;
    const struct turn_behaviour *b =
        make(BASE CERT "dtls\nlistening-ip=2001:db8::1\nlistening-ip=2001:db8::2\n");
    assert_int_equal(b->count, TURN_BEHAVIOUR_SETS);
    expect_set(b, TURN_BEHAVIOUR_SETS - 1, true, last);
}

/* Proves T-5780-6-02 */
static void other_addresses__have_no_second_port(void **state)
{
    (void)state;
    (void)make(BASE "listening-ip=192.0.2.3\naux-server=192.0.2.4:99\n");
    assert_true(is_planned("192.0.2.2:3479", false));
    assert_true(is_planned("192.0.2.3:3478", false));
    assert_false(is_planned("192.0.2.3:3479", false));
    assert_int_equal(make("realm=a\nstun-only\nrfc5780\nlistening-ip=192.0.2.1\n")->count, 0);
    assert_false(is_planned("192.0.2.1:3479", false));
    assert_int_equal(
        make("realm=a\nstun-only\nlistening-ip=192.0.2.1\nlistening-ip=192.0.2.2\n")->count, 0);
    assert_false(is_planned("192.0.2.1:3479", false));
}

/* A [listener] that stands in for one of the four takes something else there. */
static void unlike_listeners__are_no_set(void **state)
{
    (void)state;
    const struct turn_behaviour *b =
        make(BASE "no-tcp\n[listener]\naddress=192.0.2.2:3479\ntransport=tcp\n");
    assert_int_equal(b->count, 1); /* it takes UDP's place nowhere */
    b = make(BASE CERT "no-tcp\n[listener]\naddress=192.0.2.2:3479\ntransport=udp\n"
                       "encryption=plain\n");
    assert_int_equal(b->sets[0].stream, false);
    b = make(BASE CERT "no-tcp\ndtls\n[listener]\naddress=192.0.2.2:3479\ntransport=udp\n"
                       "encryption=plain\n");
    assert_int_equal(b->count, 2); /* of the ports for TLS and DTLS */
    assert_int_equal(b->sets[0].local[0].port, 5349);
    assert_int_equal(b->sets[1].local[0].port, 5349);
}

static void external_ip__is_what_clients_are_told(void **state)
{
    (void)state;
    const struct turn_behaviour *b = make(BASE "external-ip=203.0.113.1/192.0.2.1\n"
                                               "external-ip=203.0.113.2/192.0.2.2\n");
    char text[NET_ADDR_TEXT];

    assert_int_equal(b->count, 2);
    assert_string_equal(net_addr_text(&b->sets[0].told[1], text), "203.0.113.1:3479");
    assert_string_equal(net_addr_text(&b->sets[0].told[2], text), "203.0.113.2:3478");
    assert_string_equal(net_addr_text(&b->sets[0].local[2], text), "192.0.2.2:3478");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair__is_opened_on_two_ports_of_every_transport),
        cmocka_unit_test(transports__that_are_not_served_have_none),
        cmocka_unit_test(options__are_passed_on),
        cmocka_unit_test(both_families__fill_the_table),
        cmocka_unit_test(other_addresses__have_no_second_port),
        cmocka_unit_test(unlike_listeners__are_no_set),
        cmocka_unit_test(external_ip__is_what_clients_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
