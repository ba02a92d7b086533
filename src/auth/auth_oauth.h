/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that authorization servers seal ACCESS-TOKENs with (RFC 7635 section 4.1.2), by kid:
 * from [oauth "kid"] sections and from the database's table oauth_key.
 *
 * Owner   whoever keeps the list.  Thread  one to fill it; then immutable and read by any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/token.h"

struct conf;
struct store_oauth_key;

enum { AUTH_OAUTH_MAX = 1024, AUTH_KID_MAX = 128, AUTH_OAUTH_REALM_MAX = 508 };

struct auth_oauth_key {
    uint16_t kid_len;
    uint16_t realm_len; /* 0: any realm */
    uint8_t kid[AUTH_KID_MAX];
    uint8_t realm[AUTH_OAUTH_REALM_MAX];
    struct token_key key;
    uint64_t from_s; /* Unix time from which on it is used */
    uint64_t till_s; /* and the first at which it is not any more; 0: for ever */
};

struct auth_oauth_keys {
    uint32_t count;
    uint32_t ignored;            /* unusable, or beyond AUTH_OAUTH_MAX */
    struct auth_oauth_key *keys; /* by kid, once sorted */
};

/* Append a row of the database, or count it as ignored when it is no usable key.  0 or -ENOMEM. */
MUST_USE int auth_oauth_add(struct auth_oauth_keys *keys, const struct store_oauth_key *row);

/* Append the [oauth] sections of `conf`.  0; -ENOMEM; -EBADMSG with `why` (cap bytes). */
MUST_USE int auth_oauth_read(struct auth_oauth_keys *keys, const struct conf *conf, char *why,
                             size_t cap);

/* Put them in order of kid. */
void auth_oauth_sort(struct auth_oauth_keys *keys);

/* Wipe and release what `keys` holds. */
void auth_oauth_fini(struct auth_oauth_keys *keys);

/* The key of that kid, in force at `wall_s`; NULL.  Hot path. */
const struct auth_oauth_key *auth_oauth_find(const struct auth_oauth_keys *keys, struct bytes kid,
                                             uint64_t wall_s);
