/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "crypto/longterm.h"
#include "database.h"
#include "store/store.h"

static int make(void **state)
{
    struct database *db = database_make();

    database_must_open(db, STORE_CREATE);
    *state = db;
    return 0;
}

static int remove_all(void **state)
{
    database_remove(*state);
    return 0;
}

static struct store_keys keys_of(struct bytes realm, struct bytes name, const char *password)
{
    struct store_keys keys = {.has_md5 = true, .has_sha256 = true, .has_userhash = true};

    assert_int_equal(crypto_longterm_md5(name, realm, text(password), keys.md5), 0);
    assert_int_equal(crypto_longterm_sha256(name, realm, text(password), keys.sha256), 0);
    assert_int_equal(crypto_longterm_userhash(name, realm, keys.userhash), 0);
    return keys;
}

static void add(struct database *db, const char *realm, struct bytes name, const char *password)
{
    const struct store_keys keys = keys_of(text(realm), name, password);
    assert_int_equal(store_user_add(db->store, text(realm), name, &keys), 0);
}

/* A row as turnadmin writes it: `turnadmin -a -b db -u alice -r example.org -p wonderland`. */
static const char alice_sql[] = "INSERT INTO turnusers_lt (realm, name, hmackey) VALUES "
                                "('example.org', 'alice', '72f86f2053703faa0f521ce71cfe6f59')";

/* Proves T-8656-6-03 */
static void find__reads_a_key_that_coturn_made(void **state)
{
    struct database *db = *state;
    const struct store_keys expected = keys_of(text("example.org"), text("alice"), "wonderland");
    struct store_keys keys;

    database_sql(db, alice_sql);
    assert_int_equal(store_user_find(db->store, text("example.org"), text("alice"), &keys), 0);
    assert_true(keys.has_md5);
    assert_memory_equal(keys.md5, expected.md5, sizeof(keys.md5));
    assert_false(keys.has_sha256);
    assert_false(keys.has_userhash);
    assert_int_equal(store_user_find(db->store, text("example.com"), text("alice"), &keys),
                     -ENOENT);
    assert_int_equal(store_user_find(db->store, text("example.org"), text("Alice"), &keys),
                     -ENOENT);
}

static void find__gives_all_keys_of_our_own_users(void **state)
{
    struct database *db = *state;
    const struct store_keys expected = keys_of(text("r"), text("bob"), "pass");
    struct store_keys keys;

    add(db, "r", text("bob"), "pass");
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), 0);
    assert_memory_equal(&keys, &expected, sizeof(keys));
}

/* coturn issue 1948: the length of hmackey was not looked at. */
static void find__takes_nothing_else_for_a_key(void **state)
{
    static const char *const bad[] = {
        "''",
        "NULL",
        "'72f86f2053703faa0f521ce71cfe6f5'",
        "'72f86f2053703faa0f521ce71cfe6f590'",
        "'72f86f2053703faa0f521ce71cfe6f5g'",
        "'0x72f86f2053703faa0f521ce71cfe6f'",
        "'72f86f2053703faa0f521ce71cfe6f5972f86f2053703faa0f521ce71cfe6f59'",
        "x'72f86f2053703faa0f521ce71cfe6f59'",
        "12345678901234567890123456789012",
        "zeroblob(100000)",
    };
    struct database *db = *state;
    struct store_keys keys;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char sql[256];
        (void)snprintf(sql, sizeof(sql), "REPLACE INTO turnusers_lt VALUES ('r', 'x', %s)", bad[i]);
        database_sql(db, sql);
        assert_int_equal(store_user_find(db->store, text("r"), text("x"), &keys), -EBADMSG);
        assert_non_null(strstr(store_error(db->store), "32 hexadecimal digits"));
    }
}

/* Names that have bitten others: quotes, formats, line ends, wild cards, bytes that are no UTF-8.
 */
static const char *const odd_names[] = {
    "o'brien",     "\"; DROP TABLE turnusers_lt; --",
    "' OR '1'='1", "%s%n%b",
    "a b",         "a\r\nb",
    "a/b",         "*",
    "%",           "_",
    "\xff\xfe",    "\xef\xbf\xbd",
    "a\\",         "--",
    "?1",          "\t",
    "\x7f",
};

static void names__are_data(void **state)
{
    struct database *db = *state;
    struct store_counts counts;

    for (size_t i = 0; i < COUNT_OF(odd_names); i++) {
        add(db, odd_names[i], text(odd_names[i]), "pass");
    }
    for (size_t i = 0; i < COUNT_OF(odd_names); i++) {
        const struct bytes name = text(odd_names[i]);
        const struct store_keys expected = keys_of(name, name, "pass");
        struct store_keys keys;
        assert_int_equal(store_user_find(db->store, name, name, &keys), 0);
        assert_memory_equal(&keys, &expected, sizeof(keys));
        assert_int_equal(store_user_count(db->store, name, &counts), 0);
        assert_int_equal(counts.users, 1);
        assert_int_equal(counts.with_sha256, 1);
        assert_int_equal(counts.with_userhash, 1);
        assert_int_equal(store_user_remove(db->store, name, name), 0);
        assert_int_equal(store_user_find(db->store, name, name, &keys), -ENOENT);
    }
}

