/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the load generator's engine share and nobody else sees.
 *
 *   bench_run.c     the loop and its phases
 *   bench_open.c    sockets, addresses
 *   bench_place.c   who is where: sockets and addresses of clients and peers
 *   bench_client.c  a client's transactions, from the first Allocate to Refresh 0
 *   bench_request.c how its requests look
 *   bench_link.c    what comes and goes on sockets and connections
 *   bench_load.c    packets: when, how many, how they look
 *   bench_count.c   what arrivals tell, second by second
 *
 * Owner   bench_run().  Thread  one.
 * Clock   CLOCK_MONOTONIC for what is due; CLOCK_REALTIME, that of the kernel's time stamps, for
 *         latencies. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "cmd/bench_conn.h"
#include "cmd/bench_flow.h"
#include "cmd/bench_options.h"
#include "cmd/bench_result.h"
#include "cmd/bench_run.h"
#include "cmd/bench_rx.h"
#include "cmd/bench_socket.h"
#include "cmd/bench_tx.h"
#include "cmd/probe_auth.h"

struct crypto_mac;
struct probe_reply;

enum {
    BENCH_CHANNEL = 0x4000,
    BENCH_PAYLOAD_CAP = 8192,
    BENCH_SILENCE_MS = 3000, /* nothing comes back for so long: the server is gone */
};

/* What a client waits for.  From BENCH_IDLE on it waits for nothing. */
enum bench_step {
    BENCH_CONNECT,  /* connection, TLS handshake */
    BENCH_ALLOCATE, /* without and then with credentials */
    BENCH_BIND,     /* ChannelBind, or CreatePermission with --indications */
    BENCH_REFRESH,  /* keeping the allocation alive */
    BENCH_REBIND,   /* keeping channel or permission alive */
    BENCH_DELETE,   /* Refresh with LIFETIME 0 */
    BENCH_WAIT,     /* allocated; with --pairs, the other one is not */
    BENCH_IDLE,     /* not begun */
    BENCH_READY,    /* allocated and bound */
    BENCH_GONE,     /* failed, or ended */
};

struct bench_client {
    struct wheel_timer timer; /* sending again, giving up, keeping alive */
    uint64_t began_ns;        /* the first request of this allocation */
    uint64_t deadline_ms;     /* of the transaction */
    uint32_t turn;            /* of transactions: in each transaction ID */
    uint32_t life;            /* how often it got another address */
    uint32_t keep_ms;         /* between two refreshes */
    uint32_t wait_ms;         /* before the request is sent again */
    uint8_t step;             /* enum bench_step */
    uint8_t tries;            /* of this request, challenges included */
    uint8_t moves;            /* of this allocation, to another address */
    bool live;                /* packets may flow */
    bool refused;             /* an ICMP message said that nobody listens */
    bool forged;              /* answers came that were not signed with our password */
    uint16_t nonce_len;
    uint16_t nonce_cap;
    uint8_t *nonce;
    struct bench_conn conn; /* streams */
    struct net_ip source;   /* of a client on a shared socket */
    struct net_addr relayed;
    struct bench_name relay; /* the same for the kernel */
    struct bench_flow flow[BENCH_WAYS];
};

enum bench_phase {
    BENCH_SETUP,
    BENCH_LOAD,
    BENCH_DRAIN,    /* what is under way may arrive */
    BENCH_TEARDOWN, /* allocations are released */
    BENCH_DONE,
};

struct bench_engine {
    const struct bench_plan *plan;
    struct bench_setup *setup; /* that of the result */
    struct bench_result *result;
    bench_run_fn progress;
    enum bench_phase phase;
    uint64_t phase_ns; /* when it began */
    bool abandoned;    /* it ended for a reason that result->why tells */
    uint64_t now_ns;   /* monotonic, read once a turn */
    int epoll;
    struct wheel wheel;

    /* clients */
    struct bench_client *clients;
    uint32_t started; /* clients that have begun; alloc: cycles */
    uint32_t active;  /* clients with a transaction of SETUP, alloc or TEARDOWN under way */
    uint32_t cursor;  /* alloc, TEARDOWN: the client to be looked at next */
    bool must_move;   /* the server remembers where allocations were: no second one from there */
    struct crypto_mac *mac;
    struct probe_auth auth; /* what they have in common; nonces are each client's own */
    uint32_t run;           /* a random number */
    SSL_CTX *tls;

