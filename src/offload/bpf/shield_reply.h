/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A Binding request without attributes becomes its own answer (RFC 8489 section 6.3.3): the same
 * frame, turned round, with XOR-MAPPED-ADDRESS and what user space would say besides.
 *
 * It goes back to the link address that it came from: whatever source address it claims, it is sent
 * nowhere else. */
#pragma once

#include "offload/bpf/packet.h"
#include "offload/bpf/shield_parse.h"
#include "offload/bpf/shield_tables.h"

enum {
    SHIELD_TYPE_BINDING_SUCCESS = 0x0101,
    SHIELD_ATTR_XOR_MAPPED_ADDRESS = 0x0020,
    SHIELD_ATTR_HEAD = 4,
    SHIELD_ADDRESS4 = 8, /* bytes of its value */
    SHIELD_ADDRESS6 = 20,
    SHIELD_FAMILY4 = 1,
    SHIELD_FAMILY6 = 2,
    SHIELD_TTL = 64,
    SHIELD_DONT_FRAGMENT = 0x4000,
};

/* All of a request that its answer needs: it is written over. */
struct shield_reply {
    __u8 mac[2 * ETH_ALEN]; /* to, from: as it came */
    __be32 tid[3];
    __u32 sum; /* of the 16-bit words of what stays: addresses, ports, cookie, ID */
    __u32 answer;
    __u32 answer_words;
};

static __always_inline __u32 shield_address_len(const struct packet *p)
{
    return p->family == 4 ? SHIELD_ADDRESS4 : SHIELD_ADDRESS6;
}

/* Bytes of attributes. */
static __always_inline __u32 shield_reply_body(const struct packet *p,
                                               const struct shield_reply *reply)
{
    return SHIELD_ATTR_HEAD + shield_address_len(p) + 4 * reply->answer_words;
}

static __always_inline __u32 shield_reply_frame(const struct packet *p,
                                                const struct shield_reply *reply)
{
    return packet_head(p) + SHIELD_STUN_HEAD + shield_reply_body(p, reply);
}

/* Can it be answered at all: not a source that the stack would refuse (RFC 1122 section 3.2.1.3),
 * nor one that user space serves nothing (RFC 8656 section 21.4: Teredo, 6to4). */
static __always_inline bool shield_source_is_host(const struct packet *p)
{
    if (p->family == 4) {
        const __u32 src = bpf_ntohl(p->key.v4.src);
        const __u32 net = src >> 24;
        return net != 0 && net != 127 && net < 224 && p->key.v4.src_port != 0 &&
               p->key.v4.src != p->key.v4.dst;
    }
    const __be32 *src = (const __be32 *)p->key.v6.src;
    return p->key.v6.src[0] != 0 && p->key.v6.src[0] != 0xff && p->key.v6.src_port != 0 &&
           src[0] != bpf_htonl(0x20010000) &&
           (src[0] & bpf_htonl(0xffff0000)) != bpf_htonl(0x20020000);
}

static __always_inline __u64 shield_sum_addresses(const struct packet *p)
{
    __u64 sum;

    if (p->family == 4) {
        sum = (__u64)p->key.v4.src + p->key.v4.dst + p->key.v4.src_port + p->key.v4.dst_port;
    } else {
        const __u32 *a = (const __u32 *)p->key.v6.src; /* and dst behind it */
        sum = (__u64)a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
        sum += (__u64)p->key.v6.src_port + p->key.v6.dst_port;
    }
    return sum + bpf_htons(IPPROTO_UDP);
}

/* Is the checksum of the request right, whose words that stay make `sum`?  One that a sender on
 * this host has left to hardware is not, and goes up. */
static __always_inline bool shield_check_holds(const struct packet *p, __u32 sum)
{
    const __be16 len = bpf_htons(SHIELD_STUN_HEAD + sizeof(struct udphdr));

    if (p->check == 0) {
        return p->family == 4;
    }
    return packet_fold(sum + 2U * len + p->check + bpf_htons(SHIELD_TYPE_BINDING)) == 0xffff;
}

