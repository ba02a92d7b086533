/* SPDX-License-Identifier: Apache-2.0 */
/* Media through a relay: in a window, which finds what the server can do without loss, or paced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "live.h"
#include "load.h"

enum {
    WARM_NS = 500000000,  /* unmeasured */
    DRAIN_NS = 300000000, /* what has not come by then is lost */
    QUIET_NS = 20000000,  /* with nothing coming for so long, what is under way is lost */
    NAP_NS = 20000,       /* between looks, when packets are paced */
    LATE_NS = 5000000,    /* more debt than this is forgiven: a burst is not what is measured */
    CONTROL_LOST_NS = 1000000000,
    BURSTS_A_TURN = 64,
};

#define SECOND_NS UINT64_C(1000000000)

/* What stood where when measuring began. */
struct mark {
    uint64_t received[2];
    uint64_t sent[2];
    uint64_t busy_ns;
};

struct relay {
    struct load *load;
    uint64_t start_ns;
    uint64_t quiet_since_ns;
    uint64_t refills;
    uint64_t busy_ns; /* of turns that had something to do */
    uint64_t control_done;
    uint32_t control_next;
};

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Clients begin their periods whenever they please, as real ones do. */
static void plan_lane(const struct load *l, struct load_lane *lane)
{
    lane->flow = calloc(l->clients, sizeof(*lane->flow));
    lane->phase_ns = calloc(l->clients, sizeof(*lane->phase_ns));
    if (lane->flow == NULL || lane->phase_ns == NULL) {
        load_die("no memory");
    }
    lane->window = l->window / (l->up && l->down ? 2 : 1);
    if (lane->window < l->burst) {
        lane->window = l->burst;
    }
    if (l->rate == 0) {
        return;
    }
    lane->period_ns = SECOND_NS * l->clients * l->burst / l->rate;
    for (uint32_t i = 0; i < l->clients; i++) {
        const double at = (double)random() / ((double)RAND_MAX + 1);
        lane->phase_ns[i] = (uint32_t)(at * (double)lane->period_ns);
    }
    qsort(lane->phase_ns, l->clients, sizeof(*lane->phase_ns), by_value);
}

static uint64_t due_ns(const struct load_lane *lane)
{
    return lane->cycle_ns + lane->phase_ns[lane->next];
}

static void step(const struct load *l, struct load_lane *lane)
{
    if (lane->next + 1 == l->clients) {
        lane->cycle_ns += lane->period_ns;
    }
}

static void send_due(struct load *l, int which)
{
    struct load_lane *lane = &l->lane[which];

    for (int k = 0; k < BURSTS_A_TURN && due_ns(lane) <= l->now_ns; k++) {
        step(l, lane);
        load_send_burst(l, which);
    }
    while (due_ns(lane) + LATE_NS < l->now_ns) {
        step(l, lane);
        lane->next = lane->next + 1 == l->clients ? 0 : lane->next + 1;
        lane->skipped++;
    }
}

static void fill_window(struct load *l, int which)
{
    const struct load_lane *lane = &l->lane[which];

    for (int k = 0; k < BURSTS_A_TURN && lane->in_flight + l->burst <= lane->window; k++) {
        load_send_burst(l, which);
    }
}

static void ask_due(struct relay *r)
{
    struct load *l = r->load;
    const uint64_t due = (l->now_ns - r->start_ns) / 1000 * l->control_rate / 1000000;

    while (r->control_done < due) {
        const uint32_t i = l->clients + l->idle + r->control_next;
        r->control_next = (r->control_next + 1) % l->control;
        r->control_done++;
        if (!l->c[i].asked || l->now_ns - l->c[i].sent_ns > CONTROL_LOST_NS) {
            l->c[i].phase = READY;
            load_ask(l, i);
        }
    }
}

/* In a window, what was lost is replaced. */
static void watch_silence(struct relay *r, bool quiet)
{
    struct load *l = r->load;

    if (!quiet) {
        r->quiet_since_ns = l->now_ns;
    } else if (l->rate == 0 && l->now_ns - r->quiet_since_ns > QUIET_NS) {
        r->refills++;
        l->lane[LANE_UP].in_flight = 0;
        l->lane[LANE_DOWN].in_flight = 0;
        r->quiet_since_ns = l->now_ns;
    }
}

