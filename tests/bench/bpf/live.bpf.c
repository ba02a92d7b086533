/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A load generator in the kernel: frames that are made where they are sent, and counted and thrown
 * away where they arrive.  For kernel paths, which relay more than any socket can send.
 *
 * live_send runs in BPF_PROG_TEST_RUN with live frames, once a frame: it writes the next packet
 * into it, or gives it back when there is nothing to send.  live_at_client and live_at_peer take
 * what arrives; what is no packet of ours goes to the AF_XDP socket of the end.  All run on one
 * CPU. */
/* clang-format off */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/live_map.h"

/* clang-format on */

enum {
    SILENCE_NS = 20000000,
    LATE_NS = 5000000,
    FLOOD_LATE_NS = 50000, /* a flood is not made up for: a queue holds 256 packets */
    CLIENT_PORT = 10000,
    PEER_PORT = 20000,
};

struct live_control control;

/* Flow i of a lane: 2 * i + lane. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct live_flow);
} flows SEC(".maps");

/* Where the clients are, and the peers. */
struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, LIVE_LANES);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} ends SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, LIVE_LANES);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u32));
} sockets SEC(".maps");

static __always_inline __u16 checksum(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    const __u16 folded = (__u16)~sum;
    return folded == 0 ? 0xffff : folded; /* UDP sends no zero */
}

static __always_inline struct live_flow *flow_of(__u32 lane, __u32 i)
{
    const __u32 key = 2 * i + lane;

    return bpf_map_lookup_elem(&flows, &key);
}

static __always_inline void step(struct live_lane *lane)
{
    if (++lane->next >= control.clients) {
        lane->next = 0;
        lane->cycle_ns += lane->period_ns;
    }
}

static __always_inline bool is_due(struct live_lane *lane, const struct live_flow *flow, __u64 now)
{
    const __u64 due = lane->cycle_ns + flow->phase_ns;

    if (due > now) {
        return false;
    }
    if (due + LATE_NS < now) { /* forgiven: a burst is not what is measured */
        lane->skipped++;
        step(lane);
        return false;
    }
    return true;
}

static __always_inline bool has_room(const struct live_lane *lane)
{
    return lane->sent < lane->received + lane->given_up + lane->window;
}

/* In a window, what was lost is replaced when nothing comes any more. */
static __always_inline void watch_silence(struct live_lane *lane, __u64 now)
{
    if (lane->received != lane->seen || lane->last_ns == 0) {
        lane->seen = lane->received;
        lane->last_ns = now;
    } else if (now > lane->last_ns + SILENCE_NS) {
        lane->given_up = lane->sent - lane->received;
        lane->refills++;
        lane->last_ns = now;
    }
}

/* Write the frame's beginning.  False: the frame is not what was agreed. */
static __always_inline bool put_head(struct xdp_md *ctx, const __u64 *head)
{
    __u64 *out = (void *)(long)ctx->data;

    if ((void *)((__u8 *)out + LIVE_HEAD) > (void *)(long)ctx->data_end) {
        return false;
    }
    for (int i = 0; i < LIVE_HEAD / 8; i++) {
        out[i] = head[i];
    }
    return true;
}

static __always_inline int send_next(struct xdp_md *ctx, __u32 which, struct live_lane *lane,
                                     struct live_flow *flow, __u64 now)
{
    const __u32 stamp_at = lane->stamp_at;
    const __u32 sum_at = lane->sum_at;

    if (stamp_at > LIVE_HEAD - LIVE_STAMP || sum_at > LIVE_HEAD - 2) {
        return XDP_ABORTED;
    }
    if (lane->period_ns == 0) {
        now = flow->sent % LIVE_SAMPLE == 0 ? bpf_ktime_get_ns() : 0;
    }
    const __u32 sequence = bpf_htonl(flow->sent);
    const __u64 time = bpf_cpu_to_be64(now);
    __u8 *stamp = flow->head + stamp_at;
    *(__u32 *)(stamp + 4) = sequence;
    *(__u64 *)(stamp + 8) = time;
    *(__u16 *)(flow->head + sum_at) =
        checksum((__u64)flow->sum + sequence + (time & 0xffffffff) + (time >> 32));
    if ((lane->shrink > 0 && bpf_xdp_adjust_tail(ctx, -(int)lane->shrink) < 0) ||
        !put_head(ctx, (const __u64 *)flow->head)) {
        return XDP_ABORTED;
    }
    flow->sent++;
    lane->sent++;
    step(lane);
    return (int)bpf_redirect_map(&ends, which, XDP_DROP);
}

