/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_hex.h"

#include <errno.h>

void store_hex_encode(const uint8_t *in, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * n] = '\0';
}

static int digit_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int store_hex_decode(struct bytes text, uint8_t *out, size_t n)
{
    if (text.n != 2 * n) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < n; i++) {
        const int high = digit_value(text.p[2 * i]);
        const int low = digit_value(text.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -EBADMSG;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}
