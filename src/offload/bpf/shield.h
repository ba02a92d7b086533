/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The flood shield: judges a datagram to a listener that belongs to no channel (offload/shield.h).
 *
 *     what user space drops, whoever sends it: dropped
 *     Binding without attributes: answered in place, as often as its prefix may ask
 *     live client? ----- yes: up, always; nobody can lock it out
 *     STUN request or DTLS record? ----- no: dropped
 *     bucket of its /24 or /48, for its kind ----- empty: dropped
 *     bucket of all strangers, for its kind ----- empty: dropped, unless it asks once more
 *     up
 *
 * Source addresses of strangers may be forged, so no record is kept of them: buckets are found by a
 * keyed hash in a table of fixed size. */
#pragma once

#include "offload/bpf/decide.h"
#include "offload/bpf/shield_limit.h"
#include "offload/bpf/shield_parse.h"
#include "offload/bpf/shield_reply.h"
#include "offload/bpf/shield_tables.h"

enum shield_verdict { SHIELD_UP, SHIELD_DROP, SHIELD_ANSWER };

/* One datagram's; too much for the stack, which the verifier bounds. */
struct shield_work {
    struct packet p;
    struct shield_reply reply;
    struct offload_client ends;
    struct shield_at at;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct shield_work);
} shield_scratch SEC(".maps");

/* --- the judgement -------------------------------------------------------------------------------
 */

/* Canonical addresses of both ends, as base/net_addr.h has them. */
static __always_inline void shield_ends(const struct packet *p, struct offload_client *out)
{
    if (p->family == 4) {
        __be32 *client = (__be32 *)out->client_ip;
        __be32 *server = (__be32 *)out->server_ip;
        client[0] = client[1] = server[0] = server[1] = 0;
        client[2] = server[2] = bpf_htonl(0xffff);
        client[3] = p->key.v4.src;
        server[3] = p->key.v4.dst;
        out->client_port = p->key.v4.src_port;
        out->server_port = p->key.v4.dst_port;
    } else {
        __builtin_memcpy(out->client_ip, p->key.v6.src, 16);
        __builtin_memcpy(out->server_ip, p->key.v6.dst, 16);
        out->client_port = p->key.v6.src_port;
        out->server_port = p->key.v6.dst_port;
    }
}

/* What the listener takes that it is for; 0: it is for no listener. */
static __always_inline __u32 shield_takes(struct shield_work *work)
{
    __builtin_memcpy(work->at.ip, work->ends.server_ip, 16);
    work->at.port = work->ends.server_port;
    work->at.zero = 0;
    const __u32 *take = bpf_map_lookup_elem(&listeners, &work->at);
    return take ? *take : 0;
}

/* A request without attributes, and all that an answer is made of. */
static __always_inline bool shield_may_answer(void *data, void *data_end, __u32 packets,
                                              struct shield_work *work)
{
    return packets == 1 && work->p.len == SHIELD_STUN_HEAD &&
           shield_rules.answer < SHIELD_ANSWERS && shield_source_is_host(&work->p) &&
           shield_reply_plan(data, data_end, &work->p, &work->reply);
}

/* A stranger asks for something: whether it is within the limits, or `*why` not.  Where all are at
 * their limit, each more costs little. */
static __always_inline bool shield_allows(void *data, void *data_end, const struct packet *p,
                                          __u32 kind, __u32 packets, __u32 *why)
{
    const __u64 now = decide_now();

    *why = OFFLOAD_shield_total;
    if (!shield_has_room(kind, now)) {
        return shield_asked_again(data, data_end, p, kind, packets, now);
    }
    *why = OFFLOAD_shield_prefix;
    if (!shield_prefix_allows(p, kind, packets, now)) {
        return false;
    }
    *why = OFFLOAD_shield_total;
    return shield_all_allow(kind, packets, now) ||
           shield_asked_again(data, data_end, p, kind, packets, now);
}

/* Judge the `packets` datagrams of work->p (more than one: merged by the stack; the first is looked
 * at).  `*why`: what to count. */
static __always_inline enum shield_verdict shield_judge(void *data, void *data_end, __u32 packets,
                                                        struct shield_work *work, __u32 *why)
{
    const struct packet *p = &work->p;
    bool exhausted = false;

    shield_ends(p, &work->ends);
    const __u32 takes = shield_takes(work);
    if (takes == 0) {
        return SHIELD_UP;
    }
    *why = OFFLOAD_shield_junk;
    const __u32 kind = shield_kind(data, data_end, p, takes);
    if (kind == SHIELD_OF_NOBODY && packets == 1) { /* of a burst only the first is; see on */
        return SHIELD_DROP;
    }
    /* Whoever asks: the answer is the same for all. */
    if (kind == SHIELD_BINDING && shield_may_answer(data, data_end, packets, work)) {
        *why = OFFLOAD_shield_binding;
        if (shield_prefix_allows(p, kind, packets, decide_now())) {
            return SHIELD_ANSWER;
        }
        exhausted = true;
    }
    if (bpf_map_lookup_elem(&clients, &work->ends)) {
        *why = OFFLOAD_shield_passed_client;
        return SHIELD_UP;
    }
    if (exhausted) {
        *why = OFFLOAD_shield_prefix;
        return SHIELD_DROP;
    }
    if (kind >= SHIELD_KINDS || !shield_allows(data, data_end, p, kind, packets, why)) {
        return SHIELD_DROP;
    }
    *why = OFFLOAD_shield_passed;
    return SHIELD_UP;
}

