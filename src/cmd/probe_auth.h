/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the long-term credential mechanism (RFC 8489 section 9.2).
 *
 * Owner   the probe_client that holds one; it keeps a password, so probe_auth_fini() wipes it.
 * Thread  one.  Pure but for libcrypto. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/mac.h"

struct crypto_mac;
struct probe_reply;
struct stun_out;

enum {
    PROBE_TEXT_MAX = 763, /* octets of a REALM or NONCE (RFC 8489 sections 14.9 and 14.10) */
    PROBE_PASSWORD_MAX = 1024,
    PROBE_ALGORITHMS_MAX = 64,
};

/* Numbers of PASSWORD-ALGORITHM (RFC 8489 section 18.5.1). */
enum probe_algorithm { PROBE_RFC5389 = 0, PROBE_MD5 = 1, PROBE_SHA256 = 2 };

struct probe_auth {
    char user[PROBE_TEXT_MAX + 1];
    char password[PROBE_PASSWORD_MAX + 1];
    bool has_credentials;
    bool learned; /* what follows came from a challenge */
    bool userhash;
    enum probe_algorithm algorithm;
    uint8_t realm[PROBE_TEXT_MAX]; /* as the server wrote it */
    size_t realm_len;
    char prepared[PROBE_TEXT_MAX + 1]; /* the realm, with OpaqueString */
    size_t prepared_len;
    uint8_t nonce[PROBE_TEXT_MAX];
    size_t nonce_len;
    uint8_t algorithms[PROBE_ALGORITHMS_MAX]; /* as offered, to be sent back */
    size_t algorithms_len;
    uint8_t key[CRYPTO_SHA256_LEN];
    size_t key_len;
};

/* Begin without credentials (both NULL), or with a name and password, which are prepared with
 * OpaqueString (RFC 8489 section 9.2.2).  0; -EBADMSG when either holds characters that names and
 * passwords may not hold; -ENOBUFS when too long; nothing is kept then. */
MUST_USE int probe_auth_init(struct probe_auth *auth, const char *user, const char *password);
void probe_auth_fini(struct probe_auth *auth);

/* What a NONCE says in its cookie (RFC 8489 section 9.2). */
struct probe_features {
    bool cookie;
    bool password_algorithms;
    bool username_anonymity;
};

struct probe_features probe_auth_features(struct bytes nonce);

/* Learn realm, nonce and algorithm from a 401, or the nonce from a 438.  0; -EBADMSG when REALM or
 * NONCE is missing or too long; -EPROTO when the nonce says that there are password algorithms, but
 * none came (somebody stripped them: RFC 8489 section 9.2.5 forbids to go on); -ENOTSUP when none
 * of them is known to us; -EIO when libcrypto fails.  On failure the old state stays. */
MUST_USE int probe_auth_learn(struct probe_auth *auth, const struct probe_reply *challenge);

/* Append credentials and the integrity attribute.  0 or -EIO. */
MUST_USE int probe_auth_sign(const struct probe_auth *auth, struct crypto_mac *mac,
                             struct stun_out *out);

/* Was this response made by somebody who knows the password?  0; -EPERM when not. */
MUST_USE int probe_auth_check(const struct probe_auth *auth, struct crypto_mac *mac,
                              const struct probe_reply *reply);
