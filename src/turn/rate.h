/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded rate limiter for source prefixes: how many challenges (401) may go to one /32 (IPv4) or
 * /56 (IPv6) a second.
 *
 * A table of fixed size, a token bucket a slot, two-choice placement; memory never grows with what
 * strangers send.  When a new prefix finds no empty slot, the bucket that has refilled most (of
 * equals the stalest) is given up, for it forgets least.  So, whatever others send:
 *   - a prefix that asks for no more than `per_s` a second after its first `burst` is never
 * refused;
 *   - an emptied bucket stays while one beside it is fuller: a flood from many sources cannot wash
 *     out the record of a single one that is named in every second packet;
 *   - up to half as many live prefixes as slots, the limit is exact but for rare chance; beyond, it
 *     may be generous to a prefix (a full bucket again), never stricter.
 *
 * Owner   one worker.  Thread  that worker.  Clock  passed in, milliseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/net_addr.h"

struct rate;

/* `per_s` tokens a second (0: without limit), up to `burst` (at least 1 is meant); `slots` buckets
 * (a power of two).  NULL without memory. */
MUST_USE struct rate *rate_new(uint32_t per_s, uint32_t burst, uint32_t slots, struct hash_key key);

/* NULL is allowed. */
void rate_free(struct rate *rate);

/* Change the limits; what was used stays used (reload). */
void rate_set(struct rate *rate, uint32_t per_s, uint32_t burst);

/* Take one token for the prefix of `ip`; false when there is none.  Hot path: two runs of four
 * slots, no allocation. */
bool rate_take(struct rate *rate, const struct net_ip *ip, uint64_t now_ms);

/* Take `cost` tokens for whoever `who` says, any bytes; false, and none taken, when there are
 * fewer.  A limiter is for prefixes or for these, not for both. */
bool rate_take_of(struct rate *rate, struct bytes who, uint32_t cost, uint64_t now_ms);
