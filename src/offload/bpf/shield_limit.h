/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How many of strangers' packets pass: from a prefix, from all together, and of those who ask once
 * more. */
#pragma once

#include "base/bucket_rule.h"
#include "offload/bpf/packet.h"
#include "offload/bpf/shield_parse.h"
#include "offload/bpf/shield_tables.h"

enum {
    SHIELD_TRIES = 4,
    SHIELD_NS_PER_MS = 1000000,
    /* RFC 8489 section 6.2.1: after 500 ms, or an estimate of the round trip; browsers take 250. */
    SHIELD_AGAIN_MIN_MS = 100,
    SHIELD_AGAIN_MAX_MS = 10000,
};

/* Take `packets` of a line of time; false: there is no room.  A bucket that is refused is not
 * written, so a flood finds it in every CPU's cache. */
static __always_inline bool shield_take(__u64 *busy_until_ns, const struct shield_rate *rate,
                                        __u32 packets, __u64 now)
{
    const __u64 end = now + BUCKET_EPOCH_NS; /* an unused bucket is at 0, which is long ago */
    const __u64 past = end - rate->burst_ns;

    for (int i = 0; i < SHIELD_TRIES; i++) {
        const __u64 busy = *(volatile __u64 *)busy_until_ns;
        const __u64 after = (busy > past ? busy : past) + rate->step_ns * packets;
        if (after > end) {
            return false;
        }
        if (__sync_val_compare_and_swap(busy_until_ns, busy, after) == busy) {
            return true;
        }
    }
    return false;
}

static __always_inline __u64 shield_turn(__u64 x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* SipHash-1-3 of one word; all messages are as long, so their length is left out. */
static __always_inline __u64 shield_hash(__u64 m)
{
    __u64 v0 = shield_rules.key[0] ^ 0x736f6d6570736575ULL;
    __u64 v1 = shield_rules.key[1] ^ 0x646f72616e646f6dULL;
    __u64 v2 = shield_rules.key[0] ^ 0x6c7967656e657261ULL;
    __u64 v3 = shield_rules.key[1] ^ 0x7465646279746573ULL ^ m;

#pragma unroll
    for (int round = 0; round < 4; round++) {
        v0 += v1;
        v2 += v3;
        v1 = shield_turn(v1, 13) ^ v0;
        v3 = shield_turn(v3, 16) ^ v2;
        v0 = shield_turn(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = shield_turn(v1, 17) ^ v2;
        v3 = shield_turn(v3, 21) ^ v0;
        v2 = shield_turn(v2, 32);
        if (round == 0) {
            v0 ^= m;
            v2 ^= 0xff;
        }
    }
    return v0 ^ v1 ^ v2 ^ v3;
}

/* Prefix, kind and family in one word. */
static __always_inline __u64 shield_prefix(const struct packet *p, __u32 kind)
{
    __u64 word = (__u64)p->family << 56 | (__u64)kind << 48;

    if (p->family == 4) {
        word |= bpf_ntohl(p->key.v4.src) >> (32 - SHIELD_PREFIX4);
    } else {
        const __be16 *src = (const __be16 *)p->key.v6.src;
        word |= (__u64)src[0] << 32 | (__u64)src[1] << 16 | src[2];
    }
    return word;
}

/* Both buckets of a prefix are drained by it; one is enough to let it pass.  Not static: the
 * verifier follows it once. */
__noinline int shield_prefix_allows(const struct packet *p, __u32 kind, __u32 packets, __u64 now)
{
    const struct shield_rate rate = shield_rules.prefix;

    if (!p || rate.step_ns == 0) {
        return true;
    }
    const __u64 hash = shield_hash(shield_prefix(p, kind));
    const __u32 line = (__u32)hash % SHIELD_LINES;
    const __u32 one = (__u32)(hash >> 32) % SHIELD_LINE;
    const __u32 other = (one + 1 + (__u32)(hash >> 40) % (SHIELD_LINE - 1)) % SHIELD_LINE;
    struct shield_buckets *buckets = bpf_map_lookup_elem(&prefixes, &line);
    if (!buckets) {
        return true;
    }
    const bool allowed = shield_take(&buckets->busy_until_ns[one], &rate, packets, now);
    return shield_take(&buckets->busy_until_ns[other], &rate, packets, now) || allowed;
}

/* Is there room for one more of all strangers?  Nothing is taken. */
static __always_inline bool shield_has_room(__u32 kind, __u64 now)
{
    const struct shield_rate rate = shield_rules.total;

    return rate.step_ns == 0 || kind >= SHIELD_KINDS ||
           *(volatile __u64 *)&shield_rules.all[kind].busy_until_ns + rate.step_ns <=
               now + BUCKET_EPOCH_NS;
}

static __always_inline bool shield_all_allow(__u32 kind, __u32 packets, __u64 now)
{
    const struct shield_rate rate = shield_rules.total;

    return rate.step_ns == 0 || kind >= SHIELD_KINDS ||
           shield_take(&shield_rules.all[kind].busy_until_ns, &rate, packets, now);
}

/* The transaction, its address and port in one word.  Who chooses them can make two alike, and
 * gains nothing by it. */
static __always_inline __u64 shield_transaction(const struct packet *p,
                                                const struct shield_stun *stun)
{
    const __u64 tid = (__u64)stun->tid[0] << 32 | stun->tid[1];
    __u64 who;

    if (p->family == 4) {
        who = (__u64)p->key.v4.src << 16 | p->key.v4.src_port;
    } else {
        const __u32 *src = (const __u32 *)p->key.v6.src;
        who = ((__u64)src[0] << 32 | src[1]) ^ shield_turn((__u64)src[2] << 32 | src[3], 16) ^
              p->key.v6.src_port;
    }
    return tid ^ shield_turn(stun->tid[2], 24) ^ shield_turn(who, 8);
}

/* There is no room for it.  Clients ask again after a while, with the same transaction (RFC 8489
 * section 6.2.1); floods from forged addresses do not.  So a request is noted, and if it comes
 * again within some time, it has a bucket of its own. */
static __always_inline bool shield_asked_again(void *data, void *data_end, const struct packet *p,
                                               __u32 kind, __u32 packets, __u64 now)
{
    const struct shield_rate rate = shield_rules.total;
    const struct shield_stun *stun = data + packet_head(p);

    if (kind == SHIELD_DTLS || packets != 1 || (void *)(stun + 1) > data_end) {
        return false;
    }
    const __u64 hash = shield_hash(shield_transaction(p, stun));
    const __u32 at = (__u32)hash % SHIELD_NOTES;
    __u64 *note = bpf_map_lookup_elem(&notes, &at);
    if (!note) {
        return false;
    }
    const __u32 ms = (__u32)(now / SHIELD_NS_PER_MS);
    const __u64 mine = hash >> 32 << 32;
    const __u64 there = *(volatile __u64 *)note;
    const __u32 age = ms - (__u32)there;
    if ((there ^ mine) >> 32 != 0 || age > SHIELD_AGAIN_MAX_MS) {
        *(volatile __u64 *)note = mine | ms;
        return false;
    }
    if (age < SHIELD_AGAIN_MIN_MS || !shield_prefix_allows(p, kind, 1, now) ||
        !shield_take(&shield_rules.again.busy_until_ns, &rate, 1, now)) {
        return false;
    }
    *(volatile __u64 *)note = 0; /* once */
    return true;
}
