/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the relay server share: the server as its control thread sees it.
 *
 *   server.c         from sockets to threads, and the end
 *   server_front.c   listening sockets: opened, spread over the workers, changed
 *   server_change.c  other settings while it runs: reload, drain, what changes around us
 *   server_info.c    numbers and addresses */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/auth.h"
#include "io/udp.h"
#include "relay/capacity.h"
#include "relay/control.h"
#include "relay/front.h"
#include "relay/interfaces.h"
#include "relay/kernel_path.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/worker.h"

/* Something around us that the settings follow.  What fails is tried again at each tick. */
struct follow {
    bool stale; /* it may have changed since the settings were made */
    bool told;  /* that following it fails: once is enough */
};

struct relay_server {
    struct conf *start; /* what the server was started with: RESTART options hold from here */
    struct conf *conf;  /* what is in force */
    struct interfaces own;
    struct external_map *external;
    struct listener_plan plan;
    struct front *front;
    struct dispatcher *dispatcher; /* NULL: workers read every socket */
    struct directory *directory;   /* NULL: clients cannot move */
    struct relay_ports *ports;
    struct realms *realms;
    struct quotas *quotas;
    struct capacity capacity[2];
    struct kernel_path *kernel_path; /* NULL: there is none */
    struct auth_service *auth;
    struct conn_limit *conns;
    struct tls_tickets *tickets; /* NULL: none are given out */
    struct tls_set *tls;         /* NULL: there is no certificate */
    struct file_keeper *keeper;  /* opens their files when we may not any more; may be NULL */
    struct settings *settings;
    struct worker_env env;
    struct worker **workers;
    struct watchdog *watchdogs;
    uint64_t numbers_ms;            /* when connections were last counted in the log */
    struct relay_stream_stats told; /* and what was told then */
    uint64_t told_lost;             /* packets that receive and send buffers had no room for */
    struct relay_offload_stats told_offload;
    uint32_t worker_count; /* that there are; the front tells how many have sockets */
    uint32_t max_allocations;
    uint32_t connection_room; /* of clients: as many as there can ever be descriptors for */
    uint32_t max_connections; /* and as many as were planned for at start */
    int watch_fd;
    bool draining;
    uint64_t made_for; /* the number of what the database said when settings were made last */
    uint64_t followed; /* and of those in force */
    uint64_t made_for_backends;
    uint64_t followed_backends;
    struct follow addresses;
    struct follow facts;
    struct follow backends;
    struct follow certificates;
    bool certificates_changed; /* when last looked at */
    uint8_t nonce_key[TURN_NONCE_KEY_LEN];
};

/* Settings from `conf` and all that they follow.  0 with `*out`; negative errno with `why`. */
MUST_USE int server_make_settings(struct relay_server *server, const struct conf *conf,
                                  bool draining, struct settings **out, char *why, size_t cap);

/* Workers that `conf` asks for. */
uint32_t server_workers_wanted(const struct conf *conf);

/* Make the front and open all sockets.  0; negative errno with `why`. */
MUST_USE int server_open_front(struct relay_server *server, char *why, size_t cap);

/* One more worker, not started.  0; negative errno. */
MUST_USE int server_add_worker(struct relay_server *server);

/* Start those that do not run yet, and let the others know of them.  0; negative errno. */
MUST_USE int server_start_workers(struct relay_server *server);

/* Have those that there are read their sockets, and the dispatcher the rest: at start.  0; negative
 * errno. */
MUST_USE int server_spread_sockets(struct relay_server *server);

/* What a reload changes in front: sockets that are new are opened first, which may fail with `why`;
 * then nothing has changed.  Then either all of it is put into force, or it is taken back. */
struct front_change {
    uint32_t added;               /* items */
    struct listener_plan *before; /* the plan that was in force */
};

MUST_USE int server_front_prepare(struct relay_server *server, const struct conf *conf,
                                  struct front_change *out, char *why, size_t cap);
void server_front_apply(struct relay_server *server, const struct conf *conf,
                        struct front_change *change);
void server_front_forget(struct relay_server *server, struct front_change *change);

/* `now` comes into force in place of `was` (NULL: at start): log how much of what the database says
 * of realms had to be left out, when that has changed. */
void server_tell_ignored(const struct settings *now, const struct settings *was);

/* Limits that are not the cores'. */
void server_apply_limits(struct relay_server *server, const struct conf *conf,
                         const struct settings *settings);

/* Log when a worker is stuck. */
void server_watch_workers(struct relay_server *server);

/* Log the numbers of connections once a minute, when they have changed. */
void server_tell_numbers(struct relay_server *server, uint64_t now_ms);

/* The certificates that `conf` asks for.  0 with `*out` (NULL: none); negative errno with `why`. */
MUST_USE int server_make_certificates(const struct relay_server *server, const struct conf *conf,
                                      struct tls_set **out, char *why, size_t cap);
