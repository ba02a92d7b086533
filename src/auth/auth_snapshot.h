/* SPDX-License-Identifier: Apache-2.0 */
/* What is known about credentials without asking anybody, at one moment: the configuration, and
 * what the database said last.
 *
 * Owner   counted; the last _unref wipes.  Thread  immutable once made: any may read. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_config.h"
#include "auth/auth_facts.h"
#include "auth/auth_realms.h"

/* How a user of one realm is found. */
struct auth_known {
    const struct auth_users *users; /* fixed ones; NULL: none */
    struct auth_secrets *secrets;   /* the configuration's, then the database's; NULL: none */
    bool may_have_users;            /* the database may hold users of this realm */
};

struct auth_snapshot {
    _Atomic unsigned refs;
    uint64_t generation;
    struct auth_config *config;
    struct auth_facts *facts;   /* NULL: none */
    struct auth_realms *realms; /* what relay/ is shown */
    struct auth_known *known;   /* of each of them */
    uint32_t secrets;           /* of all realms */
    uint32_t secrets_ignored;
};

/* Join both; refs them.  `facts` may be NULL.  0 or -ENOMEM. */
MUST_USE int auth_snapshot_new(struct auth_config *config, struct auth_facts *facts,
                               uint64_t generation, struct auth_snapshot **out);
struct auth_snapshot *auth_snapshot_ref(struct auth_snapshot *snapshot);
void auth_snapshot_unref(struct auth_snapshot *snapshot); /* NULL is allowed */

/* How a user of that realm is found; an empty name is the main one.  NULL: there is no such realm.
 * Hot path. */
const struct auth_known *auth_snapshot_realm(const struct auth_snapshot *snapshot,
                                             struct bytes name);

/* The key that tokens with this kid are sealed with; NULL.  Hot path. */
const struct auth_oauth_key *auth_snapshot_oauth(const struct auth_snapshot *snapshot,
                                                 struct bytes kid, uint64_t wall_s);

/* --- auth_realms.c --- */

/* List the realms of both, with what their users can do.  0 or -ENOMEM. */
MUST_USE int auth_realms_new(struct auth_config *config, struct auth_facts *facts,
                             struct auth_realms **out);
struct auth_realms *auth_realms_ref(struct auth_realms *realms);

/* The place of a realm; -ENOENT.  An empty name is the main one. */
MUST_USE int auth_realms_find(const struct auth_realms *realms, struct bytes name);

/* Do both say the same? */
bool auth_realms_same(const struct auth_realms *a, const struct auth_realms *b);
