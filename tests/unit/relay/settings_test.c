/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/settings.h"

#include <errno.h>
#include <stdlib.h>

#include "../io/tls_pki.h"
#include "base/mem.h"
#include "base/prefix_set.h"
#include "io/tls.h"
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
static struct tls_set *tls;
static uint32_t workers = 1;
static long fail_from = -1; /* which allocation of settings_new() fails */
static uint64_t memory_bytes;

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
    plan = (struct listener_plan){
        .count = 2,
        .item = {{.addr = at("0.0.0.0:3478")}, {.addr = at("0.0.0.0:5349"), .stream = true}},
    };
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
        .workers = workers,
        .memory_bytes = memory_bytes,
        .tls = tls,
    };
    mem_fail_at(fail_from);
    const int err = settings_new(&in, out, why, sizeof(why));
    mem_fail_at(-1);
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
    assert_string_equal(c->main.name, "example.org");
    assert_string_equal(c->software, "");
    assert_true(c->require_auth && c->stun_enabled && c->turn_enabled && c->udp_relay &&
                c->tcp_relay);
    assert_int_equal(c->max_connections, 64);
    assert_false(c->auth_binding || c->always_fingerprint || c->channels_5766 || c->draining);
    assert_true(c->ipv4_relay);
    assert_false(c->ipv6_relay);
    assert_int_equal(c->main.algorithms, TURN_ALG_SHA256_MD5);
    assert_true(c->main.username_anonymity);
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
        "copy-dscp=off\nmax-permissions=5\nmax-channels=6\nno-tcp-relay\n"
        "max-peer-connections=7\n");
    const struct turn_config *c = &s->config;

    (void)state;
    assert_memory_equal(c->software, "sterna ", 7);
    assert_true(c->always_fingerprint && c->auth_binding && c->channels_5766);
    assert_int_equal(c->default_lifetime_s, 300);
    assert_int_equal(c->max_lifetime_s, 300);
    assert_int_equal(c->nonce_s, 86400);
    assert_true(c->limit_capacity);
    assert_int_equal(c->main.max_bps, 77);
    assert_int_equal(c->main.algorithms, TURN_ALG_MD5);
    assert_false(c->main.username_anonymity || c->udp_relay || c->copy_dscp);
    assert_int_equal(c->default_family, TURN_DEFAULT_KEEP);
    assert_int_equal(c->unauth_per_s, 0);
    assert_int_equal(c->max_permissions, 5);
    assert_int_equal(c->max_channels, 6);
    assert_int_equal(c->max_connections, 7);
    assert_false(c->tcp_relay);
    settings_free(s);
}

static void expect_alternates(const struct turn_alternates *a, size_t count, const char *first,
                              const char *domain)
{
    char text[NET_ADDR_TEXT];

    assert_int_equal(a->count, count);
    if (count > 0) {
        assert_string_equal(net_addr_text(&a->items[0].addr, text), first);
        assert_string_equal(a->items[0].domain, domain);
    }
}

static void settings__alternates_follow_the_transport(void **state)
{
    struct settings *s =
        make(BASE "alternate-server=198.51.100.9\nalternate-server=198.51.100.8\n");
    const struct turn_alternates *of = s->config.alternates;
    char text[TURN_MAX_ALTERNATES * 40] = BASE;
    struct settings *none = NULL;

    (void)state;
    expect_alternates(&of[TURN_ALTERNATE_UDP], 2, "198.51.100.9:3478", "");
    expect_alternates(&of[TURN_ALTERNATE_TCP], 2, "198.51.100.9:3478", "");
    expect_alternates(&of[TURN_ALTERNATE_TLS], 0, NULL, NULL);
    settings_free(s);
    s = make(BASE "alternate-server=198.51.100.9\nudp-alternate-server=198.51.100.1:1\n"
                  "tcp-alternate-server=198.51.100.2\ntls-alternate-server=198.51.100.3 a.example\n"
                  "tls-alternate-server=[2001:db8::1]:443\n");
    of = s->config.alternates;
    expect_alternates(&of[TURN_ALTERNATE_UDP], 1, "198.51.100.1:1", "");
    expect_alternates(&of[TURN_ALTERNATE_TCP], 1, "198.51.100.2:3478", "");
    expect_alternates(&of[TURN_ALTERNATE_TLS], 2, "198.51.100.3:5349", "a.example");
    assert_int_equal(of[TURN_ALTERNATE_TLS].items[1].addr.port, 443);
    assert_string_equal(of[TURN_ALTERNATE_TLS].items[1].domain, "");
    settings_free(s);
    for (int i = 0; i <= TURN_MAX_ALTERNATES; i++) {
        (void)strcat(text, "tls-alternate-server=192.0.2.1\n");
    }
    assert_int_equal(make_with(text, text, false, &none), -EINVAL);
}

