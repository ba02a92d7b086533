/* SPDX-License-Identifier: Apache-2.0 */
/* The user database: keys of users and shared secrets, by realm, whatever program holds them.
 *
 * A driver is one struct store_ops (store_ops.h); this header is all that auth/ and cmd/ see.
 * Names, realms and secrets are bytes: they go to a database as bound values, never as text of a
 * query.  What coturn's schemas cannot hold (a NUL, overlong names) is not found and not stored.
 * Realms, origins and the keys of third parties are in store_realm.h.
 *
 * Owner   whoever opened it.  Thread  one at a time; calls may block up to `busy_ms`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "crypto/mac.h"

struct store;
struct store_ops;

enum {
    STORE_NAME_MAX = 763,    /* bytes of a user name, as of a USERNAME (RFC 8489 section 14.3) */
    STORE_REALM_MAX = 763,   /* bytes of a realm */
    STORE_SECRET_MAX = 1024, /* bytes of a shared secret */
    STORE_ERROR_LEN = 320,
};

enum store_mode {
    STORE_SERVE,  /* read; an absent or empty database is made, any other is left as it is */
    STORE_LOOK,   /* read; an absent database is an error */
    STORE_CHANGE, /* write; our own table is added to coturn's; an absent database is an error */
    STORE_CREATE, /* write; likewise, but an absent database is made */
};

struct store_target {
    const char *where; /* for SQLite a path */
    enum store_mode mode;
    uint32_t busy_ms; /* how long to wait for a lock that somebody else holds */
};

/* Keys of one user.  Databases of coturn hold only `md5`. */
struct store_keys {
    bool has_md5;
    bool has_sha256;
    bool has_userhash;
    uint8_t md5[CRYPTO_MD5_LEN];
    uint8_t sha256[CRYPTO_SHA256_LEN];
    uint8_t userhash[CRYPTO_SHA256_LEN];
};

/* A row of a list; borrowed for the duration of the call. */
struct store_user {
    struct bytes realm;
    struct bytes name;
    const struct store_keys *keys;
};

struct store_secret {
    struct bytes realm;
    struct bytes value;
};

/* Called for each row; a negative return ends the walk, which returns it.  It may not use the
 * store. */
typedef int (*store_user_fn)(void *arg, const struct store_user *user);
typedef int (*store_secret_fn)(void *arg, const struct store_secret *secret);

/* How many users a realm has, and how many of them have what a coturn database does not hold. */
struct store_counts {
    uint64_t users;
    uint64_t with_sha256;
    uint64_t with_userhash;
};

/* Open the database at `target`.  0 with `*out`; negative errno with `why` (cap bytes) saying what
 * failed and what to do. */
MUST_USE int store_open(const struct store_ops *driver, const struct store_target *target,
                        struct store **out, char *why, size_t cap);

/* Wipe what is held and close.  NULL is allowed. */
void store_close(struct store *store);

/* What went wrong in the last call that failed with -EIO, -EBUSY, -EROFS or -EBADMSG; "" before. */
const char *store_error(const struct store *store);

/* Look whether the database is still the one that was opened, and open it anew when it was replaced
 * or failed.  Call it every few seconds.  1 when its content may have changed since the last call,
 * 0 when it has not; -ENOENT it is gone; -EBADMSG it is no user database; -EIO, -EBUSY. */
MUST_USE int store_refresh(struct store *store);

/* All of the following return -EIO when the database fails and -EBUSY when somebody holds it
 * locked for too long. */

/* The keys of a user.  0 with `*out`; -ENOENT; -EBADMSG when what is stored is no key. */
MUST_USE int store_user_find(struct store *store, struct bytes realm, struct bytes name,
                             struct store_keys *out);

/* A found name: not NUL-terminated. */
struct store_name {
    uint16_t len;
    uint8_t bytes[STORE_NAME_MAX];
};

/* The same by USERHASH (32 bytes); writes the name, too. */
MUST_USE int store_user_find_hash(struct store *store, struct bytes realm,
                                  const uint8_t userhash[CRYPTO_SHA256_LEN],
                                  struct store_name *out_name, struct store_keys *out);

/* Walk the users of `realm`, or of all realms (`realm.p` NULL), in order of realm and name. */
MUST_USE int store_user_list(struct store *store, struct bytes realm, store_user_fn each,
                             void *arg);

/* Count the users of `realm`. */
MUST_USE int store_user_count(struct store *store, struct bytes realm, struct store_counts *out);

/* Add a user: -EEXIST when there is one.  Change one: -ENOENT when there is none.  `keys` must hold
 * all three.  Also -EINVAL (a NUL, an empty or overlong name), -EROFS. */
MUST_USE int store_user_add(struct store *store, struct bytes realm, struct bytes name,
                            const struct store_keys *keys);
MUST_USE int store_user_change(struct store *store, struct bytes realm, struct bytes name,
                               const struct store_keys *keys);

/* Remove a user.  Also -ENOENT, -EROFS. */
MUST_USE int store_user_remove(struct store *store, struct bytes realm, struct bytes name);

/* Walk the secrets of `realm`, or of all realms (`realm.p` NULL), in order of realm and value. */
MUST_USE int store_secret_list(struct store *store, struct bytes realm, store_secret_fn each,
                               void *arg);

/* Add or remove a secret.  Also -EEXIST, -ENOENT, -EINVAL, -EROFS. */
MUST_USE int store_secret_add(struct store *store, struct bytes realm, struct bytes value);
MUST_USE int store_secret_remove(struct store *store, struct bytes realm, struct bytes value);

/* --- Drivers --- */

extern const struct store_ops store_sqlite; /* `where` is a path */
