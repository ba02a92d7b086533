/* SPDX-License-Identifier: Apache-2.0 */
/* The rings of all threads that log: each thread gets one at its first event and gives it back at
 * its end.  Rings are reused and never freed, so the writer may look at them at any time.
 *
 * Owner   this module.
 * Thread  any; rings_front() and rings_pop() the writer alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RINGS_MAX 256U /* threads that can log at the same time */

struct ring;

/* The ring of the calling thread; NULL when there are too many threads or no memory.
 * Hot path, but for the first call of a thread, which allocates. */
struct ring *rings_mine(void);

/* Count a record for which rings_mine() was NULL. */
void rings_drop(void);

/* The ring that holds the oldest record; NULL when all are empty. */
struct ring *rings_oldest(void);

/* True when any ring holds a record. */
bool rings_used(void);

/* Records dropped by all rings, ever. */
uint64_t rings_dropped(void);
