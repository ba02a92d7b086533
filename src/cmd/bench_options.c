/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cmd/bench_shape.h"
#include "cmd/exit_code.h"

enum { PID_MAX = 4194304, TLS_PORT = 5349, PORT = 3478, CLIENTS = 100, ALLOC_CLIENTS = 1000 };

enum {
    OPT_MIX = PROBE_LOGIN_NEXT,
    OPT_DIRECTION,
    OPT_RATE,
    OPT_BITRATE,
    OPT_FPS,
    OPT_PAYLOAD,
    OPT_BURST,
    OPT_FLAT,
    OPT_WINDOW,
    OPT_INDICATIONS,
    OPT_CHANNELS,
    OPT_PAIRS,
    OPT_DURATION,
    OPT_RAMP,
    OPT_OUTSTANDING,
    OPT_CA,
    OPT_INSECURE,
    OPT_SOURCE,
    OPT_PEER,
    OPT_PEERS,
    OPT_TIMEOUT,
    OPT_GRAIN,
    OPT_PID,
    OPT_JSON,
    OPT_REPORT,
    OPT_MAX_LOSS,
    OPT_MAX_P99,
};

static const struct option longs[] = {
    PROBE_LOGIN_LONGS,
    {"mix", required_argument, NULL, OPT_MIX},
    {"clients", required_argument, NULL, 'c'},
    {"direction", required_argument, NULL, OPT_DIRECTION},
    {"rate", required_argument, NULL, OPT_RATE},
    {"bitrate", required_argument, NULL, OPT_BITRATE},
    {"fps", required_argument, NULL, OPT_FPS},
    {"payload", required_argument, NULL, OPT_PAYLOAD},
    {"burst", required_argument, NULL, OPT_BURST},
    {"flat", no_argument, NULL, OPT_FLAT},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"indications", no_argument, NULL, OPT_INDICATIONS},
    {"channels", no_argument, NULL, OPT_CHANNELS},
    {"pairs", no_argument, NULL, OPT_PAIRS},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"ramp", required_argument, NULL, OPT_RAMP},
    {"outstanding", required_argument, NULL, OPT_OUTSTANDING},
    {"transport", required_argument, NULL, 't'},
    {"ca", required_argument, NULL, OPT_CA},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"source", required_argument, NULL, OPT_SOURCE},
    {"peer-address", required_argument, NULL, OPT_PEER},
    {"peers", required_argument, NULL, OPT_PEERS},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"grain", required_argument, NULL, OPT_GRAIN},
    {"pid", required_argument, NULL, OPT_PID},
    {"json", required_argument, NULL, OPT_JSON},
    {"report", required_argument, NULL, OPT_REPORT},
    {"max-loss", required_argument, NULL, OPT_MAX_LOSS},
    {"max-p99", required_argument, NULL, OPT_MAX_P99},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* While the command line is read. */
struct parsing {
    struct bench_plan *plan;
    struct bench_wish wish;
    bool has_clients;
    bool has_transport;
    bool has_direction;
};

static int usage(const char *what, const char *which)
{
    fprintf(stderr, "sterna bench: %s%s; try sterna bench --help\n", what, which);
    return CMD_USAGE;
}

/* A number of units from `min` to `max`; k, M and G multiply when `factors`. */
static bool number_of(const char *text, bool factors, double min, double max, double *out)
{
    static const struct {
        char letter;
        double by;
    } known[] = {{'k', 1e3}, {'K', 1e3}, {'M', 1e6}, {'G', 1e9}};

    char *end;
    double value = strtod(text, &end);

    /* No signs, no "inf", no hexadecimal. */
    if (strspn(text, "0123456789.") != (size_t)(end - text) || end == text) {
        return false;
    }
    for (size_t i = 0; factors && i < ARRAY_SIZE(known); i++) {
        if (end[0] == known[i].letter) {
            value *= known[i].by;
            end++;
            break;
        }
    }
    if (*end != '\0' || !(value >= min && value <= max)) {
        return false;
    }
    *out = value;
    return true;
}

/* What takes a number: its bounds, and where it goes. */
struct number_option {
    int option;

    enum { PLAN_COUNT, PLAN_REAL, WISH_COUNT, WISH_REAL } kind;

    bool factors;
    double min;
    double max;
    const char *what;
    size_t offset;
};

#define PLAN(field) offsetof(struct bench_plan, field)
#define WISH(field) offsetof(struct bench_wish, field)

