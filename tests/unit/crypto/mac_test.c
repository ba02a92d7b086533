/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/mac.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

static int make_mac(void **state)
{
    *state = crypto_mac_new();
    return *state == NULL ? -1 : 0;
}

static int free_mac(void **state)
{
    crypto_mac_free(*state);
    return 0;
}

/* Bytes of a hexadecimal text. */
static struct bytes unhex(const char *text, uint8_t *out)
{
    size_t n = 0;

    for (; text[2 * n] != '\0'; n++) {
        const char digits[3] = {text[2 * n], text[2 * n + 1], '\0'};
        out[n] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return (struct bytes){out, n};
}

/* `n` times the byte `b`. */
static struct bytes repeat(uint8_t b, size_t n, uint8_t *out)
{
    memset(out, b, n);
    return (struct bytes){out, n};
}

static void assert_hmac(struct crypto_mac *mac, struct bytes key, struct bytes text,
                        const char *sha1, const char *sha256)
{
    uint8_t expected[CRYPTO_SHA256_LEN];
    uint8_t out[CRYPTO_SHA256_LEN];

    if (sha1 != NULL) {
        assert_int_equal(unhex(sha1, expected).n, CRYPTO_SHA1_LEN);
        assert_int_equal(crypto_hmac_sha1(mac, key, &text, 1, out), 0);
        assert_memory_equal(out, expected, CRYPTO_SHA1_LEN);
    }
    if (sha256 != NULL) {
        assert_int_equal(unhex(sha256, expected).n, CRYPTO_SHA256_LEN);
        assert_int_equal(crypto_hmac_sha256(mac, key, &text, 1, out), 0);
        assert_memory_equal(out, expected, CRYPTO_SHA256_LEN);
    }
}

/* RFC 2202 section 3 and RFC 4231 section 4; one context serves them all in turn, so a key that
 * stays behind would show. */
static void hmac__gives_the_values_of_the_rfcs(void **state)
{
    uint8_t key[131];
    uint8_t text[152];

    assert_hmac(*state, repeat(0x0b, 20, key), bytes_of("Hi There"),
                "b617318655057264e28bc0b6fb378c8ef146be00",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_hmac(*state, bytes_of("Jefe"), bytes_of("what do ya want for nothing?"),
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_hmac(*state, repeat(0xaa, 20, key), repeat(0xdd, 50, text),
                "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    assert_hmac(*state, repeat(0xaa, 80, key),
                bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"),
                "aa4ae5e15272d00e95705637ce8a3b55ed402112", NULL);
    assert_hmac(*state, repeat(0xaa, 131, key),
                bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"), NULL,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* libcrypto takes a NULL key for "go on with the last one": nobody's MAC may be made that way. */
static void hmac__under_an_empty_key_does_not_use_the_last_one(void **state)
{
    const struct bytes nothing = {NULL, 0};

    for (int i = 0; i < 2; i++) {
        assert_hmac(*state, i == 0 ? nothing : bytes_of(""), nothing,
                    "fbdb1d1b18aa6c08324b7d64b71fb76370690e1d",
                    "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
        assert_hmac(*state, bytes_of("Jefe"), bytes_of("what do ya want for nothing?"),
                    "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
                    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}

static void hmac__does_not_depend_on_how_the_text_is_cut(void **state)
{
    const struct bytes whole = bytes_of("The quick brown fox jumps over the lazy dog");
    uint8_t expected[CRYPTO_SHA1_LEN];
    uint8_t out[CRYPTO_SHA1_LEN];

    assert_int_equal(crypto_hmac_sha1(*state, bytes_of("key"), &whole, 1, expected), 0);
    for (size_t cut = 0; cut <= whole.n; cut++) {
        const struct bytes parts[] = {{whole.p, cut}, {NULL, 0}, {whole.p + cut, whole.n - cut}};
        assert_int_equal(crypto_hmac_sha1(*state, bytes_of("key"), parts, 3, out), 0);
        assert_memory_equal(out, expected, sizeof(out));
    }
}

static void digest__gives_known_values(void **state)
{
    const struct bytes parts[] = {bytes_of("a"), {NULL, 0}, bytes_of("bc")};
    uint8_t expected[CRYPTO_SHA256_LEN];
    uint8_t out[CRYPTO_SHA256_LEN];

    (void)state;
    assert_int_equal(crypto_md5(parts, 3, out), 0);
    unhex("900150983cd24fb0d6963f7d28e17f72", expected);
    assert_memory_equal(out, expected, CRYPTO_MD5_LEN);
    assert_int_equal(crypto_md5(NULL, 0, out), 0);
    unhex("d41d8cd98f00b204e9800998ecf8427e", expected);
    assert_memory_equal(out, expected, CRYPTO_MD5_LEN);
    assert_int_equal(crypto_sha256(parts, 3, out), 0);
    unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", expected);
    assert_memory_equal(out, expected, CRYPTO_SHA256_LEN);
}

static void crc32__gives_the_check_value_however_cut(void **state)
{
    const struct bytes whole = bytes_of("123456789");

    (void)state;
    assert_int_equal(crypto_crc32(&whole, 1), 0xCBF43926U);
    assert_int_equal(crypto_crc32(NULL, 0), 0);
    for (size_t cut = 0; cut <= whole.n; cut++) {
        const struct bytes parts[] = {{whole.p, cut}, {NULL, 0}, {whole.p + cut, whole.n - cut}};
        assert_int_equal(crypto_crc32(parts, 3), 0xCBF43926U);
    }
}

static void equal__compares_every_byte(void **state)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};

    (void)state;
    assert_true(crypto_equal(a, b, sizeof(a)));
    assert_true(crypto_equal(a, b, 0));
    for (size_t i = 0; i < sizeof(a); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b[i] = (uint8_t)(1U << bit);
            assert_false(crypto_equal(a, b, sizeof(a)));
        }
        assert_true(crypto_equal(a, b, i));
        b[i] = 0;
    }
}

static void free__takes_null(void **state)
{
    (void)state;
    crypto_mac_free(NULL);
}

#ifdef STERNA_FAULT_INJECTION
static void new__answers_failing_memory_with_null(void **state)
{
    (void)state;
    mem_fail_at(0);
    assert_null(crypto_mac_new());
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac__gives_the_values_of_the_rfcs),
        cmocka_unit_test(hmac__under_an_empty_key_does_not_use_the_last_one),
        cmocka_unit_test(hmac__does_not_depend_on_how_the_text_is_cut),
        cmocka_unit_test(digest__gives_known_values),
        cmocka_unit_test(crc32__gives_the_check_value_however_cut),
        cmocka_unit_test(equal__compares_every_byte),
        cmocka_unit_test(free__takes_null),
#ifdef STERNA_FAULT_INJECTION
        cmocka_unit_test(new__answers_failing_memory_with_null),
#endif
    };
    return cmocka_run_group_tests(tests, make_mac, free_mac);
}
