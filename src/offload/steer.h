/* SPDX-License-Identifier: Apache-2.0 */
/* Steering: a BPF program in the kernel says which socket of a SO_REUSEPORT group takes a datagram.
 *
 * A *group* is the UDP sockets that share one address.  A *flow* is a client and the address it
 * sends to, written down once its session exists; its datagrams come to the socket that was named,
 * whatever the group's size was when the session began.  Datagrams of unknown flows are spread by
 * the kernel's keyed hash, or go to the socket of the CPU that received them.  A datagram is never
 * lost for want of an entry: where flow, CPU and hash name a socket that is closed, the kernel
 * chooses.  Sockets that are bound to the address but were not attached get nothing, except when
 * they are connected: the kernel gives a connected socket what is for it, unasked.
 *
 * What the kernel looks up without a datagram in hand is not steered: ICMP errors.
 *
 * Loading takes CAP_BPF (Linux 5.8; before that CAP_SYS_ADMIN).  Everything afterwards works
 * without it (Linux 5.19, or kernel.unprivileged_bpf_disabled=0; else -EPERM).
 * Built without the option `offload`, steer_new() returns -ENOTSUP.
 *
 * Owner   whoever called steer_new().  The kernel keeps the program for as long as a socket of the
 *         group is open; without its owner it goes by the hash.
 * Thread  steer_put(), steer_del(), steer_flows(): any.  The others: one at a time.
 * Memory  the kernel's: 16 bytes a flow that may come, about 100 more a flow that is written. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct net_addr;
struct steer;

/* The limits; all at least 1. */
struct steer_options {
    uint32_t max_flows;
    uint32_t max_groups;  /* each is loaded at once: 0.3 ms and two descriptors */
    uint32_t max_sockets; /* of a group */
};

/* In the array for steer_by_cpu(): what this CPU receives goes by hash. */
#define STEER_ANY UINT32_MAX

/* Load the program.  Returns 0 with `*out` set; -EPERM: the process may not; -ENOTSUP: the kernel
 * can't, or this build; -ENOMEM; the negative errno of another failure.  Then `why` (`cap` bytes)
 * says what is wrong and what would help. */
MUST_USE int steer_new(const struct steer_options *options, struct steer **out, char *why,
                       size_t cap);

/* Release all of it; NULL is fine.  Groups go by the hash from now on. */
void steer_free(struct steer *steer);

/* Put `count` sockets under the program as group `group` (from 0); their order is their index.  All
 * have SO_REUSEPORT and are bound to one address.  What the group consisted of before is forgotten,
 * so a number can be used again.  The descriptors stay the caller's; a socket that is closed leaves
 * by itself.
 * Returns 0; -ENOSPC: more groups or sockets than planned; -EINVAL: not such a socket; -EBUSY: it
 * is in another group; the negative errno of another failure.  Then the group is empty, and the
 * kernel's own hash chooses. */
MUST_USE int steer_attach(struct steer *steer, uint32_t group, const int *fds, uint32_t count);

/* From now on what `client` sends to `server` comes to socket `socket` of the group it arrives at;
 * an index that the group doesn't have means "unknown".  `server` is what the client sends to, also
 * where sockets are bound to a wildcard.  Zones of link-local addresses are not told apart.
 * One system call, two for a flow that is there; no allocation of ours.  Returns 0; -ENOSPC:
 * `max_flows` are written; -ENOMEM, -EPERM: the kernel refuses; then an earlier entry stays as it
 * was. */
MUST_USE int steer_put(struct steer *steer, const struct net_addr *client,
                       const struct net_addr *server, uint32_t socket);

/* Forget it; harmless when it is unknown. */
void steer_del(struct steer *steer, const struct net_addr *client, const struct net_addr *server);

/* How many flows are written. */
uint32_t steer_flows(const struct steer *steer);

/* Unknown flows go to the socket of the CPU that received them: entry c of `socket_of_cpu` is that
 * of CPU c, in every group; CPUs from `cpus` on go by hash.  `cpus` 0: all by hash, as it was at
 * first.  Returns 0; the negative errno of the map's update, some CPUs changed. */
MUST_USE int steer_by_cpu(struct steer *steer, const uint32_t *socket_of_cpu, uint32_t cpus);