static void names__with_a_nul_match_nobody(void **state)
{
    static const uint8_t raw[] = {'a', 0, 'b'};
    const struct bytes name = {raw, sizeof(raw)};
    struct database *db = *state;
    struct store_keys keys = keys_of(text("r"), text("a"), "pass");

    add(db, "r", text("a"), "pass");
    assert_int_equal(store_user_find(db->store, text("r"), name, &keys), -ENOENT);
    assert_int_equal(store_user_find(db->store, name, text("a"), &keys), -ENOENT);
    assert_int_equal(store_user_remove(db->store, text("r"), name), -ENOENT);
    assert_int_equal(store_user_add(db->store, text("r"), name, &keys), -EINVAL);
    assert_int_equal(store_secret_add(db->store, text("r"), name), -EINVAL);
    assert_int_equal(store_user_find(db->store, text("r"), text("a"), &keys), 0);
}

static void names__have_a_length(void **state)
{
    static uint8_t raw[STORE_NAME_MAX + 1];
    struct database *db = *state;
    struct store_keys keys;

    memset(raw, 'n', sizeof(raw));
    add(db, "r", (struct bytes){raw, STORE_NAME_MAX}, "pass");
    assert_int_equal(
        store_user_find(db->store, text("r"), (struct bytes){raw, STORE_NAME_MAX}, &keys), 0);
    assert_int_equal(store_user_find(db->store, text("r"), (struct bytes){raw, sizeof(raw)}, &keys),
                     -ENOENT);
    assert_int_equal(store_user_add(db->store, text("r"), (struct bytes){raw, sizeof(raw)}, &keys),
                     -EINVAL);
    assert_int_equal(store_user_add(db->store, text("r"), text(""), &keys), -EINVAL);
}

static void find__compares_bytes_whatever_the_collation(void **state)
{
    struct database *db = *state;
    struct store_keys keys;

    database_sql(db, "DROP TABLE turnusers_lt;"
                     "CREATE TABLE turnusers_lt (realm text COLLATE NOCASE, "
                     "name text COLLATE NOCASE, hmackey text)");
    database_sql(db, alice_sql);
    assert_int_equal(store_user_find(db->store, text("example.org"), text("ALICE"), &keys),
                     -ENOENT);
    assert_int_equal(store_user_find(db->store, text("example.org"), text("alice"), &keys), 0);
}

static void add__does_not_replace(void **state)
{
    struct database *db = *state;
    const struct store_keys other = keys_of(text("r"), text("bob"), "other");
    const struct store_keys first = keys_of(text("r"), text("bob"), "pass");
    struct store_keys keys;

    add(db, "r", text("bob"), "pass");
    assert_int_equal(store_user_add(db->store, text("r"), text("bob"), &other), -EEXIST);
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), 0);
    assert_memory_equal(&keys, &first, sizeof(keys));
}

static void change__needs_a_user(void **state)
{
    struct database *db = *state;
    const struct store_keys other = keys_of(text("r"), text("bob"), "other");
    struct store_keys keys;

    assert_int_equal(store_user_change(db->store, text("r"), text("bob"), &other), -ENOENT);
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), -ENOENT);
    add(db, "r", text("bob"), "pass");
    assert_int_equal(store_user_change(db->store, text("r"), text("bob"), &other), 0);
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), 0);
    assert_memory_equal(&keys, &other, sizeof(keys));
}

/* A password that turnadmin changed must not live on in the key that only we keep. */
static void sha256__is_void_once_coturn_changes_the_key(void **state)
{
    struct database *db = *state;
    struct store_keys keys;
    struct store_counts counts;

    add(db, "r", text("bob"), "old");
    database_sql(db, "UPDATE turnusers_lt SET hmackey = '00000000000000000000000000000000'");
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), 0);
    assert_int_equal(keys.md5[0], 0);
    assert_false(keys.has_sha256);
    assert_true(keys.has_userhash);
    assert_int_equal(store_user_count(db->store, text("r"), &counts), 0);
    assert_int_equal(counts.with_sha256, 0);
    assert_int_equal(counts.with_userhash, 1);
    database_sql(db, "DELETE FROM turnusers_lt");
    assert_int_equal(store_user_find(db->store, text("r"), text("bob"), &keys), -ENOENT);
}

