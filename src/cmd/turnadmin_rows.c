/* SPDX-License-Identifier: Apache-2.0 */
/* What turnadmin does with the rows of a database, printed as coturn prints them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/origin.h"
#include "base/secret.h"
#include "cmd/exit_code.h"
#include "cmd/turnadmin_int.h"
#include "cmd/user_keys.h"
#include "crypto/precis.h"
#include "log/escape.h"
#include "store/store_hex.h"
#include "store/store_realm.h"

enum { PRINT_MAX = ESCAPE_MAX(STORE_SECRET_MAX) };

/* Programs read every byte as it is; a terminal gets nothing that it would obey. */
static void print_text(struct bytes text)
{
    static char escaped[PRINT_MAX];

    if (!isatty(STDOUT_FILENO)) {
        (void)fwrite(text.p, 1, text.n, stdout);
        return;
    }
    struct writer w = writer_over((uint8_t *)escaped, sizeof(escaped));
    escape_text(&w, text);
    (void)fwrite(escaped, 1, w.len, stdout);
    secret_wipe(escaped, w.len);
}

/* "name[realm]", as most lists have it. */
static void print_pair(struct bytes name, struct bytes realm)
{
    print_text(name);
    putchar('[');
    print_text(realm);
    putchar(']');
}

/* CMD_OK for 0 and for `forgiven`; else told. */
static int result_of(const struct store *store, int err, int forgiven)
{
    if (err == 0 || err == forgiven) {
        return CMD_OK;
    }
    if (err == -EINVAL) {
        return turnadmin_usage("a text is longer than the database takes it");
    }
    const char *error = store_error(store);
    return turnadmin_failed("%s", error[0] == '\0' ? strerror(-err) : error);
}

static struct bytes realm_of(const struct turnadmin *a)
{
    return a->realm != NULL && a->realm[0] != '\0' ? bytes_of(a->realm) : (struct bytes){NULL, 0};
}

/* --- users --- */

static int prepare(const char *what, const char *in, char *out, size_t cap)
{
    if (precis_opaque_string(bytes_of(in), out, cap) < 0) {
        return turnadmin_usage("the %s is empty, no UTF-8, longer than %zu bytes, or holds a "
                               "character that RFC 8265 does not allow",
                               what, cap - 1);
    }
    return CMD_OK;
}

/* The prepared name, and the keys of it and the password. */
static int keys_make(const struct turnadmin *a, char name[STORE_NAME_MAX + 1],
                     struct store_keys *out)
{
    char password[SECRET_INPUT_MAX + 1];
    const char *realm = a->realm != NULL ? a->realm : "";
    int code = prepare("user name", a->user, name, STORE_NAME_MAX + 1);

    if (code == CMD_OK) {
        code = prepare("password", a->password, password, sizeof(password));
    }
    if (code == CMD_OK &&
        user_keys_make(bytes_of(name), bytes_of(realm), bytes_of(password), out) < 0) {
        code = turnadmin_failed("libcrypto refuses to make a key: is MD5 or SHA-256 switched off?");
    }
    secret_wipe(password, sizeof(password));
    return code;
}

int turnadmin_key(const struct turnadmin *a)
{
    char name[STORE_NAME_MAX + 1];
    char hex[2 * CRYPTO_MD5_LEN + 1];
    struct store_keys keys;
    const int code = keys_make(a, name, &keys);

    if (code == CMD_OK) {
        store_hex_encode(keys.md5, sizeof(keys.md5), hex);
        printf("0x%s\n", hex);
        secret_wipe(hex, sizeof(hex));
        secret_wipe(&keys, sizeof(keys));
    }
    return code;
}

