/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/auth_users.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth_hash.h"
#include "auth/auth_keys.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/table.h"
#include "conf/conf.h"
#include "conf/conf_value.h"
#include "crypto/longterm.h"

struct row {
    uint8_t id[AUTH_ID_LEN];
    uint8_t userhash[CRYPTO_SHA256_LEN];
    struct auth_user user;
    uint8_t name[CREDENTIAL_NAME_MAX];
};

struct auth_users {
    struct auth_hash hash;
    struct table by_id;
    struct table by_hash;
    uint32_t count;
    uint32_t count_sha256;
    struct row **rows; /* `count` of them are in use */
};

void auth_users_free(struct auth_users *users)
{
    if (users == NULL) {
        return;
    }
    table_fini(&users->by_id);
    table_fini(&users->by_hash);
    for (uint32_t i = 0; i < users->count; i++) {
        secret_wipe(users->rows[i], sizeof(*users->rows[i]));
        free(users->rows[i]);
    }
    free(users->rows);
    free(users);
}

static int keys_make(struct auth_user *user, const struct conf_user *line, struct bytes realm)
{
    struct credential_key *key = &user->keys[0];

    user->key_count = 1;
    if (line->key_len == sizeof(key->md5)) {
        key->has_md5 = true;
        memcpy(key->md5, line->key, sizeof(key->md5));
        return 0;
    }
    if (line->key_len == sizeof(key->sha256)) {
        key->has_sha256 = true;
        memcpy(key->sha256, line->key, sizeof(key->sha256));
        return 0;
    }
    const int count =
        auth_keys_variants(user->name, realm, line->password, user->keys, AUTH_USER_KEYS);
    user->key_count = count < 0 ? 0 : (uint32_t)count;
    return count < 0 ? count : 0;
}

/* Fill `row`.  0; -EBADMSG for a name that no request can carry; -EIO. */
static int row_fill(const struct auth_users *users, const struct conf_user *line,
                    struct bytes realm, struct row *row)
{
    struct auth_text name;

    auth_keys_prepare(line->name, &name);
    if (name.text.n == 0 || name.text.n > sizeof(row->name)) {
        return -EBADMSG;
    }
    memcpy(row->name, name.text.p, name.text.n);
    row->user.name = (struct bytes){row->name, name.text.n};
    auth_hash_id(&users->hash, row->user.name, row->id);
    const int err = crypto_longterm_userhash(row->user.name, realm, row->userhash);
    return err < 0 ? err : keys_make(&row->user, line, realm);
}

static int row_insert(struct auth_users *users, struct row *row)
{
    int err = table_insert(&users->by_id, row);
    if (err < 0) {
        return err;
    }
    err = table_insert(&users->by_hash, row);
    if (err < 0) {
        (void)table_remove(&users->by_id, row->id);
        return err;
    }
    users->rows[users->count++] = row;
    users->count_sha256 += row->user.keys[0].has_sha256 ? 1 : 0;
    return 0;
}

/* Add the user of one line, unless a later line has named it already. */
static int line_add(struct auth_users *users, const char *text, struct bytes realm)
{
    struct conf_user line;
    struct row *row = mem_new(1, sizeof(*row));
    int err = row == NULL ? -ENOMEM : conf_user_parse(text, &line);

    if (err == 0) {
        err = row_fill(users, &line, realm, row);
        secret_wipe(&line, sizeof(line));
    }
    if (err == 0) {
        err = row_insert(users, row);
    }
    if (err < 0 && row != NULL) {
        secret_wipe(row, sizeof(*row));
        free(row);
    }
    return err == -EEXIST ? 0 : err;
}

static void explain(const struct conf_text *item, int err, char *why, size_t cap)
{
    const char *what = "memory is exhausted";

    if (err == -EIO) {
        what = "libcrypto refuses to make a key of it (is MD5 or SHA-256 switched off?)";
    } else if (err == -EBADMSG) {
        what = "write it as name:password or name:0xKEY, the name at most 763 bytes long";
    }
    (void)snprintf(why, cap, "%s:%u: option user: %s", item->file, item->line, what);
}

int auth_users_new(const struct conf_list *list, struct bytes realm, struct auth_users **out,
                   char *why, size_t cap)
{
    struct auth_users *users = mem_new(1, sizeof(*users));
    int err = users == NULL ? -ENOMEM : auth_hash_init(&users->hash);

    if (err == 0) {
        users->rows = mem_new(list->count + 1, sizeof(void *)); /* not 0: NULL means no memory */
        err = users->rows == NULL ? -ENOMEM : 0;
    }
    if (err < 0) {
        free(users);
        (void)snprintf(why, cap, "memory is exhausted");
        return err;
    }
    table_init(&users->by_id, offsetof(struct row, id), AUTH_ID_LEN, users->hash.table);
    table_init(&users->by_hash, offsetof(struct row, userhash), CRYPTO_SHA256_LEN,
               users->hash.table);
    for (size_t i = list->count; i > 0; i--) {
        err = line_add(users, list->items[i - 1].text, realm);
        if (err < 0) {
            explain(&list->items[i - 1], err, why, cap);
            auth_users_free(users);
            return err;
        }
    }
    *out = users;
    return 0;
}

const struct auth_user *auth_users_find(const struct auth_users *users, struct bytes name)
{
    uint8_t id[AUTH_ID_LEN];

    if (users->count == 0) {
        return NULL;
    }
    auth_hash_id(&users->hash, name, id);
    const struct row *row = table_find(&users->by_id, id);
    return row != NULL && bytes_equal(row->user.name, name) ? &row->user : NULL;
}

const struct auth_user *auth_users_find_hash(const struct auth_users *users,
                                             const uint8_t *userhash)
{
    const struct row *row = table_find(&users->by_hash, userhash);

    return row == NULL ? NULL : &row->user;
}

uint32_t auth_users_count(const struct auth_users *users)
{
    return users->count;
}

uint32_t auth_users_count_sha256(const struct auth_users *users)
{
    return users->count_sha256;
}
