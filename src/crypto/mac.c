/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/mac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"

struct crypto_mac {
    EVP_MAC *hmac;
    EVP_MAC_CTX *sha1;
    EVP_MAC_CTX *sha256;
};

/* A context that knows its digest; each MAC only brings its key. */
static EVP_MAC_CTX *context_new(EVP_MAC *hmac, const char *digest)
{
    char name[16];
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);

    strncpy(name, digest, sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    if (ctx != NULL && EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

struct crypto_mac *crypto_mac_new(void)
{
    struct crypto_mac *mac = mem_new(1, sizeof(*mac));
    if (mac == NULL) {
        return NULL;
    }
    mac->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac->hmac != NULL) {
        mac->sha1 = context_new(mac->hmac, "SHA1");
        mac->sha256 = context_new(mac->hmac, "SHA256");
    }
    if (mac->sha1 == NULL || mac->sha256 == NULL) {
        crypto_mac_free(mac);
        return NULL;
    }
    return mac;
}

void crypto_mac_free(struct crypto_mac *mac)
{
    if (mac == NULL) {
        return;
    }
    EVP_MAC_CTX_free(mac->sha1);
    EVP_MAC_CTX_free(mac->sha256);
    EVP_MAC_free(mac->hmac);
    free(mac);
}

static int hmac(EVP_MAC_CTX *ctx, struct bytes key, const struct bytes *parts, size_t count,
                uint8_t *out, size_t out_len)
{
    static const uint8_t nothing[1]; /* a NULL key would mean: go on with the last one */
    bool ok = EVP_MAC_init(ctx, key.n > 0 ? key.p : nothing, key.n, NULL) == 1;
    size_t len = 0;

    for (size_t i = 0; ok && i < count; i++) {
        ok = EVP_MAC_update(ctx, parts[i].p, parts[i].n) == 1;
    }
    ok = ok && EVP_MAC_final(ctx, out, &len, out_len) == 1 && len == out_len;
    if (!ok) {
        memset(out, 0, out_len);
        return -EIO;
    }
    return 0;
}

int crypto_hmac_sha1(struct crypto_mac *mac, struct bytes key, const struct bytes *parts,
                     size_t count, uint8_t out[CRYPTO_SHA1_LEN])
{
    return hmac(mac->sha1, key, parts, count, out, CRYPTO_SHA1_LEN);
}

int crypto_hmac_sha256(struct crypto_mac *mac, struct bytes key, const struct bytes *parts,
                       size_t count, uint8_t out[CRYPTO_SHA256_LEN])
{
    return hmac(mac->sha256, key, parts, count, out, CRYPTO_SHA256_LEN);
}

static int digest(const EVP_MD *md, const struct bytes *parts, size_t count, uint8_t *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1;

    for (size_t i = 0; ok && i < count; i++) {
        ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -EIO;
}

int crypto_md5(const struct bytes *parts, size_t count, uint8_t out[CRYPTO_MD5_LEN])
{
    return digest(EVP_md5(), parts, count, out);
}

int crypto_sha256(const struct bytes *parts, size_t count, uint8_t out[CRYPTO_SHA256_LEN])
{
    return digest(EVP_sha256(), parts, count, out);
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

uint32_t crypto_crc32(const struct bytes *parts, size_t count)
{
    uLong crc = crc32(0, NULL, 0);

    for (size_t i = 0; i < count; i++) {
        if (parts[i].n > 0) { /* a NULL buffer would start zlib's sum anew */
            crc = crc32_z(crc, parts[i].p, parts[i].n);
        }
    }
    return (uint32_t)crc;
}
