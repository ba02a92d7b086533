/* SPDX-License-Identifier: Apache-2.0 */
/* A database file in a folder of its own, and the raw SQL of other programs on it. */
#pragma once

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "store/store.h"

struct database {
    char folder[40];
    char path[48];
    struct store *store;
};

static inline struct database *database_make(void)
{
    struct database *db = calloc(1, sizeof(*db));
    assert_non_null(db);
    (void)snprintf(db->folder, sizeof(db->folder), "/tmp/sterna-store-XXXXXX");
    assert_non_null(mkdtemp(db->folder));
    (void)snprintf(db->path, sizeof(db->path), "%s/db", db->folder);
    return db;
}

static inline void database_remove(struct database *db)
{
    static const char *const endings[] = {"", "-journal", "-wal", "-shm", ".old", ".new"};

    store_close(db->store);
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s%s", db->path, endings[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(db->folder), 0);
    free(db);
}

/* Run SQL as another program would. */
static inline void database_sql(const struct database *db, const char *sql)
{
    sqlite3 *other;
    assert_int_equal(sqlite3_open(db->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
}

static inline int database_open(struct database *db, enum store_mode mode, char *why, size_t cap)
{
    const struct store_target target = {db->path, mode, 50};

    store_close(db->store);
    db->store = NULL;
    return store_open(&store_sqlite, &target, &db->store, why, cap);
}

static inline void database_must_open(struct database *db, enum store_mode mode)
{
    char why[400] = "";
    const int err = database_open(db, mode, why, sizeof(why));

    if (err != 0) {
        print_message("%s\n", why);
    }
    assert_int_equal(err, 0);
}

static inline struct bytes text(const char *s)
{
    return bytes_of(s);
}
