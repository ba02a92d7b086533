/* SPDX-License-Identifier: Apache-2.0 */
#include "log/ring.h"

#include <assert.h>
#include <string.h>

/* Each record lies behind its size, padded to 8 bytes. */
#define PREFIX sizeof(uint64_t)

static size_t padded(size_t n)
{
    return PREFIX + ((n + 7) & ~(size_t)7);
}

uint8_t *ring_room(struct ring *ring)
{
    const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

    if (head - tail + padded(RECORD_MAX) > RING_BYTES) {
        return NULL;
    }
    return ring->data + head % RING_BYTES + PREFIX;
}

void ring_commit(struct ring *ring, size_t n)
{
    assert(n <= RECORD_MAX);
    const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const uint64_t size = n;

    memcpy(ring->data + head % RING_BYTES, &size, PREFIX);
    /* Sequentially consistent, as is ring_used(): the producer then looks whether the writer
     * sleeps, and the writer, about to sleep, looks whether a ring is used; one must see the
     * other. */
    atomic_store(&ring->head, head + padded(n));
}

void ring_drop(struct ring *ring)
{
    const uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
}

const uint8_t *ring_front(const struct ring *ring)
{
    const size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (tail == atomic_load_explicit(&ring->head, memory_order_acquire)) {
        return NULL;
    }
    return ring->data + tail % RING_BYTES + PREFIX;
}

void ring_pop(struct ring *ring)
{
    const size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t size;

    memcpy(&size, ring->data + tail % RING_BYTES, PREFIX);
    atomic_store_explicit(&ring->tail, tail + padded(size), memory_order_release);
}

bool ring_used(const struct ring *ring)
{
    return atomic_load(&ring->head) != atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

uint64_t ring_dropped(const struct ring *ring)
{
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
