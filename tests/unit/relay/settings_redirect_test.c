/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients are sent, as the options say it: what of it is this server itself, and by which
 * address it is known. */
#include <errno.h>
#include <stdlib.h>

#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay_conf.h"

#define BASE "realm=example.org\nlt-cred-mech\nuser=a:b\n"

static const uint8_t random_key[TURN_NONCE_KEY_LEN] = {1, 2, 3};

static struct net_addr at(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

/* A host with 198.51.100.5 (behind 203.0.113.5 where `text` says so), 198.51.100.6 and
 * 2001:db8::5. */
static int make_with(const char *text, struct settings **out)
{
    struct interface_address items[] = {
        {.ip = at("198.51.100.5").ip, .index = 2},
        {.ip = at("127.0.0.1").ip, .index = 1, .loopback = true},
        {.ip = at("198.51.100.6").ip, .index = 2},
        {.ip = at("2001:db8::5").ip, .index = 2},
        {.ip = at("fe80::5").ip, .index = 2, .link_local = true},
    };
    const struct interfaces own = {COUNT_OF(items), items};
    static struct listener_plan plan;
    struct external_map *external;
    char why[300] = "";
    struct conf *conf = relay_conf_unchecked(text);

    assert_int_equal(listener_plan_read(conf, &plan, why, sizeof(why)), 0);
    assert_int_equal(external_map_new(conf, &own, &external, why, sizeof(why)), 0);
    const struct settings_input in = {
        .conf = conf,
        .start = conf,
        .own = &own,
        .external = external,
        .listeners = &plan,
        .nonce_key = random_key,
        .relay_family = {true, false},
        .workers = 1,
    };
    const int err = settings_new(&in, out, why, sizeof(why));
    assert_true(err == 0 || why[0] != 0);
    external_map_free(external);
    conf_unref(conf);
    return err;
}

static struct settings *make(const char *text)
{
    struct settings *settings = NULL;

    assert_int_equal(make_with(text, &settings), 0);
    return settings;
}

static void expect_list(const struct turn_alternates *list, const char *const *want, size_t count)
{
    assert_int_equal(list->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct net_addr addr = at(want[i]);

        assert_true(net_addr_equal(&list->items[i].addr, &addr));
    }
}

#define EXPECT_LIST(list, ...)                                                                     \
    expect_list(list, (const char *const[]){__VA_ARGS__},                                          \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void alternates__all_ways_to_write_them(void **state)
{
    struct settings *s = make(BASE "alternate-server=192.0.2.1\nalternate-server=192.0.2.2:443\n"
                                   "alternate-server=[2001:db8::9]:444\n"
                                   "alternate-server=2001:db8::10\n"
                                   "tls-alternate-server=192.0.2.3 turn.example.org\n");

    (void)state;
    EXPECT_LIST(&s->config.alternates[TURN_ALTERNATE_UDP], "192.0.2.1:3478", "192.0.2.2:443",
                "[2001:db8::9]:444", "[2001:db8::10]:3478");
    EXPECT_LIST(&s->config.alternates[TURN_ALTERNATE_TLS], "192.0.2.3:5349");
    assert_string_equal(s->config.alternates[TURN_ALTERNATE_TLS].items[0].domain,
                        "turn.example.org");
    assert_int_equal(s->alternates_left_out, 0);
    assert_int_equal(s->config.max_redirects, 3);
    assert_false(s->config.redirect_only);
    settings_free(s);
}

/* An address of ours, at a port of ours, for those clients: nothing else is. */
static void alternates__leave_out_this_server(void **state)
{
    struct settings *s = make(BASE "external-ip=203.0.113.5/198.51.100.5\n"
                                   "udp-alternate-server=198.51.100.5\n" /* ours */
                                   "udp-alternate-server=203.0.113.5\n"  /* our public face */
                                   "udp-alternate-server=127.0.0.1\n"
                                   "udp-alternate-server=[2001:db8::5]:3478\n"
                                   "udp-alternate-server=198.51.100.5:3479\n" /* another process */
                                   "udp-alternate-server=203.0.113.6\n"
                                   "tcp-alternate-server=198.51.100.6\n");

    (void)state;
    EXPECT_LIST(&s->config.alternates[TURN_ALTERNATE_UDP], "198.51.100.5:3479", "203.0.113.6:3478");
    assert_int_equal(s->config.alternates[TURN_ALTERNATE_TCP].count, 0);
    assert_int_equal(s->alternates_left_out, 5);
    settings_free(s);
    s = make(BASE "listening-ip=198.51.100.5\nno-tcp\nexternal-ip=203.0.113.5/198.51.100.5\n"
                  "alternate-server=198.51.100.6\nalternate-server=203.0.113.5\n");
    EXPECT_LIST(&s->config.alternates[TURN_ALTERNATE_UDP], "198.51.100.6:3478");
    EXPECT_LIST(&s->config.alternates[TURN_ALTERNATE_TCP], "198.51.100.6:3478", "203.0.113.5:3478");
    settings_free(s);
}

/* Whatever this server could relay: who is sent away does not mind. */
static void redirect_only__grants_every_wish(void **state)
{
    struct settings *s =
        make(BASE "redirect-only\nno-udp-relay\nno-tcp-relay\nalternate-server=192.0.2.1\n");
    const struct turn_config *c = &s->config;

    (void)state;
    assert_true(c->redirect_only && c->udp_relay && c->tcp_relay && c->ipv4_relay && c->ipv6_relay);
    settings_free(s);
}

static void self_balance__is_over_the_aux_servers(void **state)
{
    struct settings *s = make(BASE "udp-self-balance\nexternal-ip=203.0.113.5/198.51.100.5\n"
                                   "aux-server=198.51.100.5:3479\naux-server=0.0.0.0:3480\n"
                                   "aux-server=[2001:db8::5]:3481\n");
    const struct net_addr bound = at("198.51.100.5:3479");

    (void)state;
    EXPECT_LIST(&s->config.balance, "203.0.113.5:3479", "[2001:db8::5]:3481");
    assert_true(net_addr_equal(&s->config.balance_bound[0], &bound));
    settings_free(s);
    s = make(BASE "aux-server=198.51.100.5:3479\n");
    assert_int_equal(s->config.balance.count, 0);
    settings_free(s);
    s = make(BASE "udp-self-balance\nno-udp\naux-server=198.51.100.5:3479\n");
    assert_int_equal(s->config.balance.count, 0);
    settings_free(s);
}

/* T-8155-6-01: any other address of ours that is reached from everywhere, as it is known there. */
static void anycast__leads_to_what_else_is_listened_on(void **state)
{
    struct settings *s = make(BASE "anycast-ip=198.51.100.6\n"
                                   "external-ip=203.0.113.5/198.51.100.5\n"
                                   "aux-server=198.51.100.5:443\n");
    const struct net_ip anycast = at("198.51.100.6").ip;

    (void)state;
    assert_int_equal(s->config.anycast_count, 1);
    assert_true(net_ip_equal(&s->config.anycast[0], &anycast));
    EXPECT_LIST(&s->config.anycast_to[TURN_ALTERNATE_UDP], "203.0.113.5:3478", "[2001:db8::5]:3478",
                "203.0.113.5:443");
    EXPECT_LIST(&s->config.anycast_to[TURN_ALTERNATE_TCP], "203.0.113.5:3478", "[2001:db8::5]:3478",
                "203.0.113.5:443");
    assert_int_equal(s->config.anycast_to[TURN_ALTERNATE_TLS].count, 0); /* no certificate */
    settings_free(s);
    s = make(BASE "listening-ip=198.51.100.6\nlistening-ip=198.51.100.5\n"
                  "anycast-ip=198.51.100.6\n");
    EXPECT_LIST(&s->config.anycast_to[TURN_ALTERNATE_UDP], "198.51.100.5:3478");
    settings_free(s);
}

static void anycast__leads_where_it_is_said(void **state)
{
    struct settings *s = make(BASE "anycast-ip=198.51.100.6\nanycast-unicast=203.0.113.9\n"
                                   "anycast-unicast=[2001:db8::9]:4000\nlistening-port=3500\n"
                                   "no-tcp\n");

    (void)state;
    EXPECT_LIST(&s->config.anycast_to[TURN_ALTERNATE_UDP], "203.0.113.9:3500",
                "[2001:db8::9]:4000");
    EXPECT_LIST(&s->config.anycast_to[TURN_ALTERNATE_TCP], "[2001:db8::9]:4000");
    settings_free(s);
    s = make(BASE "anycast-unicast=203.0.113.9\n");
    assert_int_equal(s->config.anycast_count + s->config.anycast_to[TURN_ALTERNATE_UDP].count, 0);
    settings_free(s);
}

static void anycast__no_more_than_there_is_room_for(void **state)
{
    char text[1000] = BASE;
    struct settings *s = NULL;

    (void)state;
    for (int i = 0; i <= TURN_MAX_ANYCAST; i++) {
        const size_t n = strlen(text);

        (void)snprintf(text + n, sizeof(text) - n, "anycast-ip=192.0.2.%d\n", i);
    }
    assert_int_equal(make_with(text, &s), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alternates__all_ways_to_write_them),
        cmocka_unit_test(alternates__leave_out_this_server),
        cmocka_unit_test(redirect_only__grants_every_wish),
        cmocka_unit_test(self_balance__is_over_the_aux_servers),
        cmocka_unit_test(anycast__leads_to_what_else_is_listened_on),
        cmocka_unit_test(anycast__leads_where_it_is_said),
        cmocka_unit_test(anycast__no_more_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
