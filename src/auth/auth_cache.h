/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's memory of what the database answered, by realm and user name or USERHASH.
 *
 * At most `capacity` answers, of which at most a quarter say no or follow from the name alone:
 * names that strangers make up cannot push users out.  The least recently used answer gives way. An
 * answer that is too old is kept, as it may have to stand in while the database is away.
 *
 * Owner   an auth_worker.  Thread  that worker.  Clock  `now_ms` is passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_lookup.h"
#include "base/attr.h"
#include "crypto/credential.h"

struct auth_cache;

enum auth_answer {
    AUTH_FOUND,
    AUTH_ABSENT,
    AUTH_FAILED, /* the database could not tell, a moment ago */
};

struct auth_entry {
    enum auth_answer answer;
    bool fresh; /* else the database should be asked again */
    const struct store_name *name;
    const struct credential_key *key; /* when AUTH_FOUND */
    const struct auth_extra *extra;   /* in place of `key`; NULL: the database answered */
};

/* A cache for `capacity` answers (at least 1).  NULL without memory or randomness. */
MUST_USE struct auth_cache *auth_cache_new(uint32_t capacity);

/* Wipe and release.  NULL is allowed. */
void auth_cache_free(struct auth_cache *cache);

/* Forget everything. */
void auth_cache_clear(struct auth_cache *cache);

/* What is known about `who`.  0 with `*out`, borrowed until the next call; -ENOENT. */
MUST_USE int auth_cache_find(struct auth_cache *cache, const struct auth_who *who, uint64_t now_ms,
                             struct auth_entry *out);

/* Remember an answer until `now_ms + ttl_ms`.  `name` and `key` belong to AUTH_FOUND.  AUTH_FAILED
 * lengthens the life of an older answer of the database instead, if there is one. */
void auth_cache_put(struct auth_cache *cache, const struct auth_lookup *lookup, uint32_t ttl_ms,
                    uint64_t now_ms);

/* How many answers are held, and how many of these say no. */
uint32_t auth_cache_count(const struct auth_cache *cache);
uint32_t auth_cache_count_absent(const struct auth_cache *cache);
