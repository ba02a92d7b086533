/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of one size, with a hard limit on their number.
 *
 * Memory comes in chunks as the number of live objects grows and is kept until slab_free(): the
 * limit is the memory plan, and a get on a warm slab never enters the allocator.
 *
 * Owner   one worker.  Thread  that worker, no other. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct slab;

/* A slab of at most `max_count` (1..2^32-1) objects of `size` bytes.  Returns NULL without memory.
 */
MUST_USE struct slab *slab_new(size_t size, uint32_t max_count);

/* Release every object and the slab.  NULL is allowed. */
void slab_free(struct slab *slab);

/* A zeroed object, or NULL at the limit or without memory. */
MUST_USE void *slab_get(struct slab *slab);

/* Give `object` back.  NULL is allowed. */
void slab_put(struct slab *slab, void *object);

/* How many objects are out. */
uint32_t slab_count(const struct slab *slab);
