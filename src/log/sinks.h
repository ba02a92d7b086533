/* SPDX-License-Identifier: Apache-2.0 */
/* All places that lines go to, with the style they share: one set for each log_configure().
 *
 * Owner   the writer (writer.c), which takes a set and frees the one before.
 * Thread  one at a time.
 * Clock   `now_ms` is CLOCK_MONOTONIC, passed in. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "log/line.h"

#define SINKS_MAX 4 /* stdout, stderr, file, syslog */

struct record;
struct sink;

struct sinks {
    struct line_style style;
    unsigned count;
    struct sink *sink[SINKS_MAX];
    struct line line; /* scratch of sinks_put() */
};

/* Open what `options` name.  0 with `*out`; the errors of log_configure(). */
MUST_USE int sinks_new(const struct log_options *options, struct sinks **out);

/* Release and close all; what waits is lost.  NULL is allowed. */
void sinks_free(struct sinks *sinks);

/* Format `record` once and put it before each sink. */
void sinks_put(struct sinks *sinks, const struct record *record, uint64_t now_ms);

/* Write what goes without waiting; a sink that lost lines is told so once it has room. */
void sinks_flush(struct sinks *sinks, uint64_t now_ms);

bool sinks_pending(const struct sinks *sinks);

/* Open the file anew; on failure the event log.reopen_failed is put. */
void sinks_reopen(struct sinks *sinks, uint64_t now_ms);

/* Fill `fds` with what to wait for, `*out_count` of them.  Returns true when a sink can't be waited
 * for and is to be tried again after a second. */
bool sinks_wait_for(const struct sinks *sinks, struct pollfd fds[SINKS_MAX], nfds_t *out_count);

/* Put an event of the log itself. */
void sinks_event(struct sinks *sinks, enum log_level level, const char *event,
                 const struct log_field *fields, uint64_t now_ms);
