/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON Web Key Set (RFC 7517): the keys that sign JSON Web Tokens.
 *
 * Kept are keys that one of our algorithms can use: RSA of 2048 bits and more (RS256), EC on P-256
 * (ES256), and octets, 32 and more (HS256; RFC 7518 section 3.2).  Others are left out: a set may
 * hold keys for others (RFC 7517 section 5).
 *
 * Owner   whoever parsed it.  Thread  one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    AUTH_JWKS_KEYS_MAX = 64,
    AUTH_JWKS_BYTES_MAX = 256 * 1024, /* of a document */
};

/* One algorithm for one type of key: an RSA key can never be taken for the secret of an HMAC. */
enum auth_jwt_alg { AUTH_RS256, AUTH_ES256, AUTH_HS256, AUTH_JWT_ALGS };

struct auth_jwks;
struct auth_jwk;

/* True when this build knows JSON Web Tokens; else auth_jwks_parse() fails with -ENOSYS, and
 * auth_jwt_judge() with -ENOENT. */
bool auth_jwks_built(void);

/* Parse a document.  0; -EBADMSG when it is no key set, or too long; -ENOMEM; -ENOSYS. */
MUST_USE int auth_jwks_parse(struct bytes json, struct auth_jwks **out);

/* Read a file of one.  Also -ENOENT and what open() and read() return. */
MUST_USE int auth_jwks_read(const char *path, struct auth_jwks **out);

/* Wipe and release.  NULL is allowed. */
void auth_jwks_free(struct auth_jwks *set);

/* How many keys are kept, and how many were left out. */
size_t auth_jwks_count(const struct auth_jwks *set);
size_t auth_jwks_ignored(const struct auth_jwks *set);

/* The next key for `alg` from place `*at` on (0 at first, moved behind it), with this `kid` unless
 * it is NULL; NULL when there is none.  `set` may be NULL. */
const struct auth_jwk *auth_jwks_next(const struct auth_jwks *set, enum auth_jwt_alg alg,
                                      const char *kid, size_t *at);

/* The octets of a key for AUTH_HS256. */
struct bytes auth_jwk_secret(const struct auth_jwk *key);

/* Has `key` signed the compact token (RFC 7515 section 5.2)?  Not for AUTH_HS256. */
bool auth_jwk_signed(const struct auth_jwk *key, struct bytes token);
