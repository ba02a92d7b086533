/* SPDX-License-Identifier: Apache-2.0 */
/* The front of the server: its listening sockets, which worker reads which, and where a new session
 * is to live.
 *
 * A session belongs to a socket, and a socket is read by one worker.  On every address there are as
 * many sockets as there can ever be workers; they stay open as long as the server lives and change
 * hands when the number of workers changes, sessions first (travel.c): the kernel goes on giving a
 * client to the same socket, so nothing is lost and nothing overtakes anything.
 *
 *     reuseport   SO_REUSEPORT; a session may be placed on any worker while a program in the kernel
 *                 brings its packets there (offload/steer.h), else it stays where the kernel's hash
 *                 has put its client
 *     connected   the same, and each client with an allocation has a socket of its own
 *     paired      one UDP socket an address, each read by one worker
 *     dispatch    one UDP socket an address, all read by a thread that hands packets on
 *
 * Owner   the relay server.
 * Thread  control changes it; workers read what is declared for them below. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "relay/listener.h"

struct steer;

enum front_engine { FRONT_REUSEPORT, FRONT_CONNECTED, FRONT_PAIRED, FRONT_DISPATCH };

enum {
    FRONT_WORKERS = 1024,             /* most workers that there can be */
    FRONT_SPARE_SOCKETS = 64,         /* most sockets an address beyond what is read at start */
    FRONT_OWN_SOCKETS = 512,          /* connected: most clients of an address that get one */
    FRONT_BUCKETS = 256,              /* dispatch: clients are moved by these */
    FRONT_DISPATCHER = FRONT_WORKERS, /* the reader of sockets that no worker reads */
};

/* An address and transport that is, or was, listened on: stays as long as the server. */
struct front_item {
    struct listener_spec spec;
    uint32_t id;                    /* its place among all items */
    uint32_t ordinal;               /* its place among those of its transport */
    uint32_t sockets;               /* that are open on it */
    bool closed;                    /* control: it serves no new clients any more */
    bool steered;                   /* its packets go where the steering program says */
    _Atomic(uint32_t) *own_sockets; /* connected ones, of its clients */
    int *fd;                        /* `sockets` of them; streams: -1 once it is closed */
    _Atomic(uint32_t) *reader;      /* the worker that reads each, or is about to */
};

/* What a worker has to do, told by itself and read by those who place sessions. */
struct front_load {
    _Atomic(uint32_t) sessions;
    _Atomic(uint32_t) packets_per_s;
    uint8_t apart[120]; /* of two cache lines: no worker waits for another's numbers */
};

struct front {
    enum front_engine engine;
    uint32_t sockets;          /* an address: enough for so many workers */
    struct steer *steer;       /* NULL: the kernel's hash decides */
    _Atomic(uint32_t) workers; /* that sockets are spread over */
    _Atomic(uint32_t) made;    /* workers that there are: some may have nothing to read */
    _Atomic(uint32_t) bucket[FRONT_BUCKETS];
    struct hash_key key;
    struct front_load *load; /* `sockets` of them */
    uint32_t item_count;
    struct front_item *item[LISTENER_MAX];
};

/* "reuseport", ...: the option network-engine's words. */
const char *front_engine_name(enum front_engine engine);

/* A front without items.  `workers` as many as start; `cpus` as many as there may be later.  0 with
 * `*out`; -ENOMEM. */
MUST_USE int front_new(enum front_engine engine, uint32_t workers, uint32_t cpus,
                       struct front **out);

/* Close every socket; the workers are gone.  NULL is allowed. */
void front_free(struct front *front);

/* Most workers that it can spread its sockets over. */
uint32_t front_workers_max(const struct front *front);

/* Open the sockets of every item of `plan` that is not there yet (`*out_added` of them, the last
 * ones of front->item) and put them under the steering program.  0; negative errno with `why`,
 * nothing changed. */
MUST_USE int front_open(struct front *front, const struct listener_plan *plan, uint32_t *out_added,
                        char *why, size_t cap);

/* Have the kernel spread what comes for the group of `fd` over its first `count` sockets alone, by
 * addresses and ports: clients' own sockets join that group, and would change its own hash.
 * Harmless when it fails.  Takes no privilege. */
void front_hash_listeners(int fd, uint32_t count);

/* Take back the `count` items that were opened last: no worker has been told of them. */
void front_drop(struct front *front, uint32_t count);

/* Close all of it; no worker knows it, or none is left. */
void front_item_free(struct front_item *item);

/* Close the sockets of a stream item that no worker reads any more. */
void front_close(struct front_item *item);

/* The item on `addr` (the one that was opened last), or NULL. */
struct front_item *front_find(const struct front *front, const struct net_addr *addr, bool stream);

/* Who reads socket `socket` of `item` when there are so many workers. */
uint32_t front_reader_of(const struct front *front, const struct front_item *item, uint32_t socket,
                         uint32_t workers);

/* Sockets of UDP items in all: descriptors. */
uint32_t front_sockets(const struct front *front);

/* --- for workers --------------------------------------------------------------------------------
 */

static inline uint32_t front_reader(const struct front_item *item, uint32_t socket)
{
    return atomic_load_explicit(&item->reader[socket], memory_order_acquire);
}

static inline uint32_t front_made(const struct front *front)
{
    return atomic_load_explicit(&front->made, memory_order_acquire);
}

/* dispatch: the bucket of a client, and the worker that serves it. */
uint32_t front_bucket(const struct front *front, const struct net_addr *client,
                      const struct net_addr *server);

static inline uint32_t front_bucket_worker(const struct front *front, uint32_t bucket)
{
    return atomic_load_explicit(&front->bucket[bucket], memory_order_acquire);
}

/* The worker with the least to do, `self` among equals. */
uint32_t front_least_loaded(const struct front *front, uint32_t self);

/* A session has come to, or left, worker `worker`. */
static inline void front_count(struct front *front, uint32_t worker, bool more)
{
    (void)atomic_fetch_add_explicit(&front->load[worker].sessions, more ? 1U : UINT32_MAX,
                                    memory_order_relaxed);
}
