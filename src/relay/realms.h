/* SPDX-License-Identifier: Apache-2.0 */
/* Which number each realm has.  Sessions and quotas keep it, so it stays while the process lives,
 * also when the realm is configured no more, and is the same again when it comes back.  Number 0 is
 * the main realm, whatever its name is: it is not in here.
 *
 * Owner   the relay server.  Thread  control. */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct realms;

/* None, or NULL without memory. */
MUST_USE struct realms *realms_new(void);
void realms_free(struct realms *realms); /* NULL is allowed */

/* The number, from 1 on, of the realm called `name` (compared as bytes), which becomes known with
 * that.  0 with `*out`; -ENOSPC when there are TURN_MAX_REALMS with the main one; -ENOMEM. */
MUST_USE int realms_add(struct realms *realms, const char *name, uint32_t *out);

/* The number of one that is known.  0 with `*out`, or -ENOENT. */
MUST_USE int realms_find(const struct realms *realms, const char *name, uint32_t *out);

/* The numbers go from 1 to this one. */
uint32_t realms_count(const struct realms *realms);
const char *realms_name(const struct realms *realms, uint32_t id);

/* The numbers in the order of the names, turn_realm_order(): realms_count() of them, valid until
 * one is added. */
const uint32_t *realms_order(const struct realms *realms);
