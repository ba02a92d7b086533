/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/attr.h"
#include "cmd/bench_page_plot.h"
#include "cmd/bench_report_int.h"
#include "cmd/bench_report_spread.h"

/* Colours: a direction has one in all plots; so do the two processes. */
enum { COLOR_OF_WAY = 0, COLOR_OF_CYCLES = 0, COLOR_OF_SERVER = 2, COLOR_OF_OWN = 3 };

enum { SAYS = 256 };

static struct bench_page_figure at_second(double seconds)
{
    struct bench_page_figure figure;

    snprintf(figure.text, sizeof(figure.text), "%.10g s", round(seconds * 10) / 10);
    return figure;
}

static struct bench_page_figure with_unit(double value, int digits, const char *unit)
{
    struct bench_page_figure figure;

    snprintf(figure.text, sizeof(figure.text), "%.24s%s", bench_page_number(value, digits).text,
             unit);
    return figure;
}

static struct bench_page_figure each_second(double value)
{
    return with_unit(value, 0, "/s");
}

static struct bench_page_figure percent(double value)
{
    return with_unit(value, 1, " %");
}

static struct bench_page_figure share_of_bar(double value)
{
    return with_unit(value, 3, " %");
}

/* The share that stands at `x`, with as many decimals as it has nines. */
static struct bench_page_figure share_of_tail(double x)
{
    const int digits = x <= 1 ? 0 : (int)ceil(x - 1e-9) - 1;

    return with_unit(100 * (1 - pow(10, -x)), digits, " %");
}

/* What the plots over time have in common; the rest is filled by the caller. */
static struct bench_page_plot over_time(const struct bench_report_course *course)
{
    return (struct bench_page_plot){
        .x_title = "seconds since the load began",
        .x_axis = bench_page_axis_seconds(course->n > 0 ? course->edge[course->n] : 0),
        .x_text = at_second,
        .x = course->x,
        .edge = course->edge,
        .n = course->n,
    };
}

/* What a point stands for, as the beginning of a description. */
static struct bench_page_figure each_point(const struct bench_report_course *course)
{
    struct bench_page_figure figure = {"A point a second"};

    if (course->seconds_a_point > 1) {
        snprintf(figure.text, sizeof(figure.text), "A point every %zu seconds",
                 course->seconds_a_point % 1000000);
    }
    return figure;
}

static void put_rates(FILE *out, const struct bench_setup *setup,
                      const struct bench_report_course *course, enum bench_way way, double max)
{
    const struct bench_report_flow *flow = &course->way[way];
    struct bench_page_plot plot = over_time(course);
    char id[32], title[64], says[SAYS];

    snprintf(id, sizeof(id), "rate-%s", bench_way_name(way));
    snprintf(title, sizeof(title), "Packets a second, %s", bench_report_way(setup, way));
    snprintf(says, sizeof(says), "%s; at most %s packets/s sent and %s received.",
             each_point(course).text,
             bench_page_number(bench_report_course_max(flow->sent, course->n), 0).text,
             bench_page_number(bench_report_course_max(flow->received, course->n), 0).text);
    plot.id = id;
    plot.title = title;
    plot.says = says;
    plot.y_title = "packets/s";
    plot.y_axis = bench_page_axis_amount(max, "");
    plot.y_text = each_second;
    plot.line[plot.lines++] =
        (struct bench_page_line){"received", flow->received, BENCH_PAGE_SOLID, COLOR_OF_WAY + way};
    plot.line[plot.lines++] =
        (struct bench_page_line){"sent", flow->sent, BENCH_PAGE_BROAD, COLOR_OF_WAY + way};
    bench_page_plot_write(out, &plot);
}

