/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is to become of a datagram of a bound channel: decided in full before anything is written,
 * so that what can't be sent on goes up as it came.
 *
 *     flow (hash) -> slot: may it? -> relay address of our own? its flow, too -> bandwidth
 *          -> route as for a packet of this host -> struct plan                                  */
#pragma once

#include "base/bucket_rule.h"
#include "offload/bpf/maps.h"
#include "offload/bpf/packet.h"

enum {
    DECIDE_AF_INET = 2,
    DECIDE_AF_INET6 = 10,
    DECIDE_LO = 1, /* interface index of lo in every network namespace */
    DECIDE_MIN_FRAME = 60,
    DECIDE_HOP = OFFLOAD_COUNT_MAX, /* not a reason: on to another relay address of this host */
    DECIDE_TRIES = 4,
    DECIDE_READ_MAX = 0x7fff, /* the verifier follows offsets below 64 KiB */
};

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

static __always_inline __u64 decide_now(void)
{
    return virtual_clock ? control.virtual_ns : bpf_ktime_get_coarse_ns();
}

static __always_inline struct offload_flow *decide_flow(const struct packet *p)
{
    return p->family == 4 ? bpf_map_lookup_elem(&flow4, &p->key.v4)
                          : bpf_map_lookup_elem(&flow6, &p->key.v6);
}

static __always_inline void set_number(struct packet *p, __be16 number)
{
    if (p->family == 4) {
        p->key.v4.number = number;
    } else {
        p->key.v6.number = number;
    }
}

/* Its direction of its channel if that may be used now, or NULL.  A bandwidth that was limited
 * after the channel had come here is user space's until it has a bucket. */
static __always_inline struct offload_way *decide_way(const struct offload_flow *flow, __u64 now)
{
    struct offload_slot *slot = bpf_map_lookup_elem(&slots, &flow->slot);

    if (!slot) {
        return NULL;
    }
    struct offload_way *way = &slot->way[flow->way & 1];
    const bool live = way->generation == flow->generation && way->epoch == control.epoch &&
                      now < way->until_ns && (way->limit != 0 || control.max_bps == 0);
    return live ? way : NULL;
}

/* Take `bytes` from a bucket that user space takes from, too; false: there is not enough. */
static __always_inline bool take_bytes(__u64 *busy_ns, __u64 rate, __u32 bytes, __u64 now)
{
    for (int i = 0; i < DECIDE_TRIES; i++) {
        const __u64 busy = *(volatile __u64 *)busy_ns;
        const __u64 after = bucket_after(busy, rate, bytes, now);
        if (after == 0) {
            return false;
        }
        if (__sync_val_compare_and_swap(busy_ns, busy, after) == busy) {
            return true;
        }
    }
    return false;
}

/* max-bps of the allocation with that number in `limits` and bps-capacity, for `bytes` as
 * turn/data.c counts them.  Not static: the verifier follows such a function once, and not once for
 * every way that leads to it. */
__noinline int within_limits(__u32 limit, __u32 direction, __u32 bytes, __u64 now)
{
    direction &= 1;
    if (control.max_bps != 0) {
        struct offload_limit *own = bpf_map_lookup_elem(&limits, &limit);
        if (own && !take_bytes(&own->busy_until_ns[direction], control.max_bps, bytes, now)) {
            return 0;
        }
    }
    return control.capacity_bps == 0 ||
           take_bytes(&control.capacity_busy_until_ns[direction], control.capacity_bps, bytes, now);
}

/* The surplus of a ChannelData message behind its data: at most padding, and zeros, which no
 * checksum sees (RFC 8656 section 12.5 allows it).  `payload`: where the message begins; `len`: its
 * length, at least that of its head. */
static __always_inline bool is_padding(void *payload, void *data_end, __u32 len, __u32 surplus)
{
    if (surplus == 0) {
        return true; /* and the end need not even lie in this buffer */
    }
    if (surplus > 3 || len > DECIDE_READ_MAX) {
        return false;
    }
    const __be32 *last = payload + len - sizeof(*last);
    if ((void *)(last + 1) > data_end) {
        return false;
    }
    return (bpf_ntohl(*last) & ((1U << (8 * surplus)) - 1)) == 0;
}

/* A ChannelData message whose number is bound, or NULL; `*out_len`: of its data, or above the
 * packet's: there is something else behind it. */
static __always_inline struct offload_flow *find_channel(void *data, void *data_end,
                                                         struct packet *p, __u32 *out_len)
{
    const __be16 *head = data + packet_head(p);

    if (p->len < PACKET_CHANNEL_HEAD || (void *)(head + 2) > data_end ||
        (head[0] & bpf_htons(0xc000)) != bpf_htons(0x4000)) {
        return NULL;
    }
    set_number(p, head[0]);
    struct offload_flow *flow = decide_flow(p);
    set_number(p, 0);
    if (flow) {
        const __u32 len = bpf_ntohs(head[1]);
        const bool whole =
            len <= p->len - PACKET_CHANNEL_HEAD &&
            is_padding(data + packet_head(p), data_end, p->len, p->len - PACKET_CHANNEL_HEAD - len);
        *out_len = whole ? len : ~0U;
    }
    return flow;
}

