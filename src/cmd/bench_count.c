/* SPDX-License-Identifier: Apache-2.0 */
/* Counting what is sent and arrives, second by second and all in all. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/bench_cpu.h"
#include "cmd/bench_int.h"
#include "cmd/bench_shape.h"

enum { SECOND_NS = 1000000000, MEDIAN = 5000, P99 = 9900 };

/* May a packet of `client` arrive at client `i`?  Up, it arrives at a peer, unless that is a
 * client. */
static bool is_expected(const struct bench_engine *e, enum bench_way way, uint32_t i,
                        uint32_t client)
{
    if (e->setup->pairs) {
        return client == (i ^ 1);
    }
    return way == BENCH_UP || client == i;
}

void bench_count_packet(struct bench_engine *e, enum bench_way way, uint32_t i, struct bytes packet,
                        uint64_t when_ns)
{
    struct bench_flow_total *total = &e->result->way[way];
    struct bench_stamp stamp;

    if (bench_flow_read(packet, &stamp) < 0 || stamp.run != e->run) {
        return; /* none of this run's */
    }
    const uint32_t client = stamp.flow / BENCH_WAYS;
    e->heard_ns = e->now_ns;
    e->unheard = 0;
    if (stamp.flow % BENCH_WAYS != way || client >= e->setup->clients ||
        !is_expected(e, way, i, client) || stamp.seq >= e->clients[client].flow[way].sent ||
        packet.n != bench_shape_bytes(e->setup, stamp.seq) ||
        memcmp(packet.p + BENCH_STAMP, e->body, packet.n - BENCH_STAMP) != 0) {
        total->corrupt++;
        return;
    }
    const int64_t gap = e->gap[way];
    const enum bench_arrival arrival =
        bench_flow_arrive(&e->clients[client].flow[way], &stamp, when_ns, &e->gap[way]);
    if (arrival == BENCH_AGAIN) {
        total->duplicates++;
        return;
    }
    /* Those that it overtook are on their way no more: lost, or late. */
    const uint64_t landed = (uint64_t)(1 + e->gap[way] - gap);
    e->in_flight -= e->in_flight < landed ? e->in_flight : landed;
    total->reordered += arrival == BENCH_LATE;
    total->received++;
    total->received_bytes += packet.n;
    const uint64_t took = when_ns > stamp.sent_ns ? when_ns - stamp.sent_ns : 0;
    histogram_add(&e->now[way], took / 1000);
}

void bench_count_sent(void *engine, const struct bench_tx_outcome *outcome)
{
    struct bench_engine *e = engine;
    struct bench_flow_total *total = &e->result->way[outcome->way];

    total->sent += outcome->sent;
    total->sent_bytes += outcome->bytes;
    total->unsent += outcome->unsent;
    e->unheard += outcome->sent + outcome->unsent;
    e->in_flight -= e->in_flight < outcome->unsent ? e->in_flight : outcome->unsent;
}

void bench_count_allocation(struct bench_engine *e, uint64_t ns)
{
    histogram_add(&e->result->alloc.time, ns / 1000);
}

static void set_marks(struct bench_engine *e)
{
    for (int way = 0; way < BENCH_WAYS; way++) {
        const struct bench_flow_total *total = &e->result->way[way];
        e->mark[way].sent = total->sent;
        e->mark[way].received = total->received;
        e->mark[way].received_bytes = total->received_bytes;
        e->gap[way] = 0;
        memset(&e->now[way], 0, sizeof(e->now[way]));
    }
    e->mark_cycles = e->result->alloc.cycles;
    e->second_ns = e->now_ns;
}

static uint64_t server_ns(struct bench_engine *e)
{
    uint64_t ns = 0;

    if (!bench_cpu_of(e->plan->pids, e->plan->pid_count, &ns)) {
        e->cpu_lost = true;
        return e->cpu_server_ns;
    }
    return ns;
}

void bench_count_begin(struct bench_engine *e)
{
    e->load_ns = e->now_ns;
    e->heard_ns = e->now_ns;
    e->unheard = 0;
    e->cpu_server_ns = server_ns(e);
    e->cpu_own_ns = bench_cpu_own();
    e->cpu_load_server_ns = e->cpu_server_ns;
    e->cpu_load_own_ns = e->cpu_own_ns;
    set_marks(e);
}

