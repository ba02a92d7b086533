/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_snapshot.h"

#include <stdio.h>

#include "check.h"
#include "settings.h"

static struct auth_snapshot *snapshot_of(const char *lines, bool has_store,
                                         const struct auth_facts *facts)
{
    struct conf *conf = settings(lines);
    struct auth_config *config;
    struct auth_snapshot *snapshot;
    char why[200];

    assert_int_equal(auth_config_new(conf, has_store, &config, why, sizeof(why)), 0);
    conf_unref(conf);
    assert_int_equal(auth_snapshot_new(config, facts, 1, &snapshot), 0);
    auth_config_unref(config);
    return snapshot;
}

static struct auth_abilities abilities(const char *lines, bool has_store,
                                       const struct auth_facts *facts)
{
    struct auth_snapshot *snapshot = snapshot_of(lines, has_store, facts);
    const struct auth_abilities a = snapshot->abilities;

    auth_snapshot_unref(snapshot);
    return a;
}

static void assert_abilities(struct auth_abilities a, bool sha256, bool md5_only, bool userhash)
{
    assert_int_equal(a.sha256, sha256);
    assert_int_equal(a.md5_only, md5_only);
    assert_int_equal(a.userhash, userhash);
}

#define REALM "realm=example.org\n"

static const struct auth_facts nothing;

static void abilities__follow_fixed_users(void **state)
{
    static const char password[] = REALM "user=a:x\n";
    static const char md5[] = REALM "user=a:0x72f86f2053703faa0f521ce71cfe6f59\n";
    static const char both[] = REALM "user=a:0x72f86f2053703faa0f521ce71cfe6f59\nuser=b:x\n";

    (void)state;
    assert_abilities(abilities(password, false, &nothing), true, false, true);
    assert_abilities(abilities(md5, false, &nothing), false, true, true);
    assert_abilities(abilities(both, false, &nothing), false, false, true);
}

/* Time-limited names cannot be listed, so no hash of them can be found. */
/* Proves T-REST-4.2-04 */
static void abilities__of_secrets_have_no_userhash(void **state)
{
    static const char secret[] = REALM "static-auth-secret=s\n";
    static const char mixed[] =
        REALM "static-auth-secret=s\nlt-cred-mech\nuser=a:0x72f86f2053703faa0f521ce71cfe6f59\n";

    (void)state;
    assert_abilities(abilities(secret, false, &nothing), true, false, false);
    assert_abilities(abilities(mixed, false, &nothing), false, false, false);
}

static void abilities__follow_the_database(void **state)
{
    static const char lines[] = REALM "lt-cred-mech\nuserdb=/tmp/x\n";
    static struct auth_facts facts = {.known = true};

    (void)state;
    assert_abilities(abilities(lines, true, &nothing), false, false, false); /* not known */
    assert_abilities(abilities(lines, true, &facts), true, false, true);
    facts.counts = (struct store_counts){3, 0, 0};
    assert_abilities(abilities(lines, true, &facts), false, true, false);
    facts.counts = (struct store_counts){3, 2, 3};
    assert_abilities(abilities(lines, true, &facts), false, false, true);
    facts.counts = (struct store_counts){3, 3, 3};
    assert_abilities(abilities(lines, true, &facts), true, false, true);
}

static void secrets__are_joined_once_each(void **state)
{
    static const char lines[] = REALM "static-auth-secret=one\nstatic-auth-secret=two\n";
    struct auth_facts *facts = test_calloc(1, sizeof(*facts));

    (void)state;
    auth_secrets_add(&facts->secrets, bytes_of("two"));
    auth_secrets_add(&facts->secrets, bytes_of("three"));
    auth_secrets_add(&facts->secrets, bytes_of(""));
    struct auth_snapshot *snapshot = snapshot_of(lines, true, facts);
    assert_int_equal(snapshot->secrets.count, 3);
    assert_int_equal(snapshot->secrets.ignored, 0);
    assert_memory_equal(snapshot->secrets.secrets[2].bytes, "three", 5);
    auth_snapshot_unref(snapshot);
    test_free(facts);
}

static void secrets__have_a_bound(void **state)
{
    static const char rest[] = REALM "use-auth-secret\nuserdb=/tmp/x\n";
    static const char mixed[] = REALM "use-auth-secret\nlt-cred-mech\nuserdb=/tmp/x\n";
    struct auth_facts *facts = test_calloc(1, sizeof(*facts));
    static uint8_t longest[STORE_SECRET_MAX + 1];

    (void)state;
    for (unsigned i = 0; i < CREDENTIAL_MAX_KEYS + 3; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "secret%u", i);
        auth_secrets_add(&facts->secrets, bytes_of(value));
    }
    struct auth_snapshot *snapshot = snapshot_of(rest, true, facts);
    assert_int_equal(snapshot->secrets.count, CREDENTIAL_MAX_KEYS);
    assert_int_equal(snapshot->secrets.ignored, 3);
    auth_snapshot_unref(snapshot);
    snapshot = snapshot_of(mixed, true, facts); /* one place is the database user's */
    assert_int_equal(snapshot->secrets.count, CREDENTIAL_MAX_KEYS - 1);
    assert_int_equal(snapshot->secrets.ignored, 4);
    auth_snapshot_unref(snapshot);
    memset(facts, 0, sizeof(*facts));
    auth_secrets_add(&facts->secrets, (struct bytes){longest, sizeof(longest)});
    assert_int_equal(facts->secrets.count, 0);
    assert_int_equal(facts->secrets.ignored, 1);
    test_free(facts);
}

static void config__reads_what_concerns_it(void **state)
{
    static const char lines[] =
        REALM "use-auth-secret\nrest-api-separator=#\nuser-cache-ttl=7\nuserdb=/tmp/x\n";
    struct auth_snapshot *snapshot = snapshot_of(lines, true, &nothing);

    (void)state;
    assert_string_equal(snapshot->config->realm, "example.org");
    assert_int_equal(snapshot->config->separator, '#');
    assert_int_equal(snapshot->config->ttl_ms, 7000);
    assert_true(snapshot->config->ask_secrets);
    assert_false(snapshot->config->ask_users);
    auth_snapshot_unref(snapshot);
    auth_snapshot_unref(NULL);
    auth_config_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abilities__follow_fixed_users),
        cmocka_unit_test(abilities__of_secrets_have_no_userhash),
        cmocka_unit_test(abilities__follow_the_database),
        cmocka_unit_test(secrets__are_joined_once_each),
        cmocka_unit_test(secrets__have_a_bound),
        cmocka_unit_test(config__reads_what_concerns_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
