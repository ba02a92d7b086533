/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that neither the configuration nor the database knows: JSON Web Tokens, judged here,
 * and users that an application tells of over HTTP, asked last.  A thread of its own does both, so
 * that a slow application holds up neither a worker nor the database's look-ups.
 *
 * It fails closed: without an answer nobody is let in, and no answer is used beyond its time.
 * What fails is logged once when it begins and once when it ends.
 *
 * Owner   an auth_service.  Thread  any, as each function takes the lock.
 * Clock   reads CLOCK_MONOTONIC for its schedule, and the time of day for tokens. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "auth/auth_lookup.h"
#include "auth/auth_outside_config.h"
#include "base/attr.h"
#include "base/net_addr.h"

struct auth_outside;

/* One that knows nothing yet and has no thread.  0 or -ENOMEM. */
MUST_USE int auth_outside_new(struct auth_outside **out);

/* End the thread; no question may be under way.  NULL is allowed. */
void auth_outside_free(struct auth_outside *outside);

/* Use `config` (NULL: nothing is known) for every question from now on; refs it.  The first one
 * starts the thread.  0; -ENOMEM, -ENOSYS, -EAGAIN with nothing changed. */
MUST_USE int auth_outside_turn(struct auth_outside *outside, struct auth_outside_config *config);

/* Takes `lookup`, whose `result` says what the database said (-ENOENT, or -EIO: then tokens only
 * are judged), until auth_worker_answer() gives it back. */
void auth_outside_ask(struct auth_outside *outside, struct auth_lookup *lookup);

/* Drop the questions of `worker` and wait until none of them is being answered. */
void auth_outside_forget(struct auth_outside *outside, const struct auth_worker *worker);

/* A number that grows when the next one has something new to say.  One load. */
uint64_t auth_outside_generation(const struct auth_outside *outside);

/* The servers whose address the URLs have, and those that were connected to last: at most `max`,
 * returns how many. */
size_t auth_outside_servers(struct auth_outside *outside, struct net_addr *out, size_t max);
