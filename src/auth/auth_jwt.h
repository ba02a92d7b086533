/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens (RFC 7519) as credentials: the USERNAME is a token, the password the whole of it.
 *
 *   header.payload             HS256 only.  The server makes the signature itself, so it never
 *                              travels; whoever has the token proves it by MESSAGE-INTEGRITY.
 *   header.payload.signature   HS256, RS256, ES256.  The token travels as it is: over TLS and DTLS.
 *
 * "none" and every other algorithm is refused, and a key serves the one algorithm of its type
 * (RFC 8725 sections 3.1 and 3.2).  Claims: `exp` and `sub` must be there; `nbf`, `iat`, `iss`,
 * `aud` and `realm` must fit.  Header and claims with a name twice are refused (RFC 7519 section
 * 4).
 *
 * Owner   nobody; plain values.  Thread  any, each with a struct crypto_mac of its own.
 * Clock   none: the time is data here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "auth/auth_facts.h"
#include "auth/auth_jwks.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/credential.h"

enum {
    AUTH_JWT_SKEW_S = 30,                /* how far clocks may differ */
    AUTH_JWT_KEYS = CREDENTIAL_MAX_KEYS, /* of secrets that may have made the signature */
};

struct auth_jwt_rules {
    struct bytes realm;
    const char *issuer;           /* NULL: any */
    const char *const *audiences; /* none: the realm, if the token names any */
    size_t audience_count;
    const struct auth_secrets *secrets; /* for HS256; NULL: none */
    const struct auth_jwks *jwks;       /* NULL: none */
    uint64_t wall_s;
};

struct auth_jwt_answer {
    uint64_t expiry_s; /* whether that is past is not judged here */
    bool proven;       /* the signature was there, and right */
    uint16_t account_len;
    uint32_t key_count;
    uint8_t account[CREDENTIAL_ACCOUNT_MAX]; /* the subject */
    struct credential_key key[AUTH_JWT_KEYS];
};

/* Judge a name.  0 with `*out`; -ENOENT when it is no token that counts here; -EAGAIN when no key
 * for it is known: a newer key set may have one. */
MUST_USE int auth_jwt_judge(struct crypto_mac *mac, const struct auth_jwt_rules *rules,
                            struct bytes name, struct auth_jwt_answer *out);
