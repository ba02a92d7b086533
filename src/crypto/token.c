/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "base/secret.h"

enum {
    HEAD = 2 + TOKEN_NONCE_LEN,
    TAIL = 8 + 4, /* timestamp and lifetime */
    BLOCK_MAX = 2 + TOKEN_MAC_MAX + TAIL,
};

static const struct {
    const char *name;   /* RFC 7518 section 5.1 */
    const char *cipher; /* OpenSSL's name */
    size_t key_len;
} algorithms[] = {
    [TOKEN_A256GCM] = {"A256GCM", "AES-256-GCM", 32},
    [TOKEN_A128GCM] = {"A128GCM", "AES-128-GCM", 16},
};

enum { ALGORITHMS = sizeof(algorithms) / sizeof(algorithms[0]) };

struct token_box {
    EVP_CIPHER *cipher[ALGORITHMS];
    EVP_CIPHER_CTX *ctx;
};

size_t token_key_len(enum token_algorithm algorithm)
{
    return algorithms[algorithm].key_len;
}

const char *token_algorithm_name(enum token_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

int token_algorithm_parse(struct bytes name, enum token_algorithm *out)
{
    if (name.n == 0) {
        *out = TOKEN_A256GCM;
        return 0;
    }
    for (unsigned i = 0; i < ALGORITHMS; i++) {
        if (name.n == strlen(algorithms[i].name) &&
            strncasecmp((const char *)name.p, algorithms[i].name, name.n) == 0) {
            *out = (enum token_algorithm)i;
            return 0;
        }
    }
    return -EINVAL;
}

int token_key_make(struct bytes ikm, enum token_algorithm algorithm, struct token_key *out)
{
    const size_t len = token_key_len(algorithm);

    if (ikm.n == 0) {
        return -EINVAL;
    }
    *out = (struct token_key){.algorithm = algorithm};
    memcpy(out->bytes, ikm.p, ikm.n < len ? ikm.n : len);
    return 0;
}

struct token_box *token_box_new(void)
{
    struct token_box *box = mem_new(1, sizeof(*box));

    if (box == NULL) {
        return NULL;
    }
    box->ctx = EVP_CIPHER_CTX_new();
    bool ok = box->ctx != NULL;
    for (unsigned i = 0; ok && i < ALGORITHMS; i++) {
        box->cipher[i] = EVP_CIPHER_fetch(NULL, algorithms[i].cipher, NULL);
        ok = box->cipher[i] != NULL;
    }
    if (!ok) {
        token_box_free(box);
        return NULL;
    }
    return box;
}

void token_box_free(struct token_box *box)
{
    if (box == NULL) {
        return;
    }
    for (unsigned i = 0; i < ALGORITHMS; i++) {
        EVP_CIPHER_free(box->cipher[i]);
    }
    EVP_CIPHER_CTX_free(box->ctx);
    free(box);
}

/* Take the encrypted block apart: it ends where its lifetime does.  0 or -EBADMSG. */
static int block_read(struct bytes block, struct token *out)
{
    struct bytes rest = block;
    struct bytes field;
    struct token token = {0};

    if (bytes_take(&rest, 2, &field) < 0) {
        return -EBADMSG;
    }
    token.mac_len = be16(field.p);
    if (token.mac_len < TOKEN_MAC_LEAST || token.mac_len > TOKEN_MAC_MAX ||
        bytes_take(&rest, token.mac_len, &field) < 0 || rest.n != TAIL) {
        return -EBADMSG;
    }
    memcpy(token.mac, field.p, field.n);
    token.timestamp = be64(rest.p);
    token.lifetime_s = be32(rest.p + 8);
    *out = token;
    secret_wipe(&token, sizeof(token));
    return 0;
}

/* Set the context up for one token.  True when libcrypto could. */
static bool begin(struct token_box *box, const struct token_key *key, const uint8_t *nonce,
                  int seal)
{
    return EVP_CipherInit_ex2(box->ctx, box->cipher[key->algorithm], key->bytes, nonce, seal,
                              NULL) == 1;
}

/* The server's name is what the tag covers besides (RFC 7635 section 6.2). */
static bool name_cover(struct token_box *box, struct bytes name)
{
    int n = 0;

    return name.n == 0 || EVP_CipherUpdate(box->ctx, NULL, &n, name.p, (int)name.n) == 1;
}

int token_open(struct token_box *box, const struct token_key *key, struct bytes server_name,
               struct bytes sealed, struct token *out)
{
    uint8_t block[BLOCK_MAX];
    uint8_t tag[TOKEN_TAG_LEN];
    int n = 0;
    int end = 0;

    /* Another nonce_length than GCM's recommended one (RFC 5116 section 3.2) is nobody's. */
    if (sealed.n < HEAD + TOKEN_TAG_LEN || sealed.n > TOKEN_LEN_MAX ||
        be16(sealed.p) != TOKEN_NONCE_LEN) {
        return -EBADMSG;
    }
    const size_t len = sealed.n - HEAD - TOKEN_TAG_LEN;
    memcpy(tag, sealed.p + HEAD + len, sizeof(tag));
    if (!begin(box, key, sealed.p + 2, 0) ||
        EVP_CIPHER_CTX_ctrl(box->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1 ||
        !name_cover(box, server_name) ||
        EVP_CipherUpdate(box->ctx, block, &n, sealed.p + HEAD, (int)len) != 1) {
        secret_wipe(block, sizeof(block));
        return -EIO;
    }
    int err = EVP_CipherFinal_ex(box->ctx, block + n, &end) == 1 ? 0 : -EBADMSG;
    if (err == 0) {
        err = block_read((struct bytes){block, len}, out);
    }
    secret_wipe(block, sizeof(block));
    return err;
}

int token_seal(struct token_box *box, const struct token_seal *in, uint8_t out[TOKEN_LEN_MAX])
{
    uint8_t block[BLOCK_MAX];
    const struct token *token = in->token;
    int n = 0;
    int end = 0;

    if (token->mac_len < TOKEN_MAC_LEAST || token->mac_len > TOKEN_MAC_MAX) {
        return -EINVAL;
    }
    be16_put(out, TOKEN_NONCE_LEN);
    memcpy(out + 2, in->nonce, TOKEN_NONCE_LEN);
    be16_put(block, token->mac_len);
    memcpy(block + 2, token->mac, token->mac_len);
    be64_put(block + 2 + token->mac_len, token->timestamp);
    be32_put(block + 2 + token->mac_len + 8, token->lifetime_s);
    const int len = 2 + token->mac_len + TAIL;
    const bool ok =
        begin(box, in->key, out + 2, 1) && name_cover(box, in->server_name) &&
        EVP_CipherUpdate(box->ctx, out + HEAD, &n, block, len) == 1 &&
        EVP_CipherFinal_ex(box->ctx, out + HEAD + n, &end) == 1 &&
        EVP_CIPHER_CTX_ctrl(box->ctx, EVP_CTRL_AEAD_GET_TAG, TOKEN_TAG_LEN, out + HEAD + len) == 1;
    secret_wipe(block, sizeof(block));
    return ok ? HEAD + len + TOKEN_TAG_LEN : -EIO;
}