static int user_put(const struct turnadmin *a, struct store *store)
{
    char name[STORE_NAME_MAX + 1];
    struct store_keys keys;
    const int code = keys_make(a, name, &keys);

    if (code != CMD_OK) {
        return code;
    }
    const struct bytes realm = bytes_of(a->realm);
    int err = store_user_change(store, realm, bytes_of(name), &keys);
    if (err == -ENOENT) {
        err = store_user_add(store, realm, bytes_of(name), &keys);
    }
    secret_wipe(&keys, sizeof(keys));
    return result_of(store, err, 0);
}

/* A name that coturn stored may be one that OpaqueString refuses or changes. */
static int user_delete(const struct turnadmin *a, struct store *store)
{
    char name[STORE_NAME_MAX + 1];
    int err = -ENOENT;

    if (precis_opaque_string(bytes_of(a->user), name, sizeof(name)) >= 0) {
        err = store_user_remove(store, bytes_of(a->realm), bytes_of(name));
    }
    if (err == -ENOENT) {
        err = store_user_remove(store, bytes_of(a->realm), bytes_of(a->user));
    }
    return result_of(store, err, -ENOENT);
}

static int print_user(void *arg, const struct store_user *user)
{
    (void)arg;
    print_pair(user->name, user->realm);
    putchar('\n');
    return 0;
}

static int user_list(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_user_list(store, realm_of(a), print_user, NULL), 0);
}

/* --- administrators --- */

static int admin_put(const struct turnadmin *a, struct store *store)
{
    char digest[TURNADMIN_DIGEST_LEN + 1];
    const int code = turnadmin_digest(a->password, digest);
    const struct store_admin admin = {
        .name = bytes_of(a->user),
        .realm = bytes_of(a->realm != NULL ? a->realm : ""),
        .password = {(const uint8_t *)digest, TURNADMIN_DIGEST_LEN},
    };

    return code == CMD_OK ? result_of(store, store_admin_put(store, &admin), 0) : code;
}

static int admin_delete(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_admin_remove(store, bytes_of(a->user)), -ENOENT);
}

static int print_admin(void *arg, const struct store_admin *admin)
{
    (void)arg;
    if (admin->realm.n > 0) {
        print_pair(admin->name, admin->realm);
    } else {
        print_text(admin->name);
    }
    putchar('\n');
    return 0;
}

/* All of them, as in coturn: those of all realms may do everything in each. */
static int admin_list(const struct turnadmin *a, struct store *store)
{
    (void)a;
    return result_of(store, store_admin_list(store, print_admin, NULL), 0);
}

/* --- shared secrets --- */

static int secret_add(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_secret_add(store, bytes_of(a->realm), bytes_of(a->secret)),
                     -EEXIST);
}

static int secret_delete(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_secret_remove(store, bytes_of(a->realm), bytes_of(a->secret)),
                     -ENOENT);
}

static int print_secret(void *arg, const struct store_secret *secret)
{
    (void)arg;
    print_pair(secret->value, secret->realm);
    putchar('\n');
    return 0;
}

static int secret_list(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_secret_list(store, realm_of(a), print_secret, NULL), 0);
}

struct first_secret {
    size_t n;
    uint8_t bytes[STORE_SECRET_MAX];
};

static int keep_first(void *arg, const struct store_secret *secret)
{
    struct first_secret *first = arg;

    if (secret->value.n > sizeof(first->bytes)) {
        return -EINVAL;
    }
    first->n = secret->value.n;
    memcpy(first->bytes, secret->value.p, secret->value.n);
    return -ECANCELED;
}

/* Always the first one, until there is none. */
static int secret_delete_all(const struct turnadmin *a, struct store *store)
{
    const struct bytes realm = bytes_of(a->realm);
    struct first_secret first;
    int err = 0;

    while (err == 0) {
        err = store_secret_list(store, realm, keep_first, &first);
        if (err == 0) {
            break;
        }
        if (err == -ECANCELED) {
            err = store_secret_remove(store, realm, (struct bytes){first.bytes, first.n});
        }
    }
    secret_wipe(&first, sizeof(first));
    return result_of(store, err, 0);
}

