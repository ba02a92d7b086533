/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_jwks.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth_jwt_shape.h"
#include "base/mem.h"
#include "base/secret.h"

enum {
    RSA_BITS_LEAST = 2048, /* RFC 7518 section 3.3 */
    OCT_BITS_LEAST = 256,  /* RFC 7518 section 3.2 */
};

struct auth_jwk {
    cjose_jwk_t *key;
    enum auth_jwt_alg alg;
    char *kid; /* NULL when it has none */
};

struct auth_jwks {
    size_t count;
    size_t ignored;
    struct auth_jwk keys[AUTH_JWKS_KEYS_MAX];
};

bool auth_jwks_built(void)
{
    return true;
}

void auth_jwks_free(struct auth_jwks *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        (void)cjose_jwk_release(set->keys[i].key);
        free(set->keys[i].kid);
    }
    free(set);
}

/* Is the key strong enough, and for which algorithm?  False when none of ours. */
static bool alg_of(const cjose_jwk_t *key, enum auth_jwt_alg *out)
{
    cjose_err err;
    const size_t bits = cjose_jwk_get_keysize(key, &err);

    switch (cjose_jwk_get_kty(key, &err)) {
    case CJOSE_JWK_KTY_RSA:
        *out = AUTH_RS256;
        return bits >= RSA_BITS_LEAST;
    case CJOSE_JWK_KTY_EC:
        *out = AUTH_ES256;
        return cjose_jwk_EC_get_curve(key, &err) == CJOSE_JWK_EC_P_256;
    case CJOSE_JWK_KTY_OCT:
        *out = AUTH_HS256;
        return bits >= OCT_BITS_LEAST;
    default:
        return false;
    }
}

/* May it be used for that (RFC 7517 sections 4.2 to 4.4)? */
static bool is_meant_for(const json_t *json, enum auth_jwt_alg alg)
{
    static const char *const names[AUTH_JWT_ALGS] = {
        [AUTH_RS256] = "RS256",
        [AUTH_ES256] = "ES256",
        [AUTH_HS256] = "HS256",
    };
    const json_t *use = json_object_get(json, "use");
    const json_t *ops = json_object_get(json, "key_ops");
    const json_t *named = json_object_get(json, "alg");
    bool may = ops == NULL;

    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        may = may || (op != NULL && strcmp(op, "verify") == 0);
    }
    return may &&
           (use == NULL || (json_is_string(use) && strcmp(json_string_value(use), "sig") == 0)) &&
           (named == NULL ||
            (json_is_string(named) && strcmp(json_string_value(named), names[alg]) == 0));
}

/* One member of a key, in base64url of up to `max` characters, copied into `to`. */
static bool member_copy(const json_t *json, const char *name, size_t max, json_t *to)
{
    const json_t *member = json_object_get(json, name);
    const struct bytes text = {(const uint8_t *)json_string_value(member),
                               json_string_length(member)};

    return text.n <= max && auth_jwt_is_base64url(text) &&
           json_object_set_new(to, name, json_stringn((const char *)text.p, text.n)) == 0;
}

static bool name_copy(const json_t *json, const char *name, json_t *to)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text != NULL && json_object_set_new(to, name, json_string(text)) == 0;
}

/* The members that cjose needs, judged, without private ones; NULL when they are not all there.
 * cjose ends the process over some that are malformed. */
static json_t *key_clean(const json_t *json)
{
    enum {
        RSA_TEXT_MAX = 1366, /* 8192 bits */
        E_TEXT_MAX = 6,      /* 32 bits */
        P256_TEXT = 43,      /* 256 bits */
        OCT_TEXT_MAX = 1366, /* 1024 bytes */
    };

    const char *kty = json_string_value(json_object_get(json, "kty"));
    const char *crv = json_string_value(json_object_get(json, "crv"));
    json_t *to = json_object();
    bool good = to != NULL && name_copy(json, "kty", to);

    if (good && strcmp(kty, "RSA") == 0) {
        good = member_copy(json, "n", RSA_TEXT_MAX, to) && member_copy(json, "e", E_TEXT_MAX, to);
    } else if (good && strcmp(kty, "EC") == 0) {
        good = crv != NULL && strcmp(crv, "P-256") == 0 && name_copy(json, "crv", to) &&
               member_copy(json, "x", P256_TEXT, to) && member_copy(json, "y", P256_TEXT, to) &&
               json_string_length(json_object_get(json, "x")) == P256_TEXT &&
               json_string_length(json_object_get(json, "y")) == P256_TEXT;
    } else {
        good = good && strcmp(kty, "oct") == 0 && member_copy(json, "k", OCT_TEXT_MAX, to);
    }
    if (!good) {
        json_decref(to);
        return NULL;
    }
    return to;
}