/* -1 with plan->flow, plan->len and ways->way, or why it has to go up.  The head of ChannelData is
 * what makes a packet a client's; a peer's data may begin like one. */
static __always_inline int find(void *data, void *data_end, struct work *w, __u64 now,
                                struct ways *ways)
{
    struct plan *plan = &w->plan;

    plan->len = w->p.len;
    const struct offload_flow *flow = find_channel(data, data_end, &w->p, &plan->len);
    if (!flow) {
        flow = decide_flow(&w->p);
    }
    if (!flow) {
        return OFFLOAD_unknown;
    }
    if (plan->len > w->p.len) {
        return OFFLOAD_length;
    }
    plan->flow = *flow;
    plan->came = flow->way;
    plan->sum = 0;
    ways->second = NULL;
    barrier();
    ways->way = decide_way(&plan->flow, now);
    return ways->way ? -1 : OFFLOAD_over;
}

/* The peer is a relay address of this host: if the packet is for a bound channel there, its way
 * goes on to that channel's client.  -1, or why it has to go up: as must what comes from outside
 * with such an address, which the stack drops (RFC 1812 section 5.3.7). */
static __always_inline int find_second(struct work *w, __u64 now, struct ways *ways)
{
    struct plan *plan = &w->plan;
    struct packet *hop = &w->hop;

    if (plan->came != OFFLOAD_TO_PEER) {
        return OFFLOAD_route;
    }
    hop->family = plan->flow.family;
    if (hop->family == 4) {
        hop->key.v4.src = *(const __be32 *)plan->flow.src;
        hop->key.v4.dst = *(const __be32 *)plan->flow.dst;
        hop->key.v4.src_port = plan->flow.src_port;
        hop->key.v4.dst_port = plan->flow.dst_port;
        hop->key.v4.zero = 0; /* an IPv6 address was here before */
    } else {
        __builtin_memcpy(hop->key.v6.src, plan->flow.src, 16);
        __builtin_memcpy(hop->key.v6.dst, plan->flow.dst, 16);
        hop->key.v6.src_port = plan->flow.src_port;
        hop->key.v6.dst_port = plan->flow.dst_port;
        hop->key.v6.zero = 0;
    }
    set_number(hop, 0);
    const struct offload_flow *next = decide_flow(hop);
    if (!next || next->way != OFFLOAD_TO_CLIENT) {
        return OFFLOAD_route;
    }
    plan->sum = plan->flow.udp_sum;
    plan->flow = *next;
    barrier();
    ways->second = decide_way(&plan->flow, now);
    return ways->second ? -1 : OFFLOAD_over;
}

static __always_inline __u32 minus(__u16 word)
{
    return (__u16)~word;
}

/* The checksum of the packet that leaves out of that of the one that came (RFC 1624): what differs
 * from packet to packet are lengths, in the pseudo header, the header, and the channel's. */
static __always_inline __u16 next_check(const struct packet *p, const struct plan *plan)
{
    const __u16 in = bpf_htons((__u16)(p->len + sizeof(struct udphdr)));
    const __u16 out = bpf_htons(
        (__u16)(plan->len + sizeof(struct udphdr) + (plan->number ? PACKET_CHANNEL_HEAD : 0)));
    const __u16 data = bpf_htons((__u16)plan->len);
    __u32 sum = minus(p->check) + plan->sum + plan->flow.udp_sum + 2 * minus(in) + 2U * out;

    if (plan->came == OFFLOAD_TO_PEER) {
        sum += minus(data);
    }
    if (plan->number) {
        sum += data;
    }
    const __u16 check = (__u16)~packet_fold(sum);
    return check != 0 ? check : 0xffff;
}

/* The next hop, and what may go there. */
struct hop {
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
                               struct hop *hop)
{
    struct bpf_fib_lookup fib = {
        .l4_protocol = IPPROTO_UDP,
        .sport = flow->src_port,
        .dport = flow->dst_port,
        .tot_len = (__u16)ip_len,
        .ifindex = DECIDE_LO,
    };

