/* SPDX-License-Identifier: Apache-2.0 */
#include "io/holdoff.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/slab.h"
#include "base/table.h"

enum { FORGET_PER_CALL = 4 }; /* expired entries given back by the way: more than a call can add */

struct key {
    uint64_t scope; /* 0 on the shared shelf */
    struct net_addr peer;
};

_Static_assert(sizeof(struct key) == 32, "hashed as it lies");

struct entry {
    struct key key;
    struct list node; /* in the shelf, oldest failure first; in none when prohibited */
    uint64_t failed_ms;
    uint64_t users[HOLDOFF_SHARED_USERS]; /* shared: different ones that saw failures */
    uint32_t failures;
    uint8_t user_count;
    uint8_t why;
};

/* Entries of one kind, which all live equally long: they expire in the order of their list. */
struct shelf {
    struct table table;
    struct list order;
    uint32_t life_ms;
};

struct holdoff {
    struct shelf own;
    struct shelf shared;
    struct slab *slab;
    uint64_t refused[HOLDOFF_REASONS];
};

static void shelf_init(struct shelf *shelf, struct hash_key key, uint32_t life_ms)
{
    table_init(&shelf->table, offsetof(struct entry, key), sizeof(struct key), key);
    list_init(&shelf->order);
    shelf->life_ms = life_ms;
}

struct holdoff *holdoff_new(const struct holdoff_options *options)
{
    struct holdoff *h = mem_new(1, sizeof(*h));

    if (h == NULL) {
        return NULL;
    }
    h->slab = slab_new(sizeof(struct entry), options->max_entries);
    if (h->slab == NULL) {
        free(h);
        return NULL;
    }
    shelf_init(&h->own, options->key, options->own_ms);
    shelf_init(&h->shared, options->key, options->shared_ms);
    return h;
}

void holdoff_free(struct holdoff *holdoff)
{
    if (holdoff == NULL) {
        return;
    }
    table_fini(&holdoff->own.table);
    table_fini(&holdoff->shared.table);
    slab_free(holdoff->slab);
    free(holdoff);
}

void holdoff_set_times(struct holdoff *holdoff, uint32_t own_ms, uint32_t shared_ms)
{
    holdoff->own.life_ms = own_ms;
    holdoff->shared.life_ms = shared_ms;
}

static bool expired(const struct shelf *shelf, const struct entry *e, uint64_t now_ms)
{
    return e->why != HOLDOFF_PROHIBITED && now_ms - e->failed_ms >= shelf->life_ms;
}

static void entry_free(struct holdoff *h, struct shelf *shelf, struct entry *e)
{
    list_remove(&e->node);
    (void)table_remove(&shelf->table, &e->key);
    slab_put(h->slab, e);
}

static struct entry *oldest(const struct shelf *shelf)
{
    return list_empty(&shelf->order) ? NULL : CONTAINER_OF(shelf->order.next, struct entry, node);
}

static void forget_expired(struct holdoff *h, struct shelf *shelf, uint64_t now_ms)
{
    for (int i = 0; i < FORGET_PER_CALL; i++) {
        struct entry *e = oldest(shelf);
        if (e == NULL || !expired(shelf, e, now_ms)) {
            return;
        }
        entry_free(h, shelf, e);
    }
}

/* Make room for one entry out of the oldest; false when all are prohibitions. */
static bool give_way(struct holdoff *h)
{
    struct entry *own = oldest(&h->own);
    struct entry *shared = oldest(&h->shared);

    if (own != NULL && (shared == NULL || own->failed_ms <= shared->failed_ms)) {
        entry_free(h, &h->own, own);
        return true;
    }
    if (shared != NULL) {
        entry_free(h, &h->shared, shared);
        return true;
    }
    return false;
}

static struct entry *entry_new(struct holdoff *h, struct shelf *shelf, const struct key *key)
{
    struct entry *e = slab_get(h->slab);

    if (e == NULL && give_way(h)) {
        e = slab_get(h->slab);
    }
    if (e == NULL) {
        return NULL;
    }
    list_init(&e->node);
    e->key = *key;
    if (table_insert(&shelf->table, e) < 0) {
        slab_put(h->slab, e);
        return NULL;
    }
    return e;
}

/* The live entry with `key`, or NULL. */
static struct entry *find(const struct shelf *shelf, const struct key *key, uint64_t now_ms)
{
    struct entry *e = table_find(&shelf->table, key);

