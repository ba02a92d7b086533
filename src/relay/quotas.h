/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations counted for each realm, and for all of them together.
 *
 * A realm has limits of its own, as in coturn: what one realm uses takes nothing from another, but
 * for the bound of the whole server.
 *
 * Owner   the relay server.  Thread  any; takes a lock. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct quotas;

struct quota_limits {
    uint32_t per_user; /* 0: without limit */
    uint32_t total;
};

/* `most`: allocations of all realms.  NULL without memory. */
MUST_USE struct quotas *quotas_new(uint32_t most);
void quotas_free(struct quotas *quotas); /* NULL is allowed */

/* Realms 0 to `count` - 1 (at most TURN_MAX_REALMS) have these limits from now on; counts stay. */
void quotas_set_limits(struct quotas *quotas, const struct quota_limits *limits, uint32_t count);

/* Take one for `user` of realm `realm`.  0; -EDQUOT when the user has reached the limit; -ENOSPC
 * when the realm or the server has; -ENOMEM. */
MUST_USE int quotas_take(struct quotas *quotas, uint32_t realm, struct bytes user);

/* Give back one that was taken. */
void quotas_give(struct quotas *quotas, uint32_t realm, struct bytes user);

/* How many are out: of all realms, and of one. */
uint32_t quotas_total(struct quotas *quotas);
uint32_t quotas_of_realm(struct quotas *quotas, uint32_t realm);
