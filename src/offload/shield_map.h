/* SPDX-License-Identifier: Apache-2.0 */
/* What user space writes and bpf/shield.h reads.  Compiled for both, so it knows the kernel's types
 * only. */
#pragma once

#include <linux/types.h>

/* The key of `clients` (hash; the value is a __u8 of no meaning): who has an allocation, and where
 * it sends.  Addresses are canonical (IPv4 as ::ffff:a.b.c.d), ports in network order. */
struct offload_client {
    __u8 client_ip[16];
    __u8 server_ip[16];
    __be16 client_port;
    __be16 server_port;
};

_Static_assert(sizeof(struct offload_client) == 36, "a key has no padding");

/* The key of `listeners`: where clients are served over UDP.  Canonical address, port in network
 * order; the value is a set of enum shield_take. */
struct shield_at {
    __u8 ip[16];
    __be16 port;
    __u16 zero;
};

enum shield_take {
    SHIELD_TAKE_PLAIN = 1, /* STUN as it is */
    SHIELD_TAKE_DTLS = 2,
    SHIELD_TAKE_CLASSIC = 4, /* Binding requests of RFC 3489, which have no magic cookie */
};

/* What strangers ask for; each has limits of its own, so that a flood of one kind leaves room for
 * the others. */
enum shield_kind {
    SHIELD_BINDING,
    SHIELD_FIRST,  /* a request without credentials: it will be challenged */
    SHIELD_SECOND, /* a request that looks as though it had them */
    SHIELD_DTLS,
    SHIELD_KINDS,
    SHIELD_OF_CLIENTS = SHIELD_KINDS, /* only who has an allocation sends that */
    SHIELD_OF_NOBODY                  /* user space drops that, whoever sends it */
};

/* A rate: each packet takes `step_ns` of a line of time that may run `burst_ns` behind the clock.
 */
struct shield_rate {
    __u64 step_ns; /* 0: without limit */
    __u64 burst_ns;
};

enum {
    SHIELD_LISTENERS = 4096,
    /* Cache lines of buckets.  A prefix has two buckets of a line, and is refused when both are
     * empty, so sharing one with a flood does no harm. */
    SHIELD_LINES = 16384,
    SHIELD_LINE = 8,
    SHIELD_NOTES = 524288, /* of requests that may be asked again */
    SHIELD_PREFIX4 = 24,   /* bits */
    SHIELD_PREFIX6 = 48,
    SHIELD_ANSWER_WORDS = 33, /* a SOFTWARE of 128 bytes, with its head */
    SHIELD_ANSWERS = 2,
    SHIELD_NO_ANSWER = SHIELD_ANSWERS,
};

/* What follows XOR-MAPPED-ADDRESS in the answer to a Binding request. */
struct shield_answer {
    __u32 words; /* of four bytes */
    __u32 sum;   /* of its 16-bit words as they lie, folded */
    __u32 data[SHIELD_ANSWER_WORDS];
};

/* When buckets of prefixes are free again. */
struct shield_buckets {
    __u64 busy_until_ns[SHIELD_LINE];
};

/* When a bucket of all strangers is free again: a cache line of its own. */
struct shield_line {
    __u64 busy_until_ns;
} __attribute__((aligned(64)));

/* In shared memory (the .bss of the programs). */
struct shield_rules {
    __u64 key[2]; /* of the hash of prefixes */
    struct shield_rate prefix;
    struct shield_rate total;
    __u32 answer; /* which of these is given, or SHIELD_NO_ANSWER */
    __u32 zero;
    struct shield_answer answers[SHIELD_ANSWERS];
    struct shield_line all[SHIELD_KINDS]; /* written by the kernel, these two */
    struct shield_line again;
};

_Static_assert(sizeof(struct shield_at) == 20, "a key has no padding");
