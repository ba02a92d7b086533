/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_token.h"

#include <errno.h>

#include "base/secret.h"
#include "crypto/base64.h"

enum {
    COTURN_KEY_LEN = 16,
    ACCOUNT_HASH = 8, /* bytes of SHA-256 */
};

uint64_t auth_token_left(const struct token *token, uint64_t wall_s)
{
    const uint64_t made_s = token_seconds(token->timestamp);
    const uint64_t apart_s = wall_s > made_s ? wall_s - made_s : made_s - wall_s;
    const uint64_t longest_s = (uint64_t)token->lifetime_s + AUTH_TOKEN_DELTA_S;

    return longest_s > apart_s ? longest_s - apart_s : 0;
}

/* RFC 7635 section 6.2 hands tokens to clients as base64 and does not say that they decode it.  The
 * first byte of a raw one is always zero, which is no digit. */
static int open_either(struct token_box *box, const struct auth_token_ask *ask, struct token *out)
{
    uint8_t raw[TOKEN_LEN_MAX];

    if (ask->token.n == 0 || ask->token.p[0] == 0) {
        return token_open(box, &ask->key->key, ask->server_name, ask->token, out);
    }
    const int n = crypto_base64_read(ask->token, raw, sizeof(raw));
    return n < 0 ? n
                 : token_open(box, &ask->key->key, ask->server_name, (struct bytes){raw, (size_t)n},
                              out);
}

/* Who has the token: behind the name, "kid#0123456789abcdef".  0 or -EIO. */
static int account_write(const struct token *token, struct credential_keys *out)
{
    const struct bytes mac = {token->mac, token->mac_len};
    uint8_t hash[CRYPTO_SHA256_LEN];
    static const char digits[] = "0123456789abcdef";
    uint8_t text[1 + ACCOUNT_HASH * 2] = "#";
    uint8_t *account = out->name + out->name_len;
    size_t kid = out->name_len;

    if (crypto_sha256(&mac, 1, hash) < 0) {
        return -EIO;
    }
    for (size_t i = 0; i < ACCOUNT_HASH; i++) {
        text[1 + 2 * i] = (uint8_t)digits[hash[i] >> 4];
        text[2 + 2 * i] = (uint8_t)digits[hash[i] & 15];
    }
    if (kid > CREDENTIAL_ACCOUNT_MAX - sizeof(text)) {
        kid = CREDENTIAL_ACCOUNT_MAX - sizeof(text);
    }
    memcpy(account, out->name, kid);
    memcpy(account + kid, text, sizeof(text));
    out->quota_from = out->name_len;
    out->quota_len = (uint16_t)(kid + sizeof(text));
    return 0;
}

static void keys_write(const struct token *token, struct credential_keys *out)
{
    struct credential_key *key = out->key;

    out->count = token->mac_len > COTURN_KEY_LEN ? 2 : 1;
    memset(key, 0, out->count * sizeof(*key));
    key[0].mac_len = (uint8_t)token->mac_len;
    memcpy(key[0].mac, token->mac, token->mac_len);
    if (out->count > 1) {
        key[1].mac_len = COTURN_KEY_LEN;
        memcpy(key[1].mac, token->mac, COTURN_KEY_LEN);
    }
}

int auth_token_give(struct token_box *box, const struct auth_token_ask *ask,
                    struct credential_keys *out)
{
    struct token token;

    if (open_either(box, ask, &token) < 0) {
        return -ENOENT;
    }
    const uint64_t left_s = auth_token_left(&token, ask->wall_s);
    out->name_len = (uint16_t)ask->kid.n;
    memcpy(out->name, ask->kid.p, ask->kid.n);
    int err = left_s == 0 ? -ENOENT : account_write(&token, out);
    if (err == 0) {
        out->lifetime_s = left_s < UINT32_MAX ? (uint32_t)left_s : UINT32_MAX;
        out->realm_len = ask->key->realm_len;
        memcpy(out->realm, ask->key->realm, ask->key->realm_len);
        keys_write(&token, out);
    }
    secret_wipe(&token, sizeof(token));
    return err < 0 ? -ENOENT : 0;
}
