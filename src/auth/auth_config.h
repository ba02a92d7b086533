/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from one configuration for credentials: of each realm its fixed users and secrets,
 * and the keys of third parties.
 *
 * Owner   counted; the last _unref wipes.  Thread  immutable once made (but for `epoch`, which the
 *         service sets before it shows it): any may read. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_facts.h"
#include "auth/auth_oauth.h"
#include "auth/auth_outside_config.h"
#include "auth/auth_users.h"

struct conf;

struct auth_config_realm {
    char *name;
    struct auth_users *users;
    struct auth_secrets *secrets; /* NULL: none */
};

struct auth_config {
    _Atomic unsigned refs;
    uint64_t epoch; /* cached answers of another epoch are void */
    char separator;
    bool ask_users;    /* users of the database count */
    bool ask_secrets;  /* time-limited names count, also with secrets of the database */
    bool poll_secrets; /* and these are read anew when the database changes */
    bool ask_realms;   /* realms of the database count, their options and origins, too */
    bool ask_ranges;   /* peer ranges of the database count */
    bool third_party;  /* tokens count (RFC 7635) */
    uint32_t ttl_ms;
    char *server_name; /* what tokens are sealed for */
    struct auth_oauth_keys oauth;
    struct auth_outside_config *outside; /* tokens of RFC 7519, the HTTP hook; NULL: neither */
    uint32_t realm_count;                /* at least 1, at most AUTH_REALMS_MAX */
    struct auth_config_realm *realms;    /* the main one, then the others in order of their names */
};

/* Make it of `conf`; `has_store` tells whether there is a database.
 * 0; -ENOMEM, -EIO, -EBADMSG with `why` (cap bytes). */
MUST_USE int auth_config_new(const struct conf *conf, bool has_store, struct auth_config **out,
                             char *why, size_t cap);
struct auth_config *auth_config_ref(struct auth_config *config);
void auth_config_unref(struct auth_config *config); /* NULL is allowed */

/* The realm of that name, NULL when the configuration has none.  An empty name is the main one. */
const struct auth_config_realm *auth_config_realm(const struct auth_config *config,
                                                  struct bytes name);

/* The name of the main realm. */
static inline struct bytes auth_config_main(const struct auth_config *config)
{
    return bytes_of(config->realms[0].name);
}
