/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/auth_cache.h"
#include "auth/auth_keys.h"
#include "auth/auth_rest.h"
#include "auth/auth_service.h"
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/rest.h"

enum {
    LOOKUPS = 64, /* under way at a time, of one worker */
    ABSENT_TTL_MS = 5000,
    FAILED_TTL_MS = 2000,
};

struct auth_worker {
    struct auth_service *service;
    struct auth_snapshot *snapshot;
    struct auth_cache *cache;
    struct crypto_mac *mac;
    void (*wake)(void *arg);
    void *wake_arg;
    struct auth_lookup lookups[LOOKUPS];
    pthread_mutex_t lock; /* guards `answered` */
    struct list answered;
};

int auth_worker_new(struct auth_service *service, void (*wake)(void *arg), void *wake_arg,
                    struct auth_worker **out)
{
    struct auth_worker *w = mem_new(1, sizeof(*w));

    if (w == NULL) {
        return -ENOMEM;
    }
    w->service = service;
    w->wake = wake;
    w->wake_arg = wake_arg;
    list_init(&w->answered);
    w->cache = auth_cache_new(auth_service_cache_size(service));
    w->mac = crypto_mac_new();
    if (w->cache == NULL || w->mac == NULL || pthread_mutex_init(&w->lock, NULL) != 0) {
        auth_cache_free(w->cache);
        crypto_mac_free(w->mac);
        free(w);
        return -ENOMEM;
    }
    w->snapshot = auth_service_snapshot(service);
    *out = w;
    return 0;
}

void auth_worker_free(struct auth_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    auth_service_forget(worker->service, worker);
    auth_cache_free(worker->cache);
    crypto_mac_free(worker->mac);
    auth_snapshot_unref(worker->snapshot);
    (void)pthread_mutex_destroy(&worker->lock);
    secret_wipe(worker->lookups, sizeof(worker->lookups));
    free(worker);
}

/* Follow the service to its newest snapshot. */
static void follow(struct auth_worker *w)
{
    if (w->snapshot->generation == auth_service_generation(w->service)) {
        return;
    }
    struct auth_snapshot *old = w->snapshot;
    w->snapshot = auth_service_snapshot(w->service);
    if (old->config->epoch != w->snapshot->config->epoch) {
        auth_cache_clear(w->cache);
    }
    auth_snapshot_unref(old);
}

static void name_set(struct credential_keys *out, struct bytes name)
{
    out->name_len = (uint16_t)name.n;
    out->quota_from = 0;
    out->quota_len = (uint16_t)name.n;
    memcpy(out->name, name.p, name.n);
}

static void fixed_give(const struct auth_user *user, struct credential_keys *out)
{
    name_set(out, user->name);
    out->count = user->key_count;
    memcpy(out->key, user->keys, user->key_count * sizeof(user->keys[0]));
}

/* The key that `secret` gives to the time-limited `name`.  0 or -EIO. */
static int rest_key(struct auth_worker *w, const struct auth_secret *secret, struct bytes name,
                    struct credential_key *out)
{
    char password[CRYPTO_REST_LEN + 1];
    int err =
        crypto_rest_password(w->mac, (struct bytes){secret->bytes, secret->len}, name, password);
    if (err == 0) {
        err = auth_keys_make(name, auth_config_realm(w->snapshot->config), bytes_of(password), out);
    }
    secret_wipe(password, sizeof(password));
    return err;
}

/* Add the keys of a time-limited name; none when it is not one, or too old.  Its age is judged at
 * the Allocate alone: an allocation outlives the credential that made it. */
static void rest_give(struct auth_worker *w, const struct credential_query *query, uint64_t wall_s,
                      struct credential_keys *out)
{
    const struct auth_snapshot *snapshot = w->snapshot;
    struct auth_rest rest;

    if (snapshot->secrets.count == 0 ||
        auth_rest_parse(query->username, snapshot->config->separator, &rest) < 0 ||
        (query->allocate && rest.expiry_s < wall_s)) {
        return;
    }
    for (uint32_t i = 0; i < snapshot->secrets.count; i++) {
        if (rest_key(w, &snapshot->secrets.secrets[i], query->username, &out->key[out->count]) ==
            0) {
            out->count++;
        }
    }
    out->quota_from = rest.user_from;
    out->quota_len = rest.user_len;
}

