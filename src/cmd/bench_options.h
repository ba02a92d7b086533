/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `sterna bench`.
 *
 * Owner   cmd_bench(); a plan borrows its texts from argv, and holds a password, which the owner
 *         wipes.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"
#include "cmd/bench_result.h"
#include "cmd/probe_login.h"
#include "cmd/probe_target.h"

enum {
    BENCH_CLIENTS_MAX = 50000,
    BENCH_DURATION_MAX_S = 3600,
    BENCH_PEERS_MAX = 64,
};

struct bench_plan {
    struct bench_setup setup; /* but for what needs the network: server, source, peer, sockets */
    struct probe_login login;
    struct probe_target target;
    struct net_addr server; /* set by cmd_bench() */
    uint8_t family;         /* of -4 and -6, or NET_NONE */
    bool help;
    bool quiet;
    bool insecure;
    const char *ca;   /* NULL: what the system trusts */
    const char *json; /* NULL, a path, or "-" */
    const char *report;
    bool has_source;
    struct net_ip source; /* the first address of the clients */
    uint32_t source_bits; /* length of the prefix in its family; 32 or 128: one address */
    bool has_peer;
    struct net_ip peer;
    int pids[BENCH_PIDS];
    uint32_t pid_count;
    uint32_t timeout_s; /* of a transaction */
    uint32_t grain_us;  /* paced: how often the generator wakes */
    double max_loss;    /* percent; negative: no limit */
    double max_p99_ms;  /* negative: no limit */
};

extern const char bench_options_help[];

/* Read the command line.  CMD_OK with `*plan`; CMD_USAGE, told on standard error. */
MUST_USE int bench_options_parse(int argc, char **argv, struct bench_plan *plan);
