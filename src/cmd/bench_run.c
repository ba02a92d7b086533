/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cmd/bench_int.h"

enum {
    MS_NS = 1000000,
    FAILED_MANY = 8,      /* so many failed, and none is ready: more would not help */
    DRAIN_QUIET_MS = 500, /* nothing came for so long: nothing will */
    DRAIN_MS = 3000,
    TEARDOWN_MS = 10000,
    ABANDONED_MS = 1000, /* of TEARDOWN, when the server may be gone */
    STALL_NS = 500000000,
    UNHEARD_MIN = 20,
    LAST_S = 2, /* seconds that a run may take longer than planned, in the series */
    PACKETS_A_WAKE = 128,
    GRAIN_MIN_NS = 50000,
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

uint64_t bench_run_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void enter(struct bench_engine *e, enum bench_phase phase)
{
    e->phase = phase;
    e->phase_ns = e->now_ns;
    e->cursor = 0;
}

/* End early, for a reason. */
static void abandon(struct bench_engine *e, const char *why)
{
    if (e->result->why[0] == '\0') {
        snprintf(e->result->why, sizeof(e->result->why), "%s", why);
    }
    if (e->phase == BENCH_LOAD) {
        e->ended_ns = e->now_ns;
        bench_count_second(e, true);
    }
    e->abandoned = true;
    enter(e, BENCH_TEARDOWN);
}

static bool is_silent(const struct bench_engine *e, uint64_t ms)
{
    return e->unheard >= UNHEARD_MIN && e->now_ns - e->heard_ns > ms * MS_NS;
}

/* --- setup ------------------------------------------------------------------------------------ */

/* How many clients may have begun by now. */
static uint32_t quota(const struct bench_engine *e)
{
    const double clients = e->setup->clients;
    const double ramp_ns = e->setup->ramp_s * 1e9;
    const double share = ramp_ns > 0 ? (double)(e->now_ns - e->phase_ns) / ramp_ns : 1;

    return share >= 1 ? e->setup->clients : (uint32_t)(share * clients) + 1;
}

static void abandon_setup(struct bench_engine *e)
{
    char why[BENCH_WHY];

    if (e->result->alloc.failure[0] != '\0') {
        snprintf(why, sizeof(why), "no client got ready. %.480s", e->result->alloc.failure);
    } else if (e->refusals > 0) {
        snprintf(why, sizeof(why),
                 "nobody listens at %s (UDP): start the server, or give the port that it listens "
                 "on.",
                 e->setup->server);
    } else {
        snprintf(why, sizeof(why),
                 "%s has stopped answering while clients allocated (%u of %u ready): look at its "
                 "log.",
                 e->setup->server, e->result->alloc.ready, e->setup->clients);
    }
    abandon(e, why);
}

static void begin_load(struct bench_engine *e)
{
    e->result->alloc.took_s = (double)(e->now_ns - e->phase_ns) / 1e9;
    if (e->setup->mix != BENCH_ALLOC && bench_load_begin(e) < 0) {
        abandon_setup(e);
        return;
    }
    enter(e, BENCH_LOAD);
    bench_count_begin(e);
}

static void step_setup(struct bench_engine *e)
{
    const struct bench_alloc_total *total = &e->result->alloc;
    const uint32_t may = quota(e);

    if (e->setup->mix == BENCH_ALLOC) {
        begin_load(e);
        return;
    }
    while (e->started < may && e->active < e->setup->outstanding) {
        bench_client_start(e, e->started++);
    }
    const uint32_t many = e->setup->clients < FAILED_MANY ? e->setup->clients : FAILED_MANY;
    const bool refused = total->failed >= many || (e->refusals > 0 && !e->heard);
    const bool silent = e->heard && is_silent(e, bench_timeout_ms(e) + 1000);
    /* cppcheck-suppress knownConditionTrueFalse; the clients that begin change it */
    if ((total->ready == 0 && refused) || silent) {
        abandon_setup(e);
    } else if (e->started == e->setup->clients && e->active == 0) {
        begin_load(e);
    }
}

/* --- load ------------------------------------------------------------------------------------- */

/* Allocation storm: begin as many cycles as may be outstanding. */
static void start_cycles(struct bench_engine *e)
{
    for (uint32_t n = 0; n < e->setup->clients && e->active < e->setup->outstanding; n++) {
        const uint32_t i = e->cursor;
        e->cursor = (e->cursor + 1) % e->setup->clients;
        if (e->clients[i].step == BENCH_IDLE || e->clients[i].step == BENCH_GONE) {
            bench_client_start(e, i);
        }
    }
}

static bool has_come(const struct bench_result *r)
{
    return r->way[BENCH_UP].received + r->way[BENCH_DOWN].received + r->alloc.cycles > 0;
}

static const char *nothing_came(const struct bench_setup *setup)
{
    return setup->mix == BENCH_ALLOC
               ? "no allocation was made and released while the load ran: the server is "
                 "overloaded, or --duration too short."
               : "nothing that was sent came through the relay. The server cannot reach the peers, "
                 "or they cannot reach it: give an address with --peer-address that the server can "
                 "reach, and look at firewalls between its relay ports and here.";
}

/* Why the load cannot go on; NULL when it can. */
static const char *trouble(struct bench_engine *e)
{
    const struct bench_alloc_total *total = &e->result->alloc;

    if (e->cpu_lost) {
        return "a process that was to be measured (--pid) has ended during the run: most likely "
               "the "
               "server. Look at its log.";
    }
    if (e->setup->mix == BENCH_ALLOC && total->cycles == 0 &&
        (total->failed >= FAILED_MANY || (e->refusals > 0 && !e->heard))) {
        return total->failure[0] != '\0' ? total->failure : "nobody listens there.";
    }
    if (e->setup->mix != BENCH_ALLOC && total->ended >= e->live) {
        return "the server has closed all connections during the run. Look at its log.";
    }
    if (is_silent(e, BENCH_SILENCE_MS)) {
        return has_come(e->result)
                   ? "nothing has come back for 3 seconds: the server has ended, or "
                     "hangs. Look at its log."
                   : nothing_came(e->setup);
    }
    return NULL;
}

static void end_load(struct bench_engine *e)
{
    e->ended_ns = e->now_ns;
    bench_count_second(e, true);
    enter(e, BENCH_DRAIN);
}

static void step_load(struct bench_engine *e)
{
    const size_t seconds = e->result->series_count;
    const char *why = trouble(e);

    if (why != NULL) {
        abandon(e, why);
        return;
    }
    if (e->now_ns - e->load_ns >= (uint64_t)e->setup->duration_s * 1000000000U || interrupted) {
        end_load(e);
        return;
    }
    if (e->setup->mix == BENCH_ALLOC) {
        start_cycles(e);
    } else {
        bench_load_send(e);
    }
    bench_count_second(e, false);
    if (e->result->series_count > seconds && e->progress != NULL) {
        e->progress(e->result);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static bool is_drained(const struct bench_engine *e)
{
    const struct bench_flow_total *way = e->result->way;
    const uint64_t since_ms = (e->now_ns - e->phase_ns) / MS_NS;

    if (e->setup->mix == BENCH_ALLOC) {
        return e->active == 0 || since_ms > bench_timeout_ms(e);
    }
    if (way[BENCH_UP].received >= way[BENCH_UP].sent &&
        way[BENCH_DOWN].received >= way[BENCH_DOWN].sent) {
        return true;
    }
    const uint64_t from_ns = e->heard_ns > e->phase_ns ? e->heard_ns : e->phase_ns;
    return since_ms > DRAIN_MS || (e->now_ns - from_ns) / MS_NS > DRAIN_QUIET_MS;
}

static void step_drain(struct bench_engine *e)
{
    if (is_drained(e)) {
        bench_count_drained(e);
        enter(e, BENCH_TEARDOWN);
    }
}

static void step_teardown(struct bench_engine *e)
{
    while (e->cursor < e->setup->clients && e->active < e->setup->outstanding) {
        bench_client_stop(e, e->cursor++);
    }
    const uint64_t most_ms = e->abandoned ? ABANDONED_MS : TEARDOWN_MS;
    if ((e->cursor == e->setup->clients && e->active == 0) ||
        e->now_ns - e->phase_ns > most_ms * MS_NS) {
        enter(e, BENCH_DONE);
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

static void step(struct bench_engine *e)
{
    switch (e->phase) {
    case BENCH_SETUP:
        if (interrupted) {
            abandon(e, "interrupted while clients allocated.");
        } else {
            step_setup(e);
        }
        break;
    case BENCH_LOAD:
        step_load(e);
        break;
    case BENCH_DRAIN:
        step_drain(e);
        break;
    case BENCH_TEARDOWN:
        step_teardown(e);
        break;
    case BENCH_DONE:
    default:
        break;
    }
}

/* Datagrams carry the time of their arrival, so that the generator may sleep while they come, and
 * read many at a time. */
static bool may_sleep(const struct bench_engine *e)
{
    return e->phase == BENCH_LOAD && !bench_is_stream(e) && e->setup->tick_s > 0;
}

/* How long: not so long that a socket's buffer could fill. */
static uint64_t grain_ns(const struct bench_engine *e)
{
    const uint64_t grain = (uint64_t)e->plan->grain_us * 1000;
    const double per_ns = e->setup->rate_planned / 1e9;
    const double most = (double)PACKETS_A_WAKE * e->setup->peer_sockets / per_ns;

    if (most >= (double)grain) {
        return grain;
    }
    return most > GRAIN_MIN_NS ? (uint64_t)most : GRAIN_MIN_NS;
}

static uint64_t next_ns(const struct bench_engine *e)
{
    const uint64_t wheel_ms = wheel_next_deadline(&e->wheel);
    uint64_t next = e->now_ns + (uint64_t)10 * MS_NS; /* phases look at the clock, too */

    if (wheel_ms < next / MS_NS) {
        next = wheel_ms * MS_NS;
    }
    if (e->phase == BENCH_LOAD && e->setup->mix != BENCH_ALLOC) {
        const uint64_t due = bench_load_due_ns(e);
        next = due < next ? due : next;
    }
    const uint64_t earliest = e->now_ns + grain_ns(e);
    return may_sleep(e) && next < earliest ? earliest : next;
}

static void loop(struct bench_engine *e)
{
    uint64_t before_ns = bench_run_now_ns();

    while (e->phase != BENCH_DONE) {
        struct wheel_timer *timer;
        e->now_ns = bench_run_now_ns();
        if (e->now_ns - before_ns > STALL_NS) { /* it was us who did not listen */
            e->heard_ns = e->now_ns;
        }
        before_ns = e->now_ns;
        while ((timer = wheel_expired(&e->wheel, bench_now_ms(e))) != NULL) {
            bench_client_timer(e, CONTAINER_OF(timer, struct bench_client, timer));
        }
        step(e);
        bench_tx_flush(e->tx[BENCH_UP]);
        bench_tx_flush(e->tx[BENCH_DOWN]);
        if (e->phase != BENCH_DONE) {
            bench_link_turn(e, next_ns(e), !may_sleep(e));
        }
    }
}

/* --- the verdict ------------------------------------------------------------------------------ */

static void find_caveats(struct bench_engine *e)
{
    struct bench_result *r = e->result;
    const uint64_t bursts = e->done[BENCH_UP] + e->done[BENCH_DOWN];
    const double own = r->load_s > 0 ? r->cpu.own_s / r->load_s : 0;
    const double server = r->load_s > 0 ? r->cpu.server_s / r->load_s : 0;
    static const double whole = 0.95;

    if (e->skipped * 100 > bursts) {
        r->caveats |= BENCH_CAVEAT_PACE;
    }
    if (r->own_drops > 0) {
        r->caveats |= BENCH_CAVEAT_OWN_LOSS;
    }
    if (r->alloc.failed > 0 || r->alloc.ended > 0) {
        r->caveats |= BENCH_CAVEAT_PARTIAL;
    }
    if (e->abandoned || interrupted) {
        r->caveats |= BENCH_CAVEAT_INTERRUPTED;
    }
    if (e->setup->tick_s <= 0 && r->cpu.has_server && own > whole && server < whole) {
        r->caveats |= BENCH_CAVEAT_LIMITED;
    }
}

/* The limits that were given. */
static void check_limits(const struct bench_plan *plan, struct bench_result *r)
{
    static const unsigned p99 = 9900;

    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS && r->why[0] == '\0'; way++) {
        const struct bench_flow_total *total = &r->way[way];
        const double p99_ms = (double)histogram_percentile(&total->latency, p99) / 1000;
        if (plan->max_loss >= 0 && bench_loss_percent(total) > plan->max_loss) {
            snprintf(r->why, sizeof(r->why),
                     "%.3f %% of the packets %s were lost, more than --max-loss %g.",
                     bench_loss_percent(total), bench_way_name(way), plan->max_loss);
        } else if (plan->max_p99_ms >= 0 && p99_ms > plan->max_p99_ms) {
            snprintf(r->why, sizeof(r->why),
                     "99 %% of the packets %s took up to %.3f ms, more than --max-p99 %g.",
                     bench_way_name(way), p99_ms, plan->max_p99_ms);
        }
    }
}

static void judge(struct bench_engine *e)
{
    struct bench_result *r = e->result;

    if (r->why[0] == '\0' && (r->alloc.failed > 0 || r->alloc.ended > 0)) {
        if (e->setup->mix == BENCH_ALLOC) {
            snprintf(r->why, sizeof(r->why), "%u allocations failed. %.400s", r->alloc.failed,
                     r->alloc.failure);
        } else {
            snprintf(r->why, sizeof(r->why), "%u of %u clients failed, %u were lost later. %.400s",
                     r->alloc.failed, e->setup->clients, r->alloc.ended, r->alloc.failure);
        }
    }
    if (r->why[0] == '\0' && !has_come(r)) {
        snprintf(r->why, sizeof(r->why), "%s", nothing_came(e->setup));
    }
    check_limits(e->plan, r);
    r->ok = r->why[0] == '\0';
}

/* --- all of it -------------------------------------------------------------------------------- */

static int begin(struct bench_engine *e)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    e->epoll = -1;
    e->series_cap = e->setup->duration_s + (size_t)LAST_S;
    e->result->series = mem_new(e->series_cap, sizeof(e->result->series[0]));
    if (e->result->series == NULL) {
        snprintf(e->result->why, sizeof(e->result->why), "out of memory.");
        return -ENOMEM;
    }
    e->result->alloc.wanted = e->setup->clients;
    interrupted = 0;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return bench_open(e);
}

void bench_run(const struct bench_plan *plan, struct bench_result *result, bench_run_fn progress)
{
    struct bench_engine *e = mem_new(1, sizeof(*e));

    if (e == NULL) {
        snprintf(result->why, sizeof(result->why), "out of memory.");
        return;
    }
    e->plan = plan;
    e->result = result;
    e->setup = &result->setup;
    e->progress = progress;
    if (begin(e) == 0) {
        e->now_ns = bench_run_now_ns();
        wheel_init(&e->wheel, bench_now_ms(e));
        enter(e, BENCH_SETUP);
        loop(e);
        if (e->load_ns > 0) {
            bench_count_end(e);
        }
        find_caveats(e);
        judge(e);
    }
    bench_open_undo(e);
    free(e);
}
