/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/rate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    TOKEN = 1000, /* `per_s` tokens a second are `per_s` thousandths a millisecond: no rounding */
    WAYS = 4,     /* slots next to each other that a prefix may take, in each of its two places */
    PLACES = 2,
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

/* True when `a` is the better one to give up: the fuller, of equals the one unused for longer. */
static bool gives_way(const struct rate *rate, const struct slot *a, const struct slot *b,
                      uint64_t now_ms)
{
    const uint64_t tokens_a = tokens_at(rate, a, now_ms);
    const uint64_t tokens_b = tokens_at(rate, b, now_ms);

    if ((a->prefix == 0) != (b->prefix == 0)) {
        return a->prefix == 0;
    }
    return tokens_a != tokens_b ? tokens_a > tokens_b : a->last_ms < b->last_ms;
}

/* The bucket of `prefix`; a full one when it has none yet. */
static struct slot *slot_of(struct rate *rate, uint64_t prefix, uint64_t now_ms)
{
    const uint64_t hash = hash_bytes(&rate->key, &prefix, sizeof(prefix));
    const uint32_t places[PLACES] = {(uint32_t)hash, (uint32_t)(hash >> 32)};
    struct slot *loser = NULL;

    for (size_t place = 0; place < PLACES; place++) {
        struct slot *run = &rate->slots[places[place] & rate->mask & ~(rate->ways - 1)];
        for (uint32_t i = 0; i < rate->ways; i++) {
            if (run[i].prefix == prefix) {
                return &run[i];
            }
            if (loser == NULL || gives_way(rate, &run[i], loser, now_ms)) {
                loser = &run[i];
            }
        }
    }
    *loser = (struct slot){prefix, now_ms, (uint64_t)rate->burst * TOKEN};
    return loser;
}

bool rate_take(struct rate *rate, const struct net_ip *ip, uint64_t now_ms)
{
    if (rate->per_s == 0) {
        return true;
    }
    struct slot *slot = slot_of(rate, prefix_of(ip), now_ms);
    slot->tokens = tokens_at(rate, slot, now_ms);
    slot->last_ms = now_ms;
    if (slot->tokens < TOKEN) {
        return false;
    }
    slot->tokens -= TOKEN;
    return true;
}