/* What cjose makes of it; NULL when it is no key. */
static cjose_jwk_t *key_import(const json_t *json)
{
    json_t *clean = key_clean(json);
    char *text = clean != NULL ? json_dumps(clean, JSON_COMPACT) : NULL;
    cjose_jwk_t *key = NULL;
    cjose_err err;

    if (text != NULL) {
        key = cjose_jwk_import(text, strlen(text), &err);
        secret_wipe(text, strlen(text));
    }
    free(text);
    json_decref(clean);
    return key;
}

/* 0 when it was kept or left out; -ENOMEM. */
static int key_add(struct auth_jwks *set, const json_t *json)
{
    const char *kid = json_string_value(json_object_get(json, "kid"));
    struct auth_jwk *slot = &set->keys[set->count];
    cjose_jwk_t *key = set->count < AUTH_JWKS_KEYS_MAX ? key_import(json) : NULL;

    if (key == NULL || !alg_of(key, &slot->alg) || !is_meant_for(json, slot->alg)) {
        (void)cjose_jwk_release(key);
        set->ignored++;
        return 0;
    }
    slot->kid = kid != NULL ? mem_text(kid) : NULL;
    if (kid != NULL && slot->kid == NULL) {
        (void)cjose_jwk_release(key);
        return -ENOMEM;
    }
    slot->key = key;
    set->count++;
    return 0;
}

int auth_jwks_parse(struct bytes json, struct auth_jwks **out)
{
    if (json.n > AUTH_JWKS_BYTES_MAX) {
        return -EBADMSG;
    }
    json_t *root = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(root, "keys");
    struct auth_jwks *set = json_is_array(keys) ? mem_new(1, sizeof(*set)) : NULL;
    int err = json_is_array(keys) ? 0 : -EBADMSG;

    if (err == 0 && set == NULL) {
        err = -ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < json_array_size(keys); i++) {
        err = key_add(set, json_array_get(keys, i));
    }
    json_decref(root);
    if (err < 0) {
        auth_jwks_free(set);
        return err;
    }
    *out = set;
    return 0;
}

int auth_jwks_read(const char *path, struct auth_jwks **out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t *text = mem_new(1, AUTH_JWKS_BYTES_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;
    int err = fd < 0 ? -errno : 0;

    if (err == 0 && text == NULL) {
        err = -ENOMEM;
    }
    while (err == 0 && n > 0 && len <= AUTH_JWKS_BYTES_MAX) {
        n = read(fd, text + len, AUTH_JWKS_BYTES_MAX + 1 - len);
        err = n < 0 ? -errno : 0;
        len += n > 0 ? (size_t)n : 0;
    }
    if (err == 0) {
        err = auth_jwks_parse((struct bytes){text, len}, out);
    }
    if (text != NULL) {
        secret_wipe(text, len);
    }
    free(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return err;
}

size_t auth_jwks_count(const struct auth_jwks *set)
{
    return set->count;
}

size_t auth_jwks_ignored(const struct auth_jwks *set)
{
    return set->ignored;
}

const struct auth_jwk *auth_jwks_next(const struct auth_jwks *set, enum auth_jwt_alg alg,
                                      const char *kid, size_t *at)
{
    while (set != NULL && *at < set->count) {
        const struct auth_jwk *key = &set->keys[(*at)++];
        if (key->alg == alg && (kid == NULL || (key->kid != NULL && strcmp(key->kid, kid) == 0))) {
            return key;
        }
    }
    return NULL;
}

struct bytes auth_jwk_secret(const struct auth_jwk *key)
{
    cjose_err err;
    const uint8_t *data = cjose_jwk_get_keydata(key->key, &err);

    return (struct bytes){data, data == NULL ? 0 : cjose_jwk_get_keysize(key->key, &err) / 8};
}

bool auth_jwk_signed(const struct auth_jwk *key, struct bytes token)
{
    cjose_err err;
    cjose_jws_t *jws = cjose_jws_import((const char *)token.p, token.n, &err);
    const bool is_signed = jws != NULL && cjose_jws_verify(jws, key->key, &err);

    cjose_jws_release(jws);
    return is_signed;
}
