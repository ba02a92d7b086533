/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_oauth.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "check.h"
#include "settings.h"
#include "store/store_realm.h"

#define KEY "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK"

enum { NOW = 1700000000 };

static struct store_oauth_key row_of(const char *kid)
{
    return (struct store_oauth_key){
        .kid = bytes_of(kid), .ikm_key = bytes_of(KEY), .as_rs_alg = bytes_of("A256GCM")};
}

static void add(struct auth_oauth_keys *keys, const struct store_oauth_key *row)
{
    assert_int_equal(auth_oauth_add(keys, row), 0);
}

/* Proves T-7635-7-01 */
static void find__goes_by_kid(void **state)
{
    static const char *const kids[] = {"north", "a", "union", "northern", "nort", "z"};
    struct auth_oauth_keys keys = {0};

    (void)state;
    assert_null(auth_oauth_find(&keys, bytes_of("north"), NOW));
    for (size_t i = 0; i < COUNT_OF(kids); i++) {
        const struct store_oauth_key row = row_of(kids[i]);
        add(&keys, &row);
    }
    auth_oauth_sort(&keys);
    for (size_t i = 0; i < COUNT_OF(kids); i++) {
        const struct auth_oauth_key *key = auth_oauth_find(&keys, bytes_of(kids[i]), NOW);
        assert_non_null(key);
        assert_int_equal(key->kid_len, strlen(kids[i]));
        assert_memory_equal(key->kid, kids[i], key->kid_len);
    }
    assert_null(auth_oauth_find(&keys, bytes_of("North"), NOW));
    assert_null(auth_oauth_find(&keys, bytes_of(""), NOW));
    assert_null(auth_oauth_find(&keys, bytes_of("zz"), NOW));
    auth_oauth_fini(&keys);
}

/* The key of coturn's example: 33 bytes of text, of which 32 count. */
static void add__uses_the_key_as_coturn_does(void **state)
{
    struct auth_oauth_keys keys = {0};
    struct store_oauth_key row = row_of("north");

    (void)state;
    add(&keys, &row);
    assert_memory_equal(keys.keys[0].key.bytes, "01234567890123456789012345678901", 32);
    assert_int_equal(keys.keys[0].key.algorithm, TOKEN_A256GCM);
    row = row_of("union");
    row.ikm_key = bytes_of("MTIzNDU2Nzg5MDEyMzQ1Ngo=");
    row.as_rs_alg = bytes_of("A128GCM");
    add(&keys, &row);
    assert_memory_equal(keys.keys[1].key.bytes, "1234567890123456", 16);
    assert_int_equal(keys.keys[1].key.algorithm, TOKEN_A128GCM);
    row.as_rs_alg = bytes_of(""); /* A256GCM, and zeros behind the 17 bytes */
    add(&keys, &row);
    assert_memory_equal(keys.keys[2].key.bytes, "1234567890123456\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                        32);
    auth_oauth_fini(&keys);
}

static void find__keeps_to_the_time(void **state)
{
    struct auth_oauth_keys keys = {0};
    struct store_oauth_key row = row_of("k");

    (void)state;
    row.timestamp = NOW;
    row.lifetime = 10;
    add(&keys, &row);
    assert_null(auth_oauth_find(&keys, bytes_of("k"), NOW - 1));
    assert_non_null(auth_oauth_find(&keys, bytes_of("k"), NOW));
    assert_non_null(auth_oauth_find(&keys, bytes_of("k"), NOW + 9));
    assert_null(auth_oauth_find(&keys, bytes_of("k"), NOW + 10));
    auth_oauth_fini(&keys);
    row.lifetime = 0;
    add(&keys, &row);
    assert_null(auth_oauth_find(&keys, bytes_of("k"), NOW - 1));
    assert_non_null(auth_oauth_find(&keys, bytes_of("k"), UINT64_MAX));
    auth_oauth_fini(&keys);
}

static void add__counts_what_is_no_key(void **state)
{
    static char longest[AUTH_OAUTH_REALM_MAX + 2];
    struct auth_oauth_keys keys = {0};
    struct store_oauth_key rows[8];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        rows[i] = row_of("k");
    }
    rows[0].damaged = true;
    rows[1].kid = bytes_of("");
    rows[2].kid = (struct bytes){(const uint8_t *)longest, AUTH_KID_MAX + 1};
    rows[3].realm = bytes_of(longest);
    rows[4].as_rs_alg = bytes_of("A256CBC-HS512");
    rows[5].ikm_key = bytes_of("not base64!");
    rows[6].ikm_key = bytes_of("");
    rows[7].timestamp = 1;
    rows[7].lifetime = UINT64_MAX;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        add(&keys, &rows[i]);
        assert_int_equal(keys.ignored, i + 1);
    }
    assert_int_equal(keys.count, 0);
    auth_oauth_fini(&keys);
}

