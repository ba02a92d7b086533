/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>

#include "base/attr.h"
#include "cmd/bench_report_int.h"

/* --- figures of directions, side by side --- */

static void open_ways(FILE *out, const struct bench_setup *setup)
{
    fputs("<section><h2>All figures</h2>\n<div class=\"wide\"><table><thead><tr>"
          "<th scope=\"col\">figure</th>",
          out);
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        if (setup->way[way]) {
            fprintf(out, "<th scope=\"col\">%s</th>", bench_report_way(setup, way));
        }
    }
    fputs("<th scope=\"col\" class=\"unit\">unit</th></tr></thead>\n<tbody>\n", out);
}

static void put_ways(FILE *out, const bool used[BENCH_WAYS], const char *name,
                     const double value[BENCH_WAYS], int digits, const char *unit)
{
    fprintf(out, "<tr><th scope=\"row\">%s</th>", name);
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        if (used[way]) {
            fprintf(out, "<td>%s</td>", bench_page_number(value[way], digits).text);
        }
    }
    fprintf(out, "<td class=\"unit\">%s</td></tr>\n", unit);
}

static void put_counts(FILE *out, const struct bench_result *result)
{
    const struct bench_flow_total *const up = &result->way[BENCH_UP];
    const struct bench_flow_total *const down = &result->way[BENCH_DOWN];

    const struct {
        const char *name;
        uint64_t up;
        uint64_t down;
        const char *unit;
    } rows[] = {
        {"sent", up->sent, down->sent, "packets"},
        {"received", up->received, down->received, "packets"},
        {"lost", up->lost, down->lost, "packets"},
        {"reordered", up->reordered, down->reordered, "packets"},
        {"duplicates", up->duplicates, down->duplicates, "packets"},
        {"not as they were sent", up->corrupt, down->corrupt, "packets"},
        {"could not be sent", up->unsent, down->unsent, "packets"},
        {"payload sent", up->sent_bytes, down->sent_bytes, "bytes"},
        {"payload received", up->received_bytes, down->received_bytes, "bytes"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const double value[] = {(double)rows[i].up, (double)rows[i].down};
        put_ways(out, result->setup.way, rows[i].name, value, 0, rows[i].unit);
    }
}

static void put_rates(FILE *out, const struct bench_result *result)
{
    double rate[BENCH_WAYS], mbit[BENCH_WAYS], loss[BENCH_WAYS], mean[BENCH_WAYS],
        worst[BENCH_WAYS];

    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        rate[way] = bench_received_per_s(result, way);
        mbit[way] = bench_received_mbit_s(result, way);
        loss[way] = bench_loss_percent(&result->way[way]);
        mean[way] = result->way[way].jitter_mean_us;
        worst[way] = result->way[way].jitter_max_us;
    }
    put_ways(out, result->setup.way, "loss", loss, 4, "%");
    put_ways(out, result->setup.way, "delivered", rate, 1, "packets/s");
    put_ways(out, result->setup.way, "payload delivered", mbit, 3, "Mbit/s");
    put_ways(out, result->setup.way, "jitter, mean of the flows", mean, 1, "\xc2\xb5s");
    put_ways(out, result->setup.way, "jitter, worst flow", worst, 1, "\xc2\xb5s");
}

static const struct {
    const char *name;
    unsigned per_10000;
} percentiles[] = {{"p50", 5000}, {"p90", 9000}, {"p99", 9900}, {"p99.9", 9990}, {"p99.99", 9999}};

static double mean_us(const struct histogram *h)
{
    const uint64_t count = histogram_count(h);

    return count == 0 ? 0 : (double)histogram_sum_us(h) / (double)count;
}

static void put_delays(FILE *out, const struct bench_result *result)
{
    const struct histogram *const up = &result->way[BENCH_UP].latency;
    const struct histogram *const down = &result->way[BENCH_DOWN].latency;
    const double mean[] = {mean_us(up), mean_us(down)};
    const double longest[] = {(double)histogram_max_us(up), (double)histogram_max_us(down)};
    char name[32];

    put_ways(out, result->setup.way, "latency, mean", mean, 1, "\xc2\xb5s");
    for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
        const double value[] = {(double)histogram_percentile(up, percentiles[i].per_10000),
                                (double)histogram_percentile(down, percentiles[i].per_10000)};
        snprintf(name, sizeof(name), "latency, %s", percentiles[i].name);
        put_ways(out, result->setup.way, name, value, 0, "\xc2\xb5s");
    }
    put_ways(out, result->setup.way, "latency, longest", longest, 0, "\xc2\xb5s");
}

/* --- names and what belongs to them --- */

static void open_list(FILE *out, const char *title)
{
    fprintf(out, "<section><h2>%s</h2>\n<div class=\"wide\"><table class=\"list\"><tbody>\n",
            title);
}

static void close_list(FILE *out)
{
    fputs("</tbody></table></div></section>\n", out);
}

PRINTF(3, 4)