/* Leaves the CPU to others: what would run for ever at our priority is stopped now and then. */
static void nap(void)
{
    const struct timespec time = {.tv_nsec = NAP_NS};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void one_turn(struct relay *r, bool sending)
{
    struct load *l = r->load;
    const unsigned came = load_receive(l);

    for (int which = LANE_UP; which <= LANE_DOWN && sending; which++) {
        if (!(which == LANE_UP ? l->up : l->down)) {
            continue;
        }
        if (l->rate > 0) {
            send_due(l, which);
        } else {
            fill_window(l, which);
        }
    }
    if (l->control > 0 && sending) {
        ask_due(r);
    }
    if (load_flush(l) + came > 0) {
        r->busy_ns += meter_now_ns() - l->now_ns;
    } else if (l->rate > 0 && !l->packets) {
        nap();
    }
    watch_silence(r, came == 0 && sending);
}

static struct mark mark_now(const struct relay *r)
{
    const struct load_lane *lane = r->load->lane;

    return (struct mark){
        {lane[0].received, lane[1].received}, {lane[0].sent, lane[1].sent}, r->busy_ns};
}

static void forget_times(struct load *l)
{
    memset(&l->lane[LANE_UP].latency, 0, sizeof(l->lane[LANE_UP].latency));
    memset(&l->lane[LANE_DOWN].latency, 0, sizeof(l->lane[LANE_DOWN].latency));
    memset(&l->answer_time, 0, sizeof(l->answer_time));
    if (l->live) {
        live_forget_times();
    }
    l->asked = 0;
}

static void print_times(const char *name, const struct histogram *h)
{
    (void)printf("\"%s\": {\"count\": %llu, \"p50\": %llu, \"p99\": %llu, \"p999\": %llu, \"max\": "
                 "%llu}",
                 name, (unsigned long long)histogram_count(h),
                 (unsigned long long)histogram_percentile(h, 5000),
                 (unsigned long long)histogram_percentile(h, 9900),
                 (unsigned long long)histogram_percentile(h, 9990),
                 (unsigned long long)histogram_max_us(h));
}

static long long lost(const struct load_lane *lane)
{
    return (long long)lane->sent - (long long)lane->received;
}

static void report(const struct relay *r, const struct mark *from, const struct mark *to,
                   const struct meter_reading *reading)
{
    const struct load *l = r->load;
    const double up = (double)(to->received[0] - from->received[0]);
    const double down = (double)(to->received[1] - from->received[1]);
    const double sent =
        (double)(to->sent[0] - from->sent[0]) + (double)(to->sent[1] - from->sent[1]);
    const struct load_lane *lane = l->lane;

    (void)printf("{\"packets\": %.0f, \"pps\": %.0f, \"cpu_us\": %.4f, \"cpu_share\": %.3f, "
                 "\"up\": %.0f, \"down\": %.0f, \"offered_pps\": %.0f, ",
                 up + down, (up + down) / reading->seconds,
                 meter_per(reading->cpu_s * 1e6, up + down), reading->cpu_s / reading->seconds, up,
                 down, sent / reading->seconds);
    (void)printf("\"lost\": %lld, \"reordered\": %llu, \"damaged\": %llu, \"refused\": %llu, "
                 "\"refills\": %llu, \"skipped\": %llu, ",
                 lost(&lane[0]) + lost(&lane[1]),
                 (unsigned long long)(lane[0].reordered + lane[1].reordered),
                 (unsigned long long)(lane[0].damaged + lane[1].damaged),
                 (unsigned long long)(l->client_end.refused + l->peer_end.refused),
                 (unsigned long long)(r->refills + lane[0].refills + lane[1].refills),
                 (unsigned long long)(lane[0].skipped + lane[1].skipped));
    (void)printf("\"generator_us\": %.4f, \"strangers\": %.3f, ",
                 meter_per((double)(to->busy_ns - from->busy_ns) / 1e3, up + down),
                 reading->strangers);
    print_times("latency_up", &lane[0].latency);
    (void)printf(", ");
    print_times("latency_down", &lane[1].latency);
    if (l->control > 0) {
        (void)printf(", \"asked\": %llu, ", (unsigned long long)l->asked);
        print_times("answers", &l->answer_time);
    }
    if (l->live) {
        (void)printf(", \"idle_turns\": %.3f, \"flood_sent\": %llu, \"flood_answers\": %llu",
                     live_idle(), (unsigned long long)live_flood_sent(),
                     (unsigned long long)live_flood_answers());
    }
    (void)printf(", \"process_share\": %.4f, \"cpu0_share\": %.3f, \"all_up\": %llu, "
                 "\"all_down\": %llu}\n",
                 reading->process_s / reading->seconds, reading->cpu0_s / reading->seconds,
                 (unsigned long long)l->lane[0].received, (unsigned long long)l->lane[1].received);
}

static void run_until(struct relay *r, uint64_t end_ns, bool sending)
{
    if (r->load->live) {
        live_run(r->load, end_ns, sending);
        live_read(r->load);
        return;
    }
    while (meter_now_ns() < end_ns) {
        one_turn(r, sending);
    }
}

void load_run_relay(struct load *l)
{
    static struct relay r;

    plan_lane(l, &l->lane[LANE_UP]);
    plan_lane(l, &l->lane[LANE_DOWN]);
    if (l->bare.port == 0) {
        load_allocate_all(l);
    }
    r.load = l;
    r.start_ns = meter_now_ns();
    r.quiet_since_ns = r.start_ns;
    l->lane[LANE_UP].cycle_ns = r.start_ns;
    l->lane[LANE_DOWN].cycle_ns = r.start_ns;
    l->running = true;
    if (l->live) {
        live_prepare(l);
    }
    run_until(&r, r.start_ns + WARM_NS, true);
    forget_times(l);
    const struct mark from = mark_now(&r);
    meter_start(&l->meter);
    run_until(&r, meter_now_ns() + (uint64_t)l->milliseconds * 1000000, true);
    const struct meter_reading reading = meter_read(&l->meter);
    const struct mark to = mark_now(&r);
    run_until(&r, meter_now_ns() + DRAIN_NS, false);
    report(&r, &from, &to, &reading);
}
