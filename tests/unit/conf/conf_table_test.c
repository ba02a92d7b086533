/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* coturn's options of today and yesterday, as its users write them. */
static const char *const coturn_names[] = {
    "listening-device", "listening-port", "tls-listening-port", "alt-listening-port",
    "alt-tls-listening-port", "tcp-proxy-port", "listening-ip", "relay-device", "relay-ip",
    "external-ip", "relay-threads", "min-port", "max-port", "sock-buf-size", "lt-cred-mech",
    "no-auth", "user", "userdb", "db", "psql-userdb", "sql-userdb", "mysql-userdb", "mongo-userdb",
    "redis-userdb", "redis-statsdb", "prometheus", "prometheus-port", "prometheus-address",
    "prometheus-path", "prometheus-username-labels", "prometheus-tls", "prometheus-cert",
    "prometheus-key", "use-auth-secret", "static-auth-secret", "no-auth-pings",
    "no-dynamic-ip-list", "no-dynamic-realms", "realm", "server-name", "oauth", "user-quota",
    "total-quota", "max-bps", "bps-capacity", "verbose", "Verbose", "daemon",
    "no-software-attribute", "software-attribute", "fingerprint", "check-origin-consistency",
    "no-udp", "no-tcp", "no-tls", "dtls", "no-dtls", "no-udp-relay", "no-tcp-relay", "stale-nonce",
    "max-allocate-lifetime", "channel-lifetime", "permission-lifetime", "stun-only", "no-stun",
    "cert", "raw-public-keys", "pkey", "pkey-pwd", "log-file", "no-stdout-log", "syslog",
    "simple-log", "log-min-level", "new-log-timestamp", "new-log-timestamp-format", "aux-server",
    "udp-self-balance", "alternate-server", "tls-alternate-server", "tcp-alternate-server",
    "udp-alternate-server", "rest-api-separator", "max-allocate-timeout", "drain-min-allocations",
    "no-multicast-peers", "allow-loopback-peers", "allowed-peer-ip", "denied-peer-ip",
    "cipher-list", "pidfile", "secure-stun", "CA-file", "dh-file", "proc-user", "proc-group",
    "mobility", "no-cli", "cli", "cli-ip", "cli-port", "cli-password", "web-admin", "web-admin-ip",
    "web-admin-port", "web-admin-listen-on-workers", "server-relay", "cli-max-output-sessions",
    "ec-curve-name", "dh566", "dh1066", "tlsv1", "tlsv1_1", "no-tlsv1_2", "secret-key-file",
    "keep-address-family", "allocation-default-address-family", "acme-redirect", "log-binding",
    "no-rfc5780", "rfc5780", "stun-backward-compatibility", "rfc5766-channel-numbers",
    "rfc3489-compatibility", "response-origin-only-with-rfc5780", "respond-http-unsupported",
    "drop-invalid-packets", "drop-invalid-packets-log", "udp-recvmmsg", "udp-recvmmsg-log",
    "udp-sendmmsg-log", "udp-gso", "include-reason-string", "multiplex-peer", "multiplex-peer-port",
    "multiplex-peer-max-peers", "syslog-facility", "cpus", "unauthorized-ratelimit",
    "unauthorized-ratelimit-rps", "stateless-nonce", "stateless-nonce-secret",
    /* removed, and misspelt by products */
    "ne", "no-tlsv1", "no-tlsv1_1", "no-stun-backward-compatibility", "no-loopback-peers",
    "no-sslv2", "no-sslv3", "dh2066", "prod", "no-http", "listening_ip", "relay_ip"};

static void table__knows_every_coturn_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(coturn_names); i++) {
        const struct conf_alias *alias;
        enum conf_opt opt;

        if (conf_option_find(bytes_of(coturn_names[i]), &opt, &alias) < 0) {
            fail_msg("%s is not known", coturn_names[i]);
        }
    }
}

