/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the long-term credential mechanism (RFC 8489 sections 9.2.2, 14.4 and 18.5.1).
 *
 * All inputs are used as they are: OpaqueString preparation is crypto/precis.h's, done where a name
 * or password enters.  Thread: any. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/mac.h"

/* MD5(user ":" realm ":" password), 16 bytes.  0 or -EIO. */
MUST_USE int crypto_longterm_md5(struct bytes user, struct bytes realm, struct bytes password,
                                 uint8_t out[CRYPTO_MD5_LEN]);

/* SHA-256(user ":" realm ":" password), 32 bytes.  0 or -EIO. */
MUST_USE int crypto_longterm_sha256(struct bytes user, struct bytes realm, struct bytes password,
                                    uint8_t out[CRYPTO_SHA256_LEN]);

/* USERHASH: SHA-256(user ":" realm), 32 bytes.  0 or -EIO. */
MUST_USE int crypto_longterm_userhash(struct bytes user, struct bytes realm,
                                      uint8_t out[CRYPTO_SHA256_LEN]);
