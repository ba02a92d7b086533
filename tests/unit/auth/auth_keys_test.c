/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_keys.h"

#include "check.h"
#include "crypto/longterm.h"
#include "icu.h"

static void assert_key(const struct credential_key *key, const char *password)
{
    uint8_t md5[CRYPTO_MD5_LEN];
    uint8_t sha256[CRYPTO_SHA256_LEN];

    assert_int_equal(
        crypto_longterm_md5(bytes_of("user"), bytes_of("realm"), bytes_of(password), md5), 0);
    assert_int_equal(
        crypto_longterm_sha256(bytes_of("user"), bytes_of("realm"), bytes_of(password), sha256), 0);
    assert_true(key->has_md5 && key->has_sha256);
    assert_memory_equal(key->md5, md5, sizeof(md5));
    assert_memory_equal(key->sha256, sha256, sizeof(sha256));
}

static int variants(const char *password, struct credential_key *out, uint32_t max)
{
    return auth_keys_variants(bytes_of("user"), bytes_of("realm"), bytes_of(password), out, max);
}

/* Proves T-8489-9.2.2-01, T-8489-18.5.1-01 */
static void make__gives_both_keys(void **state)
{
    /* RFC 8489 section 9.2.2, and SHA-256 of the same. */
    static const uint8_t md5[] = {0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb,
                                  0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb};
    static const uint8_t sha256[] = {0x07, 0xe9, 0x34, 0x11, 0x7a, 0xbd, 0x40, 0x83,
                                     0x6e, 0x7c, 0x63, 0x29, 0xb5, 0x47, 0x31, 0xb2,
                                     0xb2, 0xd2, 0xa5, 0xf9, 0xa7, 0x1f, 0x54, 0x49,
                                     0x22, 0xd7, 0x5e, 0x07, 0x30, 0xd8, 0x25, 0x1b};
    struct credential_key key;

    (void)state;
    assert_int_equal(auth_keys_make(bytes_of("user"), bytes_of("realm"), bytes_of("pass"), &key),
                     0);
    assert_memory_equal(key.md5, md5, sizeof(md5));
    assert_memory_equal(key.sha256, sha256, sizeof(sha256));
}

static void variants__of_ascii_are_one(void **state)
{
    struct credential_key keys[3];

    (void)state;
    assert_int_equal(variants("pass word", keys, 3), 1);
    assert_key(&keys[0], "pass word");
}

/* A browser sends what the page gave it; RFC 5389 asked for SASLprep, RFC 8489 for OpaqueString. */
static void variants__differ_where_the_profiles_do(void **state)
{
    struct credential_key keys[3];

    (void)state;
    need_icu();
    assert_int_equal(variants("e\u0301\u2168", keys, 3), 3);
    assert_key(&keys[0], "\u00e9\u2168");
    assert_key(&keys[1], "\u00e9IX");
    assert_key(&keys[2], "e\u0301\u2168");
}

static void variants__of_the_matrix_are_two(void **state)
{
    struct credential_key keys[3];

    (void)state;
    need_icu();
    assert_int_equal(variants("The\u00adM\u00aatr\u2168", keys, 3), 2);
    assert_key(&keys[0], "TheMatrIX");
    assert_key(&keys[1], "The\u00adM\u00aatr\u2168");
}

static void variants__take_what_no_profile_takes(void **state)
{
    struct credential_key keys[3];

    (void)state;
    assert_int_equal(variants("a\tb\xff", keys, 3), 1);
    assert_key(&keys[0], "a\tb\xff");
    assert_int_equal(variants("", keys, 3), 1);
    assert_key(&keys[0], "");
}

static void variants__stop_at_the_room_there_is(void **state)
{
    struct credential_key keys[1];

    (void)state;
    need_icu();
    assert_int_equal(variants("e\u0301\u2168", keys, 1), 1);
    assert_key(&keys[0], "\u00e9\u2168");
}

static void prepare__keeps_what_it_cannot_prepare(void **state)
{
    struct auth_text out;

    (void)state;
    need_icu();
    auth_keys_prepare(bytes_of("e\u0301"), &out);
    assert_true(bytes_equal(out.text, bytes_of("\u00e9")));
    auth_keys_prepare(bytes_of("e\u0301\x01"), &out);
    assert_true(bytes_equal(out.text, bytes_of("e\u0301\x01")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(make__gives_both_keys),
        cmocka_unit_test(variants__of_ascii_are_one),
        cmocka_unit_test(variants__differ_where_the_profiles_do),
        cmocka_unit_test(variants__of_the_matrix_are_two),
        cmocka_unit_test(variants__take_what_no_profile_takes),
        cmocka_unit_test(variants__stop_at_the_room_there_is),
        cmocka_unit_test(prepare__keeps_what_it_cannot_prepare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
