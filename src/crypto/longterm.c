/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/longterm.h"

static const struct bytes colon = {(const uint8_t *)":", 1};

int crypto_longterm_md5(struct bytes user, struct bytes realm, struct bytes password,
                        uint8_t out[CRYPTO_MD5_LEN])
{
    const struct bytes parts[] = {user, colon, realm, colon, password};
    return crypto_md5(parts, ARRAY_SIZE(parts), out);
}

int crypto_longterm_sha256(struct bytes user, struct bytes realm, struct bytes password,
                           uint8_t out[CRYPTO_SHA256_LEN])
{
    const struct bytes parts[] = {user, colon, realm, colon, password};
    return crypto_sha256(parts, ARRAY_SIZE(parts), out);
}

int crypto_longterm_userhash(struct bytes user, struct bytes realm, uint8_t out[CRYPTO_SHA256_LEN])
{
    const struct bytes parts[] = {user, colon, realm};
    return crypto_sha256(parts, ARRAY_SIZE(parts), out);
}
