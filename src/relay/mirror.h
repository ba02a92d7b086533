/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of the workers' sessions, as the kernel path has them (offload/flow.h): the effects
 * flow_open, flow_renew, flow_usage, flow_close, limit_open and limit_close of turn/turn_server.h.
 *
 * Rules have a number, counted up by mirror_halt() whenever they change: from then on nothing is
 * forwarded.  Each worker says by which rules it judges; one that does not know the newest ones yet
 * hands nothing over, and what it renews is not forwarded.  When it does, it judges all its
 * channels anew, which renews those that stay.
 *
 *     control   mirror_halt(): number 8        waits until all workers know: reload is done
 *     worker    ... by rules 7: refused | rules = 8 | judged anew, renewed: forwarded again
 *
 * Owner   the relay server.
 * Thread  mirror_halt(), mirror_set_own(), mirror_free(): control.  The others: any worker; a
 *         handle belongs to one at a time.
 * Memory  64 bytes a channel that may be handed over, touched when it is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"

struct external_map;
struct flow_table;
struct interfaces;
struct mirror;
struct turn_flow;
struct turn_traffic;

/* `flows` and `external` are borrowed; `flows` has handles up to `max_channels`.  0 with `*out`;
 * -ENOMEM. */
MUST_USE int mirror_new(struct flow_table *flows, const struct external_map *external,
                        uint32_t max_channels, struct mirror **out);

/* The workers are gone.  NULL is fine. */
void mirror_free(struct mirror *mirror);

/* The host's own addresses are these: packets to a peer with one of them may turn round here; and
 * channels by one that is not among them any more are neither taken nor renewed.  Before
 * mirror_halt().  0; -ENOMEM: those known before are used on. */
MUST_USE int mirror_set_own(struct mirror *mirror, const struct interfaces *own);

/* The rules change: nothing is forwarded any more until a worker that knows of it says so. */
void mirror_halt(struct mirror *mirror);

/* The number of the rules in force. */
uint32_t mirror_rules(const struct mirror *mirror);

/* What a channel is counted under. */
struct mirror_numbers {
    uint64_t open;    /* in the kernel now */
    uint64_t refused; /* not taken: see offload/flow.h */
    int error;        /* why the last one was not: negative errno; 0: none yet */
};

struct mirror_numbers mirror_read(const struct mirror *mirror);

/* --- for workers: see turn/turn_server.h ---------------------------------------------------------
 */

/* `rules`: by which the channel was judged.  A handle, or 0. */
MUST_USE uint32_t mirror_open(struct mirror *mirror, uint32_t rules, const struct turn_flow *flow);
void mirror_renew(struct mirror *mirror, uint32_t rules, uint32_t handle, uint64_t to_peer_until_ms,
                  uint64_t to_client_until_ms);
void mirror_usage(struct mirror *mirror, uint32_t handle, struct turn_traffic *out);
void mirror_close(struct mirror *mirror, uint32_t handle, struct turn_traffic *out);
MUST_USE uint32_t mirror_limit_open(struct mirror *mirror, const struct bucket from[2],
                                    struct bucket **out);
void mirror_limit_close(struct mirror *mirror, uint32_t handle);
