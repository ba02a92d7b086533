/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { FIRST_SLOTS = 16 };

void table_init(struct table *t, size_t key_offset, size_t key_len, struct hash_key key)
{
    *t = (struct table){
        .key_offset = (uint32_t)key_offset,
        .key_len = (uint32_t)key_len,
        .key = key,
    };
}

void table_fini(struct table *t)
{
    free(t->slots);
    t->slots = NULL;
    t->mask = 0;
    t->count = 0;
}

static const void *key_of(const struct table *t, const void *object)
{
    return (const char *)object + t->key_offset;
}

/* The slot that holds `key`, or NULL. */
static struct table_slot *slot_find(const struct table *t, const void *key, uint32_t hash)
{
    if (t->count == 0) {
        return NULL;
    }
    uint32_t at = hash & t->mask;
    for (uint32_t distance = 1; t->slots[at].distance >= distance; distance++) {
        struct table_slot *slot = &t->slots[at];
        if (slot->hash == hash && memcmp(key_of(t, slot->object), key, t->key_len) == 0) {
            return slot;
        }
        at = (at + 1) & t->mask;
    }
    return NULL;
}

void *table_find(const struct table *t, const void *key)
{
    const struct table_slot *slot =
        slot_find(t, key, (uint32_t)hash_bytes(&t->key, key, t->key_len));
    return slot == NULL ? NULL : slot->object;
}

/* Place an object that is known to be absent, richer slots giving way to poorer ones. */
static void slot_place(struct table *t, void *object, uint32_t hash)
{
    struct table_slot carried = {object, hash, 1};
    uint32_t at = hash & t->mask;

    while (t->slots[at].distance != 0) {
        if (t->slots[at].distance < carried.distance) {
            const struct table_slot poorer = carried;
            carried = t->slots[at];
            t->slots[at] = poorer;
        }
        at = (at + 1) & t->mask;
        carried.distance++;
    }
    t->slots[at] = carried;
}

static int table_grow(struct table *t)
{
    const uint32_t old_count = t->slots == NULL ? 0 : t->mask + 1;
    const uint32_t new_count = old_count == 0 ? FIRST_SLOTS : old_count * 2;
    struct table_slot *old = t->slots;
    struct table_slot *slots = mem_new(new_count, sizeof(*slots));

    if (slots == NULL) {
        return -ENOMEM;
    }
    t->slots = slots;
    t->mask = new_count - 1;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].distance != 0) {
            slot_place(t, old[i].object, old[i].hash);
        }
    }
    free(old);
    return 0;
}

int table_insert(struct table *t, void *object)
{
    const void *key = key_of(t, object);
    const uint32_t hash = (uint32_t)hash_bytes(&t->key, key, t->key_len);

    if (slot_find(t, key, hash) != NULL) {
        return -EEXIST;
    }
    /* At most three quarters full: the mean look-up stays within two slots. */
    if (t->slots == NULL || t->count + 1 > t->mask - t->mask / 4) {
        const int err = table_grow(t);
        if (err < 0) {
            return err;
        }
    }
    slot_place(t, object, hash);
    t->count++;
    return 0;
}

void *table_remove(struct table *t, const void *key)
{
    struct table_slot *slot = slot_find(t, key, (uint32_t)hash_bytes(&t->key, key, t->key_len));
    if (slot == NULL) {
        return NULL;
    }
    void *object = slot->object;
    uint32_t at = (uint32_t)(slot - t->slots);
    for (;;) { /* pull the rest of the run one slot towards home */
        const uint32_t next = (at + 1) & t->mask;
        if (t->slots[next].distance <= 1) {
            break;
        }
        t->slots[at] = t->slots[next];
        t->slots[at].distance--;
        at = next;
    }
    t->slots[at] = (struct table_slot){NULL, 0, 0};
    t->count--;
    return object;
}

void *table_next(const struct table *t, uint32_t *at)
{
    if (t->slots == NULL) {
        return NULL;
    }
    while (*at <= t->mask) {
        const struct table_slot *slot = &t->slots[(*at)++];
        if (slot->distance != 0) {
            return slot->object;
        }
    }
    return NULL;
}
