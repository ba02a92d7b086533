/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stream_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab.h"

struct stream_block {
    struct stream_block *next;
    uint32_t room; /* bytes of data */
    uint32_t end;  /* where the next message goes */
    uint32_t at;   /* where the first message that is left begins */
    uint32_t live; /* messages that are left and were not dropped */
    bool pooled;
    _Alignas(8) uint8_t data[]; /* messages */
};

/* In front of every message, which is followed by nothing until the next multiple of 8. */
struct message {
    uint64_t at_ms;
    uint32_t len;
    uint32_t kind;
};

enum { HEAD = sizeof(struct message), IN_BLOCK = STREAM_BLOCK - sizeof(struct stream_block) };

static uint32_t place_bytes(uint32_t len)
{
    return HEAD + ((len + 7U) & ~7U);
}

static struct message *message_at(struct stream_block *b, uint32_t at)
{
    return (struct message *)(void *)(b->data + at);
}

static size_t block_bytes(const struct stream_block *b)
{
    return sizeof(*b) + b->room;
}

static struct stream_block *block_new(struct stream_pool *pool, uint32_t need)
{
    const bool pooled = need <= IN_BLOCK;
    const uint32_t room = pooled ? (uint32_t)IN_BLOCK : need;

    if (pool->held + sizeof(struct stream_block) + room > pool->limit) {
        return NULL;
    }
    struct stream_block *b =
        pooled ? slab_get(pool->blocks) : mem_new(1, sizeof(struct stream_block) + room);
    if (b == NULL) {
        return NULL;
    }
    b->room = room;
    b->pooled = pooled;
    pool->held += block_bytes(b);
    return b;
}

static void block_free(struct stream_pool *pool, struct stream_block *b)
{
    pool->held -= block_bytes(b);
    if (b->pooled) {
        slab_put(pool->blocks, b);
    } else {
        free(b);
    }
}

int stream_queue_put(struct stream_queue *q, struct stream_pool *pool, enum stream_queue_kind kind,
                     const uint8_t *data, uint32_t len, uint64_t now_ms)
{
    const uint32_t need = place_bytes(len);

    if (q->last == NULL || q->last->room - q->last->end < need) {
        struct stream_block *b = block_new(pool, need);
        if (b == NULL) {
            return -ENOMEM;
        }
        if (q->last == NULL) {
            q->first = b;
        } else {
            q->last->next = b;
        }
        q->last = b;
    }
    struct message *m = message_at(q->last, q->last->end);
    *m = (struct message){.at_ms = now_ms, .len = len, .kind = (uint32_t)kind};
    memcpy(m + 1, data, len);
    q->last->end += need;
    q->last->live++;
    q->bytes[kind] += len;
    return 0;
}

/* Step past the first message; its bytes are accounted for already. */
static void first_release(struct stream_queue *q, struct stream_pool *pool)
{
    struct stream_block *b = q->first;
    const struct message *m = message_at(b, b->at);

    b->live -= m->kind != QUEUE_DROPPED ? 1 : 0;
    b->at += place_bytes(m->len);
    q->sent = 0;
    if (b->at < b->end) {
        return;
    }
    q->first = b->next;
    if (q->first == NULL) {
        q->last = NULL;
    }
    block_free(pool, b);
}

static void dropped_release(struct stream_queue *q, struct stream_pool *pool)
{
    while (q->first != NULL && message_at(q->first, q->first->at)->kind == QUEUE_DROPPED) {
        first_release(q, pool);
    }
}

void stream_queue_skip(struct stream_queue *q, uint32_t sent)
{
    const struct message *m = message_at(q->first, q->first->at);

    assert(q->sent + sent < m->len);
    q->sent += sent;
    q->bytes[m->kind] -= sent;
}

size_t stream_queue_peek(const struct stream_queue *q, struct iovec *vec, size_t max, size_t bytes)
{
    uint32_t skip = q->sent;
    size_t n = 0;
    size_t sum = 0;

    for (struct stream_block *b = q->first; b != NULL; b = b->next) {
        for (uint32_t at = b->at; at < b->end; at += place_bytes(message_at(b, at)->len)) {
            struct message *m = message_at(b, at);
            if (m->kind == QUEUE_DROPPED) {
                continue;
            }
            if (n == max || sum >= bytes) {
                return n;
            }
            vec[n++] = (struct iovec){(uint8_t *)(m + 1) + skip, m->len - skip};
            sum += m->len - skip;
            skip = 0;
        }
    }
    return n;
}

uint32_t stream_queue_pop(struct stream_queue *q, struct stream_pool *pool, size_t n)
{
    uint32_t done = 0;

    while (q->first != NULL) {
        const struct message *m = message_at(q->first, q->first->at);
        const size_t left = m->len - q->sent;
        if (n < left) {
            q->sent += (uint32_t)n;
            q->bytes[m->kind] -= (uint32_t)n;
            break;
        }
        n -= left;
        q->bytes[m->kind] -= (uint32_t)left;
        first_release(q, pool);
        dropped_release(q, pool);
        done++;
        if (n == 0) {
            break;
        }
    }
    return done;
}

/* The oldest datagram of `b` from `at` on, or NULL. */
static struct message *datagram_in(struct stream_block *b, uint32_t at)
{
    for (; at < b->end; at += place_bytes(message_at(b, at)->len)) {
        if (message_at(b, at)->kind == QUEUE_DATAGRAM) {
            return message_at(b, at);
        }
    }
    return NULL;
}

/* Release `b`, behind `before`, when nothing that lives is left in it: a first message that does
 * not get on must not keep what was dropped behind it. */
static void block_unlink(struct stream_queue *q, struct stream_pool *pool,
                         struct stream_block *before, struct stream_block *b)
{
    if (before == NULL || b->live > 0) {
        return;
    }
    before->next = b->next;
    if (q->last == b) {
        q->last = before;
    }
    block_free(pool, b);
}

uint32_t stream_queue_drop(struct stream_queue *q, struct stream_pool *pool, uint64_t before_ms)
{
    struct stream_block *before = NULL;

    for (struct stream_block *b = q->first; b != NULL; before = b, b = b->next) {
        const bool begun = before == NULL && q->sent > 0;
        struct message *m =
            datagram_in(b, begun ? b->at + place_bytes(message_at(b, b->at)->len) : b->at);
        if (m == NULL) {
            continue;
        }
        if (m->at_ms > before_ms) {
            return 0; /* all that follow are younger */
        }
        const uint32_t len = m->len;
        m->kind = QUEUE_DROPPED;
        b->live--;
        q->bytes[QUEUE_DATAGRAM] -= len;
        block_unlink(q, pool, before, b);
        dropped_release(q, pool);
        return len;
    }
    return 0;
}

void stream_queue_clear(struct stream_queue *q, struct stream_pool *pool)
{
    while (q->first != NULL) {
        struct stream_block *b = q->first;
        q->first = b->next;
        block_free(pool, b);
    }
    *q = (struct stream_queue){.first = NULL};
}
