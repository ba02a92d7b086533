/* SPDX-License-Identifier: Apache-2.0 */
/* A database, a service that reads it, and a worker that asks: answers are waited for, not slept
 * for. */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/auth_keys.h"
#include "check.h"
#include "crypto/longterm.h"
#include "settings.h"
#include "store/store.h"

struct desk {
    char folder[40];
    char path[48];
    struct conf *conf;
    struct auth_service *service;
    struct auth_worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    unsigned wakes; /* answers that the worker was told of and has not collected */
    uint64_t now_ms;
};

static inline void desk_wake(void *arg)
{
    struct desk *desk = arg;

    assert_int_equal(pthread_mutex_lock(&desk->lock), 0);
    desk->wakes++;
    assert_int_equal(pthread_cond_signal(&desk->woken), 0);
    assert_int_equal(pthread_mutex_unlock(&desk->lock), 0);
}

static inline struct desk *desk_make(void)
{
    struct desk *desk = calloc(1, sizeof(*desk));

    assert_non_null(desk);
    (void)snprintf(desk->folder, sizeof(desk->folder), "/tmp/sterna-auth-XXXXXX");
    assert_non_null(mkdtemp(desk->folder));
    (void)snprintf(desk->path, sizeof(desk->path), "%s/db", desk->folder);
    assert_int_equal(pthread_mutex_init(&desk->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&desk->woken, NULL), 0);
    return desk;
}

/* `lines`, and the database when `%s` stands for it. */
static inline struct conf *desk_conf(const struct desk *desk, const char *lines)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), "realm=r\n%s\nuserdb=%s\n", lines, desk->path);
    return settings(text);
}

static inline void desk_start(struct desk *desk, const char *lines)
{
    char why[400] = "";

    desk->conf = desk_conf(desk, lines);
    const int err = auth_service_new(desk->conf, &desk->service, why, sizeof(why));
    if (err < 0) {
        print_message("%s\n", why);
    }
    assert_int_equal(err, 0);
    assert_int_equal(auth_worker_new(desk->service, desk_wake, desk, &desk->worker), 0);
}

static inline void desk_remove(struct desk *desk)
{
    static const char *const endings[] = {"", "-journal", ".old"};

    auth_worker_free(desk->worker);
    auth_service_free(desk->service);
    conf_unref(desk->conf);
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s%s", desk->path, endings[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(desk->folder), 0);
    assert_int_equal(pthread_cond_destroy(&desk->woken), 0);
    assert_int_equal(pthread_mutex_destroy(&desk->lock), 0);
    free(desk);
}

/* Write to the database as an administrator would. */
static inline struct store *desk_store(const struct desk *desk)
{
    const struct store_target target = {desk->path, STORE_CREATE, 5000};
    struct store *store;
    char why[400];

    assert_int_equal(store_open(&store_sqlite, &target, &store, why, sizeof(why)), 0);
    return store;
}

static inline void desk_add_user(const struct desk *desk, const char *name, const char *password)
{
    struct store *store = desk_store(desk);
    struct store_keys keys = {.has_md5 = true, .has_sha256 = true, .has_userhash = true};
    const struct bytes realm = bytes_of("r");

    assert_int_equal(crypto_longterm_md5(bytes_of(name), realm, bytes_of(password), keys.md5), 0);
    assert_int_equal(crypto_longterm_sha256(bytes_of(name), realm, bytes_of(password), keys.sha256),
                     0);
    assert_int_equal(crypto_longterm_userhash(bytes_of(name), realm, keys.userhash), 0);
    assert_int_equal(store_user_add(store, realm, bytes_of(name), &keys), 0);
    store_close(store);
}

static inline void desk_sql(const struct desk *desk, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(desk->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Wait for at least one answer and collect all there are. */
static inline uint32_t desk_collect(struct desk *desk)
{
    assert_int_equal(pthread_mutex_lock(&desk->lock), 0);
    while (desk->wakes == 0) {
        assert_int_equal(pthread_cond_wait(&desk->woken, &desk->lock), 0);
    }
    desk->wakes = 0;
    assert_int_equal(pthread_mutex_unlock(&desk->lock), 0);
    return auth_worker_collect(desk->worker, desk->now_ms);
}

static inline int desk_ask(struct desk *desk, const struct credential_query *query,
                           struct credential_keys *out)
{
    return auth_worker_find(desk->worker, query, 1000, desk->now_ms, out);
}

/* Ask for a name, waiting for the database where it must be asked. */
static inline int desk_find(struct desk *desk, const char *name, struct credential_keys *out)
{
    const struct credential_query query = {
        .username = bytes_of(name), .allocate = true, .proven = true};
    int err = desk_ask(desk, &query, out);

    while (err == -EAGAIN) {
        (void)desk_collect(desk);
        err = desk_ask(desk, &query, out);
    }
    return err;
}

static inline void desk_expect_key(const struct credential_key *key, const char *name,
                                   const char *password)
{
    struct credential_key expected;

    assert_int_equal(auth_keys_make(bytes_of(name), bytes_of("r"), bytes_of(password), &expected),
                     0);
    if (key->has_md5) {
        assert_memory_equal(key->md5, expected.md5, sizeof(expected.md5));
    }
    if (key->has_sha256) {
        assert_memory_equal(key->sha256, expected.sha256, sizeof(expected.sha256));
    }
    assert_true(key->has_md5 || key->has_sha256);
}
