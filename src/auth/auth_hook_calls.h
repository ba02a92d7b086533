/* SPDX-License-Identifier: Apache-2.0 */
/* The questions at the HTTP hook, many at a time and bounded.
 *
 * That the hook fails is logged once when it begins and once when it ends.
 *
 * Owner   an auth_outside.  Thread  its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth_http.h"
#include "auth/auth_lookup.h"
#include "auth/auth_outside_config.h"
#include "base/attr.h"

struct auth_hook_calls {
    struct auth_http *http; /* NULL without libcurl */
    struct list list;       /* struct auth_hook_call */
    struct auth_http_call *finding;
    uint32_t count;
    bool failing;      /* it was told */
    bool down;         /* the last question had no answer at all */
    uint64_t quiet_ms; /* nothing is told until then */
};

/* Ask about `lookup`.  0: its answer will be written, and auth_worker_answer() called; -EBUSY when
 * too many are under way, -ENOENT for a name that cannot be asked for, -ENOMEM, -ENOSYS: it was not
 * asked.  `config` is used during the call only. */
MUST_USE int auth_hook_calls_ask(struct auth_hook_calls *calls,
                                 const struct auth_outside_config *config,
                                 struct auth_lookup *lookup);

/* See where the hook is: clients are to be kept from it before the first question is asked. */
void auth_hook_calls_find(struct auth_hook_calls *calls, const struct auth_outside_config *config);

/* Give up the questions of `worker`, all when it is NULL: the look-ups are not answered. */
void auth_hook_calls_drop(struct auth_hook_calls *calls, const struct auth_worker *worker);
