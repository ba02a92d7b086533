/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel path: forwards the packets of bound channels between clients and peers (RFC 8656
 * section 12) without user space; everything else, and whatever cannot be sent on as it has to be,
 * passes unmodified.
 *
 *     forward_xdp    at the driver (native) or before the stack (generic)
 *     forward_tc     behind the driver, where every interface is served
 *
 *     packet.h  a frame, taken apart     decide.h  what becomes of it     route.h  by which way
 *     emit.h    new headers
 *     maps.h    the tables               shield.h  strangers */
#include "offload/bpf/decide.h"
#include "offload/bpf/emit.h"
#include "offload/bpf/kernel.h"
#include "offload/bpf/maps.h"
#include "offload/bpf/packet.h"
#include "offload/bpf/shield.h"

enum {
    NEXT = -1,       /* TCX_NEXT: to the stack, by way of other programs */
    PACKET_HOST = 0, /* a frame to this interface */
    PULL = PACKET_HEAD6 + PACKET_CHANNEL_HEAD,
};

static __always_inline void tell(__u32 what)
{
    const __u32 only = 0;
    struct offload_counts *mine = bpf_map_lookup_elem(&counts, &only);

    if (mine && what < OFFLOAD_COUNT_MAX) {
        mine->of[what]++;
    }
}

static __always_inline void tell_forwarded(const struct plan *plan, bool hop)
{
    const __u32 only = 0;
    struct offload_counts *mine = bpf_map_lookup_elem(&counts, &only);

    if (!mine) {
        return;
    }
    if (hop) {
        mine->of[OFFLOAD_forwarded_relay_to_relay]++;
    } else {
        mine->of[plan->number ? OFFLOAD_forwarded_to_client : OFFLOAD_forwarded_to_peer]++;
    }
    mine->of[OFFLOAD_forwarded_bytes] += plan->len;
}

/* Count it where its channels look.  Returns an IPv4 identification. */
static __always_inline __be16 account(const struct plan *plan, const struct ways *ways)
{
    const __u16 id = count_way(ways->way, plan->len);

    if (ways->second) {
        (void)count_way(ways->second, plan->len);
    }
    tell_forwarded(plan, ways->second != NULL);
    return bpf_htons(id);
}

static __always_inline struct work *work_of_cpu(void)
{
    const __u32 only = 0;

    return bpf_map_lookup_elem(&scratch, &only);
}

/* It belongs to no channel. */
static __noinline int stranger_xdp(struct xdp_md *ctx)
{
    __u32 why = OFFLOAD_unknown;
    const int action = shield_xdp(ctx, &why);

    tell(why);
    return action;
}

static __noinline int stranger_tc(struct __sk_buff *skb, __u32 why)
{
    const int action = shield_tc(skb, &why);

    tell(why);
    return action;
}

/* Once more from its first byte on, as one that goes on to another relay address of this host. */
static int hop_xdp(struct xdp_md *ctx);
static int hop_tc(struct __sk_buff *skb);

static __always_inline int do_xdp(struct xdp_md *ctx, bool hop)
{
    void *data = (void *)(long)ctx->data;
    void *data_end = (void *)(long)ctx->data_end;
    const __u32 in = ctx->ingress_ifindex;
    const struct offload_if *at = bpf_map_lookup_elem(&interfaces, &in);
    struct work *w = work_of_cpu();
    struct ways ways = {0};

    if (!at || !w || data + ETH_HLEN > data_end || !packet_is_ours(data, at)) {
        tell(OFFLOAD_not_for_us);
        return XDP_PASS;
    }
    int why = packet_parse(data, data_end, (__u32)(data_end - data), &w->p);
    if (why < 0) {
        why = decide(ctx, true, hop, data, data_end, w, at, &ways);
    }
    if (!hop && why == DECIDE_HOP) {
        return hop_xdp(ctx);
    }
    if (!hop && why == OFFLOAD_unknown && control.shield) {
        return stranger_xdp(ctx);
    }
    if (why >= 0) {
        tell((__u32)why);
        return XDP_PASS;
    }
    if (w->plan.drop != OFFLOAD_COUNT_MAX) {
        tell(w->plan.drop);
        return XDP_DROP;
    }
    if (w->plan.shorter != 0 && bpf_xdp_adjust_head(ctx, w->plan.shorter) < 0) {
        tell(OFFLOAD_room);
        return XDP_PASS;
    }
    data = (void *)(long)ctx->data;
    data_end = (void *)(long)ctx->data_end;
    if (!emit(data, data_end, &w->plan, account(&w->plan, &ways))) {
        tell(OFFLOAD_lost);
        return XDP_DROP;
    }
    /* A virtual pair loses what is sent by XDP_TX unless a program runs at its far end. */
    return w->plan.ifindex == in && !(at->flags & OFFLOAD_IF_PARTIAL)
               ? XDP_TX
               : (int)bpf_redirect(w->plan.ifindex, 0);
}

