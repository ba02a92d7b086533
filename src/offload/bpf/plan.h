/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is written down of a packet while it is judged. */
#pragma once

#include "offload/bpf/kernel.h"
#include "offload/bpf/packet.h"
#include "offload/flow_map.h"

/* How a packet leaves. */
struct plan {
    struct offload_flow flow; /* addresses of the packet that leaves */
    __u32 sum;                /* relay to relay: the first flow's udp_sum; else 0 */
    __u32 len;                /* application data */
    __u32 ifindex;
    __s32 shorter; /* by how many bytes the headers shrink */
    __u16 check;   /* UDP checksum, or 0: none */
    __be16 number; /* channel number to be put on; 0: no head */
    __u16 drop;    /* enum offload_count: drop it for that, not forward; OFFLOAD_COUNT_MAX: no */
    __u8 came;     /* how it came: OFFLOAD_TO_PEER as ChannelData */
    __u8 tos;
    __u8 ttl;
    __u8 to[ETH_ALEN];
    __u8 from[ETH_ALEN];
};

/* Room for one packet a CPU.  What the verifier reads from a table it knows nothing about, so it
 * does not follow each combination of what was found before: without this there are 150,000
 * instructions to be looked at. */
struct work {
    struct packet p;
    struct packet hop; /* relay to relay: as the second relay would get it */
    struct plan plan;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct work);
} scratch SEC(".maps");

/* The channels of a packet, to be counted. */
struct ways {
    struct offload_way *way;
    struct offload_way *second; /* relay to relay: the other one; else NULL */
};
