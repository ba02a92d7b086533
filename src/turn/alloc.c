/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/alloc.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/secret.h"
#include "turn/turn_int.h"

enum {
    SHORT_NAME = 56, /* octets of a user name that fit the small slab */
    MAX_TOMBSTONES = 16384,
    PERMS_PER_ALLOC =
        2 * TURN_SURE_PERMS, /* memory plan: the average that all allocations together may have */
    CHANS_PER_ALLOC = 2 * TURN_SURE_CHANS,
    CONNS_PER_ALLOC = 2 * TURN_SURE_CONNS,
};

static uint32_t times(uint32_t a, uint32_t b)
{
    const uint64_t product = (uint64_t)a * b;
    return product > UINT32_MAX ? UINT32_MAX : (uint32_t)product;
}

int turn_tables_init(struct turn_tables *t, struct wheel *wheel, struct hash_key key,
                     uint32_t max_allocations)
{
    *t = (struct turn_tables){.wheel = wheel, .next_session = 1};
    list_init(&t->allocs);
    list_init(&t->tombs);
    list_init(&t->flows);
    table_init(&t->by_tuple, offsetof(struct turn_alloc, tuple), sizeof(struct five_tuple), key);
    table_init(&t->perms, offsetof(struct turn_perm, key), sizeof(struct turn_perm_key), key);
    table_init(&t->by_number, offsetof(struct turn_chan, number), sizeof(struct turn_chan_number),
               key);
    table_init(&t->by_peer, offsetof(struct turn_chan, peer), sizeof(struct turn_chan_peer), key);
    table_init(&t->by_tid, offsetof(struct turn_tombstone, key), sizeof(struct turn_tombstone_key),
               key);
    table_init(&t->by_session, offsetof(struct turn_alloc, session), sizeof(uint64_t), key);
    table_init(&t->coming, offsetof(struct turn_mobile, coming), sizeof(struct five_tuple), key);
    table_init(&t->conns, offsetof(struct turn_conn, id), sizeof(uint32_t), key);
    table_init(&t->conn_peers, offsetof(struct turn_conn, peer), sizeof(struct turn_conn_peer),
               key);

    t->alloc_slab = slab_new(sizeof(struct turn_alloc), max_allocations);
    t->perm_slab = slab_new(sizeof(struct turn_perm), times(max_allocations, PERMS_PER_ALLOC));
    t->chan_slab = slab_new(sizeof(struct turn_chan), times(max_allocations, CHANS_PER_ALLOC));
    t->perm_pool = times(max_allocations, PERMS_PER_ALLOC - TURN_SURE_PERMS);
    t->chan_pool = times(max_allocations, CHANS_PER_ALLOC - TURN_SURE_CHANS);
    t->conn_slab = slab_new(sizeof(struct turn_conn), times(max_allocations, CONNS_PER_ALLOC));
    t->conn_pool = times(max_allocations, CONNS_PER_ALLOC - TURN_SURE_CONNS);
    t->tomb_slab = slab_new(sizeof(struct turn_tombstone), MAX_TOMBSTONES);
    t->mobile_slab = slab_new(sizeof(struct turn_mobile), max_allocations);
    t->name_slab = slab_new(sizeof(struct turn_name) + SHORT_NAME, max_allocations);
    t->long_name_slab = slab_new(
        sizeof(struct turn_name) + CREDENTIAL_NAME_MAX + CREDENTIAL_ACCOUNT_MAX, max_allocations);
    if (t->alloc_slab == NULL || t->perm_slab == NULL || t->chan_slab == NULL ||
        t->conn_slab == NULL || t->tomb_slab == NULL || t->mobile_slab == NULL ||
        t->name_slab == NULL || t->long_name_slab == NULL) {
        turn_tables_fini(t);
        return -ENOMEM;
    }
    return 0;
}

void turn_tables_fini(struct turn_tables *t)
{
    table_fini(&t->by_tuple);
    table_fini(&t->perms);
    table_fini(&t->by_number);
    table_fini(&t->by_peer);
    table_fini(&t->by_tid);
    table_fini(&t->by_session);
    table_fini(&t->coming);
    table_fini(&t->conns);
    table_fini(&t->conn_peers);
    slab_free(t->alloc_slab);
    slab_free(t->perm_slab);
    slab_free(t->chan_slab);
    slab_free(t->conn_slab);
    slab_free(t->tomb_slab);
    slab_free(t->mobile_slab);
    slab_free(t->name_slab);
    slab_free(t->long_name_slab);
}

static int insert(struct turn_tables *t, struct turn_alloc *alloc)
{
    const int err = table_insert(&t->by_tuple, alloc);
    if (err < 0) {
        return err;
    }
    const int second = table_insert(&t->by_session, alloc);
    if (second < 0) {
        (void)table_remove(&t->by_tuple, &alloc->tuple);
    }
    return second;
}

