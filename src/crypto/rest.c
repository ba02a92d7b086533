/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/rest.h"

#include <errno.h>
#include <openssl/evp.h>

#include "base/secret.h"

int crypto_rest_password(struct crypto_mac *mac, struct bytes secret, struct bytes name,
                         char out[CRYPTO_REST_LEN + 1])
{
    uint8_t digest[CRYPTO_SHA1_LEN];
    const int err = crypto_hmac_sha1(mac, secret, &name, 1, digest);

    if (err < 0) {
        return err;
    }
    const int n = EVP_EncodeBlock((unsigned char *)out, digest, (int)sizeof(digest));
    secret_wipe(digest, sizeof(digest));
    return n == CRYPTO_REST_LEN ? 0 : -EIO;
}
