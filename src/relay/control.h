/* SPDX-License-Identifier: Apache-2.0 */
/* The running relay server as its control thread and its consoles see it.
 *
 *     relay_server_open()   binds every socket: here privileges are needed
 *     relay_server_run()    starts the threads: here they are needed no more
 *     relay_server_tick()   now and then, and whenever relay_server_fd() can be read
 *     relay_server_stop()
 *
 * Owner   cmd/serve.c.  Thread  every function: the control thread, unless it says otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "io/stream.h"
#include "offload/flow_map.h"
#include "turn/turn_server.h"

struct conf;
struct file_keeper;
struct relay_server;

/* Bind all listeners of all workers; nothing is served yet.  `conf` is referenced, not taken;
 * `keeper` opens the certificates when privileges are gone (NULL: nobody does), and is borrowed.  0
 * with
 * `*out`; negative errno with `why` saying what failed and what to do; nothing is open then. */
MUST_USE int relay_server_open(struct conf *conf, struct file_keeper *keeper,
                               struct relay_server **out, char *why, size_t cap);

/* Between the two: make the listening sockets those of `uid`, whom the process is about to become.
 * Only sockets of one user can share an address (network-engine=connected). */
void relay_server_give(const struct relay_server *server, uid_t uid);

/* Start the credential service and the workers.  0; negative errno with `why`; then only
 * relay_server_stop() may follow. */
MUST_USE int relay_server_run(struct relay_server *server, char *why, size_t cap);

/* Stop the workers, end every session, close all.  Returns within a second.  NULL is allowed. */
void relay_server_stop(struct relay_server *server);

/* Use another configuration: what is LIVE takes effect in every worker, all or nothing; what needs
 * a restart is left as it was (the caller has told).  0; negative errno with `why`, nothing
 * changed. */
MUST_USE int relay_server_reload(struct relay_server *server, struct conf *conf, char *why,
                                 size_t cap);

/* Read the certificates of the configuration in force anew: new connections begin with them.  0;
 * negative errno with `why`, nothing changed. */
MUST_USE int relay_server_renew_certificates(struct relay_server *server, char *why, size_t cap);

/* Refuse new allocations (403) from now on and serve those that there are to their end.
 * 0; negative errno with `why`, nothing changed. */
MUST_USE int relay_server_drain(struct relay_server *server, char *why, size_t cap);

/* Becomes readable when the host's addresses change; -1 when the system cannot tell. */
int relay_server_fd(const struct relay_server *server);

/* Give up what has timed out, and take new addresses of the host into account. */
void relay_server_tick(struct relay_server *server);

/* Sums over all workers. */
struct relay_stats {
    struct turn_counters turn;
    uint64_t allocations;
    uint64_t rx_batches, rx_packets, tx_packets, tx_errors; /* of all sockets */
    uint64_t rx_overflow;    /* packets the kernel dropped: a socket's receive buffer was full */
    uint64_t relay_overflow; /* those of them that came from peers */
    uint64_t tx_full;        /* packets dropped: send buffer or device queue full */
    uint64_t tx_calls;       /* system calls that sent */
    uint64_t icmp_relayed;   /* ICMP errors told to clients */
    uint64_t wait_dropped;   /* requests dropped while they waited for a user's key */
    uint32_t workers;

    /* Connections of clients and peers, and DTLS associations. */
    struct relay_stream_stats {

#define X(name) uint64_t name;
        STREAM_COUNTERS(X)
#undef X
    } streams;

    uint64_t closed[STREAM_CLOSE_COUNT]; /* by reason */
    uint64_t dtls_established;
    uint64_t dtls_refused;
    uint64_t proxy_refused; /* PROXY headers that were broken or came from strangers */
    uint64_t http_hints;
    uint64_t moved_in;  /* sessions that have changed their worker */
    uint64_t strays;    /* packets that were sent on to the worker of their session */
    uint64_t unsteered; /* sessions for which the steering program's table had no room */
    uint64_t dispatched,
        dispatch_dropped; /* packets that a dispatcher has handed on, or could not */
    uint64_t held_off;    /* Connects that were answered 447 without a try */

    /* The kernel path, which has forwarded these in place of the sockets above.  What it relays for
     * sessions is part of `turn` within a second or so. */
    struct relay_offload_stats {
        bool active;                    /* there is one */
        uint64_t of[OFFLOAD_COUNT_MAX]; /* by enum offload_count */
        uint64_t channels;              /* a gauge: that it has */
        uint64_t channels_refused;      /* that it could not take */
    } offload;
};

void relay_server_stats(const struct relay_server *server, struct relay_stats *out);

/* Log the numbers of connections (info). */
void relay_server_log_numbers(const struct relay_server *server);

/* The addresses in use, for start-up messages: calls `each` per listener and per relay address
 * ("listening 0.0.0.0:3478/udp", "relay 192.0.2.1 (external 198.51.100.1)"). */
void relay_server_describe(const struct relay_server *server,
                           void (*each)(void *arg, const char *line), void *arg);
