/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CHUNK_BYTES = 32 * 1024 };

struct chunk {
    struct chunk *next;
    max_align_t objects[];
};

struct free_object {
    struct free_object *next;
};

struct slab {
    struct chunk *chunks;
    struct free_object *free;
    size_t size; /* of one object, rounded up to the strictest alignment */
    uint32_t per_chunk;
    uint32_t count; /* objects out */
    uint32_t made;  /* objects that exist */
    uint32_t max_count;
};

struct slab *slab_new(size_t size, uint32_t max_count)
{
    const size_t align = _Alignof(max_align_t);
    struct slab *slab = mem_new(1, sizeof(*slab));

    assert(size > 0 && max_count > 0);
    if (slab == NULL) {
        return NULL;
    }
    slab->size = (size + align - 1) / align * align;
    slab->max_count = max_count;
    slab->per_chunk = (uint32_t)((CHUNK_BYTES - sizeof(struct chunk)) / slab->size);
    if (slab->per_chunk == 0) {
        slab->per_chunk = 1;
    }
    return slab;
}

void slab_free(struct slab *slab)
{
    if (slab == NULL) {
        return;
    }
    while (slab->chunks != NULL) {
        struct chunk *chunk = slab->chunks;
        slab->chunks = chunk->next;
        free(chunk);
    }
    free(slab);
}

/* Make one more chunk's worth of free objects. */
static void slab_grow(struct slab *slab)
{
    uint32_t count = slab->max_count - slab->made;
    if (count > slab->per_chunk) {
        count = slab->per_chunk;
    }
    struct chunk *chunk = malloc(sizeof(*chunk) + count * slab->size);
    if (chunk == NULL) {
        return;
    }
    chunk->next = slab->chunks;
    slab->chunks = chunk;
    slab->made += count;
    for (uint32_t i = count; i-- > 0;) {
        struct free_object *object = (void *)((char *)chunk->objects + i * slab->size);
        object->next = slab->free;
        slab->free = object;
    }
}

void *slab_get(struct slab *slab)
{
    if (mem_fails()) {
        return NULL;
    }
    if (slab->free == NULL && slab->made < slab->max_count) {
        slab_grow(slab);
    }
    struct free_object *object = slab->free;
    if (object == NULL) {
        return NULL;
    }
    slab->free = object->next;
    slab->count++;
    memset(object, 0, slab->size);
    return object;
}

void slab_put(struct slab *slab, void *object)
{
    if (object == NULL) {
        return;
    }
    assert(slab->count > 0);
    struct free_object *node = object;
    node->next = slab->free;
    slab->free = node;
    slab->count--;
}

uint32_t slab_count(const struct slab *slab)
{
    return slab->count;
}
