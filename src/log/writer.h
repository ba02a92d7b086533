/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that formats records and writes lines.
 *
 *     producer ──▶ ring ─┐
 *     producer ──▶ ring ─┼─▶ oldest first ─▶ line ─┬─▶ buffer ─▶ file
 *     producer ──▶ ring ─┘                         └─▶ buffer ─▶ syslog
 *
 * It waits in one poll() only: for an eventfd, which a producer writes to when the writer sleeps,
 * and for sinks that did not take all.  No lock is held over a write.
 *
 * Owner   this module.
 * Thread  as said in log.h for the functions that these stand behind. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct sinks;

/* Use `sinks` from now on.  Takes it. */
void writer_use(struct sinks *sinks);

/* True once writer_use() was called. */
bool writer_has_sinks(void);

MUST_USE int writer_start(void);

/* Write out and end within `timeout_ms`; a writer that hangs in a write is left behind, and can't
 * be started again. */
void writer_stop(unsigned timeout_ms);

/* True between start and stop.  Hot path. */
bool writer_runs(void);

/* Tell that a ring holds a record.  Hot path: a system call only when the writer sleeps. */
void writer_wake(void);

/* Async-signal-safe. */
void writer_reopen(void);

MUST_USE int writer_flush(unsigned timeout_ms);
