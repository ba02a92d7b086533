/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "conf/conf_table.h"
#include "conf_tests.h"

static void flag__knows_words_of_both_kinds(void **state)
{
    static const char *const words[][2] = {{"on", "off"}, {"yes", "no"}, {"true", "false"},
                                           {"1", "0"},    {"ON", "Off"}, {"y", "n"}};
    char line[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        for (int k = 0; k < 2; k++) {
            (void)snprintf(line, sizeof(line), "unauthorized-ratelimit=%s", words[i][k]);
            struct conf *conf = conf_of(line);

            assert_int_equal(conf->unauthorized_ratelimit, k == 0);
            assert_int_equal(conf->finding_count, 0);
            conf_unref(conf);
        }
    }
    struct conf *conf = conf_of("fingerprint=maybe\n");
    conf_assert_at(conf, 1, 13, "not by 'maybe'");
    conf_assert_count(conf, CONF_ERROR, 1);
    conf_unref(conf);
}

/* Relay ports 0 to 1023 are refused with the others out of bounds. */
/* Proves T-8656-7.2-22 */
static void number__is_digits_within_bounds(void **state)
{
    static const char *const bad[] = {
        "listening-port=0",      "listening-port=65536", "listening-port=-1",
        "listening-port=+1",     "listening-port=0x10",  "listening-port=1 2",
        "stale-nonce=600s",      "listening-port=",      "max-bps=18446744073709551616",
        "user-quota=4294967296", "min-port=1023",        "min-port=0",
        "max-port=1023",         "max-channels=0"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conf *conf = conf_of(bad[i]);

        if (conf->severity_count[CONF_ERROR] != 1) {
            fail_msg("%s is taken", bad[i]);
        }
        conf_unref(conf);
    }
    struct conf *conf = conf_of("max-bps=18446744073709551615\nuser-quota=4294967295\n"
                                "min-port=1024\nstale-nonce\nmax-allocate-lifetime=\n");
    assert_true(conf->max_bps == UINT64_MAX);
    assert_int_equal(conf->user_quota, UINT32_MAX);
    assert_int_equal(conf->stale_nonce, 600);
    assert_int_equal(conf->max_allocate_lifetime, 3600);
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
}

static void choice__takes_its_words_only(void **state)
{
    struct conf *conf = conf_of("allocation-default-address-family=IPv6\nlog-level=debug\n"
                                "password-algorithms=sha256,md5\nlog-format=xml\n");

    (void)state;
    assert_int_equal(conf->allocation_default_address_family, CONF_FAMILY_IPV6);
    assert_int_equal(conf->log_min_level, CONF_LEVEL_DEBUG);
    assert_int_equal(conf->password_algorithms, CONF_ALGORITHMS_SHA256_MD5);
    conf_assert_finding(conf, CONF_ERROR, "write one of text|json");
    conf_unref(conf);
}

static void text__empty_takes_the_value_back(void **state)
{
    struct conf *conf = conf_of("realm=a\nrealm=\nrest-api-separator=|\nrest-api-separator=\"\"\n");

    (void)state;
    assert_null(conf->realm);
    assert_string_equal(conf->rest_api_separator, ":");
    conf_assert_count(conf, CONF_ERROR, 0);
    conf_unref(conf);
    conf = conf_of("rest-api-separator=::\n");
    conf_assert_finding(conf, CONF_ERROR, "2 bytes long, but may have 1 at most");
    conf_unref(conf);
}

static void list__items_are_judged(void **state)
{
    static const char *const bad[] = {"listening-ip=eth0",
                                      "relay-ip=192.0.2.1:80",
                                      "relay-ip=",
                                      "aux-server=192.0.2.1",
                                      "aux-server=192.0.2.1:0",
                                      "alternate-server=x:1",
                                      "external-ip=a/b",
                                      "external-ip=1.2.3.4/::1",
                                      "denied-peer-ip=10.0.0",
                                      "allowed-peer-ip=10.0.0.0/40",
                                      "user=nopassword",
                                      "user=a:0x12",
                                      "nat64-prefix=64:ff9b::/95",
                                      "static-auth-secret=",
                                      "listening-ip"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conf *conf = conf_of(bad[i]);

        if (conf->severity_count[CONF_ERROR] != 1) {
            fail_msg("%s is taken", bad[i]);
        }
        conf_unref(conf);
    }
}

