/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers 1..max of entries that a program in the kernel uses, too: one that was given back rests
 * for a while, so that no CPU still works on behalf of who had it.  Numbers that were never out are
 * taken last: memory of entries that are not needed is not touched.
 *
 * Owner   the table of channels.  Thread  any.
 * Clock   passed in, milliseconds, may begin anywhere; a step back lets numbers rest for longer. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/attr.h"

struct flow_pool_entry;

struct flow_pool {
    pthread_mutex_t lock;
    struct flow_pool_entry *entries;
    uint32_t max;
    uint32_t rest_ms;
    uint32_t touched; /* 1..touched have been out */
    uint32_t oldest;  /* of those at rest, in the order in which they came; 0: none */
    uint32_t newest;
    uint32_t used;
};

/* `max` is at least 1 and below 2^32-1, `rest_ms` far below 2^32.  0, or -ENOMEM with nothing to
 * release. */
MUST_USE int flow_pool_init(struct flow_pool *pool, uint32_t max, uint32_t rest_ms);
void flow_pool_fini(struct flow_pool *pool);

/* A number, or 0: all are out or at rest. */
MUST_USE uint32_t flow_pool_get(struct flow_pool *pool, uint64_t now_ms);

/* Give back what flow_pool_get() returned. */
void flow_pool_put(struct flow_pool *pool, uint32_t number, uint64_t now_ms);

/* How many are out. */
uint32_t flow_pool_used(const struct flow_pool *pool);
