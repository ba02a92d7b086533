/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite driver's statements.  Every value is bound; no text of a query is ever put together.
 *
 * A row of sterna_user counts only while it holds the same hmackey as coturn's row: when turnadmin
 * gives a user another password, our SHA-256 key of the old one is void at once. */
#include <errno.h>

#include "store/store_sqlite_int.h"

#define BARE_ROW "SELECT u.realm, u.name, u.hmackey, NULL, NULL FROM turnusers_lt u "
#define OWN_JOIN                                                                                   \
    "FROM turnusers_lt u LEFT JOIN sterna_user s ON s.realm = u.realm AND s.name = u.name "
#define OWN_ROW                                                                                    \
    "SELECT u.realm, u.name, u.hmackey, "                                                          \
    "CASE WHEN s.hmackey = u.hmackey THEN s.sha256key END, s.userhash " OWN_JOIN
#define ONE_USER   "WHERE u.realm = ?1 AND u.name = ?2"
#define ONE_REALM  "WHERE ?1 IS NULL OR u.realm = ?1 ORDER BY u.realm, u.name"
#define REALM_ONLY "WHERE u.realm = ?1"

static const char *const texts[STMT_STATEMENTS] = {
    [STMT_USER_FIND] = BARE_ROW ONE_USER,
    [STMT_USER_FIND_OWN] = OWN_ROW ONE_USER,
    [STMT_USER_FIND_HASH_OWN] = OWN_ROW "WHERE s.realm = ?1 AND s.userhash = ?2",
    [STMT_USER_LIST] = BARE_ROW ONE_REALM,
    [STMT_USER_LIST_OWN] = OWN_ROW ONE_REALM,
    [STMT_USER_COUNT] = "SELECT count(*), 0, 0 FROM turnusers_lt u " REALM_ONLY,
    [STMT_USER_COUNT_OWN] = "SELECT count(*), "
                            "count(CASE WHEN s.hmackey = u.hmackey THEN s.sha256key END), "
                            "count(s.userhash) " OWN_JOIN REALM_ONLY,
    [STMT_USER_ADD] = "INSERT INTO turnusers_lt (realm, name, hmackey) VALUES (?1, ?2, ?3)",
    [STMT_USER_CHANGE] = "UPDATE turnusers_lt SET hmackey = ?3 WHERE realm = ?1 AND name = ?2",
    [STMT_USER_REMOVE] = "DELETE FROM turnusers_lt WHERE realm = ?1 AND name = ?2",
    [STMT_OWN_PUT] = "INSERT OR REPLACE INTO sterna_user "
                     "(realm, name, hmackey, sha256key, userhash) VALUES (?1, ?2, ?3, ?4, ?5)",
    [STMT_OWN_REMOVE] = "DELETE FROM sterna_user WHERE realm = ?1 AND name = ?2",
    [STMT_SECRET_LIST] = "SELECT realm, value FROM turn_secret "
                         "WHERE ?1 IS NULL OR realm = ?1 ORDER BY realm, value",
    [STMT_SECRET_ADD] = "INSERT INTO turn_secret (realm, value) VALUES (?1, ?2)",
    [STMT_SECRET_REMOVE] = "DELETE FROM turn_secret WHERE realm = ?1 AND value = ?2",
    [STMT_HAS_TABLE] = "SELECT 1 FROM sqlite_master "
                       "WHERE type IN ('table', 'view') AND (?1 IS NULL OR name = ?1)",
    [STMT_VERSION] = "PRAGMA data_version",
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
};

int store_sqlite_error(struct sqlite_store *s, int code)
{
    switch (code & 0xff) { /* the primary code */
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return store_fail(&s->store, -EBUSY, "%s: locked by another program for more than %u ms",
                          s->path, s->busy_ms);
    case SQLITE_READONLY:
        return store_fail(&s->store, -EROFS,
                          "%s: cannot be written: give this user write permission for the file and "
                          "its folder",
                          s->path);
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        s->failed = true;
        return store_fail(&s->store, -EIO,
                          "%s: not a SQLite database, or a damaged one (%s): restore it from a "
                          "backup or name another file",
                          s->path, sqlite3_errmsg(s->db));
    default:
        s->failed = true;
        return store_fail(&s->store, -EIO, "%s: %s", s->path, sqlite3_errmsg(s->db));
    }
}

int store_sqlite_prepare(struct sqlite_store *s, enum store_stmt which, sqlite3_stmt **out)
{
    if (s->db == NULL) {
        return -EIO; /* store_refresh() has written why */
    }
    if (s->statements[which] == NULL) {
        const int code = sqlite3_prepare_v3(s->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                            &s->statements[which], NULL);
        if (code != SQLITE_OK) {
            const int err = store_sqlite_error(s, code);
            return err < 0 ? err : -EIO;
        }
    }
    *out = s->statements[which];
    (void)sqlite3_reset(*out); /* repeats the error of the last run, which was told then */
    (void)sqlite3_clear_bindings(*out);
    return 0;
}

int store_sqlite_bind(struct sqlite_store *s, sqlite3_stmt *stmt, int index, struct bytes text)
{
    const char *p = text.n == 0 ? "" : (const char *)text.p; /* a NULL would bind SQL's NULL */
    const int code = sqlite3_bind_text(stmt, index, p, (int)text.n, SQLITE_STATIC);

    return store_sqlite_error(s, code);
}

int store_sqlite_step(struct sqlite_store *s, sqlite3_stmt *stmt)
{
    const int code = sqlite3_step(stmt);

    if (code == SQLITE_ROW) {
        return 1;
    }
    const int err = store_sqlite_error(s, code);
    (void)sqlite3_reset(stmt); /* gives the lock back */
    return err;
}

int store_sqlite_run(struct sqlite_store *s, enum store_stmt which, const struct bytes *values,
                     int count)
{
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, which, &stmt);

    for (int i = 0; err == 0 && i < count; i++) {
        err = store_sqlite_bind(s, stmt, i + 1, values[i]);
    }
    if (err == 0) {
        err = store_sqlite_step(s, stmt);
        (void)sqlite3_reset(stmt);
    }
    return err < 0 ? err : sqlite3_changes(s->db);
}

void store_sqlite_forget(struct sqlite_store *s)
{
    for (int i = 0; i < STMT_STATEMENTS; i++) {
        (void)sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
}
