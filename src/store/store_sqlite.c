/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite driver: the file, from opening to replacement.
 *
 * The journal mode stays as the file has it: write-ahead logging would demand that a server which
 * only reads may write into the folder, and one row written now and then gains nothing from it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/store_sqlite_int.h"

/* "file:x" and ":memory:" are file names here; SQLite would see more in them. */
static char *path_copy(const char *where)
{
    const size_t cap = strlen(where) + 3;
    char *path = mem_new(1, cap);

    if (path != NULL) {
        (void)snprintf(path, cap, "%s%s", where[0] == '/' ? "" : "./", where);
    }
    return path;
}

static void file_close(struct sqlite_store *s)
{
    store_sqlite_forget(s);
    (void)sqlite3_close_v2(s->db);
    s->db = NULL;
    s->has_own = false;
    s->version = 0;
}

/* Make the file where it is missing and may be made: readable for its owner and group only. */
static int file_make(struct sqlite_store *s)
{
    if (access(s->path, F_OK) == 0) {
        return 0;
    }
    if (errno == ENOENT && (s->mode == STORE_SERVE || s->mode == STORE_CREATE)) {
        const int fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (fd >= 0) {
            (void)close(fd);
            return 0;
        }
        return store_fail(&s->store, -errno, "%s: cannot be made: %s", s->path, strerror(errno));
    }
    return store_fail(&s->store, -errno, "%s: %s", s->path, strerror(errno));
}

static int file_open(struct sqlite_store *s)
{
    /* READWRITE falls back to reading where the file is write-protected. */
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int err = file_make(s);

    if (err < 0) {
        return err;
    }
    const int code = sqlite3_open_v2(s->path, &s->db, flags, NULL);
    if (code != SQLITE_OK) {
        err = s->db == NULL ? -ENOMEM : store_sqlite_error(s, code);
        file_close(s);
        return err;
    }
    (void)sqlite3_busy_timeout(s->db, (int)s->busy_ms);
    /* The schema is data of somebody else, too: no tricks with views, triggers or the file. */
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    err = !store_sqlite_writes(s)
              ? 0
              : store_sqlite_error(
                    s, sqlite3_exec(s->db, "PRAGMA secure_delete = ON", NULL, NULL, NULL));
    if (err == 0) {
        err = store_sqlite_schema(s);
    }
    if (err < 0) {
        file_close(s);
        return err;
    }
    s->failed = false;
    return 0;
}

static void sqlite_close(struct store *store)
{
    struct sqlite_store *s = sqlite_store_of(store);

    file_close(s);
    free(s->path);
    free(s);
}

static int sqlite_open(const struct store_target *target, struct store **out, char *why, size_t cap)
{
    struct sqlite_store *s = mem_new(1, sizeof(*s));
    int err = -ENOMEM;

    if (s != NULL) {
        s->path = path_copy(target->where);
        s->mode = target->mode;
        s->busy_ms = target->busy_ms;
        err = s->path == NULL ? -ENOMEM : file_open(s);
    }
    if (err < 0) {
        const bool told = s != NULL && s->store.error[0] != '\0';
        (void)snprintf(why, cap, "user database %s",
                       told ? s->store.error : "cannot be opened: memory is exhausted");
        if (s != NULL) {
            sqlite_close(&s->store);
        }
        return err;
    }
    s->mode = s->mode == STORE_SERVE ? STORE_LOOK : s->mode; /* made once, never again */
    *out = &s->store;
    return 0;
}

/* 1 when another program has written since the last call, else 0. */
static int version_check(struct sqlite_store *s)
{
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, STMT_VERSION, &stmt);

    if (err == 0) {
        err = store_sqlite_step(s, stmt);
    }
    if (err < 0) {
        return err;
    }
    const int64_t version = sqlite3_column_int64(stmt, 0);
    const int changed = version != s->version;
    (void)sqlite3_reset(stmt);
    s->version = version;
    return changed;
}

static bool file_moved(struct sqlite_store *s)
{
    int moved = 0;

    (void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved != 0;
}

static int sqlite_refresh(struct store *store)
{
    struct sqlite_store *s = sqlite_store_of(store);

    if (s->db != NULL && !s->failed && !file_moved(s)) {
        const int changed = version_check(s);
        if (changed == 0 || (changed < 0 && !s->failed)) {
            return changed;
        }
        const int err = changed < 0 ? changed : store_sqlite_schema(s); /* ours may have come */
        if (!s->failed) {
            s->version = err < 0 ? 0 : s->version; /* look again next time */
            return err < 0 ? err : 1;
        }
    }
    file_close(s);
    const int err = file_open(s);
    return err < 0 ? err : 1;
}

const struct store_ops store_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .refresh = sqlite_refresh,
    .user_find = store_sqlite_user_find,
    .user_find_hash = store_sqlite_user_find_hash,
    .user_list = store_sqlite_user_list,
    .user_count = store_sqlite_user_count,
    .user_put = store_sqlite_user_put,
    .user_remove = store_sqlite_user_remove,
    .secret_list = store_sqlite_secret_list,
    .secret_add = store_sqlite_secret_add,
    .secret_remove = store_sqlite_secret_remove,
    .row_list = store_sqlite_row_list,
    .row_put = store_sqlite_row_put,
    .row_remove = store_sqlite_row_remove,
    .realm_list = store_sqlite_realm_list,
};
