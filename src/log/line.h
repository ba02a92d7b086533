/* SPDX-License-Identifier: Apache-2.0 */
/* One record as one line: text or JSON (docs/reference/log.md).
 *
 * Owner   the caller.
 * Thread  any, each with lines of its own.  Allocates for JSON: never on a hot thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "log/log.h"

struct record;

/* Beyond any record: 2 KiB of values grow at most sixfold. */
#define LINE_MAX_BYTES ((size_t)16 * 1024)

#define LINE_TIME_TEXT 32 /* "2024-01-31T23:59:59.999Z" and its end */

/* What of the options shapes a line. */
struct line_style {
    enum log_format format;
    bool timestamps;
    bool privacy;
};

struct line {
    char text[LINE_MAX_BYTES]; /* ends with '\n', the only one in it */
    size_t n;
    size_t body; /* where the text after the time begins; 0 in JSON, where they are one */
    uint64_t time_ms;
    enum log_level level;
};

/* Format `record` into `*line`; as text, too, when there is no memory for JSON. */
void line_format(struct line *line, const struct record *record, const struct line_style *style);

/* Draw the keys that formatting needs, so that it opens nothing later, when files may be out of
 * reach.  Idempotent. */
void line_prepare(void);

/* The name of a level: "error", "warning", ... */
const char *line_level_text(enum log_level level);

/* ISO 8601 in UTC with milliseconds; returns `out`. */
const char *line_time_text(uint64_t time_ms, char out[LINE_TIME_TEXT]);