/* Take from the request at data what its answer needs.  False: the stack has to see it. */
static __always_inline bool shield_reply_plan(void *data, void *data_end, const struct packet *p,
                                              struct shield_reply *reply)
{
    const struct shield_stun *stun = data + packet_head(p);
    const __u32 which = shield_rules.answer % SHIELD_ANSWERS;
    const struct shield_answer *answer = &shield_rules.answers[which];

    if ((void *)(stun + 1) > data_end) {
        return false;
    }
    __builtin_memcpy(reply->mac, data, sizeof(reply->mac));
    reply->tid[0] = stun->tid[0];
    reply->tid[1] = stun->tid[1];
    reply->tid[2] = stun->tid[2];
    reply->sum = packet_add64(shield_sum_addresses(p) + stun->cookie + stun->tid[0] +
                              (__u64)stun->tid[1] + stun->tid[2]);
    reply->answer = which;
    reply->answer_words = answer->words;
    return reply->answer_words <= SHIELD_ANSWER_WORDS && shield_check_holds(p, reply->sum);
}

/* --- writing -------------------------------------------------------------------------------------
 */

static __always_inline void shield_write_ip4(struct iphdr *ip, const struct packet *p, __u16 len)
{
    ip->version = 4;
    ip->ihl = 5;
    ip->tos = 0;
    ip->tot_len = bpf_htons((__u16)(sizeof(*ip) + len));
    ip->id = 0; /* RFC 6864: none is needed with "don't fragment" */
    ip->frag_off = bpf_htons(SHIELD_DONT_FRAGMENT);
    ip->ttl = SHIELD_TTL;
    ip->protocol = IPPROTO_UDP;
    ip->check = 0;
    ip->saddr = p->key.v4.dst;
    ip->daddr = p->key.v4.src;
    const __u32 *w = (const __u32 *)ip;
    ip->check = (__u16)~packet_fold(packet_add64((__u64)w[0] + w[1] + w[2] + w[3] + w[4]));
}

static __always_inline void shield_write_ip6(struct ipv6hdr *ip, const struct packet *p, __u16 len)
{
    *(__be32 *)ip = bpf_htonl(6U << 28);
    ip->payload_len = bpf_htons(len);
    ip->nexthdr = IPPROTO_UDP;
    ip->hop_limit = SHIELD_TTL;
    __builtin_memcpy(&ip->saddr, p->key.v6.dst, 16);
    __builtin_memcpy(&ip->daddr, p->key.v6.src, 16);
}

/* XOR-MAPPED-ADDRESS (RFC 8489 section 14.2) of a client over IPv4, and the folded sum of it. */
static __always_inline __u32 shield_write_address4(__be32 *attr, const struct packet *p)
{
    attr[0] = bpf_htonl(SHIELD_ATTR_XOR_MAPPED_ADDRESS << 16 | SHIELD_ADDRESS4);
    attr[1] =
        bpf_htonl(SHIELD_FAMILY4 << 16 | (bpf_ntohs(p->key.v4.src_port) ^ SHIELD_COOKIE >> 16));
    attr[2] = p->key.v4.src ^ bpf_htonl(SHIELD_COOKIE);
    return packet_add64((__u64)attr[0] + attr[1] + attr[2]);
}

static __always_inline __u32 shield_write_address6(__be32 *attr, const struct packet *p,
                                                   const struct shield_reply *reply)
{
    const __be32 *src = (const __be32 *)p->key.v6.src;

    attr[0] = bpf_htonl(SHIELD_ATTR_XOR_MAPPED_ADDRESS << 16 | SHIELD_ADDRESS6);
    attr[1] =
        bpf_htonl(SHIELD_FAMILY6 << 16 | (bpf_ntohs(p->key.v6.src_port) ^ SHIELD_COOKIE >> 16));
    attr[2] = src[0] ^ bpf_htonl(SHIELD_COOKIE);
    attr[3] = src[1] ^ reply->tid[0];
    attr[4] = src[2] ^ reply->tid[1];
    attr[5] = src[3] ^ reply->tid[2];
    return packet_add64((__u64)attr[0] + attr[1] + attr[2] + attr[3] + attr[4] + attr[5]);
}

