/* SPDX-License-Identifier: Apache-2.0 */
/* Text and figures for the report of a measurement: HTML that no input can break out of, and
 * numbers as people read them.
 *
 *     12345.678 with 0 digits   12,346
 *     0.4 us                    0.4 µs        1234.5 us   1.23 ms
 *     25000 on an axis          25k
 *
 * What is not a finite number is shown as a dash.
 *
 * Owner   plain values; a stream belongs to the caller.  Thread  any. */
#pragma once

#include <stdio.h>

enum { BENCH_PAGE_FIGURE = 32 };

/* A figure, ready to be written. */
struct bench_page_figure {
    char text[BENCH_PAGE_FIGURE];
};

/* Write `text` as the content of an element or of an attribute in double quotes: the five
 * characters that mean something to HTML as references, control characters and what is not UTF-8
 * as U+FFFD.  NULL writes nothing. */
void bench_page_text(FILE *out, const char *text);

/* `value` with `digits` (0 to 6) decimals and commas between thousands. */
struct bench_page_figure bench_page_number(double value, int digits);

/* A duration of `us` microseconds with three significant digits and its unit; as short as it can
 * be, for the labels of an axis. */
struct bench_page_figure bench_page_time(double us);
struct bench_page_figure bench_page_short_time(double us);

/* `value` as short as the labels of an axis want it: 800, 25k, 1.2M. */
struct bench_page_figure bench_page_short(double value);
