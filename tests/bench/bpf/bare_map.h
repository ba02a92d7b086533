/* SPDX-License-Identifier: Apache-2.0 */
/* What forwarder_bpf.c writes and bpf/bare.bpf.c reads.  Compiled for both, so it knows the
 * kernel's types only. */
#pragma once

#include <linux/types.h>

/* As packets arrive; network byte order. */
struct bare_key {
    __be32 src;
    __be32 dst;
    __be16 src_port;
    __be16 dst_port;
};

/* As they leave. */
struct bare_flow {
    __be32 src;
    __be32 dst;
    __be16 src_port;
    __be16 dst_port;
    __be16 number; /* of the channel */
    __u8 to_peer;  /* the ChannelData head is taken off; else put on */
    __u8 zero;
    __u32 ifindex; /* without bpf_fib_lookup() */
    __u8 macs[12]; /* destination, source */
};

_Static_assert(sizeof(struct bare_key) == 12, "a key has no padding");
