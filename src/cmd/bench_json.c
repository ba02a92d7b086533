/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_json.h"

#include <errno.h>
#include <jansson.h>

#include "base/attr.h"
#include "cmd/bench_result.h"

/* What is put into an object fails together: a NULL anywhere fails the whole (jansson). */
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    if (json_object_set_new(object, key, value) != 0) {
        *ok = false;
    }
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Names come from the command line, in any encoding. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);

    return string != NULL ? string : json_string("(not UTF-8)");
}

static json_t *setup_of(const struct bench_setup *s, bool *ok)
{
    json_t *o = json_object();

    put(o, "target", text(s->target), ok);
    put(o, "server", text(s->server), ok);
    put(o, "command", text(s->command), ok);
    put(o, "user", text(s->user), ok);
    put(o, "source", text(s->source), ok);
    put(o, "peer", text(s->peer), ok);
    put(o, "transport", text(bench_transport_name(s->transport)), ok);
    put(o, "mix", text(bench_mix_name(s->mix)), ok);
    put(o, "up", json_boolean(s->way[BENCH_UP]), ok);
    put(o, "down", json_boolean(s->way[BENCH_DOWN]), ok);
    put(o, "pairs", json_boolean(s->pairs), ok);
    put(o, "indications", json_boolean(s->indications), ok);
    put(o, "flat", json_boolean(s->flat), ok);
    put(o, "clients", count(s->clients), ok);
    put(o, "client_sockets", count(s->client_sockets), ok);
    put(o, "peer_sockets", count(s->peer_sockets), ok);
    put(o, "outstanding", count(s->outstanding), ok);
    put(o, "window", count(s->window), ok);
    put(o, "packet_bytes", count(s->packet_bytes), ok);
    put(o, "tail_bytes", count(s->tail_bytes), ok);
    put(o, "burst", count(s->burst), ok);
    put(o, "tick_s", json_real(s->tick_s), ok);
    put(o, "rate_planned", json_real(s->rate_planned), ok);
    put(o, "duration_s", count(s->duration_s), ok);
    put(o, "ramp_s", json_real(s->ramp_s), ok);
    return o;
}

static json_t *latency_of(const struct histogram *h, bool *ok)
{
    static const struct {
        const char *key;
        unsigned per_10000;
    } points[] = {{"p50_us", 5000}, {"p90_us", 9000}, {"p99_us", 9900}, {"p999_us", 9990}};

    const uint64_t n = histogram_count(h);
    json_t *o = json_object();

    put(o, "count", count(n), ok);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        put(o, points[i].key, count(histogram_percentile(h, points[i].per_10000)), ok);
    }
    put(o, "max_us", count(histogram_max_us(h)), ok);
    put(o, "mean_us", json_real(n == 0 ? 0 : (double)histogram_sum_us(h) / (double)n), ok);
    return o;
}

static json_t *way_of(const struct bench_result *r, enum bench_way way, bool *ok)
{
    const struct bench_flow_total *t = &r->way[way];
    json_t *o = json_object();

    put(o, "sent", count(t->sent), ok);
    put(o, "sent_bytes", count(t->sent_bytes), ok);
    put(o, "received", count(t->received), ok);
    put(o, "received_bytes", count(t->received_bytes), ok);
    put(o, "lost", count(t->lost), ok);
    put(o, "loss_percent", json_real(bench_loss_percent(t)), ok);
    put(o, "reordered", count(t->reordered), ok);
    put(o, "duplicates", count(t->duplicates), ok);
    put(o, "corrupt", count(t->corrupt), ok);
    put(o, "unsent", count(t->unsent), ok);
    put(o, "packets_per_s", json_real(bench_received_per_s(r, way)), ok);
    put(o, "mbit_per_s", json_real(bench_received_mbit_s(r, way)), ok);
    put(o, "jitter_mean_us", json_real(t->jitter_mean_us), ok);
    put(o, "jitter_max_us", json_real(t->jitter_max_us), ok);
    put(o, "latency", latency_of(&t->latency, ok), ok);
    return o;
}

