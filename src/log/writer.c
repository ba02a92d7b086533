/* SPDX-License-Identifier: Apache-2.0 */
#include "log/writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log/record.h"
#include "log/ring.h"
#include "log/rings.h"
#include "log/sink.h"
#include "log/sinks.h"

#define TURN_RECORDS 64U   /* between two looks at the sinks and at what is asked */
#define RETRY_MS     1000U /* between two tries of a sink that can't be waited for */
#define TELL_MS      1000U /* between two reports of dropped records */

static struct {
    pthread_mutex_t lock; /* guards what follows, up to the atomics */
    pthread_cond_t changed;
    pthread_t thread;
    struct sinks *current; /* used by the thread alone while it is alive */
    uint64_t dropped_told; /* the same; goes on from one start to the next */
    struct sinks *next;    /* to become current; NULL: nothing new */
    unsigned flush_asked;
    unsigned flush_done;
    uint64_t stop_at_ms; /* when the thread has to be gone; 0: not asked to stop */
    bool alive;

    _Atomic int wake_fd; /* made once, never closed: a late producer may still write to it */
    _Atomic bool runs;
    _Atomic bool sleeping;
    _Atomic bool asked; /* something above, or `reopen`, has changed */
    _Atomic bool reopen;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake_fd = -1};

static pthread_once_t writer_once = PTHREAD_ONCE_INIT;

/* What the thread knows by itself. */
struct turn {
    uint64_t stop_at_ms;
    unsigned flush_asked;
    uint64_t tell_at_ms;
};

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_cond(void)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&writer.changed, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static void lock(void)
{
    (void)pthread_mutex_lock(&writer.lock);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&writer.lock);
}

static void ring_bell(void)
{
    const int error = errno;
    const uint64_t one = 1;

    (void)!write(atomic_load(&writer.wake_fd), &one, sizeof(one));
    errno = error;
}

static void ask(void)
{
    atomic_store(&writer.asked, true);
    ring_bell();
}

/* Wait for a change, with the lock held; false at `deadline_ms`. */
static bool wait_changed(uint64_t deadline_ms)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ms / 1000),
                                      .tv_nsec = (long)(deadline_ms % 1000) * 1000000};

    return pthread_cond_timedwait(&writer.changed, &writer.lock, &deadline) != ETIMEDOUT;
}

/* Take over what others have asked for. */
static void take_asked(struct turn *turn, uint64_t now_ms)
{
    struct sinks *old = NULL;

    lock();
    if (writer.next != NULL) {
        old = writer.current;
        writer.current = writer.next;
        writer.next = NULL;
    }
    turn->stop_at_ms = writer.stop_at_ms;
    turn->flush_asked = writer.flush_asked;
    unlock();
    if (old != NULL) {
        sinks_flush(old, now_ms);
        sinks_free(old);
    }
    if (atomic_exchange(&writer.reopen, false)) {
        sinks_flush(writer.current, now_ms);
        sinks_reopen(writer.current, now_ms);
    }
}

/* Format up to a turn's worth of records.  True when no more are left. */
static bool drain(uint64_t now_ms)
{
    for (unsigned i = 0; i < TURN_RECORDS; i++) {
        struct record record;
        struct ring *ring = rings_oldest();
        if (ring == NULL) {
            return true;
        }
        record_unpack(ring_front(ring), &record);
        sinks_put(writer.current, &record, now_ms);
        ring_pop(ring);
    }
    return false;
}

/* Tell once how many records found their ring full.  False when that is due later. */
static bool tell_dropped(struct turn *turn, uint64_t now_ms)
{
    const uint64_t dropped = rings_dropped();

    if (dropped == writer.dropped_told) {
        return true;
    }
    if (now_ms < turn->tell_at_ms && turn->stop_at_ms == 0) {
        return false;
    }
    sinks_event(writer.current, LOG_WARNING, "log.dropped",
                (const struct log_field[]){
                    LOG_U64("count", dropped - writer.dropped_told),
                    LOG_END,
                },
                now_ms);
    writer.dropped_told = dropped;
    turn->tell_at_ms = now_ms + TELL_MS;
    return true;
}

static void tell_flushed(const struct turn *turn)
{
    lock();
    writer.flush_done = turn->flush_asked;
    (void)pthread_cond_broadcast(&writer.changed);
    unlock();
}

