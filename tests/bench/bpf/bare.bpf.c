/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bare forwarders in the kernel: client <-> relay port <-> peer with nothing but the 4 bytes of
 * ChannelData taken off or put on, IPv4 without options.  No deadlines, no permissions, no
 * counters: what a relay with the same technique can cost at best. */
/* clang-format off */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/bare_map.h"

/* clang-format on */

enum { HEAD = 4, ADDRESS_FAMILY_INET = 2 };

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct bare_key);
    __type(value, struct bare_flow);
} flows SEC(".maps");

/* In the packet. */
struct came {
    const struct ethhdr *eth;
    const struct iphdr *ip;
    const struct udphdr *udp;
    const __be16 *payload;
};

/* To be put there. */
struct heads {
    struct iphdr ip;
    struct udphdr udp;
    __u8 macs[2 * ETH_ALEN];
};

static __always_inline __u32 fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u32)((sum & 0xffff) + (sum >> 16));
}

static __always_inline struct came at(const void *data)
{
    const struct ethhdr *eth = data;
    const struct iphdr *ip = (const void *)(eth + 1);
    const struct udphdr *udp = (const void *)(ip + 1);

    return (struct came){eth, ip, udp, (const __be16 *)(udp + 1)};
}

static __always_inline const struct bare_flow *find(struct came in, const void *end)
{
    if ((const void *)(in.payload + 2) > end || in.eth->h_proto != bpf_htons(ETH_P_IP) ||
        in.ip->ihl != 5 || in.ip->version != 4 || in.ip->protocol != IPPROTO_UDP ||
        (in.ip->frag_off & bpf_htons(0x3fff)) != 0) {
        return NULL;
    }
    const struct bare_key key = {
        .src = in.ip->saddr,
        .dst = in.ip->daddr,
        .src_port = in.udp->source,
        .dst_port = in.udp->dest,
    };
    return bpf_map_lookup_elem(&flows, &key);
}

/* The ChannelData around the payload is what it says, or there is none to be. */
static __always_inline bool is_whole(struct came in, const struct bare_flow *flow)
{
    return in.udp->check != 0 &&
           (!flow->to_peer ||
            (in.payload[0] == flow->number &&
             bpf_ntohs(in.payload[1]) + sizeof(struct udphdr) + HEAD == bpf_ntohs(in.udp->len)));
}

/* The heads that leave, from those that came (RFC 1624). */
static __always_inline void make(struct came in, const struct bare_flow *flow, struct heads *out)
{
    const __u16 came_len = bpf_ntohs(in.udp->len);
    const __u16 len = (__u16)(flow->to_peer ? came_len - HEAD : came_len + HEAD);
    const __be16 udp_len = bpf_htons(len);
    const __be16 data_len =
        bpf_htons((__u16)((flow->to_peer ? len : came_len) - sizeof(struct udphdr)));
    __u64 sum = (__u64)(__u16)~in.udp->check;

    sum += (__u64)~in.ip->saddr + ~in.ip->daddr + (__u16)~in.udp->source + (__u16)~in.udp->dest +
           2ULL * (__u16)~in.udp->len;
    sum += (__u64)flow->src + flow->dst + flow->src_port + flow->dst_port + 2ULL * udp_len;
    sum += flow->to_peer ? (__u64)(__u16)~flow->number + (__u16)~data_len
                         : (__u64)flow->number + data_len;
    const __u16 check = (__u16)~fold(sum);
    out->ip = *in.ip;
    out->ip.saddr = flow->src;
    out->ip.daddr = flow->dst;
    out->ip.ttl--;
    out->ip.tot_len = bpf_htons((__u16)(sizeof(out->ip) + len));
    out->ip.check = 0;
    __u64 ip_sum = 0;
    for (int i = 0; i < 5; i++) {
        ip_sum += ((const __u32 *)&out->ip)[i];
    }
    out->ip.check = (__u16)~fold(ip_sum);
    out->udp.source = flow->src_port;
    out->udp.dest = flow->dst_port;
    out->udp.len = udp_len;
    out->udp.check = check == 0 ? 0xffff : check;
}