struct turn_alloc *turn_alloc_new(struct turn_tables *t, const struct five_tuple *tuple,
                                  uint64_t now_ms)
{
    return turn_alloc_adopt(t, tuple, t->next_session++, now_ms);
}

struct turn_alloc *turn_alloc_adopt(struct turn_tables *t, const struct five_tuple *tuple,
                                    uint64_t session, uint64_t now_ms)
{
    struct turn_alloc *alloc = slab_get(t->alloc_slab);
    if (alloc == NULL) {
        return NULL;
    }
    alloc->tuple = *tuple;
    alloc->session = session;
    if (insert(t, alloc) < 0) {
        slab_put(t->alloc_slab, alloc);
        return NULL;
    }
    alloc->created_ms = now_ms;
    alloc->gate_generation = t->generation;
    alloc->protocol = NET_UDP;
    alloc->relay[0].alloc = alloc;
    alloc->relay[1].alloc = alloc;
    list_init(&alloc->perms);
    list_init(&alloc->chans);
    list_init(&alloc->conns);
    wheel_timer_init(&alloc->timer);
    list_push(&t->allocs, &alloc->node);
    return alloc;
}

static void tombstone_drop(struct turn_tables *t, struct turn_tombstone *tomb)
{
    list_remove(&tomb->node);
    (void)table_remove(&t->by_tid, &tomb->key);
    slab_put(t->tomb_slab, tomb);
}

/* Drop the tombstones that have served their time, and the oldest one when there is no room. */
static void tombstones_sweep(struct turn_tables *t, uint64_t now_ms)
{
    while (!list_empty(&t->tombs)) {
        struct turn_tombstone *oldest = CONTAINER_OF(t->tombs.next, struct turn_tombstone, node);
        if (oldest->expires_ms > now_ms && slab_count(t->tomb_slab) < MAX_TOMBSTONES) {
            return;
        }
        tombstone_drop(t, oldest);
    }
}

void turn_tombstone_keep(struct turn_tables *t, const struct turn_alloc *alloc, bool travelled,
                         uint64_t now_ms)
{
    struct turn_tombstone_key key = {.tuple = alloc->tuple};

    memcpy(key.tid, alloc->tid, STUN_TID);
    struct turn_tombstone *older = table_find(&t->by_tid, &key);
    if (older != NULL) { /* it had travelled, and came back */
        tombstone_drop(t, older);
    }
    if (now_ms - alloc->created_ms >= TURN_TRANSACTION_MS) {
        return; /* no duplicate of it can still be under way */
    }
    tombstones_sweep(t, now_ms);
    struct turn_tombstone *tomb = slab_get(t->tomb_slab);
    if (tomb == NULL) {
        return;
    }
    tomb->key = key;
    tomb->travelled = travelled;
    tomb->expires_ms = now_ms + TURN_TRANSACTION_MS;
    if (table_insert(&t->by_tid, tomb) < 0) {
        slab_put(t->tomb_slab, tomb);
        return;
    }
    list_push(&t->tombs, &tomb->node);
}

const struct turn_tombstone *turn_tombstone_find(struct turn_tables *t,
                                                 const struct five_tuple *tuple,
                                                 const uint8_t tid[STUN_TID], uint64_t now_ms)
{
    struct turn_tombstone_key key = {.tuple = *tuple};

    tombstones_sweep(t, now_ms);
    memcpy(key.tid, tid, STUN_TID);
    return table_find(&t->by_tid, &key);
}

/* Bytes of a name and of what quotas count of it, which may stand behind it. */
static size_t name_total(size_t len, size_t quota_from, size_t quota_len)
{
    return len > quota_from + quota_len ? len : quota_from + quota_len;
}

static void name_put(struct turn_tables *t, struct turn_name *name)
{
    if (name != NULL) {
        slab_put(name_total(name->len, name->quota_from, name->quota_len) <= SHORT_NAME
                     ? t->name_slab
                     : t->long_name_slab,
                 name);
    }
}

void turn_alloc_free(struct turn_tables *t, struct turn_alloc *alloc)
{
    assert(alloc->relay[0].port == NULL && alloc->relay[1].port == NULL);
    LIST_EACH_SAFE (node, &alloc->chans) {
        turn_chan_remove(t, alloc, CONTAINER_OF(node, struct turn_chan, node));
    }
    LIST_EACH_SAFE (node, &alloc->perms) {
        turn_perm_remove(t, alloc, CONTAINER_OF(node, struct turn_perm, node));
    }
    LIST_EACH_SAFE (node, &alloc->conns) {
        turn_conn_remove(t, CONTAINER_OF(node, struct turn_conn, node));
    }
    if (t->last_alloc == alloc) {
        t->last_alloc = NULL;
    }
    wheel_cancel(t->wheel, &alloc->timer);
    list_remove(&alloc->node);
    (void)table_remove(&t->by_tuple, &alloc->tuple);
    (void)table_remove(&t->by_session, &alloc->session);
    turn_mobile_put(t, alloc);
    name_put(t, alloc->user);
    secret_wipe(&alloc->key, sizeof(alloc->key));
    slab_put(t->alloc_slab, alloc);
}

