/* SPDX-License-Identifier: Apache-2.0 */
/* Is a worker stuck in one turn?  Told once when it begins, once when it becomes serious, and once
 * when it is over (streams.md K21).
 *
 * Owner   the relay server, one for each worker; all zero bytes is a valid start.
 * Thread  control.  Clock  monotonic milliseconds, passed in. */
#pragma once

#include <stdint.h>

enum { WATCHDOG_SLOW_MS = 2000, WATCHDOG_STUCK_MS = 10000 };

enum watchdog_news { WATCHDOG_NOTHING, WATCHDOG_SLOW, WATCHDOG_STUCK, WATCHDOG_OVER };

struct watchdog {
    uint64_t since_ms; /* of the turn that was told of; 0: none */
    enum watchdog_news told;
};

/* What there is to tell of a worker that has been busy with one turn since `busy_since_ms` (0: it
 * is not). */
enum watchdog_news watchdog_look(struct watchdog *dog, uint64_t busy_since_ms, uint64_t now_ms);
