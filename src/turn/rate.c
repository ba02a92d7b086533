/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/rate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    TOKEN = 1000, /* `per_s` tokens a second are `per_s` thousandths a millisecond: no rounding */
    WAYS = 4,     /* slots next to each other that a prefix may take, in each of its two places */
    V6_PREFIX_BYTES = 7, /* /56: what one subscriber is given (RFC 6177) */
};

struct slot {
    uint64_t prefix; /* 0 is empty: a prefix always has its family in the top byte */
    uint64_t last_ms;
    uint64_t tokens; /* at last_ms, in thousandths */
};

struct rate {
    uint32_t per_s;
    uint32_t burst;
    uint32_t mask;
    uint32_t ways;
    struct hash_key key;
    struct slot slots[];
};

struct rate *rate_new(uint32_t per_s, uint32_t burst, uint32_t slots, struct hash_key key)
{
    assert(slots > 0 && (slots & (slots - 1)) == 0);
    struct rate *rate = mem_new(1, sizeof(*rate) + slots * sizeof(rate->slots[0]));
    if (rate == NULL) {
        return NULL;
    }
    rate->mask = slots - 1;
    rate->ways = slots < WAYS ? slots : WAYS;
    rate->key = key;
    rate_set(rate, per_s, burst);
    return rate;
}

void rate_free(struct rate *rate)
{
    free(rate);
}

void rate_set(struct rate *rate, uint32_t per_s, uint32_t burst)
{
    rate->per_s = per_s;
    rate->burst = burst > 0 ? burst : 1;
}

/* The /32 or /56 of `ip` as a number, its family in the top byte. */
static uint64_t prefix_of(const struct net_ip *ip)
{
    const bool v4 = net_ip_is_v4(ip);
    const uint8_t *p = v4 ? net_ip_v4_bytes(ip) : ip->b;
    uint64_t prefix = v4 ? NET_V4 : NET_V6;

    for (size_t i = 0; i < V6_PREFIX_BYTES; i++) {
        prefix = prefix << 8 | (v4 && i >= 4 ? 0 : p[i]);
    }
    return prefix;
}

/* The thousandths of tokens that `slot` has at `now_ms`. */
static uint64_t tokens_at(const struct rate *rate, const struct slot *slot, uint64_t now_ms)
{
    const uint64_t full = (uint64_t)rate->burst * TOKEN;
    const uint64_t elapsed = now_ms > slot->last_ms ? now_ms - slot->last_ms : 0;
    uint64_t gain;

    if (slot->prefix == 0 || slot->tokens >= full ||
        __builtin_mul_overflow(elapsed, rate->per_s, &gain) || gain > full - slot->tokens) {
        return full;
    }
    return slot->tokens + gain;
}

/* A run of slots that a prefix may take, looked over for one to give up. */
struct run {
    struct slot *fullest; /* of equals the one unused for longer */
    uint64_t tokens;      /* in `fullest` */
    uint32_t spent;       /* buckets that are not full: each one remembers something */
};

static struct run run_look(const struct rate *rate, struct slot *slots, uint64_t now_ms)
{
    const uint64_t full = (uint64_t)rate->burst * TOKEN;
    struct run run = {.fullest = slots, .tokens = 0};

    for (uint32_t i = 0; i < rate->ways; i++) {
        const uint64_t tokens = tokens_at(rate, &slots[i], now_ms);
        run.spent += tokens < full;
        if (tokens > run.tokens ||
            (tokens == run.tokens && slots[i].last_ms < run.fullest->last_ms)) {
            run.fullest = &slots[i];
            run.tokens = tokens;
        }
    }
    return run;
}

/* The slot to give up for a new prefix: in the run with fewer spent buckets, so that all runs fill
 * alike; when both have as many, the fuller bucket. */
static struct slot *slot_to_give_up(const struct run *a, const struct run *b)
{
    if (a->spent != b->spent) {
        return a->spent < b->spent ? a->fullest : b->fullest;
    }
    if (a->tokens != b->tokens) {
        return a->tokens > b->tokens ? a->fullest : b->fullest;
    }
    return a->fullest->last_ms <= b->fullest->last_ms ? a->fullest : b->fullest;
}

static struct slot *run_find(const struct rate *rate, struct slot *slots, uint64_t prefix)
{
    for (uint32_t i = 0; i < rate->ways; i++) {
        if (slots[i].prefix == prefix) {
            return &slots[i];
        }
    }
    return NULL;
}

/* The bucket of `prefix`; a full one when it has none yet. */
static struct slot *slot_of(struct rate *rate, uint64_t prefix, uint64_t now_ms)
{
    const uint64_t hash = hash_bytes(&rate->key, &prefix, sizeof(prefix));
    const uint32_t first = rate->mask & ~(rate->ways - 1); /* makes a hash the start of a run */
    struct slot *places[] = {
        &rate->slots[(uint32_t)hash & first],
        &rate->slots[(uint32_t)(hash >> 32) & first],
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct slot *slot = run_find(rate, places[i], prefix);
        if (slot != NULL) {
            return slot;
        }
    }
    const struct run a = run_look(rate, places[0], now_ms);
    const struct run b = run_look(rate, places[1], now_ms);
    struct slot *slot = slot_to_give_up(&a, &b);
    *slot = (struct slot){prefix, now_ms, (uint64_t)rate->burst * TOKEN};
    return slot;
}

static bool take(struct rate *rate, uint64_t prefix, uint64_t cost, uint64_t now_ms)
{
    struct slot *slot = slot_of(rate, prefix, now_ms);
    slot->tokens = tokens_at(rate, slot, now_ms);
    slot->last_ms = now_ms;
    if (slot->tokens < cost) {
        return false;
    }
    slot->tokens -= cost;
    return true;
}

bool rate_take(struct rate *rate, const struct net_ip *ip, uint64_t now_ms)
{
    return rate->per_s == 0 || take(rate, prefix_of(ip), TOKEN, now_ms);
}

bool rate_take_of(struct rate *rate, struct bytes who, uint32_t cost, uint64_t now_ms)
{
    return rate->per_s == 0 ||
           take(rate, hash_bytes(&rate->key, who.p, who.n) | 1, (uint64_t)cost * TOKEN, now_ms);
}
