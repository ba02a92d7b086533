/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "log/line.h"
#include "log/syslog.h"

#define RETRY_MS 1000U /* between two attempts to reach the syslog daemon */

/* A pipe that poll() calls writable takes this much (PIPE_BUF) without waiting. */
#define CHUNK_BYTES 4096U

static _Atomic uint64_t lost_total;

static int file_open(const char *path)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int fd = open(path, flags, 0640);

    return fd < 0 ? -errno : fd;
}

int sink_new(enum sink_kind kind, const char *path, int facility, struct sink **out)
{
    struct sink *sink = mem_new(1, sizeof(*sink));
    int error = -ENOMEM;

    if (sink == NULL) {
        return -ENOMEM;
    }
    sink->kind = kind;
    sink->facility = facility;
    sink->fd = -1;
    if (path != NULL) {
        sink->path = mem_text(path);
        if (sink->path == NULL) {
            goto free_sink;
        }
    }
    if (kind == SINK_FILE) {
        assert(path != NULL);
        sink->fd = file_open(path);
        error = sink->fd;
        if (error < 0) {
            goto free_sink;
        }
    } else if (kind != SINK_SYSLOG) {
        sink->fd = kind == SINK_STDOUT ? STDOUT_FILENO : STDERR_FILENO;
    }
    *out = sink;
    return 0;
free_sink:
    sink_free(sink);
    return error;
}

static void sink_close(struct sink *sink)
{
    if (sink->fd >= 0 && (sink->kind == SINK_FILE || sink->kind == SINK_SYSLOG)) {
        (void)close(sink->fd);
    }
    sink->fd = -1;
}

void sink_free(struct sink *sink)
{
    if (sink == NULL) {
        return;
    }
    sink_lose(sink, 0);
    sink_close(sink);
    free(sink->path);
    free(sink);
}

static void count_lost(struct sink *sink, uint64_t lines)
{
    sink->lost += lines;
    atomic_fetch_add_explicit(&lost_total, lines, memory_order_relaxed);
}

void sink_lose(struct sink *sink, int error)
{
    uint64_t lines = 0;

    for (size_t i = sink->start; i < sink->end; i++) {
        lines += sink->buf[i] == '\n';
    }
    sink->start = sink->end = 0;
    sink->error = error;
    count_lost(sink, lines);
}

bool sink_pending(const struct sink *sink)
{
    return sink->start < sink->end;
}

/* How much to write at once: for a stream that another program may share, whole lines where they
 * fit into what it takes without waiting. */
static size_t chunk_of(const struct sink *sink)
{
    const char *from = sink->buf + sink->start;
    size_t n = sink->end - sink->start;

    if (sink->kind != SINK_FILE && n > CHUNK_BYTES) {
        const char *last = memrchr(from, '\n', CHUNK_BYTES);
        n = last != NULL ? (size_t)(last - from) + 1 : CHUNK_BYTES;
    }
    return n;
}

static bool takes_now(const struct sink *sink)
{
    struct pollfd p = {.fd = sink->fd, .events = POLLOUT};

    return sink->kind == SINK_FILE || poll(&p, 1, 0) > 0;
}

static void flush_stream(struct sink *sink)
{
    while (sink_pending(sink) && takes_now(sink)) {
        const ssize_t n = write(sink->fd, sink->buf + sink->start, chunk_of(sink));
        if (n > 0) {
            sink->start += (size_t)n;
            sink->mid_line = sink->buf[sink->start - 1] != '\n';
            continue;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        const int error = n < 0 ? errno : EIO;
        sink_lose(sink, error);
        if (error == EPIPE || error == EBADF) {
            sink_close(sink); /* nobody will read this stream again */
        }
    }
}

/* False when it makes no sense to go on now. */
static bool send_line(struct sink *sink, uint64_t now_ms)
{
    const char *from = sink->buf + sink->start;
    const char *end = memchr(from, '\n', sink->end - sink->start);
    const size_t n = (size_t)(end - from); /* the buffer holds whole lines */

    if (send(sink->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        switch (errno) {
        case EINTR:
            return true;
        case EAGAIN:
        case ENOBUFS:
            return false;
        case EMSGSIZE:
            sink->error = EMSGSIZE;
            count_lost(sink, 1);
            break;
        default: /* the daemon went away: keep the lines for its successor */
            sink->error = errno;
            sink_close(sink);
            sink->retry_ms = now_ms + RETRY_MS;
            return false;
        }
    }
    sink->start += n + 1;
    return true;
}

static void flush_syslog(struct sink *sink, uint64_t now_ms)
{
    if (sink->fd < 0) {
        if (now_ms < sink->retry_ms) {
            return;
        }
        sink->fd = syslog_connect(sink->path);
        if (sink->fd < 0) {
            sink->error = -sink->fd;
            sink->fd = -1;
            sink->retry_ms = now_ms + RETRY_MS;
            return;
        }
    }
    while (sink_pending(sink) && send_line(sink, now_ms)) {
    }
}

void sink_flush(struct sink *sink, uint64_t now_ms)
{
    if (!sink_pending(sink)) {
        return;
    }
    if (sink->kind == SINK_SYSLOG) {
        flush_syslog(sink, now_ms);
    } else {
        flush_stream(sink);
    }
    if (!sink_pending(sink)) {
        sink->start = sink->end = 0;
    }
}

static void append(struct sink *sink, const char *p, size_t n)
{
    memcpy(sink->buf + sink->end, p, n);
    sink->end += n;
}

/* Make room for `n` bytes at the end of the buffer, if that goes without waiting. */
static bool make_room(struct sink *sink, size_t n, uint64_t now_ms)
{
    if (sink->fd < 0 && sink->kind != SINK_SYSLOG) {
        return false;
    }
    if (sink->end + n > sizeof(sink->buf)) {
        sink_flush(sink, now_ms);
    }
    if (sink->start > 0 && sink->end + n > sizeof(sink->buf)) {
        memmove(sink->buf, sink->buf + sink->start, sink->end - sink->start);
        sink->end -= sink->start;
        sink->start = 0;
    }
    return sink->end + n <= sizeof(sink->buf);
}

void sink_put(struct sink *sink, const struct line *line, uint64_t now_ms)
{
    char head[SYSLOG_HEAD];
    size_t head_n = 0;
    size_t skip = 0;

    if (!make_room(sink, sizeof(head) + line->n, now_ms)) {
        count_lost(sink, 1);
        return;
    }
    if (sink->kind == SINK_SYSLOG) {
        head_n = syslog_head(head, sink->facility, line);
        skip = line->body;
    } else if (sink->mid_line && !sink_pending(sink)) {
        head[0] = '\n'; /* the end of that line was lost: begin a new one */
        head_n = 1;
    }
    append(sink, head, head_n);
    append(sink, line->text + skip, line->n - skip);
}

int sink_reopen(struct sink *sink)
{
    if (sink->kind != SINK_FILE) {
        return 0;
    }
    const int fd = file_open(sink->path);
    if (fd < 0) {
        return fd;
    }
    sink_close(sink);
    sink->fd = fd;
    sink->mid_line = false;
    return 0;
}

const char *sink_text(const struct sink *sink)
{
    static const char *const names[] = {
        [SINK_STDOUT] = "stdout",
        [SINK_STDERR] = "stderr",
        [SINK_FILE] = "file",
        [SINK_SYSLOG] = "syslog",
    };
    return names[sink->kind];
}

uint64_t sink_lost_total(void)
{
    return atomic_load_explicit(&lost_total, memory_order_relaxed);
}
