/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/secret.h"
#include "cmd/exit_code.h"
#include "cmd/probe_report.h"
#include "cmd/probe_run.h"
#include "cmd/probe_target.h"
#include "crypto/mac.h"
#include "crypto/rest.h"

enum {
    SECRET_MAX = 1024,
    USER_MAX = 508, /* octets of a USERNAME (RFC 8489 section 14.3) */
    REST_TTL_S = 3600,
    TIMEOUT_S = 8,
    TIMEOUT_MAX_S = 60,
};

static const char help[] =
    "Usage: sterna probe [OPTION]... turn:HOST[:PORT]\n"
    "\n"
    "Try a TURN server out over UDP as a client would: its answer to STUN, what it\n"
    "asks of strangers, two allocations, permissions, channels, data through both\n"
    "relays, addresses that it must refuse. Each step is told with its time; one\n"
    "that fails, with what is wrong and what to do. With stun:HOST only STUN is\n"
    "tried. Without credentials the probe ends where they are asked for.\n"
    "\n"
    "Options:\n"
    "  -u, --user USER       user name; with --secret-stdin, the name behind the time\n"
    "      --password-stdin  read the password, one line, from standard input\n"
    "      --secret-stdin    read a shared secret (static-auth-secret) from standard\n"
    "                        input, and make credentials for one hour with it\n"
    "  -w, --password PASS   the password, for all users of this host to see\n"
    "      --separator CHAR  between time and name, the server's rest-api-separator\n"
    "                        (default :)\n"
    "      --json            one JSON object at the end in place of lines\n"
    "  -4                    use IPv4\n"
    "  -6                    use IPv6, and ask for IPv6 relayed addresses\n"
    "      --timeout SECONDS how long to wait for an answer, 1 to 60 (default 8)\n"
    "  -h, --help            this text\n";

struct options {
    const char *target;
    char user[USER_MAX + 1];
    char password[SECRET_MAX + 1];
    bool has_user;
    bool has_password;
    bool password_stdin;
    bool secret_stdin;
    bool json;
    bool help;
    char separator;
    uint8_t family;
    uint32_t timeout_s;
};

enum { OPT_PASSWORD_STDIN = 256, OPT_SECRET_STDIN, OPT_SEPARATOR, OPT_JSON, OPT_TIMEOUT };

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "sterna probe: %s%s; try sterna probe --help\n", what, which);
    return CMD_USAGE;
}

/* Copy an option's value and blot it out where the process list shows it. */
static bool take_text(char *arg, char *to, size_t cap, bool secret)
{
    const size_t n = strlen(arg);

    if (n >= cap) {
        return false;
    }
    memcpy(to, arg, n + 1);
    if (secret) {
        secret_wipe(arg, n);
    }
    return true;
}

static int take_timeout(const char *arg, uint32_t *out)
{
    char *end;
    const unsigned long value = strtoul(arg, &end, 10);

    if (arg[0] < '0' || arg[0] > '9' || *end != '\0' || value < 1 || value > TIMEOUT_MAX_S) {
        return usage("--timeout takes a number from 1 to 60, not ", arg);
    }
    *out = (uint32_t)value;
    return CMD_OK;
}

static int take_option(int c, struct options *o)
{
    switch (c) {
    case 'u':
        o->has_user = true;
        return take_text(optarg, o->user, sizeof(o->user), false)
                   ? CMD_OK
                   : usage("the user name is longer than 508 bytes", "");
    case 'w':
        o->has_password = true;
        fprintf(stderr, "sterna probe: warning: a password on the command line is visible to all "
                        "users of this host; use --password-stdin\n");
        return take_text(optarg, o->password, sizeof(o->password), true)
                   ? CMD_OK
                   : usage("the password is longer than 1024 bytes", "");
    case OPT_PASSWORD_STDIN:
        o->password_stdin = true;
        return CMD_OK;
    case OPT_SECRET_STDIN:
        o->secret_stdin = true;
        return CMD_OK;
    case OPT_SEPARATOR:
        o->separator = optarg[0];
        return strlen(optarg) == 1 ? CMD_OK : usage("--separator takes one character", "");
    case OPT_JSON:
        o->json = true;
        return CMD_OK;
    case OPT_TIMEOUT:
        return take_timeout(optarg, &o->timeout_s);
    case '4':
        o->family = NET_V4;
        return CMD_OK;
    case '6':
        o->family = NET_V6;
        return CMD_OK;
    default:
        o->help = true;
        return CMD_OK;
    }
}

