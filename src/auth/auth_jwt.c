/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_jwt.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_jwt_shape.h"
#include "auth/auth_keys.h"
#include "base/secret.h"

enum {
    SIGNATURE_TEXT = 43, /* base64url of 32 bytes */
    PASSWORD_MAX = CREDENTIAL_NAME_MAX + 1 + SIGNATURE_TEXT,
};

/* A token taken apart. */
struct jwt {
    struct bytes whole;
    struct bytes input; /* header.payload: what is signed */
    struct bytes sign;  /* as text; empty when it is not there */
    json_t *header;
    json_t *claims;
    enum auth_jwt_alg alg;
    const char *kid; /* NULL when it has none */
};

/* --- Taking apart --------------------------------------------------------------------------------
 */

/* The JSON object that `text` encodes; NULL.  What is not known is no harm (RFC 7519 section 4). */
static json_t *object_of(struct bytes text)
{
    cjose_err err;
    uint8_t *json = NULL;
    size_t len = 0;
    json_t *object = NULL;

    if (cjose_base64url_decode((const char *)text.p, text.n, &json, &len, &err)) {
        /* RFC 7519 section 4, RFC 7515 section 4: names must be unique. */
        object = json_loadb((const char *)json, len, JSON_REJECT_DUPLICATES, NULL);
    }
    cjose_get_dealloc()(json);
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static bool alg_parse(const char *name, enum auth_jwt_alg *out)
{
    static const char *const names[AUTH_JWT_ALGS] = {
        [AUTH_RS256] = "RS256",
        [AUTH_ES256] = "ES256",
        [AUTH_HS256] = "HS256",
    };

    for (int i = 0; name != NULL && i < AUTH_JWT_ALGS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum auth_jwt_alg)i;
            return true;
        }
    }
    return false; /* "none" above all: RFC 8725 section 3.2 */
}

static void jwt_fini(struct jwt *token)
{
    json_decref(token->header);
    json_decref(token->claims);
}

/* Where the part at `from` ends. */
static size_t part_end(struct bytes name, size_t from)
{
    const uint8_t *dot = memchr(name.p + from, '.', name.n - from);

    return dot == NULL ? name.n : (size_t)(dot - name.p);
}

/* 0 or -EBADMSG, with nothing to release. */
static int jwt_parse(struct bytes name, enum auth_jwt_shape shape, struct jwt *out)
{
    const size_t first = part_end(name, 0);
    const size_t second = part_end(name, first + 1);

    *out = (struct jwt){.whole = name, .input = {name.p, second}};
    if (shape == AUTH_JWT_WHOLE) {
        out->sign = (struct bytes){name.p + second + 1, name.n - second - 1};
    }
    out->header = object_of((struct bytes){name.p, first});
    out->claims = object_of((struct bytes){name.p + first + 1, second - first - 1});
    const json_t *kid = json_object_get(out->header, "kid");
    out->kid = json_string_value(kid);
    /* RFC 7515 section 4.1.11: extensions that must be understood are not. */
    if (out->header == NULL || out->claims == NULL || (kid != NULL && out->kid == NULL) ||
        json_object_get(out->header, "crit") != NULL ||
        !alg_parse(json_string_value(json_object_get(out->header, "alg")), &out->alg)) {
        jwt_fini(out);
        return -EBADMSG;
    }
    return 0;
}

/* --- Claims --------------------------------------------------------------------------------------
 */

/* A NumericDate (RFC 7519 section 2): 1 with `*out`, rounded down; 0 when it is not there;
 * -EBADMSG.
 */
static int date_claim(const json_t *claims, const char *name, uint64_t *out)
{
    static const double max_s = 9007199254740992.0; /* 2^53 */
    const json_t *claim = json_object_get(claims, name);
    const double value = json_number_value(claim);

    if (claim == NULL) {
        return 0;
    }
    if (!json_is_number(claim) || !isfinite(value) || value < 0 || value > max_s) {
        return -EBADMSG;
    }
    *out = (uint64_t)value;
    return 1;
}

