/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/flow_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

/* In `next` of a number that is out. */
#define OUT UINT32_MAX

struct flow_pool_entry {
    uint32_t next; /* that came later; 0: none */
    uint32_t since_ms;
};

int flow_pool_init(struct flow_pool *pool, uint32_t max, uint32_t rest_ms)
{
    assert(max > 0 && max < OUT);
    struct flow_pool_entry *entries = mem_new((size_t)max + 1, sizeof(*entries));

    if (entries == NULL) {
        return -ENOMEM;
    }
    *pool = (struct flow_pool){.entries = entries, .max = max, .rest_ms = rest_ms};
    (void)pthread_mutex_init(&pool->lock, NULL); /* cannot fail without attributes */
    return 0;
}

void flow_pool_fini(struct flow_pool *pool)
{
    if (pool->entries != NULL) {
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool->entries);
        pool->entries = NULL;
    }
}

/* The difference of 32-bit times is right for 49 days; a number that has rested for longer may have
 * to once more. */
static uint32_t take_rested(struct flow_pool *pool, uint32_t now_ms)
{
    const uint32_t number = pool->oldest;

    if (number == 0 || now_ms - pool->entries[number].since_ms < pool->rest_ms) {
        return 0;
    }
    pool->oldest = pool->entries[number].next;
    if (pool->oldest == 0) {
        pool->newest = 0;
    }
    return number;
}

uint32_t flow_pool_get(struct flow_pool *pool, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&pool->lock);
    uint32_t number = take_rested(pool, (uint32_t)now_ms);
    if (number == 0 && pool->touched < pool->max) {
        number = ++pool->touched;
    }
    if (number != 0) {
        pool->entries[number].next = OUT;
        __atomic_fetch_add(&pool->used, 1, __ATOMIC_RELAXED);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return number;
}

void flow_pool_put(struct flow_pool *pool, uint32_t number, uint64_t now_ms)
{
    (void)pthread_mutex_lock(&pool->lock);
    assert(number > 0 && number <= pool->max && pool->entries[number].next == OUT);
    pool->entries[number] = (struct flow_pool_entry){.since_ms = (uint32_t)now_ms};
    if (pool->newest != 0) {
        pool->entries[pool->newest].next = number;
    } else {
        pool->oldest = number;
    }
    pool->newest = number;
    __atomic_fetch_sub(&pool->used, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&pool->lock);
}

uint32_t flow_pool_used(const struct flow_pool *pool)
{
    return __atomic_load_n(&pool->used, __ATOMIC_RELAXED);
}