static void put_item(FILE *out, const char *name, const char *format, ...)
{
    char text[2 * BENCH_WHY + 2 * BENCH_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(out, "<tr><th scope=\"row\">%s</th><td>", name);
    bench_page_text(out, text);
    fputs("</td></tr>\n", out);
}

static void put_allocations(FILE *out, const struct bench_result *result)
{
    const struct bench_alloc_total *alloc = &result->alloc;
    const bool cycles = result->setup.mix == BENCH_ALLOC;
    char name[48];

    open_list(out, cycles ? "Cycles" : "Allocations");
    if (cycles) {
        put_item(out, "cycles", "%s", bench_page_number((double)alloc->cycles, 0).text);
    } else {
        put_item(out, "clients", "%s wanted, %s ready, %s failed, %s ended early",
                 bench_page_number(alloc->wanted, 0).text, bench_page_number(alloc->ready, 0).text,
                 bench_page_number(alloc->failed, 0).text, bench_page_number(alloc->ended, 0).text);
        put_item(out, "until all were ready", "%s s", bench_page_number(alloc->took_s, 3).text);
    }
    put_item(out, "requests sent again", "%s",
             bench_page_number((double)alloc->retransmissions, 0).text);
    put_item(out, "requests refused", "%s", bench_page_number((double)alloc->refused, 0).text);
    for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++) {
        const uint64_t us = histogram_percentile(&alloc->time, percentiles[i].per_10000);
        snprintf(name, sizeof(name), "time of %s, %s", cycles ? "a cycle" : "Allocate",
                 percentiles[i].name);
        put_item(out, name, "%s", bench_page_time((double)us).text);
    }
    put_item(out, "longest", "%s", bench_page_time((double)histogram_max_us(&alloc->time)).text);
    if (alloc->failure[0] != '\0') {
        put_item(out, "first failure", "%s", alloc->failure);
    }
    close_list(out);
}

static void put_process(FILE *out, const char *name, double seconds, double us, double load_s,
                        const char *of)
{
    put_item(out, name, "%s s, %s %% of one CPU, %s \xc2\xb5s a %s",
             bench_page_number(seconds, 3).text,
             bench_page_number(load_s > 0 ? 100 * seconds / load_s : 0, 1).text,
             bench_page_number(us, 3).text, of);
}

static void put_cpu(FILE *out, const struct bench_result *result)
{
    const struct bench_cpu *cpu = &result->cpu;
    const char *const of = result->setup.mix == BENCH_ALLOC ? "cycle" : "packet";
    char pids[BENCH_PIDS * 12 + 1] = "";
    size_t len = 0;

    open_list(out, "CPU time while the load ran");
    for (uint32_t i = 0; i < cpu->pid_count && i < BENCH_PIDS; i++) {
        len += (size_t)snprintf(pids + len, sizeof(pids) - len, "%s%d", i == 0 ? "" : " ",
                                cpu->pids[i]);
    }
    if (cpu->has_server) {
        put_item(out, "processes of the server", "%s", pids);
        put_process(out, "server", cpu->server_s, cpu->server_us_per_packet, result->load_s, of);
    }
    put_process(out, "generator", cpu->own_s, cpu->own_us_per_packet, result->load_s, of);
    if (cpu->has_server && cpu->server_s > 0) {
        put_item(out, "generator beside the server", "%s %%",
                 bench_page_number(100 * cpu->own_s / cpu->server_s, 1).text);
    }
    put_item(out, "packets that the generator's sockets dropped", "%s",
             bench_page_number((double)result->own_drops, 0).text);
    close_list(out);
}

/* --- what was asked for --- */

static void put_load(FILE *out, const struct bench_setup *setup)
{
    if (setup->pairs) {
        put_item(out, "peers", "clients are each other's: every packet passes two relays");
    } else {
        put_item(out, "peers", "%" PRIu32 " sockets, at %s", setup->peer_sockets, setup->peer);
    }
    put_item(out, "load", "%s, %s%s%s, %s", bench_mix_name(setup->mix),
             setup->way[BENCH_UP] ? bench_report_way(setup, BENCH_UP) : "",
             setup->way[BENCH_UP] && setup->way[BENCH_DOWN] ? " and " : "",
             setup->way[BENCH_DOWN] ? bench_report_way(setup, BENCH_DOWN) : "",
             setup->indications ? "Send and Data indications" : "ChannelData");
    if (setup->burst > 1) {
        put_item(out, "payload",
                 "%" PRIu32 " bytes a packet; bursts of %" PRIu32
                 ", the last packet of each with %" PRIu32 " bytes",
                 setup->packet_bytes, setup->burst, setup->tail_bytes);
    } else {
        put_item(out, "payload", "%" PRIu32 " bytes a packet", setup->packet_bytes);
    }
    if (setup->flat) {
        put_item(out, "pace", "as fast as a window of %" PRIu32 " packets in flight allows",
                 setup->window);
    } else {
        put_item(out, "pace", "%s of each flow every %s ms; %s packets/s in each direction",
                 setup->burst > 1 ? "a burst" : "a packet",
                 bench_page_number(setup->tick_s * 1000, 2).text,
                 bench_page_number(setup->rate_planned, 1).text);
    }
}

