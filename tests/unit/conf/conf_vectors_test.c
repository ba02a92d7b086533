/* SPDX-License-Identifier: Apache-2.0 */
/* The files that products write for coturn load as they are (tests/vectors/conf). */
#include "base/net_addr.h"
#include "conf/conf_value.h"
#include "conf_tests.h"

static struct conf *vector_load(const char *name)
{
    char path[512];
    struct conf *conf = conf_fresh();

    (void)snprintf(path, sizeof(path), "%s/tests/vectors/conf/%s", SOURCE_ROOT, name);
    const int loaded = conf_load_file(conf, path);
    const int checked = conf_check(conf);
    conf_assert_count(conf, CONF_ERROR, 0);
    assert_int_equal(loaded, 0);
    assert_int_equal(checked, 0);
    return conf;
}

static void synapse__loads(void **state)
{
    struct conf *conf = vector_load("synapse.conf");

    (void)state;
    assert_true(conf->use_auth_secret);
    assert_int_equal(conf->user_quota, 12); /* a comment stands behind it */
    assert_int_equal(conf->total_quota, 1200);
    assert_int_equal(conf->denied_peer_ip.count, 22);
    assert_int_equal(conf->allowed_peer_ip.count, 1);
    assert_int_equal(conf->external_ip.count, 2); /* IPv4 and IPv6, which coturn refuses */
    assert_int_equal(conf->listening_ip.count, 2);
    assert_true(conf->syslog);
    conf_unref(conf);
}

/* It denies ::ffff:0.0.0.0-::ffff:255.255.255.255, and still means to relay to IPv4 peers. */
static void synapse__denies_no_public_ipv4_peer(void **state)
{
    struct conf *conf = vector_load("synapse.conf");
    struct net_ip peer;

    (void)state;
    assert_int_equal(net_ip_parse("8.8.8.8", &peer), 0);
    for (size_t i = 0; i < conf->denied_peer_ip.count; i++) {
        struct conf_range ranges[2];
        const int count = conf_range_parse(conf->denied_peer_ip.items[i].text, ranges);

        assert_true(count >= 0);
        for (int k = 0; k < count; k++) {
            assert_true(net_ip_compare(&peer, &ranges[k].first) < 0 ||
                        net_ip_compare(&peer, &ranges[k].last) > 0);
        }
    }
    conf_unref(conf);
}

static void jitsi__loads(void **state)
{
    struct conf *conf = vector_load("jitsi.conf");

    (void)state;
    assert_int_equal(conf->allocation_default_address_family, CONF_FAMILY_KEEP);
    assert_int_equal(conf->listening_port, 3478);
    assert_true(conf->use_auth_secret && conf->lt_cred_mech);
    assert_string_equal(conf->external_ip.items[0].text, "198.51.100.7/10.0.0.1");
    conf_assert_finding(conf, CONF_WARNING, "'no-tlsv1' has no effect any more");
    conf_assert_finding(conf, CONF_WARNING, "'dh2066' has no effect any more");
    assert_string_equal(conf->cert, "/etc/jitsi/meet/meet.example.org.crt");
    assert_true(conf->no_tcp && conf->no_tcp_relay);
    assert_int_equal(conf->tls_listening_port, 5349);
    conf_unref(conf);
}

static void nextcloud_talk__loads(void **state)
{
    struct conf *conf = vector_load("nextcloud-talk.conf");

    (void)state;
    assert_true(conf->fingerprint);
    assert_int_equal(conf->stale_nonce, 600); /* bare */
    assert_int_equal(conf->total_quota, 0);
    assert_string_equal(conf->log_file, "/var/log/turnserver.log");
    assert_string_equal(conf->relay_ip.items[0].text, "10.0.0.1");
    conf_unref(conf);
}

static void bigbluebutton__loads(void **state)
{
    struct conf *conf = vector_load("bigbluebutton.conf");

    (void)state;
    assert_int_equal(conf->min_port, 32769);
    assert_string_equal(conf->cipher_list,
                        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                        "DHE-RSA-AES256-GCM-SHA384");
    assert_int_equal(conf->denied_peer_ip.count, 2);
    assert_int_equal(conf->allowed_peer_ip.count, 2);
    assert_int_equal(conf->log_min_level, CONF_LEVEL_INFO);
    conf_unref(conf);
}

static void bigbluebutton_old__loads_with_its_misspellings(void **state)
{
    struct conf *conf = vector_load("bigbluebutton-old.conf");

    (void)state;
    assert_string_equal(conf->listening_ip.items[0].text, "10.0.0.1");
    assert_string_equal(conf->relay_ip.items[0].text, "10.0.0.1");
    conf_assert_finding(conf, CONF_WARNING, "'listening_ip' is taken as 'listening-ip'");
    conf_assert_finding(conf, CONF_WARNING, "'relay_ip' is taken as 'relay-ip'");
    conf_unref(conf);
}

static void coturn_allow_wins__keeps_all_rules(void **state)
{
    struct conf *conf = vector_load("coturn-allow-wins.conf");

    (void)state;
    assert_int_equal(conf->denied_peer_ip.count, 3);
    assert_int_equal(conf->allowed_peer_ip.count, 2);
    assert_int_equal(conf->user.count, 2);
    conf_assert_count(conf, CONF_WARNING, 0);
    conf_unref(conf);
}

static void coturn_everything__only_warns(void **state)
{
    struct conf *conf = vector_load("coturn-everything.conf");

    (void)state;
    assert_string_equal(conf->proc_user, "turnserver");
    assert_string_equal(conf->pidfile, "/var/run/turnserver.pid");
    assert_string_equal(conf->new_log_timestamp_format, "%FT%T%z");
    assert_int_equal(conf->relay_threads, 4);
    assert_true(conf->dtls);
    assert_false(conf->no_udp);
    assert_null(conf_finding_with(conf, "$5$"));
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synapse__loads),
        cmocka_unit_test(synapse__denies_no_public_ipv4_peer),
        cmocka_unit_test(jitsi__loads),
        cmocka_unit_test(nextcloud_talk__loads),
        cmocka_unit_test(bigbluebutton__loads),
        cmocka_unit_test(bigbluebutton_old__loads_with_its_misspellings),
        cmocka_unit_test(coturn_allow_wins__keeps_all_rules),
        cmocka_unit_test(coturn_everything__only_warns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
