/* SPDX-License-Identifier: Apache-2.0 */
/* What the user database says besides its users: realms with their options, counts and secrets,
 * origins, peer ranges, and the keys of third parties (RFC 7635).
 *
 * The service's thread reads it whole when the database has changed.  Everything is bounded; what
 * is too much is left out and counted.
 *
 * Owner   counted; the last _unref wipes.  Thread  one to fill it; then immutable and read by any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_oauth.h"
#include "auth/auth_realms.h"
#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/credential.h"
#include "store/store.h"

/* --- Secrets of one realm --- */

struct auth_secret {
    uint16_t len;
    uint8_t bytes[STORE_SECRET_MAX];
};

struct auth_secrets {
    uint32_t count;
    uint32_t ignored; /* beyond CREDENTIAL_MAX_KEYS */
    struct auth_secret secrets[CREDENTIAL_MAX_KEYS];
};

/* Add a secret, or count it as ignored when there is no room or it is too long. */
void auth_secrets_add(struct auth_secrets *secrets, struct bytes value);

/* The same for secrets that are made with the first of them.  0 or -ENOMEM. */
MUST_USE int auth_secrets_put(struct auth_secrets **secrets, struct bytes value);

/* Wipe and release.  NULL is allowed. */
void auth_secrets_free(struct auth_secrets *secrets);

/* --- All of it --- */

struct auth_fact {
    struct auth_realm realm; /* `name` is owned; `abilities` are not filled */
    struct store_counts counts;
    struct auth_secrets *secrets; /* NULL: none */
};

struct auth_facts {
    _Atomic unsigned refs;
    uint32_t realm_count;
    uint32_t origin_count;
    uint32_t range_count;
    uint32_t ignored;            /* realms, origins and ranges that are too much */
    struct auth_fact *realms;    /* in order of their names */
    struct auth_origin *origins; /* in the database's order, as the ranges; their texts are owned */
    struct auth_range *ranges;
    struct auth_oauth_keys oauth;
};

/* Facts about nothing.  NULL without memory. */
MUST_USE struct auth_facts *auth_facts_new(void);
struct auth_facts *auth_facts_ref(struct auth_facts *facts); /* NULL is allowed, and returned */
void auth_facts_unref(struct auth_facts *facts);             /* NULL is allowed */

/* What is said about a realm; NULL when nothing is (the database may have failed before it could be
 * asked).  `facts` may be NULL. */
struct auth_fact *auth_facts_realm(const struct auth_facts *facts, struct bytes name);

/* How many secrets of all realms are left out. */
uint64_t auth_facts_secrets_ignored(const struct auth_facts *facts); /* NULL is allowed */

/* Add a realm, an origin, a range; a realm that is there already, the empty name and what holds a
 * NUL are passed over.  0 or -ENOMEM. */
MUST_USE int auth_facts_realm_add(struct auth_facts *facts, struct bytes name);
MUST_USE int auth_facts_origin_add(struct auth_facts *facts, struct bytes origin,
                                   struct bytes realm);
MUST_USE int auth_facts_range_add(struct auth_facts *facts, struct bytes realm, struct bytes range,
                                  bool allowed);

/* Order of names: by their bytes, a shorter one before a longer one. */
int auth_facts_order(struct bytes a, struct bytes b);
