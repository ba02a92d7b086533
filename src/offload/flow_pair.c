/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/flow_pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/net_addr.h"
#include "offload/flow.h"

/* RFC 8656 section 12; user space has the narrower limits of its option. */
enum { NUMBER_FIRST = 0x4000, NUMBER_LAST = 0x7fff };

/* Where packets come from and where they go. */
struct path {
    const struct net_addr *src;
    const struct net_addr *dst;
};

/* --- one's complement sums of 16-bit words as they lie in memory ---------------------------------
 */

static uint32_t plus_word(uint32_t sum, uint16_t word)
{
    return sum + word;
}

static uint32_t minus_word(uint32_t sum, uint16_t word)
{
    return sum + (uint16_t)~word;
}

/* Add or take away `size` bytes, an even number below 64. */
static uint32_t each_word(uint32_t sum, uint32_t (*step)(uint32_t, uint16_t), const void *from,
                          size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(uint16_t)) {
        uint16_t word;

        memcpy(&word, (const uint8_t *)from + at, sizeof(word));
        sum = step(sum, word);
    }
    return sum;
}

static uint32_t each_of_path(uint32_t sum, uint32_t (*step)(uint32_t, uint16_t),
                             const struct path *path)
{
    const size_t skip = path->src->family == NET_V4 ? 12 : 0;

    sum = each_word(sum, step, path->src->ip.b + skip, sizeof(path->src->ip.b) - skip);
    sum = each_word(sum, step, path->dst->ip.b + skip, sizeof(path->dst->ip.b) - skip);
    sum = step(sum, htons(path->src->port));
    return step(sum, htons(path->dst->port));
}

static uint32_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

/* The protocol's word is the same in both pseudo headers; a channel number is there on one side. */
static uint32_t udp_sum(const struct path *in, const struct path *out, bool to_peer,
                        uint16_t number)
{
    uint32_t sum = each_of_path(0, minus_word, in);

    sum = each_of_path(sum, plus_word, out);
    return fold(to_peer ? minus_word(sum, htons(number)) : plus_word(sum, htons(number)));
}

/* RFC 791 section 3.1: version 4 of five words, protocol 17, the addresses. */
static uint32_t ip_sum(const struct path *out)
{
    uint32_t sum = (uint32_t)htons(0x4500) + htons(IPPROTO_UDP);

    sum = each_word(sum, plus_word, net_ip_v4_bytes(&out->src->ip), 4);
    return fold(each_word(sum, plus_word, net_ip_v4_bytes(&out->dst->ip), 4));
}

/* --- keys and values ---------------------------------------------------------------------------
 */

static struct flow_key key_of(const struct path *in, uint16_t number)
{
    struct flow_key key = {.v6 = in->src->family == NET_V6};

    if (key.v6) {
        key.of.v6.src_port = htons(in->src->port);
        key.of.v6.dst_port = htons(in->dst->port);
        key.of.v6.number = htons(number);
        memcpy(key.of.v6.src, in->src->ip.b, sizeof(key.of.v6.src));
        memcpy(key.of.v6.dst, in->dst->ip.b, sizeof(key.of.v6.dst));
    } else {
        key.of.v4.src_port = htons(in->src->port);
        key.of.v4.dst_port = htons(in->dst->port);
        key.of.v4.number = htons(number);
        memcpy(&key.of.v4.src, net_ip_v4_bytes(&in->src->ip), sizeof(key.of.v4.src));
        memcpy(&key.of.v4.dst, net_ip_v4_bytes(&in->dst->ip), sizeof(key.of.v4.dst));
    }
    return key;
}

static struct offload_flow flow_of(const struct path *in, const struct path *out, uint8_t way,
                                   uint16_t number)
{
    struct offload_flow flow = {
        .way = way,
        .family = out->src->family == NET_V4 ? 4 : 6,
        .number = htons(number),
        .src_port = htons(out->src->port),
        .dst_port = htons(out->dst->port),
        .ports = htons(in->src->port) ^ htons(in->dst->port),
        .udp_sum = udp_sum(in, out, way == OFFLOAD_TO_PEER, number),
    };

    if (flow.family == 4) {
        flow.ip_sum = ip_sum(out);
        memcpy(flow.src, net_ip_v4_bytes(&out->src->ip), 4);
        memcpy(flow.dst, net_ip_v4_bytes(&out->dst->ip), 4);
    } else {
        memcpy(flow.src, out->src->ip.b, sizeof(flow.src));
        memcpy(flow.dst, out->dst->ip.b, sizeof(flow.dst));
    }
    return flow;
}

static bool usable4(const uint8_t v4[4])
{
    return v4[0] != 0 && v4[0] < 224; /* not "this host", multicast nor reserved */
}

static bool usable6(const struct net_ip *ip)
{
    static const struct net_ip any;
    const bool link_local = ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;

    return !net_ip_equal(ip, &any) && ip->b[0] != 0xff && !link_local && !net_ip_is_v4(ip);
}

static bool usable(const struct net_addr *addr)
{
    if (addr->port == 0 || addr->scope != 0) {
        return false;
    }
    if (addr->family == NET_V4) {
        return net_ip_is_v4(&addr->ip) && usable4(net_ip_v4_bytes(&addr->ip));
    }
    return addr->family == NET_V6 && usable6(&addr->ip);
}

static bool side_usable(const struct net_addr *a, const struct net_addr *b)
{
    return usable(a) && usable(b) && a->family == b->family;
}

int flow_pair_make(const struct flow_spec *spec, struct flow_pair *out)
{
    const struct path from_client = {&spec->client, &spec->server};
    const struct path to_client = {&spec->server, &spec->client};
    const struct path from_peer = {&spec->peer, &spec->relay};
    const struct path to_peer = {&spec->relay, &spec->peer};
    const uint16_t number = spec->number;

    if (number < NUMBER_FIRST || number > NUMBER_LAST ||
        !side_usable(&spec->client, &spec->server) || !side_usable(&spec->relay, &spec->peer)) {
        return -EINVAL;
    }
    out->key[OFFLOAD_TO_PEER] = key_of(&from_client, number);
    out->key[OFFLOAD_TO_CLIENT] = key_of(&from_peer, 0);
    out->flow[OFFLOAD_TO_PEER] = flow_of(&from_client, &to_peer, OFFLOAD_TO_PEER, number);
    out->flow[OFFLOAD_TO_CLIENT] = flow_of(&from_peer, &to_client, OFFLOAD_TO_CLIENT, number);
    out->flow[OFFLOAD_TO_PEER].to_relay = spec->to_relay;
    out->flow[OFFLOAD_TO_CLIENT].to_relay = spec->to_relay;
    return 0;
}

struct flow_key flow_pair_back(const struct offload_flow *flow)
{
    struct flow_key key = {.v6 = flow->family == 6};

    if (key.v6) {
        key.of.v6.src_port = flow->dst_port;
        key.of.v6.dst_port = flow->src_port;
        memcpy(key.of.v6.src, flow->dst, sizeof(key.of.v6.src));
        memcpy(key.of.v6.dst, flow->src, sizeof(key.of.v6.dst));
    } else {
        key.of.v4.src_port = flow->dst_port;
        key.of.v4.dst_port = flow->src_port;
        memcpy(&key.of.v4.src, flow->dst, sizeof(key.of.v4.src));
        memcpy(&key.of.v4.dst, flow->src, sizeof(key.of.v4.dst));
    }
    return key;
}