    if (flow->family == 4) {
        fib.family = DECIDE_AF_INET;
        fib.tos = tos;
        fib.ipv4_src = *(const __be32 *)flow->src;
        fib.ipv4_dst = *(const __be32 *)flow->dst;
    } else {
        fib.family = DECIDE_AF_INET6;
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
                                    __u32 ip_len, __u32 tos, struct hop *hop)
{
    return flow && hop ? ask(ctx, flow, ip_len, (__u8)tos, hop) : OFFLOAD_route;
}

static __noinline int ask_route_tc(struct __sk_buff *skb, const struct offload_flow *flow,
                                   __u32 ip_len, __u32 tos, struct hop *hop)
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
    struct hop hop = {.all = way->hop, .ifindex = way->hop_if};

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

static __always_inline __u32 head_of(const struct plan *plan)
{
    return (plan->flow.family == 4 ? PACKET_HEAD4 : PACKET_HEAD6) +
           (plan->number ? PACKET_CHANNEL_HEAD : 0);
}

/* What looks as if its checksum had been left to hardware may be the one in 65,536. */
static __noinline int is_whole_xdp(struct xdp_md *ctx, const struct packet *p)
{
    return packet_is_whole((void *)(long)ctx->data, (void *)(long)ctx->data_end, p);
}

static __noinline int is_whole_tc(struct __sk_buff *skb, const struct packet *p)
{
    return packet_is_whole((void *)(long)skb->data, (void *)(long)skb->data_end, p);
}

/* The checksum that it leaves with; -1, or why it has to go up. */
static __always_inline int judge_check(void *ctx, bool xdp, const struct packet *p,
                                       const struct offload_if *at, struct plan *plan)
{
    if (p->check == 0) {
        /* From IPv4 to IPv4 there may be none (RFC 768); over IPv6 there must be one. */
        plan->check = 0;
        return p->family == 4 && plan->flow.family == 4 ? -1 : OFFLOAD_checksum;
    }
    if ((at->flags & OFFLOAD_IF_PARTIAL) && packet_is_partial(p) &&
        !(xdp ? is_whole_xdp(ctx, p) : is_whole_tc(ctx, p))) {
        return OFFLOAD_checksum;
    }
    plan->check = next_check(p, plan);
    return -1;
}

/* As much as turn/data.c would take for it: from its own allocation, and relay to relay from the
 * second one, too. */
static __always_inline bool pay(const struct packet *p, const struct plan *plan,
                                const struct ways *ways, __u64 now)
{
    const __u32 down = plan->len + PACKET_CHANNEL_HEAD;
    const __u32 bytes = plan->came == OFFLOAD_TO_PEER ? p->len : down;

    if (control.max_bps == 0 && control.capacity_bps == 0) {
        return true;
    }
    return within_limits(ways->way->limit, plan->came, bytes, now) &&
           (!ways->second || within_limits(ways->second->limit, OFFLOAD_TO_CLIENT, down, now));
}

/* What the headers that leave say. */
static __always_inline void draw(const struct packet *p, struct plan *plan)
{
    plan->number = plan->flow.way == OFFLOAD_TO_CLIENT ? plan->flow.number : 0;
    plan->tos = p->tos & (__u8)control.tos_mask;
    plan->ttl = p->ttl - 1;
    barrier();
    plan->shorter =
        (__s32)(packet_head(p) + (plan->came == OFFLOAD_TO_PEER ? PACKET_CHANNEL_HEAD : 0)) -
        (__s32)head_of(plan);
}

/* Judge the datagram w->p that packet_parse() has taken apart, of a frame that came in by `at`.  -1
 * with all of w->plan and `*ways`: forward it, or drop it if plan->drop says so.  Else an enum
 * offload_count: why it has to go up.  `xdp`: of which program is `ctx`.
 *
 * DECIDE_HOP: to be judged again with `hop`; so the verifier need not follow two things at a time
 * that hardly ever come together. */
static __always_inline int decide(void *ctx, bool xdp, bool hop, void *data, void *data_end,
                                  struct work *w, const struct offload_if *at, struct ways *ways)
{
    const __u64 now = decide_now();
    struct plan *plan = &w->plan;

    int why = control.forward ? find(data, data_end, w, now, ways) : OFFLOAD_unknown;
    if (why >= 0) {
        return why;
    }
    if (w->p.ttl <= 1) {
        return OFFLOAD_ttl;
    }
    if (hop || plan->flow.to_relay) {
        why = hop ? find_second(w, now, ways) : DECIDE_HOP;
        if (why >= 0) {
            return why;
        }
    }
    draw(&w->p, plan);
    why = judge_check(ctx, xdp, &w->p, at, plan);
    if (why >= 0) {
        return why;
    }
    barrier();
    const __u32 frame = head_of(plan) + plan->len;
    if (frame < DECIDE_MIN_FRAME && !(at->flags & OFFLOAD_IF_PARTIAL)) {
        return OFFLOAD_length; /* hardware may or may not fill it up */
    }
    why = route(ctx, xdp, plan, hop ? ways->second : ways->way, frame - ETH_HLEN, now);
    if (why < 0) {
        plan->drop = pay(&w->p, plan, ways, now) ? OFFLOAD_COUNT_MAX : OFFLOAD_limit;
        barrier();
    }
    return why;
}

/* It is on its way. */
static __always_inline __u16 count_way(struct offload_way *way, __u32 len)
{
    const __u64 before = __sync_fetch_and_add(&way->packets, 1);

    __sync_fetch_and_add(&way->bytes, len);
    return (__u16)before;
}
