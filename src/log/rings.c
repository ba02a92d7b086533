/* SPDX-License-Identifier: Apache-2.0 */
#include "log/rings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "log/ring.h"

static struct {
    pthread_mutex_t lock; /* guards `taken` and changes of the others; never held for long */
    struct ring *ring[RINGS_MAX];
    bool taken[RINGS_MAX];
    _Atomic unsigned count; /* rings made; those below it never change */
    _Atomic uint64_t dropped;
    pthread_key_t key; /* its destructor gives the ring of an ending thread back */
    bool key_made;
} rings = {.lock = PTHREAD_MUTEX_INITIALIZER};

static pthread_once_t rings_once = PTHREAD_ONCE_INIT;
static _Thread_local struct ring *mine;

static void ring_give_back(void *arg)
{
    const struct ring *ring = arg;

    mine = NULL;
    (void)pthread_mutex_lock(&rings.lock);
    for (unsigned i = 0; i < rings.count; i++) {
        if (rings.ring[i] == ring) {
            rings.taken[i] = false;
        }
    }
    (void)pthread_mutex_unlock(&rings.lock);
}

static void make_key(void)
{
    rings.key_made = pthread_key_create(&rings.key, ring_give_back) == 0;
}

/* A ring for itself at slot `i`, behind the last.  The lock is held. */
static struct ring *ring_make(unsigned i)
{
    struct ring *ring = mem_fails() ? NULL : aligned_alloc(alignof(struct ring), sizeof(*ring));

    if (ring == NULL) {
        return NULL;
    }
    atomic_init(&ring->head, 0);
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->dropped, 0);
    rings.ring[i] = ring;
    atomic_store(&rings.count, i + 1); /* in one order with the look of ring_commit() */
    return ring;
}

/* Any ring that no thread has.  The lock is held. */
static struct ring *ring_take(void)
{
    unsigned i = 0;

    while (i < rings.count && rings.taken[i]) {
        i++;
    }
    if (i == RINGS_MAX) {
        return NULL;
    }
    struct ring *ring = i < rings.count ? rings.ring[i] : ring_make(i);
    if (ring != NULL) {
        rings.taken[i] = true;
    }
    return ring;
}

struct ring *rings_mine(void)
{
    if (likely(mine != NULL)) {
        return mine;
    }
    if (pthread_once(&rings_once, make_key) != 0 || !rings.key_made) {
        return NULL;
    }
    (void)pthread_mutex_lock(&rings.lock);
    struct ring *ring = ring_take();
    (void)pthread_mutex_unlock(&rings.lock);
    if (ring != NULL && pthread_setspecific(rings.key, ring) != 0) {
        ring_give_back(ring);
        return NULL;
    }
    mine = ring;
    return ring;
}

void rings_drop(void)
{
    atomic_fetch_add_explicit(&rings.dropped, 1, memory_order_relaxed);
}

struct ring *rings_oldest(void)
{
    const unsigned count = atomic_load_explicit(&rings.count, memory_order_acquire);
    struct ring *oldest = NULL;
    uint64_t oldest_ms = UINT64_MAX;

    for (unsigned i = 0; i < count; i++) {
        const uint8_t *front = ring_front(rings.ring[i]);
        if (front != NULL && record_time(front) < oldest_ms) {
            oldest = rings.ring[i];
            oldest_ms = record_time(front);
        }
    }
    return oldest;
}

bool rings_used(void)
{
    const unsigned count = atomic_load(&rings.count);

    for (unsigned i = 0; i < count; i++) {
        if (ring_used(rings.ring[i])) {
            return true;
        }
    }
    return false;
}

uint64_t rings_dropped(void)
{
    const unsigned count = atomic_load_explicit(&rings.count, memory_order_acquire);
    uint64_t dropped = atomic_load_explicit(&rings.dropped, memory_order_relaxed);

    for (unsigned i = 0; i < count; i++) {
        dropped += ring_dropped(rings.ring[i]);
    }
    return dropped;
}