static __noinline int hop_xdp(struct xdp_md *ctx)
{
    return do_xdp(ctx, true);
}

int forward_xdp(struct xdp_md *ctx) SEC("xdp");

int forward_xdp(struct xdp_md *ctx)
{
    return do_xdp(ctx, false);
}

/* Give the frame the size of its new headers.  0; 1: failed, and it is as it was; -1: halfway. */
static __always_inline int resize(struct __sk_buff *skb, const struct packet *p,
                                  const struct plan *plan)
{
    __s32 shorter = plan->shorter;
    bool changed = false;

    if (p->family != plan->flow.family) {
        const bool to4 = plan->flow.family == 4;
        if (bpf_skb_change_proto(skb, bpf_htons(to4 ? ETH_P_IP : ETH_P_IPV6), 0) < 0) {
            return 1;
        }
        shorter += to4 ? PACKET_HEAD4 - PACKET_HEAD6 : PACKET_HEAD6 - PACKET_HEAD4;
        changed = true;
    }
    if (shorter != 0 && bpf_skb_adjust_room(skb, -shorter, BPF_ADJ_ROOM_MAC, 0) < 0) {
        return changed ? -1 : 1;
    }
    return 0;
}

/* Everything that a look at the buffer tells before its bytes do. */
static __always_inline int is_usual(const struct __sk_buff *skb)
{
    if (skb->pkt_type != PACKET_HOST || skb->vlan_present) {
        return OFFLOAD_not_for_us;
    }
    return skb->gso_size != 0 ? OFFLOAD_burst : -1;
}

static __always_inline int do_tc(struct __sk_buff *skb, bool hop)
{
    const __u32 in = skb->ifindex;
    const struct offload_if *at = bpf_map_lookup_elem(&interfaces, &in);
    struct work *w = work_of_cpu();
    struct ways ways = {0};

    int why = at && w ? is_usual(skb) : OFFLOAD_not_for_us;
    if (why == OFFLOAD_burst && control.shield) {
        return stranger_tc(skb, OFFLOAD_burst);
    }
    if (why >= 0 || !at || !w) {
        tell((__u32)why);
        return NEXT;
    }
    void *data = (void *)(long)skb->data;
    void *data_end = (void *)(long)skb->data_end;
    if (data + PULL > data_end && data + skb->len > data_end) { /* some of it lies elsewhere */
        (void)bpf_skb_pull_data(skb, skb->len < PULL ? skb->len : PULL);
        data = (void *)(long)skb->data;
        data_end = (void *)(long)skb->data_end;
    }
    why = packet_parse(data, data_end, skb->len, &w->p);
    if (why < 0) {
        why = decide(skb, false, hop, data, data_end, w, at, &ways);
    }
    if (!hop && why == DECIDE_HOP) {
        return hop_tc(skb);
    }
    if (!hop && why == OFFLOAD_unknown && control.shield) {
        return stranger_tc(skb, OFFLOAD_unknown);
    }
    if (why >= 0) {
        tell((__u32)why);
        return NEXT;
    }
    if (w->plan.drop != OFFLOAD_COUNT_MAX) {
        tell(w->plan.drop);
        return TC_ACT_SHOT;
    }
    const int resized = resize(skb, &w->p, &w->plan);
    if (resized > 0) {
        tell(OFFLOAD_room);
        return NEXT;
    }
    data = (void *)(long)skb->data;
    data_end = (void *)(long)skb->data_end;
    if (resized < 0 || !emit(data, data_end, &w->plan, account(&w->plan, &ways))) {
        tell(OFFLOAD_lost);
        return TC_ACT_SHOT;
    }
    skb->mark = 0;
    return (int)bpf_redirect(w->plan.ifindex, 0);
}

static __noinline int hop_tc(struct __sk_buff *skb)
{
    return do_tc(skb, true);
}

int forward_tc(struct __sk_buff *skb) SEC("tc");

int forward_tc(struct __sk_buff *skb)
{
    return do_tc(skb, false);
}

const char forward_license[] SEC("license") = "Dual BSD/GPL";
