/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/base64.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

void crypto_base64_encode(const uint8_t *in, size_t n, uint8_t *out)
{
    uint8_t text[CRYPTO_BASE64_MAX / 3 * 4 + 1]; /* libcrypto ends it with a NUL */

    assert(n % 3 == 0 && n <= CRYPTO_BASE64_MAX);
    const int len = EVP_EncodeBlock(text, in, (int)n);
    memcpy(out, text, (size_t)len);
}

bool crypto_base64_decode(const uint8_t *in, size_t n, uint8_t *out)
{
    const size_t len = n / 3 * 4;

    assert(n % 3 == 0 && n <= CRYPTO_BASE64_MAX);
    /* Padding would decode to zeros, white space to nothing. */
    return memchr(in, '=', len) == NULL && EVP_DecodeBlock(out, in, (int)len) == (int)n;
}
