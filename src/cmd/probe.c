/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/secret.h"
#include "cmd/exit_code.h"
#include "cmd/probe_discover.h"
#include "cmd/probe_dns.h"
#include "cmd/probe_login.h"
#include "cmd/probe_nat.h"
#include "cmd/probe_nat_link.h"
#include "cmd/probe_report.h"
#include "cmd/probe_run.h"
#include "cmd/probe_target.h"
#include "cmd/probe_uri.h"

enum {
    REST_TTL_S = 3600,
    TIMEOUT_S = 8,
    TIMEOUT_MAX_S = 60,
    DNS_PORT = 53,
    DNS_TRY_MS = 2000,
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
    "What to try in place of this:\n"
    "      --mobility        whether clients keep their call when they change\n"
    "                        networks: move an allocation to other sockets with\n"
    "                        tickets (RFC 8016)\n"
    "      --nat             which kind of NAT stands between here and the server,\n"
    "                        and what it means for calls (RFC 5780); needs no\n"
    "                        credentials\n"
    "      --discover        which servers a domain has: what the DNS is asked, what\n"
    "                        it answers, which servers come out in which order (RFC\n"
    "                        5928, RFC 8155), and what the zone lacks; in place of\n"
    "                        turn:HOST stands DOMAIN, or a turn:, turns:, stun: or\n"
    "                        stuns: URI\n"
    "\n"
    "Options:\n" PROBE_LOGIN_HELP
    "      --json            one JSON object at the end in place of lines\n"
    "  -4                    use IPv4\n"
    "  -6                    use IPv6, and ask for IPv6 relayed addresses\n"
    "      --timeout SECONDS how long to wait for an answer, 1 to 60 (default 8)\n"
    "      --dns ADDRESS     the DNS server to ask, or ADDRESS:PORT (with --discover)\n"
    "      --contact         send a Binding request to each server that is found\n"
    "      --anycast         try the anycast addresses of RFC 8155 as well\n"
    "  -h, --help            this text\n";

/* What is probed: the first unless an option says more. */
enum mode { MODE_ALL, MODE_MOBILITY, MODE_NAT, MODE_DISCOVER };

struct options {
    const char *target;
    struct probe_login login;
    enum mode mode;
    bool json;
    bool help;
    bool contact;
    bool anycast;
    bool has_dns;
    struct net_addr dns;
    uint8_t family;
    uint32_t timeout_s;
};

enum {
    OPT_JSON = PROBE_LOGIN_NEXT,
    OPT_TIMEOUT,
    OPT_MOBILITY,
    OPT_NAT,
    OPT_DISCOVER,
    OPT_DNS,
    OPT_CONTACT,
    OPT_ANYCAST
};

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "sterna probe: %s%s; try sterna probe --help\n", what, which);
    return CMD_USAGE;
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

static int take_mode(enum mode mode, struct options *o)
{
    if (o->mode != MODE_ALL && o->mode != mode) {
        return usage("one of --mobility, --nat and --discover at a time", "");
    }
    o->mode = mode;
    return CMD_OK;
}

static int take_dns(const char *arg, struct options *o)
{
    if (net_addr_parse(arg, DNS_PORT, &o->dns) < 0 || o->dns.port == 0) {
        return usage("--dns takes the address of a DNS server, ADDRESS or ADDRESS:PORT, not ", arg);
    }
    o->has_dns = true;
    return CMD_OK;
}

