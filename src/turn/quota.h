/* SPDX-License-Identifier: Apache-2.0 */
/* Counts allocations per user and in total (RFC 8656 section 7.2, 486).
 *
 * Owner   the server (one for all workers; the owner guards it).  Thread  one at a time. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct quota;

/* `per_user` and `total`: most allocations, 0 without limit; `max_users` (at least 1) bounds the
 * table of users with a live allocation.  NULL without memory. */
MUST_USE struct quota *quota_new(uint32_t per_user, uint32_t total, uint32_t max_users);

/* NULL is allowed. */
void quota_free(struct quota *quota);

/* Change the limits; counts stay (reload). */
void quota_set_limits(struct quota *quota, uint32_t per_user, uint32_t total);

/* Take one for `user` (compared as bytes; any length).  0; -EDQUOT when the user has reached the
 * limit (told first: it is the user who can act); -ENOSPC when the total is reached or the table of
 * users is full; -ENOMEM.  Logarithmic in the number of users, whatever names strangers choose. */
MUST_USE int quota_take(struct quota *quota, struct bytes user);

/* Give back one that `user` has out; a user's record goes with the last one. */
void quota_give(struct quota *quota, struct bytes user);

/* How many are out: in total, and for `user`. */
uint32_t quota_total(const struct quota *quota);
uint32_t quota_of(const struct quota *quota, struct bytes user);
