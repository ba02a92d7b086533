/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the server: configuration, sockets, privileges, threads, signals, end. */
#include "cmd/serve.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/exit_code.h"
#include "cmd/serve_process.h"
#include "cmd/serve_signals.h"
#include "cmd/version.h"
#include "conf/conf.h"
#include "conf/conf_listener.h"
#include "conf/conf_table.h"
#include "io/file_keeper.h"
#include "log/log.h"
#include "relay/control.h"
#include "relay/tls_conf.h"

enum {
    WHY = 512,
    TICK_MS = 2 * 1000, /* what follows the database and old reservations */
    DRAIN_TICK_MS = 500,
};

struct serve {
    int argc;
    char **argv;
    struct conf *conf;
    struct relay_server *server;
    struct file_keeper *keeper; /* NULL: nothing has to be kept */
    bool owns_pidfile;
    int signal_fd;
    int parent_fd; /* who waits for us to be ready, or -1 */
    bool draining;
};

/* --- configuration -------------------------------------------------------------------------------
 */

static int usage(const char *called)
{
    const char *name = strstr(called, "turnserver") != NULL ? "turnserver" : "sterna serve";

    printf("Usage: %s [-c FILE] [OPTION]...\n\n", name);
    fputs("Run the server. Options are those of the configuration file; the command line goes\n"
          "before the environment (STERNA_LISTENING_PORT=3478), and that before the file.\n"
          "\n"
          "Signals: TERM, INT stop; HUP reloads the configuration and opens the log file anew;\n"
          "USR1 drains: no new allocations, and the end when the last one is gone; USR2 reads the\n"
          "certificates anew.\n"
          "\n",
          stdout);
    conf_write_help(stdout);
    return CMD_OK;
}

/* Load and judge.  0 with `*out`; -EINVAL, with findings in `*out` all the same; -ENOMEM. */
static int load(int argc, char **argv, struct conf **out)
{
    int err = conf_new(out);
    if (err < 0) {
        return err;
    }
    const int loaded = conf_load(*out, argc, argv);
    if (loaded == -ENOMEM) {
        return loaded;
    }
    const int checked = conf_check(*out);
    return checked < 0 ? checked : loaded;
}

static struct log_options log_options_of(const struct conf *conf)
{
    static const enum log_level levels[] = {
        [CONF_LEVEL_ERROR] = LOG_ERROR,   [CONF_LEVEL_WARNING] = LOG_WARNING,
        [CONF_LEVEL_NOTICE] = LOG_NOTICE, [CONF_LEVEL_INFO] = LOG_INFO,
        [CONF_LEVEL_DEBUG] = LOG_DEBUG,
    };
    struct log_options options = log_defaults();

    options.level = levels[conf->log_min_level];
    options.format = conf->log_format == CONF_FORMAT_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    options.file = conf->log_file;
    options.to_stdout = !conf->no_stdout_log && !conf->daemon;
    options.to_stderr = false;
    options.to_syslog = conf->syslog;
    options.facility = conf->syslog_facility;
    options.timestamps = !conf->simple_log;
    options.privacy = conf->log_privacy;
    return options;
}

static int configure_log(const struct conf *conf, char *why, size_t cap)
{
    const struct log_options options = log_options_of(conf);
    const int err = log_configure(&options);

    if (err < 0) {
        (void)snprintf(why, cap, "cannot log to %s: %s",
                       conf->log_file != NULL ? conf->log_file : "what the log options say",
                       strerror(-err));
    }
    return err;
}

/* --- reload --------------------------------------------------------------------------------------
 */

static void log_findings(const struct conf *conf)
{
    for (size_t i = 0; i < conf->finding_count; i++) {
        const struct conf_finding *f = &conf->findings[i];
        if (f->severity >= CONF_WARNING) {
            log_event(f->severity == CONF_ERROR ? LOG_ERROR : LOG_WARNING, "configuration.finding",
                      LOG_TEXT("file", f->file), LOG_U64("line", f->line),
                      LOG_U64("column", f->column), LOG_TEXT("text", f->text), LOG_END);
        }
    }
}

static void tell_restart(void *arg, const struct conf_option *option)
{
    size_t *live = arg;

    if (option->reload == CONF_LIVE) {
        (*live)++;
    } else if (option->status == CONF_ACTIVE) {
        log_event(LOG_WARNING, "reload.needs_restart", LOG_TEXT("option", option->name), LOG_END);
    }
}

/* Take `conf` into force; all or nothing. */
static int apply(struct serve *serve, struct conf *conf, char *why, size_t cap)
{
    const int err = relay_server_reload(serve->server, conf, why, cap);
    char problem[WHY];

    /* A log that cannot be opened is no reason to refuse the rest: the old one goes on. */
    if (err == 0 && configure_log(conf, problem, sizeof(problem)) < 0) {
        log_event(LOG_WARNING, "reload.log_unchanged", LOG_TEXT("why", problem), LOG_END);
    }
    return err;
}

