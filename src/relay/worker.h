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
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "stats/counters.h"

struct auth_service;
struct capacity;
struct conn_limit;
struct directory;
struct external_map;
struct front;
struct front_item;
struct kernel_path;
struct mirror;
struct quotas;
struct relay_ports;
struct relay_stats;
struct settings;
struct stream_parcel;
struct worker;

/* What all workers use together; everything in it is safe for that. */
struct worker_env {
    struct relay_ports *ports;
    const struct external_map *external;
    struct quotas *quotas;
    struct capacity *capacity; /* two: towards peers, towards clients */
    struct auth_service *auth;
    struct conn_limit *conns;
    struct front *front;
    struct directory *directory;   /* NULL: clients cannot move */
    struct worker *const *workers; /* each is filled in before anybody is told its index */
    uint32_t max_allocations;
    uint32_t max_connections;        /* of one worker: clients' and peers' */
    struct kernel_path *kernel_path; /* NULL: there is none */
    struct mirror *mirror;           /* NULL: no channel is forwarded in the kernel */
    bool gso;                        /* bursts may travel as one message: see udp_gso_test() */
    bool single;                     /* but come packet by packet: see udp_batch_no_gro() */
    uint32_t buffer_bytes;           /* to which the receive buffer of a relay socket may grow */
    bool pinned;                     /* each runs on one CPU: see affinity_pin() */
};

/* A worker that does not run yet.  `env` and `settings` are borrowed.  0; negative errno. */
MUST_USE int worker_new(const struct worker_env *env, const struct settings *settings,
                        unsigned index, struct worker **out);

/* Have it read a socket of the front before it starts.  0; negative errno. */
MUST_USE int worker_listen(struct worker *worker, const struct front_item *item, uint32_t socket);

/* Hand socket `socket` of `item` from one worker to another while both run, with all sessions that
 * belong to it.  `done` is posted when the other one reads it.  The message lives until then. */
struct worker_handover {
    const struct front_item *item;
    uint32_t socket;
    uint32_t to;
    bool closed; /* it takes no new clients */
    sem_t *done;
    /* The workers': */
    struct session_parcel *sessions;
    uint32_t overflow; /* what is known of the socket: see struct udp_port */
    uint8_t gro_score;
    bool gro;
    bool buffer_full;
};

void worker_hand_over(struct worker *worker, struct worker_handover *message);

/* dispatch: let the sessions go whose bucket is another worker's now; `done` is posted when they
 * have been posted there. */
void worker_rebucket(struct worker *worker, sem_t *done);

/* Read a socket of an item that is new; `message->sessions` is empty. */
void worker_take_over(struct worker *worker, struct worker_handover *message);

/* Serve no new clients by `item`; those that have an allocation are served on.  `done` is posted
 * when it is so. */
struct worker_closing {
    const struct front_item *item;
    bool closed; /* false: it takes new clients again */
    sem_t *done;
};

void worker_close(struct worker *worker, struct worker_closing *message);

/* Packets from a dispatcher; takes a reference that packet_block_done() gives back.  False: its
 * mail is full, nothing was taken. */
struct packet_block;
bool worker_give_packets(struct worker *worker, struct packet_block *block);

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
