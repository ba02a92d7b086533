/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded rate limiter for source prefixes: how many challenges (401) may go to one /32 (IPv4) or
 * /56 (IPv6) a second.
 *
 * A table of fixed size, a token bucket a slot, two-choice placement with the stalest bucket given
 * up first; memory never grows with what strangers send.
 *
 * Owner   one worker.  Thread  that worker.  Clock  passed in, milliseconds. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/net_addr.h"

struct rate;

/* `per_s` tokens a second, up to `burst`; `slots` buckets (a power of two).  NULL without memory.
 */
MUST_USE struct rate *rate_new(uint32_t per_s, uint32_t burst, uint32_t slots, struct hash_key key);
void rate_free(struct rate *rate);
void rate_set(struct rate *rate, uint32_t per_s, uint32_t burst);

/* Take one token for the prefix of `ip`; false when there is none. */
bool rate_take(struct rate *rate, const struct net_ip *ip, uint64_t now_ms);
