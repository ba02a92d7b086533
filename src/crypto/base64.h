/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648): without padding for whole groups of three bytes, and for any bytes.
 * Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { CRYPTO_BASE64_MAX = 96 }; /* bytes, before encoding */

/* Encode `n` bytes (a multiple of 3, at most CRYPTO_BASE64_MAX) as n / 3 * 4 characters; no NUL. */
void crypto_base64_encode(const uint8_t *in, size_t n, uint8_t *out);

/* Decode n / 3 * 4 characters into exactly `n` bytes (as above).  False when they are no base64 of
 * that length; `out` is undefined then. */
bool crypto_base64_decode(const uint8_t *in, size_t n, uint8_t *out);

/* Encode any bytes, padded, as a C string.  Its length; -ENOBUFS when `cap` bytes (the NUL counted)
 * are too few. */
MUST_USE int crypto_base64_write(struct bytes in, char *out, size_t cap);

/* Decode text in the standard alphabet, or the one for URLs, padded or not.  The number of bytes;
 * -EBADMSG when it is no base64 (white space is none); -ENOBUFS when there are more than `cap`.
 * `out` is undefined on failure. */
MUST_USE int crypto_base64_read(struct bytes text, uint8_t *out, size_t cap);
