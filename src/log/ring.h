/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded ring of variable-sized records between one producer and one consumer thread.
 *
 * A record always lies in one piece: one that starts near the end runs on into spare room behind
 * it, and the next one starts at the matching place near the beginning.
 *
 * Owner   rings.c.
 * Thread  ring_room(), ring_commit(), ring_drop(): the producer; ring_front(), ring_pop(): the
 *         consumer; ring_used(), ring_dropped(): any. */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "log/record.h"

#define RING_BYTES ((size_t)256 * 1024) /* a power of two: some 1500 records of common size */

struct ring {
    alignas(64) _Atomic size_t head; /* bytes ever put in */
    _Atomic uint64_t dropped;
    alignas(64) _Atomic size_t tail; /* bytes ever taken out */
    alignas(64) uint8_t data[RING_BYTES + sizeof(uint64_t) + RECORD_MAX];
};

/* Room for one record of up to RECORD_MAX bytes, aligned to 8; NULL when full. */
uint8_t *ring_room(struct ring *ring);

/* Publish the `n` bytes that were filled into ring_room(). */
void ring_commit(struct ring *ring, size_t n);

/* Count a record that found no room. */
void ring_drop(struct ring *ring);

/* The oldest record, or NULL when empty; it stays valid until ring_pop(). */
const uint8_t *ring_front(const struct ring *ring);

/* Remove the record that ring_front() showed. */
void ring_pop(struct ring *ring);

bool ring_used(const struct ring *ring);
uint64_t ring_dropped(const struct ring *ring);
