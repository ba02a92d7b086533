/* SPDX-License-Identifier: Apache-2.0 */
/* From a name and a password to keys (RFC 8489 sections 9.2.2 and 18.5.1).
 *
 * Owner   nobody; plain values.  Thread  any. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/credential.h"

/* Text prepared by OpaqueString where the profile takes it, and as it is where not: a file made for
 * coturn may hold anything.  `text` borrows from `buffer` or from what it was made of. */
enum { AUTH_TEXT_MAX = 1024 };

struct auth_text {
    struct bytes text;
    char buffer[AUTH_TEXT_MAX];
};

void auth_keys_prepare(struct bytes in, struct auth_text *out);

/* Both keys of exactly these bytes.  0, or -EIO when libcrypto makes neither. */
MUST_USE int auth_keys_make(struct bytes name, struct bytes realm, struct bytes password,
                            struct credential_key *out);

/* The keys that clients may make of one password: prepared by OpaqueString (RFC 8489), by SASLprep
 * (RFC 5389), or not at all.  Equal ones are given once.  Returns their number; -EIO. */
MUST_USE int auth_keys_variants(struct bytes name, struct bytes realm, struct bytes password,
                                struct credential_key *out, uint32_t max);
