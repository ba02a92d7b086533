/* SPDX-License-Identifier: Apache-2.0 */
#include "desk.h"

/* base64(HMAC-SHA1("north", "2000:alice")), made with another implementation, and so on. */
#define NORTH_2000_ALICE "OfxEQYiySgktZDLjAtxFaXtducE="
#define SOUTH_2000_ALICE "u0H7VDtVhuS/W6qu239ag+NlTbU="
#define NORTH_ALICE_2000 "Y8UzdCY8y0FOtEPDdwwiIPiI6P0="
#define NORTH_2000       "BTOUPpfdYZ70bOLAJ2gKxs30DJE="

static int make(void **state)
{
    *state = desk_make();
    return 0;
}

static int remove_all(void **state)
{
    desk_remove(*state);
    return 0;
}

static struct bytes quota_of(const struct credential_keys *keys)
{
    return (struct bytes){keys->name + keys->quota_from, keys->quota_len};
}

static bool is_named(const struct credential_keys *keys, const char *name)
{
    return bytes_equal((struct bytes){keys->name, keys->name_len}, bytes_of(name));
}

static void fixed__answers_at_once(void **state)
{
    struct desk *desk = *state;
    struct credential_query query = {.username = bytes_of("bob")};
    struct credential_keys keys;
    uint8_t hash[CRYPTO_SHA256_LEN];

    desk_start(desk, "user=bob:builder\nlt-cred-mech");
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], "bob", "builder");
    assert_true(is_named(&keys, "bob") && bytes_equal(quota_of(&keys), bytes_of("bob")));
    assert_int_equal(crypto_longterm_userhash(bytes_of("bob"), bytes_of("r"), hash), 0);
    query = (struct credential_query){.userhash = {hash, sizeof(hash)}};
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_true(is_named(&keys, "bob"));
}

/* Proves T-REST-2.2-01, T-REST-4.2-03 */
static void rest__takes_all_shapes(void **state)
{
    static const char *const shapes[][3] = {
        {"2000:alice", NORTH_2000_ALICE, "alice"},
        {"alice:2000", NORTH_ALICE_2000, "alice"},
        {"2000", NORTH_2000, "2000"},
    };
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_start(desk, "static-auth-secret=north");
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        assert_int_equal(desk_find(desk, shapes[i][0], &keys), 0);
        assert_int_equal(keys.count, 1);
        assert_true(keys.key[0].has_md5 && keys.key[0].has_sha256);
        desk_expect_key(&keys.key[0], shapes[i][0], shapes[i][1]);
        assert_true(is_named(&keys, shapes[i][0]));
        assert_true(bytes_equal(quota_of(&keys), bytes_of(shapes[i][2])));
    }
}

/* Proves T-REST-5.2-01 */
static void rest__gives_a_key_for_each_secret(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct store *store = desk_store(desk);

    assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of("south")), 0);
    assert_int_equal(store_secret_add(store, bytes_of("q"), bytes_of("other realm")), 0);
    desk_start(desk, "static-auth-secret=north");
    assert_int_equal(desk_find(desk, "2000:alice", &keys), 0);
    assert_int_equal(keys.count, 2);
    desk_expect_key(&keys.key[0], "2000:alice", NORTH_2000_ALICE);
    desk_expect_key(&keys.key[1], "2000:alice", SOUTH_2000_ALICE);
    assert_int_equal(store_secret_remove(store, bytes_of("r"), bytes_of("south")), 0);
    store_close(store);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(desk_find(desk, "2000:alice", &keys), 0);
    assert_int_equal(keys.count, 1);
}

/* desk_ask() says that it is 1000 s. */
/* Proves T-REST-4.2-01, T-REST-4.2-02 */
static void rest__expires_for_allocate_only(void **state)
{
    struct desk *desk = *state;
    struct credential_query query = {.username = bytes_of("999:alice"), .allocate = true};
    struct credential_keys keys;

    desk_start(desk, "static-auth-secret=north");
    assert_int_equal(desk_ask(desk, &query, &keys), -ENOENT);
    query.allocate = false;
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_int_equal(keys.count, 1);
    query = (struct credential_query){.username = bytes_of("1000:alice"), .allocate = true};
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
}

