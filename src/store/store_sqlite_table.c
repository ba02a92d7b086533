/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the small tables, and the realms that all tables name. */
#include <errno.h>

#include "store/store_sqlite_int.h"

/* Names of tables, for the look whether they are there. */
static const char *const table_names[STORE_TABLES] = {
    [STORE_TABLE_OAUTH] = "oauth_key",          [STORE_TABLE_ORIGIN] = "turn_origin_to_realm",
    [STORE_TABLE_OPTION] = "turn_realm_option", [STORE_TABLE_ALLOWED] = "allowed_peer_ip",
    [STORE_TABLE_DENIED] = "denied_peer_ip",    [STORE_TABLE_ADMIN] = "admin_user",
};

static enum store_stmt stmt_of(enum store_stmt first, enum store_table table)
{
    return (enum store_stmt)((int)first + (int)table);
}

/* Call `each` for every row of a prepared and bound statement. */
static int rows_walk(struct sqlite_store *s, sqlite3_stmt *stmt, enum store_table table,
                     store_row_fn each, void *arg)
{
    int row = store_sqlite_step(s, stmt);

    while (row == 1) {
        struct bytes cells[STORE_CELLS_MAX];
        for (int i = 0; i < store_shapes[table].cells; i++) {
            cells[i] = store_sqlite_column(stmt, i);
        }
        const int stop = each(arg, cells);
        row = stop < 0 ? stop : store_sqlite_step(s, stmt);
    }
    (void)sqlite3_reset(stmt);
    return row;
}

int store_sqlite_row_list(struct store *store, enum store_table table, struct bytes realm,
                          store_row_fn each, void *arg)
{
    struct sqlite_store *s = sqlite_store_of(store);
    const int there = store_sqlite_has_table(s, table_names[table]);
    sqlite3_stmt *stmt;
    if (there <= 0) {
        return there;
    }
    int err = store_sqlite_prepare(s, stmt_of(STMT_ROW_LIST, table), &stmt);
    if (err == 0 && realm.p != NULL) {
        err = store_sqlite_bind(s, stmt, 1, realm);
    }
    return err < 0 ? err : rows_walk(s, stmt, table, each, arg);
}

int store_sqlite_row_put(struct store *store, enum store_table table, enum store_write how,
                         const struct bytes *cells)
{
    struct sqlite_store *s = sqlite_store_of(store);
    const enum store_stmt first = how == STORE_WRITE_PUT ? STMT_ROW_PUT : STMT_ROW_ADD;
    const int err =
        store_sqlite_run(s, stmt_of(first, table), cells, (int)store_shapes[table].cells);

    return err < 0 ? err : 0;
}

int store_sqlite_row_remove(struct store *store, enum store_table table, const struct bytes *keys)
{
    struct sqlite_store *s = sqlite_store_of(store);
    const int there = store_sqlite_has_table(s, table_names[table]);
    if (there <= 0) {
        return there == 0 ? -ENOENT : there;
    }
    const int changed =
        store_sqlite_run(s, stmt_of(STMT_ROW_REMOVE, table), keys, (int)store_shapes[table].keys);
    if (changed == 0) {
        return -ENOENT;
    }
    return changed < 0 ? changed : 0;
}

/* --- realms --- */

/* Every table that makes a realm by naming it, in the order of the enum. */
static const char *const realm_sources[STORE_REALM_SOURCES] = {
    "turnusers_lt",    "turn_secret",    "turn_realm_option", "turn_origin_to_realm",
    "allowed_peer_ip", "denied_peer_ip", "oauth_key",
};

struct realm_walk {
    struct sqlite_store *s;
    bool there[STORE_REALM_SOURCES];
    store_realm_fn each;
    void *arg;
};

/* Does one of the first `count` tables name the realm?  1, 0 or negative. */
static int named_before(const struct realm_walk *walk, int count, struct bytes realm)
{
    int found = 0;

    for (int i = 0; i < count && found == 0; i++) {
        sqlite3_stmt *stmt;
        if (!walk->there[i]) {
            continue;
        }
        const enum store_stmt which = (enum store_stmt)(STMT_REALM_NAMED + i);
        found = store_sqlite_prepare(walk->s, which, &stmt);
        if (found == 0) {
            found = store_sqlite_bind(walk->s, stmt, 1, realm);
        }
        if (found == 0) {
            found = store_sqlite_step(walk->s, stmt);
            (void)sqlite3_reset(stmt);
        }
    }
    return found;
}

static int realms_of(struct realm_walk *walk, int source)
{
    sqlite3_stmt *stmt;
    const int err =
        store_sqlite_prepare(walk->s, (enum store_stmt)(STMT_REALM_LIST + source), &stmt);
    if (err < 0) {
        return err;
    }
    int row = store_sqlite_step(walk->s, stmt);
    while (row == 1) {
        const struct bytes realm = store_sqlite_column(stmt, 0);
        int stop = realm.n == 0 ? 1 : named_before(walk, source, realm);
        if (stop == 0) {
            stop = walk->each(walk->arg, realm);
        }
        row = stop < 0 ? stop : store_sqlite_step(walk->s, stmt);
    }
    (void)sqlite3_reset(stmt);
    return row;
}

int store_sqlite_realm_list(struct store *store, store_realm_fn each, void *arg)
{
    struct realm_walk walk = {.s = sqlite_store_of(store), .each = each, .arg = arg};
    int err = 0;

    for (int i = 0; i < STORE_REALM_SOURCES && err == 0; i++) {
        const int there = store_sqlite_has_table(walk.s, realm_sources[i]);
        walk.there[i] = there > 0;
        if (there != 0) {
            err = there < 0 ? there : realms_of(&walk, i);
        }
    }
    return err;
}
