/* SPDX-License-Identifier: Apache-2.0 */
/* The file behind a SQLite store: made, foreign, damaged, locked, read-only, gone, replaced. */
#include <errno.h>
#include <sys/stat.h>

#include "database.h"
#include "store/store.h"

/* What `turnadmin` of coturn makes. */
static const char coturn_sql[] =
    "CREATE TABLE turnusers_lt ( realm varchar(127) default '', name varchar(512), "
    "hmackey char(128), PRIMARY KEY (realm,name));"
    "CREATE TABLE turn_secret (realm varchar(127) default '', value varchar(127), "
    "primary key (realm,value));"
    "INSERT INTO turnusers_lt VALUES "
    "('example.org', 'alice', '72f86f2053703faa0f521ce71cfe6f59');";

static int make(void **state)
{
    *state = database_make();
    return 0;
}

static int remove_all(void **state)
{
    database_remove(*state);
    return 0;
}

static int find_alice(struct database *db)
{
    struct store_keys keys;
    return store_user_find(db->store, bytes_of("example.org"), bytes_of("alice"), &keys);
}

static int count_tables(const struct database *db, const char *like)
{
    sqlite3 *other;
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_open(db->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(other,
                                        "SELECT count(*) FROM sqlite_master "
                                        "WHERE type = 'table' AND name LIKE ?",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(stmt, 1, like, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    const int count = sqlite3_column_int(stmt, 0);
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    return count;
}

static void open__makes_a_missing_file(void **state)
{
    struct database *db = *state;
    struct stat info;

    database_must_open(db, STORE_SERVE);
    assert_int_equal(count_tables(db, "%"), 9); /* coturn's eight and ours */
    assert_int_equal(stat(db->path, &info), 0);
    assert_int_equal(info.st_mode & 0007, 0); /* keys are not for everybody's eyes */
    assert_int_equal(find_alice(db), -ENOENT);
}

static void open__leaves_coturns_file_as_it_is(void **state)
{
    struct database *db = *state;

    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(count_tables(db, "%"), 2);
    assert_int_equal(find_alice(db), 0);
    database_must_open(db, STORE_LOOK);
    assert_int_equal(count_tables(db, "%"), 2);
    database_must_open(db, STORE_CHANGE);
    assert_int_equal(count_tables(db, "%"), 9);
    assert_int_equal(find_alice(db), 0);
}

static void look__makes_nothing(void **state)
{
    struct database *db = *state;
    char why[400];

    assert_int_equal(database_open(db, STORE_LOOK, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, db->path));
    assert_int_equal(access(db->path, F_OK), -1);
}

static void open__says_where_nothing_can_be_made(void **state)
{
    const struct store_target target = {"/nonexistent/folder/db", STORE_SERVE, 50};
    struct store *store;
    char why[400];

    (void)state;
    assert_int_equal(store_open(&store_sqlite, &target, &store, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent/folder/db: cannot be made"));
}

static void open__refuses_a_foreign_database(void **state)
{
    struct database *db = *state;
    char why[400];

    database_sql(db, "CREATE TABLE mails (subject text)");
    assert_int_equal(database_open(db, STORE_CHANGE, why, sizeof(why)), -EBADMSG);
    assert_non_null(strstr(why, "not a user database"));
    assert_int_equal(count_tables(db, "%"), 1);
}

static void write_file(const char *path, const char *content, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void open__refuses_rubbish(void **state)
{
    struct database *db = *state;
    static char rubbish[4096];
    char why[400];

    memset(rubbish, 'x', sizeof(rubbish));
    write_file(db->path, rubbish, sizeof(rubbish));
    assert_int_equal(database_open(db, STORE_SERVE, why, sizeof(why)), -EIO);
    assert_non_null(strstr(why, "not a SQLite database"));
}

static void find__reports_damage_and_recovers(void **state)
{
    struct database *db = *state;
    static char rubbish[3 * 4096];
    char old[64];

    (void)snprintf(old, sizeof(old), "%s.old", db->path);
    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(find_alice(db), 0);
    /* The same file, overwritten: the next look meets damage. */
    memset(rubbish, 0xa5, sizeof(rubbish));
    write_file(db->path, rubbish, sizeof(rubbish));
    assert_int_equal(find_alice(db), -EIO);
    assert_non_null(strstr(store_error(db->store), db->path));
    assert_int_equal(store_refresh(db->store), -EIO);
    assert_int_equal(find_alice(db), -EIO);
    assert_int_equal(rename(db->path, old), 0);
    database_sql(db, coturn_sql);
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(find_alice(db), 0);
}

static void locked__is_busy_and_comes_back(void **state)
{
    struct database *db = *state;
    sqlite3 *other;

    database_sql(db, coturn_sql);
    database_must_open(db, STORE_CHANGE);
    assert_int_equal(sqlite3_open(db->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(find_alice(db), -EBUSY);
    assert_non_null(strstr(store_error(db->store), "locked by another program"));
    assert_int_equal(store_secret_add(db->store, bytes_of("r"), bytes_of("s")), -EBUSY);
    assert_int_equal(store_user_remove(db->store, bytes_of("r"), bytes_of("s")), -EBUSY);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(find_alice(db), 0);
}

/* Run as somebody whom permissions bind. */
static void read_only__is_enough_to_serve(void **state)
{
    struct database *db = *state;
    const bool root = geteuid() == 0;

    database_sql(db, coturn_sql);
    assert_int_equal(chmod(db->path, 0444), 0);
    assert_int_equal(chmod(db->folder, 0555), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(find_alice(db), 0);
    assert_int_equal(store_secret_add(db->store, bytes_of("r"), bytes_of("s")), -EROFS);
    assert_non_null(strstr(store_error(db->store), "write permission"));
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(store_refresh(db->store), 0);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(db->folder, 0755), 0);
}

static void refresh__tells_whether_others_wrote(void **state)
{
    struct database *db = *state;

    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(store_refresh(db->store), 0);
    database_sql(db, "INSERT INTO turn_secret VALUES ('r', 's')");
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(store_refresh(db->store), 0);
}

static void refresh__finds_our_table_when_it_comes(void **state)
{
    struct database *db = *state;
    struct store_counts counts;

    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(find_alice(db), 0);
    database_sql(db, "CREATE TABLE sterna_user (realm text, name text, hmackey text, "
                     "sha256key text, userhash text);"
                     "INSERT INTO sterna_user SELECT realm, name, hmackey, hmackey || hmackey, "
                     "hmackey || hmackey FROM turnusers_lt");
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(store_user_count(db->store, bytes_of("example.org"), &counts), 0);
    assert_int_equal(counts.with_sha256, 1);
    assert_int_equal(find_alice(db), 0);
}

static void refresh__fails_while_the_file_is_gone(void **state)
{
    struct database *db = *state;
    char old[64];

    (void)snprintf(old, sizeof(old), "%s.old", db->path);
    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(rename(db->path, old), 0);
    assert_int_equal(store_refresh(db->store), -ENOENT);
    assert_non_null(strstr(store_error(db->store), "No such file"));
    assert_int_equal(find_alice(db), -EIO);
    assert_int_equal(access(db->path, F_OK), -1); /* not made anew, empty */
    assert_int_equal(rename(old, db->path), 0);
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(find_alice(db), 0);
}

static void refresh__follows_a_replacement(void **state)
{
    struct database *db = *state;
    char fresh[64];
    char old[64];

    (void)snprintf(old, sizeof(old), "%s.old", db->path);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", db->path);
    database_sql(db, coturn_sql);
    database_must_open(db, STORE_SERVE);
    assert_int_equal(find_alice(db), 0);
    assert_int_equal(rename(db->path, old), 0);
    database_sql(db, coturn_sql);
    database_sql(db, "DELETE FROM turnusers_lt");
    assert_int_equal(store_refresh(db->store), 1);
    assert_int_equal(find_alice(db), -ENOENT);
}

static void path__is_never_a_uri(void **state)
{
    struct database *db = *state;
    const struct store_target memory = {":memory:", STORE_LOOK, 50};
    const struct store_target uri = {"file:x?mode=memory", STORE_LOOK, 50};
    struct store *store;
    char why[400];

    (void)db;
    assert_int_equal(store_open(&store_sqlite, &memory, &store, why, sizeof(why)), -ENOENT);
    assert_int_equal(store_open(&store_sqlite, &uri, &store, why, sizeof(why)), -ENOENT);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, make, remove_all)
    const struct CMUnitTest tests[] = {
        EACH(open__makes_a_missing_file),
        EACH(open__leaves_coturns_file_as_it_is),
        EACH(look__makes_nothing),
        EACH(open__says_where_nothing_can_be_made),
        EACH(open__refuses_a_foreign_database),
        EACH(open__refuses_rubbish),
        EACH(find__reports_damage_and_recovers),
        EACH(locked__is_busy_and_comes_back),
        EACH(read_only__is_enough_to_serve),
        EACH(refresh__tells_whether_others_wrote),
        EACH(refresh__finds_our_table_when_it_comes),
        EACH(refresh__fails_while_the_file_is_gone),
        EACH(refresh__follows_a_replacement),
        EACH(path__is_never_a_uri),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
