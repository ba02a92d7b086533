/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a packet leaves, and to which link address. */
#pragma once

#include "offload/bpf/kernel.h"
#include "offload/bpf/maps.h"
#include "offload/bpf/plan.h"
#include "offload/flow_map.h"

enum {
    ROUTE_AF_INET = 2,
    ROUTE_AF_INET6 = 10,
    ROUTE_LO = 1, /* interface index of lo in every network namespace */
};

/* The next hop, and what may go there. */
struct next_hop {
    union {
        __u64 all;

        struct {
            __u8 to[ETH_ALEN];
            __u16 mtu;
        };
    };

    __u32 ifindex;
};

/* Ask the routing table as for a packet that this host itself sends, which is what the index of lo
 * says.  That asks net.ipv4.conf.lo.forwarding (net.ipv6...) of the host and makes a router of none
 * of its interfaces.  -1 with `*hop`, or why the packet has to go up. */
static __always_inline int ask(void *ctx, const struct offload_flow *flow, __u32 ip_len, __u8 tos,
                               struct next_hop *hop)
{
    struct bpf_fib_lookup fib = {
        .l4_protocol = IPPROTO_UDP,
        .sport = flow->src_port,
        .dport = flow->dst_port,
        .tot_len = (__u16)ip_len,
        .ifindex = ROUTE_LO,
    };

    if (flow->family == 4) {
        fib.family = ROUTE_AF_INET;
        fib.tos = tos;
        fib.ipv4_src = *(const __be32 *)flow->src;
        fib.ipv4_dst = *(const __be32 *)flow->dst;
    } else {
        fib.family = ROUTE_AF_INET6;
        fib.flowinfo = bpf_htonl((__u32)tos << 20);
        __builtin_memcpy(fib.ipv6_src, flow->src, 16);
        __builtin_memcpy(fib.ipv6_dst, flow->dst, 16);
    }
    const long found = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
    if (found != BPF_FIB_LKUP_RET_SUCCESS) {
        return found == BPF_FIB_LKUP_RET_NO_NEIGH      ? OFFLOAD_neighbour
               : found == BPF_FIB_LKUP_RET_FRAG_NEEDED ? OFFLOAD_too_big
                                                       : OFFLOAD_route;
    }
    hop->ifindex = fib.ifindex;
    hop->mtu = fib.tot_len; /* now the MTU; before Linux 5.12 what we have asked for */
    __builtin_memcpy(hop->to, fib.dmac, ETH_ALEN);
    return -1;
}

/* For each of the programs.  Static, unlike within_limits(): of others with a context the verifier
 * asks the kernel's BTF, which not every kernel has. */
static __noinline int ask_route_xdp(struct xdp_md *ctx, const struct offload_flow *flow,
                                    __u32 ip_len, __u32 tos, struct next_hop *hop)
{
    return flow && hop ? ask(ctx, flow, ip_len, (__u8)tos, hop) : OFFLOAD_route;
}

static __noinline int ask_route_tc(struct __sk_buff *skb, const struct offload_flow *flow,
                                   __u32 ip_len, __u32 tos, struct next_hop *hop)
{
    return flow && hop ? ask(skb, flow, ip_len, (__u8)tos, hop) : OFFLOAD_route;
}

/* Where it leaves, and to which link address.  The answer of the routing table holds for the rest
 * of its 8.4 ms and packets that are not larger: it costs more than all else together.  Two CPUs
 * that write it at once write the same, or half of it is wrong for that long. */
static __always_inline int route(void *ctx, bool xdp, struct plan *plan, struct offload_way *way,
                                 __u32 ip_len, __u64 now)
{
    const __u32 stamp = (__u32)(now >> OFFLOAD_HOP_BITS) | 1U << 31;
    struct next_hop hop = {.all = way->hop, .ifindex = way->hop_if};

    if (way->hop_stamp != stamp || ip_len > hop.mtu) {
        const int why = xdp ? ask_route_xdp(ctx, &plan->flow, ip_len, plan->tos, &hop)
                            : ask_route_tc(ctx, &plan->flow, ip_len, plan->tos, &hop);
        if (why >= 0) {
            return why;
        }
        way->hop = hop.all;
        way->hop_if = hop.ifindex;
        way->hop_stamp = stamp;
    }
    const struct offload_if *out = bpf_map_lookup_elem(&interfaces, &hop.ifindex);
    if (!out || !(out->flags & OFFLOAD_IF_OUT)) {
        return OFFLOAD_route;
    }
    plan->ifindex = hop.ifindex;
    __builtin_memcpy(plan->to, hop.to, ETH_ALEN);
    __builtin_memcpy(plan->from, out->mac, ETH_ALEN);
    return -1;
}
