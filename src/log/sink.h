/* SPDX-License-Identifier: Apache-2.0 */
/* One place that lines go to, with a bounded buffer before it, so that a slow one neither stops
 * the writer nor the other sinks: what finds no room is lost, counted, and told once there is room.
 *
 * Owner   a struct sinks.
 * Thread  one at a time.
 * Clock   `now_ms` is CLOCK_MONOTONIC, passed in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define SINK_BYTES ((size_t)64 * 1024)

enum sink_kind { SINK_STDOUT, SINK_STDERR, SINK_FILE, SINK_SYSLOG };

struct line;

struct sink {
    enum sink_kind kind;
    int fd;            /* -1: a file or stream that failed for good, or syslog not connected */
    int error;         /* the last errno that lost lines or a connection, 0 when told */
    int facility;      /* of syslog */
    char *path;        /* of the file or of the syslog socket; owned */
    uint64_t retry_ms; /* syslog: no new connection before */
    uint64_t lost;     /* lines lost and not told yet */
    bool mid_line;     /* what was written last is not a whole line */
    size_t start, end; /* buf[start..end) waits to be written; whole lines */
    char buf[SINK_BYTES];
};

/* Make a sink of `kind`; `path` (copied) is for a file or syslog.  Opens the file.
 * Returns 0 with `*out`; -ENOMEM or the negative errno of opening. */
MUST_USE int sink_new(enum sink_kind kind, const char *path, int facility, struct sink **out);

/* Release and close; stdout and stderr stay open.  What waits is lost.  NULL is allowed. */
void sink_free(struct sink *sink);

/* Put `line` into the buffer, which is flushed when that is needed to make room; else count it as
 * lost. */
void sink_put(struct sink *sink, const struct line *line, uint64_t now_ms);

/* Write as much of the buffer as goes without waiting. */
void sink_flush(struct sink *sink, uint64_t now_ms);

/* True when lines wait. */
bool sink_pending(const struct sink *sink);

/* Open the file anew by its path.  Returns 0; a negative errno with the old one still in use. */
MUST_USE int sink_reopen(struct sink *sink);

/* "stdout", "stderr", "file" or "syslog". */
const char *sink_text(const struct sink *sink);

/* Count all that waits as lost. */
void sink_lose(struct sink *sink, int error);

/* Lines lost by all sinks since the process started.  Thread: any. */
uint64_t sink_lost_total(void);
