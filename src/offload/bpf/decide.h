/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is to become of a datagram of a bound channel: decided in full before anything is written,
 * so that what can't be sent on goes up as it came.
 *
 *     flow (hash) -> slot: may it? -> relay address of our own? its flow, too -> bandwidth
 *          -> route as for a packet of this host -> struct plan */
#pragma once

#include "base/bucket_rule.h"
#include "offload/bpf/kernel.h"
#include "offload/bpf/maps.h"
#include "offload/bpf/packet.h"
#include "offload/bpf/plan.h"
#include "offload/bpf/route.h"

enum {
    DECIDE_MIN_FRAME = 60,
    DECIDE_HOP = OFFLOAD_COUNT_MAX, /* not a reason: on to another relay address of this host */
    DECIDE_TRIES = 16,              /* so many CPUs never come before it one after the other */
    DECIDE_READ_MAX = 0x7fff,       /* the verifier follows offsets below 64 KiB */
};

/* How long before a deadline it is near. */
#define DECIDE_NEAR_NS 1000000000ULL

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

/* The coarse clock costs next to nothing and lags by a tick, or by several where the CPUs of a
 * virtual machine wait for their turn: near a deadline the exact one has the say. */
static __always_inline bool decide_before(__u64 until_ns, __u64 now)
{
    if (now >= until_ns) {
        return false;
    }
    return virtual_clock || until_ns - now > DECIDE_NEAR_NS || bpf_ktime_get_ns() < until_ns;
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
                      decide_before(*(volatile __u64 *)&way->until_ns, now) &&
                      (way->limit != 0 || control.max_bps == 0);
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

static __always_inline __be16 ports_of(const struct packet *p)
{
    return p->family == 4 ? p->key.v4.src_port ^ p->key.v4.dst_port
                          : p->key.v6.src_port ^ p->key.v6.dst_port;
}

/* Copy the entry that was found for `p`; false: it is not its any more.  Since Linux 6.1 the memory
 * of an entry that is deleted may be another's at once, readers or not.  The slot is read before
 * the rest: a mixture of both is then the old one's, which is over; and the ports tell whose it is.
 */
static __always_inline bool copy_flow(const struct offload_flow *flow, const struct packet *p,
                                      struct plan *plan)
{
    const __u32 slot = *(const volatile __u32 *)&flow->slot;
    const __u32 generation = *(const volatile __u32 *)&flow->generation;

    barrier();
    plan->flow = *flow;
    plan->flow.slot = slot;
    plan->flow.generation = generation;
    return plan->flow.ports == ports_of(p);
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
    if (plan->len > w->p.len || w->p.odd) {
        return OFFLOAD_length;
    }
    if (!copy_flow(flow, &w->p, plan)) {
        return OFFLOAD_unknown;
    }
    plan->came = plan->flow.way;
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
    if (!copy_flow(next, hop, plan)) {
        return OFFLOAD_route;
    }
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

static __always_inline __u32 head_of(const struct plan *plan)
{
    return (plan->flow.family == 4 ? PACKET_HEAD4 : PACKET_HEAD6) +
           (plan->number ? PACKET_CHANNEL_HEAD : 0);
}

/* The checksum that it leaves with; -1, or why it has to go up. */
static __always_inline int judge_check(const struct packet *p, const struct offload_if *at,
                                       struct plan *plan)
{
    if (p->check == 0) {
        /* From IPv4 to IPv4 there may be none (RFC 768); over IPv6 there must be one. */
        plan->check = 0;
        return p->family == 4 && plan->flow.family == 4 ? -1 : OFFLOAD_checksum;
    }
    if ((at->flags & OFFLOAD_IF_PARTIAL) && packet_is_partial(p)) {
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
    why = judge_check(&w->p, at, plan);
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