/* Write UDP and STUN headers; `sum` is that of the attributes. */
static __always_inline void shield_write_heads(struct udphdr *udp, const struct packet *p,
                                               const struct shield_reply *reply, __u32 sum)
{
    struct shield_stun *stun = (void *)(udp + 1);
    const __u32 body = shield_reply_body(p, reply);

    udp->source = p->family == 4 ? p->key.v4.dst_port : p->key.v6.dst_port;
    udp->dest = p->family == 4 ? p->key.v4.src_port : p->key.v6.src_port;
    udp->len = bpf_htons((__u16)(sizeof(*udp) + sizeof(*stun) + body));
    stun->type = bpf_htons(SHIELD_TYPE_BINDING_SUCCESS);
    stun->len = bpf_htons((__u16)body);
    stun->cookie = bpf_htonl(SHIELD_COOKIE);
    stun->tid[0] = reply->tid[0];
    stun->tid[1] = reply->tid[1];
    stun->tid[2] = reply->tid[2];
    sum += reply->sum + 2U * udp->len + stun->type + stun->len;
    const __u16 check = (__u16)~packet_fold(sum);
    udp->check = check != 0 ? check : 0xffff;
}

/* What comes behind the address, at `to`, and then the headers. */
static __always_inline bool shield_write_rest(struct udphdr *udp, __u32 *to, void *data_end,
                                              const struct packet *p,
                                              const struct shield_reply *reply, __u32 sum)
{
    const struct shield_answer *answer = &shield_rules.answers[reply->answer % SHIELD_ANSWERS];

    for (__u32 i = 0; i < SHIELD_ANSWER_WORDS && i < reply->answer_words; i++) {
        if ((void *)(to + i + 1) > data_end) {
            return false;
        }
        to[i] = answer->data[i];
    }
    shield_write_heads(udp, p, reply, sum + answer->sum);
    return true;
}

static __always_inline bool shield_write4(void *data, void *data_end, const struct packet *p,
                                          const struct shield_reply *reply)
{
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct udphdr *udp = (void *)(ip + 1);
    __be32 *attr = (void *)(udp + 1) + sizeof(struct shield_stun);
    __be32 *rest = attr + 3;

    if ((void *)rest > data_end) {
        return false;
    }
    eth->h_proto = bpf_htons(ETH_P_IP);
    shield_write_ip4(ip, p, (__u16)(sizeof(*udp) + SHIELD_STUN_HEAD + shield_reply_body(p, reply)));
    return shield_write_rest(udp, rest, data_end, p, reply, shield_write_address4(attr, p));
}

static __always_inline bool shield_write6(void *data, void *data_end, const struct packet *p,
                                          const struct shield_reply *reply)
{
    struct ethhdr *eth = data;
    struct ipv6hdr *ip = (void *)(eth + 1);
    struct udphdr *udp = (void *)(ip + 1);
    __be32 *attr = (void *)(udp + 1) + sizeof(struct shield_stun);
    __be32 *rest = attr + 6;

    if ((void *)rest > data_end) {
        return false;
    }
    eth->h_proto = bpf_htons(ETH_P_IPV6);
    shield_write_ip6(ip, p, (__u16)(sizeof(*udp) + SHIELD_STUN_HEAD + shield_reply_body(p, reply)));
    return shield_write_rest(udp, rest, data_end, p, reply, shield_write_address6(attr, p, reply));
}

/* Write the answer to the frame, which has got shield_reply_frame() bytes.  False: it has not. */
static __always_inline bool shield_reply_write(void *data, void *data_end, const struct packet *p,
                                               const struct shield_reply *reply)
{
    struct ethhdr *eth = data;

    if ((void *)(eth + 1) > data_end) {
        return false;
    }
    __builtin_memcpy(eth->h_dest, reply->mac + ETH_ALEN, ETH_ALEN);
    __builtin_memcpy(eth->h_source, reply->mac, ETH_ALEN);
    return p->family == 4 ? shield_write4(data, data_end, p, reply)
                          : shield_write6(data, data_end, p, reply);
}
