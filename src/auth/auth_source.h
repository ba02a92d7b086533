/* SPDX-License-Identifier: Apache-2.0 */
/* The database as the service's thread sees it: asked, polled, given up and tried again.
 *
 * A failure is logged once when it begins and once when it ends.  While it lasts, questions are
 * answered with -EIO at once, and the database is tried again every second.
 *
 * Owner   an auth_service.  Thread  one at a time; calls may block for a quarter of a second.
 * Clock   reads CLOCK_MONOTONIC, for its own schedule only. */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "auth/auth.h"
#include "auth/auth_config.h"
#include "auth/auth_facts.h"
#include "auth/auth_lookup.h"

struct auth_source;

/* Open the database at `where` and read what concerns `config`.  0; negative errno with `why` (cap
 * bytes).  A lock that somebody holds is waited for, for seconds. */
MUST_USE int auth_source_new(const char *where, const struct auth_config *config,
                             struct auth_source **out, char *why, size_t cap);

/* Close it.  NULL is allowed. */
void auth_source_free(struct auth_source *source);

/* True when it is time for auth_source_poll(), else when that will be. */
bool auth_source_due(const struct auth_source *source, struct timespec *out_until);

/* Read the facts anew if the database has changed.  1 when they may differ, 0 when not; -EIO,
 * -ENOMEM. */
MUST_USE int auth_source_poll(struct auth_source *source, const struct auth_config *config);

/* Read the facts for another configuration.  0; -EIO: then the old ones stay when both ask for the
 * same of the same main realm, else nothing is known. */
MUST_USE int auth_source_turn(struct auth_source *source, const struct auth_config *old_config,
                              const struct auth_config *new_config);

/* What the database said last, borrowed until the next call; NULL when nothing is known. */
struct auth_facts *auth_source_facts(const struct auth_source *source);

/* Answer a question: writes `epoch`, `result`, `name` and `keys`. */
void auth_source_answer(struct auth_source *source, const struct auth_config *config,
                        struct auth_lookup *lookup);

/* Write the fields of `status` that concern the database. */
void auth_source_status(const struct auth_source *source, struct auth_status *status);
