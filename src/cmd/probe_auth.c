/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_auth.h"

#include <errno.h>
#include <string.h>

#include "base/secret.h"
#include "cmd/probe_reply.h"
#include "crypto/longterm.h"
#include "crypto/precis.h"
#include "wire/stun_msg.h"
#include "wire/turn_req.h"

enum { COOKIE_LEN = 9, FEATURES_LEN = 4 };

static const char cookie[] = "obMatJos2"; /* RFC 8489 section 9.2 */

int probe_auth_init(struct probe_auth *auth, const char *user, const char *password)
{
    memset(auth, 0, sizeof(*auth));
    if (user == NULL) {
        return 0;
    }
    int n = precis_opaque_string(bytes_of(user), auth->user, sizeof(auth->user));
    if (n > 0) {
        n = precis_opaque_string(bytes_of(password), auth->password, sizeof(auth->password));
    }
    if (n < 0) {
        probe_auth_fini(auth);
        return n;
    }
    auth->has_credentials = true;
    return 0;
}

void probe_auth_fini(struct probe_auth *auth)
{
    secret_wipe(auth, sizeof(*auth));
}

/* The value of a base64 digit, or -1. */
static int base64_value(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == 0 ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

struct probe_features probe_auth_features(struct bytes nonce)
{
    if (nonce.n < COOKIE_LEN + FEATURES_LEN || memcmp(nonce.p, cookie, COOKIE_LEN) != 0) {
        return (struct probe_features){.cookie = false};
    }
    /* 24 bits in four digits, numbered from the most significant one (RFC 8489 section 18.1). */
    const int first = base64_value(nonce.p[COOKIE_LEN]);
    if (first < 0) {
        return (struct probe_features){.cookie = false};
    }
    return (struct probe_features){
        .cookie = true,
        .password_algorithms = (first & 0x20) != 0,
        .username_anonymity = (first & 0x10) != 0,
    };
}

/* The first algorithm on the list that we know (RFC 8489 section 9.2.5). */
static int choose(struct bytes list, enum probe_algorithm *out)
{
    struct bytes params;
    uint16_t number;
    int more;

    while ((more = turn_req_next_algorithm(&list, &number, &params)) > 0) {
        if ((number == PROBE_MD5 || number == PROBE_SHA256) && params.n == 0) {
            *out = number == PROBE_MD5 ? PROBE_MD5 : PROBE_SHA256;
            return 0;
        }
    }
    return more < 0 ? more : -ENOTSUP;
}

/* A realm that cannot be prepared is used as the server wrote it. */
static struct bytes prepared_realm(struct probe_auth *auth)
{
    const struct bytes realm = {auth->realm, auth->realm_len};
    const int n = precis_opaque_string(realm, auth->prepared, sizeof(auth->prepared));

    if (n <= 0) {
        memcpy(auth->prepared, realm.p, realm.n);
    }
    auth->prepared_len = n <= 0 ? realm.n : (size_t)n;
    return (struct bytes){(const uint8_t *)auth->prepared, auth->prepared_len};
}

static int make_key(struct probe_auth *auth)
{
    const struct bytes user = bytes_of(auth->user);
    const struct bytes password = bytes_of(auth->password);
    const struct bytes realm = prepared_realm(auth);

    if (auth->algorithm == PROBE_SHA256) {
        auth->key_len = CRYPTO_SHA256_LEN;
        return crypto_longterm_sha256(user, realm, password, auth->key);
    }
    auth->key_len = CRYPTO_MD5_LEN;
    return crypto_longterm_md5(user, realm, password, auth->key);
}

/* The part of learning that a 401 has and a 438 need not have. */
static int learn_realm(struct probe_auth *auth, const struct probe_reply *challenge)
{
    const struct probe_features features = probe_auth_features(challenge->nonce);

    if (challenge->realm.n == 0 || challenge->realm.n > PROBE_TEXT_MAX ||
        challenge->algorithms.n > PROBE_ALGORITHMS_MAX) {
        return -EBADMSG;
    }
    auth->algorithm = PROBE_RFC5389;
    if (challenge->algorithms.p != NULL) {
        const int err = choose(challenge->algorithms, &auth->algorithm);
        if (err < 0) {
            return err;
        }
        memcpy(auth->algorithms, challenge->algorithms.p, challenge->algorithms.n);
    }
    auth->algorithms_len = challenge->algorithms.n;
    auth->userhash = features.username_anonymity;
    memcpy(auth->realm, challenge->realm.p, challenge->realm.n);
    auth->realm_len = challenge->realm.n;
    return auth->has_credentials ? make_key(auth) : 0;
}

static int learn(struct probe_auth *auth, const struct probe_reply *challenge)
{
    if (challenge->nonce.n == 0 || challenge->nonce.n > PROBE_TEXT_MAX) {
        return -EBADMSG;
    }
    if (probe_auth_features(challenge->nonce).password_algorithms &&
        challenge->algorithms.p == NULL) {
        return -EPROTO;
    }
    if (challenge->realm.n != 0 || !auth->learned) {
        const int err = learn_realm(auth, challenge);
        if (err < 0) {
            return err;
        }
    }
    memcpy(auth->nonce, challenge->nonce.p, challenge->nonce.n);
    auth->nonce_len = challenge->nonce.n;
    auth->learned = true;
    return 0;
}

int probe_auth_learn(struct probe_auth *auth, const struct probe_reply *challenge)
{
    struct probe_auth next = *auth;
    const int err = learn(&next, challenge);

    if (err == 0) {
        *auth = next;
    }
    secret_wipe(&next, sizeof(next));
    return err;
}

static int put_user(const struct probe_auth *auth, struct stun_out *out)
{
    uint8_t hash[CRYPTO_SHA256_LEN];
    const struct bytes realm = {(const uint8_t *)auth->prepared, auth->prepared_len};

    if (!auth->userhash) {
        stun_out_attr(out, STUN_USERNAME, bytes_of(auth->user));
        return 0;
    }
    const int err = crypto_longterm_userhash(bytes_of(auth->user), realm, hash);
    stun_out_attr(out, STUN_USERHASH, (struct bytes){hash, sizeof(hash)});
    return err;
}

int probe_auth_sign(const struct probe_auth *auth, struct crypto_mac *mac, struct stun_out *out)
{
    const struct bytes key = {auth->key, auth->key_len};
    const int err = put_user(auth, out);

    if (err < 0) {
        return err;
    }
    stun_out_attr(out, STUN_REALM, (struct bytes){auth->realm, auth->realm_len});
    stun_out_attr(out, STUN_NONCE, (struct bytes){auth->nonce, auth->nonce_len});
    if (auth->algorithm == PROBE_RFC5389) {
        return stun_out_mi(out, mac, key);
    }
    const uint8_t chosen[4] = {0, (uint8_t)auth->algorithm, 0, 0};
    stun_out_attr(out, STUN_PASSWORD_ALGORITHMS,
                  (struct bytes){auth->algorithms, auth->algorithms_len});
    stun_out_attr(out, STUN_PASSWORD_ALGORITHM, (struct bytes){chosen, sizeof(chosen)});
    /* RFC 8489 section 9.2.5: with PASSWORD-ALGORITHMS, MESSAGE-INTEGRITY-SHA256 only. */
    return stun_out_mi256(out, mac, key);
}

int probe_auth_check(const struct probe_auth *auth, struct crypto_mac *mac,
                     const struct probe_reply *reply)
{
    const struct bytes value = auth->algorithm == PROBE_RFC5389 ? reply->mi : reply->mi256;

    if (value.n == 0) {
        return -EPERM;
    }
    return stun_msg_check_mi(mac, &reply->msg, value, (struct bytes){auth->key, auth->key_len});
}