static __always_inline int try_lane(struct xdp_md *ctx, __u32 which, __u64 now)
{
    struct live_lane *lane = &control.lane[which & 1];

    if (!lane->on || (lane->period_ns == 0 && !has_room(lane))) {
        return -1;
    }
    struct live_flow *flow = flow_of(which, lane->next);
    if (!flow || (lane->period_ns != 0 && !is_due(lane, flow, now))) {
        return -1;
    }
    return send_next(ctx, which, lane, flow, now);
}

static __always_inline __u64 next_random(void)
{
    __u64 x = control.flood.random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    control.flood.random = x;
    return x;
}

static __always_inline bool fill_flood(struct xdp_md *ctx, const struct live_kind *kind,
                                       __u32 which)
{
    __u8 *f = (void *)(long)ctx->data;
    const __u8 *end = (void *)(long)ctx->data_end;

    /* What a frame has been used for before is still in it. */
    if (which == LIVE_JUNK && f + LIVE_HEAD <= end) {
        __builtin_memcpy(f, kind->frame, LIVE_HEAD);
    } else if (which == LIVE_BINDING && f + LIVE_BINDING_LEN <= end) {
        __builtin_memcpy(f, kind->frame, LIVE_BINDING_LEN);
    } else if (f + LIVE_ALLOCATE_LEN <= end) {
        __builtin_memcpy(f, kind->frame, LIVE_ALLOCATE_LEN);
    } else {
        return false;
    }
    return true;
}

/* From anywhere in 10.0.0.0/8, every fourth from the clients' /24. */
static __always_inline __u32 random_source(__u64 random)
{
    return bpf_htonl((random >> 24 & 3) == 0 ? control.flood.near | (__u32)(random & 0xff)
                                             : 0x0a000000U | (__u32)(random & 0xffffff));
}

static __always_inline int send_flood(struct xdp_md *ctx)
{
    struct live_flood *flood = &control.flood;
    const __u32 which = flood->next & 3;
    const struct live_kind *kind = &flood->kind[which];
    const __u64 random = next_random();
    const __u32 length = kind->length;

    flood->next = which == LIVE_ALLOCATE ? LIVE_JUNK : which + 1;
    if (control.longest > length &&
        bpf_xdp_adjust_tail(ctx, (int)length - (int)control.longest) < 0) {
        return XDP_ABORTED;
    }
    __u8 *f = (void *)(long)ctx->data;
    if (!fill_flood(ctx, kind, which) || f + LIVE_BINDING_LEN > (__u8 *)(long)ctx->data_end) {
        return XDP_ABORTED;
    }
    struct iphdr *ip = (struct iphdr *)(f + ETH_HLEN);
    struct udphdr *udp = (struct udphdr *)(ip + 1);
    const __be32 source = random_source(random);
    const __be16 port = bpf_htons((__u16)(1024 + (random >> 32 & 0x7fff)));
    const __u16 differs = (__u16)(random >> 48);
    ip->saddr = source;
    ip->check = checksum((__u64)kind->ip_sum + source);
    udp->source = port;
    udp->check = checksum((__u64)kind->sum + source + port + differs);
    /* Junk differs in its first bytes, requests in their transaction. */
    *(__u16 *)(f + (which == LIVE_JUNK ? 42 : 54)) = differs;
    flood->sent++;
    return (int)bpf_redirect_map(&ends, LIVE_UP, XDP_DROP);
}

static __always_inline bool flood_due(__u64 now)
{
    struct live_flood *flood = &control.flood;

    if (flood->period_ns == 0 || flood->due_ns > now) {
        return false;
    }
    flood->due_ns += flood->period_ns;
    if (flood->due_ns + FLOOD_LATE_NS < now) {
        flood->due_ns = now;
    }
    return true;
}

SEC("xdp")