static void reload(struct serve *serve)
{
    char why[WHY] = "";
    size_t live = 0;
    struct conf *conf = NULL;

    log_reopen();
    int err = load(serve->argc, serve->argv, &conf);
    if (err == 0) {
        err = apply(serve, conf, why, sizeof(why));
    }
    if (conf != NULL) {
        log_findings(conf);
    }
    if (err < 0) {
        log_event(LOG_ERROR, "reload.refused", LOG_TEXT("why", why[0] != '\0' ? why : NULL),
                  LOG_ERRNO("error", err),
                  LOG_TEXT("effect", "the configuration in use stays as it was"), LOG_END);
        conf_unref(conf);
        return;
    }
    (void)conf_diff(serve->conf, conf, tell_restart, &live);
    if (!conf_sections_equal(serve->conf, conf, "listener")) {
        log_event(LOG_WARNING, "reload.needs_restart", LOG_TEXT("option", "[listener]"), LOG_END);
    }
    log_event(LOG_NOTICE, "reload.done", LOG_U64("options_changed", live), LOG_END);
    conf_unref(serve->conf);
    serve->conf = conf;
}

/* --- the control loop ----------------------------------------------------------------------------
 */

static void drain(struct serve *serve)
{
    char why[WHY];

    if (serve->draining) {
        return;
    }
    if (relay_server_drain(serve->server, why, sizeof(why)) < 0) {
        log_event(LOG_ERROR, "drain.refused", LOG_TEXT("why", why), LOG_END);
        return;
    }
    serve->draining = true;
    serve_process_notify("STATUS=draining");
    log_event(LOG_NOTICE, "server.draining", LOG_END);
}

static void renew_certificates(struct serve *serve)
{
    char why[WHY];

    if (!conf_serves_secure(serve->conf)) {
        log_event(LOG_NOTICE, "certificates.none",
                  LOG_TEXT("why", "nobody is served with TLS or DTLS"), LOG_END);
        return;
    }
    if (relay_server_renew_certificates(serve->server, why, sizeof(why)) < 0) {
        log_event(LOG_ERROR, "certificates.refused", LOG_TEXT("why", why),
                  LOG_TEXT("effect", "those in use stay as they were"), LOG_END);
    }
}

/* True while the server is to go on. */
static bool handle(struct serve *serve, enum serve_signal signal)
{
    switch (signal) {
    case SERVE_STOP:
        return false;
    case SERVE_RELOAD:
        reload(serve);
        break;
    case SERVE_DRAIN:
        drain(serve);
        break;
    case SERVE_CERTS:
        renew_certificates(serve);
        break;
    case SERVE_NONE:
    default:
        break;
    }
    return true;
}

/* The last allocation of a draining server is gone. */
static bool drained(const struct serve *serve)
{
    struct relay_stats stats;

    if (!serve->draining) {
        return false;
    }
    relay_server_stats(serve->server, &stats);
    return stats.allocations == 0;
}

static void control(struct serve *serve)
{
    struct pollfd fds[] = {
        {.fd = serve->signal_fd, .events = POLLIN},
        {.fd = relay_server_fd(serve->server), .events = POLLIN},
    };
    bool go_on = true;

    while (go_on) {
        enum serve_signal signal;
        (void)poll(fds, ARRAY_SIZE(fds), serve->draining ? DRAIN_TICK_MS : TICK_MS);
        while (go_on && (signal = serve_signals_next(serve->signal_fd)) != SERVE_NONE) {
            go_on = handle(serve, signal);
        }
        relay_server_tick(serve->server);
        go_on = go_on && !drained(serve);
    }
}

/* --- start and end -------------------------------------------------------------------------------
 */

static void log_line(void *arg, const char *line)
{
    (void)arg;
    log_event(LOG_NOTICE, "server.address", LOG_TEXT("what", line), LOG_END);
}

/* Say why on stderr; the log may not go where anybody looks. */
static int complain(const struct serve *serve, const char *why)
{
    fprintf(stderr, "sterna serve: %s\n", why);
    serve_process_detach(serve->parent_fd, CMD_FAILED);
    return CMD_FAILED;
}

static void write_pidfile(struct serve *serve)
{
    const char *path = serve->conf->pidfile;
    const int err = path != NULL ? serve_process_pidfile(path) : 0;

    serve->owns_pidfile = path != NULL && err == 0;
    if (err < 0) {
        log_event(LOG_WARNING, "pidfile.not_written", LOG_TEXT("path", path),
                  LOG_ERRNO("error", err), LOG_END);
    }
}