static void put_losses(FILE *out, const struct bench_setup *setup,
                       const struct bench_report_course *course, enum bench_way way, double max)
{
    const struct bench_report_flow *flow = &course->way[way];
    struct bench_page_plot plot = over_time(course);
    char id[32], title[64], says[SAYS];

    snprintf(id, sizeof(id), "lost-%s", bench_way_name(way));
    snprintf(title, sizeof(title), "Packets lost a second, %s", bench_report_way(setup, way));
    snprintf(says, sizeof(says), "%s; at most %s packets/s lost.", each_point(course).text,
             bench_page_number(bench_report_course_max(flow->lost, course->n), 0).text);
    plot.id = id;
    plot.title = title;
    plot.says = says;
    plot.y_title = "packets/s";
    plot.y_axis = bench_page_axis_amount(max, "");
    plot.y_text = each_second;
    plot.line[plot.lines++] =
        (struct bench_page_line){"lost", flow->lost, BENCH_PAGE_AREA, COLOR_OF_WAY + way};
    bench_page_plot_write(out, &plot);
}

static void put_delays(FILE *out, const struct bench_setup *setup,
                       const struct bench_report_course *course, enum bench_way way,
                       const struct bench_page_axis *axis)
{
    const struct bench_report_flow *flow = &course->way[way];
    const unsigned color = COLOR_OF_WAY + way;
    struct bench_page_plot plot = over_time(course);
    char id[32], title[64], says[SAYS];

    snprintf(id, sizeof(id), "latency-%s", bench_way_name(way));
    snprintf(title, sizeof(title), "Latency over time, %s", bench_report_way(setup, way));
    snprintf(says, sizeof(says), "%s; the highest p99 is %s, the longest of all %s.",
             each_point(course).text,
             bench_page_time(bench_report_course_max(flow->p99_us, course->n)).text,
             bench_page_time(bench_report_course_max(flow->max_us, course->n)).text);
    plot.id = id;
    plot.title = title;
    plot.says = says;
    plot.y_title = "latency, logarithmic";
    plot.y_axis = *axis;
    plot.y_text = bench_page_time;
    plot.line[plot.lines++] =
        (struct bench_page_line){"p50", flow->p50_us, BENCH_PAGE_SOLID, color};
    plot.line[plot.lines++] =
        (struct bench_page_line){"p99", flow->p99_us, BENCH_PAGE_DASHED, color};
    plot.line[plot.lines++] =
        (struct bench_page_line){"longest", flow->max_us, BENCH_PAGE_DOTTED, color};
    bench_page_plot_write(out, &plot);
}

/* The axis for all latencies of the run: the same in both directions, so that they compare. */
static struct bench_page_axis delay_axis(const struct bench_result *result,
                                         const struct bench_report_course *course)
{
    double least = (double)INFINITY, most = 0;

    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        for (size_t i = 0; i < course->n && result->setup.way[way]; i++) {
            least = fmin(least, course->way[way].p50_us[i]);
            most = fmax(most, course->way[way].max_us[i]);
        }
    }
    return bench_page_axis_delay(least, most);
}

static void put_flows(FILE *out, const struct bench_result *result,
                      const struct bench_report_course *course)
{
    const bool *const used = result->setup.way;
    double rate_max = 0, lost_max = 0;
    const struct bench_page_axis delays = delay_axis(result, course);

    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        const struct bench_report_flow *flow = &course->way[way];
        if (used[way]) { /* both directions have the same scales, so that they compare */
            rate_max = fmax(rate_max, bench_report_course_max(flow->sent, course->n));
            rate_max = fmax(rate_max, bench_report_course_max(flow->received, course->n));
            lost_max = fmax(lost_max, bench_report_course_max(flow->lost, course->n));
        }
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        if (used[way]) {
            put_rates(out, &result->setup, course, way, rate_max);
        }
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS && lost_max > 0; way++) {
        if (used[way]) {
            put_losses(out, &result->setup, course, way, lost_max);
        }
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        if (used[way]) {
            put_delays(out, &result->setup, course, way, &delays);
        }
    }
}

static void put_cycles(FILE *out, const struct bench_report_course *course)
{
    struct bench_page_plot plot = over_time(course);
    char says[SAYS];

    snprintf(says, sizeof(says), "%s; at most %s cycles/s.", each_point(course).text,
             bench_page_number(bench_report_course_max(course->cycles, course->n), 0).text);
    plot.id = "cycles";
    plot.title = "Allocate and Refresh 0 cycles a second";
    plot.says = says;
    plot.y_title = "cycles/s";
    plot.y_axis = bench_page_axis_amount(bench_report_course_max(course->cycles, course->n), "");
    plot.y_text = each_second;
    plot.line[plot.lines++] =
        (struct bench_page_line){"cycles", course->cycles, BENCH_PAGE_SOLID, COLOR_OF_CYCLES};
    bench_page_plot_write(out, &plot);
}

