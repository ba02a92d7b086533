/* SPDX-License-Identifier: Apache-2.0 */
/* The channels that the kernel path forwards: written by the workers, read by the programs.
 *
 *     flow_open()   the channel is bound          two system calls
 *     flow_renew()  its deadlines have changed    two stores
 *     flow_usage()  what it has forwarded         loads
 *     flow_close()  it is over                    a store that holds at once, then two system calls
 *
 * Nothing is forwarded at or after a deadline, nor once flow_close() or flow_halt() has returned
 * but for packets that a CPU was already rewriting.
 *
 * Owner   the kernel path, forward_flows().  Thread  any; a handle belongs to one worker at a time.
 * Clock   CLOCK_MONOTONIC milliseconds.  Memory  hash entries and slots, sized at start: when one
 * is full, channels stay in user space. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "base/net_addr.h"
#include "offload/flow_map.h"

struct flow_table;

/* A channel as its packets look on the wire. */
struct flow_spec {
    struct net_addr client; /* UDP */
    struct net_addr server; /* the address that the client sends to */
    struct net_addr relay;  /* the local address of the relay socket, not a wildcard */
    struct net_addr peer;   /* of the relay's family */
    uint16_t number;
    bool to_relay;             /* `peer` is an address of this host */
    uint32_t limit;            /* flow_limit_open()'s, or 0: none */
    uint64_t to_peer_until_ms; /* 0: not at all */
    uint64_t to_client_until_ms;
};

/* What was forwarded since flow_open(), application data only. */
struct flow_traffic {
    uint64_t packets[OFFLOAD_WAYS];
    uint64_t bytes[OFFLOAD_WAYS];
};

/* Let the kernel forward the channel.  0 with `*out_handle`, which is not 0; -ENOSPC: no room (a
 * handle rests for a second before it is used again); -EINVAL: no channel number, or addresses that
 * the programs do not do (a wildcard, a multicast or link-local one, an IPv4-mapped IPv6 peer, port
 * 0); -EEXIST: one of its two flows is written for another channel; another negative errno of the
 * kernel: -EPERM before Linux 5.19 in a process without CAP_BPF where
 * kernel.unprivileged_bpf_disabled is set.  Then nothing is forwarded. */
MUST_USE int flow_open(struct flow_table *table, const struct flow_spec *spec,
                       uint32_t *out_handle);

/* Other deadlines, and the epoch in force. */
void flow_renew(struct flow_table *table, uint32_t handle, uint64_t to_peer_until_ms,
                uint64_t to_client_until_ms);

/* What it has forwarded by now. */
void flow_usage(const struct flow_table *table, uint32_t handle, struct flow_traffic *out);

/* Forward it no more, and give the handle back.  `last` (may be NULL): all it has forwarded. */
void flow_close(struct flow_table *table, uint32_t handle, struct flow_traffic *last);

/* Can channels be written by this process, with the rights that it has now?  0; -EPERM, or another
 * negative errno of the kernel. */
MUST_USE int flow_try(const struct flow_table *table);

/* How many are open. */
uint32_t flow_count(const struct flow_table *table);

/* No channel is forwarded until flow_renew() is called for it: rules have changed. */
void flow_halt(struct flow_table *table);

/* An allocation's bandwidth, both directions, in shared memory: the kernel and user space take from
 * the same.  Returns its number, from 1, or 0: no room.  It begins as `from` says and `*out` points
 * to OFFLOAD_WAYS buckets. */
MUST_USE uint32_t flow_limit_open(struct flow_table *table, const struct bucket from[OFFLOAD_WAYS],
                                  struct bucket **out);
void flow_limit_close(struct flow_table *table, uint32_t limit);

/* --- for the shield ------------------------------------------------------------------------------
 */

/* `client` has an allocation, and sends to `server`: its packets always pass.  0, also when there
 * is no shield; -ENOSPC and other negative errno: it is treated as a stranger.  Any thread. */
MUST_USE int flow_client_put(struct flow_table *table, const struct net_addr *client,
                             const struct net_addr *server);
void flow_client_del(struct flow_table *table, const struct net_addr *client,
                     const struct net_addr *server);