static void sleep_until_needed(const struct turn *turn, uint64_t now_ms, bool told)
{
    struct pollfd fds[1 + SINKS_MAX];
    nfds_t count;
    uint64_t left;
    int timeout = -1;

    fds[0] = (struct pollfd){.fd = atomic_load(&writer.wake_fd), .events = POLLIN};
    if (sinks_wait_for(writer.current, fds + 1, &count) || !told) {
        timeout = RETRY_MS;
    }
    if (turn->stop_at_ms != 0) {
        timeout = turn->stop_at_ms > now_ms ? (int)(turn->stop_at_ms - now_ms) : 0;
    }
    atomic_store(&writer.sleeping, true);
    if (!rings_used() && !atomic_load(&writer.asked)) {
        (void)poll(fds, count + 1, timeout);
    }
    atomic_store(&writer.sleeping, false);
    (void)!read(fds[0].fd, &left, sizeof(left));
}

/* One turn; false at the end. */
static bool take_turn(struct turn *turn)
{
    const uint64_t now_ms = clock_ms();

    if (atomic_exchange(&writer.asked, false)) {
        take_asked(turn, now_ms);
    }
    const bool out_of_time = turn->stop_at_ms != 0 && now_ms >= turn->stop_at_ms;
    const bool empty = drain(now_ms);
    const bool told = !empty || tell_dropped(turn, now_ms);
    sinks_flush(writer.current, now_ms);
    if (out_of_time) {
        return false;
    }
    if (!empty) {
        return true;
    }
    if (!sinks_pending(writer.current)) {
        tell_flushed(turn);
        if (turn->stop_at_ms != 0) {
            return false;
        }
    }
    sleep_until_needed(turn, now_ms, told);
    return true;
}

static void *writer_run(void *arg)
{
    struct turn turn = {0};

    (void)arg;
    (void)pthread_setname_np(pthread_self(), "log");
    while (take_turn(&turn)) {
    }
    lock();
    writer.alive = false;
    (void)pthread_cond_broadcast(&writer.changed);
    unlock();
    return NULL;
}

void writer_use(struct sinks *sinks)
{
    struct sinks *old = NULL;

    lock();
    struct sinks *unused = writer.next; /* set, but the thread never looked */
    writer.next = writer.alive ? sinks : NULL;
    if (!writer.alive) {
        old = writer.current;
        writer.current = sinks;
    }
    unlock();
    ask();
    sinks_free(unused);
    sinks_free(old);
}

bool writer_has_sinks(void)
{
    lock();
    const bool has = writer.current != NULL;
    unlock();
    return has;
}

/* With all signals blocked: they are for the control thread. */
static int thread_start(void)
{
    sigset_t all, old;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    const int error = pthread_create(&writer.thread, NULL, writer_run, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -error;
}

int writer_start(void)
{
    (void)pthread_once(&writer_once, make_cond);
    if (atomic_load(&writer.wake_fd) < 0) {
        const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            return -errno;
        }
        atomic_store(&writer.wake_fd, fd);
    }
    lock();
    int error = -EALREADY;
    if (!writer.alive) {
        writer.stop_at_ms = 0;
        atomic_store(&writer.asked, true);
        error = thread_start();
        writer.alive = error == 0;
    }
    unlock();
    if (error == 0) {
        atomic_store(&writer.runs, true);
    }
    return error;
}

void writer_stop(unsigned timeout_ms)
{
    if (!atomic_exchange(&writer.runs, false)) {
        return;
    }
    const uint64_t stop_at_ms = clock_ms() + timeout_ms;
    lock();
    writer.stop_at_ms = stop_at_ms - timeout_ms / 10; /* a little earlier, to be seen to end */
    ask();
    while (writer.alive && wait_changed(stop_at_ms)) {
    }
    const bool ended = !writer.alive;
    unlock();
    if (ended) {
        (void)pthread_join(writer.thread, NULL);
    } else {
        (void)pthread_detach(writer.thread);
    }
}

bool writer_runs(void)
{
    return atomic_load_explicit(&writer.runs, memory_order_acquire);
}

void writer_wake(void)
{
    if (atomic_load(&writer.sleeping) && atomic_exchange(&writer.sleeping, false)) {
        ring_bell();
    }
}

void writer_reopen(void)
{
    atomic_store(&writer.reopen, true);
    ask();
}

int writer_flush(unsigned timeout_ms)
{
    const uint64_t deadline_ms = clock_ms() + timeout_ms;
    bool in_time = true;

    if (!writer_runs()) {
        return 0;
    }
    lock();
    const unsigned mine = ++writer.flush_asked;
    ask();
    while (writer.alive && (int)(writer.flush_done - mine) < 0 && in_time) {
        in_time = wait_changed(deadline_ms);
    }
    unlock();
    return in_time ? 0 : -ETIMEDOUT;
}
