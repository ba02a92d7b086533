/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the page of a measurement; see bench_report.h.
 *
 * Each writes its part to `out`, which belongs to the caller; failures show in the stream. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "cmd/bench_page.h"
#include "cmd/bench_report_course.h"
#include "cmd/bench_result.h"

/* The style sheet, without its element. */
extern const char bench_report_style[];

/* What a direction is called where there is room for its meaning: "up, to peers". */
const char *bench_report_way(const struct bench_setup *setup, enum bench_way way);

/* A transport as texts spell it. */
extern const char *const bench_report_transports[];

/* `percent` so that a loss is never rounded away: 0 %, < 0.001 %, 0.012 %, 3.4 %. */
struct bench_page_figure bench_report_percent(double percent);

/* The four boxes at the top. */
void bench_report_headline(FILE *out, const struct bench_result *result);

/* All plots that have something to show. */
void bench_report_plots(FILE *out, const struct bench_result *result,
                        const struct bench_report_course *course);

/* All figures, what was asked for, and the machine. */
void bench_report_tables(FILE *out, const struct bench_result *result);

/* The run second by second, or point by point, as a table to be unfolded. */
void bench_report_seconds(FILE *out, const struct bench_result *result,
                          const struct bench_report_course *course);
