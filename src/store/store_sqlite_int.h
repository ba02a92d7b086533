/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the SQLite driver share: the open database and its prepared statements.
 *
 * Owner   store_sqlite.c.  Thread  that of the struct store. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store_ops.h"

enum { STORE_REALM_SOURCES = 7 }; /* tables that name realms (store_sqlite_table.c) */

/* One prepared statement each.  Those that end in _OWN read our own table, too, and the ones
 * without stand in for them where a database of coturn does not have it. */
enum store_stmt {
    STMT_USER_FIND,
    STMT_USER_FIND_OWN,
    STMT_USER_FIND_HASH_OWN,
    STMT_USER_LIST,
    STMT_USER_LIST_OWN,
    STMT_USER_COUNT,
    STMT_USER_COUNT_OWN,
    STMT_USER_ADD,
    STMT_USER_CHANGE,
    STMT_USER_REMOVE,
    STMT_OWN_PUT,
    STMT_OWN_REMOVE,
    STMT_SECRET_LIST,
    STMT_SECRET_ADD,
    STMT_SECRET_REMOVE,
    STMT_HAS_TABLE,
    STMT_VERSION,
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_ROLLBACK,
    /* One for each enum store_table. */
    STMT_ROW_LIST,
    STMT_ROW_ADD = STMT_ROW_LIST + STORE_TABLES,
    STMT_ROW_PUT = STMT_ROW_ADD + STORE_TABLES,
    STMT_ROW_REMOVE = STMT_ROW_PUT + STORE_TABLES,
    /* One for each table that names realms. */
    STMT_REALM_LIST = STMT_ROW_REMOVE + STORE_TABLES,
    STMT_REALM_NAMED = STMT_REALM_LIST + STORE_REALM_SOURCES,
    STMT_STATEMENTS = STMT_REALM_NAMED + STORE_REALM_SOURCES,
};

struct sqlite_store {
    struct store store; /* first: a struct store is one of these */
    sqlite3 *db;        /* NULL while the file is gone or cannot be opened */
    char *path;
    enum store_mode mode;
    uint32_t busy_ms;
    bool has_own;    /* our own table is there */
    int64_t version; /* changes when another program writes; 0 before the first refresh */
    bool failed;     /* a call failed: store_refresh() opens the file anew */
    sqlite3_stmt *statements[STMT_STATEMENTS];
};

static inline struct sqlite_store *sqlite_store_of(struct store *store)
{
    return (struct sqlite_store *)(void *)store;
}

static inline bool store_sqlite_writes(const struct sqlite_store *s)
{
    return s->mode == STORE_CHANGE || s->mode == STORE_CREATE;
}

/* Note SQLite's last error, if `code` is one, and return the errno for it. */
int store_sqlite_error(struct sqlite_store *s, int code);

/* The statement, prepared and reset.  0; -EIO, -EBUSY. */
MUST_USE int store_sqlite_prepare(struct sqlite_store *s, enum store_stmt which,
                                  sqlite3_stmt **out);

/* Bind a borrowed text, which must outlive the statement's run. */
MUST_USE int store_sqlite_bind(struct sqlite_store *s, sqlite3_stmt *stmt, int index,
                               struct bytes text);

/* 1 a row, 0 the end; -EEXIST a key is there already; -EIO, -EBUSY, -EROFS. */
MUST_USE int store_sqlite_step(struct sqlite_store *s, sqlite3_stmt *stmt);

/* Prepare, bind `count` texts in order and run to the end; returns the number of changed rows, or
 * as store_sqlite_step(). */
MUST_USE int store_sqlite_run(struct sqlite_store *s, enum store_stmt which,
                              const struct bytes *texts, int count);

/* A value of the row, whatever its type; borrowed until the next step. */
struct bytes store_sqlite_column(sqlite3_stmt *stmt, int index);

/* Forget all prepared statements. */
void store_sqlite_forget(struct sqlite_store *s);

/* Look whether a table exists.  1, 0; -EIO, -EBUSY. */
MUST_USE int store_sqlite_has_table(struct sqlite_store *s, const char *table);

/* Make the tables that `mode` asks for and find out which there are.  0; -EIO, -EBUSY, -EROFS;
 * -EBADMSG when this is somebody else's database. */
MUST_USE int store_sqlite_schema(struct sqlite_store *s);

/* The rows behind the driver's functions (store_sqlite_rows.c). */
int store_sqlite_user_find(struct store *store, struct bytes realm, struct bytes name,
                           struct store_keys *out);
int store_sqlite_user_find_hash(struct store *store, struct bytes realm, const uint8_t *userhash,
                                struct store_name *out_name, struct store_keys *out);
int store_sqlite_user_list(struct store *store, struct bytes realm, store_user_fn each, void *arg);
int store_sqlite_user_count(struct store *store, struct bytes realm, struct store_counts *out);
int store_sqlite_user_put(struct store *store, enum store_write how, const struct store_user *user);
int store_sqlite_user_remove(struct store *store, struct bytes realm, struct bytes name);
int store_sqlite_secret_list(struct store *store, struct bytes realm, store_secret_fn each,
                             void *arg);
int store_sqlite_secret_add(struct store *store, struct bytes realm, struct bytes value);
int store_sqlite_secret_remove(struct store *store, struct bytes realm, struct bytes value);

/* Likewise of the small tables (store_sqlite_table.c). */
int store_sqlite_row_list(struct store *store, enum store_table table, struct bytes realm,
                          store_row_fn each, void *arg);
int store_sqlite_row_put(struct store *store, enum store_table table, enum store_write how,
                         const struct bytes *cells);
int store_sqlite_row_remove(struct store *store, enum store_table table, const struct bytes *keys);
int store_sqlite_realm_list(struct store *store, store_realm_fn each, void *arg);
