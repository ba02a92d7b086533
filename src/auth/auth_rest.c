/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_rest.h"

#include <errno.h>

/* All of `text` as a decimal number.  0 or -EBADMSG. */
static int time_of(struct bytes text, uint64_t *out)
{
    uint64_t value = 0;

    if (text.n == 0) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        if (c < '0' || c > '9' || value > (INT64_MAX - (uint64_t)(c - '0')) / 10) {
            return -EBADMSG;
        }
        value = value * 10 + (uint64_t)(c - '0');
    }
    *out = value;
    return 0;
}

int auth_rest_parse(struct bytes name, char separator, struct auth_rest *out)
{
    struct auth_rest rest = {.user_len = (uint16_t)name.n};

    if (name.n == 0 || name.n > UINT16_MAX) {
        return -EBADMSG;
    }
    const uint8_t *first = memchr(name.p, separator, name.n);
    const uint8_t *last = memrchr(name.p, separator, name.n);
    if (first == NULL || last == NULL) {
        if (time_of(name, &rest.expiry_s) < 0) {
            return -EBADMSG;
        }
        *out = rest;
        return 0;
    }
    const size_t head = (size_t)(first - name.p);
    const size_t tail = (size_t)(last - name.p) + 1;
    if (time_of((struct bytes){name.p, head}, &rest.expiry_s) == 0) {
        rest.user_from = (uint16_t)(head + 1);
        rest.user_len = (uint16_t)(name.n - head - 1);
    } else if (time_of((struct bytes){name.p + tail, name.n - tail}, &rest.expiry_s) == 0) {
        rest.user_len = (uint16_t)(tail - 1);
    } else {
        return -EBADMSG;
    }
    *out = rest;
    return 0;
}
