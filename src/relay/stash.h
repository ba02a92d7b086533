/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a key to be looked up, bounded: a full stash drops its oldest request,
 * which its client will send again.
 *
 * Owner   one worker.  Thread  that worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/pkt.h"

enum {
    STASH_PACKETS = 256,
    STASH_BYTES = 2048,   /* no request is longer */
    STASH_MS = 10 * 1000, /* RFC 8489 section 6.2.1: the client has asked again long before */
};

struct stash;

/* NULL without memory. */
MUST_USE struct stash *stash_new(void);
void stash_free(struct stash *stash);

/* Keep a copy of `pkt`.  Returns how many requests were dropped: 0, or 1 (the oldest, or `pkt`
 * itself when it is too long). */
uint32_t stash_put(struct stash *stash, const struct pkt *pkt, uint64_t now_ms);

/* Whoever `port` stands for has gone: his requests are empty packets from now on. */
void stash_forget(struct stash *stash, const void *port);

/* How many are kept. */
uint32_t stash_count(const struct stash *stash);

/* Move the oldest request into the free packet `pkt`; false when there is none left.  Those older
 * than STASH_MS are left out and counted in `*out_dropped`. */
bool stash_take(struct stash *stash, struct pkt *pkt, uint64_t now_ms, uint32_t *out_dropped);
