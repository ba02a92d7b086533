/* SPDX-License-Identifier: Apache-2.0 */
#include "log/sinks.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/mem.h"
#include "log/record.h"
#include "log/sink.h"

#define SYSLOG_SOCKET "/dev/log"

static int add(struct sinks *sinks, enum sink_kind kind, const char *path, int facility)
{
    const int error = sink_new(kind, path, facility, &sinks->sink[sinks->count]);

    sinks->count += error == 0;
    return error;
}

static int add_all(struct sinks *sinks, const struct log_options *options)
{
    int error = 0;

    if (options->to_syslog) {
        const char *path = options->syslog_socket != NULL ? options->syslog_socket : SYSLOG_SOCKET;
        const int facility = log_facility(options->facility != NULL ? options->facility : "daemon");
        error = facility < 0 ? facility : add(sinks, SINK_SYSLOG, path, facility);
    }
    if (error == 0 && options->file != NULL) {
        error = add(sinks, SINK_FILE, options->file, 0);
    }
    if (error == 0 && options->to_stdout) {
        error = add(sinks, SINK_STDOUT, NULL, 0);
    }
    if (error == 0 && options->to_stderr) {
        error = add(sinks, SINK_STDERR, NULL, 0);
    }
    return error;
}

int sinks_new(const struct log_options *options, struct sinks **out)
{
    struct sinks *sinks = mem_new(1, sizeof(*sinks));

    if (sinks == NULL) {
        return -ENOMEM;
    }
    line_prepare();
    sinks->style = (struct line_style){options->format, options->timestamps, options->privacy};
    const int error = add_all(sinks, options);
    if (error < 0) {
        sinks_free(sinks);
        return error;
    }
    *out = sinks;
    return 0;
}

void sinks_free(struct sinks *sinks)
{
    if (sinks == NULL) {
        return;
    }
    for (unsigned i = 0; i < sinks->count; i++) {
        sink_free(sinks->sink[i]);
    }
    free(sinks);
}

static void put_line(struct sinks *sinks, uint64_t now_ms)
{
    for (unsigned i = 0; i < sinks->count; i++) {
        sink_put(sinks->sink[i], &sinks->line, now_ms);
    }
}

void sinks_put(struct sinks *sinks, const struct record *record, uint64_t now_ms)
{
    line_format(&sinks->line, record, &sinks->style);
    put_line(sinks, now_ms);
}

static void format_event(struct sinks *sinks, enum log_level level, const char *event,
                         const struct log_field *fields)
{
    alignas(8) uint8_t packed[RECORD_MAX];
    struct record record;

    (void)record_pack(packed, record_now_ms(), level, event, fields);
    record_unpack(packed, &record);
    line_format(&sinks->line, &record, &sinks->style);
}

void sinks_event(struct sinks *sinks, enum log_level level, const char *event,
                 const struct log_field *fields, uint64_t now_ms)
{
    format_event(sinks, level, event, fields);
    put_line(sinks, now_ms);
}

/* Tell a sink in its own stream how many lines it lost. */
static void tell_lost(struct sinks *sinks, struct sink *sink, uint64_t now_ms)
{
    const uint64_t lost = sink->lost;

    if (lost == 0 || sink_pending(sink)) {
        return;
    }
    format_event(sinks, LOG_WARNING, "log.dropped",
                 (const struct log_field[]){
                     LOG_U64("count", lost),
                     LOG_TEXT("sink", sink_text(sink)),
                     LOG_ERRNO("why", sink->error != 0 ? sink->error : ENOBUFS),
                     LOG_END,
                 });
    sink->lost = 0;
    sink->error = 0;
    sink_put(sink, &sinks->line, now_ms);
}

void sinks_flush(struct sinks *sinks, uint64_t now_ms)
{
    for (unsigned i = 0; i < sinks->count; i++) {
        sink_flush(sinks->sink[i], now_ms);
        tell_lost(sinks, sinks->sink[i], now_ms);
    }
}

bool sinks_pending(const struct sinks *sinks)
{
    for (unsigned i = 0; i < sinks->count; i++) {
        if (sink_pending(sinks->sink[i])) {
            return true;
        }
    }
    return false;
}

void sinks_reopen(struct sinks *sinks, uint64_t now_ms)
{
    for (unsigned i = 0; i < sinks->count; i++) {
        const int error = sink_reopen(sinks->sink[i]);
        if (error < 0) {
            sinks_event(sinks, LOG_ERROR, "log.reopen_failed",
                        (const struct log_field[]){
                            LOG_TEXT("file", sinks->sink[i]->path),
                            LOG_ERRNO("why", error),
                            LOG_END,
                        },
                        now_ms);
        }
    }
}

bool sinks_wait_for(const struct sinks *sinks, struct pollfd fds[SINKS_MAX], nfds_t *out_count)
{
    bool retry = false;
    nfds_t n = 0;

    for (unsigned i = 0; i < sinks->count; i++) {
        const struct sink *sink = sinks->sink[i];
        if (!sink_pending(sink)) {
            continue;
        }
        if (sink->fd < 0) {
            retry = true;
        } else {
            fds[n++] = (struct pollfd){.fd = sink->fd, .events = POLLOUT};
        }
    }
    *out_count = n;
    return retry;
}