/* The Ethernet addresses from the map, or from the routing table.  The interface; 0: none. */
static __always_inline __u32 route(void *ctx, const struct bare_flow *flow, struct heads *out,
                                   bool fib)
{
    struct bpf_fib_lookup params = {.family = ADDRESS_FAMILY_INET};

    if (!fib) {
        __builtin_memcpy(out->macs, flow->macs, sizeof(out->macs));
        return flow->ifindex;
    }
    params.l4_protocol = IPPROTO_UDP;
    params.tot_len = bpf_ntohs(out->ip.tot_len);
    params.ipv4_src = flow->src;
    params.ipv4_dst = flow->dst;
    params.ifindex = 1;
    if (bpf_fib_lookup(ctx, &params, sizeof(params), 0) != BPF_FIB_LKUP_RET_SUCCESS) {
        return 0;
    }
    __builtin_memcpy(out->macs, params.dmac, ETH_ALEN);
    __builtin_memcpy(out->macs + ETH_ALEN, params.smac, ETH_ALEN);
    return params.ifindex;
}

static __always_inline bool put(void *data, const void *end, const struct heads *out,
                                const struct bare_flow *flow)
{
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct udphdr *udp = (void *)(ip + 1);
    __be16 *head = (void *)(udp + 1);

    if ((const void *)(head + 2) > end) {
        return false;
    }
    __builtin_memcpy(eth, out->macs, sizeof(out->macs));
    eth->h_proto = bpf_htons(ETH_P_IP);
    *ip = out->ip;
    *udp = out->udp;
    if (!flow->to_peer) {
        head[0] = flow->number;
        head[1] = bpf_htons((__u16)(bpf_ntohs(out->udp.len) - sizeof(*udp) - HEAD));
    }
    return true;
}

static __always_inline int forward(struct xdp_md *ctx, bool fib)
{
    const struct came in = at((void *)(long)ctx->data);
    const struct bare_flow *flow = find(in, (void *)(long)ctx->data_end);
    struct heads out;

    if (!flow || !is_whole(in, flow)) {
        return XDP_PASS;
    }
    make(in, flow, &out);
    const __u32 ifindex = route(ctx, flow, &out, fib);
    if (ifindex == 0 || bpf_xdp_adjust_head(ctx, flow->to_peer ? HEAD : -HEAD) < 0) {
        return XDP_PASS;
    }
    if (!put((void *)(long)ctx->data, (void *)(long)ctx->data_end, &out, flow)) {
        return XDP_ABORTED;
    }
    return ifindex == ctx->ingress_ifindex ? XDP_TX : (int)bpf_redirect(ifindex, 0);
}

SEC("xdp")

int bare_xdp(struct xdp_md *ctx)
{
    return forward(ctx, false);
}

SEC("xdp")

int bare_xdpfib(struct xdp_md *ctx)
{
    return forward(ctx, true);
}

SEC("tc")

int bare_tc(struct __sk_buff *skb)
{
    const struct came in = at((void *)(long)skb->data);
    const struct bare_flow *flow = find(in, (void *)(long)skb->data_end);
    struct heads out;

    if (!flow || skb->gso_size != 0 || !is_whole(in, flow)) {
        return -1;
    }
    make(in, flow, &out);
    const __u32 ifindex = route(skb, flow, &out, false);
    if (bpf_skb_adjust_room(skb, flow->to_peer ? -HEAD : HEAD, BPF_ADJ_ROOM_MAC, 0) < 0) {
        return -1;
    }
    if (!put((void *)(long)skb->data, (void *)(long)skb->data_end, &out, flow)) {
        return TC_ACT_SHOT;
    }
    return (int)bpf_redirect(ifindex, 0);
}

const char bare_license[] SEC("license") = "Dual BSD/GPL";
