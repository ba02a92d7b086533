/* SPDX-License-Identifier: Apache-2.0 */
/* How the loader makes the table of channels (offload/flow.h) from the maps that it has created,
 * and what the table's own files share.
 *
 * Thread  one at a time makes and frees it, and nobody uses the table meanwhile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "offload/flow_map.h"
#include "offload/flow_pool.h"

struct flow_key;

/* How long a slot rests.  A bandwidth need not: what a CPU may still take from it is one packet. */
enum { FLOW_REST_MS = 1000 };

/* Descriptors of bpf/maps.h's maps, and what the programs have in shared memory: borrowed, and
 * there until flow_table_free(). */
struct flow_maps {
    int flow4;
    int flow6;
    int slots;
    int limits;
    int clients; /* offload/shield_map.h; -1: there is no shield */
    struct offload_control *control;
    bool virtual_clock; /* tests: control->virtual_ns is the time here, too */
};

struct flow_table {
    struct flow_maps maps;
    struct offload_slot *slots; /* shared memory, number 0 unused; so are `limits` */
    struct offload_limit *limits;
    struct flow_key *keys; /* by slot: of the flow OFFLOAD_TO_PEER, while it is open */
    struct flow_pool slot_pool;
    struct flow_pool limit_pool;
};

/* A table for `max_channels` channels and `max_sessions` limits; the maps `slots` and `limits` have
 * one entry more.  Both numbers are at least 1.
 *
 * Returns 0 with `*out` set; -ENOMEM or what mmap() says: nothing is left, `*out` unchanged. */
MUST_USE int flow_table_new(const struct flow_maps *maps, uint32_t max_channels,
                            uint32_t max_sessions, struct flow_table **out);

/* NULL is fine.  Entries that are still open go with the maps. */
void flow_table_free(struct flow_table *table);

/* The time by which numbers rest (offload/flow_pool.h). */
uint64_t flow_now_ms(const struct flow_table *table);
