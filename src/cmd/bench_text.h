/* SPDX-License-Identifier: Apache-2.0 */
/* The result for a terminal.
 *
 * Owner   nobody.  Thread  one. */
#pragma once

#include <stdio.h>

struct bench_result;

/* One line on standard error, over the one before: the last second. */
void bench_text_progress(const struct bench_result *result);

/* Make room for other lines after progress. */
void bench_text_progress_end(void);

/* The figures and what is to be said about them. */
void bench_text_summary(const struct bench_result *result, FILE *out);
