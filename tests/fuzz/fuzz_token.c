/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of auth_token_give() and token_open(): ACCESS-TOKENs of strangers, and of an
 * authorization server that seals nonsense.
 *
 * Input: a byte whose bit 0 chooses the algorithm; with bit 1 the rest is an encrypted_block that
 * is sealed here, so that what stands behind the tag is reached; without it, the ACCESS-TOKEN. */
#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "auth/auth_token.h"

enum { A128 = 1, SEALED = 2, HEAD = 2 + TOKEN_NONCE_LEN, BLOCK_MOST = 200 };

/* A day within the lifetime of RFC 7635's samples. */
static const uint64_t now_s = 1410984900;
static const char server_name[] = "blackdow.carleon.gov";
static const char long_term_key[] = "HGkj32KJGiuy098sdfaqbNjOiaz71923";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The token around `block`; its length. */
static size_t seal(const struct token_key *key, struct bytes block, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher =
        key->algorithm == TOKEN_A256GCM ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
    const int n = (int)(block.n < BLOCK_MOST ? block.n : BLOCK_MOST);
    int len;

    memset(out, 0, HEAD);
    be16_put(out, TOKEN_NONCE_LEN);
    bool ok = ctx != NULL && EVP_EncryptInit_ex(ctx, cipher, NULL, key->bytes, out + 2) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &len, (const uint8_t *)server_name,
                                (int)strlen(server_name)) == 1 &&
              EVP_EncryptUpdate(ctx, out + HEAD, &len, block.p, n) == 1 &&
              EVP_EncryptFinal_ex(ctx, out + HEAD + n, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TOKEN_TAG_LEN, out + HEAD + n) == 1;
    assert(ok);
    (void)ok;
    EVP_CIPHER_CTX_free(ctx);
    return (size_t)(HEAD + n + TOKEN_TAG_LEN);
}

/* Does the block have the form that RFC 7635 section 6.2 gives it, with a mac_key that we take? */
static bool is_block(struct bytes block)
{
    return block.n >= 2 + TOKEN_MAC_LEAST + 12 && be16(block.p) >= TOKEN_MAC_LEAST &&
           be16(block.p) <= TOKEN_MAC_MAX && block.n == 2U + be16(block.p) + 12U;
}

static void check_keys(const struct credential_keys *keys)
{
    assert(keys->count == 1 || keys->count == 2);
    assert(keys->lifetime_s > 0);
    assert(keys->key[0].mac_len >= TOKEN_MAC_LEAST && keys->key[0].mac_len <= TOKEN_MAC_MAX);
    assert(keys->count == 1 || keys->key[1].mac_len == TOKEN_MAC_LEAST);
    assert((size_t)keys->quota_from + keys->quota_len <= sizeof(keys->name));
    (void)keys;
}

/* What opens says the same when it is sealed again. */
static void check_round(struct token_box *box, const struct token_key *key, struct bytes sealed)
{
    uint8_t again[TOKEN_LEN_MAX];
    struct token token;

    if (token_open(box, key, bytes_of(server_name), sealed, &token) < 0) {
        return;
    }
    const struct token_seal in = {key, bytes_of(server_name), &token, sealed.p + 2};
    const int n = token_seal(box, &in, again);
    assert(n > 0 && bytes_equal((struct bytes){again, (size_t)n}, sealed));
    (void)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct token_box *box;
    static struct auth_oauth_key key = {.kid_len = 3, .kid = "kid"};
    uint8_t sealed[HEAD + BLOCK_MOST + TOKEN_TAG_LEN];
    struct credential_keys keys;

    if (size == 0) {
        return 0;
    }
    box = box == NULL ? token_box_new() : box;
    assert(box != NULL);
    const uint8_t how = data[0];
    struct bytes token = {data + 1, size - 1};
    int err = token_key_make(bytes_of(long_term_key),
                             (how & A128) != 0 ? TOKEN_A128GCM : TOKEN_A256GCM, &key.key);
    assert(err == 0);
    const struct bytes block = token;
    if ((how & SEALED) != 0) {
        token = (struct bytes){sealed, seal(&key.key, block, sealed)};
    }
    const struct auth_token_ask ask = {&key, bytes_of(server_name), bytes_of("kid"), token, now_s};
    err = auth_token_give(box, &ask, &keys);
    assert(err == 0 || err == -ENOENT);
    if (err == 0) {
        check_keys(&keys);
    }
    if ((how & SEALED) != 0) {
        struct token opened;
        const bool opens = token_open(box, &key.key, bytes_of(server_name), token, &opened) == 0;
        assert(opens == is_block(block));
        (void)opens;
    }
    check_round(box, &key.key, token);
    return 0;
}
