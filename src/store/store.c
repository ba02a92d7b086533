/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "store/store_ops.h"

int store_fail(struct store *store, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(store->error, sizeof(store->error), format, args);
    va_end(args);
    return err;
}

/* Databases keep text up to its NUL, some of them silently: such a name must never match another.
 */
static bool is_text(struct bytes text, size_t max)
{
    return text.n <= max && (text.n == 0 || memchr(text.p, 0, text.n) == NULL);
}

static bool is_user(struct bytes realm, struct bytes name)
{
    return name.n > 0 && is_text(name, STORE_NAME_MAX) && is_text(realm, STORE_REALM_MAX);
}

static bool is_secret(struct bytes realm, struct bytes value)
{
    return value.n > 0 && is_text(value, STORE_SECRET_MAX) && is_text(realm, STORE_REALM_MAX);
}

int store_open(const struct store_ops *driver, const struct store_target *target,
               struct store **out, char *why, size_t cap)
{
    struct store *store = NULL;
    const int err = driver->open(target, &store, why, cap);

    if (err < 0) {
        return err;
    }
    store->ops = driver;
    *out = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store != NULL) {
        store->ops->close(store);
    }
}

const char *store_error(const struct store *store)
{
    return store->error;
}

int store_refresh(struct store *store)
{
    return store->ops->refresh(store);
}

int store_user_find(struct store *store, struct bytes realm, struct bytes name,
                    struct store_keys *out)
{
    return is_user(realm, name) ? store->ops->user_find(store, realm, name, out) : -ENOENT;
}

int store_user_find_hash(struct store *store, struct bytes realm,
                         const uint8_t userhash[CRYPTO_SHA256_LEN], struct store_name *out_name,
                         struct store_keys *out)
{
    if (!is_text(realm, STORE_REALM_MAX)) {
        return -ENOENT;
    }
    return store->ops->user_find_hash(store, realm, userhash, out_name, out);
}

int store_user_list(struct store *store, struct bytes realm, store_user_fn each, void *arg)
{
    return is_text(realm, STORE_REALM_MAX) ? store->ops->user_list(store, realm, each, arg) : 0;
}

int store_user_count(struct store *store, struct bytes realm, struct store_counts *out)
{
    if (!is_text(realm, STORE_REALM_MAX)) {
        *out = (struct store_counts){0};
        return 0;
    }
    return store->ops->user_count(store, realm, out);
}

static int user_put(struct store *store, enum store_write how, const struct store_user *user)
{
    if (!is_user(user->realm, user->name) || !user->keys->has_md5 || !user->keys->has_sha256 ||
        !user->keys->has_userhash) {
        return -EINVAL;
    }
    return store->ops->user_put(store, how, user);
}

int store_user_add(struct store *store, struct bytes realm, struct bytes name,
                   const struct store_keys *keys)
{
    return user_put(store, STORE_WRITE_ADD, &(struct store_user){realm, name, keys});
}

int store_user_change(struct store *store, struct bytes realm, struct bytes name,
                      const struct store_keys *keys)
{
    return user_put(store, STORE_WRITE_CHANGE, &(struct store_user){realm, name, keys});
}

int store_user_remove(struct store *store, struct bytes realm, struct bytes name)
{
    return is_user(realm, name) ? store->ops->user_remove(store, realm, name) : -ENOENT;
}

int store_secret_list(struct store *store, struct bytes realm, store_secret_fn each, void *arg)
{
    return is_text(realm, STORE_REALM_MAX) ? store->ops->secret_list(store, realm, each, arg) : 0;
}

int store_secret_add(struct store *store, struct bytes realm, struct bytes value)
{
    return is_secret(realm, value) ? store->ops->secret_add(store, realm, value) : -EINVAL;
}

int store_secret_remove(struct store *store, struct bytes realm, struct bytes value)
{
    return is_secret(realm, value) ? store->ops->secret_remove(store, realm, value) : -ENOENT;
}