int live_send(struct xdp_md *ctx)
{
    const __u32 first = control.turn++ & 1;
    const bool paced =
        control.lane[0].period_ns + control.lane[1].period_ns + control.flood.period_ns != 0;
    const __u64 now = paced ? bpf_ktime_get_ns() : 0;

    control.turns++;
    int verdict = try_lane(ctx, first, now);
    if (verdict < 0) {
        verdict = try_lane(ctx, first ^ 1, now);
    }
    if (verdict < 0 && flood_due(now)) {
        verdict = send_flood(ctx);
    }
    if (verdict >= 0) {
        return verdict;
    }
    control.idle++;
    if (!paced) {
        const __u64 time = bpf_ktime_get_ns();
        watch_silence(&control.lane[0], time);
        watch_silence(&control.lane[1], time);
    }
    return XDP_DROP;
}

static __always_inline void count_time(__u32 which, __u64 sent_ns)
{
    if (sent_ns != 0) {
        const __u64 now = bpf_ktime_get_ns();
        const __u64 us = now > sent_ns ? (now - sent_ns) / 1000 : 0;
        __u32 at = us < LIVE_TIMES ? (__u32)us : LIVE_TIMES - 1;
        asm volatile("%0 &= %1" : "+r"(at) : "i"(LIVE_TIMES - 1)); /* for the verifier's eyes */
        control.times[which & 1][at]++;
    }
}

static __always_inline bool take_stamp(__u32 which, __u32 i, const __u8 *stamp)
{
    struct live_flow *flow = flow_of(which, i);
    const __u32 sequence = bpf_ntohl(*(const __u32 *)(stamp + 4));

    if (!flow || i >= control.clients) {
        return false;
    }
    if (sequence >= flow->expected) {
        flow->expected = sequence + 1;
    } else {
        control.lane[which & 1].reordered++;
    }
    count_time(which, bpf_be64_to_cpu(*(const __u64 *)(stamp + 8)));
    return true;
}

/* Where the UDP head is; NULL: it is none. */
static __always_inline struct udphdr *find_udp(const __u8 *f, const __u8 *end)
{
    const struct ethhdr *eth = (const void *)f;
    const struct iphdr *ip = (const void *)(eth + 1);
    const struct ipv6hdr *ip6 = (const void *)(eth + 1);

    if ((const __u8 *)(ip6 + 1) > end) {
        return NULL;
    }
    if (eth->h_proto == bpf_htons(ETH_P_IP) && ip->ihl == 5 && ip->protocol == IPPROTO_UDP) {
        return (struct udphdr *)(ip + 1);
    }
    if (eth->h_proto == bpf_htons(ETH_P_IPV6) && ip6->nexthdr == IPPROTO_UDP) {
        return (struct udphdr *)(ip6 + 1);
    }
    return NULL;
}

static __always_inline int arrive(struct xdp_md *ctx, __u32 which, __u32 at, __u32 socket)
{
    const __u8 *end = (void *)(long)ctx->data_end;
    const struct udphdr *udp = find_udp((void *)(long)ctx->data, end);
    struct live_lane *lane = &control.lane[which];

    if (!udp) {
        return XDP_PASS;
    }
    const __u8 *payload = (const __u8 *)(udp + 1);
    if (payload + 4 + LIVE_STAMP > end || *(const __u32 *)(payload + at) != bpf_htonl(LIVE_MAGIC)) {
        control.flood.answers++;
        return (int)bpf_redirect_map(&sockets, socket, XDP_PASS);
    }
    const __u32 port = bpf_ntohs(udp->dest);
    const __u32 i = at > 0 ? (port - CLIENT_PORT) % control.total : port - PEER_PORT;
    const bool whole = bpf_ntohs(udp->len) == sizeof(*udp) + at + control.payload;
    const bool headed =
        at == 0 || *(const __u32 *)payload == bpf_htonl(control.number << 16 | control.payload);
    lane->received++;
    if (!whole || !headed || !take_stamp(which, i, payload + at)) {
        lane->damaged++;
    }
    return XDP_DROP;
}

SEC("xdp")

int live_at_client(struct xdp_md *ctx)
{
    return arrive(ctx, LIVE_DOWN, 4, 0);
}

SEC("xdp")

int live_at_peer(struct xdp_md *ctx)
{
    return arrive(ctx, LIVE_UP, 0, 1);
}

const char live_license[] SEC("license") = "Dual BSD/GPL";
