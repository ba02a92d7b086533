/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/auth_cache.h"
#include "auth/auth_jwt_shape.h"
#include "auth/auth_keys.h"
#include "auth/auth_rest.h"
#include "auth/auth_service.h"
#include "auth/auth_token.h"
#include "base/mem.h"
#include "base/secret.h"
#include "crypto/rest.h"

enum {
    LOOKUPS = 128, /* under way at a time, of one worker; at most half of them at the hook */
    ABSENT_TTL_MS = 5000,
    FAILED_TTL_MS = 2000,
};

struct auth_worker {
    struct auth_service *service;
    struct auth_snapshot *snapshot;
    struct auth_cache *cache;
    struct crypto_mac *mac;
    struct token_box *box;
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
    w->box = token_box_new();
    if (w->cache == NULL || w->mac == NULL || w->box == NULL ||
        pthread_mutex_init(&w->lock, NULL) != 0) {
        auth_cache_free(w->cache);
        crypto_mac_free(w->mac);
        token_box_free(w->box);
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
    token_box_free(worker->box);
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

/* One question: who asks, and what is known of the realm he asks in. */
struct asking {
    struct auth_worker *worker;
    const struct credential_query *query;
    const struct auth_known *known;
    struct bytes realm; /* its name, never empty where there is one */
    uint64_t wall_s;
    uint64_t now_ms;
    struct credential_keys *out;
};

/* The key that `secret` gives to the time-limited name.  0 or -EIO. */
static int rest_key(const struct asking *a, const struct auth_secret *secret,
                    struct credential_key *out)
{
    char password[CRYPTO_REST_LEN + 1];
    const struct bytes name = a->query->username;
    int err = crypto_rest_password(a->worker->mac, (struct bytes){secret->bytes, secret->len}, name,
                                   password);
    if (err == 0) {
        err = auth_keys_make(name, a->realm, bytes_of(password), out);
    }
    secret_wipe(password, sizeof(password));
    return err;
}

/* Add the keys of a time-limited name; none when it is not one, or too old.  Its age is judged at
 * the Allocate alone: an allocation outlives the credential that made it. */
static void rest_give(const struct asking *a)
{
    const struct auth_secrets *secrets = a->known->secrets;
    struct credential_keys *out = a->out;
    struct auth_rest rest;

    if (secrets == NULL || secrets->count == 0 ||
        auth_rest_parse(a->query->username, a->worker->snapshot->config->separator, &rest) < 0 ||
        (a->query->allocate && rest.expiry_s < a->wall_s)) {
        return;
    }
    for (uint32_t i = 0; i < secrets->count; i++) {
        if (rest_key(a, &secrets->secrets[i], &out->key[out->count]) == 0) {
            out->count++;
        }
    }
    out->quota_from = rest.user_from;
    out->quota_len = rest.user_len;
}

/* Ask the database, and whoever is behind it, unless that question is under way.  -EAGAIN; -EBUSY.
 */
static int ask(const struct asking *a, const struct auth_who *who)
{
    struct auth_worker *w = a->worker;
    struct auth_lookup *idle = NULL;

    for (size_t i = 0; i < LOOKUPS; i++) {
        struct auth_lookup *lookup = &w->lookups[i];
        const struct auth_who asked = auth_lookup_who(lookup);
        if (!lookup->under_way) {
            idle = lookup;
        } else if (asked.by_hash == who->by_hash && bytes_equal(asked.bytes, who->bytes) &&
                   bytes_equal(asked.realm, who->realm)) {
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
    idle->realm_len = (uint16_t)who->realm.n;
    memcpy(idle->realm, who->realm.p, who->realm.n);
    idle->database_only = who->by_hash || a->out->count > 0; /* secrets have made keys for it */
    idle->client = (struct net_addr){0};
    if (a->query->client != NULL) {
        idle->client = *a->query->client;
    }
    idle->transport = a->query->transport;
    idle->extra = (struct auth_extra){0};
    list_init(&idle->node);
    auth_service_ask(w->service, idle);
    return -EAGAIN;
}

/* Give what a token or the hook says.  The age of a token counts as that of a time-limited name. */
static int extra_give(const struct asking *a, const struct auth_entry *entry)
{
    const struct auth_extra *extra = entry->extra;
    struct credential_keys *out = a->out;

    if (out->count > 0 ||
        (a->query->allocate && extra->expiry_s != 0 && extra->expiry_s < a->wall_s)) {
        return -ENOENT;
    }
    name_set(out, (struct bytes){entry->name->bytes, entry->name->len});
    if (extra->account_len > 0) {
        out->quota_from = out->name_len;
        out->quota_len = extra->account_len;
        memcpy(out->name + out->name_len, extra->account, extra->account_len);
    }
    out->count = extra->key_count;
    memcpy(out->key, extra->key, extra->key_count * sizeof(extra->key[0]));
    return 0;
}

/* Is it an answer for who asks?  The hook may have judged by address and transport, too. */
static bool is_for(const struct credential_query *query, const struct auth_extra *extra)
{
    static const struct net_addr nobody;
    const struct net_addr *client = query->client != NULL ? query->client : &nobody;

    return extra == NULL || !extra->for_client ||
           (extra->transport == query->transport && net_ip_equal(&extra->client, &client->ip));
}

/* Add the key of a user of the database, or give what is known from outside.  0, -ENOENT, -EAGAIN,
 * -EBUSY. */
static int database_give(const struct asking *a, bool by_hash)
{
    struct auth_worker *w = a->worker;
    struct credential_keys *out = a->out;
    const struct auth_who who = {by_hash, by_hash ? a->query->userhash : a->query->username,
                                 a->realm};
    struct auth_entry entry;

    if (auth_cache_find(w->cache, &who, a->now_ms, &entry) < 0 || !entry.fresh ||
        !is_for(a->query, entry.extra)) {
        return a->query->proven ? ask(a, &who) : -EBUSY;
    }
    if (entry.answer != AUTH_FOUND) {
        return entry.answer == AUTH_ABSENT ? -ENOENT : -EBUSY;
    }
    if (entry.extra != NULL) {
        return extra_give(a, &entry);
    }
    if (out->count == 0) {
        name_set(out, (struct bytes){entry.name->bytes, entry.name->len});
    }
    out->key[out->count++] = *entry.key;
    return 0;
}

static int find_hash(const struct asking *a)
{
    const struct bytes hash = a->query->userhash;

    if (hash.n != CRYPTO_SHA256_LEN) {
        return -ENOENT;
    }
    const struct auth_user *fixed =
        a->known->users == NULL ? NULL : auth_users_find_hash(a->known->users, hash.p);
    if (fixed != NULL) {
        fixed_give(fixed, a->out);
        return 0;
    }
    return a->worker->snapshot->config->ask_users ? database_give(a, true) : -ENOENT;
}

/* Is there anybody to ask about that name?  A whole token that everybody on its way could read has
 * nothing to prove any more. */
static bool may_ask(const struct asking *a)
{
    const struct auth_config *config = a->worker->snapshot->config;
    const struct auth_outside_config *outside = config->outside;
    const uint8_t transport = a->query->transport;

    if (outside == NULL) {
        return config->ask_users;
    }
    const enum auth_jwt_shape shape = auth_jwt_shape(a->query->username);
    if (outside->jwt && shape == AUTH_JWT_WHOLE && !outside->jwt_plain && transport != NET_TLS &&
        transport != NET_DTLS) {
        return false;
    }
    return config->ask_users || outside->hook != NULL || (outside->jwt && shape != AUTH_JWT_NONE);
}

static int find_name(const struct asking *a)
{
    const struct bytes name = a->query->username;
    const struct auth_user *fixed =
        a->known->users == NULL ? NULL : auth_users_find(a->known->users, name);

    if (fixed != NULL) {
        fixed_give(fixed, a->out);
        return 0;
    }
    name_set(a->out, name);
    rest_give(a);
    const bool limited = a->out->count > 0;
    if (limited ? !a->known->may_have_users : !may_ask(a)) {
        return limited ? 0 : -ENOENT;
    }
    const int err = database_give(a, false);
    /* The same name may stand in the database; but without the database its secrets do. */
    return limited && err != -EAGAIN ? 0 : err;
}

/* A token proves by itself, whatever users there are (RFC 7635 section 7). */
static int find_token(const struct asking *a)
{
    const struct auth_snapshot *snapshot = a->worker->snapshot;
    const struct credential_query *query = a->query;
    const struct auth_oauth_key *key =
        snapshot->config->third_party ? auth_snapshot_oauth(snapshot, query->username, a->wall_s)
                                      : NULL;
    const struct auth_token_ask token = {
        .key = key,
        .server_name = bytes_of(snapshot->config->server_name),
        .kid = query->username,
        .token = query->token,
        .wall_s = a->wall_s,
    };

    return key == NULL ? -ENOENT : auth_token_give(a->worker->box, &token, a->out);
}

int auth_worker_find(struct auth_worker *worker, const struct credential_query *query,
                     uint64_t wall_s, uint64_t now_ms, struct credential_keys *out)
{
    follow(worker);
    const struct auth_snapshot *snapshot = worker->snapshot;
    const struct asking asking = {
        .worker = worker,
        .query = query,
        .known = auth_snapshot_realm(snapshot, query->realm),
        .realm = query->realm.n == 0 ? auth_config_main(snapshot->config) : query->realm,
        .wall_s = wall_s,
        .now_ms = now_ms,
        .out = out,
    };
    out->count = 0;
    out->lifetime_s = 0;
    out->realm_len = 0;
    if (query->username.n > CREDENTIAL_NAME_MAX) {
        return -ENOENT;
    }
    if (query->token.p != NULL) {
        return find_token(&asking);
    }
    if (asking.known == NULL) {
        return -ENOENT;
    }
    return query->username.n == 0 ? find_hash(&asking) : find_name(&asking);
}

static uint32_t ttl_of(const struct auth_worker *w, const struct auth_lookup *lookup)
{
    const uint32_t ttl_ms = w->snapshot->config->ttl_ms;
    const int result = lookup->result;

    if (lookup->extra.ttl_ms != 0) {
        return lookup->extra.ttl_ms;
    }

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
            auth_cache_put(worker->cache, lookup, ttl_of(worker, lookup), now_ms);
        }
        secret_wipe(&lookup->keys, sizeof(lookup->keys));
        secret_wipe(&lookup->extra, sizeof(lookup->extra));
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
