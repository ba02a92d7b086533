/* SPDX-License-Identifier: Apache-2.0 */
/* The two flows of a channel as the programs want to find them: a plain value, no system call.
 *
 * Thread  any. */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "offload/flow_map.h"

struct flow_spec;

/* An entry of flow4 or, `v6`, of flow6: by how its packets arrive. */
struct flow_key {
    bool v6;

    union {
        struct offload_key6 v6; /* the larger one first: it is what an initialiser clears */
        struct offload_key4 v4;
    } of;
};

struct flow_pair {
    struct flow_key key[OFFLOAD_WAYS];
    struct offload_flow flow[OFFLOAD_WAYS]; /* slot and generation 0 */
};

/* Returns 0 with all of `*out` written; -EINVAL, `*out` unchanged: addresses that the programs do
 * not do: a wildcard, multicast or link-local one, an IPv4-mapped one of IPv6, port 0, two families
 * on one side; or no channel number. */
MUST_USE int flow_pair_make(const struct flow_spec *spec, struct flow_pair *out);

/* Where packets of the other way arrive: from `flow`, the value of an entry of way OFFLOAD_TO_PEER,
 * the key of its counterpart. */
struct flow_key flow_pair_back(const struct offload_flow *flow);
