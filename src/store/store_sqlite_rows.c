/* SPDX-License-Identifier: Apache-2.0 */
/* Users and secrets as rows of SQLite tables. */
#include <errno.h>

#include "base/secret.h"
#include "store/store_hex.h"
#include "store/store_sqlite_int.h"

enum { COLUMN_REALM, COLUMN_NAME, COLUMN_HMACKEY, COLUMN_SHA256, COLUMN_USERHASH };

enum { HEX_MD5 = 2 * CRYPTO_MD5_LEN + 1, HEX_SHA256 = 2 * CRYPTO_SHA256_LEN + 1 };

/* A coturn key is 32 hexadecimal digits; longer and shorter ones made coturn read past its buffer
 * (coturn issue 1948), here they are no key. */
static int keys_of(struct sqlite_store *s, sqlite3_stmt *stmt, struct store_keys *out)
{
    struct store_keys keys = {0};

    keys.has_md5 = store_hex_decode(store_sqlite_column(stmt, COLUMN_HMACKEY), keys.md5,
                                    sizeof(keys.md5)) == 0;
    keys.has_sha256 = store_hex_decode(store_sqlite_column(stmt, COLUMN_SHA256), keys.sha256,
                                       sizeof(keys.sha256)) == 0;
    keys.has_userhash = store_hex_decode(store_sqlite_column(stmt, COLUMN_USERHASH), keys.userhash,
                                         sizeof(keys.userhash)) == 0;
    *out = keys;
    secret_wipe(&keys, sizeof(keys));
    if (!out->has_md5) {
        return store_fail(&s->store, -EBADMSG,
                          "%s: a key in turnusers_lt is not 32 hexadecimal digits: set that user's "
                          "password anew",
                          s->path);
    }
    return 0;
}

/* Step to the row of exactly these bytes: collations and encodings of a foreign table may take more
 * for equal than we do.  1, 0 or negative. */
static int step_to(struct sqlite_store *s, sqlite3_stmt *stmt, struct bytes realm,
                   struct bytes name)
{
    int found = store_sqlite_step(s, stmt);

    while (found == 1 &&
           !(bytes_equal(store_sqlite_column(stmt, COLUMN_REALM), realm) &&
             (name.p == NULL || bytes_equal(store_sqlite_column(stmt, COLUMN_NAME), name)))) {
        found = store_sqlite_step(s, stmt);
    }
    return found;
}

int store_sqlite_user_find(struct store *store, struct bytes realm, struct bytes name,
                           struct store_keys *out)
{
    struct sqlite_store *s = sqlite_store_of(store);
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, s->has_own ? STMT_USER_FIND_OWN : STMT_USER_FIND, &stmt);
    if (err < 0) {
        return err;
    }
    err = store_sqlite_bind(s, stmt, 1, realm);
    if (err == 0) {
        err = store_sqlite_bind(s, stmt, 2, name);
    }
    const int found = err < 0 ? err : step_to(s, stmt, realm, name);
    if (found <= 0) {
        return found == 0 ? -ENOENT : found;
    }
    err = keys_of(s, stmt, out);
    (void)sqlite3_reset(stmt);
    return err;
}

int store_sqlite_user_find_hash(struct store *store, struct bytes realm, const uint8_t *userhash,
                                struct store_name *out_name, struct store_keys *out)
{
    struct sqlite_store *s = sqlite_store_of(store);
    char hex[HEX_SHA256];
    sqlite3_stmt *stmt;

    if (!s->has_own) {
        return s->db == NULL ? -EIO : -ENOENT;
    }
    store_hex_encode(userhash, CRYPTO_SHA256_LEN, hex);
    int err = store_sqlite_prepare(s, STMT_USER_FIND_HASH_OWN, &stmt);
    if (err < 0) {
        return err;
    }
    err = store_sqlite_bind(s, stmt, 1, realm);
    if (err == 0) {
        err = store_sqlite_bind(s, stmt, 2, bytes_of(hex));
    }
    const int found = err < 0 ? err : step_to(s, stmt, realm, (struct bytes){NULL, 0});
    if (found <= 0) {
        return found == 0 ? -ENOENT : found;
    }
    const struct bytes name = store_sqlite_column(stmt, COLUMN_NAME);
    err = name.n == 0 || name.n > STORE_NAME_MAX ? -ENOENT : keys_of(s, stmt, out);
    if (err == 0) {
        out_name->len = (uint16_t)name.n;
        memcpy(out_name->bytes, name.p, name.n);
    }
    (void)sqlite3_reset(stmt);
    return err;
}

int store_sqlite_user_list(struct store *store, struct bytes realm, store_user_fn each, void *arg)
{
    struct sqlite_store *s = sqlite_store_of(store);
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, s->has_own ? STMT_USER_LIST_OWN : STMT_USER_LIST, &stmt);

    if (err == 0 && realm.p != NULL) {
        err = store_sqlite_bind(s, stmt, 1, realm);
    }
    if (err < 0) {
        return err;
    }
    int row = store_sqlite_step(s, stmt);
    while (row == 1) {
        struct store_keys keys;
        if (keys_of(s, stmt, &keys) < 0) {
            keys.has_sha256 = false; /* listed without a key: the answer to a look-up is no */
        }
        const struct store_user user = {store_sqlite_column(stmt, COLUMN_REALM),
                                        store_sqlite_column(stmt, COLUMN_NAME), &keys};
        const int stop = each(arg, &user);
        secret_wipe(&keys, sizeof(keys));
        row = stop < 0 ? stop : store_sqlite_step(s, stmt);
    }
    (void)sqlite3_reset(stmt);
    return row;
}

