/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/token.h"

#include <errno.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "check.h"

/* RFC 7635 appendix A. */
static const char server_name[] = "blackdow.carleon.gov";
static const char long_term_key[] = "HGkj32KJGiuy098sdfaqbNjOiaz71923";
static const char mac_key[] = "ZksjpweoixXmvn67534m";
static const char nonce[] = "h4j3k2l2n4b5";
static const uint64_t timestamp = 92470300704768;

static const uint8_t sample_256[] = {
    0x00, 0x0c, 0x68, 0x34, 0x6a, 0x33, 0x6b, 0x32, 0x6c, 0x32, 0x6e, 0x34, 0x62, 0x35, 0x61, 0x7e,
    0xf1, 0x34, 0xa3, 0xd5, 0xe4, 0x4e, 0x9a, 0x19, 0xcc, 0x7d, 0xc1, 0x04, 0xb0, 0xc0, 0x3d, 0x03,
    0xb2, 0xa5, 0x51, 0xd8, 0xfd, 0xf5, 0xcd, 0x3b, 0x6d, 0xca, 0x6f, 0x10, 0xcf, 0xb7, 0x7e, 0x5b,
    0x2d, 0xde, 0xc8, 0x4d, 0x29, 0x3a, 0x5c, 0x50, 0x49, 0x93, 0x59, 0xf0, 0xc2, 0xe2, 0x6f, 0x76,
};

static const uint8_t sample_128[] = {
    0x00, 0x0c, 0x68, 0x34, 0x6a, 0x33, 0x6b, 0x32, 0x6c, 0x32, 0x6e, 0x34, 0x62, 0x35, 0x7f, 0xb9,
    0xe9, 0x9f, 0x08, 0x27, 0xbe, 0x3d, 0xf1, 0xe1, 0xbd, 0x65, 0x14, 0x93, 0xd3, 0x03, 0x1d, 0x36,
    0xdf, 0x57, 0x07, 0x97, 0x84, 0xae, 0xe5, 0xea, 0xcb, 0x65, 0xfa, 0xd4, 0xf2, 0x7f, 0xab, 0x1a,
    0x3f, 0x97, 0x97, 0x4b, 0x69, 0xf8, 0x51, 0xb2, 0x4b, 0xf5, 0xaf, 0x09, 0xed, 0xa3, 0x57, 0xe0,
};

static struct token_box *box;

static int make(void **state)
{
    (void)state;
    box = token_box_new();
    return box == NULL ? -1 : 0;
}

static int remove_all(void **state)
{
    (void)state;
    token_box_free(box);
    token_box_free(NULL);
    return 0;
}

static struct token_key key_of(const char *ikm, enum token_algorithm algorithm)
{
    struct token_key key;

    assert_int_equal(token_key_make(bytes_of(ikm), algorithm, &key), 0);
    return key;
}

static struct token sample(void)
{
    struct token token = {.mac_len = 20, .timestamp = timestamp, .lifetime_s = 3600};

    memcpy(token.mac, mac_key, 20);
    return token;
}

static int seal(const struct token_key *key, const struct token *token, uint8_t *out)
{
    const struct token_seal in = {key, bytes_of(server_name), token, (const uint8_t *)nonce};

    return token_seal(box, &in, out);
}

static int open_one(const struct token_key *key, const char *name, struct bytes sealed,
                    struct token *out)
{
    return token_open(box, key, bytes_of(name), sealed, out);
}

static void expect_sample(const struct token *token)
{
    assert_int_equal(token->mac_len, 20);
    assert_memory_equal(token->mac, mac_key, 20);
    assert_int_equal(token_seconds(token->timestamp), 1410984813);
    assert_int_equal(token->lifetime_s, 3600);
}

/* Proves T-7635-6.2-01, T-7635-6.2-03, T-7635-6.2-04, T-7635-4.1.1-01 */
static void open__takes_the_samples_of_the_rfc(void **state)
{
    const struct token_key key_256 = key_of(long_term_key, TOKEN_A256GCM);
    const struct token_key key_128 = key_of(long_term_key, TOKEN_A128GCM);
    struct token token;

    (void)state;
    assert_int_equal(
        open_one(&key_256, server_name, (struct bytes){sample_256, sizeof(sample_256)}, &token), 0);
    expect_sample(&token);
    assert_int_equal(
        open_one(&key_128, server_name, (struct bytes){sample_128, sizeof(sample_128)}, &token), 0);
    expect_sample(&token);
}

