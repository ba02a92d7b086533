/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/directory.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/slab.h"
#include "base/table.h"

struct entry {
    uint64_t session;
    uint32_t worker;
};

struct directory {
    pthread_mutex_t lock;
    struct table by_session;
    struct slab *entries;
};

struct directory *directory_new(uint32_t max_sessions)
{
    const struct hash_key key = {0, 0}; /* session numbers are ours: nobody else chooses them */
    struct directory *d = mem_new(1, sizeof(*d));

    if (d == NULL) {
        return NULL;
    }
    d->entries = slab_new(sizeof(struct entry), max_sessions);
    if (d->entries == NULL) {
        free(d);
        return NULL;
    }
    table_init(&d->by_session, offsetof(struct entry, session), sizeof(uint64_t), key);
    (void)pthread_mutex_init(&d->lock, NULL);
    return d;
}

void directory_free(struct directory *d)
{
    if (d == NULL) {
        return;
    }
    table_fini(&d->by_session);
    slab_free(d->entries);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

void directory_put(struct directory *d, uint64_t session, uint32_t worker)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    struct entry *entry = table_find(&d->by_session, &session);
    if (entry == NULL) {
        entry = slab_get(d->entries);
        if (entry != NULL) {
            entry->session = session;
            if (table_insert(&d->by_session, entry) < 0) {
                slab_put(d->entries, entry);
                entry = NULL;
            }
        }
    }
    if (entry != NULL) {
        entry->worker = worker;
    }
    (void)pthread_mutex_unlock(&d->lock);
}

void directory_remove(struct directory *d, uint64_t session)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    struct entry *entry = table_remove(&d->by_session, &session);
    if (entry != NULL) {
        slab_put(d->entries, entry);
    }
    (void)pthread_mutex_unlock(&d->lock);
}

int directory_find(struct directory *d, uint64_t session)
{
    if (d == NULL) {
        return -ENOENT;
    }
    (void)pthread_mutex_lock(&d->lock);
    const struct entry *entry = table_find(&d->by_session, &session);
    const int worker = entry != NULL ? (int)entry->worker : -ENOENT;
    (void)pthread_mutex_unlock(&d->lock);
    return worker;
}
