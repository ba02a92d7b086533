/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_hash.h"

#include <errno.h>

#include "crypto/random.h"

int auth_hash_init(struct auth_hash *hash)
{
    struct crypto_random *random = crypto_random_new();
    uint8_t bytes[sizeof(*hash)];

    if (random == NULL) {
        return -ENOMEM;
    }
    crypto_random_fill(random, bytes, sizeof(bytes));
    memcpy(hash, bytes, sizeof(*hash));
    crypto_random_free(random);
    return 0;
}

void auth_hash_id(const struct auth_hash *hash, struct bytes name, uint8_t out[AUTH_ID_LEN])
{
    be64_put(out, hash_bytes(&hash->id[0], name.p, name.n));
    be64_put(out + 8, hash_bytes(&hash->id[1], name.p, name.n));
}

void auth_hash_pair(const struct auth_hash *hash, struct bytes realm, struct bytes name,
                    uint8_t out[AUTH_ID_LEN])
{
    uint8_t both[2 * AUTH_ID_LEN];

    auth_hash_id(hash, realm, both);
    auth_hash_id(hash, name, both + AUTH_ID_LEN);
    auth_hash_id(hash, (struct bytes){both, sizeof(both)}, out);
}
