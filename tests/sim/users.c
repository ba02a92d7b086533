/* SPDX-License-Identifier: Apache-2.0 */
/* The users that everybody in the simulation agrees on. */
#include <stdlib.h>

#include "crypto/longterm.h"
#include "sim.h"

static struct {
    const char *name;
    const char *realm;
    const char *password;
    uint16_t quota_from;
    struct credential_key key;
    uint8_t userhash[CRYPTO_SHA256_LEN];
} users[MODEL_USERS + 1] = {
    {.name = "alice", .realm = SIM_REALM, .password = "wonderland"},
    {.name = "bob", .realm = SIM_OTHER, .password = "builder"},
    {.name = "1700000000:carol", .realm = SIM_REALM, .password = "first", .quota_from = 11},
    {.name = "1700000001:carol", .realm = SIM_REALM, .password = "second", .quota_from = 11},
    {.name = "nobody", .realm = SIM_REALM, .password = "nothing"},
};

void users_init(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        const struct bytes name = bytes_of(users[i].name);
        const struct bytes realm = bytes_of(users[i].realm);
        const struct bytes password = bytes_of(users[i].password);
        struct credential_key *key = &users[i].key;
        key->has_md5 = crypto_longterm_md5(name, realm, password, key->md5) == 0;
        key->has_sha256 = crypto_longterm_sha256(name, realm, password, key->sha256) == 0;
        if (crypto_longterm_userhash(name, realm, users[i].userhash) < 0 || !key->has_md5 ||
            !key->has_sha256) {
            abort();
        }
    }
}

const char *users_name(uint8_t user)
{
    return users[user].name;
}

const char *users_realm(uint8_t user)
{
    return user < ARRAY_SIZE(users) ? users[user].realm : SIM_REALM;
}

const char *users_password(uint8_t user)
{
    return users[user].password;
}

const struct credential_key *users_key(uint8_t user)
{
    return &users[user].key;
}

uint16_t users_quota_from(uint8_t user)
{
    return users[user].quota_from;
}

struct bytes users_hash(uint8_t user)
{
    return (struct bytes){users[user].userhash, sizeof(users[user].userhash)};
}