static const struct number_option numbers[] = {
    {'c', PLAN_COUNT, false, 1, BENCH_CLIENTS_MAX, "--clients takes a number from 1 to 50000, not ",
     PLAN(setup.clients)},
    {OPT_RATE, WISH_REAL, true, 0.01, 10e6, "--rate takes packets a second, 0.01 to 10M, not ",
     WISH(rate)},
    {OPT_BITRATE, WISH_REAL, true, 100, 100e9, "--bitrate takes bits a second, 100 to 100G, not ",
     WISH(bitrate)},
    {OPT_FPS, WISH_COUNT, false, 1, BENCH_FPS_MAX, "--fps takes a number from 1 to 240, not ",
     WISH(fps)},
    {OPT_PAYLOAD, WISH_COUNT, false, BENCH_PAYLOAD_MIN, BENCH_PAYLOAD_MAX,
     "--payload takes a number from 20 to 8192, not ", WISH(payload)},
    {OPT_BURST, WISH_COUNT, false, 1, BENCH_BURST_MAX,
     "--burst takes a number from 1 to 1024, not ", WISH(burst)},
    {OPT_WINDOW, PLAN_COUNT, false, 1, 1000000, "--window takes a number from 1 to 1000000, not ",
     PLAN(setup.window)},
    {OPT_DURATION, PLAN_COUNT, false, 1, BENCH_DURATION_MAX_S,
     "--duration takes seconds from 1 to 3600, not ", PLAN(setup.duration_s)},
    {OPT_RAMP, PLAN_REAL, false, 0, BENCH_DURATION_MAX_S,
     "--ramp takes seconds from 0 to 3600, not ", PLAN(setup.ramp_s)},
    {OPT_OUTSTANDING, PLAN_COUNT, false, 1, 10000,
     "--outstanding takes a number from 1 to 10000, not ", PLAN(setup.outstanding)},
    {OPT_PEERS, PLAN_COUNT, false, 1, BENCH_PEERS_MAX, "--peers takes a number from 1 to 64, not ",
     PLAN(setup.peer_sockets)},
    {OPT_TIMEOUT, PLAN_COUNT, false, 1, 60, "--timeout takes seconds from 1 to 60, not ",
     PLAN(timeout_s)},
    {OPT_GRAIN, PLAN_COUNT, false, 50, 20000, "--grain takes microseconds from 50 to 20000, not ",
     PLAN(grain_us)},
    {OPT_MAX_LOSS, PLAN_REAL, false, 0, 100, "--max-loss takes a percentage from 0 to 100, not ",
     PLAN(max_loss)},
    {OPT_MAX_P99, PLAN_REAL, false, 0, 1e6, "--max-p99 takes milliseconds, not ", PLAN(max_p99_ms)},
};

static int take_number(struct parsing *p, const struct number_option *o, const char *arg)
{
    const bool whole = o->kind == PLAN_COUNT || o->kind == WISH_COUNT;
    const bool wish = o->kind == WISH_COUNT || o->kind == WISH_REAL;
    uint8_t *to = (wish ? (uint8_t *)&p->wish : (uint8_t *)p->plan) + o->offset;
    double value;

    if (!number_of(arg, o->factors, o->min, o->max, &value) || (whole && value > floor(value))) {
        return usage(o->what, arg);
    }
    const uint32_t count = (uint32_t)value;
    memcpy(to, whole ? (const void *)&count : (const void *)&value,
           whole ? sizeof(count) : sizeof(value));
    p->wish.any = p->wish.any || wish;
    p->has_clients = p->has_clients || o->option == 'c';
    return CMD_OK;
}

static int take_pid(struct bench_plan *plan, const char *arg)
{
    double pid;

    if (plan->pid_count == BENCH_PIDS) {
        return usage("--pid was given more than 16 times", "");
    }
    if (!number_of(arg, false, 1, PID_MAX, &pid) || pid > floor(pid)) {
        return usage("--pid takes the number of a process, not ", arg);
    }
    plan->pids[plan->pid_count++] = (int)pid;
    return CMD_OK;
}

static int take_mix(struct bench_setup *setup, const char *arg)
{
    for (enum bench_mix mix = BENCH_AUDIO; mix <= BENCH_ALLOC; mix++) {
        if (strcmp(arg, bench_mix_name(mix)) == 0) {
            setup->mix = mix;
            return CMD_OK;
        }
    }
    return usage("--mix takes audio, video, bulk or alloc, not ", arg);
}