static bool dates_fit(const json_t *claims, uint64_t wall_s, uint64_t *out_expiry_s)
{
    uint64_t not_before_s = 0;
    uint64_t issued_s = 0;

    return date_claim(claims, "exp", out_expiry_s) == 1 &&
           date_claim(claims, "nbf", &not_before_s) >= 0 &&
           date_claim(claims, "iat", &issued_s) >= 0 && not_before_s <= wall_s + AUTH_JWT_SKEW_S &&
           issued_s <= wall_s + AUTH_JWT_SKEW_S && issued_s <= *out_expiry_s;
}

static bool is_text(const json_t *claim, struct bytes text)
{
    return json_is_string(claim) &&
           bytes_equal(
               (struct bytes){(const uint8_t *)json_string_value(claim), json_string_length(claim)},
               text);
}

/* Are we the audience? */
static bool is_ours(const json_t *audience, const struct auth_jwt_rules *rules)
{
    for (size_t i = 0; i < rules->audience_count; i++) {
        if (is_text(audience, bytes_of(rules->audiences[i]))) {
            return true;
        }
    }
    return rules->audience_count == 0 && is_text(audience, rules->realm);
}

/* RFC 7519 section 4.1.3: one text or a list of them; a token that names others must be refused. */
static bool audience_fits(const json_t *claims, const struct auth_jwt_rules *rules)
{
    const json_t *claim = json_object_get(claims, "aud");

    if (claim == NULL) {
        return rules->audience_count == 0;
    }
    for (size_t i = 0; i < json_array_size(claim); i++) {
        if (is_ours(json_array_get(claim, i), rules)) {
            return true;
        }
    }
    return is_ours(claim, rules);
}

/* Do all claims fit?  Then what they say is in `*out`. */
static bool claims_fit(const json_t *claims, const struct auth_jwt_rules *rules,
                       struct auth_jwt_answer *out)
{
    const json_t *subject = json_object_get(claims, "sub");
    const json_t *realm = json_object_get(claims, "realm");
    const size_t len = json_is_string(subject) ? json_string_length(subject) : 0;

    if (len == 0 || len > sizeof(out->account) ||
        !dates_fit(claims, rules->wall_s, &out->expiry_s) ||
        (rules->issuer != NULL &&
         !is_text(json_object_get(claims, "iss"), bytes_of(rules->issuer))) ||
        !audience_fits(claims, rules) || (realm != NULL && !is_text(realm, rules->realm))) {
        return false;
    }
    out->account_len = (uint16_t)len;
    memcpy(out->account, json_string_value(subject), len);
    return true;
}

/* --- Signatures ----------------------------------------------------------------------------------
 */

/* The signature of `input`, as text. */
static int hs256(struct crypto_mac *mac, struct bytes secret, struct bytes input,
                 char out[SIGNATURE_TEXT])
{
    uint8_t digest[CRYPTO_SHA256_LEN];
    char *text = NULL;
    size_t len = 0;
    cjose_err failure;
    int err = crypto_hmac_sha256(mac, secret, &input, 1, digest);

    if (err == 0 && (!cjose_base64url_encode(digest, sizeof(digest), &text, &len, &failure) ||
                     len != SIGNATURE_TEXT)) {
        err = -EIO;
    }
    if (err == 0) {
        memcpy(out, text, SIGNATURE_TEXT);
    }
    secret_wipe(digest, sizeof(digest));
    if (text != NULL) {
        secret_wipe(text, len);
    }
    cjose_get_dealloc()(text);
    return err;
}

/* Add the key that follows from the whole token. */
static int key_add(const struct auth_jwt_rules *rules, struct bytes name, struct bytes password,
                   struct auth_jwt_answer *out)
{
    const int err = auth_keys_make(name, rules->realm, password, &out->key[out->key_count]);

    out->key_count += err == 0;
    return err == 0 ? 0 : -ENOENT;
}

