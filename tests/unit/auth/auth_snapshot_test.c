/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_snapshot.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "settings.h"

/* `facts` is given back. */
static struct auth_snapshot *snapshot_of(const char *lines, bool has_store,
                                         struct auth_facts *facts)
{
    struct conf *conf = settings(lines);
    struct auth_config *config;
    struct auth_snapshot *snapshot;
    char why[200];

    assert_int_equal(auth_config_new(conf, has_store, &config, why, sizeof(why)), 0);
    conf_unref(conf);
    assert_int_equal(auth_snapshot_new(config, facts, 1, &snapshot), 0);
    auth_config_unref(config);
    auth_facts_unref(facts);
    return snapshot;
}

/* Facts that know of the realms in `names`, which ends with NULL. */
static struct auth_facts *facts_of(const char *const *names)
{
    struct auth_facts *facts = auth_facts_new();

    assert_non_null(facts);
    for (size_t i = 0; names[i] != NULL; i++) {
        assert_int_equal(auth_facts_realm_add(facts, bytes_of(names[i])), 0);
    }
    return facts;
}

static struct auth_facts *example_facts(struct store_counts counts)
{
    static const char *const names[] = {"example.org", NULL};
    struct auth_facts *facts = facts_of(names);

    auth_facts_realm(facts, bytes_of("example.org"))->counts = counts;
    return facts;
}

static struct auth_abilities abilities(const char *lines, bool has_store, struct auth_facts *facts)
{
    struct auth_snapshot *snapshot = snapshot_of(lines, has_store, facts);
    const struct auth_abilities a = snapshot->realms->realms[0].abilities;

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

static void abilities__follow_fixed_users(void **state)
{
    static const char password[] = REALM "user=a:x\n";
    static const char md5[] = REALM "user=a:0x72f86f2053703faa0f521ce71cfe6f59\n";
    static const char both[] = REALM "user=a:0x72f86f2053703faa0f521ce71cfe6f59\nuser=b:x\n";

    (void)state;
    assert_abilities(abilities(password, false, NULL), true, false, true);
    assert_abilities(abilities(md5, false, NULL), false, true, true);
    assert_abilities(abilities(both, false, NULL), false, false, true);
}

/* Time-limited names cannot be listed, so no hash of them can be found. */
/* Proves T-REST-4.2-04 */
static void abilities__of_secrets_have_no_userhash(void **state)
{
    static const char secret[] = REALM "static-auth-secret=s\n";
    static const char mixed[] =
        REALM "static-auth-secret=s\nlt-cred-mech\nuser=a:0x72f86f2053703faa0f521ce71cfe6f59\n";

    (void)state;
    assert_abilities(abilities(secret, false, NULL), true, false, false);
    assert_abilities(abilities(mixed, false, NULL), false, false, false);
}

#define COUNTED(...) example_facts((struct store_counts){__VA_ARGS__})

static void abilities__follow_the_database(void **state)
{
    static const char lines[] = REALM "lt-cred-mech\nuserdb=/tmp/x\n";
    (void)state;
    assert_abilities(abilities(lines, true, NULL), false, false, false); /* not known */
    assert_abilities(abilities(lines, true, COUNTED(0, 0, 0)), true, false, true);
    assert_abilities(abilities(lines, true, COUNTED(3, 0, 0)), false, true, false);
    assert_abilities(abilities(lines, true, COUNTED(3, 2, 3)), false, false, true);
    assert_abilities(abilities(lines, true, COUNTED(3, 3, 3)), true, false, true);
}

static void secrets__are_joined_once_each(void **state)
{
    static const char lines[] = REALM "static-auth-secret=one\nstatic-auth-secret=two\n";
    struct auth_facts *facts = COUNTED(0, 0, 0);
    struct auth_secrets **secrets = &auth_facts_realm(facts, bytes_of("example.org"))->secrets;

    (void)state;
    assert_int_equal(auth_secrets_put(secrets, bytes_of("two")), 0);
    assert_int_equal(auth_secrets_put(secrets, bytes_of("three")), 0);
    assert_int_equal(auth_secrets_put(secrets, bytes_of("")), 0);
    struct auth_snapshot *snapshot = snapshot_of(lines, true, facts);
    assert_int_equal(snapshot->known[0].secrets->count, 3);
    assert_int_equal(snapshot->known[0].secrets->ignored, 0);
    assert_memory_equal(snapshot->known[0].secrets->secrets[2].bytes, "three", 5);
    assert_int_equal(snapshot->secrets, 3);
    auth_snapshot_unref(snapshot);
}

static void secrets__have_a_bound(void **state)
{
    static const char rest[] = REALM "use-auth-secret\nuserdb=/tmp/x\n";
    static const char mixed[] = REALM "use-auth-secret\nlt-cred-mech\nuserdb=/tmp/x\n";
    struct auth_facts *facts = COUNTED(0, 0, 0);
    struct auth_secrets **secrets = &auth_facts_realm(facts, bytes_of("example.org"))->secrets;
    static uint8_t longest[STORE_SECRET_MAX + 1];

    (void)state;
    for (unsigned i = 0; i < CREDENTIAL_MAX_KEYS + 3; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "secret%u", i);
        assert_int_equal(auth_secrets_put(secrets, bytes_of(value)), 0);
    }
    struct auth_snapshot *snapshot = snapshot_of(rest, true, auth_facts_ref(facts));
    assert_int_equal(snapshot->secrets, CREDENTIAL_MAX_KEYS);
    assert_int_equal(snapshot->secrets_ignored, 3);
    auth_snapshot_unref(snapshot);
    snapshot = snapshot_of(mixed, true, facts); /* one place is the database user's */
    assert_int_equal(snapshot->secrets, CREDENTIAL_MAX_KEYS - 1);
    assert_int_equal(snapshot->secrets_ignored, 4);
    auth_snapshot_unref(snapshot);

