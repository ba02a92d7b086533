/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed byte views, a bounded writer, and big-endian loads and stores.
 *
 * Owner   nobody: a view borrows, a writer fills a buffer that its caller owns.
 * Thread  any; plain values. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

/* `n` bytes at `p`, borrowed.  `p` may be NULL only when n is 0. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

/* The bytes of a C string, without its end. */
static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* Take the first `n` bytes of `rest` into `*out` and step `rest` past them.
 * Returns 0; -EBADMSG when fewer are left, with both unchanged. */
MUST_USE int bytes_take(struct bytes *rest, size_t n, struct bytes *out);

/* True when both views hold the same bytes.  Not constant-time: secrets use crypto_equal(). */
bool bytes_equal(struct bytes a, struct bytes b);

/* Big-endian loads from any alignment. */
static inline uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* Big-endian stores to any alignment. */
static inline void be16_put(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
    be16_put(p, (uint16_t)(v >> 16));
    be16_put(p + 2, (uint16_t)v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
    be32_put(p, (uint32_t)(v >> 32));
    be32_put(p + 4, (uint32_t)v);
}

/* A writer over `cap` bytes at `p`.  The first write that does not fit sets `full`; from then on
 * every write is ignored, so an encoder checks once, at its end. */
struct writer {
    uint8_t *p;
    size_t cap;
    size_t len;
    bool full;
};

static inline struct writer writer_over(uint8_t *p, size_t cap)
{
    return (struct writer){.p = p, .cap = cap, .len = 0, .full = false};
}

/* Reserve `n` bytes and return where they start, to be filled by the caller; NULL when full. */
uint8_t *writer_room(struct writer *w, size_t n);
void writer_u8(struct writer *w, uint8_t v);
void writer_be16(struct writer *w, uint16_t v);
void writer_be32(struct writer *w, uint32_t v);
void writer_be64(struct writer *w, uint64_t v);
void writer_put(struct writer *w, const void *p, size_t n);
void writer_bytes(struct writer *w, struct bytes b);
void writer_zero(struct writer *w, size_t n);
