/* SPDX-License-Identifier: Apache-2.0 */
/* What relay/ is told of realms: which there are, what their users can do, and what the user
 * database says of their limits, origins and peers.
 *
 * Texts of the database are as an administrator stored them: they hold no NUL, and nothing else has
 * been judged.
 *
 * Owner   counted; a reference comes from auth_service_realms().  Thread  immutable: any may read.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/attr.h"

enum {
    AUTH_REALMS_MAX = 1024,
    AUTH_ORIGINS_MAX = 16384, /* of all realms together, as the ranges */
    AUTH_RANGES_MAX = 65536,
};

struct auth_realm {
    const char *name;
    struct auth_abilities abilities;
    bool has_max_bps; /* the database has this option of turn_realm_option */
    bool has_user_quota;
    bool has_total_quota;
    uint64_t max_bps; /* bytes a second; 0: no limit */
    uint64_t user_quota;
    uint64_t total_quota; /* allocations; 0: no limit */
};

struct auth_origin {
    const char *origin;
    const char *realm;
};

struct auth_range {
    const char *realm; /* "": every realm */
    const char *range; /* "192.0.2.1" or "192.0.2.1-192.0.2.9" */
    bool allowed;      /* else denied */
};

struct auth_facts;
struct auth_config;

struct auth_realms {
    _Atomic unsigned refs;
    uint64_t generation;
    uint32_t realm_count;
    uint32_t origin_count;
    uint32_t range_count;
    const struct auth_realm *realms; /* the main one first; each name once */
    const struct auth_origin *origins;
    const struct auth_range *ranges;

    /* Private to auth/: whose texts are borrowed. */
    struct auth_config *config;
    struct auth_facts *facts;
};

void auth_realms_unref(struct auth_realms *realms); /* NULL is allowed */
