/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <live.skel.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "wire/channel_data.h"
#include "wire/stun_msg.h"

enum { REPEAT = 1 << 24, NS_PER_US = 1000, UDP_SUM = 6, IP_SUM = 24, JUNK = 172 };

static struct live_bpf *bpf;
static struct live_flow *flows;
static struct live_control *control;
static uint8_t longest[FRAME_MAX]; /* as long as the longest frame, without content */
static size_t longest_n;

static void die(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    load_die("no generator in the kernel");
}

static void check(int result, const char *what)
{
    if (result < 0) {
        errno = -result;
        die(what);
    }
}

static void put(const struct bpf_map *map, uint32_t key, uint32_t value, const char *what)
{
    check(bpf_map_update_elem(bpf_map__fd(map), &key, &value, 0), what);
}

static void attach(const struct live_place *place, uint32_t which)
{
    const struct bpf_program *program =
        which == LIVE_UP ? bpf->progs.live_at_client : bpf->progs.live_at_peer;

    frame_enter(place->netns);
    const unsigned index = if_nametoindex(place->dev);
    put(bpf->maps.ends, which, index, "device map");
    put(bpf->maps.sockets, which, (uint32_t)place->end->xsk->fd, "socket map");
    const struct bpf_link_create_opts options = {.sz = sizeof(options),
                                                 .flags = XDP_FLAGS_DRV_MODE};
    /* The link lasts as long as the process. */
    check(bpf_link_create(bpf_program__fd(program), (int)index, BPF_XDP, &options), "attach");
}

static void on_alarm(int number)
{
    (void)number;
}

void live_open(const struct load *l, const struct live_place place[2])
{
    const struct sigaction action = {.sa_handler = on_alarm};

    bpf = live_bpf__open();
    if (bpf == NULL) {
        die("open");
    }
    check(bpf_map__set_max_entries(bpf->maps.flows, 2 * l->clients), "size");
    check(live_bpf__load(bpf), "load");
    control = &bpf->bss->control;
    flows = mmap(NULL, (size_t)2 * l->clients * sizeof(*flows), PROT_READ | PROT_WRITE, MAP_SHARED,
                 bpf_map__fd(bpf->maps.flows), 0);
    if (flows == MAP_FAILED || sigaction(SIGALRM, &action, NULL) < 0) {
        die("memory");
    }
    control->clients = l->clients;
    control->total = l->total;
    control->payload = l->payload;
    control->number = LOAD_CHANNEL;
    attach(&place[0], LIVE_UP);
    attach(&place[1], LIVE_DOWN);
}

/* The sum behind a checksum, in memory order. */
static uint32_t field_sum(const uint8_t *field)
{
    uint16_t value;

    memcpy(&value, field, sizeof(value));
    return (uint16_t)~value;
}

static void prepare_flow(const struct load *l, uint32_t which, uint32_t i)
{
    const struct endpoint client = load_client_at(l, i);
    const struct endpoint peer = {l->peer_ip, (uint16_t)(LOAD_PEER_PORT + i)};
    const bool up = which == LIVE_UP;
    const struct end *end = up ? &l->client_end : &l->peer_end;
    const size_t udp_at = (end->v6 ? FRAME_HEAD6 : FRAME_HEAD) - 8;
    const size_t head = up ? CHANNEL_HEAD : 0;
    struct live_flow *flow = &flows[2 * i + which];
    struct live_lane *lane = &control->lane[which];
    uint8_t frame[FRAME_MAX];
    uint8_t payload[FRAME_MAX];

    memset(payload, 0, sizeof(payload));
    if (up) {
        channel_data_head(payload, LOAD_CHANNEL, (uint16_t)l->payload);
    }
    be32_put(payload + head, LIVE_MAGIC);
    const size_t n = end_fill(end, frame, up ? client : peer, up ? l->server : load_relay_of(l, i),
                              payload, head + l->payload);
    memcpy(flow->head, frame, sizeof(flow->head));
    flow->sum = field_sum(frame + udp_at + UDP_SUM);
    flow->phase_ns = l->rate > 0 ? l->lane[which].phase_ns[i] : 0;
    lane->sum_at = (uint32_t)(udp_at + UDP_SUM);
    lane->stamp_at = (uint32_t)(udp_at + 8 + head);
    lane->shrink = (uint32_t)n; /* for now its length */
    longest_n = n > longest_n ? n : longest_n;
}

