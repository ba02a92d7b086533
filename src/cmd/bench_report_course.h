/* SPDX-License-Identifier: Apache-2.0 */
/* A run over time, as plots and the table of seconds show it: few enough points to be seen.
 *
 * Runs of up to BENCH_REPORT_POINTS seconds have a point for each; of longer ones, several seconds
 * share a point: rates are their mean, the median latency the mean of theirs by packets, the
 * other latencies the highest.  A last second that is mostly missing belongs to the one before.
 *
 * Owner   the caller.  Thread  any; plain values. */
#pragma once

#include <stddef.h>

#include "cmd/bench_result.h"

enum { BENCH_REPORT_POINTS = 300 };

/* One direction; NaN where there is nothing to tell. */
struct bench_report_flow {
    double sent[BENCH_REPORT_POINTS]; /* packets/s */
    double received[BENCH_REPORT_POINTS];
    double lost[BENCH_REPORT_POINTS]; /* packets/s, not below 0 */
    double p50_us[BENCH_REPORT_POINTS];
    double p99_us[BENCH_REPORT_POINTS];
    double max_us[BENCH_REPORT_POINTS];
};

struct bench_report_course {
    size_t n;
    size_t seconds_a_point;
    double edge[BENCH_REPORT_POINTS + 1]; /* s since the load began: point i from edge i to i + 1 */
    double x[BENCH_REPORT_POINTS];        /* s, the middle of a point */
    struct bench_report_flow way[BENCH_WAYS];
    double cycles[BENCH_REPORT_POINTS];     /* cycles/s */
    double server_cpu[BENCH_REPORT_POINTS]; /* percent of one CPU */
    double own_cpu[BENCH_REPORT_POINTS];
};

/* Fill `course` from the seconds of `result`. */
void bench_report_course_fill(struct bench_report_course *course,
                              const struct bench_result *result);

/* The largest of `n` values; 0 when there is none above. */
double bench_report_course_max(const double *value, size_t n);
