/* SPDX-License-Identifier: Apache-2.0 */
/* What an auth_worker needs of the auth_service.
 *
 * Owner   see auth.h.  Thread  any, as each function takes the service's lock where it must. */
#pragma once

#include <stdint.h>

#include "auth/auth.h"
#include "auth/auth_lookup.h"
#include "auth/auth_snapshot.h"

/* The number of the current snapshot.  Hot path: one load. */
uint64_t auth_service_generation(const struct auth_service *service);

/* A reference to the current snapshot. */
struct auth_snapshot *auth_service_snapshot(struct auth_service *service);

/* How many answers a worker's cache may hold. */
uint32_t auth_service_cache_size(const struct auth_service *service);

/* Takes `lookup` until auth_worker_answer() gives it back. */
void auth_service_ask(struct auth_service *service, struct auth_lookup *lookup);

/* Drop the questions of `worker` and wait until none of them is being answered. */
void auth_service_forget(struct auth_service *service, const struct auth_worker *worker);

/* Give a question back, answered, and wake its worker.  Thread: the service's. */
void auth_worker_answer(struct auth_lookup *lookup);