int store_sqlite_user_count(struct store *store, struct bytes realm, struct store_counts *out)
{
    struct sqlite_store *s = sqlite_store_of(store);
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, s->has_own ? STMT_USER_COUNT_OWN : STMT_USER_COUNT, &stmt);
    if (err < 0) {
        return err;
    }
    err = store_sqlite_bind(s, stmt, 1, realm);
    const int found = err < 0 ? err : store_sqlite_step(s, stmt);
    if (found < 0) {
        return found;
    }
    *out = (struct store_counts){
        .users = (uint64_t)sqlite3_column_int64(stmt, 0),
        .with_sha256 = (uint64_t)sqlite3_column_int64(stmt, 1),
        .with_userhash = (uint64_t)sqlite3_column_int64(stmt, 2),
    };
    (void)sqlite3_reset(stmt);
    return 0;
}

/* End the transaction: keep what was done when `err` is 0. */
static int finish(struct sqlite_store *s, int err)
{
    const int end = store_sqlite_run(s, err == 0 ? STMT_COMMIT : STMT_ROLLBACK, NULL, 0);

    if (err == 0 && end < 0) {
        (void)!store_sqlite_run(s, STMT_ROLLBACK, NULL, 0);
        return end;
    }
    return err;
}

int store_sqlite_user_put(struct store *store, enum store_write how, const struct store_user *user)
{
    struct sqlite_store *s = sqlite_store_of(store);
    char md5[HEX_MD5];
    char sha256[HEX_SHA256];
    char userhash[HEX_SHA256];
    const struct bytes row[] = {
        user->realm,
        user->name,
        {(const uint8_t *)md5, HEX_MD5 - 1},
        {(const uint8_t *)sha256, HEX_SHA256 - 1},
        {(const uint8_t *)userhash, HEX_SHA256 - 1},
    };
    int err = store_sqlite_run(s, STMT_BEGIN, NULL, 0);
    if (err < 0) {
        return err;
    }
    store_hex_encode(user->keys->md5, CRYPTO_MD5_LEN, md5);
    store_hex_encode(user->keys->sha256, CRYPTO_SHA256_LEN, sha256);
    store_hex_encode(user->keys->userhash, CRYPTO_SHA256_LEN, userhash);
    const int changed =
        store_sqlite_run(s, how == STORE_WRITE_ADD ? STMT_USER_ADD : STMT_USER_CHANGE, row, 3);
    err = changed == 0 ? -ENOENT : changed;
    if (err > 0) {
        err = store_sqlite_run(s, STMT_OWN_PUT, row, 5);
    }
    secret_wipe(md5, sizeof(md5));
    secret_wipe(sha256, sizeof(sha256));
    return finish(s, err < 0 ? err : 0);
}

int store_sqlite_user_remove(struct store *store, struct bytes realm, struct bytes name)
{
    struct sqlite_store *s = sqlite_store_of(store);
    const struct bytes row[] = {realm, name};
    int err = store_sqlite_run(s, STMT_BEGIN, NULL, 0);
    if (err < 0) {
        return err;
    }
    const int changed = store_sqlite_run(s, STMT_USER_REMOVE, row, 2);
    err = changed;
    if (err >= 0 && s->has_own) {
        err = store_sqlite_run(s, STMT_OWN_REMOVE, row, 2);
    }
    err = finish(s, err < 0 ? err : 0);
    return err == 0 && changed == 0 ? -ENOENT : err;
}

int store_sqlite_secret_list(struct store *store, struct bytes realm, store_secret_fn each,
                             void *arg)
{
    struct sqlite_store *s = sqlite_store_of(store);
    sqlite3_stmt *stmt;
    int err = store_sqlite_prepare(s, STMT_SECRET_LIST, &stmt);

    if (err == 0 && realm.p != NULL) {
        err = store_sqlite_bind(s, stmt, 1, realm);
    }
    if (err < 0) {
        return err;
    }
    int row = store_sqlite_step(s, stmt);
    while (row == 1) {
        const struct store_secret secret = {store_sqlite_column(stmt, 0),
                                            store_sqlite_column(stmt, 1)};
        const int stop = each(arg, &secret);
        row = stop < 0 ? stop : store_sqlite_step(s, stmt);
    }
    (void)sqlite3_reset(stmt);
    return row;
}

static int secret_write(struct store *store, enum store_stmt which, struct bytes realm,
                        struct bytes value)
{
    struct sqlite_store *s = sqlite_store_of(store);
    const int changed = store_sqlite_run(s, which, (const struct bytes[]){realm, value}, 2);

    if (changed == 0) {
        return -ENOENT;
    }
    return changed < 0 ? changed : 0;
}

int store_sqlite_secret_add(struct store *store, struct bytes realm, struct bytes value)
{
    return secret_write(store, STMT_SECRET_ADD, realm, value);
}

int store_sqlite_secret_remove(struct store *store, struct bytes realm, struct bytes value)
{
    return secret_write(store, STMT_SECRET_REMOVE, realm, value);
}
