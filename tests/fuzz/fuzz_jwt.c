/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of auth_jwt_shape(), auth_jwt_judge(), auth_jwks_parse() and auth_hook_read().
 *
 * Input: one byte that says what the rest is: 'k' a key set, 'h' the body of a hook's answer,
 * anything else a user name. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_hook.h"
#include "auth/auth_jwks.h"
#include "auth/auth_jwt.h"
#include "auth/auth_jwt_shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1000 };

/* The corpus is signed with the secrets of these. */
static const char secret[] = "a secret of at least thirty-two bytes";
static const char set_text[] =
    "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"o\","
    "\"k\":\"YW5vdGhlciBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyBvciBtb3Jl\"},"
    "{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static struct crypto_mac *mac;
static struct auth_secrets *secrets;
static struct auth_jwks *set;

static void begin(void)
{
    if (mac == NULL) {
        mac = crypto_mac_new();
        assert(mac != NULL);
        assert(auth_secrets_put(&secrets, bytes_of(secret)) == 0);
        assert(auth_jwks_parse(bytes_of(set_text), &set) == 0);
        assert(auth_jwks_count(set) == 2);
    }
}

static void check_name(struct bytes name)
{
    const struct auth_jwt_rules rules = {
        .realm = bytes_of("example.org"),
        .secrets = secrets,
        .jwks = set,
        .wall_s = NOW_S,
    };
    const enum auth_jwt_shape shape = auth_jwt_shape(name);
    const struct bytes shown = auth_jwt_shown(name);
    struct auth_jwt_answer answer;

    assert(shown.n <= name.n && (shape == AUTH_JWT_WHOLE || shown.n == name.n));
    const int err = auth_jwt_judge(mac, &rules, name, &answer);
    assert(err == 0 || err == -ENOENT || err == -EAGAIN);
    if (err < 0) {
        return;
    }
    assert(shape != AUTH_JWT_NONE && name.n <= CREDENTIAL_NAME_MAX);
    assert(answer.proven == (shape == AUTH_JWT_WHOLE));
    assert(answer.account_len > 0 && answer.account_len <= sizeof(answer.account));
    assert(answer.key_count > 0 && answer.key_count <= AUTH_JWT_KEYS);
}

static void check_set(struct bytes json)
{
    struct auth_jwks *parsed;
    size_t found = 0;

    const int err = auth_jwks_parse(json, &parsed);
    assert(err == 0 || err == -EBADMSG);
    if (err < 0) {
        return;
    }
    for (int alg = 0; alg < AUTH_JWT_ALGS; alg++) {
        size_t at = 0;
        const struct auth_jwk *key;
        while ((key = auth_jwks_next(parsed, (enum auth_jwt_alg)alg, NULL, &at)) != NULL) {
            assert(alg != AUTH_HS256 || auth_jwk_secret(key).n >= 32);
            found++;
        }
    }
    assert(found == auth_jwks_count(parsed) && found <= AUTH_JWKS_KEYS_MAX);
    auth_jwks_free(parsed);
}

static void check_hook(struct bytes body)
{
    const struct auth_hook_question question = {bytes_of("alice"), bytes_of("r"), NULL, NET_UDP};
    struct auth_hook_answer answer;
    const char *why = NULL;

    const int err = auth_hook_read(&question, 200, body, &answer, &why);
    assert(err == 0 || (err == -EBADMSG && why != NULL));
    if (err == 0) {
        assert(answer.key_count > 0 && answer.key_count <= AUTH_HOOK_KEYS);
        assert(answer.account_len <= sizeof(answer.account));
        assert(answer.ttl_s <= AUTH_HOOK_TTL_MAX_S);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    if (size == 0) {
        return 0;
    }
    const struct bytes rest = {data + 1, size - 1};
    switch (data[0]) {
    case 'k':
        check_set(rest);
        break;
    case 'h':
        check_hook(rest);
        break;
    default:
        check_name(rest);
        break;
    }
    return 0;
}
