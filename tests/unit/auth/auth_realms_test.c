/* SPDX-License-Identifier: Apache-2.0 */
/* Realms and third parties' keys through the whole of auth/: configuration, database, worker. */
#include "auth/auth_realms.h"

#include "auth/auth_facts.h"
#include "base/mem.h"
#include "crypto/base64.h"
#include "crypto/token.h"
#include "desk.h"
#include "store/store_realm.h"

#define KEY "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK"

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

static void add_user(struct store *store, const char *realm, const char *name, const char *password)
{
    struct store_keys keys = {.has_md5 = true, .has_sha256 = true, .has_userhash = true};
    const struct bytes r = bytes_of(realm);

    assert_int_equal(crypto_longterm_md5(bytes_of(name), r, bytes_of(password), keys.md5), 0);
    assert_int_equal(crypto_longterm_sha256(bytes_of(name), r, bytes_of(password), keys.sha256), 0);
    assert_int_equal(crypto_longterm_userhash(bytes_of(name), r, keys.userhash), 0);
    assert_int_equal(store_user_add(store, r, bytes_of(name), &keys), 0);
}

/* Ask for a name in a realm, waiting for the database where it must be asked. */
static int find_in(struct desk *desk, const char *realm, const char *name,
                   struct credential_keys *out)
{
    const struct credential_query query = {
        .realm = bytes_of(realm), .username = bytes_of(name), .allocate = true, .proven = true};
    int err = desk_ask(desk, &query, out);

    while (err == -EAGAIN) {
        (void)desk_collect(desk);
        err = desk_ask(desk, &query, out);
    }
    return err;
}

static void expect(const struct credential_key *key, const char *realm, const char *name,
                   const char *password)
{
    struct credential_key expected;

    assert_int_equal(auth_keys_make(bytes_of(name), bytes_of(realm), bytes_of(password), &expected),
                     0);
    assert_true(key->has_md5 && key->has_sha256);
    assert_memory_equal(key->md5, expected.md5, sizeof(expected.md5));
    assert_memory_equal(key->sha256, expected.sha256, sizeof(expected.sha256));
}

static void users__are_of_their_realm(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct store *store = desk_store(desk);

    add_user(store, "r", "ann", "main");
    add_user(store, "q", "ann", "other");
    add_user(store, "q", "eve", "only here");
    store_close(store);
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(find_in(desk, "r", "ann", &keys), 0);
    expect(&keys.key[0], "r", "ann", "main");
    assert_int_equal(find_in(desk, "q", "ann", &keys), 0); /* not what is cached for r */
    expect(&keys.key[0], "q", "ann", "other");
    assert_int_equal(find_in(desk, "r", "eve", &keys), -ENOENT);
    assert_int_equal(find_in(desk, "q", "eve", &keys), 0); /* nor that there is none in r */
    assert_int_equal(find_in(desk, "nowhere", "ann", &keys), -ENOENT);
}

static void look_ups__of_one_name_go_on_at_once(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct store *store = desk_store(desk);
    struct credential_query query = {
        .realm = bytes_of("r"), .username = bytes_of("ann"), .allocate = true, .proven = true};

    add_user(store, "r", "ann", "main");
    add_user(store, "q", "ann", "other");
    store_close(store);
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    query.realm = bytes_of("q");
    assert_int_equal(desk_ask(desk, &query, &keys), -EAGAIN);
    for (unsigned count = 0; count < 2;) {
        count += desk_collect(desk);
    }
    assert_int_equal(desk_ask(desk, &query, &keys), 0);
    expect(&keys.key[0], "q", "ann", "other");
}

static void secrets__are_of_their_realm(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct store *store = desk_store(desk);

    assert_int_equal(store_secret_add(store, bytes_of("q"), bytes_of("of the database")), 0);
    store_close(store);
    desk_start(desk, "static-auth-secret=north");
    assert_int_equal(find_in(desk, "r", "2000:ann", &keys), 0);
    assert_int_equal(keys.count, 1);
    assert_int_equal(find_in(desk, "q", "2000:ann", &keys), 0);
    assert_int_equal(keys.count, 1);
    assert_int_equal(find_in(desk, "p", "2000:ann", &keys), -ENOENT);
}

/* --- What relay/ is shown --- */

static const struct auth_realm *realm_of(const struct auth_realms *realms, const char *name)
{
    for (uint32_t i = 0; i < realms->realm_count; i++) {
        if (strcmp(realms->realms[i].name, name) == 0) {
            return &realms->realms[i];
        }
    }
    return NULL;
}

