/* SPDX-License-Identifier: Apache-2.0 */
/* The password of a time-limited user name (draft-uberti-behave-turn-rest-00 section 2.2).
 *
 * Thread: that of the struct crypto_mac. */
#pragma once

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/mac.h"

enum { CRYPTO_REST_LEN = 28 }; /* base64 of a SHA-1 */

/* base64(HMAC-SHA1(secret, name)), NUL-terminated.  0 or -EIO. */
MUST_USE int crypto_rest_password(struct crypto_mac *mac, struct bytes secret, struct bytes name,
                                  char out[CRYPTO_REST_LEN + 1]);