static void find_hash__gives_the_name(void **state)
{
    struct database *db = *state;
    const struct store_keys expected = keys_of(text("r"), text("bob"), "pass");
    struct store_keys keys;
    struct store_name name;
    uint8_t hash[CRYPTO_SHA256_LEN];

    memcpy(hash, expected.userhash, sizeof(hash));
    add(db, "r", text("bob"), "pass");
    assert_int_equal(store_user_find_hash(db->store, text("r"), hash, &name, &keys), 0);
    assert_int_equal(name.len, 3);
    assert_memory_equal(name.bytes, "bob", 3);
    assert_memory_equal(&keys, &expected, sizeof(keys));
    assert_int_equal(store_user_find_hash(db->store, text("q"), hash, &name, &keys), -ENOENT);
    hash[31] ^= 1;
    assert_int_equal(store_user_find_hash(db->store, text("r"), hash, &name, &keys), -ENOENT);
}

struct seen {
    char text[256];
    int stop;
};

static int see_user(void *arg, const struct store_user *user)
{
    struct seen *seen = arg;
    const size_t n = strlen(seen->text);

    (void)snprintf(seen->text + n, sizeof(seen->text) - n, "%.*s/%.*s:%d%d ", (int)user->realm.n,
                   (const char *)user->realm.p, (int)user->name.n, (const char *)user->name.p,
                   user->keys->has_md5, user->keys->has_sha256);
    return seen->stop;
}

static void list__is_ordered_and_can_be_stopped(void **state)
{
    struct database *db = *state;
    struct seen all = {"", 0};
    struct seen one = {"", 0};
    struct seen first = {"", -ECANCELED};

    add(db, "r", text("b"), "pass");
    add(db, "r", text("a"), "pass");
    add(db, "q", text("z"), "pass");
    database_sql(db, alice_sql);
    database_sql(db, "INSERT INTO turnusers_lt VALUES ('r', 'c', 'rubbish')");
    assert_int_equal(store_user_list(db->store, (struct bytes){NULL, 0}, see_user, &all), 0);
    assert_string_equal(all.text, "example.org/alice:10 q/z:11 r/a:11 r/b:11 r/c:00 ");
    assert_int_equal(store_user_list(db->store, text("q"), see_user, &one), 0);
    assert_string_equal(one.text, "q/z:11 ");
    assert_int_equal(store_user_list(db->store, text("r"), see_user, &first), -ECANCELED);
    assert_string_equal(first.text, "r/a:11 ");
    add(db, "r", text("d"), "pass"); /* the walk that was stopped holds no lock */
}

static int see_secret(void *arg, const struct store_secret *secret)
{
    struct seen *seen = arg;
    const size_t n = strlen(seen->text);

    (void)snprintf(seen->text + n, sizeof(seen->text) - n, "%.*s/%.*s ", (int)secret->realm.n,
                   (const char *)secret->realm.p, (int)secret->value.n,
                   (const char *)secret->value.p);
    return seen->stop;
}

static void secrets__are_added_listed_and_removed(void **state)
{
    struct database *db = *state;
    struct seen all = {"", 0};
    struct seen one = {"", 0};

    assert_int_equal(store_secret_add(db->store, text("r"), text("it's")), 0);
    assert_int_equal(store_secret_add(db->store, text("r"), text("it's")), -EEXIST);
    assert_int_equal(store_secret_add(db->store, text("r"), text("%n")), 0);
    assert_int_equal(store_secret_add(db->store, text(""), text("other")), 0);
    assert_int_equal(store_secret_add(db->store, text("r"), text("")), -EINVAL);
    assert_int_equal(store_secret_list(db->store, (struct bytes){NULL, 0}, see_secret, &all), 0);
    assert_string_equal(all.text, "/other r/%n r/it's ");
    assert_int_equal(store_secret_remove(db->store, text("r"), text("it's")), 0);
    assert_int_equal(store_secret_remove(db->store, text("r"), text("it's")), -ENOENT);
    assert_int_equal(store_secret_list(db->store, text("r"), see_secret, &one), 0);
    assert_string_equal(one.text, "r/%n ");
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make, remove_all)
    const struct CMUnitTest tests[] = {
        EACH(find__reads_a_key_that_coturn_made),
        EACH(find__gives_all_keys_of_our_own_users),
        EACH(find__takes_nothing_else_for_a_key),
        EACH(names__are_data),
        EACH(names__with_a_nul_match_nobody),
        EACH(names__have_a_length),
        EACH(find__compares_bytes_whatever_the_collation),
        EACH(add__does_not_replace),
        EACH(change__needs_a_user),
        EACH(sha256__is_void_once_coturn_changes_the_key),
        EACH(find_hash__gives_the_name),
        EACH(list__is_ordered_and_can_be_stopped),
        EACH(secrets__are_added_listed_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
