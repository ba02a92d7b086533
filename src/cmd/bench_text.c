/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_text.h"

#include "cmd/bench_result.h"
#include "log/escape.h"

enum { MEDIAN = 5000, P99 = 9900, P999 = 9990, SHOWN = 600 };

/* Text of strangers, made harmless for a terminal. */
struct shown {
    char text[SHOWN];
};

static struct shown shown_of(const char *text)
{
    struct shown shown = {.text = ""};
    struct writer w = writer_over((uint8_t *)shown.text, sizeof(shown.text) - 1);

    escape_text(&w, bytes_of(text));
    shown.text[w.len] = '\0';
    return shown;
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static void progress_way(const struct bench_second *s, enum bench_way way)
{
    const struct bench_second_flow *flow = &s->way[way];

    if (flow->sent + flow->received == 0) {
        return;
    }
    fprintf(stderr, "  %s %.0f/s, lost %lld, p50 %.2f p99 %.2f ms", bench_way_name(way),
            (double)flow->received / s->length_s, (long long)flow->lost, ms(flow->p50_us),
            ms(flow->p99_us));
}

void bench_text_progress(const struct bench_result *r)
{
    if (r->series_count == 0) {
        return;
    }
    const struct bench_second *s = &r->series[r->series_count - 1];
    fprintf(stderr, "\r\033[K%3.0f s", s->start_s + s->length_s);
    if (r->setup.mix == BENCH_ALLOC) {
        fprintf(stderr, "  %.0f cycles/s", (double)s->cycles / s->length_s);
    }
    progress_way(s, BENCH_UP);
    progress_way(s, BENCH_DOWN);
    if (s->server_cpu_s > 0) {
        fprintf(stderr, "  server %.0f %%", 100 * s->server_cpu_s / s->length_s);
    }
    fprintf(stderr, "  own %.0f %% CPU", 100 * s->own_cpu_s / s->length_s);
    fflush(stderr);
}

void bench_text_progress_end(void)
{
    fputs("\r\033[K", stderr);
}

static void put_load(const struct bench_setup *s, FILE *out)
{
    fprintf(out, "load       %s, ", bench_mix_name(s->mix));
    if (s->mix == BENCH_ALLOC) {
        fprintf(out, "%u at a time, for %u s\n", s->outstanding, s->duration_s);
        return;
    }
    if (s->burst == 1) {
        fprintf(out, "%u bytes", s->packet_bytes);
    } else if (s->tail_bytes == s->packet_bytes) {
        fprintf(out, "%u x %u bytes", s->burst, s->packet_bytes);
    } else {
        fprintf(out, "%u x %u + %u bytes", s->burst - 1, s->packet_bytes, s->tail_bytes);
    }
    if (s->flat) {
        fprintf(out, ", flat out, %u packets on their way", s->window);
    } else {
        fprintf(out, " every %.3f ms", s->tick_s * 1000);
    }
    fprintf(out, ", %s, %s, for %u s\n",
            s->pairs                                 ? "in pairs"
            : s->way[BENCH_UP] && s->way[BENCH_DOWN] ? "up and down"
                                                     : bench_way_name(s->way[BENCH_DOWN]),
            s->indications ? "indications" : "channels", s->duration_s);
}

static void put_way(const struct bench_result *r, enum bench_way way, FILE *out)
{
    const struct bench_flow_total *t = &r->way[way];
    const struct histogram *h = &t->latency;

    if (!r->setup.way[way]) {
        return;
    }
    fprintf(out,
            "%-10s %.0f packets/s, %.2f Mbit/s: %llu sent, %llu received, %llu lost (%.3f %%), "
            "%llu reordered, %llu duplicates\n",
            bench_way_name(way), bench_received_per_s(r, way), bench_received_mbit_s(r, way),
            (unsigned long long)t->sent, (unsigned long long)t->received,
            (unsigned long long)t->lost, bench_loss_percent(t), (unsigned long long)t->reordered,
            (unsigned long long)t->duplicates);
    if (t->corrupt > 0 || t->unsent > 0) {
        fprintf(out, "           %llu corrupt, %llu could not be sent\n",
                (unsigned long long)t->corrupt, (unsigned long long)t->unsent);
    }
    if (t->received > 0) {
        fprintf(out,
                "           latency p50 %.3f, p99 %.3f, p99.9 %.3f, max %.3f ms; jitter %.3f ms, "
                "worst %.3f ms\n",
                ms(histogram_percentile(h, MEDIAN)), ms(histogram_percentile(h, P99)),
                ms(histogram_percentile(h, P999)), ms(histogram_max_us(h)),
                t->jitter_mean_us / 1000, t->jitter_max_us / 1000);
    }
}

static void put_alloc(const struct bench_result *r, FILE *out)
{
    const struct bench_alloc_total *a = &r->alloc;
    const struct histogram *h = &a->time;

    if (r->setup.mix == BENCH_ALLOC) {
        fprintf(out, "cycles     %llu of Allocate and Refresh 0, %.0f/s",
                (unsigned long long)a->cycles, r->load_s > 0 ? (double)a->cycles / r->load_s : 0);
    } else {
        fprintf(out, "clients    %u of %u ready in %.3f s", a->ready, a->wanted, a->took_s);
    }
    fprintf(out, "; p50 %.3f, p99 %.3f, max %.3f ms; %llu sent again, %u failed\n",
            ms(histogram_percentile(h, MEDIAN)), ms(histogram_percentile(h, P99)),
            ms(histogram_max_us(h)), (unsigned long long)a->retransmissions, a->failed);
}

static void put_cpu(const struct bench_result *r, FILE *out)
{
    const struct bench_cpu *cpu = &r->cpu;
    const char *unit = r->setup.mix == BENCH_ALLOC ? "cycle" : "packet";

    if (r->load_s <= 0) {
        return;
    }
    fputs("CPU        ", out);
    if (cpu->has_server) {
        fprintf(out, "server %.3f us a %s (%.1f %% of a CPU), ", cpu->server_us_per_packet, unit,
                100 * cpu->server_s / r->load_s);
    }
    fprintf(out, "this process %.3f us a %s (%.1f %%)\n", cpu->own_us_per_packet, unit,
            100 * cpu->own_s / r->load_s);
}

void bench_text_summary(const struct bench_result *r, FILE *out)
{
    const struct bench_setup *s = &r->setup;

    fprintf(out, "server     %s over %s, %u clients\n", s->server,
            bench_transport_name(s->transport), s->clients);
    put_load(s, out);
    if (r->load_s > 0) {
        put_alloc(r, out);
        put_way(r, BENCH_UP, out);
        put_way(r, BENCH_DOWN, out);
        put_cpu(r, out);
    }
    for (unsigned bit = 0; bit < sizeof(r->caveats) * 8; bit++) {
        const unsigned caveat = 1U << bit;
        if ((r->caveats & caveat) != 0) {
            fprintf(out, "note       %s\n", bench_caveat_text((enum bench_caveat)caveat));
        }
    }
    if (!r->ok) {
        fprintf(out, "FAILED     %s\n", shown_of(r->why).text);
    }
}
