/* SPDX-License-Identifier: Apache-2.0 */
/* Settling, judging and comparing whole configurations. */
#include <errno.h>
#include <unistd.h>

#include "conf/conf_table.h"
#include "conf_tests.h"

#define USER "realm=x\nuser=a:b\n"

static void auth__is_required_unless_given_up(void **state)
{
    (void)state;
    conf_expect("", CONF_ERROR, "it knows no credentials");
    conf_expect("stun-only\nsecure-stun\n", CONF_ERROR, "it knows no credentials");
    conf_expect("use-auth-secret\npsql-userdb=x\n", CONF_WARNING,
                "'psql-userdb' has no effect yet");
    conf_expect("no-auth\nlt-cred-mech\n", CONF_ERROR, "no-auth contradicts");
    conf_expect("no-auth\nstatic-auth-secret=x\n", CONF_ERROR, "no-auth contradicts");
    conf_expect("no-auth\nuser=a:b\n", CONF_WARNING, "user lines have no effect");
    conf_expect("no-auth\n", CONF_WARNING, "anybody who reaches this server");
    conf_expect_good("stun-only\n");
    conf_expect_good(USER);
    conf_expect_good("realm=x\nstatic-auth-secret=y\n");
    conf_expect_good("realm=x\nuserdb=/x\n");
    conf_expect_good("no-auth\nstun-only\n");
}

static void sources__follow_from_what_is_given(void **state)
{
    struct conf *conf = conf_checked_of(USER "static-auth-secret=s\n");

    (void)state;
    assert_true(conf->lt_cred_mech);
    assert_true(conf->use_auth_secret);
    assert_null(conf->userdb);
    conf_unref(conf);
    conf = conf_checked_of("realm=x\nuserdb=/x\n");
    assert_true(conf->lt_cred_mech);
    conf_unref(conf);
    conf = conf_checked_of("realm=x\nlt-cred-mech\n");
    if (conf->userdb == NULL) { /* no coturn database on this machine */
        conf_assert_finding(conf, CONF_ERROR, "lt-cred-mech is on, but there are no users");
    } else {
        conf_assert_finding(conf, CONF_NOTE, "users are looked up in");
    }
    conf_unref(conf);
}

/* Proves T-8656-5-16 */
static void realm__is_derived_with_a_warning(void **state)
{
    struct conf *conf = conf_checked_of("user=a:b\n");

    (void)state;
    assert_non_null(conf->realm);
    assert_true(conf->realm[0] != 0);
    conf_assert_finding(conf, CONF_WARNING, "no realm is given");
    conf_unref(conf);
    conf = conf_checked_of("no-auth\n");
    assert_null(conf->realm);
    conf_unref(conf);
}

static void realm__has_at_most_127_characters(void **state)
{
    char text[300] = "user=a:b\nrealm=";
    size_t len = strlen(text);

    (void)state;
    for (int i = 0; i < 127; i++) { /* two bytes each: characters count, not bytes */
        memcpy(text + len, "\xc3\xa4", 2);
        len += 2;
    }
    text[len] = 0;
    conf_expect_good(text);
    text[len] = 'x';
    text[len + 1] = 0;
    conf_expect(text, CONF_ERROR, "the realm has 128 characters");
}

static void service__must_leave_something_to_do(void **state)
{
    (void)state;
    conf_expect(USER "stun-only\nno-stun\n", CONF_ERROR, "leave nothing to serve");
    conf_expect(USER "min-port=3000\nmax-port=2000\n", CONF_ERROR,
                "min-port (3000) is above max-port");
    conf_expect(USER "max-port=2000\n", CONF_ERROR, "min-port (49152) is above max-port (2000)");
    conf_expect(USER "relay-ip=0.0.0.0\n", CONF_ERROR, "relay-ip wants an address");
    conf_expect(USER "relay-ip=ff02::1\n", CONF_ERROR, "relay-ip wants an address");
    conf_expect(USER "external-ip=::\n", CONF_ERROR, "external-ip wants an address");
    conf_expect_good(USER "network-engine=paired\n");
    conf_expect_good(USER "min-port=1024\nmax-port=1024\nlistening-ip=0.0.0.0\n");
}

static void lifetimes__of_the_rfc_are_defended(void **state)
{
    (void)state;
    conf_expect(USER "permission-lifetime=12\n", CONF_WARNING, "RFC 8656 section 9 says 300 s");
    conf_expect(USER "channel-lifetime=12\n", CONF_WARNING, "RFC 8656 section 12 says 600 s");
    conf_expect_good(USER "permission-lifetime\nchannel-lifetime=600\n");
}