/* Certificates are renewed when the right to read their keys is long gone: somebody keeps it. */
static int keep_files(struct serve *serve, char *why, size_t cap)
{
    const struct conf *conf = serve->conf;

    if (conf->proc_user == NULL || !conf_serves_secure(conf)) {
        return 0;
    }
    const size_t count = tls_conf_paths(conf, NULL, 0);
    const char **paths = mem_new(count, sizeof(*paths));
    if (paths == NULL) {
        return -ENOMEM;
    }
    (void)tls_conf_paths(conf, paths, count);
    const int err = file_keeper_start(paths, count, &serve->keeper);
    free(paths);
    if (err < 0) {
        (void)snprintf(why, cap, "cannot start the process that reads renewed certificates: %s",
                       strerror(-err));
    }
    return err;
}

/* Sockets are open and programs are loaded, or will not be. */
static int give_up_privileges(const struct conf *conf, char *why, size_t cap)
{
    const bool loads = conf->offload != CONF_OFFLOAD_OFF || conf->flood_shield;
    const int err = serve_process_drop(conf->proc_user, conf->proc_group, conf->log_file, why, cap);

    return err == 0 && loads ? serve_process_confine(why, cap) : err;
}

/* From sockets to threads.  0; negative errno with `why`. */
static int start(struct serve *serve, char *why, size_t cap)
{
    const struct conf *conf = serve->conf;
    uid_t uid = 0;
    int err = keep_files(serve, why, cap);

    err = err == 0 ? relay_server_open(serve->conf, serve->keeper, &serve->server, why, cap) : err;
    if (err < 0) {
        return err;
    }
    if (conf->proc_user != NULL && serve_process_user(conf->proc_user, &uid) == 0) {
        relay_server_give(serve->server, uid);
    }
    write_pidfile(serve); /* while its folder can be written to */
    err = give_up_privileges(conf, why, cap);
    if (err < 0) {
        return err;
    }
    err = log_start();
    if (err < 0) {
        (void)snprintf(why, cap, "cannot start the log: %s", strerror(-err));
        return err;
    }
    return relay_server_run(serve->server, why, cap);
}

static int run(struct serve *serve)
{
    char why[WHY] = "";

    if (serve->conf->daemon && serve_process_background(&serve->parent_fd) < 0) {
        return complain(serve, "cannot go into the background");
    }
    serve_process_raise_limits();
    if (configure_log(serve->conf, why, sizeof(why)) < 0) {
        return complain(serve, why);
    }
    int code = CMD_OK;
    if (start(serve, why, sizeof(why)) < 0) {
        code = complain(serve, why);
    } else {
        relay_server_describe(serve->server, log_line, NULL);
        log_event(LOG_NOTICE, "server.ready", LOG_U64("pid", (uint64_t)getpid()), LOG_END);
        serve_process_notify("READY=1");
        serve_process_detach(serve->parent_fd, CMD_OK);
        control(serve);
        serve_process_notify("STOPPING=1");
    }
    if (code == CMD_OK) {
        relay_server_log_numbers(serve->server);
    }
    relay_server_stop(serve->server);
    file_keeper_stop(serve->keeper);
    if (code == CMD_OK) {
        log_event(LOG_NOTICE, "server.stopped", LOG_END);
    }
    log_stop();
    if (serve->owns_pidfile) {              /* never another server's */
        (void)unlink(serve->conf->pidfile); /* refused after a change of user: it stays, stale */
    }
    return code;
}

static int load_and_run(struct serve *serve)
{
    const int err = load(serve->argc, serve->argv, &serve->conf);
    if (err == -ENOMEM) {
        fputs("sterna serve: out of memory\n", stderr);
        return CMD_FAILED;
    }
    conf_findings_write(serve->conf, stderr, CONF_WARNING);
    if (err < 0) {
        fputs("sterna serve: the configuration has errors; nothing was started. `sterna "
              "check-config` explains them.\n",
              stderr);
        return CMD_USAGE;
    }
    return run(serve);
}

int cmd_serve(int argc, char **argv)
{
    struct serve serve = {.argc = argc, .argv = argv, .signal_fd = -1, .parent_fd = -1};
    struct conf_request request;

    conf_args_scan(argc, argv, &request);
    if (request.help) {
        return usage(argv[0]);
    }
    if (request.version) {
        return cmd_version(1, argv);
    }
    /* First of all: a signal that comes while the configuration is read must not kill. */
    serve.signal_fd = serve_signals_open();
    if (serve.signal_fd < 0) {
        return complain(&serve, "cannot handle signals");
    }
    const int code = load_and_run(&serve);
    conf_unref(serve.conf);
    (void)close(serve.signal_fd);
    return code;
}
