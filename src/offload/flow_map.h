/* SPDX-License-Identifier: Apache-2.0 */
/* What user space writes and the programs of bpf/ read, and the other way round.  Compiled for
 * both, so it knows the kernel's types only.
 *
 *     packet -- flow4/flow6 (hash, by its five values) --> struct offload_flow: how it leaves
 *                                                             | slot
 *                                                             v
 *                          slots (array, shared memory) --> struct offload_way: may it, how many
 *                                                             | limit
 *                                                             v
 *                          limits (array, shared memory) -> struct offload_limit: max-bps
 *
 * A channel is two flows, one a direction, and one slot.  Hash entries are written by system calls
 * when a channel is bound and when it is over; all that changes in between is in shared memory: a
 * store takes a channel away from the kernel, at once. */
#pragma once

#include <linux/types.h>

enum { OFFLOAD_TO_PEER, OFFLOAD_TO_CLIENT, OFFLOAD_WAYS };

/* The key of a flow as its packets arrive: everything in network byte order.  `number`: the channel
 * of ChannelData from a client; 0 from a peer. */
struct offload_key4 {
    __be32 src;
    __be32 dst;
    __be16 src_port;
    __be16 dst_port;
    __be16 number;
    __be16 zero;
};

struct offload_key6 {
    __u8 src[16];
    __u8 dst[16];
    __be16 src_port;
    __be16 dst_port;
    __be16 number;
    __be16 zero;
};

/* How its packets leave. */
struct offload_flow {
    __u32 slot;
    __u32 generation; /* of the slot: of another one, and the flow is over */
    __u8 way;         /* OFFLOAD_TO_PEER: a ChannelData head is taken off; else put on */
    __u8 family;      /* as packets leave: 4 or 6 */
    __u8 to_relay;    /* the peer has an address of this host: towards it, look further; from the
                       * network nothing comes with such a source */
    __u8 zero;
    __be16 number; /* of the channel, either way */
    __be16 src_port;
    __be16 dst_port;
    __be16 ports; /* the key's, exclusive or: an entry that became another's has others */
    /* What does not differ from packet to packet (RFC 1624): one's complement sum of 16-bit words
     * as they lie in memory, folded to 16 bits: the addresses and ports of the packet that leaves,
     * and the complement of each such word of the packet that came.  The channel number is one of
     * the words of the packet that has a ChannelData head.  Lengths (RFC 768's twice, the
     * channel's) are the program's; the protocol's word is the same in both. */
    __u32 udp_sum;
    __u32 ip_sum; /* family 4: such a sum of the header that leaves: version, protocol, addresses */
    __u8 src[16]; /* family 4: the first four bytes */
    __u8 dst[16];
};

/* One direction of a channel, a cache line of its own: its packets come from one address and port
 * to another, so one CPU handles them. */
struct offload_way {
    __u64 until_ns; /* CLOCK_MONOTONIC: forwarded while now < until_ns; 0: not at all */
    __u32 generation;
    __u32 epoch; /* of another one than struct offload_control's, and it is not forwarded */
    __u32 limit; /* in `limits`: of its allocation */
    __u32 zero;
    __u64 packets; /* that were forwarded: written by the kernel, since the slot was opened */
    __u64 bytes;   /* of application data in them */
    /* The kernel's own: the next hop, asked of the routing table once in 8.4 ms. */
    __u64 hop; /* the link address in its first six bytes, then the MTU */
    __u32 hop_if;
    __u32 hop_stamp; /* of the time when it was asked; 0: never */
    __u64 zero2;
};

/* Time is counted in these for the next hop: 2^23 ns, 8.4 ms. */
#define OFFLOAD_HOP_BITS 23

struct offload_slot {
    struct offload_way way[OFFLOAD_WAYS];
} __attribute__((aligned(128)));

/* The bandwidth of one allocation: base/bucket.h says what the time means. */
struct offload_limit {
    __u64 busy_until_ns[OFFLOAD_WAYS];
};

/* What holds for all, in shared memory (the .bss of the programs). */
struct offload_control {
    __u32 forward; /* 0: nothing is forwarded */
    __u32 epoch;
    __u64 max_bps;      /* bytes/s of an allocation and direction; 0: without limit */
    __u64 capacity_bps; /* bytes/s of all together in a direction; 0: without limit */
    __u64 capacity_busy_until_ns[OFFLOAD_WAYS];
    __u32 tos_mask;   /* which bits of the traffic class are copied */
    __u32 shield;     /* 0: strangers' packets pass as they are */
    __u64 virtual_ns; /* tests: the time, in a program that was loaded with a virtual clock */
};

/* By interface index: where packets may come from and go to. */
enum {
    OFFLOAD_IF_OUT = 1, /* packets may leave by it */
    /* No network card: a sender on this host may have left the checksum to hardware; short frames
     * are not filled up; and what XDP_TX sends back may be lost. */
    OFFLOAD_IF_PARTIAL = 2,
};

struct offload_if {
    __u32 flags; /* 0: not one of ours */
    __u8 mac[6]; /* frames to others are not touched */
    __u16 zero;
};

/* Why the programs have let a packet pass, or what they did: an index into per-CPU counters. */
#define OFFLOAD_COUNTS(X)                                                                          \
    X(forwarded_to_peer)                                                                           \
    X(forwarded_to_client)                                                                         \
    X(forwarded_relay_to_relay) /* once a packet, and in neither of the two above */               \
    X(forwarded_bytes)          /* of application data */                                          \
    X(unknown)                  /* no flow: whatever it was */                                     \
    X(not_for_us)               /* another link address, VLAN, no UDP next to the IP header */     \
    X(ip_options)               /* of IPv4; or a fragment, or a bad header checksum */             \
    X(length)                   /* lengths contradict each other, or nothing we know */            \
    X(ttl)                      /* would be over here */                                           \
    X(checksum)                 /* none, and one is needed; or left to hardware */                 \
    X(over)                     /* expired, taken away, switched off */                            \
    X(limit)                    /* dropped: max-bps, bps-capacity */                               \
    X(route)                    /* none, not by an interface of ours, or a local one */            \
    X(neighbour)                                                                                   \
    X(too_big)                                                                                     \
    X(room)                 /* the driver has none for a longer head */                            \
    X(burst)                /* several packets in one buffer */                                    \
    X(lost)                 /* dropped: the kernel failed halfway */                               \
    X(shield_passed_client) /* of strangers' packets to a listener: from a client */               \
    X(shield_passed)        /* within the limits */                                                \
    X(shield_binding)       /* answered here */                                                    \
    X(shield_junk)          /* dropped: neither STUN nor DTLS nor a live client's */               \
    X(shield_prefix)        /* dropped: too many from that prefix */                               \
    X(shield_total)         /* dropped: too many strangers */

enum offload_count {

#define X(name) OFFLOAD_##name,
    OFFLOAD_COUNTS(X)
#undef X
        OFFLOAD_COUNT_MAX
};

/* Of one CPU. */
struct offload_counts {
    __u64 of[OFFLOAD_COUNT_MAX];
};

_Static_assert(sizeof(struct offload_key4) == 16, "a key has no padding");
_Static_assert(sizeof(struct offload_key6) == 40, "a key has no padding");
_Static_assert(sizeof(struct offload_flow) == 60, "a value has no padding");
_Static_assert(sizeof(struct offload_way) == 64, "a way is a cache line");
