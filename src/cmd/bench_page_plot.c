/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page_plot.h"

#include <math.h>

/* The coordinates of the picture, which the browser scales to its place. */
enum {
    WIDTH = 600,
    HEIGHT = 250,
    LEFT = 58,
    RIGHT = WIDTH - 20,
    TOP = 36,
    BOTTOM = HEIGHT - 44,
    LETTER = 8, /* about the width of one of a label */
};

/* More places than this are too narrow to be pointed at. */
enum { HINTS_MAX = 400 };

static double x_of(const struct bench_page_plot *plot, double value)
{
    return LEFT + (RIGHT - LEFT) * bench_page_axis_place(&plot->x_axis, value);
}

static double y_of(const struct bench_page_plot *plot, double value)
{
    return BOTTOM - (BOTTOM - TOP) * bench_page_axis_place(&plot->y_axis, value);
}

/* About the width of half a text: its letters, not its bytes, count. */
static double half_width(const char *text)
{
    size_t letters = 0;

    for (const char *c = text; *c != '\0'; c++) {
        letters += ((unsigned char)*c & 0xc0) != 0x80;
    }
    return (double)(letters * LETTER) / 2;
}

static void put_axes(FILE *out, const struct bench_page_plot *plot)
{
    for (size_t i = 0; i < plot->y_axis.ticks; i++) {
        const struct bench_page_tick *tick = &plot->y_axis.tick[i];
        const double y = y_of(plot, tick->at);
        fprintf(out,
                "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
                LEFT, RIGHT, y, y, LEFT - 8, y + 4);
        bench_page_text(out, tick->label.text);
        fputs("</text>\n", out);
    }
    for (size_t i = 0; i < plot->x_axis.ticks; i++) {
        const struct bench_page_tick *tick = &plot->x_axis.tick[i];
        const double x = x_of(plot, tick->at);
        fprintf(out,
                "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                x, x, BOTTOM, BOTTOM + 5, fmin(x, WIDTH - half_width(tick->label.text)),
                BOTTOM + 19);
        bench_page_text(out, tick->label.text);
        fputs("</text>\n", out);
    }
    fprintf(out, "<path class=\"axis\" d=\"M%d %dH%d\"/>\n", LEFT, BOTTOM, RIGHT);
    fprintf(out, "<text class=\"name\" x=\"%d\" y=\"%d\">", 0, 14);
    bench_page_text(out, plot->y_title);
    fprintf(out, "</text>\n<text class=\"name\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", RIGHT,
            HEIGHT - 6);
    bench_page_text(out, plot->x_title);
    fputs("</text>\n", out);
}

static const char *const class_of[] = {
    [BENCH_PAGE_SOLID] = "line",         [BENCH_PAGE_DASHED] = "line dashed",
    [BENCH_PAGE_DOTTED] = "line dotted", [BENCH_PAGE_BROAD] = "line broad",
    [BENCH_PAGE_AREA] = "area",
};

/* A line through all neighbours that have a value; one without such a neighbour is a dot. */
static void put_line(FILE *out, const struct bench_page_plot *plot,
                     const struct bench_page_line *line)
{
    const double *const y = line->y;
    bool in_line = false;

    fprintf(out, "<path class=\"%s c%u\" d=\"", class_of[line->style], line->color);
    for (size_t i = 0; i < plot->n; i++) {
        if (!isfinite(y[i])) {
            in_line = false;
            continue;
        }
        const bool alone = !in_line && (i + 1 == plot->n || !isfinite(y[i + 1]));
        fprintf(out, "%c%.1f %.1f", in_line ? 'L' : 'M', x_of(plot, plot->x[i]), y_of(plot, y[i]));
        if (alone) {
            fputs("h0.01", out); /* with round caps this is a dot */
        }
        in_line = true;
    }
    fputs("\"/>\n", out);
}

/* Steps over a filled area. */
static void put_area(FILE *out, const struct bench_page_plot *plot,
                     const struct bench_page_line *line)
{
    const double *const y = line->y;

    if (plot->n == 0) {
        return;
    }
    fprintf(out, "<path class=\"area c%u\" d=\"M%.1f %d", line->color, x_of(plot, plot->edge[0]),
            BOTTOM);
    for (size_t i = 0; i < plot->n; i++) {
        fprintf(out, "V%.1fH%.1f", y_of(plot, isfinite(y[i]) ? y[i] : plot->y_axis.from),
                x_of(plot, plot->edge[i + 1]));
    }
    fprintf(out, "V%dZ\"/>\n", BOTTOM);
}