static void fill(struct store *store)
{
    const struct store_oauth_key key = {
        .kid = bytes_of("k"), .ikm_key = bytes_of(KEY), .realm = bytes_of("of key")};

    add_user(store, "q", "ann", "other");
    assert_int_equal(store_option_put(store, bytes_of("limits"), bytes_of("max-bps"), 1000), 0);
    assert_int_equal(store_option_put(store, bytes_of("limits"), bytes_of("user-quota"), 0), 0);
    assert_int_equal(store_option_put(store, bytes_of("limits"), bytes_of("unheard-of"), 5), 0);
    assert_int_equal(store_origin_put(store, bytes_of("https://a.org"), bytes_of("q")), 0);
    assert_int_equal(store_range_add(store, true, bytes_of("q"), bytes_of("10.0.0.1")), 0);
    assert_int_equal(store_range_add(store, false, bytes_of(""), bytes_of("10.0.0.0-10.9.9.9")), 0);
    assert_int_equal(store_oauth_put(store, &key), 0);
}

static void realms__tell_what_the_database_says(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);

    fill(store);
    store_close(store);
    desk_start(desk, "lt-cred-mech\noauth");
    struct auth_realms *realms = auth_service_realms(desk->service);
    assert_string_equal(realms->realms[0].name, "r");
    assert_int_equal(realms->realm_count, 4);
    const struct auth_realm *limits = realm_of(realms, "limits");
    assert_true(limits->has_max_bps && limits->max_bps == 1000);
    assert_true(limits->has_user_quota && limits->user_quota == 0);
    assert_false(limits->has_total_quota);
    assert_true(realm_of(realms, "q")->abilities.sha256);
    assert_non_null(realm_of(realms, "of key"));
    assert_int_equal(realms->origin_count, 1);
    assert_string_equal(realms->origins[0].origin, "https://a.org");
    assert_string_equal(realms->origins[0].realm, "q");
    assert_int_equal(realms->range_count, 2);
    assert_true(realms->ranges[0].allowed);
    assert_string_equal(realms->ranges[0].realm, "q");
    assert_string_equal(realms->ranges[0].range, "10.0.0.1");
    assert_false(realms->ranges[1].allowed);
    assert_string_equal(realms->ranges[1].realm, "");
    auth_realms_unref(realms);
    auth_realms_unref(NULL);
}

static void realms__are_not_asked_for_when_told(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);

    fill(store);
    store_close(store);
    desk_start(desk, "lt-cred-mech\noauth\nno-dynamic-realms\nno-dynamic-ip-list");
    struct auth_realms *realms = auth_service_realms(desk->service);
    assert_int_equal(realms->realm_count, 1);
    assert_int_equal(realms->origin_count, 0);
    assert_int_equal(realms->range_count, 0);
    auth_realms_unref(realms);
}

