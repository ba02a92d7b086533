/* SPDX-License-Identifier: Apache-2.0 */
/* Realms and origins in a configuration.
 *
 * Owner   nobody; they look into a struct turn_config.  Thread  any; pure. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "turn/turn_config.h"

/* The order that turn_config's realm_order and origins are sorted by: < 0, 0 or > 0. */
int turn_realm_order(struct bytes a, struct bytes b);

/* What holds for the realm with that id; an id that there is none of has what the main one has. */
const struct turn_realm *turn_realm_at(const struct turn_config *config, uint32_t id);

/* The id of the realm called `name`, in which users can log in.  0 with `*out_id`; -ENOENT. */
MUST_USE int turn_realm_find(const struct turn_config *config, struct bytes name, uint32_t *out_id);

/* The same, also of one that is gone. */
MUST_USE int turn_realm_named(const struct turn_config *config, struct bytes name,
                              uint32_t *out_id);

/* The id of the realm that `origin` stands for; 0 when it stands for none. */
uint32_t turn_realm_of_origin(const struct turn_config *config, struct bytes origin);
