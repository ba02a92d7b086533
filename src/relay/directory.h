/* SPDX-License-Identifier: Apache-2.0 */
/* Which worker has a session: asked only for a client that has changed its address (RFC 8016) and
 * is heard by another worker than before.
 *
 * Owner   the relay server.  Thread  any; a mutex, never taken for a packet of a session that is
 *         where it is heard. */
#pragma once

#include <stdint.h>

#include "base/attr.h"

struct directory;

/* For at most `max_sessions`.  NULL without memory. */
MUST_USE struct directory *directory_new(uint32_t max_sessions);
void directory_free(struct directory *directory); /* NULL is allowed */

/* Session `session` is with `worker` now.  A full directory forgets it: the client cannot move
 * then.  NULL is allowed: nobody asks. */
void directory_put(struct directory *directory, uint64_t session, uint32_t worker);
void directory_remove(struct directory *directory, uint64_t session);

/* The worker, or -ENOENT. */
MUST_USE int directory_find(struct directory *directory, uint64_t session);