static int take_option(int c, struct options *o)
{
    if (probe_login_owns(c)) {
        return probe_login_take(&o->login, c, optarg);
    }
    switch (c) {
    case OPT_JSON:
        o->json = true;
        return CMD_OK;
    case OPT_TIMEOUT:
        return take_timeout(optarg, &o->timeout_s);
    case OPT_MOBILITY:
        return take_mode(MODE_MOBILITY, o);
    case OPT_NAT:
        return take_mode(MODE_NAT, o);
    case OPT_DISCOVER:
        return take_mode(MODE_DISCOVER, o);
    case OPT_DNS:
        return take_dns(optarg, o);
    case OPT_CONTACT:
        o->contact = true;
        return CMD_OK;
    case OPT_ANYCAST:
        o->anycast = true;
        return CMD_OK;
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
    if (o->mode != MODE_DISCOVER && (o->has_dns || o->contact || o->anycast)) {
        return usage("--dns, --contact and --anycast go with --discover", "");
    }
    if (o->mode == MODE_MOBILITY && strncasecmp(argv[optind], "stun", 4) == 0 &&
        strchr(argv[optind], ':') == argv[optind] + 4) {
        return usage("--mobility needs a TURN server, turn:HOST, not ", argv[optind]);
    }
    return probe_login_check(&o->login);
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        PROBE_LOGIN_LONGS,
        {"mobility", no_argument, NULL, OPT_MOBILITY},
        {"nat", no_argument, NULL, OPT_NAT},
        {"discover", no_argument, NULL, OPT_DISCOVER},
        {"dns", required_argument, NULL, OPT_DNS},
        {"contact", no_argument, NULL, OPT_CONTACT},
        {"anycast", no_argument, NULL, OPT_ANYCAST},
        {"json", no_argument, NULL, OPT_JSON},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *o = (struct options){.family = NET_NONE, .timeout_s = TIMEOUT_S};
    probe_login_init(&o->login, "probe");
    opterr = 0;
    optind = 0;
    while ((c = getopt_long(argc, argv, ":" PROBE_LOGIN_SHORTS "46h", longs, NULL)) != -1) {
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

static int run_nat(const struct options *o, const struct net_addr *server,
                   struct probe_report *report)
{
    struct probe_nat_link *link;
    int err = probe_nat_link_new(server, o->timeout_s * 1000, &link);

    if (err == 0) {
        const struct probe_nat_net net = probe_nat_link_net(link);
        err = probe_nat_run(&net, server, report);
        probe_nat_link_free(link);
    }
    return err;
}

/* The end of a report: what it says, and the exit code. */
static int finish(struct probe_report *report, int err, const char *what)
{
    int code = CMD_FAILED;

    if (err == 0) {
        code = probe_report_failed(report) == 0 ? CMD_OK : CMD_NOT_FOUND;
        err = probe_report_end(report);
    }
    probe_report_free(report);
    if (err < 0) {
        fprintf(stderr, "sterna probe: %s: %s\n", what, strerror(-err));
        return CMD_FAILED;
    }
    return code;
}

static int discover(struct options *o)
{
    struct probe_discover_plan plan = {
        .timeout_ms = o->timeout_s * 1000,
        .contact = o->contact,
        .anycast = o->anycast,
    };
    const uint32_t try_ms = plan.timeout_ms < DNS_TRY_MS ? plan.timeout_ms : DNS_TRY_MS;
    const char *why;

    if (probe_uri_parse(o->target, &plan.uri, &why) < 0) {
        fprintf(stderr, "sterna probe: %s: %s\n", o->target, why);
        return CMD_USAGE;
    }
    const int code = probe_login_complete(&o->login, REST_TTL_S);
    if (code != CMD_OK) {
        return code;
    }
    plan.user = o->login.has_user ? o->login.user : NULL;
    plan.password = o->login.has_user ? o->login.password : NULL;
    int err = probe_dns_new(o->has_dns ? &o->dns : NULL, try_ms, &plan.dns);
    if (err < 0) {
        fprintf(stderr, "sterna probe: cannot ask the DNS: %s\n",
                err == -ENOTSUP ? "this build has no c-ares (Meson's option discover)"
                                : strerror(-err));
        return CMD_FAILED;
    }
    struct probe_report *report = probe_report_new(stdout, o->json, o->target);
    why = NULL;
    err = report == NULL ? -ENOMEM : probe_discover_run(&plan, report, &why);
    probe_dns_free(plan.dns);
    if (err == -EINVAL) {
        probe_report_free(report);
        return usage(why, "");
    }
    return finish(report, err, o->target);
}

static int run(const struct options *o, const struct net_addr *server, bool stun_only)
{
    const struct probe_plan plan = {
        .kind = o->mode == MODE_MOBILITY ? PROBE_MOBILITY : PROBE_ALL,
        .server = *server,
        .user = o->login.has_user ? o->login.user : NULL,
        .password = o->login.has_user ? o->login.password : NULL,
        .timeout_ms = o->timeout_s * 1000,
        .stun_only = stun_only,
    };
    char text[NET_ADDR_TEXT];
    struct probe_report *report = probe_report_new(stdout, o->json, net_addr_text(server, text));
    int err = report == NULL ? -ENOMEM : 0;

    if (err == 0) {
        err = o->mode == MODE_NAT ? run_nat(o, server, report) : probe_run(&plan, report);
    }
    if (err == -EBADMSG || err == -ENOBUFS) {
        probe_report_free(report);
        return usage("the user name or password holds characters that are not allowed in one "
                     "(RFC 8265), or is too long",
                     "");
    }
    return finish(report, err, text);
}

static int probe(struct options *o)
{
    struct probe_target target;
    struct net_addr server;
    char failure[320];
    const char *why;

    if (probe_target_parse(o->target, &target, &why) < 0) {
        fprintf(stderr, "sterna probe: %s: %s\n", o->target, why);
        return CMD_USAGE;
    }
    const int code = probe_login_complete(&o->login, REST_TTL_S);
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
        code = o.mode == MODE_DISCOVER ? discover(&o) : probe(&o);
    }
    secret_wipe(&o, sizeof(o));
    return code;
}
