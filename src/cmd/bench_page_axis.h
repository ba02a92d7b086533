/* SPDX-License-Identifier: Apache-2.0 */
/* The axes of a plot: which values they span, and where they are labelled.
 *
 * Any input gives an axis that can be drawn: an empty or inverted range, zero, NaN and infinity
 * widen to something sensible.  Ticks stand at least a twelfth of the axis apart, so that their
 * labels do not run into each other.
 *
 * Owner   plain values.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cmd/bench_page.h"

enum { BENCH_PAGE_TICKS = 13 };

struct bench_page_tick {
    double at;
    struct bench_page_figure label;
};

/* From `from` to `to`, from < to; above zero when logarithmic. */
struct bench_page_axis {
    double from;
    double to;
    bool log;
    size_t ticks;
    struct bench_page_tick tick[BENCH_PAGE_TICKS];
};

/* From 0 to a round number at or above `max`; labels are short numbers followed by `unit`. */
struct bench_page_axis bench_page_axis_amount(double max, const char *unit);

/* `seconds` of a run, from 0, which end where the run does. */
struct bench_page_axis bench_page_axis_seconds(double seconds);

/* Logarithmic, for durations from `min_us` to `max_us`, widened to the next 1, 2 or 5. */
struct bench_page_axis bench_page_axis_delay(double min_us, double max_us);

/* For shares whose tail matters: the share s stands at -log10(1 - s), so that every further nine
 * takes one step: 0 %, 90 %, 99 % ... up to `nines` (1 to 6). */
struct bench_page_axis bench_page_axis_tail(unsigned nines);

/* Where `value` lies on the axis, 0 (its start) to 1 (its end); values beyond are put to the end
 * they are beyond.  NaN stays NaN. */
double bench_page_axis_place(const struct bench_page_axis *axis, double value);
