/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The headers of a packet that leaves, written anew from the plan. */
#pragma once

#include "offload/bpf/decide.h"

static __always_inline __u16 emit_ip_check(const struct plan *plan, __be16 total, __be16 id)
{
    const __u32 sum =
        plan->flow.ip_sum + bpf_htons(plan->tos) + bpf_htons((__u16)(plan->ttl << 8)) + total + id;

    return (__u16)~packet_fold(sum);
}

/* Write all headers to the frame, which has got its new size.  `id`: the IPv4 identification.
 * False: it is too short for them, which it never is; drop it. */
static __always_inline bool emit(void *data, void *data_end, const struct plan *plan, __be16 id)
{
    const struct offload_flow *flow = &plan->flow;
    struct ethhdr *eth = data;
    struct udphdr *udp;
    const __u16 udp_len =
        (__u16)(sizeof(*udp) + plan->len + (plan->number ? PACKET_CHANNEL_HEAD : 0));

    if (flow->family == 4) {
        struct iphdr *ip = (void *)(eth + 1);
        udp = (void *)(ip + 1);
        if ((void *)(udp + 1) > data_end) {
            return false;
        }
        eth->h_proto = bpf_htons(ETH_P_IP);
        ip->version = 4;
        ip->ihl = 5;
        ip->tos = plan->tos;
        ip->tot_len = bpf_htons((__u16)(sizeof(*ip) + udp_len));
        ip->id = id;
        ip->frag_off = 0;
        ip->ttl = plan->ttl;
        ip->protocol = IPPROTO_UDP;
        ip->saddr = *(const __be32 *)flow->src;
        ip->daddr = *(const __be32 *)flow->dst;
        ip->check = emit_ip_check(plan, ip->tot_len, id);
    } else {
        struct ipv6hdr *ip = (void *)(eth + 1);
        udp = (void *)(ip + 1);
        if ((void *)(udp + 1) > data_end) {
            return false;
        }
        eth->h_proto = bpf_htons(ETH_P_IPV6);
        *(__be32 *)ip = bpf_htonl(6U << 28 | (__u32)plan->tos << 20);
        ip->payload_len = bpf_htons(udp_len);
        ip->nexthdr = IPPROTO_UDP;
        ip->hop_limit = plan->ttl;
        __builtin_memcpy(&ip->saddr, flow->src, 16);
        __builtin_memcpy(&ip->daddr, flow->dst, 16);
    }
    __builtin_memcpy(eth->h_dest, plan->to, ETH_ALEN);
    __builtin_memcpy(eth->h_source, plan->from, ETH_ALEN);
    udp->source = flow->src_port;
    udp->dest = flow->dst_port;
    udp->len = bpf_htons(udp_len);
    udp->check = plan->check;
    if (plan->number) {
        __be16 *head = (void *)(udp + 1);
        if ((void *)(head + 2) > data_end) {
            return false;
        }
        head[0] = plan->number;
        head[1] = bpf_htons((__u16)plan->len);
    }
    return true;
}