static void keys__that_can_never_log_in_are_told(void **state)
{
    (void)state;
    conf_expect("realm=x\npassword-algorithms=sha256\nuser=a:0x00112233445566778899aabbccddeeff\n",
                CONF_WARNING, "an MD5 key only");
    conf_expect("realm=x\npassword-algorithms=md5\nuser=a:0x00112233445566778899aabbccddeeff"
                "00112233445566778899aabbccddeeff\n",
                CONF_WARNING, "a SHA-256 key only");
    conf_expect_good("realm=x\nuser=a:0x00112233445566778899aabbccddeeff\n");
}

static void nonce__secrets_and_lifetime(void **state)
{
    struct conf *conf = conf_checked_of(USER "stale-nonce=0\n");

    (void)state;
    assert_int_equal(conf->stale_nonce, 86400);
    conf_unref(conf);
    conf_expect(USER "nonce-secret=0xzz\n", CONF_WARNING, "is not hexadecimal");
    conf_expect(USER
                "nonce-secret=1\nnonce-secret=2\nnonce-secret=3\nnonce-secret=4\nnonce-secret=5\n",
                CONF_ERROR, "4 secrets for nonces at most");
    conf_expect_good(USER "nonce-secret=0x00ff\nnonce-secret=text\n");
}

static void secrets__are_read_from_a_file(void **state)
{
    char path[] = "/tmp/sterna-conf-XXXXXX";
    char text[128];
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "first # all of it\n\nsecond\r\nthird") > 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(text, sizeof(text), "realm=x\nstatic-auth-secret-file=%s\n", path);
    struct conf *conf = conf_checked_of(text);
    assert_int_equal(conf->static_auth_secret.count, 3);
    assert_string_equal(conf->static_auth_secret.items[0].text, "first # all of it");
    assert_string_equal(conf->static_auth_secret.items[1].text, "second");
    assert_string_equal(conf->static_auth_secret.items[2].text, "third");
    assert_string_equal(conf->static_auth_secret.items[2].file, path);
    assert_int_equal(conf->static_auth_secret.items[2].line, 4);
    assert_true(conf->use_auth_secret);
    conf_unref(conf);
    assert_int_equal(unlink(path), 0);
    conf = conf_checked_of(text);
    conf_assert_at(conf, 2, 25, "cannot read the file of 'static-auth-secret-file'");
    conf_unref(conf);
}

static void external__second_plain_one_of_a_family_is_left_out(void **state)
{
    struct conf *conf =
        conf_checked_of(USER "external-ip=192.0.2.1\nexternal-ip=2001:db8::1\n"
                             "external-ip=192.0.2.2\nexternal-ip=192.0.2.3/10.0.0.1\n");

    (void)state;
    assert_int_equal(conf->external_ip.count, 3);
    assert_string_equal(conf->external_ip.items[0].text, "192.0.2.1");
    assert_string_equal(conf->external_ip.items[1].text, "2001:db8::1");
    assert_string_equal(conf->external_ip.items[2].text, "192.0.2.3/10.0.0.1");
    conf_assert_at(conf, 5, 13, "a second external-ip for IPv4");
    conf_unref(conf);
}

static void log__names_that_are_no_files(void **state)
{
    struct conf *conf = conf_checked_of(USER "log-file=syslog\nverbose\n");

    (void)state;
    assert_true(conf->syslog);
    assert_null(conf->log_file);
    assert_int_equal(conf->log_min_level, CONF_LEVEL_INFO);
    conf_unref(conf);
    conf = conf_checked_of(USER "log-file=-\nno-stdout-log\nverbose\nVerbose\nlog-level=error\n");
    assert_false(conf->no_stdout_log);
    assert_null(conf->log_file);
    assert_int_equal(conf->log_min_level, CONF_LEVEL_ERROR);
    conf_unref(conf);
    conf_expect(USER "no-stdout-log\n", CONF_WARNING, "nothing is logged");
}

static void effect__is_told_once_for_each_idle_option(void **state)
{
    struct conf *conf =
        conf_checked_of(USER "raw-public-keys\nrespond-http-unsupported\ncli=off\ndh566\n"
                             "no-multicast-peers\nno-multicast-peers=no\n");

    (void)state;
    conf_assert_finding(conf, CONF_WARNING, "'raw-public-keys' has no effect yet");
    conf_assert_finding(conf, CONF_WARNING, "'respond-http-unsupported' has no effect yet");
    conf_assert_finding(conf, CONF_NOTE, "'dh566' is not needed");
    conf_assert_finding(conf, CONF_WARNING, "'no-multicast-peers' cannot be switched off");
    assert_null(conf_finding_with(conf, "'cli'"));
    assert_int_equal(conf->severity_count[CONF_WARNING], 4); /* and no-multicast-peers twice */
    conf_unref(conf);
}

