/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_jwt_shape.h"

#include <string.h>

/* RFC 4648 section 5, without padding. */
static bool is_base64url(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool auth_jwt_is_base64url(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is_base64url(text.p[i])) {
            return false;
        }
    }
    return text.n > 0 && text.n % 4 != 1; /* one character alone is not a byte */
}

enum auth_jwt_shape auth_jwt_shape(struct bytes name)
{
    size_t parts = 0;

    /* "ey" is what '{' and a quotation mark or a blank become. */
    if (name.n < 2 || name.p[0] != 'e' || name.p[1] != 'y') {
        return AUTH_JWT_NONE;
    }
    for (bool more = true; more;) {
        const uint8_t *dot = memchr(name.p, '.', name.n);
        const size_t n = dot == NULL ? name.n : (size_t)(dot - name.p);
        if (++parts > 3 || !auth_jwt_is_base64url((struct bytes){name.p, n})) {
            return AUTH_JWT_NONE;
        }
        more = dot != NULL;
        name = (struct bytes){name.p + n + more, name.n - n - more};
    }
    switch (parts) {
    case 2:
        return AUTH_JWT_HALF;
    case 3:
        return AUTH_JWT_WHOLE;
    default:
        return AUTH_JWT_NONE;
    }
}

struct bytes auth_jwt_shown(struct bytes name)
{
    if (auth_jwt_shape(name) == AUTH_JWT_WHOLE) {
        while (name.p[name.n - 1] != '.') {
            name.n--;
        }
        name.n--;
    }
    return name;
}