static int check(const struct options *o, int argc, char **argv)
{
    if (o->help) {
        return CMD_OK;
    }
    if (optind + 1 != argc) {
        return usage(optind == argc ? "say which server, as in sterna probe turn:turn.example.org"
                                    : "more than one server: ",
                     optind == argc ? "" : argv[optind + 1]);
    }
    if (o->has_password + o->password_stdin + o->secret_stdin > 1) {
        return usage("give one of -w, --password-stdin and --secret-stdin", "");
    }
    if ((o->has_password || o->password_stdin) && !o->has_user) {
        return usage("a password belongs to a user: add -u USER", "");
    }
    if (o->has_user && !o->has_password && !o->password_stdin && !o->secret_stdin) {
        return usage("the password of the user is missing: add --password-stdin or --secret-stdin",
                     "");
    }
    return CMD_OK;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"user", required_argument, NULL, 'u'},
        {"password", required_argument, NULL, 'w'},
        {"password-stdin", no_argument, NULL, OPT_PASSWORD_STDIN},
        {"secret-stdin", no_argument, NULL, OPT_SECRET_STDIN},
        {"separator", required_argument, NULL, OPT_SEPARATOR},
        {"json", no_argument, NULL, OPT_JSON},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *o = (struct options){.separator = ':', .family = NET_NONE, .timeout_s = TIMEOUT_S};
    opterr = 0;
    optind = 0;
    while ((c = getopt_long(argc, argv, ":u:w:46h", longs, NULL)) != -1) {
        if (c == '?') {
            return usage("unknown option ", argv[optind - 1]);
        }
        if (c == ':') {
            return usage("a value is missing after ", argv[optind - 1]);
        }
        const int code = take_option(c, o);
        if (code != CMD_OK) {
            return code;
        }
    }
    const int code = check(o, argc, argv);
    o->target = code == CMD_OK && !o->help ? argv[optind] : NULL;
    return code;
}

/* One line of standard input. */
static int read_line(char *to, size_t cap)
{
    if (fgets(to, (int)cap, stdin) == NULL) {
        return usage("standard input is empty: write the password or secret to it", "");
    }
    const size_t n = strcspn(to, "\r\n");
    if (n == 0 || (to[n] == '\0' && n + 1 == cap)) {
        return usage(n == 0 ? "the first line of standard input is empty"
                            : "the first line of standard input is longer than 1023 bytes",
                     "");
    }
    to[n] = '\0';
    return CMD_OK;
}

/* Make a time-limited name and its password from the secret in o->password. */
static int make_rest(struct options *o)
{
    char name[USER_MAX + 32];
    char separator[2] = {o->has_user ? o->separator : '\0', '\0'};
    struct crypto_mac *mac = crypto_mac_new();
    char password[CRYPTO_REST_LEN + 1];

    const int n = snprintf(name, sizeof(name), "%lld%s%s", (long long)time(NULL) + REST_TTL_S,
                           separator, o->user);
    if (n > USER_MAX) {
        crypto_mac_free(mac);
        return usage("the user name is too long", "");
    }
    const int err =
        mac == NULL ? -ENOMEM
                    : crypto_rest_password(mac, bytes_of(o->password), bytes_of(name), password);
    crypto_mac_free(mac);
    if (err < 0) {
        fprintf(stderr, "sterna probe: cannot make credentials: %s\n", strerror(-err));
        return CMD_FAILED;
    }
    memcpy(o->user, name, (size_t)n + 1);
    memcpy(o->password, password, sizeof(password));
    secret_wipe(password, sizeof(password));
    o->has_user = true;
    return CMD_OK;
}

static int run(const struct options *o, const struct net_addr *server, bool stun_only)
{
    const struct probe_plan plan = {
        .server = *server,
        .user = o->has_user ? o->user : NULL,
        .password = o->has_user ? o->password : NULL,
        .timeout_ms = o->timeout_s * 1000,
        .stun_only = stun_only,
    };
    char text[NET_ADDR_TEXT];
    struct probe_report *report = probe_report_new(stdout, o->json, net_addr_text(server, text));
    int err = report == NULL ? -ENOMEM : probe_run(&plan, report);
    int code = CMD_FAILED;

    if (err == 0) {
        code = probe_report_failed(report) == 0 ? CMD_OK : CMD_NOT_FOUND;
        err = probe_report_end(report);
    }
    probe_report_free(report);
    if (err == -EBADMSG || err == -ENOBUFS) {
        return usage("the user name or password holds characters that are not allowed in one "
                     "(RFC 8265), or is too long",
                     "");
    }
    if (err < 0) {
        fprintf(stderr, "sterna probe: %s: %s\n", text, strerror(-err));
        return CMD_FAILED;
    }
    return code;
}

static int probe(struct options *o)
{
    struct probe_target target;
    struct net_addr server;
    char failure[320];
    const char *why;
    int code = CMD_OK;

    if (probe_target_parse(o->target, &target, &why) < 0) {
        fprintf(stderr, "sterna probe: %s: %s\n", o->target, why);
        return CMD_USAGE;
    }
    if (o->password_stdin || o->secret_stdin) {
        code = read_line(o->password, sizeof(o->password));
    }
    if (code == CMD_OK && o->secret_stdin) {
        code = make_rest(o);
    }
    if (code != CMD_OK) {
        return code;
    }
    if (probe_target_resolve(&target, o->family, &server, failure, sizeof(failure)) < 0) {
        fprintf(stderr,
                "sterna probe: cannot find the address of %s: correct the name, or look at "
                "this host's resolver\n",
                failure);
        return CMD_NOT_FOUND;
    }
    return run(o, &server, target.stun_only);
}

int cmd_probe(int argc, char **argv)
{
    struct options o;
    int code = parse(argc, argv, &o);

    if (code == CMD_OK && o.help) {
        fputs(help, stdout);
    } else if (code == CMD_OK) {
        code = probe(&o);
    }
    secret_wipe(&o, sizeof(o));
    return code;
}
