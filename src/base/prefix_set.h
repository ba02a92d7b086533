/* SPDX-License-Identifier: Apache-2.0 */
/* A set of address ranges with a tag each; a look-up is logarithmic in the number of ranges.
 *
 * Ranges are added in any order, may overlap, and are flattened by prefix_set_build(): where two
 * overlap, the later-added one's tag holds.
 *
 * Owner   whoever made it; immutable after prefix_set_build().  Thread  any number of readers. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct prefix_set;

/* An empty set, or NULL without memory. */
MUST_USE struct prefix_set *prefix_set_new(void);

/* NULL is allowed. */
void prefix_set_free(struct prefix_set *set);

/* Add first..last, inclusive.  `tag` is 1..255.  0, -EINVAL (last < first, tag 0) or -ENOMEM. */
MUST_USE int prefix_set_add(struct prefix_set *set, const struct net_ip *first,
                            const struct net_ip *last, uint8_t tag);

/* Add a prefix in text, "10.0.0.0/8" or "fc00::/7"; without a slash it is one address.  An address
 * with bits set behind the prefix ("10.0.0.1/8") is a mistake, not a network.  IPv4 lies at
 * ::ffff:0:0/96, so an IPv6 prefix that holds this range holds IPv4.  0, -EBADMSG or -ENOMEM. */
MUST_USE int prefix_set_add_text(struct prefix_set *set, const char *prefix, uint8_t tag);

/* Flatten and index what was added; must be called once, before the first look-up.  0; -ENOMEM with
 * the set unchanged. */
MUST_USE int prefix_set_build(struct prefix_set *set);

/* The tag of the range that holds `ip`, or 0.  Hot path. */
uint8_t prefix_set_find(const struct prefix_set *set, const struct net_ip *ip);