static void table__knows_coturns_letters(void **state)
{
    static const char letters[] = "dpLEXimlrubBeMJNOqQsCKAvVofzaS"; /* c, n, h are no options */

    (void)state;
    for (size_t i = 0; letters[i] != 0; i++) {
        enum conf_opt opt;

        assert_int_equal(conf_option_find_letter(letters[i], &opt), 0);
        for (int k = (int)opt + 1; k < CONF_OPTIONS; k++) {
            assert_int_not_equal(conf_options[k].letter, letters[i]);
        }
    }
}

static void table__fields_are_named_after_options(void **state)
{
    static const char *const fields[] = {
#define OPTION(field, ...) #field,
#include "conf/options.def"
    };

    (void)state;
    assert_int_equal(COUNT_OF(fields), CONF_OPTIONS);
    for (size_t i = 0; i < CONF_OPTIONS; i++) {
        const char *name = conf_options[i].name;

        assert_int_equal(strlen(name), strlen(fields[i]));
        for (size_t k = 0; name[k] != 0; k++) {
            assert_int_equal(name[k] == '-' ? '_' : name[k], fields[i][k]);
        }
    }
}

static void table__rows_are_sound(void **state)
{
    char word[32];

    (void)state;
    for (int i = 0; i < CONF_OPTIONS; i++) {
        const struct conf_option *o = &conf_options[i];
        const size_t help = strlen(o->help);

        assert_true(help > 0 && o->help[help - 1] == '.');
        if (o->type == CONF_TYPE_u32) {
            assert_true(o->min <= o->max && o->max <= UINT32_MAX);
        }
        if (o->type == CONF_TYPE_u32 && o->number != 0) {
            assert_true(o->number >= o->min && o->number <= o->max);
        }
        if (o->type == CONF_TYPE_choice) {
            assert_true(conf_choice_word(o, (uint32_t)o->number, word));
        }
        assert_true(o->type == CONF_TYPE_flag || o->type == CONF_TYPE_none || o->unit[0] != 0);
        assert_int_equal(o->type == CONF_TYPE_none, o->status == CONF_REMOVED);
        assert_non_null(conf_option_group((enum conf_opt)i));
        assert_true(o->status != CONF_LATER || conf_option_group((enum conf_opt)i)->why[0] != 0);
    }
}

static void keys__are_sound(void **state)
{
    char word[32];

    (void)state;
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        const struct conf_option *o = &key->option;
        const size_t help = strlen(o->help);
        const struct conf_section_kind *kind = conf_section_kind_find(bytes_of(key->section));

        assert_true(kind != NULL && kind->active);
        assert_true(help > 0 && o->help[help - 1] == '.');
        assert_true(o->type == CONF_TYPE_flag || o->unit[0] != 0);
        assert_true(o->type != CONF_TYPE_choice || conf_choice_word(o, 0, word));
        assert_ptr_equal(conf_key_find(key->section, bytes_of(o->name)), key);
        assert_true(key->alias == NULL || conf_key_find(key->section, bytes_of(key->alias)) == key);
        assert_null(conf_key_find("cluster", bytes_of(o->name)));
    }
    for (size_t i = 0; i < conf_section_kind_count; i++) {
        const size_t help = strlen(conf_section_kinds[i].help);

        assert_true(help > 0 && conf_section_kinds[i].help[help - 1] == '.');
    }
}

