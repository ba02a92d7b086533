/* SPDX-License-Identifier: Apache-2.0 */
/* What steer.c writes and bpf/steer.bpf.c reads.  Compiled for both, so it knows the kernel's
 * types only. */
#pragma once

#include <linux/types.h>

/* Who talks to whom: the key of the flow map, compared and hashed byte for byte by the kernel.
 * Addresses are canonical (base/net_addr.h), ports lie as in the UDP header. */
struct steer_flow {
    __u8 client_ip[16];
    __u8 server_ip[16];
    __be16 client_port;
    __be16 server_port;
};

_Static_assert(sizeof(struct steer_flow) == 36, "a key has no padding");

/* An entry of the map of CPUs for which the hash decides; others hold the socket's index + 1. */
#define STEER_CPU_BY_HASH 0