    struct auth_secrets *one = NULL;
    assert_int_equal(auth_secrets_put(&one, (struct bytes){longest, sizeof(longest)}), 0);
    assert_int_equal(one->count, 0);
    assert_int_equal(one->ignored, 1);
    auth_secrets_free(one);
}

/* The same name in two realms is two users, and a secret is of its realm alone. */
static void realms__have_their_own_users_and_secrets(void **state)
{
    static const char lines[] = REALM "user=a:main\nstatic-auth-secret=m\n"
                                      "[realm \"two\"]\nuser=a:x\nuser=b:y\n"
                                      "[realm \"example.org\"]\nuser=c:z\n"
                                      "[realm \"three\"]\nstatic-auth-secret=s\n";
    struct auth_snapshot *snapshot = snapshot_of(lines, false, NULL);
    const struct auth_known *main = auth_snapshot_realm(snapshot, bytes_of("example.org"));
    const struct auth_known *two = auth_snapshot_realm(snapshot, bytes_of("two"));
    const struct auth_known *three = auth_snapshot_realm(snapshot, bytes_of("three"));

    (void)state;
    assert_int_equal(snapshot->realms->realm_count, 3);
    assert_ptr_equal(main, auth_snapshot_realm(snapshot, bytes_of("")));
    assert_null(auth_snapshot_realm(snapshot, bytes_of("four")));
    assert_non_null(auth_users_find(main->users, bytes_of("c"))); /* its section adds to it */
    assert_null(auth_users_find(main->users, bytes_of("b")));
    assert_non_null(auth_users_find(two->users, bytes_of("b")));
    assert_memory_not_equal(auth_users_find(main->users, bytes_of("a"))->keys[0].md5,
                            auth_users_find(two->users, bytes_of("a"))->keys[0].md5,
                            CRYPTO_MD5_LEN);
    assert_null(two->secrets);
    assert_int_equal(three->secrets->count, 1);
    assert_memory_equal(three->secrets->secrets[0].bytes, "s", 1);
    auth_snapshot_unref(snapshot);
}

/* Relay is shown each realm once: the main one, those of sections, those of the database. */
static void realms__are_listed_once_each(void **state)
{
    static const char *const names[] = {"b", "example.org", "two", "a", "", NULL};
    static const char lines[] = REALM "lt-cred-mech\nuserdb=/tmp/x\n[realm \"two\"]\nuser=a:x\n";
    static const char deaf[] = REALM "lt-cred-mech\nuserdb=/tmp/x\nno-dynamic-realms\n"
                                     "[realm \"two\"]\nuser=a:x\n";
    struct auth_facts *facts = facts_of(names);

    (void)state;
    auth_facts_realm(facts, bytes_of("b"))->realm.has_max_bps = true;
    auth_facts_realm(facts, bytes_of("b"))->realm.max_bps = 77;
    struct auth_snapshot *snapshot = snapshot_of(lines, true, auth_facts_ref(facts));
    const struct auth_realms *realms = snapshot->realms;
    assert_int_equal(realms->realm_count, 4);
    assert_string_equal(realms->realms[0].name, "example.org");
    assert_string_equal(realms->realms[1].name, "a");
    assert_string_equal(realms->realms[2].name, "b");
    assert_string_equal(realms->realms[3].name, "two");
    assert_true(realms->realms[2].has_max_bps);
    assert_int_equal(realms->realms[2].max_bps, 77);
    assert_false(realms->realms[3].has_max_bps);
    struct auth_snapshot *less = snapshot_of(deaf, true, facts);
    assert_int_equal(less->realms->realm_count, 2);
    assert_false(auth_realms_same(realms, less->realms));
    assert_true(auth_realms_same(realms, realms));
    auth_snapshot_unref(less);
    auth_snapshot_unref(snapshot);
}

/* Whatever memory is missing, nothing leaks and nothing is half made. */
static void memory__may_run_out(void **state)
{
    static const char lines[] =
        REALM "user=a:main\nstatic-auth-secret=m\noauth\n"
              "[realm \"two\"]\nuser=a:x\nstatic-auth-secret=s\n"
              "[oauth \"k\"]\nkey=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n";
    struct conf *conf = settings(lines);
    struct auth_config *config = NULL;
    struct auth_snapshot *snapshot = NULL;
    char why[200];

    (void)state;
    for (long n = 0; snapshot == NULL; n++) {
        mem_fail_at(n);
        int err = auth_config_new(conf, false, &config, why, sizeof(why));
        if (err == 0) {
            err = auth_snapshot_new(config, NULL, 1, &snapshot);
            auth_config_unref(config);
        }
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        assert_true(n < 1000);
    }
    auth_snapshot_unref(snapshot);
    conf_unref(conf);
}

static void config__reads_what_concerns_it(void **state)
{
    static const char lines[] =
        REALM "use-auth-secret\nrest-api-separator=#\nuser-cache-ttl=7\nuserdb=/tmp/x\n";
    struct auth_snapshot *snapshot = snapshot_of(lines, true, NULL);

    (void)state;
    assert_string_equal(snapshot->config->realms[0].name, "example.org");
    assert_string_equal(snapshot->config->server_name, "example.org");
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
        cmocka_unit_test(realms__have_their_own_users_and_secrets),
        cmocka_unit_test(realms__are_listed_once_each),
        cmocka_unit_test(memory__may_run_out),
        cmocka_unit_test(config__reads_what_concerns_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
