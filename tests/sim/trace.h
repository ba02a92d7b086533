/* SPDX-License-Identifier: Apache-2.0 */
/* What a run did: always as a hash, so that two runs can be compared, and on demand as its last
 * lines in words.  Words cost more than the simulation itself, so they are only written when a
 * failed seed runs again.
 *
 * Owner   the simulation.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TRACE_LINES = 200, TRACE_WIDTH = 200 };

struct trace {
    uint64_t hash;
    uint64_t count; /* lines so far */
    bool words;
    char line[TRACE_LINES][TRACE_WIDTH];
};

void trace_init(struct trace *t, bool words);

/* Take `n` bytes / a number into the hash. */
void trace_mix(struct trace *t, const void *p, size_t n);
void trace_mix_number(struct trace *t, uint64_t number);

/* Write a line; does nothing unless words are wanted. */
__attribute__((format(printf, 3, 4))) void trace_say(struct trace *t, uint64_t now_ms,
                                                     const char *format, ...);

/* Print the last lines, each behind `prefix`. */
void trace_print(const struct trace *t, FILE *out, const char *prefix);