static int take_transport(struct parsing *p, const char *arg)
{
    for (enum bench_transport t = BENCH_UDP; t <= BENCH_TLS; t++) {
        if (strcmp(arg, bench_transport_name(t)) == 0) {
            p->plan->setup.transport = t;
            p->has_transport = true;
            return CMD_OK;
        }
    }
    return usage("--transport takes udp, tcp or tls, not ", arg);
}

static int take_direction(struct bench_setup *setup, const char *arg)
{
    const bool both = strcmp(arg, "both") == 0;

    setup->way[BENCH_UP] = both || strcmp(arg, "up") == 0;
    setup->way[BENCH_DOWN] = both || strcmp(arg, "down") == 0;
    return setup->way[BENCH_UP] || setup->way[BENCH_DOWN]
               ? CMD_OK
               : usage("--direction takes up, down or both, not ", arg);
}

static int take_source(struct bench_plan *plan, const char *arg)
{
    const char *slash = strchr(arg, '/');
    const size_t n = slash == NULL ? strlen(arg) : (size_t)(slash - arg);
    char address[64];
    double bits = 0;

    if (n >= sizeof(address)) {
        return usage("--source takes an address or a range of them, not ", arg);
    }
    memcpy(address, arg, n);
    address[n] = '\0';
    if (net_ip_parse(address, &plan->source) < 0) {
        return usage("--source takes an address or a range of them, not ", arg);
    }
    const uint32_t width = net_ip_is_v4(&plan->source) ? 32 : 128;
    const uint32_t least = width / 8;
    if (slash != NULL && !number_of(slash + 1, false, least, width, &bits)) {
        return usage("--source takes an address or a range of them, not ", arg);
    }
    plan->source_bits = slash == NULL ? width : (uint32_t)bits;
    plan->has_source = true;
    return CMD_OK;
}

static int take_peer(struct bench_plan *plan, const char *arg)
{
    plan->has_peer = true;
    return net_ip_parse(arg, &plan->peer) < 0 ? usage("--peer-address takes an address, not ", arg)
                                              : CMD_OK;
}

/* The options without a number. */
static int take_word(struct parsing *p, int c, const char *arg)
{
    struct bench_plan *plan = p->plan;

    switch (c) {
    case OPT_MIX:
        return take_mix(&plan->setup, arg);
    case 't':
        return take_transport(p, arg);
    case OPT_DIRECTION:
        p->has_direction = true;
        return take_direction(&plan->setup, arg);
    case OPT_SOURCE:
        return take_source(plan, arg);
    case OPT_PEER:
        return take_peer(plan, arg);
    case OPT_PID:
        return take_pid(plan, arg);
    case OPT_FLAT:
        p->wish.flat = true;
        p->wish.any = true;
        break;
    case OPT_INDICATIONS:
    case OPT_CHANNELS:
        plan->setup.indications = c == OPT_INDICATIONS;
        break;
    case OPT_PAIRS:
        plan->setup.pairs = true;
        break;
    case OPT_CA:
        plan->ca = arg;
        break;
    case OPT_INSECURE:
        plan->insecure = true;
        break;
    case OPT_JSON:
        plan->json = arg;
        break;
    case OPT_REPORT:
        plan->report = arg;
        break;
    case 'q':
        plan->quiet = true;
        break;
    case '4':
    case '6':
        plan->family = c == '4' ? NET_V4 : NET_V6;
        break;
    default:
        plan->help = true;
        break;
    }
    return CMD_OK;
}

static int take_option(struct parsing *p, int c, char *arg)
{
    if (probe_login_owns(c)) {
        return probe_login_take(&p->plan->login, c, arg);
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (numbers[i].option == c) {
            return take_number(p, &numbers[i], arg);
        }
    }
    return take_word(p, c, arg);
}

