/* SPDX-License-Identifier: Apache-2.0 */
/* In place of auth_jwks.c and auth_jwt.c where cjose is not there. */
#include <errno.h>

#include "auth/auth_jwks.h"
#include "auth/auth_jwt.h"

bool auth_jwks_built(void)
{
    return false;
}

int auth_jwks_parse(struct bytes json, struct auth_jwks **out)
{
    (void)json;
    (void)out;
    return -ENOSYS;
}

int auth_jwks_read(const char *path, struct auth_jwks **out)
{
    (void)path;
    (void)out;
    return -ENOSYS;
}

void auth_jwks_free(struct auth_jwks *set)
{
    (void)set;
}

size_t auth_jwks_count(const struct auth_jwks *set)
{
    (void)set;
    return 0;
}

size_t auth_jwks_ignored(const struct auth_jwks *set)
{
    (void)set;
    return 0;
}

int auth_jwt_judge(struct crypto_mac *mac, const struct auth_jwt_rules *rules, struct bytes name,
                   struct auth_jwt_answer *out)
{
    (void)mac;
    (void)rules;
    (void)name;
    (void)out;
    return -ENOENT;
}
