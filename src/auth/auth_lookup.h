/* SPDX-License-Identifier: Apache-2.0 */
/* One question to the database, on its way from a worker to the service's thread and back.
 *
 * Owner   the worker's fixed array of them.  Thread  whoever holds it: the worker, then, between
 *         auth_service_ask() and its return on the worker's queue, the service. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/net_addr.h"
#include "crypto/credential.h"
#include "store/store.h"

struct auth_worker;

/* Who is looked for: a name, or the 32 bytes of a USERHASH, of a realm.  Both borrowed. */
struct auth_who {
    bool by_hash;
    struct bytes bytes;
    struct bytes realm;
};

enum { AUTH_LOOKUP_KEYS = CREDENTIAL_MAX_KEYS };

/* What a token or the hook says of a user (auth_outside.h), and the database does not. */
struct auth_extra {
    bool outside;    /* that is who answered: not to be used beyond its time */
    bool guessed;    /* the name alone gives the keys: strangers can make such names up */
    bool for_client; /* it counts for `client` over `transport` alone: the hook knew of them */
    uint8_t transport;
    struct net_ip client;
    uint32_t ttl_ms;      /* how long the answer counts; 0: as long as one of the database */
    uint64_t expiry_s;    /* the last second of an Allocate, wall clock; 0: none */
    uint16_t account_len; /* 0: the name */
    uint32_t key_count;
    uint8_t account[CREDENTIAL_ACCOUNT_MAX]; /* what quotas count */
    struct credential_key key[AUTH_LOOKUP_KEYS];
};

struct auth_lookup {
    struct list node;
    struct auth_worker *worker;
    bool under_way;
    bool by_hash;
    struct store_name asked; /* the name or the hash */
    uint16_t realm_len;
    uint8_t realm[CREDENTIAL_REALM_MAX];
    bool database_only;     /* neither a token nor the hook may answer */
    struct net_addr client; /* who asks, and over what */
    uint8_t transport;      /* enum net_transport */

    /* The answer. */
    uint64_t epoch;         /* of the configuration that it was given under */
    int result;             /* 0; -ENOENT; -EIO when the database failed */
    struct store_name name; /* with result 0, as `keys` or `extra` */
    struct store_keys keys;
    struct auth_extra extra; /* `outside`: in place of `keys` */
};

static inline struct auth_who auth_lookup_who(const struct auth_lookup *lookup)
{
    return (struct auth_who){lookup->by_hash,
                             {lookup->asked.bytes, lookup->asked.len},
                             {lookup->realm, lookup->realm_len}};
}
