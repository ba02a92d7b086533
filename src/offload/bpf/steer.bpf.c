/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the socket of a group of SO_REUSEPORT sockets that takes a datagram.
 *
 *     client:port -> server:port          RFC 768, RFC 791, RFC 8200 headers
 *          | written down in `flows`?  that socket
 *          | the CPU has a socket?     that one (worker and receive queue on one CPU)
 *          ` else                      by the kernel's keyed hash of the four
 *
 * Runs in the kernel for every datagram that is not for a connected socket; with GRO once a burst.
 * The kernel loads one instance a group; `flows`, `counts` and `cpus` are common to all. */
#include "offload/bpf/kernel.h"
#include "offload/steer_flow.h"

/* Sizes are set when the program is loaded. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1);
    __type(key, struct steer_flow);
    __type(value, __u32);
} flows SEC(".maps");

/* Group -> how many sockets it has. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} counts SEC(".maps");

/* CPU -> socket, see STEER_CPU_BY_HASH. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} cpus SEC(".maps");

/* The sockets of this instance's group. */
struct {
    __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} sockets SEC(".maps");

const volatile __u32 group = 0;

/* Where the two addresses begin in the headers; they lie side by side, the sender's first. */
enum { V4_ADDRESSES = 12, V6_ADDRESSES = 8 };

static bool read_v4(const struct sk_reuseport_md *md, struct steer_flow *flow)
{
    __u8 both[8];

    if (bpf_skb_load_bytes_relative(md, V4_ADDRESSES, both, sizeof(both), BPF_HDR_START_NET) < 0) {
        return false;
    }
    flow->client_ip[10] = flow->client_ip[11] = 0xff;
    flow->server_ip[10] = flow->server_ip[11] = 0xff;
    __builtin_memcpy(flow->client_ip + 12, both, 4);
    __builtin_memcpy(flow->server_ip + 12, both + 4, 4);
    return true;
}

static bool read_v6(const struct sk_reuseport_md *md, struct steer_flow *flow)
{
    /* Into client_ip and server_ip, which follow each other as in the header. */
    return bpf_skb_load_bytes_relative(md, V6_ADDRESSES, flow, 2 * sizeof(flow->client_ip),
                                       BPF_HDR_START_NET) == 0;
}

/* Neither options of IPv4 nor extension headers of IPv6 matter: the addresses have fixed places,
 * and the context begins with the UDP header. */
static bool read_flow(const struct sk_reuseport_md *md, struct steer_flow *flow)
{
    const __be16 *ports = md->data;

    if ((void *)(ports + 2) > md->data_end) {
        return false;
    }
    flow->client_port = ports[0];
    flow->server_port = ports[1];
    return md->eth_protocol == bpf_htons(ETH_P_IP) ? read_v4(md, flow) : read_v6(md, flow);
}

/* Socket of a client that nothing is known of, out of `count` (> 0).  By hash it is the one that
 * the kernel would choose without us, were all its sockets in our array. */
static __u32 choose(const struct sk_reuseport_md *md, __u32 count)
{
    const __u32 cpu = bpf_get_smp_processor_id();
    const __u32 *entry = bpf_map_lookup_elem(&cpus, &cpu);

    if (entry && *entry != STEER_CPU_BY_HASH && *entry - 1 < count) {
        return *entry - 1;
    }
    return (__u32)(((__u64)md->hash * count) >> 32);
}

static bool select(struct sk_reuseport_md *md, __u32 socket)
{
    return bpf_sk_select_reuseport(md, &sockets, &socket, 0) == 0;
}

int steer_select(struct sk_reuseport_md *md) SEC("sk_reuseport");

/* SK_PASS without a selection leaves the choice to the kernel. */
int steer_select(struct sk_reuseport_md *md)
{
    struct steer_flow flow = {0};
    const __u32 *known = NULL;
    const __u32 key = group;
    const __u32 *count = bpf_map_lookup_elem(&counts, &key);

    if (!count || *count == 0) {
        return SK_PASS;
    }
    if (*count > 1 && read_flow(md, &flow)) {
        known = bpf_map_lookup_elem(&flows, &flow);
    }
    if (known && select(md, *known)) {
        return SK_PASS;
    }
    (void)select(md, choose(md, *count));
    return SK_PASS;
}

const char steer_license[] SEC("license") = "Apache-2.0";
