/* SPDX-License-Identifier: Apache-2.0 */
/* One server core with both paths: it is asked about packets itself (user space), and it hands its
 * channels over to the tables of the real programs (kernel).
 *
 * It keeps what it was told about every channel, so that a test knows what the kernel path must do.
 *
 * Owner   the test.  Thread  one.  Clock  world.now_ms, for both. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diff/kernel.h"
#include "lib/world.h"

enum { PATHS_CHANNELS = 2048, PATHS_NS_PER_MS = 1000000 };

/* A channel that was handed over. */
struct paths_flow {
    bool open;
    bool halted; /* rules have changed, and it was not renewed yet */
    uint32_t handle;
    struct turn_flow is;
    struct flow_traffic made; /* what the kernel has forwarded, as the test has counted it */
    struct flow_traffic told; /* what of it the core knows */
};

/* The bandwidth of an allocation. */
struct paths_limit {
    uint32_t number; /* flow_limit_open()'s; 0: unused */
    struct bucket *buckets;
};

struct paths {
    struct world world; /* first: it is the effects' argument */
    struct kernel *kernel;
    struct paths_flow flows[PATHS_CHANNELS]; /* the core's handles are indices + 1 */
    struct paths_limit limits[PATHS_CHANNELS];
    uint32_t high; /* flows from here on were never open */
    uint64_t opened;
    uint64_t renewed;
};

/* What differs from one run to another. */
struct paths_options {
    uint64_t seed;
    uint64_t max_bps;
    bool copy_dscp;
    bool copy_ecn;
    bool auth; /* clients prove who they are, and may move (RFC 8016) */
    bool wide; /* channel numbers up to 0x7fff */
};

/* Fails the test when that is not possible. */
void paths_start(struct paths *p, struct kernel *kernel, const struct paths_options *options);

/* End every session; checks that no channel is left. */
void paths_stop(struct paths *p);

/* Let time pass; `late`: the server's timers don't run. */
void paths_advance(struct paths *p, uint64_t ms, bool late);

/* No channel may be forwarded until the core has asked its gate again. */
void paths_halt(struct paths *p);

/* The configuration as edited is in force, with peers of these networks (NULL: all of the stage).
 */
void paths_reconfigure(struct paths *p, const char *const *allow);

/* The channel that is handed over for packets of that client, or that peer; NULL: none. */
struct paths_flow *paths_of_client(struct paths *p, const struct net_addr *client,
                                   const struct net_addr *server, uint16_t number);
struct paths_flow *paths_of_peer(struct paths *p, const struct net_addr *peer,
                                 const struct net_addr *relay);

/* What user space makes of the datagram `f`, whose bytes are copied; the packet is world.pkt. */
enum turn_verdict paths_ask(struct paths *p, const struct frame *f);

/* Is it an address of the server itself?  Over a cable, IPv4 refuses it, and IPv6 may do what it
 * likes. */
bool paths_is_martian(const struct paths *p, const struct net_addr *src);

/* Is it the address of a relay socket? */
bool paths_is_relay(const struct paths *p, const struct net_addr *addr);

/* What the buckets of all allocations say, to be compared and put back. */
struct paths_buckets {
    struct bucket of[PATHS_CHANNELS][OFFLOAD_WAYS];
};

void paths_save(const struct paths *p, struct paths_buckets *out);
void paths_restore(struct paths *p, const struct paths_buckets *in);
bool paths_same(const struct paths *p, const struct paths_buckets *as);
