/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one event a line, a name and typed fields, as text or JSON (docs/reference/log.md).
 *
 *     log_event(LOG_NOTICE, "request.refused", LOG_ADDR("client", &from),
 *               LOG_USER("user", name), LOG_U64("code", 401), LOG_END);
 *
 * Field values are data and never formats: whatever bytes they hold, one event stays one line.
 * Between log_start() and log_stop() a caller copies its record into a bounded ring of its own
 * thread and goes on; a writer thread formats it and writes it out.  A full ring, or a sink that
 * takes nothing, loses lines, which are counted and told by the event log.dropped.  Outside of
 * start and stop, events go to stderr at once.
 *
 * Owner   the process: there is one log.
 * Thread  log_event(), log_enabled(), log_reopen(), log_flush(), log_dropped(): any, but from
 *         a signal handler only log_reopen().  The others: the control thread.
 * Clock   reads CLOCK_REALTIME itself, for time stamps only. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

/* <syslog.h> takes LOG_INFO and LOG_USER for itself: nobody but log/ may speak to syslog. */
#ifdef LOG_PID
#error "log/log.h and <syslog.h> share names: include only one of them"
#endif

struct net_addr;
struct net_ip;

/* Numbered as syslog severities are. */
enum log_level {
    LOG_ERROR = 3,   /* something failed that somebody must repair */
    LOG_WARNING = 4, /* works, but not as it was asked to */
    LOG_NOTICE = 5,  /* start, stop, reload; each refusal with its source address */
    LOG_INFO = 6,    /* the life of sessions */
    LOG_DEBUG = 7,   /* everything else */
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_options {
    enum log_level level; /* this one and the graver ones are logged */
    enum log_format format;
    const char *file; /* appended to, created with mode 0640; NULL for none */
    bool to_stdout;
    bool to_stderr;
    bool to_syslog;
    const char *facility;      /* of syslog: "daemon", "local0", ...; NULL means "daemon" */
    const char *syslog_socket; /* NULL means /dev/log */
    bool timestamps;           /* false leaves the time out (`simple-log`) */
    bool privacy;              /* LOG_USER fields become a keyed hash (`log-privacy`) */
};

/* What holds before the first log_configure(): notice and graver, text with time, to stderr. */
struct log_options log_defaults(void);

/* Use `options` from now on; everything is copied, and others may be logging meanwhile.
 * Returns 0; the negative errno of opening `file`, -EINVAL for an unknown facility, -ENOMEM: then
 * nothing has changed. */
MUST_USE int log_configure(const struct log_options *options);

/* Start the writer thread, which blocks all signals.  Call after the last fork().
 * Returns 0; -EALREADY when it runs; the negative errno of making it. */
MUST_USE int log_start(void);

/* Write out what is logged so far, within 500 ms, and end the writer thread.  Harmless when it
 * does not run.  What others log at this very moment may be lost or go to stderr. */
void log_stop(void);

/* Open the log file anew, after its rotation.  Returns at once; async-signal-safe.  When it can't
 * be opened, the old one stays in use and the event log.reopen_failed says why. */
void log_reopen(void);

/* Wait until all that this thread has logged was handed to every sink that takes it, at most
 * `timeout_ms`.  Call it after a fatal error.  Returns 0 or -ETIMEDOUT. */
MUST_USE int log_flush(unsigned timeout_ms);

/* Lines lost since the start of the process. */
uint64_t log_dropped(void);

/* The facility number of a syslog facility name, 0 to 23; -EINVAL when there is none. */
MUST_USE int log_facility(const char *name);

extern _Atomic int log_level_now; /* for log_enabled() only */

/* True when an event of `level` would be logged.  Hot path: one relaxed load. */
static inline bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

enum log_kind {
    LOG_KIND_END,
    LOG_KIND_U64,
    LOG_KIND_I64,
    LOG_KIND_ID,
    LOG_KIND_BYTES,
    LOG_KIND_USER,
    LOG_KIND_ERRNO,
    LOG_KIND_ADDR,
    LOG_KIND_IP,
};

/* One field.  Made by the macros below, which keep value and kind together. */
struct log_field {
    const char *name; /* a string literal */
    enum log_kind kind;

    union {
        uint64_t u64;
        int64_t i64;
        struct bytes bytes;
        const struct net_addr *addr;
        const struct net_ip *ip;
    };
};

/* Names are lower_case string literals: they are kept by reference.  Values are copied; strings
 * beyond 768 bytes are cut, and more than 32 fields or 2 KiB of them are left out (the line then
 * says truncated=1).  A NULL text or address leaves its field out. */
#define LOG_U64(name_, v)   log_field_u64("" name_, v)   /* a count, a code, a duration */
#define LOG_I64(name_, v)   log_field_i64("" name_, v)   /* a signed number */
#define LOG_ID(name_, v)    log_field_id("" name_, v)    /* an identifier: 16 hex digits */
#define LOG_STR(name_, b)   log_field_bytes("" name_, b) /* struct bytes: data of any origin */
#define LOG_TEXT(name_, t)  log_field_text("" name_, t)  /* const char * */
#define LOG_USER(name_, b)  log_field_user("" name_, b)  /* struct bytes: a user name */
#define LOG_ERRNO(name_, e) log_field_errno("" name_, e) /* an errno, either sign, in words */
#define LOG_ADDR(name_, a)  log_field_addr("" name_, a)  /* const struct net_addr * */
#define LOG_IP(name_, a)    log_field_ip("" name_, a)    /* const struct net_ip * */
#define LOG_END             ((struct log_field){.kind = LOG_KIND_END})

/* Log `event`, a literal like "allocation.created", with the fields that follow up to LOG_END.
 * The fields are evaluated only when `level` is enabled. */
#define log_event(level, event, ...)                                                               \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            log_write(level, "" event, (const struct log_field[]){__VA_ARGS__});                   \
        }                                                                                          \
    } while (0)

/* What log_event() calls.  Never blocks while the writer runs. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

static inline struct log_field log_field_u64(const char *name, uint64_t v)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_U64, .u64 = v};
}

static inline struct log_field log_field_i64(const char *name, int64_t v)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_I64, .i64 = v};
}

static inline struct log_field log_field_id(const char *name, uint64_t v)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_ID, .u64 = v};
}

static inline struct log_field log_field_bytes(const char *name, struct bytes b)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_BYTES, .bytes = b};
}

static inline struct log_field log_field_user(const char *name, struct bytes b)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_USER, .bytes = b};
}

static inline struct log_field log_field_text(const char *name, const char *text)
{
    const struct bytes b = text != NULL ? bytes_of(text) : (struct bytes){NULL, SIZE_MAX};
    return (struct log_field){.name = name, .kind = LOG_KIND_BYTES, .bytes = b};
}

static inline struct log_field log_field_errno(const char *name, int error)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_ERRNO, .i64 = error};
}

static inline struct log_field log_field_addr(const char *name, const struct net_addr *addr)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_ADDR, .addr = addr};
}

static inline struct log_field log_field_ip(const char *name, const struct net_ip *ip)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_IP, .ip = ip};
}