static void seal__makes_the_samples_of_the_rfc(void **state)
{
    const struct token_key key_256 = key_of(long_term_key, TOKEN_A256GCM);
    const struct token_key key_128 = key_of(long_term_key, TOKEN_A128GCM);
    const struct token token = sample();
    uint8_t out[TOKEN_LEN_MAX];

    (void)state;
    assert_int_equal(seal(&key_256, &token, out), sizeof(sample_256));
    assert_memory_equal(out, sample_256, sizeof(sample_256));
    assert_int_equal(seal(&key_128, &token, out), sizeof(sample_128));
    assert_memory_equal(out, sample_128, sizeof(sample_128));
}

/* Proves T-7635-6.2-02 */
static void open__is_for_one_server_and_key(void **state)
{
    const struct token_key key = key_of(long_term_key, TOKEN_A256GCM);
    const struct token_key other = key_of("HGkj32KJGiuy098sdfaqbNjOiaz71924", TOKEN_A256GCM);
    const struct token_key shorter = key_of(long_term_key, TOKEN_A128GCM);
    const struct bytes sealed = {sample_256, sizeof(sample_256)};
    struct token token;

    (void)state;
    assert_int_equal(open_one(&key, "blackdow.carleon.goV", sealed, &token), -EBADMSG);
    assert_int_equal(open_one(&key, "", sealed, &token), -EBADMSG);
    assert_int_equal(open_one(&other, server_name, sealed, &token), -EBADMSG);
    assert_int_equal(open_one(&shorter, server_name, sealed, &token), -EBADMSG);
}

/* Each bit counts: of nonce, block and tag. */
static void open__refuses_each_changed_bit(void **state)
{
    const struct token_key key = key_of(long_term_key, TOKEN_A256GCM);
    uint8_t changed[sizeof(sample_256)];
    struct token token;

    (void)state;
    for (size_t bit = 0; bit < sizeof(changed) * 8; bit++) {
        memcpy(changed, sample_256, sizeof(changed));
        changed[bit / 8] = (uint8_t)(changed[bit / 8] ^ (1U << bit % 8));
        assert_int_equal(
            open_one(&key, server_name, (struct bytes){changed, sizeof(changed)}, &token),
            -EBADMSG);
    }
}

/* Memory of exactly that length, so that a sanitizer sees what is read beyond. */
static int open_exactly(const struct token_key *key, const uint8_t *bytes, size_t n)
{
    struct token token;
    uint8_t *copy = test_malloc(n + 1);

    memcpy(copy + 1, bytes, n);
    const int err = open_one(key, server_name, (struct bytes){copy + 1, n}, &token);
    test_free(copy);
    return err;
}

/* Proves T-7635-6.2-06 (coturn: CVE-2026-43994) */
static void open__refuses_malformed_ones(void **state)
{
    const struct token_key key = key_of(long_term_key, TOKEN_A256GCM);
    uint8_t bytes[TOKEN_LEN_MAX + 8] = {0};

    (void)state;
    for (size_t n = 0; n < sizeof(sample_256); n++) {
        assert_int_equal(open_exactly(&key, sample_256, n), -EBADMSG);
    }
    for (size_t n = sizeof(sample_256) + 1; n <= sizeof(bytes); n++) {
        memcpy(bytes, sample_256, sizeof(sample_256));
        assert_int_equal(open_exactly(&key, bytes, n), -EBADMSG);
    }
    for (uint32_t length = 0; length <= UINT16_MAX; length++) {
        if (length == TOKEN_NONCE_LEN) {
            continue;
        }
        memcpy(bytes, sample_256, sizeof(sample_256));
        be16_put(bytes, (uint16_t)length);
        assert_int_equal(open_exactly(&key, bytes, sizeof(sample_256)), -EBADMSG);
    }
}

/* What an authorization server seals may be nonsense, too. */
static void open__refuses_key_lengths_that_do_not_fit(void **state)
{
    static const struct {
        uint16_t mac_len;
        bool good;
    } rows[] = {{16, true}, {20, true}, {32, true}, {64, true}};
    const struct token_key key = key_of(long_term_key, TOKEN_A256GCM);
    uint8_t out[TOKEN_LEN_MAX];
    struct token token = sample();
    struct token opened;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        token.mac_len = rows[i].mac_len;
        const int n = seal(&key, &token, out);
        assert_int_equal(n, 2 + 12 + 2 + rows[i].mac_len + 12 + 16);
        assert_int_equal(open_one(&key, server_name, (struct bytes){out, (size_t)n}, &opened), 0);
        assert_int_equal(opened.mac_len, rows[i].mac_len);
    }
    token.mac_len = 15;
    assert_int_equal(seal(&key, &token, out), -EINVAL);
    token.mac_len = 65;
    assert_int_equal(seal(&key, &token, out), -EINVAL);
}

