/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: a thread with a loop, its own listening sockets, and a protocol core of its own.  A
 * session lives in one worker; workers share nothing on the packet path.
 *
 * Owner   the relay server.
 * Thread  control for all functions; between worker_start() and worker_stop() only the thread
 *         itself touches what is inside, and others reach it by messages. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "stats/counters.h"

struct auth_service;
struct capacity;
struct conn_limit;
struct external_map;
struct listener_spec;
struct quota;
struct relay_ports;
struct relay_stats;
struct settings;
struct stream_parcel;
struct udp_port;
struct worker;

/* What all workers use together; everything in it is safe for that. */
struct worker_env {
    struct relay_ports *ports;
    const struct external_map *external;
    struct quota *quota;
    pthread_mutex_t *quota_lock;
    struct capacity *capacity; /* two: towards peers, towards clients */
    struct auth_service *auth;
    struct conn_limit *conns;
    struct worker *const *workers; /* all of them, filled in before the first one runs */
    uint32_t worker_count;
    uint32_t max_allocations;
    uint32_t max_connections; /* of one worker: clients' and peers' */
};

/* A worker that does not run yet.  `env` and `settings` are borrowed.  0; negative errno. */
MUST_USE int worker_new(const struct worker_env *env, const struct settings *settings,
                        unsigned index, struct worker **out);

/* Hand it a listening socket before it starts, UDP (takes `port` on success) or TCP (takes `fd`);
 * `spec` says what is served there, and outlives the worker.  0; negative errno. */
MUST_USE int worker_listen(struct worker *worker, const struct udp_port *port,
                           const struct listener_spec *spec);
MUST_USE int worker_listen_stream(struct worker *worker, int fd, const struct listener_spec *spec);

/* Hand it a connection.  Takes `parcel`; full: it is closed.  Thread: any. */
void worker_give_stream(struct worker *worker, struct stream_parcel *parcel);

MUST_USE int worker_start(struct worker *worker);

/* End the thread; sessions stay until worker_free(), which ends them.  Both accept NULL and a
 * worker that never ran. */
void worker_stop(struct worker *worker);
void worker_free(struct worker *worker);

/* Use `settings` from now on.  `done` is posted when the old ones are no longer borrowed. */
struct worker_configure {
    const struct settings *settings;
    sem_t *done;
};

void worker_reconfigure(struct worker *worker, struct worker_configure *message);

/* Since when the worker has been busy with one turn, monotonic milliseconds; 0: it waits for work.
 * Thread: any. */
uint64_t worker_busy_since(const struct worker *worker);

/* Add this worker's numbers to `sum`.  Thread: any. */
void worker_add_stats(const struct worker *worker, struct relay_stats *sum);