static void list__items_know_their_place(void **state)
{
    struct conf *conf = conf_of("aux-server=192.0.2.1:80\n\n aux-server = [::1]:81\n");

    (void)state;
    assert_int_equal(conf->aux_server.count, 2);
    assert_string_equal(conf->aux_server.items[1].text, "[::1]:81");
    assert_string_equal(conf->aux_server.items[1].file, "t.conf");
    assert_int_equal(conf->aux_server.items[1].line, 3);
    assert_int_equal(conf->aux_server.items[1].column, 15);
    conf_unref(conf);
}

static void repeated__scalar_warns_and_the_last_counts(void **state)
{
    struct conf *conf = conf_of("min-port=2000\nmin-port=3000\nfingerprint\nfingerprint\n"
                                "realm=x\nrealm=x\n");

    (void)state;
    assert_int_equal(conf->min_port, 3000);
    conf_assert_finding(conf, CONF_WARNING, "was given in line 1 before");
    conf_assert_count(conf, CONF_WARNING, 1); /* the same again is harmless */
    conf_unref(conf);
}

static void secret__is_never_in_a_finding(void **state)
{
    struct conf *conf = conf_checked_of("user=hush\nuser=a:0xhush\nstatic-auth-secret=hush #x\n"
                                        "cli-password=hush;\nstateless-nonce-secret=0xhush\n"
                                        "redis-userdb=hush\npkey-pwd='hush'\n");

    (void)state;
    assert_null(conf_finding_with(conf, "hush"));
    assert_int_equal(conf->severity_count[CONF_ERROR], 2);
    conf_unref(conf);
}

static void removed__options_only_warn(void **state)
{
    (void)state;
    for (int i = 0; i < CONF_OPTIONS; i++) {
        char line[64];

        if (conf_options[i].status != CONF_REMOVED) {
            continue;
        }
        for (int k = 0; k < 2; k++) {
            (void)snprintf(line, sizeof(line), "stun-only\n%s%s\n", conf_options[i].name,
                           k == 0 ? "" : "=3");
            struct conf *conf = conf_checked_of(line);

            assert_int_equal(conf->severity_count[CONF_WARNING], 1);
            assert_int_equal(conf->severity_count[CONF_ERROR], 0);
            conf_unref(conf);
        }
    }
}

static void negated__names_set_the_opposite(void **state)
{
    struct conf *conf = conf_of("no-dtls=false\nno-software-attribute\nno-cli\n");

    (void)state;
    assert_true(conf->dtls);
    assert_false(conf->software_attribute);
    conf_assert_finding(conf, CONF_WARNING, "'no-dtls' is an old name: write 'dtls' instead");
    conf_assert_finding(conf, CONF_NOTE, "'no-cli' is not needed any more");
    conf_assert_count(conf, CONF_WARNING, 1);
    conf_unref(conf);
}

static void aliases__mean_their_option(void **state)
{
    struct conf *conf = conf_of("db=/x\nlistening_ip=192.0.2.1\nnonce-secret=a\nnonce-secret=b\n");

    (void)state;
    assert_string_equal(conf->userdb, "/x");
    assert_int_equal(conf->listening_ip.count, 1);
    assert_int_equal(conf->stateless_nonce_secret.count, 2);
    conf_assert_finding(conf, CONF_WARNING, "'listening_ip' is taken as 'listening-ip'");
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flag__knows_words_of_both_kinds),
        cmocka_unit_test(number__is_digits_within_bounds),
        cmocka_unit_test(choice__takes_its_words_only),
        cmocka_unit_test(text__empty_takes_the_value_back),
        cmocka_unit_test(list__items_are_judged),
        cmocka_unit_test(list__items_know_their_place),
        cmocka_unit_test(repeated__scalar_warns_and_the_last_counts),
        cmocka_unit_test(secret__is_never_in_a_finding),
        cmocka_unit_test(removed__options_only_warn),
        cmocka_unit_test(negated__names_set_the_opposite),
        cmocka_unit_test(aliases__mean_their_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
