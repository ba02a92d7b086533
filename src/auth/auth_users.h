/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed users of a configuration, as keys: passwords are turned into keys once and forgotten.
 *
 * Owner   an auth_config.  Thread  one to make it; then immutable and read by any. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/credential.h"

struct auth_users;
struct conf_list;

enum { AUTH_USER_KEYS = 3 }; /* OpaqueString, SASLprep and the bytes as they are */

struct auth_user {
    struct bytes name;
    uint32_t key_count;
    struct credential_key keys[AUTH_USER_KEYS];
};

/* Make the keys of the `user` values in `list` for `realm`; of two lines with one name the last
 * one holds, as in coturn.  0; -ENOMEM, -EIO, -EBADMSG with `why` (cap bytes). */
MUST_USE int auth_users_new(const struct conf_list *list, struct bytes realm,
                            struct auth_users **out, char *why, size_t cap);

/* Wipe and release.  NULL is allowed. */
void auth_users_free(struct auth_users *users);

/* Find a user by name or by USERHASH (32 bytes); NULL when there is none. */
const struct auth_user *auth_users_find(const struct auth_users *users, struct bytes name);
const struct auth_user *auth_users_find_hash(const struct auth_users *users,
                                             const uint8_t *userhash);

/* How many there are, and how many of them have a SHA-256 key. */
uint32_t auth_users_count(const struct auth_users *users);
uint32_t auth_users_count_sha256(const struct auth_users *users);
