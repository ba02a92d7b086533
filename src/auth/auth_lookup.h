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
#include "store/store.h"

struct auth_worker;

/* Who is looked for: a name, or the 32 bytes of a USERHASH. */
struct auth_who {
    bool by_hash;
    struct bytes bytes; /* borrowed */
};

struct auth_lookup {
    struct list node;
    struct auth_worker *worker;
    bool under_way;
    bool by_hash;
    struct store_name asked; /* the name or the hash */

    /* The answer. */
    uint64_t epoch;         /* of the configuration that it was given under */
    int result;             /* 0; -ENOENT; -EIO when the database failed */
    struct store_name name; /* with result 0, as `keys` */
    struct store_keys keys;
};

static inline struct auth_who auth_lookup_who(const struct auth_lookup *lookup)
{
    return (struct auth_who){lookup->by_hash, {lookup->asked.bytes, lookup->asked.len}};
}
