/* SPDX-License-Identifier: Apache-2.0 */
/* The tables: coturn's, exactly as it makes them itself, and one of our own beside them. */
#include <errno.h>

#include "store/store_sqlite_int.h"

/* Tables that nothing reads yet are made, too: coturn's tools expect all of them. */
static const char coturn_tables[] =
    "CREATE TABLE IF NOT EXISTS turnusers_lt (realm varchar(127) default '', name varchar(512), "
    "hmackey char(128), PRIMARY KEY (realm,name));"
    "CREATE TABLE IF NOT EXISTS turn_secret (realm varchar(127) default '', value varchar(127), "
    "primary key (realm,value));"
    "CREATE TABLE IF NOT EXISTS allowed_peer_ip (realm varchar(127) default '', "
    "ip_range varchar(256), primary key (realm,ip_range));"
    "CREATE TABLE IF NOT EXISTS denied_peer_ip (realm varchar(127) default '', "
    "ip_range varchar(256), primary key (realm,ip_range));"
    "CREATE TABLE IF NOT EXISTS turn_origin_to_realm (origin varchar(127),realm varchar(127),"
    "primary key (origin));"
    "CREATE TABLE IF NOT EXISTS turn_realm_option (realm varchar(127) default '', opt varchar(32), "
    "value varchar(128), primary key (realm,opt));"
    "CREATE TABLE IF NOT EXISTS oauth_key (kid varchar(128),ikm_key varchar(256),"
    "timestamp bigint default 0,lifetime integer default 0,as_rs_alg varchar(64) default '',"
    "realm varchar(127) default '',primary key (kid));"
    "CREATE TABLE IF NOT EXISTS admin_user (name varchar(32), realm varchar(127), "
    "password varchar(127), primary key (name));";

static const char own_table[] =
    "CREATE TABLE IF NOT EXISTS sterna_user (realm varchar(127) default '', name varchar(512), "
    "hmackey char(32), sha256key char(64), userhash char(64), PRIMARY KEY (realm,name));"
    "CREATE INDEX IF NOT EXISTS sterna_user_hash ON sterna_user (realm,userhash);";

int store_sqlite_has_table(struct sqlite_store *s, const char *table)
{
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, STMT_HAS_TABLE, &stmt);

    if (err == 0 && table != NULL) {
        err = store_sqlite_bind(s, stmt, 1, bytes_of(table));
    }
    if (err == 0) {
        err = store_sqlite_step(s, stmt);
        (void)sqlite3_reset(stmt);
    }
    return err;
}

static int tables_make(struct sqlite_store *s)
{
    int err = store_sqlite_run(s, STMT_BEGIN, NULL, 0);
    if (err < 0) {
        return err;
    }
    err = store_sqlite_error(s, sqlite3_exec(s->db, coturn_tables, NULL, NULL, NULL));
    if (err == 0) {
        err = store_sqlite_error(s, sqlite3_exec(s->db, own_table, NULL, NULL, NULL));
    }
    const int end = store_sqlite_run(s, err == 0 ? STMT_COMMIT : STMT_ROLLBACK, NULL, 0);
    return err < 0 || end >= 0 ? err : end;
}

/* Is everything there that a user database needs? */
static int tables_check(struct sqlite_store *s)
{
    static const char *const needed[] = {"turnusers_lt", "turn_secret"};

    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const int found = store_sqlite_has_table(s, needed[i]);
        if (found < 0) {
            return found;
        }
        if (found == 0) {
            return store_fail(
                &s->store, -EBADMSG,
                "%s: has no table %s, so it is not a user database: name another file", s->path,
                needed[i]);
        }
    }
    return 0;
}

int store_sqlite_schema(struct sqlite_store *s)
{
    const int any = store_sqlite_has_table(s, NULL);
    int err = any < 0 ? any : 0;

    if (any == 0 && (s->mode == STORE_LOOK || s->mode == STORE_CHANGE)) {
        return tables_check(s);
    }
    if (any > 0) {
        err = tables_check(s); /* before anything is added to a file that is somebody else's */
    }
    if (err == 0 && (any == 0 || store_sqlite_writes(s))) {
        err = tables_make(s);
    }
    if (err < 0) {
        return err;
    }
    const int own = store_sqlite_has_table(s, "sterna_user");
    if (own >= 0 && s->has_own != (own > 0)) {
        store_sqlite_forget(s);
        s->has_own = own > 0;
    }
    return own < 0 ? own : 0;
}