static void settings__of_connections(void **state)
{
    struct settings *s = make(BASE);

    (void)state;
    assert_int_equal(s->conns.total, 65536);
    assert_int_equal(s->conns.tls, 65536);
    assert_int_equal(s->conns.per_ipv4, 256);
    assert_int_equal(s->conns.per_ipv6_net, 512);
    assert_int_equal(s->stream.control_queue_bytes, 32768);
    assert_int_equal(s->stream.datagram_queue_bytes, 262144);
    assert_int_equal(s->stream.datagram_age_ms, 200);
    assert_int_equal(s->stream.splice_high_bytes, 262144);
    assert_int_equal(s->stream.splice_low_bytes, 65536);
    assert_int_equal(s->stream.send_timeout_ms, 10000);
    assert_int_equal(s->stream.send_min_bytes, 1000);
    assert_int_equal(s->stream.connect_timeout_ms, 30000);
    assert_int_equal(s->stream.first_timeout_ms, 10000);
    assert_int_equal(s->stream.message_timeout_ms, 10000);
    assert_int_equal(s->stream.handshake_timeout_ms, 10000);
    assert_int_equal(s->stream.handshakes_per_s, 200);
    assert_int_equal(s->stream.keepalive_idle_s, 60);
    assert_int_equal(s->stream.keepalive_interval_s, 10);
    assert_int_equal(s->stream.keepalive_count, 3);
    assert_int_equal(s->dtls.max_clients, 65536);
    assert_int_equal(s->dtls.max_half_open, 1024);
    assert_int_equal(s->dtls.handshake_ms, 10000);
    assert_int_equal(s->client_idle_ms, 30000);
    assert_int_equal(s->splice_idle_ms, 7200000);
    assert_int_equal(s->holdoff_ms, 10000);
    assert_int_equal(s->holdoff_shared_ms, 60000);
    assert_null(s->acme_redirect);
    assert_null(s->tls);
    settings_free(s);
}

static void settings__of_connections_follow_the_options(void **state)
{
    struct settings *s =
        make(BASE "max-connections=9\nmax-tls-connections=8\nmax-connections-per-ip=7\n"
                  "max-connections-per-net6=0\ntcp-relay-queue=40000\ntcp-idle-timeout=86400\n"
                  "tcp-relay-idle-timeout=2592000\ntcp-holdoff=0\ntcp-holdoff-shared=0\n"
                  "tls-handshake-timeout=3\ntls-handshake-rate=0\ntcp-keepalive-idle=0\n"
                  "dtls-max-half-open=5\nacme-redirect=http://a.example\n");

    (void)state;
    assert_int_equal(s->conns.total, 9);
    assert_int_equal(s->conns.tls, 8);
    assert_int_equal(s->conns.per_ipv4, 7);
    assert_int_equal(s->conns.per_ipv6_net, 0);
    assert_int_equal(s->stream.splice_low_bytes, 10000);
    assert_int_equal(s->stream.handshake_timeout_ms, 3000);
    assert_int_equal(s->stream.handshakes_per_s, 0);
    assert_int_equal(s->stream.keepalive_idle_s, 0);
    assert_int_equal(s->dtls.handshakes_per_s, 0);
    assert_int_equal(s->dtls.max_half_open, 5);
    assert_int_equal(s->client_idle_ms, 86400000);
    assert_int_equal(s->splice_idle_ms, 2592000000U);
    assert_int_equal(s->holdoff_ms, 0);
    assert_string_equal(s->acme_redirect, "http://a.example");
    settings_free(s);
}

static uint64_t queue_total(const char *text)
{
    struct settings *s = make(text);
    const uint64_t total = s->stream.total_bytes;

    settings_free(s);
    return total;
}

static void settings__bound_what_waits_by_memory(void **state)
{
    const uint64_t mib = 1 << 20;

    (void)state;
    memory_bytes = 512 * mib;
    assert_int_equal(queue_total(BASE), 64 * mib);
    memory_bytes = 4096 * mib;
    assert_int_equal(queue_total(BASE), 256 * mib);
    memory_bytes = 262144 * mib;
    assert_int_equal(queue_total(BASE), 1024 * mib);
    workers = 4;
    assert_int_equal(queue_total(BASE), 256 * mib); /* of each worker */
    assert_int_equal(queue_total(BASE "tcp-queue-total=4000000\n"), 1000000);
    struct settings *s = make(BASE "max-tls-connections=10\n");
    assert_int_equal(s->dtls.max_clients, 3);
    assert_int_equal(s->conns.tls, 10);
    settings_free(s);
    workers = 1;
    memory_bytes = 0;
    assert_in_range(queue_total(BASE), 64 * mib, 1024 * mib);
}