static bool is_shown(const struct bench_page_mark *mark)
{
    return mark->name != NULL && isfinite(mark->at);
}

/* Where the names of marks stand: above their places, but beside one another and in the picture. */
static void place_names(const struct bench_page_plot *plot, double middle[BENCH_PAGE_MARKS])
{
    double taken = 0;

    for (size_t i = 0; i < BENCH_PAGE_MARKS; i++) {
        if (is_shown(&plot->mark[i])) {
            const double half = half_width(plot->mark[i].name);
            middle[i] = fmax(x_of(plot, plot->mark[i].at), taken + half);
            taken = middle[i] + half + LETTER;
        }
    }
    taken = RIGHT;
    for (size_t i = BENCH_PAGE_MARKS; i-- > 0;) {
        if (is_shown(&plot->mark[i])) {
            const double half = half_width(plot->mark[i].name);
            middle[i] = fmin(middle[i], taken - half);
            taken = middle[i] - half - LETTER;
        }
    }
}

static void put_marks(FILE *out, const struct bench_page_plot *plot)
{
    double middle[BENCH_PAGE_MARKS] = {0};

    place_names(plot, middle);
    for (size_t i = 0; i < BENCH_PAGE_MARKS; i++) {
        if (!is_shown(&plot->mark[i])) {
            continue;
        }
        fprintf(out,
                "<path class=\"mark\" d=\"M%.1f %dV%d\"/>"
                "<text class=\"mark\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                x_of(plot, plot->mark[i].at), TOP - 2, BOTTOM, middle[i], TOP - 6);
        bench_page_text(out, plot->mark[i].name);
        fputs("</text>\n", out);
    }
}

static void put_hint(FILE *out, const struct bench_page_plot *plot, size_t i)
{
    const double from = x_of(plot, plot->edge[i]);
    const double to = x_of(plot, plot->edge[i + 1]);

    fprintf(out, "<rect class=\"hint\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>",
            from, TOP, to - from, BOTTOM - TOP);
    if (plot->is_at_point) {
        bench_page_text(out, plot->x_text(plot->x[i]).text);
    } else {
        bench_page_text(out, plot->x_text(plot->edge[i]).text);
        fputs(" \xe2\x80\x93 ", out);
        bench_page_text(out, plot->x_text(plot->edge[i + 1]).text);
    }
    for (size_t k = 0; k < plot->lines; k++) {
        fputs(k == 0 ? ": " : ", ", out);
        bench_page_text(out, plot->line[k].name);
        fputc(' ', out);
        bench_page_text(out, plot->y_text(plot->line[k].y[i]).text);
    }
    fputs("</title></rect>\n", out);
}

static void put_caption(FILE *out, const struct bench_page_plot *plot)
{
    fputs("<figcaption><h2>", out);
    bench_page_text(out, plot->title);
    fputs("</h2><p class=\"legend\">", out);
    for (size_t k = 0; k < plot->lines; k++) {
        const struct bench_page_line *line = &plot->line[k];
        fprintf(out,
                "<span><svg class=\"key\" viewBox=\"0 0 28 12\" aria-hidden=\"true\">"
                "<path class=\"%s c%u\" d=\"%s\"/></svg>",
                class_of[line->style], line->color,
                line->style == BENCH_PAGE_AREA ? "M2 1H26V11H2Z" : "M2 6H26");
        bench_page_text(out, line->name);
        fputs("</span> ", out);
    }
    fputs("</p></figcaption>\n", out);
}

void bench_page_plot_write(FILE *out, const struct bench_page_plot *plot)
{
    fprintf(out, "<figure id=\"%s\">\n", plot->id);
    put_caption(out, plot);
    fprintf(out,
            "<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-labelledby=\"%s-title %s-says\">\n<title id=\"%s-title\">",
            WIDTH, HEIGHT, plot->id, plot->id, plot->id);
    bench_page_text(out, plot->title);
    fprintf(out, "</title>\n<desc id=\"%s-says\">", plot->id);
    bench_page_text(out, plot->says);
    fputs("</desc>\n", out);
    put_axes(out, plot);
    for (size_t k = plot->lines; k-- > 0;) { /* what comes later lies on top */
        const struct bench_page_line *line = &plot->line[k];
        (line->style == BENCH_PAGE_AREA ? put_area : put_line)(out, plot, line);
    }
    put_marks(out, plot);
    for (size_t i = 0; i < plot->n && plot->n <= HINTS_MAX; i++) {
        put_hint(out, plot, i);
    }
    fputs("</svg></div>\n</figure>\n", out);
}