static void fill_way(struct bench_engine *e, int way, struct bench_second_flow *out)
{
    const struct bench_flow_total *total = &e->result->way[way];
    const struct histogram *now = &e->now[way];

    *out = (struct bench_second_flow){
        .sent = total->sent - e->mark[way].sent,
        .received = total->received - e->mark[way].received,
        .received_bytes = total->received_bytes - e->mark[way].received_bytes,
        .lost = e->gap[way],
        .p50_us = histogram_percentile(now, MEDIAN),
        .p99_us = histogram_percentile(now, P99),
        .max_us = histogram_max_us(now),
    };
    histogram_merge(&e->result->way[way].latency, now);
}

/* The series has room for the longest run: nothing is allocated here. */
void bench_count_second(struct bench_engine *e, bool last)
{
    struct bench_result *r = e->result;

    if (e->now_ns - e->second_ns < (last ? 1 : SECOND_NS) || r->series_count == e->series_cap) {
        return;
    }
    struct bench_second *s = &r->series[r->series_count++];
    const uint64_t server = server_ns(e);
    const uint64_t own = bench_cpu_own();
    *s = (struct bench_second){
        .start_s = (double)(e->second_ns - e->load_ns) / 1e9,
        .length_s = (double)(e->now_ns - e->second_ns) / 1e9,
        .cycles = r->alloc.cycles - e->mark_cycles,
        .server_cpu_s = (double)(server - e->cpu_server_ns) / 1e9,
        .own_cpu_s = (double)(own - e->cpu_own_ns) / 1e9,
    };
    for (int way = 0; way < BENCH_WAYS; way++) {
        fill_way(e, way, &s->way[way]);
    }
    e->cpu_server_ns = server;
    e->cpu_own_ns = own;
    set_marks(e);
}

/* What arrives after the last second belongs to the totals alone. */
void bench_count_drained(struct bench_engine *e)
{
    for (int way = 0; way < BENCH_WAYS; way++) {
        histogram_merge(&e->result->way[way].latency, &e->now[way]);
    }
    set_marks(e);
}

static void fill_jitter(struct bench_engine *e, int way)
{
    struct bench_flow_total *total = &e->result->way[way];
    double sum = 0;
    uint32_t flows = 0;

    for (uint32_t i = 0; i < e->setup->clients; i++) {
        const struct bench_flow *flow = &e->clients[i].flow[way];
        if (flow->began) {
            sum += flow->jitter_us;
            flows++;
            total->jitter_max_us =
                flow->jitter_us > total->jitter_max_us ? flow->jitter_us : total->jitter_max_us;
        }
    }
    total->jitter_mean_us = flows == 0 ? 0 : sum / flows;
}

static void fill_cpu(struct bench_engine *e, uint64_t units)
{
    struct bench_cpu *cpu = &e->result->cpu;

    cpu->has_server = e->plan->pid_count > 0;
    cpu->pid_count = e->plan->pid_count;
    memcpy(cpu->pids, e->plan->pids, sizeof(cpu->pids));
    cpu->server_s = (double)(e->cpu_server_ns - e->cpu_load_server_ns) / 1e9;
    cpu->own_s = (double)(e->cpu_own_ns - e->cpu_load_own_ns) / 1e9;
    if (units > 0) {
        cpu->server_us_per_packet = cpu->server_s * 1e6 / (double)units;
        cpu->own_us_per_packet = cpu->own_s * 1e6 / (double)units;
    }
}

void bench_count_end(struct bench_engine *e)
{
    struct bench_result *r = e->result;
    uint64_t units = r->alloc.cycles;

    for (int way = 0; way < BENCH_WAYS; way++) {
        struct bench_flow_total *total = &r->way[way];
        total->lost = total->sent > total->received ? total->sent - total->received : 0;
        units += total->received * (e->setup->pairs ? 2 : 1);
        fill_jitter(e, way);
    }
    r->load_s = (double)(e->ended_ns - e->load_ns) / 1e9;
    fill_cpu(e, units);
}