    /* ends */
    struct bench_socket *sockets; /* of the clients: one each, or shared ones */
    uint32_t socket_count;
    struct bench_socket *peers;
    struct net_ip source; /* the first address of a range */
    struct bench_name server;
    struct bench_tx *tx[BENCH_WAYS]; /* requests go with what goes up */
    struct bench_rx *rx_client;
    struct bench_rx *rx_peer;
    uint8_t *body;   /* what packets consist of behind the stamp */
    uint8_t *stream; /* what was read from a connection, or is written to one */

    /* load */
    uint32_t *order; /* the live clients, in the order in which they send */
    uint32_t live;
    uint64_t load_ns;          /* when it began */
    uint64_t ended_ns;         /* when it ended */
    uint64_t done[BENCH_WAYS]; /* bursts, since it began */
    uint64_t skipped;          /* bursts that could not be sent in time */
    uint64_t flat_at;          /* flat: the next flow */
    uint64_t in_flight;
    uint64_t refilled_ns; /* flat: when the window was taken for lost */
    uint64_t heard_ns;    /* when something came last */
    bool heard;           /* the server has answered */
    uint64_t unheard;     /* packets and requests sent, connections tried since */
    uint32_t refusals;    /* ICMP messages: nobody listens */

    /* seconds */
    uint64_t second_ns;
    size_t series_cap;
    struct histogram now[BENCH_WAYS]; /* latencies of this second */
    int64_t gap[BENCH_WAYS];
    struct bench_flow_total mark[BENCH_WAYS]; /* the totals when it began; without histogram */
    uint64_t mark_cycles;
    uint64_t cpu_server_ns;
    uint64_t cpu_own_ns;
    uint64_t cpu_load_server_ns; /* when the load began */
    uint64_t cpu_load_own_ns;
    bool cpu_lost; /* a process that was to be measured is gone */
};

/* Monotonic nanoseconds. */
uint64_t bench_run_now_ns(void);

static inline uint64_t bench_now_ms(const struct bench_engine *e)
{
    return e->now_ns / 1000000U;
}

/* Of a transaction. */
static inline uint64_t bench_timeout_ms(const struct bench_engine *e)
{
    return (uint64_t)e->plan->timeout_s * 1000;
}

static inline bool bench_is_stream(const struct bench_engine *e)
{
    return e->setup->transport != BENCH_UDP;
}

/* --- bench_open.c ----------------------------------------------------------------------------- */

/* Open what all clients need.  0; a negative errno, told in result->why. */
MUST_USE int bench_open(struct bench_engine *e);
void bench_open_undo(struct bench_engine *e);

/* Give client `i` another address, or, when its socket is its own, another port.  0 or a negative
 * errno. */
MUST_USE int bench_open_renew(struct bench_engine *e, uint32_t i);

/* --- bench_place.c ---------------------------------------------------------------------------- */

/* Do clients share sockets? */
bool bench_place_shared(const struct bench_engine *e);

/* The first address of the range that --source gives: its bits behind the prefix are zero. */
struct net_ip bench_place_network(const struct bench_plan *plan);

/* How many addresses the range has for clients: without that one and the last. */
uint32_t bench_place_addresses(const struct bench_engine *e);

/* Set the address of client `i`, which shares a socket; all sockets are open. */
void bench_place_settle(struct bench_engine *e, uint32_t i);

/* The socket of client `i`, which uses UDP. */
struct bench_socket *bench_place_socket_of(const struct bench_engine *e, uint32_t i);

/* The client that `socket` and, when it is shared, the address `to` belong to; UINT32_MAX: none. */
uint32_t bench_place_client_at(const struct bench_engine *e, const struct bench_socket *socket,
                               const struct net_ip *to);

/* Give client `i` another address, when it shares its socket, or for its next connection: some
 * servers remember, for a while after an allocation, where it was.  False when it needs another
 * socket for that. */
bool bench_place_turn(struct bench_engine *e, uint32_t i);

/* The socket that is client `i`'s peer. */
struct bench_socket *bench_place_peer_of(const struct bench_engine *e, uint32_t i);

/* The peer of client `i` as the server shall see it. */
struct net_addr bench_place_peer_address(const struct bench_engine *e, uint32_t i);

/* Where client `i` comes from; family NET_NONE: as the system likes. */
struct net_addr bench_place_source_of(const struct bench_engine *e, uint32_t i);

