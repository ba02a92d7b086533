/* SPDX-License-Identifier: Apache-2.0 */
/* What a database driver implements; called by store.c alone, which has checked the arguments.
 *
 * A driver's state begins with a struct store.  Every function may be called after any other has
 * failed.  A driver that fails writes store->error by store_fail().
 *
 * Owner   store.c.  Thread  that of the struct store. */
#pragma once

#include "store/store.h"
#include "store/store_realm.h"
#include "store/store_table.h"

struct store {
    const struct store_ops *ops;
    char error[STORE_ERROR_LEN];
};

enum store_write {
    STORE_WRITE_ADD,    /* -EEXIST when it is there */
    STORE_WRITE_CHANGE, /* -ENOENT when it is not; users only */
    STORE_WRITE_PUT,    /* add or replace; rows only */
};

/* The contracts are those of the functions of the same names in store.h and store_realm.h; the
 * functions of rows take as many cells as store_shapes[] says, row_remove the first `keys` of them.
 * row_list with a realm is for tables that begin with one. */
struct store_ops {
    const char *name;
    int (*open)(const struct store_target *target, struct store **out, char *why, size_t cap);
    void (*close)(struct store *store);
    int (*refresh)(struct store *store);
    int (*user_find)(struct store *store, struct bytes realm, struct bytes name,
                     struct store_keys *out);
    int (*user_find_hash)(struct store *store, struct bytes realm, const uint8_t *userhash,
                          struct store_name *out_name, struct store_keys *out);
    int (*user_list)(struct store *store, struct bytes realm, store_user_fn each, void *arg);
    int (*user_count)(struct store *store, struct bytes realm, struct store_counts *out);
    int (*user_put)(struct store *store, enum store_write how, const struct store_user *user);
    int (*user_remove)(struct store *store, struct bytes realm, struct bytes name);
    int (*secret_list)(struct store *store, struct bytes realm, store_secret_fn each, void *arg);
    int (*secret_add)(struct store *store, struct bytes realm, struct bytes value);
    int (*secret_remove)(struct store *store, struct bytes realm, struct bytes value);
    int (*row_list)(struct store *store, enum store_table table, struct bytes realm,
                    store_row_fn each, void *arg);
    int (*row_put)(struct store *store, enum store_table table, enum store_write how,
                   const struct bytes *cells);
    int (*row_remove)(struct store *store, enum store_table table, const struct bytes *keys);
    int (*realm_list)(struct store *store, store_realm_fn each, void *arg);
};

/* Note why a call fails and return `err`. */
int store_fail(struct store *store, int err, const char *format, ...) PRINTF(3, 4);