/* What `secret` may have made: the key of a half token, or the proof of a whole one. */
static void try_secret(struct crypto_mac *mac, const struct auth_jwt_rules *rules,
                       const struct jwt *token, struct bytes secret, struct auth_jwt_answer *out)
{
    char text[PASSWORD_MAX];
    const size_t n = token->input.n;

    if (out->key_count == AUTH_JWT_KEYS || out->proven || secret.n == 0) {
        return;
    }
    memcpy(text, token->input.p, n);
    text[n] = '.';
    if (hs256(mac, secret, token->input, text + n + 1) == 0) {
        const struct bytes password = {(const uint8_t *)text, n + 1 + SIGNATURE_TEXT};
        if (token->sign.n == 0) {
            (void)!key_add(rules, token->whole, password, out);
        } else if (token->sign.n == SIGNATURE_TEXT &&
                   crypto_equal(text + n + 1, token->sign.p, SIGNATURE_TEXT)) {
            out->proven = key_add(rules, token->whole, token->whole, out) == 0;
        }
    }
    secret_wipe(text, sizeof(text));
}

/* Secrets have no kid of ours: they are tried whatever the token says, unless the key set knows its
 * kid. */
static int judge_secret(struct crypto_mac *mac, const struct auth_jwt_rules *rules,
                        const struct jwt *token, struct auth_jwt_answer *out)
{
    size_t at = 0;
    const struct auth_jwk *key;
    uint32_t tried = 0;

    while ((key = auth_jwks_next(rules->jwks, AUTH_HS256, token->kid, &at)) != NULL) {
        try_secret(mac, rules, token, auth_jwk_secret(key), out);
        tried++;
    }
    const bool known = tried > 0 && token->kid != NULL;
    for (uint32_t i = 0; !known && rules->secrets != NULL && i < rules->secrets->count; i++) {
        const struct auth_secret *secret = &rules->secrets->secrets[i];
        try_secret(mac, rules, token, (struct bytes){secret->bytes, secret->len}, out);
        tried++;
    }
    if (tried == 0) {
        return -EAGAIN;
    }
    return out->key_count > 0 ? 0 : -ENOENT;
}

/* The key of that kid; of a token without one the only key that fits. */
static int judge_signed(const struct auth_jwt_rules *rules, const struct jwt *token,
                        struct auth_jwt_answer *out)
{
    size_t at = 0;
    const struct auth_jwk *key = auth_jwks_next(rules->jwks, token->alg, token->kid, &at);

    if (key == NULL) {
        return -EAGAIN;
    }
    if (token->kid == NULL && auth_jwks_next(rules->jwks, token->alg, NULL, &at) != NULL) {
        return -ENOENT;
    }
    for (; key != NULL && !out->proven;
         key = auth_jwks_next(rules->jwks, token->alg, token->kid, &at)) {
        out->proven = auth_jwk_signed(key, token->whole);
    }
    return out->proven ? key_add(rules, token->whole, token->whole, out) : -ENOENT;
}

int auth_jwt_judge(struct crypto_mac *mac, const struct auth_jwt_rules *rules, struct bytes name,
                   struct auth_jwt_answer *out)
{
    const enum auth_jwt_shape shape = auth_jwt_shape(name);
    struct auth_jwt_answer answer = {0};
    struct jwt token;
    int err = -ENOENT;

    if (shape == AUTH_JWT_NONE || name.n > CREDENTIAL_NAME_MAX ||
        jwt_parse(name, shape, &token) < 0) {
        return -ENOENT;
    }
    if (!claims_fit(token.claims, rules, &answer)) {
        err = -ENOENT;
    } else if (token.alg == AUTH_HS256) {
        err = judge_secret(mac, rules, &token, &answer);
    } else if (shape == AUTH_JWT_WHOLE) {
        err = judge_signed(rules, &token, &answer);
    }
    jwt_fini(&token);
    if (err == 0) {
        *out = answer;
    }
    secret_wipe(&answer, sizeof(answer));
    return err;
}
