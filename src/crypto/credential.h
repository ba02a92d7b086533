/* SPDX-License-Identifier: Apache-2.0 */
/* What the protocol core asks about a user, and what it is told: the keys that may prove a request.
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/net_addr.h"
#include "crypto/mac.h"

enum {
    CREDENTIAL_MAX_KEYS = 8,   /* one a shared secret that may have made the password */
    CREDENTIAL_NAME_MAX = 763, /* octets of a USERNAME we can parse (RFC 8489 section 14.3) */
    CREDENTIAL_ACCOUNT_MAX = 128,
    CREDENTIAL_REALM_MAX = 508,
    CREDENTIAL_MAC_MAX = 64, /* octets of a mac_key: a block of HMAC-SHA-1 and -SHA-256 */
};

/* The keys that follow from one password.  A key that the store does not hold is absent: a database
 * made for coturn knows only MD5 keys. */
struct credential_key {
    union {
        struct {
            uint8_t md5[CRYPTO_MD5_LEN];
            uint8_t sha256[CRYPTO_SHA256_LEN];
        };

        uint8_t mac[CREDENTIAL_MAC_MAX]; /* mac_key of a token (RFC 7635): it is the key itself */
    };

    bool has_md5;
    bool has_sha256;
    uint8_t mac_len; /* not 0: `mac` counts, and nothing else */
};

struct credential_query {
    struct bytes realm;            /* that the request is judged in */
    struct bytes token;            /* ACCESS-TOKEN (RFC 7635); p is NULL when there is none */
    const struct net_addr *client; /* who asks, and over what: enum net_transport */
    uint8_t transport;
    struct bytes username; /* as received; empty when only a USERHASH came */
    struct bytes userhash; /* 32 bytes, or empty */
    bool allocate; /* an Allocate: here, and only here, a time-limited name may be too old */
    bool proven;   /* its NONCE proves that the client receives at its address: a slow
                      look-up may be started for it */
};

/* The answer: keys to be tried in turn.  `name` is the user's identity whatever attribute named it;
 * quotas count the account, `name + quota_from`: a part of the name (time-limited names leave out
 * their time), or what stands behind it (the subject of a token). */
struct credential_keys {
    uint32_t count;
    uint32_t lifetime_s; /* longest that the credential allows from now on; 0: any */
    uint16_t realm_len;  /* 0: the realm of the query */
    uint8_t realm[CREDENTIAL_REALM_MAX]; /* the one that the credential is of */
    struct credential_key key[CREDENTIAL_MAX_KEYS];
    uint16_t name_len;
    uint16_t quota_from;
    uint16_t quota_len;
    uint8_t name[CREDENTIAL_NAME_MAX + CREDENTIAL_ACCOUNT_MAX];
};
