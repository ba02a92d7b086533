/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/base64.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
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

int crypto_base64_write(struct bytes in, char *out, size_t cap)
{
    if (in.n > INT_MAX / 2 || (in.n + 2) / 3 * 4 + 1 > cap) {
        return -ENOBUFS;
    }
    return EVP_EncodeBlock((uint8_t *)out, in.p, (int)in.n);
}

/* The six bits of one digit; 64 when it is none. */
static uint32_t sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint32_t)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (uint32_t)(c - 'a' + 26);
    }
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0' + 52);
    }
    if (c == '+' || c == '-') {
        return 62;
    }
    return c == '/' || c == '_' ? 63 : 64;
}

/* The digits of `text` without its padding; -EBADMSG when that does not fill the last group. */
static int digits_of(struct bytes text)
{
    size_t n = text.n;

    while (n > 0 && text.n - n < 2 && text.p[n - 1] == '=') {
        n--;
    }
    const bool padded = n < text.n;
    return n % 4 == 1 || n > INT_MAX || (padded && text.n % 4 != 0) ? -EBADMSG : (int)n;
}

int crypto_base64_read(struct bytes text, uint8_t *out, size_t cap)
{
    const int digits = digits_of(text);
    uint32_t bits = 0;
    size_t len = 0;

    if (digits < 0) {
        return digits;
    }
    if ((size_t)digits * 3 / 4 > cap) {
        return -ENOBUFS;
    }
    for (size_t i = 0; i < (size_t)digits; i++) {
        const uint32_t value = sextet(text.p[i]);
        if (value > 63) {
            return -EBADMSG;
        }
        bits = bits << 6 | value;
        if (i % 4 != 0) {
            out[len++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    return (int)len;
}
