/* SPDX-License-Identifier: Apache-2.0 */
#include "log/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <unistd.h>

#include "log/line.h"
#include "log/record.h"
#include "log/ring.h"
#include "log/rings.h"
#include "log/sink.h"
#include "log/sinks.h"
#include "log/writer.h"

#define STOP_MS 500U

_Atomic int log_level_now = LOG_NOTICE;

/* For events outside of start and stop. */
static struct {
    pthread_mutex_t lock; /* guards the rest, and keeps lines apart */
    struct line_style style;
    struct line line;
} direct = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .style = {.format = LOG_FORMAT_TEXT, .timestamps = true},
};

struct log_options log_defaults(void)
{
    return (struct log_options){
        .level = LOG_NOTICE, .format = LOG_FORMAT_TEXT, .to_stderr = true, .timestamps = true};
}

int log_configure(const struct log_options *options)
{
    struct sinks *sinks;
    const int error = sinks_new(options, &sinks);

    if (error < 0) {
        return error;
    }
    (void)pthread_mutex_lock(&direct.lock);
    direct.style = sinks->style;
    (void)pthread_mutex_unlock(&direct.lock);
    atomic_store_explicit(&log_level_now, (int)options->level, memory_order_relaxed);
    writer_use(sinks);
    return 0;
}

int log_start(void)
{
    if (!writer_has_sinks()) {
        const struct log_options defaults = log_defaults();
        const int error = log_configure(&defaults);
        if (error < 0) {
            return error;
        }
    }
    return writer_start();
}

void log_stop(void)
{
    writer_stop(STOP_MS);
}

void log_reopen(void)
{
    writer_reopen();
}

int log_flush(unsigned timeout_ms)
{
    return writer_flush(timeout_ms);
}

uint64_t log_dropped(void)
{
    return rings_dropped() + sink_lost_total();
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        const ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return; /* there is no one left to tell */
        }
        p += done;
        n -= (size_t)done;
    }
}

static void write_direct(enum log_level level, const char *event, const struct log_field *fields)
{
    alignas(8) uint8_t packed[RECORD_MAX];
    struct record record;

    (void)record_pack(packed, record_now_ms(), level, event, fields);
    record_unpack(packed, &record);
    (void)pthread_mutex_lock(&direct.lock);
    line_format(&direct.line, &record, &direct.style);
    write_all(STDERR_FILENO, direct.line.text, direct.line.n);
    (void)pthread_mutex_unlock(&direct.lock);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!writer_runs()) {
        write_direct(level, event, fields);
        return;
    }
    struct ring *ring = rings_mine();
    if (ring == NULL) {
        rings_drop();
        return;
    }
    uint8_t *room = ring_room(ring);
    if (room == NULL) {
        ring_drop(ring);
        return;
    }
    ring_commit(ring, record_pack(room, record_now_ms(), level, event, fields));
    writer_wake();
}
