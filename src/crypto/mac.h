/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, message authentication codes and constant-time comparison, on libcrypto.
 *
 * Owner   a struct crypto_mac belongs to one thread: it holds fetched algorithms and contexts, so
 *         that a MAC on the request path looks nothing up (about half a microsecond for a request).
 * Thread  that thread; the functions without a struct crypto_mac may run anywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    CRYPTO_MD5_LEN = 16,
    CRYPTO_SHA1_LEN = 20,
    CRYPTO_SHA256_LEN = 32,
};

struct crypto_mac;

/* Fetch the algorithms.  NULL without memory or when the provider refuses HMAC-SHA1 or
 * HMAC-SHA256.  crypto_mac_free(NULL) is allowed. */
MUST_USE struct crypto_mac *crypto_mac_new(void);
void crypto_mac_free(struct crypto_mac *mac);

/* HMAC of the `count` spans at `parts`, in order, under `key` (16..64 bytes usual, any length
 * legal, none too).  Returns 0 with `out` written; -EIO when libcrypto fails, `out` zeroed. */
MUST_USE int crypto_hmac_sha1(struct crypto_mac *mac, struct bytes key, const struct bytes *parts,
                              size_t count, uint8_t out[CRYPTO_SHA1_LEN]);
MUST_USE int crypto_hmac_sha256(struct crypto_mac *mac, struct bytes key, const struct bytes *parts,
                                size_t count, uint8_t out[CRYPTO_SHA256_LEN]);

/* Digest of the spans, in order.  0 or -EIO (MD5 may be refused by a FIPS provider). */
MUST_USE int crypto_md5(const struct bytes *parts, size_t count, uint8_t out[CRYPTO_MD5_LEN]);
MUST_USE int crypto_sha256(const struct bytes *parts, size_t count, uint8_t out[CRYPTO_SHA256_LEN]);

/* True when the `n` bytes are the same; takes the same time wherever they differ. */
bool crypto_equal(const void *a, const void *b, size_t n);

/* CRC-32 (ISO 3309, as RFC 8489 section 14.7 wants it) of the spans, in order. */
uint32_t crypto_crc32(const struct bytes *parts, size_t count);
