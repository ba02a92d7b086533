/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and key sets for tests, made by cjose and OpenSSL, and, where a token must be bad, byte by
 * byte. */
#pragma once

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { JWT_TEXT = 4096 };

struct jwt_text {
    char text[JWT_TEXT];
};

#define JWT_SECRET  "a secret of at least thirty-two bytes"
#define JWT_SECRET2 "another secret of thirty-two bytes or more"

static inline void jwt_append(struct jwt_text *out, const void *bytes, size_t n)
{
    char *text = NULL;
    size_t len = 0;
    cjose_err err;

    assert_true(cjose_base64url_encode(bytes, n, &text, &len, &err));
    assert_true(strlen(out->text) + len < JWT_TEXT);
    strncat(out->text, text, len);
    free(text);
}

/* header.payload of these very texts. */
static inline struct jwt_text jwt_half(const char *header, const char *claims)
{
    struct jwt_text out = {""};

    jwt_append(&out, header, strlen(header));
    strcat(out.text, ".");
    jwt_append(&out, claims, strlen(claims));
    return out;
}

/* Add the signature of HS256. */
static inline struct jwt_text jwt_hs256(struct jwt_text half, const void *secret, size_t n)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    assert_non_null(HMAC(EVP_sha256(), secret, (int)n, (const unsigned char *)half.text,
                         strlen(half.text), digest, &len));
    strcat(half.text, ".");
    jwt_append(&half, digest, len);
    return half;
}

/* A whole token signed by `key`; `kid` may be NULL. */
static inline struct jwt_text jwt_sign(const cjose_jwk_t *key, const char *alg, const char *kid,
                                       const char *claims)
{
    struct jwt_text out = {""};
    cjose_err err;
    const char *text;
    cjose_header_t *header = cjose_header_new(&err);

    assert_true(cjose_header_set(header, CJOSE_HDR_ALG, alg, &err));
    if (kid != NULL) {
        assert_true(cjose_header_set(header, CJOSE_HDR_KID, kid, &err));
    }
    cjose_jws_t *jws = cjose_jws_sign(key, header, (const uint8_t *)claims, strlen(claims), &err);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &text, &err));
    assert_true(strlen(text) < JWT_TEXT);
    strcpy(out.text, text);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return out;
}

static inline cjose_jwk_t *jwt_named(cjose_jwk_t *key, const char *kid)
{
    cjose_err err;

    assert_non_null(key);
    if (kid != NULL) {
        assert_true(cjose_jwk_set_kid(key, kid, strlen(kid), &err));
    }
    return key;
}

static inline cjose_jwk_t *jwt_rsa(size_t bits, const char *kid)
{
    static const uint8_t exponent[] = {1, 0, 1};
    cjose_err err;

    return jwt_named(cjose_jwk_create_RSA_random(bits, exponent, sizeof(exponent), &err), kid);
}

static inline cjose_jwk_t *jwt_ec(cjose_jwk_ec_curve curve, const char *kid)
{
    cjose_err err;

    return jwt_named(cjose_jwk_create_EC_random(curve, &err), kid);
}

static inline cjose_jwk_t *jwt_oct(const char *secret, const char *kid)
{
    cjose_err err;

    return jwt_named(cjose_jwk_create_oct_spec((const uint8_t *)secret, strlen(secret), &err), kid);
}

/* The set of these keys' public parts; a secret is its own. To be released with free(). */
static inline char *jwt_set(cjose_jwk_t *const *keys, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        cjose_err err;
        const bool secret = cjose_jwk_get_kty(keys[i], &err) == CJOSE_JWK_KTY_OCT;
        char *text = cjose_jwk_to_json(keys[i], secret, &err);
        assert_non_null(text);
        assert_int_equal(json_array_append_new(list, json_loads(text, 0, NULL)), 0);
        free(text);
    }
    json_t *root = json_pack("{so}", "keys", list);
    char *text = json_dumps(root, 0);
    json_decref(root);
    return text;
}
