/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"
#include "cmd/bench_cpu.h"
#include "cmd/bench_json.h"
#include "cmd/bench_options.h"
#include "cmd/bench_report.h"
#include "cmd/bench_run.h"
#include "cmd/bench_text.h"
#include "cmd/build_info.h"
#include "cmd/exit_code.h"
#include "relay/cpus.h"

enum {
    SPARE_S = 3600,     /* a made name outlives the run by this */
    LOOPBACK_BITS = 16, /* 127.64.0.0/16: see choose_source() */
    LOOPBACK_FIRST = 127,
    LOOPBACK_SECOND = 64,
};

/* --- what the reader should know of this run -------------------------------------------------- */

/* The model of the first processor, as Linux tells it. */
static void processor_model(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];

    snprintf(out, cap, "unknown processor");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", strlen("model name")) == 0 && colon != NULL) {
            /* cppcheck-suppress unreadVariable; `colon` points into it */
            line[strcspn(line, "\n")] = '\0';
            snprintf(out, cap, "%s", colon + 1 + strspn(colon + 1, " "));
            break;
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
}

static void describe(struct bench_result *r)
{
    struct utsname system;
    struct tm utc;
    char model[160];
    const time_t now = time(NULL);

    if (gmtime_r(&now, &utc) != NULL) {
        (void)strftime(r->date, sizeof(r->date), "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    snprintf(r->version, sizeof(r->version), "%s", build_info_version);
    if (uname(&system) == 0) {
        snprintf(r->system, sizeof(r->system), "%.60s %.80s %.60s", system.sysname, system.release,
                 system.machine);
    }
    processor_model(model, sizeof(model));
    snprintf(r->processor, sizeof(r->processor), "%s, %u usable CPUs", model, cpus_usable());
}

static void describe_setup(const struct bench_plan *plan, struct bench_setup *setup)
{
    char text[NET_ADDR_TEXT];

    snprintf(setup->server, sizeof(setup->server), "%s", net_addr_text(&plan->server, text));
    snprintf(setup->user, sizeof(setup->user), "%.*s", BENCH_TEXT - 1, plan->login.user);
    if (plan->has_source) {
        const uint32_t width = net_ip_is_v4(&plan->source) ? 32 : 128;
        net_ip_text(&plan->source, text);
        if (plan->source_bits < width) {
            snprintf(setup->source, sizeof(setup->source), "%s/%u", text, plan->source_bits);
        } else {
            snprintf(setup->source, sizeof(setup->source), "%s", text);
        }
    }
}

/* --- before the run --------------------------------------------------------------------------- */

/* All of 127.0.0.0/8 is this host's, so against a server there, each client gets an address of its
 * own: over UDP, few sockets serve all of them, which costs less; and what a server allows to one
 * address (connections, challenges) is not what is measured. */
static void choose_source(struct bench_plan *plan)
{
    const uint8_t first[4] = {LOOPBACK_FIRST, LOOPBACK_SECOND, 0, 0};

    if (!plan->has_source && plan->server.family == NET_V4 &&
        net_ip_v4_bytes(&plan->server.ip)[0] == LOOPBACK_FIRST) {
        plan->has_source = true;
        plan->source = net_ip_v4(first);
        plan->source_bits = LOOPBACK_BITS;
    }
}

static int check_families(const struct bench_plan *plan)
{
    const bool v4 = plan->server.family == NET_V4;

    if (plan->has_source && net_ip_is_v4(&plan->source) != v4) {
        fputs("sterna bench: --source and the server are of different address families\n", stderr);
        return CMD_USAGE;
    }
    return CMD_OK;
}

static int check_pids(const struct bench_plan *plan)
{
    uint64_t ns;

    for (uint32_t i = 0; i < plan->pid_count; i++) {
        if (!bench_cpu_of(&plan->pids[i], 1, &ns)) {
            fprintf(stderr, "sterna bench: there is no process %d (--pid)\n", plan->pids[i]);
            return CMD_FAILED;
        }
    }
    return CMD_OK;
}

static int prepare(struct bench_plan *plan)
{
    char why[320];
    int code = probe_login_complete(&plan->login, plan->setup.duration_s + SPARE_S);

    if (code == CMD_OK) {
        code = check_pids(plan);
    }
    if (code != CMD_OK) {
        return code;
    }
    if (probe_target_resolve(&plan->target, plan->family, &plan->server, why, sizeof(why)) < 0) {
        fprintf(stderr,
                "sterna bench: cannot find the address of %s: correct the name, or look at this "
                "host's resolver\n",
                why);
        return CMD_FAILED;
    }
    choose_source(plan);
    return check_families(plan);
}

/* --- after the run ---------------------------------------------------------------------------- */

static int write_json(const char *path, const struct bench_result *r)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *out = standard ? stdout : fopen(path, "we");
    int err = out == NULL ? -errno : bench_json_write(r, out);

    if (out != NULL && !standard && fclose(out) != 0 && err == 0) {
        err = -errno;
    }
    if (err < 0) {
        fprintf(stderr, "sterna bench: cannot write %s: %s\n", path, strerror(-err));
    }
    return err;
}

static int write_report(const char *path, const struct bench_result *r)
{
    char why[320];
    const int err = bench_report_write(r, path, why, sizeof(why));

    if (err < 0) {
        fprintf(stderr, "sterna bench: %s\n", why);
    }
    return err;
}

static int tell(const struct bench_plan *plan, const struct bench_result *r)
{
    const bool own_stdout = plan->json != NULL && strcmp(plan->json, "-") == 0;
    int code = r->ok ? CMD_OK : CMD_FAILED;

    if (!plan->quiet) {
        bench_text_summary(r, own_stdout ? stderr : stdout);
    } else if (!r->ok) {
        fprintf(stderr, "sterna bench: %s\n", r->why);
    }
    if (plan->json != NULL && write_json(plan->json, r) < 0) {
        code = CMD_FAILED;
    }
    if (plan->report != NULL && write_report(plan->report, r) < 0) {
        code = CMD_FAILED;
    }
    return fflush(stdout) == 0 ? code : CMD_FAILED;
}

static int bench(struct bench_plan *plan)
{
    struct bench_result *r;
    const bool progress = !plan->quiet && isatty(STDERR_FILENO) == 1;
    int code = prepare(plan);

    if (code != CMD_OK) {
        return code;
    }
    r = mem_new(1, sizeof(*r));
    if (r == NULL) {
        fputs("sterna bench: out of memory\n", stderr);
        return CMD_FAILED;
    }
    describe_setup(plan, &plan->setup);
    r->setup = plan->setup;
    describe(r);
    bench_run(plan, r, progress ? bench_text_progress : NULL);
    if (progress) {
        bench_text_progress_end();
    }
    code = tell(plan, r);
    bench_result_fini(r);
    free(r);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_plan plan;
    int code = bench_options_parse(argc, argv, &plan);

    if (code == CMD_OK && plan.help) {
        fputs(bench_options_help, stdout);
    } else if (code == CMD_OK) {
        code = bench(&plan);
    }
    secret_wipe(&plan.login, sizeof(plan.login));
    return code;
}