static void add__has_a_bound(void **state)
{
    struct auth_oauth_keys keys = {0};

    (void)state;
    for (unsigned i = 0; i < AUTH_OAUTH_MAX + 2; i++) {
        char kid[16];
        (void)snprintf(kid, sizeof(kid), "kid%u", i);
        const struct store_oauth_key row = row_of(kid);
        add(&keys, &row);
    }
    auth_oauth_sort(&keys);
    assert_int_equal(keys.count, AUTH_OAUTH_MAX);
    assert_int_equal(keys.ignored, 2);
    assert_non_null(auth_oauth_find(&keys, bytes_of("kid1023"), NOW));
    assert_null(auth_oauth_find(&keys, bytes_of("kid1024"), NOW));
    auth_oauth_fini(&keys);
}

static void add__may_lack_memory(void **state)
{
    struct auth_oauth_keys keys = {0};
    const struct store_oauth_key row = row_of("k");

    (void)state;
    add(&keys, &row);
    mem_fail_at(0);
    assert_int_equal(auth_oauth_add(&keys, &row), -ENOMEM);
    mem_fail_at(-1);
    assert_int_equal(keys.count, 1);
    assert_non_null(auth_oauth_find(&keys, bytes_of("k"), NOW));
    auth_oauth_fini(&keys);
}

static void read__takes_sections(void **state)
{
    static const char lines[] = "realm=r\nuser=a:b\noauth\n"
                                "[oauth \"one\"]\nkey=" KEY "\nrealm=two\nnot-before=1700000000\n"
                                "lifetime=60\n"
                                "[oauth \"One\"]\nkey=" KEY "\nalgorithm=A128GCM\n";
    struct conf *conf = settings(lines);
    struct auth_oauth_keys keys = {0};
    char why[200];

    (void)state;
    assert_int_equal(auth_oauth_read(&keys, conf, why, sizeof(why)), 0);
    auth_oauth_sort(&keys);
    assert_int_equal(keys.count, 2);
    const struct auth_oauth_key *one = auth_oauth_find(&keys, bytes_of("one"), NOW);
    const struct auth_oauth_key *other = auth_oauth_find(&keys, bytes_of("One"), NOW);
    assert_memory_equal(one->realm, "two", 3);
    assert_int_equal(one->till_s, NOW + 60);
    assert_int_equal(other->key.algorithm, TOKEN_A128GCM);
    assert_int_equal(other->realm_len, 0);
    assert_null(auth_oauth_find(&keys, bytes_of("one"), NOW + 60));
    auth_oauth_fini(&keys);
    conf_unref(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(find__goes_by_kid),
        cmocka_unit_test(add__uses_the_key_as_coturn_does),
        cmocka_unit_test(find__keeps_to_the_time),
        cmocka_unit_test(add__counts_what_is_no_key),
        cmocka_unit_test(add__has_a_bound),
        cmocka_unit_test(add__may_lack_memory),
        cmocka_unit_test(read__takes_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
