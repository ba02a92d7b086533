/* SPDX-License-Identifier: Apache-2.0 */
/* The user database, second part: what it knows of realms, and the keys of third parties.
 *
 * The tables are coturn's: oauth_key, turn_origin_to_realm, turn_realm_option, allowed_peer_ip,
 * denied_peer_ip and admin_user.  A database that lacks one of them is read as if it were empty.
 * Texts on lists are as they are stored, by whatever program: nothing has been checked.
 *
 * All functions return -EIO when the database fails and -EBUSY when somebody holds it locked for
 * too long; those that write also -EROFS, and -EINVAL for a text that is empty where it may not be,
 * holds a NUL, or is longer than its column in coturn's schemas.  They are complete or undone.
 *
 * Owner   whoever opened the store.  Thread  that of the store. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "store/store.h"

/* Bytes of the columns of coturn's schemas. */
enum {
    STORE_ROW_REALM_MAX = 127, /* of a realm in all of these tables */
    STORE_KID_MAX = 128,
    STORE_IKM_MAX = 256,
    STORE_ALG_MAX = 64,
    STORE_ORIGIN_MAX = 127,
    STORE_OPTION_MAX = 32,
    STORE_OPTION_VALUE_MAX = 128,
    STORE_RANGE_MAX = 256,
    STORE_ADMIN_MAX = 32,
    STORE_ADMIN_PASSWORD_MAX = 127,
};

/* All that follows is called once for each row, with a row that is borrowed for the duration of the
 * call.  A negative return ends the walk, which returns it.  It may not use the store. */

/* --- Keys that a third party seals ACCESS-TOKENs with (RFC 7635) --- */

struct store_oauth_key {
    struct bytes kid;       /* names the key; unique */
    struct bytes ikm_key;   /* base64 of the key, or of what it is derived from: a secret */
    uint64_t timestamp;     /* Unix seconds from which on it is in force; 0 always */
    uint64_t lifetime;      /* seconds from then on; 0 for ever */
    struct bytes as_rs_alg; /* "A256GCM", "A128GCM"; empty: coturn takes A256GCM */
    struct bytes realm;     /* empty: the default realm */
    bool damaged;           /* on lists: a number is none, so do not use this key */
};

typedef int (*store_oauth_fn)(void *arg, const struct store_oauth_key *key);

/* Walk all keys in order of kid. */
MUST_USE int store_oauth_list(struct store *store, store_oauth_fn each, void *arg);

/* Add a key or replace the one of that kid.  `damaged` is not looked at. */
MUST_USE int store_oauth_put(struct store *store, const struct store_oauth_key *key);

/* Also -ENOENT. */
MUST_USE int store_oauth_remove(struct store *store, struct bytes kid);

/* --- Origins: which realm the clients of a web page belong to --- */

struct store_origin {
    struct bytes origin; /* unique */
    struct bytes realm;
};

typedef int (*store_origin_fn)(void *arg, const struct store_origin *origin);

/* Walk all origins in order of realm and origin. */
MUST_USE int store_origin_list(struct store *store, store_origin_fn each, void *arg);

/* Add an origin or give it another realm. */
MUST_USE int store_origin_put(struct store *store, struct bytes origin, struct bytes realm);

/* Also -ENOENT. */
MUST_USE int store_origin_remove(struct store *store, struct bytes origin);

/* --- Options of realms: "max-bps", "total-quota", "user-quota" --- */

struct store_option {
    struct bytes realm;
    struct bytes name;
    struct bytes value;
    bool is_number;  /* the value is a decimal number that fits */
    uint64_t number; /* bytes per second or allocations; 0: no limit, and 0 when it is none */
};

typedef int (*store_option_fn)(void *arg, const struct store_option *option);

/* Walk the options of `realm`, or of all realms (`realm.p` NULL), in order of realm and name. */
MUST_USE int store_option_list(struct store *store, struct bytes realm, store_option_fn each,
                               void *arg);

/* Add an option or give it another value. */
MUST_USE int store_option_put(struct store *store, struct bytes realm, struct bytes name,
                              uint64_t value);

/* Also -ENOENT. */
MUST_USE int store_option_remove(struct store *store, struct bytes realm, struct bytes name);

/* --- Addresses that the clients of a realm may, or may not, exchange data with --- */

struct store_range {
    struct bytes realm; /* empty: coturn takes it for the default realm */
    struct bytes range; /* "192.0.2.1" or "192.0.2.1-192.0.2.9" */
};

typedef int (*store_range_fn)(void *arg, const struct store_range *range);

/* Walk the allowed or the denied ranges of `realm`, or of all realms (`realm.p` NULL), in order of
 * realm and text. */
MUST_USE int store_range_list(struct store *store, bool allowed, struct bytes realm,
                              store_range_fn each, void *arg);

/* Also -EEXIST, -ENOENT. */
MUST_USE int store_range_add(struct store *store, bool allowed, struct bytes realm,
                             struct bytes range);
MUST_USE int store_range_remove(struct store *store, bool allowed, struct bytes realm,
                                struct bytes range);

/* --- Administrators of coturn's web pages: kept by turnadmin, served by nobody yet --- */

struct store_admin {
    struct bytes name;     /* unique */
    struct bytes realm;    /* empty: of all realms */
    struct bytes password; /* "$5$SALT$HASH" */
};

typedef int (*store_admin_fn)(void *arg, const struct store_admin *admin);

/* Walk all administrators in order of realm and name. */
MUST_USE int store_admin_list(struct store *store, store_admin_fn each, void *arg);

/* Add an administrator or replace the one of that name. */
MUST_USE int store_admin_put(struct store *store, const struct store_admin *admin);

/* Also -ENOENT. */
MUST_USE int store_admin_remove(struct store *store, struct bytes name);

/* --- Realms --- */

typedef int (*store_realm_fn)(void *arg, struct bytes realm);

/* Walk the realms that users, secrets, origins, options, ranges or third parties' keys name, each
 * once, the empty one left out, in no order.  Many users of few realms cost little. */
MUST_USE int store_realm_list(struct store *store, store_realm_fn each, void *arg);