static void choice__words_match_their_enums(void **state)
{
    static const struct {
        enum conf_opt opt;
        uint32_t value;
        const char *word;
    } cases[] = {
        {CONF_OPT_network_engine, CONF_ENGINE_AUTO, "auto"},
        {CONF_OPT_network_engine, CONF_ENGINE_REUSEPORT, "reuseport"},
        {CONF_OPT_network_engine, CONF_ENGINE_CONNECTED, "connected"},
        {CONF_OPT_network_engine, CONF_ENGINE_PAIRED, "paired"},
        {CONF_OPT_network_engine, CONF_ENGINE_DISPATCH, "dispatch"},
        {CONF_OPT_worker_affinity, CONF_AFFINITY_OFF, "off"},
        {CONF_OPT_worker_affinity, CONF_AFFINITY_CPU, "cpu"},
        {CONF_OPT_offload, CONF_OFFLOAD_OFF, "off"},
        {CONF_OPT_offload, CONF_OFFLOAD_AUTO, "auto"},
        {CONF_OPT_offload, CONF_OFFLOAD_XDP, "xdp"},
        {CONF_OPT_offload, CONF_OFFLOAD_XDP_GENERIC, "xdp-generic"},
        {CONF_OPT_offload, CONF_OFFLOAD_TC, "tc"},
        {CONF_OPT_allocation_default_address_family, CONF_FAMILY_IPV4, "ipv4"},
        {CONF_OPT_allocation_default_address_family, CONF_FAMILY_IPV6, "ipv6"},
        {CONF_OPT_allocation_default_address_family, CONF_FAMILY_KEEP, "keep"},
        {CONF_OPT_password_algorithms, CONF_ALGORITHMS_AUTO, "auto"},
        {CONF_OPT_password_algorithms, CONF_ALGORITHMS_SHA256_MD5, "sha256,md5"},
        {CONF_OPT_password_algorithms, CONF_ALGORITHMS_MD5, "md5"},
        {CONF_OPT_password_algorithms, CONF_ALGORITHMS_SHA256, "sha256"},
        {CONF_OPT_username_anonymity, CONF_ANONYMITY_AUTO, "auto"},
        {CONF_OPT_username_anonymity, CONF_ANONYMITY_OFF, "off"},
        {CONF_OPT_log_min_level, CONF_LEVEL_ERROR, "error"},
        {CONF_OPT_log_min_level, CONF_LEVEL_WARNING, "warning"},
        {CONF_OPT_log_min_level, CONF_LEVEL_NOTICE, "notice"},
        {CONF_OPT_log_min_level, CONF_LEVEL_INFO, "info"},
        {CONF_OPT_log_min_level, CONF_LEVEL_DEBUG, "debug"},
        {CONF_OPT_log_format, CONF_FORMAT_TEXT, "text"},
        {CONF_OPT_log_format, CONF_FORMAT_JSON, "json"},
    };

    char word[32];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(conf_choice_word(&conf_options[cases[i].opt], cases[i].value, word));
        assert_string_equal(word, cases[i].word);
    }
    assert_false(conf_choice_word(&conf_options[CONF_OPT_log_format], 2, word));
}

static void nearest__finds_misspellings(void **state)
{
    static const char *const cases[][2] = {{"listning-port", "listening-port"},
                                           {"denied-peer-ips", "denied-peer-ip"},
                                           {"static_auth_secret", "static-auth-secret"},
                                           {"Realm", "realm"},
                                           {"lt-cerd-mech", "lt-cred-mech"},
                                           {"min_port", "min-port"},
                                           {"users", "user"},
                                           {"externalip", "external-ip"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *nearest = conf_option_nearest(bytes_of(cases[i][0]));

        assert_non_null(nearest);
        assert_string_equal(nearest, cases[i][1]);
    }
    assert_null(conf_option_nearest(bytes_of("quite-something-else")));
    assert_null(conf_option_nearest(bytes_of("x")));
    assert_string_equal(conf_section_nearest(bytes_of("relm")), "realm");
    assert_string_equal(conf_key_nearest("tls", bytes_of("privat-key")), "private-key");
    assert_null(conf_key_nearest("listener", bytes_of("privat-key")));
}

static void group__holds_its_options(void **state)
{
    (void)state;
    assert_string_equal(conf_option_group(CONF_OPT_listening_port)->title, "Listeners");
    assert_string_equal(conf_option_group(CONF_OPT_dtls)->title, "Listeners");
    assert_string_equal(conf_option_group(CONF_OPT_relay_ip)->title, "Relay addresses and ports");
    assert_string_equal(conf_option_group(CONF_OPT_prod)->title, "Removed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__knows_every_coturn_option),
        cmocka_unit_test(table__knows_coturns_letters),
        cmocka_unit_test(table__fields_are_named_after_options),
        cmocka_unit_test(table__rows_are_sound),
        cmocka_unit_test(keys__are_sound),
        cmocka_unit_test(choice__words_match_their_enums),
        cmocka_unit_test(nearest__finds_misspellings),
        cmocka_unit_test(group__holds_its_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
