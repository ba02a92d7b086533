/* SPDX-License-Identifier: Apache-2.0 */
/* The cookie of RFC 6347 section 4.2.1: a client that shows it receives what is sent to its
 * address.  An HMAC-SHA256 under a secret of this process, so any worker takes what another gave.
 *
 * Owner   one worker.  Thread  that worker; the secret is made once and only read.
 * Clock   monotonic milliseconds, the same for all workers. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum {
    DTLS_COOKIE_BYTES = 32,
    DTLS_COOKIE_PERIOD_MS = 60 * 1000, /* a cookie is good for one to two of these */
};

/* What dtls_cookie_make() and dtls_cookie_check() work with; released with EVP_MAC_CTX_free().
 * NULL without memory or randomness. */
MUST_USE EVP_MAC_CTX *dtls_cookie_new(void);

/* The cookie of a client whose address is the `n` bytes at `who`.  False when libcrypto fails. */
MUST_USE bool dtls_cookie_make(EVP_MAC_CTX *mac, const void *who, size_t n, uint64_t now_ms,
                               uint8_t out[DTLS_COOKIE_BYTES]);

/* True when `cookie` was made for `who` in this period or in the one before. */
MUST_USE bool dtls_cookie_check(EVP_MAC_CTX *mac, const void *who, size_t n, uint64_t now_ms,
                                const uint8_t *cookie, size_t cookie_len);
