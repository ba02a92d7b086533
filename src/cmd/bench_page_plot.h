/* SPDX-License-Identifier: Apache-2.0 */
/* A plot as inline SVG inside a <figure>: no script, no external resource.
 *
 * Colours and line styles come from the classes c0 to c3, dashed ... of the page's style sheet, so
 * that a plot follows light and dark.  A screen reader is told the title and what the plot says;
 * pointing at a place tells its values (a <title> of SVG, which browsers show by themselves).
 *
 * Owner   plain values that borrow their arrays and texts.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cmd/bench_page.h"
#include "cmd/bench_page_axis.h"

enum { BENCH_PAGE_LINES = 4, BENCH_PAGE_MARKS = 3 };

typedef struct bench_page_figure (*bench_page_figure_fn)(double value);

enum bench_page_style {
    BENCH_PAGE_SOLID,
    BENCH_PAGE_DASHED,
    BENCH_PAGE_DOTTED,
    BENCH_PAGE_BROAD, /* broad and pale, to lie under another */
    BENCH_PAGE_AREA,  /* steps over a filled area */
};

/* One line, as many values long as the plot; NaN leaves a gap. */
struct bench_page_line {
    const char *name;
    const double *y;
    enum bench_page_style style;
    unsigned color; /* 0 to 3 */
};

/* A place on the x axis that is told by name.  Marks come in the order of their places. */
struct bench_page_mark {
    double at; /* NaN: not drawn */
    const char *name;
};

/* Value i stands at x[i] and speaks for what lies between edge[i] and edge[i + 1]. */
struct bench_page_plot {
    const char *id;    /* of the element; lower-case letters and hyphens */
    const char *title; /* texts may hold anything: they are escaped */
    const char *says;
    const char *x_title;
    const char *y_title;
    struct bench_page_axis x_axis;
    struct bench_page_axis y_axis;
    bench_page_figure_fn x_text;
    bench_page_figure_fn y_text;
    const double *x;
    const double *edge; /* one more than the others */
    size_t n;           /* may be 0: axes without a line */
    bool is_at_point;   /* a value is told of x[i] rather than of its range */
    size_t lines;       /* the first one lies on top */
    struct bench_page_line line[BENCH_PAGE_LINES];
    struct bench_page_mark mark[BENCH_PAGE_MARKS];
};

/* Write the plot.  Failures show in the stream. */
void bench_page_plot_write(FILE *out, const struct bench_page_plot *plot);
