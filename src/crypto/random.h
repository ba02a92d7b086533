/* SPDX-License-Identifier: Apache-2.0 */
/* A cryptographically secure generator with a buffer, so that a transaction ID on the packet path
 * costs a copy and not a call into libcrypto.
 *
 * Owner   one thread; after fork() the child makes its own, or both would say the same.
 * Thread  that thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct crypto_random;

/* A generator keyed by the operating system; NULL without memory or entropy. */
MUST_USE struct crypto_random *crypto_random_new(void);

/* A generator whose whole output follows from `seed`: for simulations and tests only. */
MUST_USE struct crypto_random *crypto_random_new_seeded(uint64_t seed);

/* Wipe and release.  NULL is allowed. */
void crypto_random_free(struct crypto_random *random);

/* Fill `n` bytes at `out`.  Bytes handed out are erased from the buffer.  Hot path.
 * Takes the generator as `void *` so that it fits an effect table. */
void crypto_random_fill(void *generator, uint8_t *out, size_t n);
