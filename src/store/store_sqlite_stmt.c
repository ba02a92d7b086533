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

/* Of one realm, or of all. */
#define OF_REALM " WHERE ?1 IS NULL OR realm = ?1 "

/* A scan of a large table for its few realms would take seconds: step over the users of each. */
#define REALMS_BY_KEY(table)                                                                       \
    "WITH RECURSIVE r(x) AS (SELECT min(realm) FROM " table " UNION ALL "                          \
    "SELECT (SELECT min(realm) FROM " table " WHERE realm > x) FROM r WHERE x IS NOT NULL) "       \
    "SELECT x FROM r WHERE x <> ''"
#define REALMS(table)      "SELECT DISTINCT realm FROM " table " WHERE realm <> ''"
#define REALM_NAMED(table) "SELECT 1 FROM " table " WHERE realm = ?1 LIMIT 1"

#define OAUTH  "oauth_key (kid, ikm_key, timestamp, lifetime, as_rs_alg, realm) "
#define ORIGIN "turn_origin_to_realm (origin, realm) "
#define OPTION "turn_realm_option (realm, opt, value) "
#define RANGE  "_peer_ip (realm, ip_range) "
#define ADMIN  "admin_user (name, realm, password) "

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
    [STMT_ROW_LIST + STORE_TABLE_OAUTH] =
        "SELECT kid, ikm_key, timestamp, lifetime, as_rs_alg, realm FROM oauth_key ORDER BY kid",
    [STMT_ROW_LIST + STORE_TABLE_ORIGIN] =
        "SELECT origin, realm FROM turn_origin_to_realm ORDER BY realm, origin",
    [STMT_ROW_LIST + STORE_TABLE_OPTION] =
        "SELECT realm, opt, value FROM turn_realm_option" OF_REALM "ORDER BY realm, opt",
    [STMT_ROW_LIST + STORE_TABLE_ALLOWED] =
        "SELECT realm, ip_range FROM allowed_peer_ip" OF_REALM "ORDER BY realm, ip_range",
    [STMT_ROW_LIST + STORE_TABLE_DENIED] =
        "SELECT realm, ip_range FROM denied_peer_ip" OF_REALM "ORDER BY realm, ip_range",
    [STMT_ROW_LIST + STORE_TABLE_ADMIN] =
        "SELECT name, realm, password FROM admin_user ORDER BY realm, name",
    [STMT_ROW_ADD + STORE_TABLE_OAUTH] = "INSERT INTO " OAUTH "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_ROW_ADD + STORE_TABLE_ORIGIN] = "INSERT INTO " ORIGIN "VALUES (?1, ?2)",
    [STMT_ROW_ADD + STORE_TABLE_OPTION] = "INSERT INTO " OPTION "VALUES (?1, ?2, ?3)",
    [STMT_ROW_ADD + STORE_TABLE_ALLOWED] = "INSERT INTO allowed" RANGE "VALUES (?1, ?2)",
    [STMT_ROW_ADD + STORE_TABLE_DENIED] = "INSERT INTO denied" RANGE "VALUES (?1, ?2)",
    [STMT_ROW_ADD + STORE_TABLE_ADMIN] = "INSERT INTO " ADMIN "VALUES (?1, ?2, ?3)",
    [STMT_ROW_PUT + STORE_TABLE_OAUTH] =
        "INSERT OR REPLACE INTO " OAUTH "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_ROW_PUT + STORE_TABLE_ORIGIN] = "INSERT OR REPLACE INTO " ORIGIN "VALUES (?1, ?2)",
    [STMT_ROW_PUT + STORE_TABLE_OPTION] = "INSERT OR REPLACE INTO " OPTION "VALUES (?1, ?2, ?3)",
    [STMT_ROW_PUT + STORE_TABLE_ALLOWED] = "INSERT OR REPLACE INTO allowed" RANGE "VALUES (?1, ?2)",
    [STMT_ROW_PUT + STORE_TABLE_DENIED] = "INSERT OR REPLACE INTO denied" RANGE "VALUES (?1, ?2)",
    [STMT_ROW_PUT + STORE_TABLE_ADMIN] = "INSERT OR REPLACE INTO " ADMIN "VALUES (?1, ?2, ?3)",
    [STMT_ROW_REMOVE + STORE_TABLE_OAUTH] = "DELETE FROM oauth_key WHERE kid = ?1",
    [STMT_ROW_REMOVE + STORE_TABLE_ORIGIN] = "DELETE FROM turn_origin_to_realm WHERE origin = ?1",
    [STMT_ROW_REMOVE + STORE_TABLE_OPTION] =
        "DELETE FROM turn_realm_option WHERE realm = ?1 AND opt = ?2",
    [STMT_ROW_REMOVE + STORE_TABLE_ALLOWED] =
        "DELETE FROM allowed_peer_ip WHERE realm = ?1 AND ip_range = ?2",
    [STMT_ROW_REMOVE + STORE_TABLE_DENIED] =
        "DELETE FROM denied_peer_ip WHERE realm = ?1 AND ip_range = ?2",
    [STMT_ROW_REMOVE + STORE_TABLE_ADMIN] = "DELETE FROM admin_user WHERE name = ?1",
    [STMT_REALM_LIST + 0] = REALMS_BY_KEY("turnusers_lt"),
    [STMT_REALM_LIST + 1] = REALMS_BY_KEY("turn_secret"),
    [STMT_REALM_LIST + 2] = REALMS_BY_KEY("turn_realm_option"),
    [STMT_REALM_LIST + 3] = REALMS("turn_origin_to_realm"),
    [STMT_REALM_LIST + 4] = REALMS_BY_KEY("allowed_peer_ip"),
    [STMT_REALM_LIST + 5] = REALMS_BY_KEY("denied_peer_ip"),
    [STMT_REALM_LIST + 6] = REALMS("oauth_key"),
    [STMT_REALM_NAMED + 0] = REALM_NAMED("turnusers_lt"),
    [STMT_REALM_NAMED + 1] = REALM_NAMED("turn_secret"),
    [STMT_REALM_NAMED + 2] = REALM_NAMED("turn_realm_option"),
    [STMT_REALM_NAMED + 3] = REALM_NAMED("turn_origin_to_realm"),
    [STMT_REALM_NAMED + 4] = REALM_NAMED("allowed_peer_ip"),
    [STMT_REALM_NAMED + 5] = REALM_NAMED("denied_peer_ip"),
    [STMT_REALM_NAMED + 6] = REALM_NAMED("oauth_key"),
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

struct bytes store_sqlite_column(sqlite3_stmt *stmt, int index)
{
    /* The length is asked for last: the pointer's call may convert. */
    const uint8_t *p = sqlite3_column_text(stmt, index);
    return (struct bytes){p, p == NULL ? 0 : (size_t)sqlite3_column_bytes(stmt, index)};
}

void store_sqlite_forget(struct sqlite_store *s)
{
    for (int i = 0; i < STMT_STATEMENTS; i++) {
        (void)sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
}