static void put_cpu(FILE *out, const struct bench_result *result,
                    const struct bench_report_course *course)
{
    const double own = bench_report_course_max(course->own_cpu, course->n);
    const double server = bench_report_course_max(course->server_cpu, course->n);
    struct bench_page_plot plot = over_time(course);
    char says[SAYS];

    snprintf(says, sizeof(says), "%s; the generator used at most %s of one CPU.",
             each_point(course).text, percent(own).text);
    plot.id = "cpu";
    plot.title = "CPU time, of one CPU";
    plot.says = says;
    plot.y_title = "% of one CPU";
    plot.y_axis = bench_page_axis_amount(fmax(own, server), " %");
    plot.y_text = percent;
    if (result->cpu.has_server) {
        plot.line[plot.lines++] = (struct bench_page_line){"server", course->server_cpu,
                                                           BENCH_PAGE_SOLID, COLOR_OF_SERVER};
    }
    plot.line[plot.lines++] =
        (struct bench_page_line){"generator", course->own_cpu, BENCH_PAGE_DASHED, COLOR_OF_OWN};
    bench_page_plot_write(out, &plot);
}

/* What latencies there are: those of directions, or those of cycles. */
struct delays {
    const char *id;
    const char *name;
    const char *what;                  /* is counted: "packets" */
    const struct histogram *histogram; /* NULL: not used */
};

static void put_bars(FILE *out, const struct delays *delays, const struct bench_page_axis *axis,
                     const double *edge, const double *bars, double max, unsigned color)
{
    char id[32], title[64], says[SAYS], y_title[32], mark[BENCH_PAGE_MARKS][48];

    static const struct {
        const char *name;
        unsigned per_10000;
    } marks[BENCH_PAGE_MARKS] = {{"p50", 5000}, {"p99", 9900}, {"p99.9", 9990}};
    struct bench_page_plot plot = {
        .id = id,
        .title = title,
        .says = says,
        .x_title = "latency, logarithmic",
        .y_title = y_title,
        .x_axis = *axis,
        .y_axis = bench_page_axis_amount(max, " %"),
        .x_text = bench_page_time,
        .y_text = share_of_bar,
        .x = edge,
        .edge = edge,
        .n = BENCH_REPORT_BARS,
        .lines = 1,
        .line = {{"share", bars, BENCH_PAGE_AREA, color}},
    };

    for (size_t i = 0; i < BENCH_PAGE_MARKS && histogram_count(delays->histogram) > 0; i++) {
        const double us = (double)histogram_percentile(delays->histogram, marks[i].per_10000);
        snprintf(mark[i], sizeof(mark[i]), "%s %s", marks[i].name, bench_page_time(us).text);
        plot.mark[i] = (struct bench_page_mark){us, mark[i]};
    }
    snprintf(id, sizeof(id), "spread-%s", delays->id);
    snprintf(y_title, sizeof(y_title), "%s in each step", delays->what);
    snprintf(title, sizeof(title), "Distribution of latency, %s", delays->name);
    snprintf(says, sizeof(says), "%s, %s, %s.",
             plot.mark[0].name == NULL ? "Nothing was measured" : mark[0],
             plot.mark[1].name == NULL ? "" : mark[1], plot.mark[2].name == NULL ? "" : mark[2]);
    bench_page_plot_write(out, &plot);
}

