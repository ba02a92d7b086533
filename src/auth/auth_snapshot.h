/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about credentials without asking anybody, at one moment: fixed users and secrets.
 *
 * auth_config     what follows from one configuration.
 * auth_snapshot   that, and what the database said last about its realm.
 *
 * Owner   counted, both; the last _unref wipes.  Thread  immutable once made: any may read. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"
#include "auth/auth_users.h"
#include "store/store.h"

struct conf;

struct auth_secret {
    uint16_t len;
    uint8_t bytes[STORE_SECRET_MAX];
};

struct auth_secrets {
    uint32_t count;
    uint32_t ignored; /* beyond CREDENTIAL_MAX_KEYS */
    struct auth_secret secrets[CREDENTIAL_MAX_KEYS];
};

struct auth_config {
    _Atomic unsigned refs;
    uint64_t epoch; /* cached answers of another epoch are void */
    char *realm;
    char separator;
    bool ask_users;   /* users of the database count */
    bool ask_secrets; /* time-limited names count, also with secrets of the database */
    uint32_t ttl_ms;
    struct auth_users *users;
    struct auth_secrets fixed;
};

/* What the database said. */
struct auth_facts {
    bool known; /* it has answered since the realm was set */
    struct auth_secrets secrets;
    struct store_counts counts;
};

struct auth_snapshot {
    _Atomic unsigned refs;
    uint64_t generation;
    struct auth_config *config;
    struct auth_secrets secrets; /* the configuration's, then the database's */
    bool may_have_users;         /* the database may hold users of this realm */
    struct auth_abilities abilities;
};

/* Make the part that follows from `conf`; `has_store` tells whether there is a database.
 * 0; -ENOMEM, -EIO, -EBADMSG with `why` (cap bytes). */
MUST_USE int auth_config_new(const struct conf *conf, bool has_store, struct auth_config **out,
                             char *why, size_t cap);
struct auth_config *auth_config_ref(struct auth_config *config);
void auth_config_unref(struct auth_config *config); /* NULL is allowed */

static inline struct bytes auth_config_realm(const struct auth_config *config)
{
    return bytes_of(config->realm);
}

/* Add a secret, or count it as ignored when there is no room or it is too long. */
void auth_secrets_add(struct auth_secrets *secrets, struct bytes value);

/* Join both; refs `config`.  0 or -ENOMEM. */
MUST_USE int auth_snapshot_new(struct auth_config *config, const struct auth_facts *facts,
                               uint64_t generation, struct auth_snapshot **out);
struct auth_snapshot *auth_snapshot_ref(struct auth_snapshot *snapshot);
void auth_snapshot_unref(struct auth_snapshot *snapshot); /* NULL is allowed */
