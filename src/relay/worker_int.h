/* SPDX-License-Identifier: Apache-2.0 */
/* What worker.c, path.c and effects.c share: the inside of a worker. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/net_addr.h"
#include "io/loop.h"
#include "io/udp.h"
#include "relay/worker.h"
#include "stats/counters.h"
#include "turn/turn_server.h"

/* Whose socket a udp_port is. */
enum worker_role { WORKER_LISTENER = 1, WORKER_RELAY };

/* A relay socket: one relayed transport address of one allocation. */
struct relay_sock {
    struct udp_port port; /* the first member: the core carries its address as the handle */
    struct turn_relay *relay;
    struct net_addr df_peer; /* where a packet was too big to go with DF set, last */
};

/* Kernel and user space share the memory plan: 10,000 idle allocations are 10,000 of these. */
_Static_assert(sizeof(struct relay_sock) <= 128, "a relay socket must stay small");

struct worker_counters {
    struct stats_counter allocations; /* a gauge */
    struct stats_counter wait_dropped;
    struct stats_counter icmp_relayed;
};

struct worker {
    struct udp_batch *batch;
    struct turn_server *core;
    const struct external_map *external;
    uint64_t now_ms;
    uint64_t wall_s;
    struct list ready;     /* ports with packets or errors to be read, in turn */
    struct list round_end; /* a mark in that list */
    struct list closing;   /* relay sockets that are closed at the end of the turn */
    struct loop *loop;
    struct loop_watch mail_watch;
    struct mailbox *mailbox;
    struct stash *stash;
    struct auth_worker *auth;
    struct crypto_random *random;
    struct slab *socks;
    const struct worker_env *env;
    const struct settings *settings;
    struct worker_counters count;
    bool mail;       /* somebody has called */
    bool rechecking; /* permissions are being judged by new rules */
    bool behind;     /* more has expired than one turn handles */
    bool stop;
    bool running; /* of the control thread: there is a thread to be joined */
    unsigned index;
    size_t listener_count;
    struct udp_port *listeners; /* LISTENER_MAX of them */
    pthread_t thread;
};

/* --- path.c: the per-packet path ----------------------------------------------------------------
 */

/* The callback of every socket: it has packets or errors. */
void path_ready(void *arg, struct loop_watch *watch, unsigned events);

/* Serve each ready socket once within its budget, and send. */
void path_run(struct worker *w);

/* Submit again what has waited for keys, and send. */
void path_resubmit(struct worker *w);

/* See udp_too_big_fn. */
struct pkt;
void path_too_big(void *arg, struct pkt *pkt);

/* --- effects.c: what the core asks for ----------------------------------------------------------
 */

struct turn_effects effects_of(struct worker *w);

/* Close the relay sockets that the core gave up in this turn. */
void effects_reap(struct worker *w);
