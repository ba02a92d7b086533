/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the facts of a configuration's realms from its database.
 *
 * Owner   an auth_source.  Thread  that of the store; calls may block as long as its calls. */
#pragma once

#include "auth/auth_config.h"
#include "auth/auth_facts.h"
#include "base/attr.h"
#include "store/store.h"

struct auth_reading {
    struct store *store;
    const struct auth_config *config;
    const struct auth_facts *old; /* whose secrets are kept; NULL: they are read, too */
};

/* 0 with `*out`, a reference; -ENOMEM; what the store fails with. */
MUST_USE int auth_reading_facts(const struct auth_reading *reading, struct auth_facts **out);