struct turn_alloc *turn_alloc_find(const struct turn_tables *t, const struct five_tuple *tuple)
{
    struct turn_alloc *alloc = table_find(&t->by_tuple, tuple);

    if (alloc == NULL && t->coming.count > 0) {
        const struct turn_mobile *mobile = table_find(&t->coming, tuple);
        return mobile != NULL ? mobile->alloc : NULL;
    }
    return alloc;
}

void turn_alloc_readdress(struct turn_tables *t, struct turn_alloc *alloc,
                          const struct five_tuple *tuple)
{
    (void)table_remove(&t->by_tuple, &alloc->tuple);
    alloc->tuple = *tuple;
    const int err = table_insert(&t->by_tuple, alloc); /* a table keeps its slots: there is room */
    assert(err == 0);
    (void)err;
}

struct turn_alloc *turn_alloc_numbered(const struct turn_tables *t, uint64_t session)
{
    return table_find(&t->by_session, &session);
}

struct turn_alloc *turn_alloc_again(struct turn_tables *t, const struct five_tuple *tuple)
{
    struct turn_alloc *alloc = t->last_alloc;

    if (alloc != NULL && memcmp(&alloc->tuple, tuple, sizeof(*tuple)) == 0) {
        return alloc;
    }
    alloc = turn_alloc_find(t, tuple);
    if (alloc != NULL) {
        t->last_alloc = alloc;
    }
    return alloc;
}

int turn_alloc_set_user(struct turn_tables *t, struct turn_alloc *alloc, struct bytes name,
                        uint16_t quota_from, uint16_t quota_len)
{
    const size_t total = name_total(name.n, quota_from, quota_len);

    assert(name.n <= CREDENTIAL_NAME_MAX && total <= CREDENTIAL_NAME_MAX + CREDENTIAL_ACCOUNT_MAX);
    struct turn_name *user = slab_get(total <= SHORT_NAME ? t->name_slab : t->long_name_slab);
    if (user == NULL) {
        return -ENOMEM;
    }
    user->len = (uint16_t)name.n;
    user->quota_from = quota_from;
    user->quota_len = quota_len;
    if (total > 0) {
        memcpy(user->bytes, name.p, total);
    }
    name_put(t, alloc->user);
    alloc->user = user;
    return 0;
}

struct bytes turn_alloc_user(const struct turn_alloc *alloc)
{
    return (struct bytes){alloc->user->bytes, alloc->user->len};
}

struct bytes turn_alloc_quota_user(const struct turn_alloc *alloc)
{
    return (struct bytes){alloc->user->bytes + alloc->user->quota_from, alloc->user->quota_len};
}

struct bytes turn_alloc_told_user(const struct turn_alloc *alloc)
{
    return alloc->user->quota_from < alloc->user->len || alloc->user->quota_len == 0
               ? turn_alloc_user(alloc)
               : turn_alloc_quota_user(alloc);
}

struct turn_relay *turn_alloc_relay(struct turn_alloc *alloc, uint8_t family)
{
    if (family != NET_V4 && family != NET_V6) {
        return NULL;
    }
    struct turn_relay *relay = &alloc->relay[family == NET_V4 ? 0 : 1];
    return relay->port == NULL ? NULL : relay;
}

void turn_alloc_wake_by(struct turn_tables *t, struct turn_alloc *alloc, uint64_t deadline_ms)
{
    const bool running = alloc->timer.place != 0 || !list_empty(&alloc->timer.node);
    if (!running || deadline_ms < alloc->timer.deadline_ms) {
        wheel_start(t->wheel, &alloc->timer, deadline_ms);
    }
}

void turn_alloc_sweep(struct turn_tables *t, struct turn_alloc *alloc, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    LIST_EACH_SAFE (node, &alloc->chans) {
        struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        if (chan->expires_ms <= now_ms) {
            turn_chan_remove(t, alloc, chan);
        } else if (chan->expires_ms < next) {
            next = chan->expires_ms;
        }
    }
    turn_perm_sweep(t, alloc, now_ms);
    LIST_EACH (node, &alloc->perms) {
        const struct turn_perm *perm = CONTAINER_OF(node, struct turn_perm, node);
        if (perm->expires_ms < next) {
            next = perm->expires_ms;
        }
    }
    LIST_EACH (node, &alloc->conns) {
        const struct turn_conn *conn = CONTAINER_OF(node, struct turn_conn, node);
        if (conn->expires_ms < next) {
            next = conn->expires_ms;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (alloc->relay[i].port != NULL && alloc->relay[i].expires_ms < next) {
            next = alloc->relay[i].expires_ms;
        }
    }
    wheel_start(t->wheel, &alloc->timer, next);
}