static bool believed(const struct settings *s, const char *from)
{
    const struct net_addr addr = at(from);

    return prefix_set_find(s->proxy_from, &addr.ip) != 0;
}

static void settings__know_the_balancers(void **state)
{
    struct settings *s = make(BASE);

    (void)state;
    assert_true(believed(s, "10.1.2.3") && believed(s, "127.0.0.1") && believed(s, "::1"));
    assert_true(believed(s, "fd00::1") && believed(s, "192.168.1.1"));
    assert_false(believed(s, "198.51.100.1") || believed(s, "2001:db8::1"));
    settings_free(s);
    s = make(BASE "proxy-protocol-from=198.51.100.0/24\nproxy-protocol-from=2001:db8::1\n"
                  "proxy-protocol-from=::-::5\n");
    assert_true(believed(s, "198.51.100.1") && believed(s, "2001:db8::1") && believed(s, "::3"));
    assert_false(believed(s, "10.1.2.3") || believed(s, "127.0.0.1"));
    settings_free(s);
}

/* Certificates that are replaced live on in the settings that were made with them. */
static void settings__keep_their_certificates(void **state)
{
    struct pki pki = pki_make((struct pki_want){.name = "a.example"});
    char why[300] = "";

    (void)state;
    assert_int_equal(pki_begin(), 0);
    const char *path = pki_both_file("both.pem", &pki);
    const struct tls_section section = {.certificate = path,
                                        .version_min = TLS_1_2,
                                        .version_max = TLS_1_3,
                                        .where = "test.conf:1"};
    const struct tls_options options = {.count = 1, .sections = &section};
    assert_int_equal(tls_set_new(&options, &tls, why, sizeof(why)), 0);
    struct settings *s = make(BASE);
    assert_ptr_equal(s->tls, tls);
    tls_set_unref(tls);
    tls = NULL;
    assert_int_equal(tls_set_live_count(), 1);
    settings_free(s);
    assert_int_equal(tls_set_live_count(), 0);
    pki_free(&pki);
    assert_int_equal(pki_end(), 0);
}

/* Nothing is left behind wherever memory ends. */
static void settings__survive_every_failing_allocation(void **state)
{
    const char *text =
        BASE "proxy-protocol-from=198.51.100.0/24\nacme -\nredirect = http : // a.example\n"
             "tls-alternate-server=198.51.100.3 a.example\n";
    struct settings *s = NULL;
    int failures = 0;

    (void)state;
    mem_fail_at(0);
    const bool injects = mem_fails();
    mem_fail_at(-1);
    fail_from = 0;
    for (int err = -ENOMEM; injects && err != 0; fail_from++) {
        err = make_with(text, text, false, &s);
        if (err != 0) {
            assert_int_equal(err, -ENOMEM);
            assert_null(s);
            failures++;
        }
    }
    fail_from = -1;
    settings_free(s);
    assert_true(!injects || failures > 4);
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
    assert_int_not_equal(ask(s, "127.0.0.1:5349"), GATE_OPEN);
    settings_free(s);
}

/* What needs a restart holds as the server was started. */
static void settings__restart_options_hold(void **state)
{
    struct settings *s = NULL;

    (void)state;
    assert_int_equal(make_with("realm=b.example\nno-auth\nmin-port=1024\n", BASE, true, &s), 0);
    assert_string_equal(s->config.main.name, "b.example");
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
        cmocka_unit_test(settings__alternates_follow_the_transport),
        cmocka_unit_test(settings__of_connections),
        cmocka_unit_test(settings__of_connections_follow_the_options),
        cmocka_unit_test(settings__bound_what_waits_by_memory),
        cmocka_unit_test(settings__know_the_balancers),
        cmocka_unit_test(settings__keep_their_certificates),
        cmocka_unit_test(settings__survive_every_failing_allocation),
        cmocka_unit_test(settings__nonce_keys_follow_from_secrets),
        cmocka_unit_test(settings__gate_knows_our_addresses),
        cmocka_unit_test(settings__gate_protects_listeners),
        cmocka_unit_test(settings__restart_options_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