static void prepare_flood_packet(const struct load *l, uint32_t which, const uint8_t *p, size_t n)
{
    struct live_kind *kind = &control->flood.kind[which];
    uint8_t frame[FRAME_MAX];

    memset(frame, 0, sizeof(frame));
    kind->length =
        (uint32_t)end_fill(&l->client_end, frame, (struct endpoint){0, 0}, l->server, p, n);
    kind->sum = field_sum(frame + FRAME_HEAD - 8 + UDP_SUM);
    kind->ip_sum = field_sum(frame + IP_SUM);
    memcpy(kind->frame, frame, LIVE_HEAD);
    longest_n = kind->length > longest_n ? kind->length : longest_n;
}

/* Junk, Binding, Allocate: sources, transactions and first bytes are the program's. */
static void prepare_flood(const struct load *l)
{
    static const uint8_t none[STUN_TID];
    uint8_t buf[JUNK] = {0};
    struct stun_out out;

    prepare_flood_packet(l, LIVE_JUNK, buf, sizeof(buf));
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_BINDING, STUN_REQUEST), none);
    prepare_flood_packet(l, LIVE_BINDING, buf, (size_t)stun_out_end(&out));
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_REQUEST), none);
    stun_out_u32(&out, STUN_REQUESTED_TRANSPORT, UINT32_C(17) << 24);
    prepare_flood_packet(l, LIVE_ALLOCATE, buf, (size_t)stun_out_end(&out));
    control->flood.near = l->client_ip & UINT32_C(0xffffff00);
    control->flood.random = UINT64_C(0x9e3779b97f4a7c15);
    control->flood.period_ns = UINT64_C(1000000000) / l->flood;
}

void live_prepare(const struct load *l)
{
    for (uint32_t which = 0; which < LIVE_LANES; which++) {
        struct live_lane *lane = &control->lane[which];
        for (uint32_t i = 0; i < l->clients; i++) {
            prepare_flow(l, which, i);
        }
        lane->window = l->lane[which].window;
        lane->period_ns = l->lane[which].period_ns;
    }
    if (l->flood > 0) {
        prepare_flood(l);
    }
    control->longest = (uint32_t)longest_n;
    for (uint32_t which = 0; which < LIVE_LANES; which++) {
        struct live_lane *lane = &control->lane[which];
        lane->shrink = (uint32_t)longest_n - lane->shrink;
        lane->on = which == LIVE_UP ? l->up : l->down;
        lane->cycle_ns = meter_now_ns();
    }
    control->flood.due_ns = meter_now_ns();
}

static void wait_until(uint64_t end_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(end_ns / 1000000000),
                                   .tv_nsec = (long)(end_ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

/* The alarm ends the program's turns. */
static void send_until(const struct load *l, uint64_t end_ns, uint64_t now_ns)
{
    const uint64_t us = (end_ns - now_ns) / NS_PER_US + 1;
    const struct itimerval timer = {
        .it_value = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)},
        .it_interval = {0, 1000},
    };
    const struct itimerval none = {.it_value = {0, 0}};
    struct bpf_test_run_opts options = {
        .sz = sizeof(options),
        .data_in = longest,
        .data_size_in = (uint32_t)longest_n,
        .repeat = REPEAT,
        .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
        .batch_size = l->batch,
    };

    (void)setitimer(ITIMER_REAL, &timer, NULL);
    while (meter_now_ns() < end_ns) {
        const int err = bpf_prog_test_run_opts(bpf_program__fd(bpf->progs.live_send), &options);
        if (err < 0 && err != -EINTR) {
            errno = -err;
            die("sending");
        }
    }
    (void)setitimer(ITIMER_REAL, &none, NULL);
}

void live_run(const struct load *l, uint64_t end_ns, bool sending)
{
    const uint64_t now_ns = meter_now_ns();

    if (!sending) {
        wait_until(end_ns);
    } else if (now_ns < end_ns) {
        send_until(l, end_ns, now_ns);
    }
}

void live_read(struct load *l)
{
    for (uint32_t which = 0; which < LIVE_LANES; which++) {
        const struct live_lane *from = &control->lane[which];
        struct load_lane *to = &l->lane[which];
        to->sent = from->sent;
        to->received = from->received;
        to->reordered = from->reordered;
        to->damaged = from->damaged;
        to->skipped = from->skipped;
        to->refills = from->refills;
        memset(&to->latency, 0, sizeof(to->latency));
        for (uint32_t us = 0; us < LIVE_TIMES; us++) {
            for (uint64_t k = 0; k < control->times[which][us]; k++) {
                histogram_add(&to->latency, us);
            }
        }
    }
}

void live_forget_times(void)
{
    memset(control->times, 0, sizeof(control->times));
    control->turns = 0;
    control->idle = 0;
}

double live_idle(void)
{
    return meter_per((double)control->idle, (double)control->turns);
}

uint64_t live_flood_sent(void)
{
    return control->flood.sent;
}

uint64_t live_flood_answers(void)
{
    return control->flood.answers;
}