/* Proves T-REST-4.2-05 */
static void rest__knows_no_malformed_name(void **state)
{
    static const char *const names[] = {"alice", "", "99999999999999999999999:x", "-1:x", ":"};
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_start(desk, "static-auth-secret=north");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(desk_find(desk, names[i], &keys), -ENOENT);
    }
}

/* Proves T-REST-4.2-04 */
static void rest__is_not_found_by_userhash(void **state)
{
    struct desk *desk = *state;
    struct credential_query query = {.allocate = true, .proven = true};
    struct credential_keys keys;
    uint8_t hash[CRYPTO_SHA256_LEN];

    desk_start(desk, "static-auth-secret=north");
    assert_false(auth_service_abilities(desk->service).userhash);
    assert_int_equal(crypto_longterm_userhash(bytes_of("2000:alice"), bytes_of("r"), hash), 0);
    query.userhash = (struct bytes){hash, sizeof(hash)};
    assert_int_equal(desk_ask(desk, &query, &keys), -ENOENT);
}

/* coturn issue 148: users of all kinds on one server. */
static void kinds__work_together(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;

    desk_add_user(desk, "dave", "pass");
    desk_add_user(desk, "2000:dave", "pass");
    desk_add_user(desk, "999:dave", "pass");
    desk_add_user(desk, "bob", "shadowed");
    desk_start(desk, "user=bob:builder\nstatic-auth-secret=north\nlt-cred-mech");
    assert_int_equal(desk_find(desk, "bob", &keys), 0);
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], "bob", "builder");
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], "dave", "pass");
    assert_int_equal(desk_find(desk, "2000:alice", &keys), 0);
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], "2000:alice", NORTH_2000_ALICE);
    assert_int_equal(desk_find(desk, "2000:dave", &keys), 0);
    assert_int_equal(keys.count, 2);
    desk_expect_key(&keys.key[1], "2000:dave", "pass");
    assert_int_equal(desk_find(desk, "999:dave", &keys), 0); /* too old, but a user all the same */
    assert_int_equal(keys.count, 1);
    desk_expect_key(&keys.key[0], "999:dave", "pass");
    assert_int_equal(desk_find(desk, "nobody", &keys), -ENOENT);
}

static void database__is_asked_once(void **state)
{
    struct desk *desk = *state;
    const struct credential_query query = {.username = bytes_of("dave"), .proven = true};
    struct credential_keys keys;
    struct auth_status status;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(desk_collect(desk), 1);
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_int_equal(keys.count, 1);
    assert_true(keys.key[0].has_md5 && keys.key[0].has_sha256);
    desk_expect_key(&keys.key[0], "dave", "pass");
    assert_true(is_named(&keys, "dave"));
    auth_service_status(desk->service, &status);
    assert_int_equal(status.lookups, 1);
}

/* Proves T-8489-14.4-01 */
static void database__is_asked_by_userhash(void **state)
{
    struct desk *desk = *state;
    struct credential_query query = {.proven = true};
    struct credential_keys keys;
    uint8_t hash[CRYPTO_SHA256_LEN];

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    assert_true(auth_service_abilities(desk->service).userhash);
    assert_int_equal(crypto_longterm_userhash(bytes_of("dave"), bytes_of("r"), hash), 0);
    query.userhash = (struct bytes){hash, sizeof(hash)};
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(desk_collect(desk), 1);
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_true(is_named(&keys, "dave"));
    query.userhash.n = 31;
    assert_int_equal(desk_ask(desk, &query, &keys), -ENOENT);
}

static void unproven__starts_no_look_up(void **state)
{
    struct desk *desk = *state;
    const struct credential_query stranger = {.username = bytes_of("dave")};
    struct credential_keys keys;
    struct auth_status status;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(desk_ask(desk, &stranger, &keys), -EBUSY);
    assert_int_equal(auth_service_poll(desk->service), 0);
    auth_service_status(desk->service, &status);
    assert_int_equal(status.lookups, 0);
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    assert_int_equal(desk_ask(desk, &stranger, &keys), 0); /* what is known costs nothing */
}

