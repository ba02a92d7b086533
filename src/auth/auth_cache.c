/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_cache.h"

#include <errno.h>
#include <stdlib.h>

#include "auth/auth_hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/slab.h"
#include "base/table.h"

enum { FOUND, ABSENT, KINDS };

struct entry {
    uint8_t id[AUTH_ID_LEN];
    struct list by_use; /* least recently used first */
    uint64_t expires_ms;
    enum auth_answer answer;
    bool by_hash;
    uint8_t userhash[CRYPTO_SHA256_LEN]; /* when by_hash */
    struct store_name name;
    uint16_t realm_len;
    uint8_t realm[CREDENTIAL_REALM_MAX];
    struct credential_key key;
    struct auth_extra extra;
};

struct auth_cache {
    struct auth_hash hash[2]; /* of names, of user hashes */
    struct table table;
    struct slab *slab;
    struct list by_use[KINDS];
    uint32_t count[KINDS];
    uint32_t capacity;
    uint32_t absent_max;
};

/* What strangers can have us keep is of the second kind. */
static int kind_for(enum auth_answer answer, const struct auth_extra *extra)
{
    return answer == AUTH_FOUND && !extra->guessed ? FOUND : ABSENT;
}

static int kind_of(const struct entry *entry)
{
    return kind_for(entry->answer, &entry->extra);
}

struct auth_cache *auth_cache_new(uint32_t capacity)
{
    struct auth_cache *cache = mem_new(1, sizeof(*cache));

    if (cache == NULL) {
        return NULL;
    }
    cache->capacity = capacity == 0 ? 1 : capacity;
    cache->absent_max = cache->capacity / 4 + (cache->capacity < 4 ? 1 : 0);
    cache->slab = slab_new(sizeof(struct entry), cache->capacity);
    list_init(&cache->by_use[FOUND]);
    list_init(&cache->by_use[ABSENT]);
    if (cache->slab == NULL || auth_hash_init(&cache->hash[0]) < 0 ||
        auth_hash_init(&cache->hash[1]) < 0) {
        slab_free(cache->slab);
        free(cache);
        return NULL;
    }
    table_init(&cache->table, offsetof(struct entry, id), AUTH_ID_LEN, cache->hash[0].table);
    return cache;
}

static void entry_drop(struct auth_cache *cache, struct entry *entry)
{
    list_remove(&entry->by_use);
    (void)table_remove(&cache->table, entry->id);
    cache->count[kind_of(entry)]--;
    secret_wipe(entry, sizeof(*entry));
    slab_put(cache->slab, entry);
}

static void oldest_drop(struct auth_cache *cache, int kind)
{
    if (!list_empty(&cache->by_use[kind])) {
        entry_drop(cache, CONTAINER_OF(cache->by_use[kind].next, struct entry, by_use));
    }
}

void auth_cache_clear(struct auth_cache *cache)
{
    while (cache->count[FOUND] > 0) {
        oldest_drop(cache, FOUND);
    }
    while (cache->count[ABSENT] > 0) {
        oldest_drop(cache, ABSENT);
    }
}

void auth_cache_free(struct auth_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    auth_cache_clear(cache);
    table_fini(&cache->table);
    slab_free(cache->slab);
    free(cache);
}

static struct entry *entry_find(const struct auth_cache *cache, const struct auth_who *who,
                                uint8_t id[AUTH_ID_LEN])
{
    auth_hash_pair(&cache->hash[who->by_hash ? 1 : 0], who->realm, who->bytes, id);
    struct entry *entry = table_find(&cache->table, id);
    if (entry == NULL || entry->by_hash != who->by_hash ||
        !bytes_equal((struct bytes){entry->realm, entry->realm_len}, who->realm)) {
        return NULL;
    }
    const struct bytes held = entry->by_hash
                                  ? (struct bytes){entry->userhash, sizeof(entry->userhash)}
                                  : (struct bytes){entry->name.bytes, entry->name.len};
    return bytes_equal(held, who->bytes) ? entry : NULL;
}

