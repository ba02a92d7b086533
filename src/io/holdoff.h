/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations that have failed and are left alone for a while (streams.md K10, K11).
 *
 * Each failure holds the destination off for the one who saw it (a scope: an allocation, a link).
 * For everybody it is held off only after HOLDOFF_SHARED_FAILURES failures that
 * HOLDOFF_SHARED_USERS different users saw, so that no single user can shut a destination for
 * others.
 *
 * Failures are counted as long as less than the shared time lies between one and the next, and none
 * was followed by a success.
 *
 * Owner   one worker, or whoever guards it.  Thread  one at a time.
 * Clock   monotonic milliseconds, passed in.  Bounded: the oldest entry gives way, but none of
 *         HOLDOFF_PROHIBITED. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/net_addr.h"

struct holdoff;

enum { HOLDOFF_SHARED_FAILURES = 5, HOLDOFF_SHARED_USERS = 3 };

/* Why; HOLDOFF_NONE when it is not held off. */
enum holdoff_reason {
    HOLDOFF_NONE,
    HOLDOFF_CONNECT, /* refused or unreachable */
    HOLDOFF_TIMEOUT, /* no answer to a SYN */
    HOLDOFF_SEND,    /* established, but took nothing for the send timeout */
    HOLDOFF_ICMP,
    HOLDOFF_PROHIBITED, /* by the administrator: never expires */
    HOLDOFF_REASONS,
};

struct holdoff_options {
    uint32_t own_ms;      /* for the scope that saw the failure: 10,000; 0 holds nothing off */
    uint32_t shared_ms;   /* for everybody: 60,000; 0 never */
    uint32_t max_entries; /* 65,536 */
    struct hash_key key;
};

/* NULL without memory. */
MUST_USE struct holdoff *holdoff_new(const struct holdoff_options *options);
void holdoff_free(struct holdoff *holdoff);
void holdoff_set_times(struct holdoff *holdoff, uint32_t own_ms, uint32_t shared_ms);

/* May `scope` try `peer` (address and port) now? */
enum holdoff_reason holdoff_check(struct holdoff *holdoff, uint64_t scope,
                                  const struct net_addr *peer, uint64_t now_ms);

/* `why` is not HOLDOFF_NONE; HOLDOFF_PROHIBITED holds for everybody at once and for good, and is
 * lost only when all entries are such. `scope`, which is `user`'s (any number that tells users
 * apart), has failed to reach `peer`. */
void holdoff_failed(struct holdoff *holdoff, uint64_t scope, uint64_t user,
                    const struct net_addr *peer, enum holdoff_reason why, uint64_t now_ms);

/* It works: what was held off for everybody, but not prohibited, is open again. */
void holdoff_worked(struct holdoff *holdoff, const struct net_addr *peer);

/* How many entries there are, and how often holdoff_check() refused, by reason. */
uint32_t holdoff_count(const struct holdoff *holdoff);
uint64_t holdoff_refused(const struct holdoff *holdoff, enum holdoff_reason why);
