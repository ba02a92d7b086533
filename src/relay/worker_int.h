/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a worker share: its inside.
 *
 *   worker.c         the thread, its mail
 *   path.c           packets
 *   client_stream.c  clients on connections
 *   client_dtls.c    clients on DTLS associations
 *   tcp_relay.c      relays, peers and data connections of RFC 6062
 *   effects.c        what the core asks for */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/net_addr.h"
#include "io/dtls.h"
#include "io/holdoff.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/udp.h"
#include "relay/worker.h"
#include "stats/counters.h"
#include "turn/turn_server.h"

/* Whose socket a udp_port is. */
enum worker_role {
    WORKER_LISTENER = 1,
    WORKER_MIXED_LISTENER, /* DTLS, or a balancer's packets, may come as well or only */
    WORKER_RELAY,
    WORKER_TCP_RELAY,
};

/* A relay socket: one relayed transport address of one allocation. */
struct relay_sock {
    struct udp_port port; /* the first member: the core carries its address as the handle */
    struct turn_relay *relay;
    struct net_addr df_peer; /* where a packet was too big to go with DF set, last */
};

/* A TCP relay (RFC 6062): the listening socket of one allocation. */
struct tcp_relay {
    struct udp_port port; /* the first member, as above: address and role; no socket */
    struct turn_relay *relay;
    uint64_t scope; /* what is held off for it, and not for the next one at its place in memory */
    struct stream_listener listener;
};

/* What is kept with a client's connection, and travels with it. */
enum client_phase { CLIENT_PROXY_HEADER, CLIENT_FIRST, CLIENT_MESSAGES, CLIENT_HTTP };

struct client_stream {
    struct list waiting; /* in worker->waiting, for a key */
    uint8_t phase;       /* enum client_phase */
    uint8_t moves;       /* how often it has changed its worker */
    uint8_t bad;         /* messages that made no sense, in a row */
    bool discovery;      /* only Binding (RFC 7443) */
    bool relayed;        /* it carries a peer's data now */
};

/* And with a peer's. */
struct peer_stream {
    struct turn_conn *conn; /* NULL: the core has let go of it */
    uint64_t user;          /* tells users apart for holding off */
    uint64_t scope;         /* the allocation's */
    bool connecting;
};

/* A listener of this worker's, UDP or TCP, and what is served there. */
struct worker_listener {
    struct udp_port port; /* UDP */
    struct stream_listener stream;
    const struct listener_spec *spec;
    SSL_CTX *dtls_context; /* that handshakes begin with; borrowed from the settings in force */
};

/* Kernel and user space share the memory plan: 10,000 idle allocations are 10,000 of these. */
_Static_assert(sizeof(struct relay_sock) <= 128, "a relay socket must stay small");

struct worker_counters {
    struct stats_counter allocations; /* a gauge */
    struct stats_counter wait_dropped;
    struct stats_counter icmp_relayed;
    struct stats_counter proxy_refused; /* PROXY headers that were broken or came from strangers */
    struct stats_counter http_hints;
    struct stats_counter held_off;      /* Connects that were not even tried */
    struct stats_counter busy_since_ms; /* see worker_busy_since() */
    struct stats_counter closed[STREAM_CLOSE_COUNT];
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
    struct worker_listener *listeners; /* LISTENER_MAX of them */
    struct streams *streams;
    struct dtls *dtls;
    struct client_dtls_datagrams *dtls_datagrams;
    struct proxied *proxied;
    bool batch_in_use;
    struct holdoff *holdoff;
    struct list waiting; /* client_stream.waiting: until a key is there */
    struct slab *tcp_relays;
    uint64_t tcp_relay_scopes; /* that were given out */
    struct stream *bind_peer; /* ConnectionBind has succeeded: what the client is to be joined to */
    bool streams_more;        /* of them more is ready than one turn serves */
    bool dtls_more;
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

/* Send what the core has made for a client.  `kind`: how it may be treated on a slow connection. */
void path_to_client(struct worker *w, struct pkt *pkt, enum stream_kind kind);

/* A datagram or a record's message from a client to the core. */
void path_from_client(struct worker *w, struct pkt *pkt);

/* Send a packet to a peer. */
void path_to_peer(struct worker *w, struct pkt *pkt);

/* A free place in the batch, after sending what is in it if need be; NULL only while packets that
 * have not been looked at yet lie in it (worker->batch_in_use) and it is full. */
struct pkt *path_place(struct worker *w);

/* Send everything, and free every place. */
void path_flush(struct worker *w);

/* See udp_too_big_fn. */
struct pkt;
void path_too_big(void *arg, struct pkt *pkt);

/* --- client_stream.c, client_dtls.c --------------------------------------------------------------
 */

extern const struct stream_handler client_stream_handler;

/* Go on with those that waited for a key. */
void client_stream_resume(struct worker *w);

/* A connection from another worker. */
void client_stream_adopt(struct worker *w, struct stream_parcel *parcel);

int client_dtls_new(struct worker *w, struct hash_key key);
void client_dtls_free(struct worker *w);

/* Keep a datagram that looks like DTLS; serve those that are kept: a record takes a place of its
 * own in the batch, and a handshake several. */
enum { CLIENT_DTLS_DATAGRAMS = 16 };

void client_dtls_keep(struct worker *w, const struct pkt *pkt);
void client_dtls_serve(struct worker *w);

/* Use the settings in force: everywhere, and for a listener that is new. */
void client_dtls_configure(struct worker *w);
void client_dtls_listen(struct worker *w, struct worker_listener *listener);

/* --- tcp_relay.c --------------------------------------------------------------------------------
 */

int tcp_relay_open(struct worker *w, const struct turn_relay_want *want,
                   struct turn_relay_grant *out);
void tcp_relay_close(struct worker *w, struct tcp_relay *relay);
int tcp_relay_connect(struct worker *w, void *port, const struct net_addr *peer,
                      struct turn_conn *conn, void **out);
void tcp_relay_disconnect(struct worker *w, struct stream *s);

/* See turn_server_conn_pace(); `s` is the peer's side. */
uint32_t tcp_relay_pace(struct worker *w, struct stream *s, bool to_peer, size_t bytes);

/* --- effects.c: what the core asks for ----------------------------------------------------------
 */

struct turn_effects effects_of(struct worker *w);

/* Close the relay sockets that the core gave up in this turn. */
void effects_reap(struct worker *w);