static void family__keep_has_an_old_name(void **state)
{
    struct conf *conf = conf_checked_of(USER "keep-address-family\n");

    (void)state;
    assert_int_equal(conf->allocation_default_address_family, CONF_FAMILY_KEEP);
    conf_unref(conf);
    conf = conf_checked_of(USER "keep-address-family\nallocation-default-address-family=ipv6\n");
    assert_int_equal(conf->allocation_default_address_family, CONF_FAMILY_IPV6);
    conf_unref(conf);
}

static void peers__loose_rules_are_told(void **state)
{
    (void)state;
    conf_expect(USER "allow-loopback-peers\n", CONF_WARNING, "for tests only");
    conf_expect(USER "denied-peer-ip=::ffff:0:0/96\n", CONF_NOTE, "this range changes nothing");
}

struct seen {
    size_t live;
    size_t restart;
    const char *last;
};

static void count_change(void *arg, const struct conf_option *option)
{
    struct seen *seen = arg;

    seen->live += option->reload == CONF_LIVE;
    seen->restart += option->reload == CONF_RESTART;
    seen->last = option->name;
}

static void diff__tells_what_changed_and_when_it_counts(void **state)
{
    struct conf *a = conf_checked_of(USER "denied-peer-ip=192.0.2.1\nlog-file=/a\n");
    struct conf *b = conf_checked_of(USER "denied-peer-ip=192.0.2.2\nlog-file=/b\nmin-port=2000\n"
                                          "max-bps=5\nfingerprint\nstatic-auth-secret=x\n");
    struct seen seen = {0};

    (void)state;
    assert_int_equal(conf_diff(a, a, count_change, &seen), 0);
    assert_null(seen.last);
    assert_int_equal(conf_diff(a, b, count_change, &seen), 7); /* and use-auth-secret, implied */
    assert_int_equal(seen.live, 6);
    assert_int_equal(seen.restart, 1);
    conf_unref(a);
    conf_unref(b);
}

static void references__are_counted(void **state)
{
    struct conf *conf = conf_fresh();

    (void)state;
    assert_ptr_equal(conf_ref(conf), conf);
    conf_unref(conf);
    assert_int_equal(conf->listening_port, 3478);
    conf_unref(conf);
    conf_unref(NULL);
}

static void effective__reads_back_and_hides_secrets(void **state)
{
    struct conf *a =
        conf_checked_of(USER "static-auth-secret=hush\ncli-password=hush\n"
                             "allowed-peer-ip=192.0.2.0/24\nallowed-peer-ip=::1\n"
                             "log-format=json\nmax-bps=12\npidfile=\"/a # b\"\nverbose\n");
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    struct seen seen = {0};

    (void)state;
    assert_non_null(out);
    conf_write_effective(a, out, true);
    (void)fclose(out);
    assert_null(strstr(text, "hush"));
    assert_null(strstr(text, "a:b"));
    assert_non_null(strstr(text, "# static-auth-secret=(hidden)\n"));
    assert_non_null(strstr(text, "log-min-level=info\n"));
    assert_non_null(strstr(text, "listening-port=3478\n"));
    struct conf *b = conf_of(text);
    conf_assert_count(b, CONF_WARNING, 0);
    assert_int_equal(conf_diff(a, b, count_change, &seen), 3); /* user, secret, console password */
    conf_unref(a);
    conf_unref(b);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auth__is_required_unless_given_up),
        cmocka_unit_test(sources__follow_from_what_is_given),
        cmocka_unit_test(realm__is_derived_with_a_warning),
        cmocka_unit_test(realm__has_at_most_127_characters),
        cmocka_unit_test(service__must_leave_something_to_do),
        cmocka_unit_test(lifetimes__of_the_rfc_are_defended),
        cmocka_unit_test(keys__that_can_never_log_in_are_told),
        cmocka_unit_test(nonce__secrets_and_lifetime),
        cmocka_unit_test(secrets__are_read_from_a_file),
        cmocka_unit_test(external__second_plain_one_of_a_family_is_left_out),
        cmocka_unit_test(log__names_that_are_no_files),
        cmocka_unit_test(effect__is_told_once_for_each_idle_option),
        cmocka_unit_test(family__keep_has_an_old_name),
        cmocka_unit_test(peers__loose_rules_are_told),
        cmocka_unit_test(diff__tells_what_changed_and_when_it_counts),
        cmocka_unit_test(references__are_counted),
        cmocka_unit_test(effective__reads_back_and_hides_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