/* "turn:" and "turns:" URIs of RFC 7065 say the transport; else --transport does. */
static int take_target(struct parsing *p, const char *text)
{
    struct bench_setup *setup = &p->plan->setup;
    const char *rest = text;
    const char *why;

    if (strncasecmp(rest, "turns:", 6) == 0) {
        rest += 6;
        setup->transport = p->has_transport ? setup->transport : BENCH_TLS;
    } else if (strncasecmp(rest, "turn:", 5) == 0) {
        rest += 5;
    }
    const char *query = strchr(rest, '?');
    if (query != NULL && strcasecmp(query, "?transport=tcp") == 0) {
        setup->transport =
            p->has_transport || setup->transport == BENCH_TLS ? setup->transport : BENCH_TCP;
    } else if (query != NULL && strcasecmp(query, "?transport=udp") != 0) {
        return usage("behind ? may stand transport=udp or transport=tcp: ", text);
    }
    const size_t n = query == NULL ? strlen(rest) : (size_t)(query - rest);
    if (probe_target_host(rest, n, setup->transport == BENCH_TLS ? TLS_PORT : PORT,
                          &p->plan->target, &why) < 0) {
        fprintf(stderr, "sterna bench: %s: %s\n", text, why);
        return CMD_USAGE;
    }
    snprintf(setup->target, sizeof(setup->target), "%s", text);
    return CMD_OK;
}

/* With --pairs there are no ends but clients. */
static int check_pairs(struct parsing *p)
{
    struct bench_setup *setup = &p->plan->setup;

    if (p->has_direction || p->plan->has_peer || setup->peer_sockets != 0) {
        return usage("--pairs has no peers of its own: leave out --direction, --peer-address and "
                     "--peers",
                     "");
    }
    if (setup->mix == BENCH_ALLOC || setup->clients % 2 != 0) {
        return usage(setup->mix == BENCH_ALLOC ? "--pairs does not go with --mix alloc"
                                               : "--pairs needs an even number of --clients",
                     "");
    }
    setup->way[BENCH_DOWN] = false;
    return CMD_OK;
}

/* What can be said without the network. */
static int check(struct parsing *p)
{
    struct bench_plan *plan = p->plan;
    struct bench_setup *setup = &plan->setup;

    if (setup->mix == BENCH_ALLOC) {
        setup->way[BENCH_UP] = setup->way[BENCH_DOWN] = false;
        setup->clients = p->has_clients ? setup->clients : ALLOC_CLIENTS;
    }
    if (setup->pairs) {
        const int code = check_pairs(p);
        if (code != CMD_OK) {
            return code;
        }
    }
    if (setup->mix == BENCH_ALLOC && setup->ramp_s > 0) {
        return usage("--ramp does not go with --mix alloc", "");
    }
    const char *why = bench_shape_settle(&p->wish, setup);
    if (why != NULL) {
        return usage(why, "");
    }
    if (setup->flat && setup->window < setup->burst) {
        return usage("--window is smaller than one --burst", "");
    }
    if (setup->transport != BENCH_TLS && (plan->insecure || plan->ca != NULL)) {
        return usage("--insecure and --ca go with --transport tls", "");
    }
    return probe_login_check(&plan->login);
}

static void init(struct bench_plan *plan)
{
    *plan = (struct bench_plan){
        .setup = {.clients = CLIENTS,
                  .way = {true, true},
                  .window = 256,
                  .duration_s = 10,
                  .outstanding = 64},
        .timeout_s = 8,
        .grain_us = 1000,
        .max_loss = -1,
        .max_p99_ms = -1,
    };
    probe_login_init(&plan->login, "bench");
}

/* The command line for the record, without secrets: they have been blotted out. */
static void keep_command(int argc, char **argv, struct bench_setup *setup)
{
    size_t at = (size_t)snprintf(setup->command, sizeof(setup->command), "sterna bench");

    for (int i = 1; i < argc && at < sizeof(setup->command); i++) {
        at += (size_t)snprintf(setup->command + at, sizeof(setup->command) - at, " %s", argv[i]);
    }
}

int bench_options_parse(int argc, char **argv, struct bench_plan *plan)
{
    struct parsing p = {.plan = plan};
    int c;

    init(plan);
    opterr = 0;
    optind = 0;
    while ((c = getopt_long(argc, argv, ":" PROBE_LOGIN_SHORTS "c:t:q46h", longs, NULL)) != -1) {
        if (c == '?') {
            return usage("unknown option ", argv[optind - 1]);
        }
        if (c == ':') {
            return usage("a value is missing after ", argv[optind - 1]);
        }
        const int code = take_option(&p, c, optarg);
        if (code != CMD_OK || plan->help) {
            return code;
        }
    }
    if (optind + 1 != argc) {
        return usage(optind == argc ? "say which server, as in sterna bench turn.example.org"
                                    : "more than one server: ",
                     optind == argc ? "" : argv[optind + 1]);
    }
    keep_command(argc, argv, &plan->setup);
    const int code = take_target(&p, argv[optind]);
    return code == CMD_OK ? check(&p) : code;
}
