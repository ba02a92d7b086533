/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/check_config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cmd/check_gate.h"
#include "cmd/check_listen.h"
#include "cmd/exit_code.h"
#include "conf/conf.h"

static const char help[] =
    "Usage: sterna check-config [-c FILE] [OPTION]...\n"
    "\n"
    "Load the configuration as serve does (file, environment, command line, certificates),\n"
    "without opening a socket, and print each finding as FILE:LINE:COLUMN: error|warning:\n"
    "TEXT. Then say where clients are served and which peers the relay will reach. Ends\n"
    "with 2 when there are errors.\n"
    "\n"
    "Options, besides all of serve:\n"
    "  -c FILE           the configuration file\n"
    "      --print       print the options that were given, without secrets\n"
    "      --print-all   print every option\n"
    "  -h, --help        this text\n";

struct request {
    bool help;
    bool print;
    bool print_all;
};

/* Take our own options out of `argv`; the rest is serve's.  The new argc. */
static int take_own(int argc, char **argv, struct request *out)
{
    int kept = 1;

    *out = (struct request){.help = false};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--print") == 0) {
            out->print = true;
        } else if (strcmp(argv[i], "--print-all") == 0) {
            out->print_all = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            out->help = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static void summary(const struct conf *conf, const struct check_faults *more, FILE *out)
{
    const size_t errors = conf->severity_count[CONF_ERROR] + more->errors;
    const size_t warnings = conf->severity_count[CONF_WARNING] + more->warnings;

    fprintf(out, "%s: %zu error%s, %zu warning%s%s\n",
            conf->main_file == NULL ? "no configuration file" : conf->main_file, errors,
            errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s",
            errors == 0 ? "" : "; the server would not start");
}

/* All but the printed configuration.  0, with `*out_sound` if the server would start; -ENOMEM. */
static int tell(const struct conf *conf, bool loaded, FILE *out, bool *out_sound)
{
    struct check_faults faults = {.errors = 0};

    conf_findings_write(conf, out, CONF_NOTE);
    if (loaded && check_listen_write(conf, out, &faults) < 0) {
        return -ENOMEM;
    }
    check_gate_write(conf, out);
    summary(conf, &faults, out);
    *out_sound = loaded && faults.errors == 0;
    return 0;
}

static int out_of_memory(void)
{
    fputs("sterna check-config: out of memory\n", stderr);
    return CMD_FAILED;
}

/* Findings go to stdout; when the configuration is printed there, to stderr. */
static int check(struct conf *conf, int argc, char **argv, const struct request *request)
{
    FILE *out = request->print || request->print_all ? stderr : stdout;
    const int loaded = conf_load(conf, argc, argv);
    const int checked = loaded == -ENOMEM ? -ENOMEM : conf_check(conf);
    bool sound = false;

    if (checked == -ENOMEM || tell(conf, loaded == 0 && checked == 0, out, &sound) < 0) {
        return out_of_memory();
    }
    if (request->print || request->print_all) {
        conf_write_effective(conf, stdout, request->print_all);
    }
    if (fflush(stdout) != 0) {
        fprintf(stderr, "sterna check-config: cannot write: %s\n", strerror(errno));
        return CMD_FAILED;
    }
    return sound ? CMD_OK : CMD_USAGE;
}

int cmd_check_config(int argc, char **argv)
{
    struct request request;
    struct conf *conf;
    const int kept = take_own(argc, argv, &request);

    if (request.help) {
        fputs(help, stdout);
        return CMD_OK;
    }
    if (conf_new(&conf) < 0) {
        return out_of_memory();
    }
    const int code = check(conf, kept, argv, &request);
    conf_unref(conf);
    return code;
}
