/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One UDP datagram in a frame, taken apart.  Nothing is written here. */
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "offload/bpf/kernel.h"
#include "offload/flow_map.h"

enum {
    PACKET_HEAD4 = ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr),
    PACKET_HEAD6 = ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr),
    PACKET_CHANNEL_HEAD = 4,
    PACKET_FRAGMENT = 0x3fff, /* "more fragments" and the offset */
};

struct packet {
    union {
        struct offload_key4 v4;
        struct offload_key6 v6;
    } key; /* as it came, `number` 0 */

    __u32 family; /* 4 or 6 */
    __u32 len;    /* of the payload */
    __u16 check;  /* UDP checksum, as it lies */
    __u8 tos;
    __u8 ttl;
    bool odd; /* there is more behind it, or it does not say how long it is */
};

/* Where its payload begins. */
static __always_inline __u32 packet_head(const struct packet *p)
{
    return p->family == 4 ? PACKET_HEAD4 : PACKET_HEAD6;
}

/* Sum of 16-bit words, folded to one (RFC 1071). */
static __always_inline __u16 packet_fold(__u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16)sum;
}

static __always_inline __u32 packet_add64(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    return (__u32)sum;
}

/* The header's own words and nothing else make 0xffff. */
static __always_inline bool packet_ip_check(const struct iphdr *ip)
{
    const __u32 *w = (const __u32 *)ip;

    return packet_fold(packet_add64((__u64)w[0] + w[1] + w[2] + w[3] + w[4])) == 0xffff;
}

/* A sender on this host may leave the checksum to hardware that isn't there: the field then holds
 * the sum of the pseudo header.  One real checksum in 65,536 looks like that, too.
 * Not static: the verifier follows such a function once, and not once for every way to it. */
__noinline int packet_is_partial(const struct packet *p)
{
    if (!p) {
        return 0;
    }
    __u64 sum = bpf_htons((__u16)(p->len + sizeof(struct udphdr)));

    sum += bpf_htons(IPPROTO_UDP);
    if (p->family == 4) {
        sum += (__u64)p->key.v4.src + p->key.v4.dst;
    } else {
        const __u32 *a = (const __u32 *)p->key.v6.src; /* and dst behind it */
        sum += (__u64)a[0] + a[1] + a[2] + a[3];
        sum += (__u64)a[4] + a[5] + a[6] + a[7];
    }
    return packet_fold(packet_add64(sum)) == p->check;
}

/* -1, or why it has to go up.  What the stack takes is taken, so that strangers are judged by it:
 * it cuts off what is behind a datagram, and over IPv6 a length of 0 is all there is (RFC 2675). */
static __always_inline int packet_parse_udp(const struct udphdr *udp, __u32 ip_payload,
                                            struct packet *p)
{
    __u32 len = bpf_ntohs(udp->len);

    p->odd = len != ip_payload;
    len = len == 0 && p->family == 6 ? ip_payload : len;
    if (len > ip_payload || len < sizeof(*udp)) {
        return OFFLOAD_length;
    }
    p->len = len - sizeof(*udp);
    p->check = udp->check;
    return -1;
}

static __always_inline int packet_parse4(void *data, void *data_end, __u32 frame_len,
                                         struct packet *p)
{
    const struct iphdr *ip = data + ETH_HLEN;
    const struct udphdr *udp = (const void *)(ip + 1);

    if ((void *)(udp + 1) > data_end) {
        return OFFLOAD_not_for_us;
    }
    if (ip->protocol != IPPROTO_UDP || ip->version != 4) {
        return OFFLOAD_not_for_us;
    }
    if (ip->ihl != 5 || (ip->frag_off & bpf_htons(PACKET_FRAGMENT)) != 0) {
        return OFFLOAD_ip_options;
    }
    const __u32 total = bpf_ntohs(ip->tot_len);
    if (total > frame_len - ETH_HLEN || total < sizeof(*ip) + sizeof(*udp)) {
        return OFFLOAD_length;
    }
    p->family = 4;
    p->key.v4.src = ip->saddr;
    p->key.v4.dst = ip->daddr;
    p->key.v4.src_port = udp->source;
    p->key.v4.dst_port = udp->dest;
    p->key.v4.number = 0;
    p->key.v4.zero = 0;
    p->tos = ip->tos;
    p->ttl = ip->ttl;
    if (!packet_ip_check(ip)) {
        return OFFLOAD_ip_options;
    }
    return packet_parse_udp(udp, total - sizeof(*ip), p);
}

static __always_inline int packet_parse6(void *data, void *data_end, __u32 frame_len,
                                         struct packet *p)
{
    const struct ipv6hdr *ip = data + ETH_HLEN;
    const struct udphdr *udp = (const void *)(ip + 1);

    if ((void *)(udp + 1) > data_end) {
        return OFFLOAD_not_for_us;
    }
    if (ip->nexthdr != IPPROTO_UDP || ip->version != 6) { /* extension headers, too */
        return OFFLOAD_not_for_us;
    }
    const __u32 payload = bpf_ntohs(ip->payload_len);
    if (payload > frame_len - ETH_HLEN - sizeof(*ip)) {
        return OFFLOAD_length;
    }
    p->family = 6;
    __builtin_memcpy(p->key.v6.src, &ip->saddr, 16);
    __builtin_memcpy(p->key.v6.dst, &ip->daddr, 16);
    p->key.v6.src_port = udp->source;
    p->key.v6.dst_port = udp->dest;
    p->key.v6.number = 0;
    p->key.v6.zero = 0;
    p->tos = (__u8)((ip->priority << 4) | (ip->flow_lbl[0] >> 4));
    p->ttl = ip->hop_limit;
    return packet_parse_udp(udp, payload, p);
}

/* Take apart the frame of `frame_len` bytes (at least ETH_HLEN), of which [data, data_end) can be
 * read.  -1 with all of `p`, or an enum offload_count: why it has to go up. */
static __always_inline int packet_parse(void *data, void *data_end, __u32 frame_len,
                                        struct packet *p)
{
    const struct ethhdr *eth = data;

    if ((void *)(eth + 1) > data_end) {
        return OFFLOAD_not_for_us;
    }
    if (eth->h_proto == bpf_htons(ETH_P_IP)) {
        return packet_parse4(data, data_end, frame_len, p);
    }
    if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
        return packet_parse6(data, data_end, frame_len, p);
    }
    return OFFLOAD_not_for_us;
}

/* Is the frame sent to this interface itself? */
static __always_inline bool packet_is_ours(const struct ethhdr *eth, const struct offload_if *at)
{
    const __u16 *a = (const __u16 *)eth->h_dest;
    const __u16 *b = (const __u16 *)at->mac;

    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}