static json_t *alloc_of(const struct bench_alloc_total *a, bool *ok)
{
    json_t *o = json_object();

    put(o, "wanted", count(a->wanted), ok);
    put(o, "ready", count(a->ready), ok);
    put(o, "failed", count(a->failed), ok);
    put(o, "ended", count(a->ended), ok);
    put(o, "took_s", json_real(a->took_s), ok);
    put(o, "cycles", count(a->cycles), ok);
    put(o, "retransmissions", count(a->retransmissions), ok);
    put(o, "refused", count(a->refused), ok);
    put(o, "failure", text(a->failure), ok);
    put(o, "time", latency_of(&a->time, ok), ok);
    return o;
}

static json_t *cpu_of(const struct bench_cpu *c, bool *ok)
{
    json_t *o = json_object();
    json_t *pids = json_array();

    for (uint32_t i = 0; i < c->pid_count; i++) {
        *ok = json_array_append_new(pids, json_integer(c->pids[i])) == 0 && *ok;
    }
    put(o, "pids", pids, ok);
    put(o, "server_s", c->has_server ? json_real(c->server_s) : json_null(), ok);
    put(o, "server_us_per_packet", c->has_server ? json_real(c->server_us_per_packet) : json_null(),
        ok);
    put(o, "own_s", json_real(c->own_s), ok);
    put(o, "own_us_per_packet", json_real(c->own_us_per_packet), ok);
    return o;
}

static json_t *second_way_of(const struct bench_second_flow *f, bool *ok)
{
    json_t *o = json_object();

    put(o, "sent", count(f->sent), ok);
    put(o, "received", count(f->received), ok);
    put(o, "received_bytes", count(f->received_bytes), ok);
    put(o, "lost", json_integer(f->lost), ok);
    put(o, "p50_us", count(f->p50_us), ok);
    put(o, "p99_us", count(f->p99_us), ok);
    put(o, "max_us", count(f->max_us), ok);
    return o;
}

static json_t *series_of(const struct bench_result *r, bool *ok)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->series_count; i++) {
        const struct bench_second *s = &r->series[i];
        json_t *o = json_object();
        put(o, "start_s", json_real(s->start_s), ok);
        put(o, "length_s", json_real(s->length_s), ok);
        put(o, "up", second_way_of(&s->way[BENCH_UP], ok), ok);
        put(o, "down", second_way_of(&s->way[BENCH_DOWN], ok), ok);
        put(o, "cycles", count(s->cycles), ok);
        put(o, "server_cpu_s", json_real(s->server_cpu_s), ok);
        put(o, "own_cpu_s", json_real(s->own_cpu_s), ok);
        *ok = json_array_append_new(list, o) == 0 && *ok;
    }
    return list;
}

static json_t *caveats_of(unsigned caveats, bool *ok)
{
    json_t *list = json_array();

    for (unsigned bit = 0; bit < sizeof(caveats) * 8; bit++) {
        if ((caveats & 1U << bit) != 0) {
            json_t *one = text(bench_caveat_text((enum bench_caveat)(1U << bit)));
            *ok = json_array_append_new(list, one) == 0 && *ok;
        }
    }
    return list;
}

int bench_json_write(const struct bench_result *r, FILE *out)
{
    json_t *o = json_object();
    bool ok = true;

    put(o, "ok", json_boolean(r->ok), &ok);
    put(o, "why", text(r->why), &ok);
    put(o, "caveats", caveats_of(r->caveats, &ok), &ok);
    put(o, "date", text(r->date), &ok);
    put(o, "version", text(r->version), &ok);
    put(o, "system", text(r->system), &ok);
    put(o, "processor", text(r->processor), &ok);
    put(o, "setup", setup_of(&r->setup, &ok), &ok);
    put(o, "load_s", json_real(r->load_s), &ok);
    put(o, "up", way_of(r, BENCH_UP, &ok), &ok);
    put(o, "down", way_of(r, BENCH_DOWN, &ok), &ok);
    put(o, "allocations", alloc_of(&r->alloc, &ok), &ok);
    put(o, "cpu", cpu_of(&r->cpu, &ok), &ok);
    put(o, "own_drops", count(r->own_drops), &ok);
    put(o, "series", series_of(r, &ok), &ok);
    int err = ok ? 0 : -ENOMEM;
    if (ok && (json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) < 0 ||
               fputc('\n', out) == EOF || fflush(out) != 0)) {
        err = -EIO;
    }
    json_decref(o);
    return err;
}