/* --- bench_client.c --------------------------------------------------------------------------- */

/* Begin with client `i`: connect, or ask for an allocation. */
void bench_client_start(struct bench_engine *e, uint32_t i);

/* Release what client `i` has. */
void bench_client_stop(struct bench_engine *e, uint32_t i);

/* A STUN message came for client `i`. */
void bench_client_message(struct bench_engine *e, uint32_t i, struct bytes message);

/* The connection of client `i` is there. */
void bench_client_connected(struct bench_engine *e, uint32_t i);

/* Client `i` is lost: `err` of its socket or connection, and, when that is known, `why`. */
void bench_client_lost(struct bench_engine *e, uint32_t i, int err, const char *why);

/* The timer of a client is due. */
void bench_client_timer(struct bench_engine *e, struct bench_client *c);

/* --- bench_request.c -------------------------------------------------------------------------- */

/* What client `c` asks for, by its step: enum stun_method, and its name for people. */
uint16_t bench_request_method(const struct bench_engine *e, const struct bench_client *c);
const char *bench_request_name(const struct bench_engine *e, const struct bench_client *c);

/* The ID (12 bytes) of the transaction that client `i` is in. */
void bench_request_tid(const struct bench_engine *e, uint32_t i, uint8_t *out);

/* Are its requests signed: does it have a nonce, and a password? */
bool bench_request_signed(const struct bench_engine *e, const struct bench_client *c);

/* Write the request of its step.  Its length; -ENOBUFS; -EIO. */
MUST_USE int bench_request_encode(struct bench_engine *e, uint32_t i, uint8_t *buf, size_t cap);

/* --- bench_link.c ----------------------------------------------------------------------------- */

/* Make the sockets known to epoll.  0 or a negative errno. */
MUST_USE int bench_link_watch_all(struct bench_engine *e);

MUST_USE int bench_link_watch_client(struct bench_engine *e, uint32_t i);

/* Open the connection of client `i`.  0 or a negative errno. */
MUST_USE int bench_link_connect(struct bench_engine *e, uint32_t i);

/* Send a request of client `i`.  0; -EAGAIN not now; another errno. */
MUST_USE int bench_link_request(struct bench_engine *e, uint32_t i, const uint8_t *p, uint32_t n);

/* Send the first `n` bytes of e->stream on client `i`'s connection.  As bench_conn_write(). */
MUST_USE int bench_link_write(struct bench_engine *e, uint32_t i, uint32_t n);

/* Wait until `until_ns` of the monotonic clock, or, with `wake`, until something comes; then handle
 * what has come. */
void bench_link_turn(struct bench_engine *e, uint64_t until_ns, bool wake);

/* The handlers of bench_rx. */
void bench_link_at_client(void *engine, const struct bench_socket *socket, const struct net_ip *to,
                          struct bytes datagram, uint64_t when_ns);
void bench_link_at_peer(void *engine, const struct bench_socket *socket, const struct net_ip *to,
                        struct bytes datagram, uint64_t when_ns);

/* --- bench_load.c ----------------------------------------------------------------------------- */

/* The clients that are ready begin to send.  0 or -ENOMEM. */
MUST_USE int bench_load_begin(struct bench_engine *e);

/* Send what is due. */
void bench_load_send(struct bench_engine *e);

/* When the next packet is due (monotonic); now: at once; UINT64_MAX: when something comes. */
uint64_t bench_load_due_ns(const struct bench_engine *e);

/* --- bench_count.c ---------------------------------------------------------------------------- */

/* A packet of the application arrived, at client `i` (down) or at a peer (up; `i` is ignored
 * without --pairs). */
void bench_count_packet(struct bench_engine *e, enum bench_way way, uint32_t i, struct bytes packet,
                        uint64_t when_ns);

/* What became of packets: the handler of bench_tx. */
void bench_count_sent(void *engine, const struct bench_tx_outcome *outcome);

/* An allocation, or a cycle, took `ns`. */
void bench_count_allocation(struct bench_engine *e, uint64_t ns);

/* The load begins; a second may have ended (`last`: however short it is); what was under way has
 * arrived; all has. */
void bench_count_begin(struct bench_engine *e);
void bench_count_second(struct bench_engine *e, bool last);
void bench_count_drained(struct bench_engine *e);
void bench_count_end(struct bench_engine *e);
