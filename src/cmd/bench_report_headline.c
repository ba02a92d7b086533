/* SPDX-License-Identifier: Apache-2.0 */
#include "base/attr.h"
#include "cmd/bench_report_int.h"

const char *const bench_report_transports[] = {
    [BENCH_UDP] = "UDP",
    [BENCH_TCP] = "TCP",
    [BENCH_TLS] = "TLS",
};

const char *bench_report_way(const struct bench_setup *setup, enum bench_way way)
{
    if (setup->pairs) {
        return "client to client";
    }
    return way == BENCH_UP ? "up, to peers" : "down, to clients";
}

struct bench_page_figure bench_report_percent(double percent)
{
    struct bench_page_figure figure = {"0 %"};

    if (percent > 0 && percent < 0.001) {
        return (struct bench_page_figure){"< 0.001 %"};
    }
    if (percent > 0) {
        const int digits = percent < 0.1 ? 3 : percent < 10 ? 2 : 1;
        snprintf(figure.text, sizeof(figure.text), "%.25s %%",
                 bench_page_number(percent, digits).text);
    }
    return figure;
}

/* Losses that a call is hurt by are shown in another colour. */
#define BAD_PERCENT 1.0

/* A figure that programs find by its id; `way` is NULL for those that belong to no direction. */
static void put_data(FILE *out, const char *way, const char *id, double value,
                     struct bench_page_figure figure)
{
    fprintf(out, "<data id=\"%s%s%s\" value=\"%.15g\">", way == NULL ? "" : way,
            way == NULL ? "" : "-", id, value);
    bench_page_text(out, figure.text);
    fputs("</data>", out);
}

static void open_tile(FILE *out, const char *name)
{
    fprintf(out, "<section class=\"tile\"><h2>%s</h2>\n", name);
}

static void put_delivered(FILE *out, const struct bench_result *result)
{
    open_tile(out, "Delivered");
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        const double rate = bench_received_per_s(result, way);
        const double mbit = bench_received_mbit_s(result, way);
        if (!result->setup.way[way]) {
            continue;
        }
        fputs("<p class=\"big\">", out);
        put_data(out, bench_way_name(way), "packets-per-s", rate, bench_page_number(rate, 0));
        fprintf(out, " <small>packets/s</small></p>\n<p class=\"sub\">%s; ",
                bench_report_way(&result->setup, way));
        put_data(out, bench_way_name(way), "mbit-per-s", mbit, bench_page_number(mbit, 1));
        fputs(" Mbit/s</p>\n", out);
    }
    fputs("</section>\n", out);
}

static void put_lost(FILE *out, const struct bench_result *result)
{
    open_tile(out, "Lost");
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        const struct bench_flow_total *flow = &result->way[way];
        const double percent = bench_loss_percent(flow);
        if (!result->setup.way[way]) {
            continue;
        }
        fprintf(out, "<p class=\"big%s\">", percent >= BAD_PERCENT ? " bad" : "");
        put_data(out, bench_way_name(way), "loss-percent", percent, bench_report_percent(percent));
        fprintf(out, "</p>\n<p class=\"sub\">%s; ", bench_report_way(&result->setup, way));
        put_data(out, bench_way_name(way), "lost", (double)flow->lost,
                 bench_page_number((double)flow->lost, 0));
        fprintf(out, " of %s</p>\n", bench_page_number((double)flow->sent, 0).text);
    }
    fputs("</section>\n", out);
}

static void put_delay_row(FILE *out, const char *id, const char *name, const struct histogram *h)
{
    static const struct {
        const char *id;
        unsigned per_10000;
    } columns[] = {{"p50-us", 5000}, {"p99-us", 9900}, {"p999-us", 9990}};

    fprintf(out, "<tr><th scope=\"row\">%s</th>", name);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        const double us = (double)histogram_percentile(h, columns[i].per_10000);
        fputs("<td>", out);
        put_data(out, id, columns[i].id, us, bench_page_time(histogram_count(h) == 0 ? -1 : us));
        fputs("</td>", out);
    }
    fputs("</tr>\n", out);
}

static void put_delays(FILE *out, const struct bench_result *result)
{
    const bool cycles = result->setup.mix == BENCH_ALLOC;

    open_tile(out, cycles ? "Time of a cycle" : "Latency");
    fputs("<table><thead><tr><td></td><th scope=\"col\">p50</th><th scope=\"col\">p99</th>"
          "<th scope=\"col\">p99.9</th></tr></thead>\n<tbody>\n",
          out);
    if (cycles) {
        put_delay_row(out, "cycle", "cycle", &result->alloc.time);
    }
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS && !cycles; way++) {
        if (result->setup.way[way]) {
            put_delay_row(out, bench_way_name(way),
                          result->setup.pairs ? "pairs" : bench_way_name(way),
                          &result->way[way].latency);
        }
    }
    fputs("</tbody></table></section>\n", out);
}

static void put_cycles(FILE *out, const struct bench_result *result)
{
    const struct bench_alloc_total *alloc = &result->alloc;
    const double rate = result->load_s > 0 ? (double)alloc->cycles / result->load_s : 0;

    open_tile(out, "Cycles");
    fputs("<p class=\"big\">", out);
    put_data(out, NULL, "cycles-per-s", rate, bench_page_number(rate, 0));
    fprintf(out,
            " <small>cycles/s</small></p>\n<p class=\"sub\">%s in all, each an Allocate with its "
            "challenge and a Refresh 0</p></section>\n",
            bench_page_number((double)alloc->cycles, 0).text);
    open_tile(out, "Refused");
    fprintf(out, "<p class=\"big%s\">", alloc->refused > 0 ? " bad" : "");
    put_data(out, NULL, "refused", (double)alloc->refused,
             bench_page_number((double)alloc->refused, 0));
    fprintf(out,
            " <small>requests</small></p>\n<p class=\"sub\">%s sent again for want of an "
            "answer</p></section>\n",
            bench_page_number((double)alloc->retransmissions, 0).text);
}

static void put_cpu(FILE *out, const struct bench_result *result)
{
    const struct bench_cpu *cpu = &result->cpu;
    const char *const of = result->setup.mix == BENCH_ALLOC ? "cycle" : "packet";

    open_tile(out, "CPU time");
    if (cpu->has_server) {
        fputs("<p class=\"big\">", out);
        put_data(out, NULL, "server-us", cpu->server_us_per_packet,
                 bench_page_time(cpu->server_us_per_packet));
        fprintf(out, " <small>a %s</small></p>\n<p class=\"sub\">the server; ", of);
    } else {
        fputs("<p class=\"sub\">The server's was not measured: <code>--pid</code> names its "
              "process.</p>\n<p class=\"sub\">",
              out);
    }
    fprintf(out, "%she generator took ", cpu->has_server ? "t" : "T");
    put_data(out, NULL, "own-us", cpu->own_us_per_packet, bench_page_time(cpu->own_us_per_packet));
    fprintf(out, " a %s</p></section>\n", of);
}

void bench_report_headline(FILE *out, const struct bench_result *result)
{
    fputs("<div class=\"tiles\">\n", out);
    if (result->setup.mix == BENCH_ALLOC) {
        put_cycles(out, result);
    } else {
        put_delivered(out, result);
        put_lost(out, result);
    }
    put_delays(out, result);
    put_cpu(out, result);
    fputs("</div>\n", out);
}
