/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of borrowed objects, found by a key that lies inside them.
 *
 * Open addressing with Robin Hood placement: a look-up touches one run of 16-byte slots.  The hash
 * is keyed, so strangers who choose addresses cannot aim at one slot.  Growth doubles the slots and
 * happens on insertion only.
 *
 * Owner   one worker; the objects stay their owner's.  Thread  that worker. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"

struct table_slot {
    void *object;
    uint32_t hash;
    uint32_t distance; /* slots away from home, plus one; 0 is empty */
};

struct table {
    struct table_slot *slots;
    uint32_t mask;
    uint32_t count;
    uint32_t key_offset;
    uint32_t key_len;
    struct hash_key key;
};

/* Prepare an empty table for objects that hold `key_len` bytes of key at `key_offset`; `key` is
 * the hash's secret.  Memory is taken by the first insertion. */
void table_init(struct table *t, size_t key_offset, size_t key_len, struct hash_key key);

/* Release the slots; the objects are untouched. */
void table_fini(struct table *t);

/* The object with `key` (key_len bytes), or NULL.  Hot path. */
void *table_find(const struct table *t, const void *key);

/* Add `object`.  Returns 0; -EEXIST when its key is there already; -ENOMEM; the table is unchanged
 * on failure. */
MUST_USE int table_insert(struct table *t, void *object);

/* Remove the object with `key` and return it; NULL when there is none. */
void *table_remove(struct table *t, const void *key);

/* The next object after slot `*at` (start with 0), or NULL at the end.  The table may not be
 * changed during the walk. */
void *table_next(const struct table *t, uint32_t *at);