static void put_setup(FILE *out, const struct bench_result *result)
{
    const struct bench_setup *setup = &result->setup;

    open_list(out, "What was asked for");
    put_item(out, "server", "%s (%s) over %s", setup->target, setup->server,
             bench_report_transports[setup->transport]);
    put_item(out, "command", "%s", setup->command);
    put_item(out, "clients", "%s%s%s", bench_page_number(setup->clients, 0).text,
             setup->source[0] == '\0' ? "" : ", from ", setup->source);
    if (setup->client_sockets > 0) { /* those of TCP have one each */
        put_item(out, "their sockets", "%s", bench_page_number(setup->client_sockets, 0).text);
    }
    if (setup->mix == BENCH_ALLOC) {
        put_item(out, "load", "Allocate and Refresh 0, over and over");
    } else {
        put_load(out, setup);
    }
    put_item(out, "transactions at a time", "%" PRIu32, setup->outstanding);
    put_item(out, "user", "%s", setup->user[0] == '\0' ? "none, no credentials" : setup->user);
    put_item(out, "duration", "%" PRIu32 " s asked for, %s s of load; clients start over %s s",
             setup->duration_s, bench_page_number(result->load_s, 3).text,
             bench_page_number(setup->ramp_s, 1).text);
    close_list(out);
}

static void put_machine(FILE *out, const struct bench_result *result)
{
    open_list(out, "The machine of the generator");
    put_item(out, "system", "%s", result->system);
    put_item(out, "processor", "%s", result->processor);
    put_item(out, "sterna", "%s", result->version);
    put_item(out, "date", "%s", result->date);
    close_list(out);
}

void bench_report_tables(FILE *out, const struct bench_result *result)
{
    fputs("<div class=\"tables\">\n", out);
    if (result->setup.mix != BENCH_ALLOC) {
        open_ways(out, &result->setup);
        put_counts(out, result);
        put_rates(out, result);
        put_delays(out, result);
        fputs("</tbody></table></div></section>\n", out);
    }
    put_allocations(out, result);
    put_cpu(out, result);
    put_setup(out, result);
    put_machine(out, result);
    fputs("</div>\n", out);
}

/* --- second by second --- */

static void put_heads(FILE *out, const struct bench_result *result)
{
    static const char *const names[] = {"sent/s", "received/s", "lost/s", "p50", "p99", "longest"};
    const struct bench_setup *setup = &result->setup;

    fputs("<thead><tr><th scope=\"col\">seconds</th>", out);
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        for (size_t i = 0; i < ARRAY_SIZE(names) && setup->way[way]; i++) {
            fprintf(out, "<th scope=\"col\">%s %s</th>", bench_way_name(way), names[i]);
        }
    }
    if (setup->mix == BENCH_ALLOC) {
        fputs("<th scope=\"col\">cycles/s</th>", out);
    }
    if (result->cpu.has_server) {
        fputs("<th scope=\"col\">server CPU</th>", out);
    }
    fputs("<th scope=\"col\">generator CPU</th></tr></thead>\n", out);
}

static void put_second(FILE *out, const struct bench_result *result,
                       const struct bench_report_course *course, size_t i)
{
    fprintf(out, "<tr><th scope=\"row\">%.4g\xe2\x80\x93%.4g</th>", course->edge[i],
            course->edge[i + 1]);
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        const struct bench_report_flow *flow = &course->way[way];
        if (result->setup.way[way]) {
            fprintf(out, "<td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td>",
                    bench_page_number(flow->sent[i], 0).text,
                    bench_page_number(flow->received[i], 0).text,
                    bench_page_number(flow->lost[i], 0).text, bench_page_time(flow->p50_us[i]).text,
                    bench_page_time(flow->p99_us[i]).text, bench_page_time(flow->max_us[i]).text);
        }
    }
    if (result->setup.mix == BENCH_ALLOC) {
        fprintf(out, "<td>%s</td>", bench_page_number(course->cycles[i], 0).text);
    }
    if (result->cpu.has_server) {
        fprintf(out, "<td>%s %%</td>", bench_page_number(course->server_cpu[i], 1).text);
    }
    fprintf(out, "<td>%s %%</td></tr>\n", bench_page_number(course->own_cpu[i], 1).text);
}

void bench_report_seconds(FILE *out, const struct bench_result *result,
                          const struct bench_report_course *course)
{
    fprintf(out,
            "<details><summary>The plots over time as a table (%zu rows)</summary>\n"
            "<div class=\"wide\"><table>",
            course->n);
    put_heads(out, result);
    fputs("<tbody>\n", out);
    for (size_t i = 0; i < course->n; i++) {
        put_second(out, result, course, i);
    }
    fputs("</tbody></table></div></details>\n", out);
}