/* The number grows with what relay/ must know, and with nothing else. */
static void generation__follows_what_concerns_relay(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);

    add_user(store, "r", "ann", "x");
    desk_start(desk, "lt-cred-mech\nuse-auth-secret");
    struct auth_realms *before = auth_service_realms(desk->service);
    const uint64_t first = auth_service_realms_generation(desk->service);
    add_user(store, "r", "bob", "x");
    assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of("s")), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(auth_service_realms_generation(desk->service), first);
    assert_int_equal(store_origin_put(store, bytes_of("o"), bytes_of("new")), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(auth_service_realms_generation(desk->service), first + 1);
    struct auth_realms *after = auth_service_realms(desk->service);
    assert_int_equal(after->generation, first + 1);
    assert_non_null(realm_of(after, "new"));
    assert_int_equal(before->realm_count, 1); /* what was given stays as it was */
    assert_int_equal(store_option_put(store, bytes_of("new"), bytes_of("total-quota"), 3), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(auth_service_realms_generation(desk->service), first + 2);
    assert_int_equal(store_range_add(store, false, bytes_of("r"), bytes_of("192.0.2.1")), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(auth_service_realms_generation(desk->service), first + 3);
    auth_realms_unref(before);
    auth_realms_unref(after);
    store_close(store);
}

static void secrets__are_not_polled_when_told(void **state)
{
    struct desk *desk = *state;
    struct credential_keys keys;
    struct store *store = desk_store(desk);

    assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of("one")), 0);
    desk_start(desk, "use-auth-secret\nno-auth-pings");
    assert_int_equal(find_in(desk, "r", "2000:ann", &keys), 0);
    assert_int_equal(store_secret_add(store, bytes_of("r"), bytes_of("two")), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(find_in(desk, "r", "2000:ann", &keys), 0);
    assert_int_equal(keys.count, 1);
    char why[400];
    struct conf *conf = desk_conf(desk, "use-auth-secret\nno-auth-pings");
    assert_int_equal(auth_service_reload(desk->service, conf, why, sizeof(why)), 0);
    conf_unref(conf);
    assert_int_equal(find_in(desk, "r", "2000:ann", &keys), 0);
    assert_int_equal(keys.count, 2);
    store_close(store);
}

/* With the build option fault_injection each allocation fails in its turn. */
static void facts__give_everything_back_without_memory(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);
    char why[400];
    int err = -ENOMEM;

    fill(store);
    assert_int_equal(store_secret_add(store, bytes_of("q"), bytes_of("s")), 0);
    store_close(store);
    desk->conf = desk_conf(desk, "lt-cred-mech\nuse-auth-secret\noauth");
    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = auth_service_new(desk->conf, &desk->service, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
    err = -ENOMEM;
    for (long n = 0; err < 0; n++) {
        mem_fail_at(n);
        err = auth_service_reload(desk->service, desk->conf, why, sizeof(why));
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
    }
    assert_int_equal(auth_service_poll(desk->service), 0);
    struct auth_realms *realms = auth_service_realms(desk->service);
    assert_int_equal(realms->realm_count, 4);
    auth_realms_unref(realms);
}

/* --- Tokens --- */

static size_t token_for(const char *server_name, uint8_t out[TOKEN_LEN_MAX])
{
    struct token_box *box = token_box_new();
    struct token token = {.mac_len = 20, .timestamp = token_timestamp(1000), .lifetime_s = 60};
    static const uint8_t nonce[TOKEN_NONCE_LEN];
    uint8_t ikm[40];
    struct token_key key;

    assert_non_null(box);
    memset(token.mac, 7, 20);
    const int len = crypto_base64_read(bytes_of(KEY), ikm, sizeof(ikm));
    assert_int_equal(token_key_make((struct bytes){ikm, (size_t)len}, TOKEN_A256GCM, &key), 0);
    const struct token_seal in = {&key, bytes_of(server_name), &token, nonce};
    const int n = token_seal(box, &in, out);
    assert_true(n > 0);
    token_box_free(box);
    return (size_t)n;
}

static int find_token(struct desk *desk, const char *kid, const char *server_name,
                      struct credential_keys *out)
{
    uint8_t token[TOKEN_LEN_MAX];
    const size_t n = token_for(server_name, token);
    const struct credential_query query = {
        .realm = bytes_of("r"), .username = bytes_of(kid), .token = {token, n}};

    return desk_ask(desk, &query, out); /* at once: never asked off the worker */
}

/* Proves T-7635-7-01 */
static void token__opens_with_keys_of_both(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);
    const struct store_oauth_key key = {
        .kid = bytes_of("k"), .ikm_key = bytes_of(KEY), .realm = bytes_of("q")};
    struct credential_keys keys;

    desk_start(desk, "lt-cred-mech\noauth\nserver-name=turn.example");
    assert_int_equal(find_token(desk, "k", "turn.example", &keys), -ENOENT);
    assert_int_equal(store_oauth_put(store, &key), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(find_token(desk, "k", "turn.example", &keys), 0);
    assert_int_equal(keys.count, 2);
    assert_int_equal(keys.lifetime_s, 65);
    assert_int_equal(keys.realm_len, 1);
    assert_int_equal(keys.realm[0], 'q');
    assert_int_equal(find_token(desk, "k", "r", &keys), -ENOENT);
    assert_int_equal(find_token(desk, "kk", "turn.example", &keys), -ENOENT);
    assert_int_equal(store_oauth_remove(store, bytes_of("k")), 0);
    assert_int_equal(auth_service_poll(desk->service), 0);
    assert_int_equal(find_token(desk, "k", "turn.example", &keys), -ENOENT);
    store_close(store);
}

static void token__is_nothing_without_oauth(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);
    const struct store_oauth_key key = {.kid = bytes_of("k"), .ikm_key = bytes_of(KEY)};
    struct credential_keys keys;

    assert_int_equal(store_oauth_put(store, &key), 0);
    store_close(store);
    desk_start(desk, "lt-cred-mech");
    assert_int_equal(find_token(desk, "k", "r", &keys), -ENOENT);
}

/* The server's name is its realm when it is not given. */
static void token__is_for_the_realm_by_default(void **state)
{
    struct desk *desk = *state;
    struct store *store = desk_store(desk);
    const struct store_oauth_key key = {.kid = bytes_of("k"), .ikm_key = bytes_of(KEY)};
    struct credential_keys keys;

    assert_int_equal(store_oauth_put(store, &key), 0);
    store_close(store);
    desk_start(desk, "lt-cred-mech\noauth");
    assert_int_equal(find_token(desk, "k", "r", &keys), 0);
    assert_int_equal(keys.realm_len, 0);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, make, remove_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(users__are_of_their_realm),           EACH(look_ups__of_one_name_go_on_at_once),
        EACH(secrets__are_of_their_realm),         EACH(realms__tell_what_the_database_says),
        EACH(realms__are_not_asked_for_when_told), EACH(generation__follows_what_concerns_relay),
        EACH(secrets__are_not_polled_when_told),   EACH(facts__give_everything_back_without_memory),
        EACH(token__opens_with_keys_of_both),      EACH(token__is_nothing_without_oauth),
        EACH(token__is_for_the_realm_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
