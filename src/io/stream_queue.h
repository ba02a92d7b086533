/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that wait to be sent, in the order of their coming, packed into blocks.
 *
 * A small message lies in a block of STREAM_BLOCK bytes beside others, a large one in a block of
 * its own; no message is ever split.  Datagrams may be dropped, oldest first, from between the
 * others; the message that has been sent in part stays.
 *
 * Owner   one connection; blocks come from the engine's pool, whose bound counts what blocks hold.
 * Thread  the engine's worker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"

struct slab;

enum { STREAM_BLOCK = 4096 };

enum stream_queue_kind { QUEUE_RAW, QUEUE_CONTROL, QUEUE_DATAGRAM, QUEUE_KINDS, QUEUE_DROPPED };

/* Where blocks come from. */
struct stream_pool {
    struct slab *blocks;
    uint64_t held; /* bytes of memory, blocks and whatever else counts */
    uint64_t limit;
};

struct stream_block;

struct stream_queue {
    struct stream_block *first;
    struct stream_block *last;
    uint32_t bytes[QUEUE_KINDS]; /* unsent, by kind */
    uint32_t sent;               /* of the first message */
};

/* Append a copy of `len` bytes.  0; -ENOMEM at the pool's limit or without memory. */
MUST_USE int stream_queue_put(struct stream_queue *q, struct stream_pool *pool,
                              enum stream_queue_kind kind, const uint8_t *data, uint32_t len,
                              uint64_t now_ms);

/* The first message has been sent up to `sent` bytes by whoever put it. */
void stream_queue_skip(struct stream_queue *q, uint32_t sent);

/* Point `vec` at the unsent bytes from the front: at most `max` pieces and some `bytes` bytes.
 * Returns how many pieces. */
size_t stream_queue_peek(const struct stream_queue *q, struct iovec *vec, size_t max, size_t bytes);

/* `n` bytes from the front have been sent.  Returns how many messages that completed. */
uint32_t stream_queue_pop(struct stream_queue *q, struct stream_pool *pool, size_t n);

/* Drop the oldest datagram that has not begun to be sent, if it was put at `before_ms` or earlier.
 * Returns its length, or 0. */
uint32_t stream_queue_drop(struct stream_queue *q, struct stream_pool *pool, uint64_t before_ms);

/* Forget everything. */
void stream_queue_clear(struct stream_queue *q, struct stream_pool *pool);

static inline bool stream_queue_empty(const struct stream_queue *q)
{
    return q->first == NULL;
}

static inline uint64_t stream_queue_bytes(const struct stream_queue *q)
{
    return (uint64_t)q->bytes[QUEUE_RAW] + q->bytes[QUEUE_CONTROL] + q->bytes[QUEUE_DATAGRAM];
}
