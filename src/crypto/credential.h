/* SPDX-License-Identifier: Apache-2.0 */
/* What the protocol core asks about a user, and what it is told: the keys that may prove a request.
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "crypto/mac.h"

enum {
    CREDENTIAL_MAX_KEYS = 8,   /* one a shared secret that may have made the password */
    CREDENTIAL_NAME_MAX = 763, /* octets of a USERNAME we can parse (RFC 8489 section 14.3) */
};

/* The keys that follow from one password.  A key that the store does not hold is absent: a database
 * made for coturn knows only MD5 keys. */
struct credential_key {
    uint8_t md5[CRYPTO_MD5_LEN];
    uint8_t sha256[CRYPTO_SHA256_LEN];
    bool has_md5;
    bool has_sha256;
};

struct credential_query {
    struct bytes username; /* as received; empty when only a USERHASH came */
    struct bytes userhash; /* 32 bytes, or empty */
    bool allocate; /* an Allocate: here, and only here, a time-limited name may be too old */
    bool proven;   /* its NONCE proves that the client receives at its address: a slow
                      look-up may be started for it */
};

/* The answer: keys to be tried in turn.  `name` is the user's identity whatever attribute named it;
 * quotas count `name + quota_from` (time-limited names leave out their time). */
struct credential_keys {
    uint32_t count;
    struct credential_key key[CREDENTIAL_MAX_KEYS];
    uint16_t name_len;
    uint16_t quota_from;
    uint16_t quota_len;
    uint8_t name[CREDENTIAL_NAME_MAX];
};
