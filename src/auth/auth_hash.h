/* SPDX-License-Identifier: Apache-2.0 */
/* Identities of names of any length in tables, whose keys have a fixed one: 128 bits of a keyed
 * hash.  What a table finds is compared with the name itself all the same.
 *
 * Owner   whoever keeps the table.  Thread  any, once made. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "base/hash.h"

enum { AUTH_ID_LEN = 16 };

struct auth_hash {
    struct hash_key id[2]; /* each gives one half */
    struct hash_key table; /* for a struct table of such identities */
};

/* Draw the secrets.  0, or -ENOMEM when memory or randomness is missing. */
MUST_USE int auth_hash_init(struct auth_hash *hash);

/* The identity of `name`.  Hot path. */
void auth_hash_id(const struct auth_hash *hash, struct bytes name, uint8_t out[AUTH_ID_LEN]);

/* The identity of `name` in `realm`: a user of another realm is somebody else.  Hot path. */
void auth_hash_pair(const struct auth_hash *hash, struct bytes realm, struct bytes name,
                    uint8_t out[AUTH_ID_LEN]);