/* Seal any block, as an authorization server with a fault might. */
static size_t seal_block(const struct token_key *key, const uint8_t *block, int len, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_non_null(ctx);
    be16_put(out, TOKEN_NONCE_LEN);
    memcpy(out + 2, nonce, TOKEN_NONCE_LEN);
    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, out + 2), 1);
    assert_int_equal(
        EVP_EncryptUpdate(ctx, NULL, &n, bytes_of(server_name).p, (int)strlen(server_name)), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out + 14, &n, block, len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + 14 + len, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 14 + len), 1);
    EVP_CIPHER_CTX_free(ctx);
    return (size_t)len + 14 + 16;
}

/* Proves T-7635-6.2-06 */
static void open__refuses_key_lengths_beyond_the_block(void **state)
{
    const struct token_key key = key_of(long_term_key, TOKEN_A256GCM);
    uint8_t block[2 + TOKEN_MAC_MAX + 12] = {0};
    uint8_t out[TOKEN_LEN_MAX];

    (void)state;
    for (uint32_t length = 0; length <= UINT16_MAX; length++) {
        be16_put(block, (uint16_t)length);
        const size_t n = seal_block(&key, block, 2 + 20 + 12, out);
        assert_int_equal(open_exactly(&key, out, n), length == 20 ? 0 : -EBADMSG);
    }
    for (int len = 0; len <= (int)sizeof(block); len++) { /* a block of another length */
        be16_put(block, 20);
        const size_t n = seal_block(&key, block, len, out);
        assert_int_equal(open_exactly(&key, out, n), len == 2 + 20 + 12 ? 0 : -EBADMSG);
    }
}

static void key_make__cuts_and_fills(void **state)
{
    struct token_key key;
    uint8_t expected[TOKEN_KEY_MAX] = "short";

    (void)state;
    assert_int_equal(token_key_make(bytes_of("short"), TOKEN_A256GCM, &key), 0);
    assert_memory_equal(key.bytes, expected, sizeof(expected));
    assert_int_equal(token_key_make(bytes_of("0123456789abcdefX"), TOKEN_A128GCM, &key), 0);
    assert_memory_equal(key.bytes, "0123456789abcdef", 16);
    assert_int_equal(key.bytes[16], 0);
    assert_int_equal(token_key_make(bytes_of(""), TOKEN_A128GCM, &key), -EINVAL);
}

static void algorithm__has_its_names(void **state)
{
    enum token_algorithm algorithm;

    (void)state;
    assert_int_equal(token_algorithm_parse(bytes_of("a128gcm"), &algorithm), 0);
    assert_int_equal(algorithm, TOKEN_A128GCM);
    assert_string_equal(token_algorithm_name(algorithm), "A128GCM");
    assert_int_equal(token_algorithm_parse(bytes_of(""), &algorithm), 0);
    assert_int_equal(algorithm, TOKEN_A256GCM);
    assert_int_equal(token_algorithm_parse(bytes_of("A256GCM"), &algorithm), 0);
    assert_int_equal(algorithm, TOKEN_A256GCM);
    assert_int_equal(token_algorithm_parse(bytes_of("A256CBC-HS512"), &algorithm), -EINVAL);
    assert_int_equal(token_algorithm_parse(bytes_of("A256GC"), &algorithm), -EINVAL);
}

static void box__may_lack_memory(void **state)
{
    (void)state;
    mem_fail_at(0);
    assert_null(token_box_new());
    mem_fail_at(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open__takes_the_samples_of_the_rfc),
        cmocka_unit_test(seal__makes_the_samples_of_the_rfc),
        cmocka_unit_test(open__is_for_one_server_and_key),
        cmocka_unit_test(open__refuses_each_changed_bit),
        cmocka_unit_test(open__refuses_malformed_ones),
        cmocka_unit_test(open__refuses_key_lengths_that_do_not_fit),
        cmocka_unit_test(open__refuses_key_lengths_beyond_the_block),
        cmocka_unit_test(key_make__cuts_and_fills),
        cmocka_unit_test(algorithm__has_its_names),
        cmocka_unit_test(box__may_lack_memory),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
