/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path as the server has it: which interfaces, what the programs are told of the
 * configuration, what they have counted (offload/forward.h).  Channels come to it by mirror.h.
 *
 *     kernel_path_open()        privileges are there
 *     kernel_path_start()       they are gone
 *     kernel_path_configure()   at the start, and when a configuration takes effect
 *     kernel_path_halt()        before workers are told of other rules
 *     kernel_path_free()        the workers are gone
 *
 * Owner   the relay server.
 * Thread  control; kernel_path_client(): any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct capacity;
struct conf;
struct external_map;
struct five_tuple;
struct interfaces;
struct kernel_path;
struct listener_plan;
struct mirror;
struct relay_offload_stats;

struct kernel_path_input {
    const struct conf *conf;
    const struct interfaces *own;
    const struct listener_plan *listeners;
    const struct net_ip *relays; /* relay-ip, or none: every address */
    size_t relay_count;
    const struct external_map *external; /* borrowed */
    uint32_t max_allocations;
};

/* Load the programs that the configuration asks for and attach them.  NULL: it asks for none, or
 * there can be none, which the log has told: the server relays everything itself. */
MUST_USE struct kernel_path *kernel_path_open(const struct kernel_path_input *in);

/* Privileges are gone: see that it works without them, and tell that it is ready; or else free it,
 * `*path` is NULL then, which the log has told. */
void kernel_path_start(struct kernel_path **path, const struct conf *conf);

/* Tell what did not fit.  Now and then. */
void kernel_path_tick(struct kernel_path *path);

/* Detach.  NULL is fine, here and below. */
void kernel_path_free(struct kernel_path *path);

/* Where the workers' channels go; NULL: the programs do not forward. */
struct mirror *kernel_path_mirror(struct kernel_path *path);

/* True: packets that come in one buffer would pass the programs by, so sockets must not ask for
 * that (UDP_GRO). */
bool kernel_path_wants_single(const struct kernel_path *path);

/* Bandwidth of the whole server that is taken from by both, `capacity[0]` towards peers and
 * `capacity[1]` towards clients. */
void kernel_path_share(struct kernel_path *path, struct capacity *capacity);

/* Limits and marks are these from now on.  `max_bps`: of the main realm, 0 without limit. */
void kernel_path_configure(struct kernel_path *path, const struct conf *conf, uint64_t max_bps);

/* Clients are served there: the shield looks at what is sent to these. */
void kernel_path_listen(struct kernel_path *path, const struct listener_plan *plan,
                        const struct interfaces *own);

/* Something of the interfaces of this host has changed: link addresses are others, or one is gone,
 * which is logged. */
void kernel_path_look(struct kernel_path *path);

/* The addresses of this host are others: what is sent to, or in the name of, one that is gone is no
 * more forwarded once the workers have judged their channels anew. */
void kernel_path_follow(struct kernel_path *path, const struct listener_plan *plan,
                        const struct interfaces *own);

/* Forward nothing until the workers say so anew: they are about to be told of other rules. */
void kernel_path_halt(struct kernel_path *path);

/* Forward nothing any more. */
void kernel_path_drain(struct kernel_path *path);

/* The client of `tuple` has an allocation, or has no more: the shield lets all of it pass, or not.
 * Thread: any. */
void kernel_path_client(struct kernel_path *path, const struct five_tuple *tuple, bool live);

/* What is counted.  All 0 without a kernel path. */
void kernel_path_read(const struct kernel_path *path, struct relay_offload_stats *out);

/* Log that. */
void kernel_path_log(const struct kernel_path *path);
