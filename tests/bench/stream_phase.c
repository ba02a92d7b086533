/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include "stream_load.h"

enum {
    EVENTS = 64,
    BURST = 64,           /* units sent before looking at what came */
    WARM_NS = 500000000,  /* unmeasured */
    DRAIN_NS = 300000000, /* what has not come by then is lost */
    NAP_NS = 50000,       /* shortest wait */
    QUIET_NS = 20000000,  /* with nothing coming for so long, what is under way is lost */
    LATE_NS = 5000000,    /* more debt than this is forgiven: a burst is not what is measured */
    SECOND_NS = 1000000000,
};

struct pace {
    uint64_t start_ns;
    uint64_t rate;     /* 0: as the window allows */
    uint64_t done;     /* of the rate: units sent, or given up */
    uint64_t received; /* at the start */
    uint64_t forgiven; /* sent, not come, and waited for no more */
};

void stream_phase_watch(int epoll, int fd, uint32_t id)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = id};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        stream_conn_die("epoll_ctl");
    }
}

static uint64_t units_in(uint64_t ns, uint64_t rate)
{
    return ns / SECOND_NS * rate + ns % SECOND_NS * rate / SECOND_NS;
}

static void send_one(struct stream_phase *p)
{
    if (p->send(p->arg)) {
        p->sent++;
    } else {
        p->held++;
    }
}

static void send_due(struct stream_phase *p, struct pace *pace, uint64_t now)
{
    const uint64_t due = units_in(now - pace->start_ns, pace->rate);
    const uint64_t debt_max = units_in(LATE_NS, pace->rate) + 1;

    if (due - pace->done > debt_max) {
        p->skipped += due - pace->done - debt_max;
        pace->done = due - debt_max;
    }
    for (int i = 0; i < BURST && pace->done < due; i++, pace->done++) {
        send_one(p);
    }
}

/* Until the next unit is due. */
static uint64_t nap_ns(const struct pace *pace, uint64_t now)
{
    const uint64_t next = pace->start_ns + (pace->done + 1) / pace->rate * SECOND_NS +
                          (pace->done + 1) % pace->rate * SECOND_NS / pace->rate;

    return next > now + NAP_NS ? next - now : NAP_NS;
}

/* Units that the window has room for. */
static uint64_t window_room(const struct stream_phase *p, const struct pace *pace)
{
    const uint64_t back = *p->received - pace->received + pace->forgiven;
    const uint64_t in_flight = p->sent > back ? p->sent - back : 0;

    return p->load->window > in_flight ? p->load->window - in_flight : 0;
}

static void fill_window(struct stream_phase *p, const struct pace *pace)
{
    const uint64_t room = window_room(p, pace);

    for (uint64_t i = 0; i < room && i < BURST; i++) {
        send_one(p);
    }
}

static int wait_and_serve(const struct stream_phase *p, uint64_t ns)
{
    struct epoll_event events[EVENTS];
    const struct timespec nap = {.tv_sec = 0, .tv_nsec = (long)ns};
    const int n = epoll_pwait2(p->epoll, events, EVENTS, &nap, NULL);

    if (n < 0 && errno != EINTR) {
        stream_conn_die("epoll_pwait2");
    }
    for (int i = 0; i < n; i++) {
        p->ready(p->arg, &events[i]);
    }
    return n;
}

/* Send what may be sent now, and take what comes until more may. */
static void turn(struct stream_phase *p, struct pace *pace, uint64_t now)
{
    if (pace->rate > 0) {
        send_due(p, pace, now);
        p->flush(p->arg);
        (void)wait_and_serve(p, nap_ns(pace, meter_now_ns()));
        return;
    }
    fill_window(p, pace);
    p->flush(p->arg);
    const bool full = window_room(p, pace) == 0;
    if (wait_and_serve(p, full ? QUIET_NS : NAP_NS) == 0 && full) { /* the lost are replaced */
        pace->forgiven += p->load->window;
    }
}

void stream_phase_run(struct stream_phase *p, uint64_t rate)
{
    struct pace pace = {
        .start_ns = meter_now_ns(),
        .rate = rate,
        .received = *p->received,
    };
    const uint64_t warm_ns = pace.start_ns + WARM_NS;
    const uint64_t end_ns = warm_ns + p->load->seconds * (uint64_t)SECOND_NS;
    uint64_t before = 0;
    bool measuring = false;

    for (uint64_t now = pace.start_ns; now < end_ns; now = meter_now_ns()) {
        if (!measuring && now >= warm_ns) {
            measuring = true;
            before = *p->received;
            meter_start(&p->load->meter);
        }
        turn(p, &pace, now);
    }
    p->reading = meter_read(&p->load->meter);
    p->measured = *p->received - before;
    for (const uint64_t until = end_ns + DRAIN_NS; meter_now_ns() < until;) {
        (void)wait_and_serve(p, QUIET_NS);
    }
    const uint64_t arrived = *p->received - pace.received;
    p->lost = p->sent > arrived ? p->sent - arrived : 0;
}