/* Ask the database, unless that question is under way.  -EAGAIN; -EBUSY. */
static int ask(struct auth_worker *w, const struct auth_who *who)
{
    struct auth_lookup *idle = NULL;

    for (size_t i = 0; i < LOOKUPS; i++) {
        struct auth_lookup *lookup = &w->lookups[i];
        const struct auth_who asked = auth_lookup_who(lookup);
        if (!lookup->under_way) {
            idle = lookup;
        } else if (asked.by_hash == who->by_hash && bytes_equal(asked.bytes, who->bytes)) {
            return -EAGAIN;
        }
    }
    if (idle == NULL) {
        return -EBUSY;
    }
    idle->worker = w;
    idle->under_way = true;
    idle->by_hash = who->by_hash;
    idle->asked.len = (uint16_t)who->bytes.n;
    memcpy(idle->asked.bytes, who->bytes.p, who->bytes.n);
    list_init(&idle->node);
    auth_service_ask(w->service, idle);
    return -EAGAIN;
}

/* Add the key of a user of the database.  0, -ENOENT, -EAGAIN, -EBUSY. */
static int database_give(struct auth_worker *w, const struct auth_who *who, bool proven,
                         uint64_t now_ms, struct credential_keys *out)
{
    struct auth_entry entry;

    if (auth_cache_find(w->cache, who, now_ms, &entry) < 0 || !entry.fresh) {
        return proven ? ask(w, who) : -EBUSY;
    }
    if (entry.answer != AUTH_FOUND) {
        return entry.answer == AUTH_ABSENT ? -ENOENT : -EBUSY;
    }
    if (out->count == 0) {
        name_set(out, (struct bytes){entry.name->bytes, entry.name->len});
    }
    out->key[out->count++] = *entry.key;
    return 0;
}

static int find_hash(struct auth_worker *w, const struct credential_query *query, uint64_t now_ms,
                     struct credential_keys *out)
{
    const struct auth_config *config = w->snapshot->config;
    const struct auth_who who = {true, query->userhash};

    if (query->userhash.n != CRYPTO_SHA256_LEN) {
        return -ENOENT;
    }
    const struct auth_user *fixed = auth_users_find_hash(config->users, query->userhash.p);
    if (fixed != NULL) {
        fixed_give(fixed, out);
        return 0;
    }
    return config->ask_users ? database_give(w, &who, query->proven, now_ms, out) : -ENOENT;
}

static int find_name(struct auth_worker *w, const struct credential_query *query, uint64_t wall_s,
                     uint64_t now_ms, struct credential_keys *out)
{
    const struct auth_config *config = w->snapshot->config;
    const struct auth_who who = {false, query->username};
    const struct auth_user *fixed = auth_users_find(config->users, query->username);

    if (fixed != NULL) {
        fixed_give(fixed, out);
        return 0;
    }
    name_set(out, query->username);
    rest_give(w, query, wall_s, out);
    const bool limited = out->count > 0;
    if (!config->ask_users || (limited && !w->snapshot->may_have_users)) {
        return limited ? 0 : -ENOENT;
    }
    const int err = database_give(w, &who, query->proven, now_ms, out);
    /* The same name may stand in the database; but without the database its secrets do. */
    return limited && err != -EAGAIN ? 0 : err;
}

int auth_worker_find(struct auth_worker *worker, const struct credential_query *query,
                     uint64_t wall_s, uint64_t now_ms, struct credential_keys *out)
{
    follow(worker);
    out->count = 0;
    if (query->username.n > CREDENTIAL_NAME_MAX) {
        return -ENOENT;
    }
    if (query->username.n == 0) {
        return find_hash(worker, query, now_ms, out);
    }
    return find_name(worker, query, wall_s, now_ms, out);
}

static uint32_t ttl_of(const struct auth_worker *w, int result)
{
    const uint32_t ttl_ms = w->snapshot->config->ttl_ms;

    if (result == 0) {
        return ttl_ms;
    }
    if (result == -ENOENT) {
        return ttl_ms < ABSENT_TTL_MS ? ttl_ms : ABSENT_TTL_MS;
    }
    return FAILED_TTL_MS;
}

uint32_t auth_worker_collect(struct auth_worker *worker, uint64_t now_ms)
{
    uint32_t count = 0;

    follow(worker);
    for (;;) {
        (void)pthread_mutex_lock(&worker->lock);
        struct list *node = list_shift(&worker->answered);
        (void)pthread_mutex_unlock(&worker->lock);
        if (node == NULL) {
            return count;
        }
        struct auth_lookup *lookup = CONTAINER_OF(node, struct auth_lookup, node);
        if (lookup->epoch == worker->snapshot->config->epoch) {
            auth_cache_put(worker->cache, lookup, ttl_of(worker, lookup->result), now_ms);
        }
        secret_wipe(&lookup->keys, sizeof(lookup->keys));
        lookup->under_way = false;
        count++;
    }
}

void auth_worker_answer(struct auth_lookup *lookup)
{
    struct auth_worker *w = lookup->worker;

    (void)pthread_mutex_lock(&w->lock);
    list_push(&w->answered, &lookup->node);
    (void)pthread_mutex_unlock(&w->lock);
    w->wake(w->wake_arg);
}