    return e == NULL || expired(shelf, e, now_ms) ? NULL : e;
}

/* Find or make the entry with `key`, as one that has just failed.  NULL without memory, or when it
 * is prohibited. */
static struct entry *failed_again(struct holdoff *h, struct shelf *shelf, const struct key *key,
                                  uint64_t now_ms)
{
    struct entry *e = table_find(&shelf->table, key);

    if (e != NULL && e->why == HOLDOFF_PROHIBITED) {
        return NULL;
    }
    if (e != NULL && expired(shelf, e, now_ms)) {
        entry_free(h, shelf, e);
        e = NULL;
    }
    if (e == NULL) {
        e = entry_new(h, shelf, key);
    }
    if (e != NULL) {
        list_remove(&e->node);
        list_push(&shelf->order, &e->node);
        e->failed_ms = now_ms;
    }
    return e;
}

/* Note that `user` saw a failure; once there are enough of them it does not matter who else did. */
static void add_user(struct entry *e, uint64_t user)
{
    for (uint8_t i = 0; i < e->user_count; i++) {
        if (e->users[i] == user) {
            return;
        }
    }
    if (e->user_count < HOLDOFF_SHARED_USERS) {
        e->users[e->user_count++] = user;
    }
}

static enum holdoff_reason shared_reason(const struct entry *e)
{
    const bool enough =
        e->failures >= HOLDOFF_SHARED_FAILURES && e->user_count >= HOLDOFF_SHARED_USERS;

    return enough || e->why == HOLDOFF_PROHIBITED ? (enum holdoff_reason)e->why : HOLDOFF_NONE;
}

enum holdoff_reason holdoff_check(struct holdoff *holdoff, uint64_t scope,
                                  const struct net_addr *peer, uint64_t now_ms)
{
    struct key key = {0, *peer};
    const struct entry *e = find(&holdoff->shared, &key, now_ms);
    enum holdoff_reason why = e == NULL ? HOLDOFF_NONE : shared_reason(e);

    if (why == HOLDOFF_NONE) {
        key.scope = scope;
        e = find(&holdoff->own, &key, now_ms);
        why = e == NULL ? HOLDOFF_NONE : (enum holdoff_reason)e->why;
    }
    if (why != HOLDOFF_NONE) {
        holdoff->refused[why]++;
    }
    return why;
}

static void prohibit(struct holdoff *h, const struct key *key)
{
    struct entry *e = table_find(&h->shared.table, key);

    if (e == NULL) {
        e = entry_new(h, &h->shared, key);
    }
    if (e != NULL) {
        list_remove(&e->node); /* neither expires nor gives way */
        e->why = HOLDOFF_PROHIBITED;
    }
}

void holdoff_failed(struct holdoff *holdoff, uint64_t scope, uint64_t user,
                    const struct net_addr *peer, enum holdoff_reason why, uint64_t now_ms)
{
    const struct key own = {scope, *peer};
    const struct key shared = {0, *peer};

    assert(why > HOLDOFF_NONE && why < HOLDOFF_REASONS);
    forget_expired(holdoff, &holdoff->own, now_ms);
    forget_expired(holdoff, &holdoff->shared, now_ms);
    if (why == HOLDOFF_PROHIBITED) {
        prohibit(holdoff, &shared);
        return;
    }
    struct entry *e =
        holdoff->own.life_ms == 0 ? NULL : failed_again(holdoff, &holdoff->own, &own, now_ms);
    if (e != NULL) {
        e->why = (uint8_t)why;
    }
    e = holdoff->shared.life_ms == 0 ? NULL
                                     : failed_again(holdoff, &holdoff->shared, &shared, now_ms);
    if (e != NULL) {
        e->why = (uint8_t)why;
        e->failures += e->failures < UINT32_MAX;
        add_user(e, user);
    }
}

void holdoff_worked(struct holdoff *holdoff, const struct net_addr *peer)
{
    const struct key key = {0, *peer};
    struct entry *e = table_find(&holdoff->shared.table, &key);

    if (e != NULL && e->why != HOLDOFF_PROHIBITED) {
        entry_free(holdoff, &holdoff->shared, e);
    }
}

uint32_t holdoff_count(const struct holdoff *holdoff)
{
    return slab_count(holdoff->slab);
}

uint64_t holdoff_refused(const struct holdoff *holdoff, enum holdoff_reason why)
{
    assert(why < HOLDOFF_REASONS);
    return holdoff->refused[why];
}