static void put_spreads(FILE *out, const struct delays delays[BENCH_WAYS],
                        const struct bench_page_axis *axis)
{
    double edge[BENCH_REPORT_BARS + 1];
    double bars[BENCH_WAYS][BENCH_REPORT_BARS];
    double max = 0;

    bench_report_spread_edges(axis, edge);
    for (size_t i = 0; i < BENCH_WAYS; i++) {
        if (delays[i].histogram != NULL) {
            bench_report_spread_bars(delays[i].histogram, edge, bars[i]);
            max = fmax(max, bench_report_course_max(bars[i], BENCH_REPORT_BARS));
        }
    }
    for (unsigned i = 0; i < BENCH_WAYS; i++) {
        if (delays[i].histogram != NULL) {
            put_bars(out, &delays[i], axis, edge, bars[i], max, COLOR_OF_WAY + i);
        }
    }
}

/* The points of the last plot. */
struct tail {
    unsigned nines;
    size_t n;
    double x[BENCH_REPORT_TAIL];
    double edge[BENCH_REPORT_TAIL + 1];
    double y[BENCH_WAYS][BENCH_REPORT_TAIL];
};

static void fill_tail(struct tail *tail, const struct delays delays[BENCH_WAYS])
{
    uint64_t count = 0;

    for (unsigned k = 0; k < BENCH_WAYS; k++) {
        const uint64_t n = delays[k].histogram == NULL ? 0 : histogram_count(delays[k].histogram);
        count = n > count ? n : count;
    }
    tail->nines = bench_report_spread_nines(count);
    tail->n = tail->nines * BENCH_REPORT_NINE_STEPS + 1;
    for (size_t i = 0; i < tail->n; i++) {
        tail->x[i] = (double)i / BENCH_REPORT_NINE_STEPS;
        tail->edge[i] = fmax(0, ((double)i - 0.5) / BENCH_REPORT_NINE_STEPS);
        for (unsigned k = 0; k < BENCH_WAYS; k++) {
            const struct histogram *h = delays[k].histogram;
            tail->y[k][i] = h == NULL ? (double)NAN : bench_report_spread_tail(h, tail->x[i]);
        }
    }
    tail->edge[tail->n] = tail->nines;
}

static void put_tail(FILE *out, const struct delays delays[BENCH_WAYS],
                     const struct bench_page_axis *axis)
{
    struct tail tail;

    fill_tail(&tail, delays);
    struct bench_page_plot plot = {
        .id = "tail",
        .title = "Latency by percentile",
        .says = "The same latencies with the longest drawn large: every step to the right is a "
                "tenth of what is left.",
        .x_title = "this share was not slower",
        .y_title = "latency, logarithmic",
        .x_axis = bench_page_axis_tail(tail.nines),
        .y_axis = *axis,
        .x_text = share_of_tail,
        .y_text = bench_page_time,
        .x = tail.x,
        .edge = tail.edge,
        .n = tail.n,
        .is_at_point = true,
    };
    for (unsigned k = 0; k < BENCH_WAYS; k++) {
        if (delays[k].histogram != NULL) {
            plot.line[plot.lines++] = (struct bench_page_line){delays[k].name, tail.y[k],
                                                               BENCH_PAGE_SOLID, COLOR_OF_WAY + k};
        }
    }
    bench_page_plot_write(out, &plot);
}

static void put_distribution(FILE *out, const struct bench_result *result)
{
    const struct bench_setup *setup = &result->setup;
    struct delays delays[BENCH_WAYS] = {{"cycles", "whole cycles", "cycles", &result->alloc.time}};

    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS && setup->mix != BENCH_ALLOC; way++) {
        delays[way] = (struct delays){bench_way_name(way), bench_report_way(setup, way), "packets",
                                      setup->way[way] ? &result->way[way].latency : NULL};
    }
    const struct histogram *all[] = {delays[0].histogram, delays[1].histogram};
    const struct bench_page_axis axis = bench_report_spread_axis(all, ARRAY_SIZE(all));

    put_spreads(out, delays, &axis);
    put_tail(out, delays, &axis);
}

void bench_report_plots(FILE *out, const struct bench_result *result,
                        const struct bench_report_course *course)
{
    fputs("<div class=\"plots\">\n", out);
    if (result->setup.mix == BENCH_ALLOC) {
        put_cycles(out, course);
    } else {
        put_flows(out, result, course);
    }
    put_distribution(out, result);
    put_cpu(out, result, course);
    fputs("</div>\n", out);
}
