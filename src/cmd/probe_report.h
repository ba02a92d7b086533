/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe found, step by step: a line each as it happens, or one JSON object at the end.
 *
 *     ok       binding        0.4 ms  the server sees us as 198.51.100.7:40000: behind a NAT
 *     FAILED   allocate       0.9 ms  401 Unauthenticated
 *              -> The user name or the password is wrong ...
 *
 * Owner   whoever made it.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"

enum { PROBE_NOTE_TEXT = 768 };

enum probe_mark { PROBE_OK, PROBE_WARNING, PROBE_FAILED, PROBE_SKIPPED };

/* The outcome of one step, filled by it. */
struct probe_note {
    enum probe_mark mark;
    uint64_t took_us;
    char text[PROBE_NOTE_TEXT];
    const char *advice;    /* what to do, or NULL */
    struct json_t *values; /* for machines; may be NULL */
};

void probe_note_init(struct probe_note *note);
void probe_note_fini(struct probe_note *note);

/* Say how it went; the last call counts. */
void probe_note_say(struct probe_note *note, enum probe_mark mark, const char *advice,
                    const char *format, ...) PRINTF(4, 5);

/* Values beside the text.  Bytes of the server's choosing are escaped. */
void probe_note_addr(struct probe_note *note, const char *key, const struct net_addr *addr);
void probe_note_count(struct probe_note *note, const char *key, uint64_t value);
void probe_note_ms(struct probe_note *note, const char *key, double value);
void probe_note_flag(struct probe_note *note, const char *key, bool value);
void probe_note_text(struct probe_note *note, const char *key, struct bytes value);

/* Text of somebody else made fit for a terminal: its first bytes, without control characters. */
enum { PROBE_SHOWN_MAX = 127 };

struct probe_shown {
    char text[4 * PROBE_SHOWN_MAX + 1]; /* a byte may be shown as \xHH */
};

struct probe_shown probe_shown_of(struct bytes text);

struct probe_report;

/* A report for `server` to `out` (borrowed), as lines or as JSON.  NULL without memory. */
MUST_USE struct probe_report *probe_report_new(FILE *out, bool json, const char *server);

/* NULL is allowed. */
void probe_report_free(struct probe_report *report);

/* Tell of one step.  In lines, steps skipped one after another share one. */
void probe_report_add(struct probe_report *report, const char *step, const struct probe_note *note);

/* Write what is left to be written.  0; -EIO when `out` failed. */
MUST_USE int probe_report_end(struct probe_report *report);

/* Steps that failed so far. */
unsigned probe_report_failed(const struct probe_report *report);

struct probe_spread {
    double min_ms;
    double median_ms;
    double max_ms;
};

/* Of `n` > 0 times; sorts them. */
struct probe_spread probe_spread_of(uint64_t *times_us, size_t n);