/* --- origins --- */

static int origin_of(const struct turnadmin *a, char out[ORIGIN_TEXT_MAX + 1])
{
    return origin_spell(bytes_of(a->origin), out, ORIGIN_TEXT_MAX + 1) < 0
               ? turnadmin_usage("the origin is longer than %d bytes", ORIGIN_TEXT_MAX)
               : CMD_OK;
}

static int origin_put(const struct turnadmin *a, struct store *store)
{
    char origin[ORIGIN_TEXT_MAX + 1];
    const int code = origin_of(a, origin);

    return code == CMD_OK
               ? result_of(store, store_origin_put(store, bytes_of(origin), bytes_of(a->realm)), 0)
               : code;
}

static int origin_delete(const struct turnadmin *a, struct store *store)
{
    char origin[ORIGIN_TEXT_MAX + 1];
    const int code = origin_of(a, origin);

    if (code != CMD_OK) {
        return code;
    }
    int err = store_origin_remove(store, bytes_of(origin));
    if (err == -ENOENT) { /* somebody else wrote it, as it is */
        err = store_origin_remove(store, bytes_of(a->origin));
    }
    return result_of(store, err, -ENOENT);
}

static int print_origin(void *arg, const struct store_origin *origin)
{
    const struct bytes *realm = arg;

    if (realm->p == NULL || bytes_equal(origin->realm, *realm)) {
        print_text(origin->origin);
        fputs(" ==>> ", stdout);
        print_text(origin->realm);
        putchar('\n');
    }
    return 0;
}

static int origin_list(const struct turnadmin *a, struct store *store)
{
    struct bytes realm = realm_of(a);
    return result_of(store, store_origin_list(store, print_origin, &realm), 0);
}

/* --- options of realms --- */

static int option_put(const struct turnadmin *a, struct store *store)
{
    const struct bytes realm = bytes_of(a->realm);
    int code = CMD_OK;

    for (int i = 0; i < TURNADMIN_LIMITS && code == CMD_OK; i++) {
        const struct bytes name = bytes_of(turnadmin_limit_name((enum turnadmin_limit)i));
        if (a->has_limit[i]) {
            const int err = a->limits[i] > 0 ? store_option_put(store, realm, name, a->limits[i])
                                             : store_option_remove(store, realm, name);
            code = result_of(store, err, -ENOENT);
        }
    }
    return code;
}

static int print_option(void *arg, const struct store_option *option)
{
    (void)arg;
    print_pair(option->name, option->realm);
    putchar('=');
    print_text(option->value);
    putchar('\n');
    return 0;
}

static int option_list(const struct turnadmin *a, struct store *store)
{
    return result_of(store, store_option_list(store, realm_of(a), print_option, NULL), 0);
}

turnadmin_rows_fn turnadmin_rows(int command, enum store_mode *out_mode)
{
    static const struct {
        int command;
        enum store_mode mode;
        turnadmin_rows_fn rows;
    } table[] = {
        {'a', STORE_CREATE, user_put},     {'d', STORE_CHANGE, user_delete},
        {'l', STORE_LOOK, user_list},      {'A', STORE_CREATE, admin_put},
        {'D', STORE_CHANGE, admin_delete}, {'L', STORE_LOOK, admin_list},
        {'s', STORE_CREATE, secret_add},   {'X', STORE_CHANGE, secret_delete},
        {'S', STORE_LOOK, secret_list},    {TURNADMIN_ALL_SECRETS, STORE_CHANGE, secret_delete_all},
        {'O', STORE_CREATE, origin_put},   {'R', STORE_CHANGE, origin_delete},
        {'I', STORE_LOOK, origin_list},    {'g', STORE_CREATE, option_put},
        {'G', STORE_LOOK, option_list},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].command == command) {
            *out_mode = table[i].mode;
            return table[i].rows;
        }
    }
    return NULL;
}