/* --- the two programs ----------------------------------------------------------------------------
 */

static __always_inline struct shield_work *shield_work_of_cpu(void)
{
    const __u32 only = 0;

    return bpf_map_lookup_elem(&shield_scratch, &only);
}

/* Back to where it came from.  A virtual pair loses what is sent by XDP_TX without a word when
 * nothing but NAPI runs at its far end. */
static __always_inline int shield_turn_back(const struct xdp_md *ctx)
{
    const __u32 in = ctx->ingress_ifindex;
    const struct offload_if *at = bpf_map_lookup_elem(&interfaces, &in);

    return at && (at->flags & OFFLOAD_IF_PARTIAL) ? (int)bpf_redirect(in, 0) : XDP_TX;
}

/* Judge a datagram that is no flow's, once more from its first byte on: so the verifier follows
 * this once, not once for each way here.  Returns the action; `*why`, what to count, stays when it
 * is for no listener. */
static __noinline int shield_xdp(struct xdp_md *ctx, __u32 *why)
{
    void *data = (void *)(long)ctx->data;
    void *data_end = (void *)(long)ctx->data_end;
    struct shield_work *work = shield_work_of_cpu();
    __s64 frame = data_end - data;

    barrier_var(frame); /* pointers are subtracted in 64 bits, or the verifier objects */
    if (!work || packet_parse(data, data_end, (__u32)frame, &work->p) >= 0) {
        return XDP_PASS;
    }
    const enum shield_verdict verdict = shield_judge(data, data_end, 1, work, why);
    if (verdict != SHIELD_ANSWER) {
        return verdict == SHIELD_UP ? XDP_PASS : XDP_DROP;
    }
    const __u32 answer = shield_reply_frame(&work->p, &work->reply);
    if (bpf_xdp_adjust_head(ctx, (int)frame - (int)answer) < 0) {
        *why = OFFLOAD_room;
        return XDP_PASS;
    }
    data = (void *)(long)ctx->data;
    data_end = (void *)(long)ctx->data_end;
    if (!shield_reply_write(data, data_end, &work->p, &work->reply)) {
        *why = OFFLOAD_lost;
        return XDP_DROP;
    }
    return shield_turn_back(ctx);
}

enum {
    SHIELD_NEXT = -1,       /* TCX_NEXT */
    SHIELD_PULL_MAX = 2048, /* what is longer is judged by its beginning */
};

/* How many datagrams have been merged in the buffer, and then the length of each. */
static __always_inline __u32 shield_merged(const struct __sk_buff *skb, struct packet *p)
{
    if (skb->gso_size == 0 || skb->gso_segs <= 1) {
        return 1;
    }
    p->len = skb->gso_size;
    return skb->gso_segs;
}

/* The same behind the driver. */
static __noinline int shield_tc(struct __sk_buff *skb, __u32 *why)
{
    struct shield_work *work = shield_work_of_cpu();
    void *data = (void *)(long)skb->data;
    void *data_end = (void *)(long)skb->data_end;

    if (data + skb->len > data_end) { /* some of it lies elsewhere */
        (void)bpf_skb_pull_data(skb, skb->len < SHIELD_PULL_MAX ? skb->len : SHIELD_PULL_MAX);
        data = (void *)(long)skb->data;
        data_end = (void *)(long)skb->data_end;
    }
    if (!work || packet_parse(data, data_end, skb->len, &work->p) >= 0) {
        return SHIELD_NEXT;
    }
    const __u32 packets = shield_merged(skb, &work->p);
    const enum shield_verdict verdict = shield_judge(data, data_end, packets, work, why);
    if (verdict != SHIELD_ANSWER) {
        return verdict == SHIELD_UP ? SHIELD_NEXT : TC_ACT_SHOT;
    }
    const __u32 answer = shield_reply_frame(&work->p, &work->reply);
    if (bpf_skb_change_tail(skb, answer, 0) < 0) {
        *why = OFFLOAD_room;
        return SHIELD_NEXT;
    }
    (void)bpf_skb_pull_data(skb, answer);
    data = (void *)(long)skb->data;
    data_end = (void *)(long)skb->data_end;
    if (!shield_reply_write(data, data_end, &work->p, &work->reply)) {
        *why = OFFLOAD_lost;
        return TC_ACT_SHOT;
    }
    skb->mark = 0;
    return (int)bpf_redirect(skb->ifindex, 0);
}
