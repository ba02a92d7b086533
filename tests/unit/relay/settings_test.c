/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/settings.h"

#include <errno.h>
#include <stdlib.h>

#include "relay/external.h"
#include "relay/interfaces.h"
#include "relay/listener.h"
#include "relay_conf.h"
#include "turn/gate.h"

#define BASE "realm=example.org\nlt-cred-mech\nuser=a:b\n"

static const uint8_t random_key[TURN_NONCE_KEY_LEN] = {1, 2, 3};
static struct interface_address items[2];
static const struct interfaces own = {COUNT_OF(items), items};
static struct listener_plan plan;

static struct net_addr at(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

static int make_with(const char *text, const char *start_text, bool draining, struct settings **out)
{
    char why[300] = "";
    struct external_map *external;
    struct conf *conf = relay_conf_unchecked(text);
    struct conf *start = relay_conf_unchecked(start_text);

    items[0] = (struct interface_address){.ip = at("198.51.100.5").ip, .index = 2};
    items[1] = (struct interface_address){.ip = at("127.0.0.1").ip, .index = 1, .loopback = true};
    plan = (struct listener_plan){.count = 1, .addr = {at("0.0.0.0:3478")}};
    assert_int_equal(external_map_new(start, &own, &external, why, sizeof(why)), 0);
    const struct settings_input in = {
        .conf = conf,
        .start = start,
        .own = &own,
        .external = external,
        .listeners = &plan,
        .abilities = {.sha256 = true, .userhash = true},
        .nonce_key = random_key,
        .relay_family = {true, false},
        .draining = draining,
    };
    const int err = settings_new(&in, out, why, sizeof(why));
    external_map_free(external);
    conf_unref(conf);
    conf_unref(start);
    return err;
}

static struct settings *make(const char *text)
{
    struct settings *settings = NULL;

    assert_int_equal(make_with(text, text, false, &settings), 0);
    return settings;
}

static enum gate_verdict ask(const struct settings *settings, const char *peer)
{
    const struct net_addr addr = at(peer);

    return gate_check_addr(settings->gate, &addr);
}

static void settings__defaults(void **state)
{
    struct settings *s = make(BASE);
    const struct turn_config *c = &s->config;

    (void)state;
    assert_string_equal(c->realm, "example.org");
    assert_string_equal(c->software, "");
    assert_true(c->require_auth && c->stun_enabled && c->turn_enabled && c->udp_relay);
    assert_false(c->auth_binding || c->always_fingerprint || c->channels_5766 || c->draining);
    assert_true(c->ipv4_relay);
    assert_false(c->ipv6_relay);
    assert_int_equal(c->algorithms, TURN_ALG_SHA256_MD5);
    assert_true(c->username_anonymity);
    assert_int_equal(c->default_lifetime_s, 600);
    assert_int_equal(c->max_lifetime_s, 3600);
    assert_int_equal(c->permission_s, 300);
    assert_int_equal(c->channel_s, 600);
    assert_int_equal(c->nonce_s, 600);
    assert_int_equal(c->unauth_per_s, 100);
    assert_int_equal(c->unauth_burst, 1000);
    assert_int_equal(c->nonce_key_count, 1);
    assert_memory_equal(c->nonce_keys[0], random_key, sizeof(random_key));
    assert_false(c->limit_capacity);
    settings_free(s);
    settings_free(NULL);
}

static void settings__follow_the_options(void **state)
{
    struct settings *s = make(
        BASE
        "software-attribute\nfingerprint\nsecure-stun\nrfc5766-channel-numbers\n"
        "max-allocate-lifetime=300\nstale-nonce=0\nbps-capacity=1000\nmax-bps=77\n"
        "password-algorithms=md5\nusername-anonymity=off\nallocation-default-address-family=keep\n"
        "alternate-server=198.51.100.9\nno-udp-relay\nunauthorized-ratelimit=off\n"
        "copy-dscp=off\nmax-permissions=5\nmax-channels=6\n");
    const struct turn_config *c = &s->config;

    (void)state;
    assert_memory_equal(c->software, "sterna ", 7);
    assert_true(c->always_fingerprint && c->auth_binding && c->channels_5766);
    assert_int_equal(c->default_lifetime_s, 300);
    assert_int_equal(c->max_lifetime_s, 300);
    assert_int_equal(c->nonce_s, 86400);
    assert_true(c->limit_capacity);
    assert_int_equal(c->max_bps, 77);
    assert_int_equal(c->algorithms, TURN_ALG_MD5);
    assert_false(c->username_anonymity || c->udp_relay || c->copy_dscp);
    assert_int_equal(c->default_family, TURN_DEFAULT_KEEP);
    assert_int_equal(c->alternate_count, 1);
    assert_int_equal(c->alternates[0].port, 3478);
    assert_int_equal(c->unauth_per_s, 0);
    assert_int_equal(c->max_permissions, 5);
    assert_int_equal(c->max_channels, 6);
    settings_free(s);
}

/* The same secret makes the same key wherever it is given; text and its bytes in hexadecimal agree.
 */
static void settings__nonce_keys_follow_from_secrets(void **state)
{
    struct settings *a = make(BASE "stateless-nonce-secret=AB\nstateless-nonce-secret=C\n");
    struct settings *b = make(BASE "stateless-nonce-secret=0x4142\n");
    struct settings *none = NULL;

    (void)state;
    assert_int_equal(a->config.nonce_key_count, 2);
    assert_memory_equal(a->config.nonce_keys[0], b->config.nonce_keys[0], TURN_NONCE_KEY_LEN);
    assert_memory_not_equal(a->config.nonce_keys[0], a->config.nonce_keys[1], TURN_NONCE_KEY_LEN);
    settings_free(a);
    settings_free(b);
    const char *many = BASE "stateless-nonce-secret=1\nstateless-nonce-secret=2\n"
                            "stateless-nonce-secret=3\nstateless-nonce-secret=4\n"
                            "stateless-nonce-secret=5\n";
    assert_int_equal(make_with(many, many, false, &none), -EINVAL);
}

static void settings__gate_knows_our_addresses(void **state)
{
    struct settings *s =
        make(BASE "external-ip=203.0.114.1/198.51.100.5\nallowed-peer-ip=198.51.100.0/24\n"
                  "denied-peer-ip=9.9.9.0-9.9.9.9\n");

    (void)state;
    assert_int_equal(ask(s, "8.8.8.8:53"), GATE_OPEN);
    assert_int_equal(ask(s, "9.9.9.9:53"), GATE_RULE);
    assert_int_equal(ask(s, "10.0.0.1:53"), GATE_PRIVATE);
    assert_int_equal(ask(s, "203.0.114.1:50000"), GATE_OPEN); /* a relay port of ours */
    assert_int_equal(ask(s, "203.0.114.1:22"), GATE_OWN);
    assert_int_equal(ask(s, "127.0.0.1:5000"), GATE_LOOPBACK);
    settings_free(s);
}

/* Even where loopback is open, the listener there stays closed. */
static void settings__gate_protects_listeners(void **state)
{
    struct settings *s = make(BASE "allow-loopback-peers\n");

    (void)state;
    assert_int_equal(ask(s, "127.0.0.1:3480"), GATE_OPEN);
    assert_int_not_equal(ask(s, "127.0.0.1:3478"), GATE_OPEN);
    settings_free(s);
}

/* What needs a restart holds as the server was started. */
static void settings__restart_options_hold(void **state)
{
    struct settings *s = NULL;

    (void)state;
    assert_int_equal(make_with("realm=b.example\nno-auth\nmin-port=1024\n", BASE, true, &s), 0);
    assert_string_equal(s->config.realm, "b.example");
    assert_true(s->config.require_auth);
    assert_true(s->config.draining);
    assert_int_equal(ask(s, "198.51.100.5:3000"), GATE_OWN);
    settings_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings__defaults),
        cmocka_unit_test(settings__follow_the_options),
        cmocka_unit_test(settings__nonce_keys_follow_from_secrets),
        cmocka_unit_test(settings__gate_knows_our_addresses),
        cmocka_unit_test(settings__gate_protects_listeners),
        cmocka_unit_test(settings__restart_options_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
