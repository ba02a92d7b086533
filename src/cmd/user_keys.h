/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a user, as databases hold them, made of a password.
 *
 * Owner   the caller wipes what was made.  Thread  any. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "store/store.h"

/* Make all three keys of texts that are prepared already (crypto/precis.h).  0; -EIO when libcrypto
 * refuses, with `out` undefined. */
MUST_USE int user_keys_make(struct bytes name, struct bytes realm, struct bytes password,
                            struct store_keys *out);