int auth_cache_find(struct auth_cache *cache, const struct auth_who *who, uint64_t now_ms,
                    struct auth_entry *out)
{
    uint8_t id[AUTH_ID_LEN];
    struct entry *entry = entry_find(cache, who, id);

    if (entry == NULL) {
        return -ENOENT;
    }
    list_remove(&entry->by_use);
    list_push(&cache->by_use[kind_of(entry)], &entry->by_use);
    *out = (struct auth_entry){
        .answer = entry->answer,
        .fresh = now_ms < entry->expires_ms,
        .name = &entry->name,
        .key = &entry->key,
        .extra = entry->extra.outside ? &entry->extra : NULL,
    };
    return 0;
}

/* A zeroed entry, made room for. */
static struct entry *entry_get(struct auth_cache *cache, int kind)
{
    if (kind == ABSENT && cache->count[ABSENT] >= cache->absent_max) {
        oldest_drop(cache, ABSENT);
    }
    if (cache->count[FOUND] + cache->count[ABSENT] >= cache->capacity) {
        oldest_drop(cache, cache->count[ABSENT] > 0 ? ABSENT : FOUND);
    }
    return slab_get(cache->slab);
}

static void entry_fill(struct entry *entry, const struct auth_lookup *lookup,
                       enum auth_answer answer)
{
    const struct store_keys *keys = &lookup->keys;

    entry->answer = answer;
    entry->by_hash = lookup->by_hash;
    entry->realm_len = lookup->realm_len;
    memcpy(entry->realm, lookup->realm, lookup->realm_len);
    if (lookup->by_hash) {
        memcpy(entry->userhash, lookup->asked.bytes, sizeof(entry->userhash));
    } else {
        entry->name.len = lookup->asked.len;
        memcpy(entry->name.bytes, lookup->asked.bytes, lookup->asked.len);
    }
    entry->extra = lookup->extra;
    if (answer != AUTH_FOUND) {
        return;
    }
    entry->name.len = lookup->name.len;
    memcpy(entry->name.bytes, lookup->name.bytes, lookup->name.len);
    entry->key.has_md5 = keys->has_md5;
    entry->key.has_sha256 = keys->has_sha256;
    memcpy(entry->key.md5, keys->md5, sizeof(keys->md5));
    memcpy(entry->key.sha256, keys->sha256, sizeof(keys->sha256));
}

void auth_cache_put(struct auth_cache *cache, const struct auth_lookup *lookup, uint32_t ttl_ms,
                    uint64_t now_ms)
{
    const struct auth_who who = auth_lookup_who(lookup);
    enum auth_answer answer = AUTH_FOUND;
    uint8_t id[AUTH_ID_LEN];
    struct entry *old = entry_find(cache, &who, id);

    if (lookup->result < 0) {
        answer = lookup->result == -ENOENT ? AUTH_ABSENT : AUTH_FAILED;
    }
    /* A user from outside is never let in on an answer whose time is over. */
    if (old != NULL && answer == AUTH_FAILED && !old->extra.outside && !lookup->extra.outside) {
        old->expires_ms = now_ms + ttl_ms;
        return;
    }
    if (old != NULL) {
        entry_drop(cache, old);
    }
    struct entry *entry = entry_get(cache, kind_for(answer, &lookup->extra));
    if (entry == NULL) {
        return; /* without memory: the question will be asked again */
    }
    entry_fill(entry, lookup, answer);
    memcpy(entry->id, id, sizeof(id));
    entry->expires_ms = now_ms + ttl_ms;
    list_init(&entry->by_use);
    if (table_insert(&cache->table, entry) < 0) {
        secret_wipe(entry, sizeof(*entry));
        slab_put(cache->slab, entry);
        return;
    }
    list_push(&cache->by_use[kind_of(entry)], &entry->by_use);
    cache->count[kind_of(entry)]++;
}

uint32_t auth_cache_count(const struct auth_cache *cache)
{
    return cache->count[FOUND] + cache->count[ABSENT];
}

uint32_t auth_cache_count_absent(const struct auth_cache *cache)
{
    return cache->count[ABSENT];
}