static void look_ups__under_way_have_a_bound(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    unsigned started = 0;
    int err = -EAGAIN;
    char name[16];

    desk_start(desk, "lt-cred-mech");
    while (err == -EAGAIN) { /* nothing is collected, so nothing ends */
        (void)snprintf(name, sizeof(name), "user%u", started);
        const struct credential_query query = {.username = bytes_of(name), .proven = true};
        err = desk_ask(desk, &query, &keys);
        started++;
        assert_true(started < 1000);
    }
    assert_int_equal(err, -EBUSY);
    assert_int_equal(started, 129);
    for (unsigned done = 0; done < 128;) {
        done += desk_collect(desk);
    }
    assert_int_equal(desk_find(desk, "user1", &keys), -ENOENT);
}

static void answers__grow_old(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct auth_status status;

    desk_start(desk, "lt-cred-mech\nuser-cache-ttl=60");
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
    desk_add_user(desk, "dave", "pass");
    desk->now_ms = 4999; /* no is believed for five seconds */
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
    desk->now_ms = 5000;
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    desk_sql(desk, "DELETE FROM turnusers_lt");
    desk->now_ms = 64999; /* yes for user-cache-ttl */
    assert_int_equal(desk_find(desk, "dave", &keys), 0);
    desk->now_ms = 65000;
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
    auth_service_status(desk->service, &status);
    assert_int_equal(status.lookups, 3);
}

/* Names are never text of a query. */
static void names__are_data(void **state)
{
    static const char *const names[] = {"' OR '1'='1", "%s%n%b", "a\r\nb", "*", "a/b", "\xff"};
    static const uint8_t nul[] = {'d', 'a', 'v', 'e', 0, 'x'};
    struct desk *desk = *state;
    const struct credential_query query = {.username = {nul, sizeof(nul)}, .proven = true};
    struct credential_keys keys;

    desk_add_user(desk, "dave", "pass");
    desk_start(desk, "lt-cred-mech");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(desk_find(desk, names[i], &keys), -ENOENT);
    }
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    assert_int_equal(desk_collect(desk), 1);
    assert_int_equal(desk_ask(desk, &query, &keys), -ENOENT);
}

static void names__that_are_too_long_are_nobody(void **state)
{
    static uint8_t name[CREDENTIAL_NAME_MAX + 1];
    struct desk *desk = *state;
    const struct credential_query query = {.username = {name, sizeof(name)}, .proven = true};
    struct credential_keys keys;

    memset(name, '1', sizeof(name));
    desk_start(desk, "lt-cred-mech\nstatic-auth-secret=s");
    assert_int_equal(desk_ask(desk, &query, &keys), -ENOENT);
}

static void bad_key__is_no_user(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct auth_status status;

    desk_add_user(desk, "dave", "pass");
    desk_sql(desk, "UPDATE turnusers_lt SET hmackey = hmackey || '00'");
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(desk_find(desk, "dave", &keys), -ENOENT);
    auth_service_status(desk->service, &status);
    assert_false(status.failing);
}

/* A time-limited name costs no look-up where the database has no users at all. */
static void rest__asks_no_empty_database(void **state)
{
    struct desk *desk = *state;
    const struct credential_query query = {.username = bytes_of("2000:alice"), .proven = true};
    struct credential_keys keys;

    desk_start(desk, "lt-cred-mech\nstatic-auth-secret=north");
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    assert_int_equal(keys.count, 1);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make, remove_all)
    const struct CMUnitTest tests[] = {
        EACH(fixed__answers_at_once),
        EACH(rest__takes_all_shapes),
        EACH(rest__gives_a_key_for_each_secret),
        EACH(rest__expires_for_allocate_only),
        EACH(rest__knows_no_malformed_name),
        EACH(rest__is_not_found_by_userhash),
        EACH(kinds__work_together),
        EACH(database__is_asked_once),
        EACH(database__is_asked_by_userhash),
        EACH(unproven__starts_no_look_up),
        EACH(look_ups__under_way_have_a_bound),
        EACH(answers__grow_old),
        EACH(names__are_data),
        EACH(names__that_are_too_long_are_nobody),
        EACH(bad_key__is_no_user),
        EACH(rest__asks_no_empty_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
