/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 without padding, for whole groups of three bytes.  Thread: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRYPTO_BASE64_MAX = 96 }; /* bytes, before encoding */

/* Encode `n` bytes (a multiple of 3, at most CRYPTO_BASE64_MAX) as n / 3 * 4 characters; no NUL. */
void crypto_base64_encode(const uint8_t *in, size_t n, uint8_t *out);

/* Decode n / 3 * 4 characters into exactly `n` bytes (as above).  False when they are no base64 of
 * that length; `out` is undefined then. */
bool crypto_base64_decode(const uint8_t *in, size_t n, uint8_t *out);
