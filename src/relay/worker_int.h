/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a worker share: its inside.
 *
 *   worker.c         the thread, its mail
 *   worker_listen.c  the listening sockets that it reads
 *   path.c           packets
 *   place.c          where a new session is to live
 *   travel.c, way.c  sessions that go to, and come from, other workers
 *   stray.c, elsewhere.c  packets of sessions that other workers have
 *   client_socket.c  clients that have a socket of their own
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
#include "relay/front.h"
#include "relay/worker.h"
#include "stats/counters.h"
#include "turn/turn_server.h"

/* Whose socket a udp_port is. */
enum worker_role {
    WORKER_LISTENER = 1,
    WORKER_MIXED_LISTENER, /* DTLS, or a balancer's packets, may come as well or only */
    WORKER_CLIENT,         /* a client's own (client_socket.c) */
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
    uint8_t hops;        /* and how often it has looked for the session of one message */
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

/* A listening socket, UDP or TCP, in the hands of this worker: it reads it, or only answers through
 * it.  It stays as long as the worker: sessions, associations and requests that wait point to it.
 * The descriptor is the front's. */
struct worker_listener {
    struct udp_port port; /* UDP; `closing`: it is not read here */
    struct stream_listener stream;
    const struct front_item *item;
    const struct listener_spec *spec; /* the item's */
    uint32_t socket;                  /* which of the item's */
    bool closed;                      /* no new clients: those that have an allocation are served */
    SSL_CTX *dtls_context; /* that handshakes begin with; borrowed from the settings in force */
};

/* A socket that is connected to one client with an allocation. */
struct client_socket {
    struct udp_port port; /* the first member: the core carries its address as the handle */
    struct net_addr client;
    const struct front_item *item; /* by which the client has come */
    uint32_t socket;               /* of the item: with which this one changes its worker */
    uint32_t heard;                /* by which the client is heard without this one */
};

/* A session that has just come into being here, or whose client has moved.  `was` may be of any
 * transport, or nobody's. */
struct newcomer {
    bool pending;
    bool moved; /* the client has another address than before */
    struct five_tuple tuple;
    struct five_tuple was; /* moved: where it is heard, too, for a while */
};

/* Kernel and user space share the memory plan: 10,000 idle allocations are 10,000 of these. */
_Static_assert(sizeof(struct relay_sock) <= 128, "a relay socket must stay small");

struct worker_counters {
    struct stats_counter allocations; /* a gauge */
    struct stats_counter wait_dropped;
    struct stats_counter icmp_relayed;
    struct stats_counter relay_overflow; /* packets that the kernel dropped at relay sockets */
    struct stats_counter proxy_refused;  /* PROXY headers that were broken or came from strangers */
    struct stats_counter http_hints;
    struct stats_counter held_off;      /* Connects that were not even tried */
    struct stats_counter busy_since_ms; /* see worker_busy_since() */
    struct stats_counter
        unsteered; /* sessions that the table of the steering program had no room for */
    struct stats_counter moved_in; /* sessions from other workers */
    struct stats_counter strays;   /* requests that were sent on to the worker of their session */
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
    uint32_t rules;      /* see mirror.h: by which ones the core judges */
    uint32_t flows;      /* channels that the kernel path has */
    uint32_t to_collect; /* of them are still to be asked for their traffic */
    uint64_t collect_ms; /* when that began last */
    bool mail;           /* somebody has called */
    bool rechecking;     /* permissions are being judged by new rules */
    bool behind;         /* more has expired than one turn handles */
    bool stop;
    bool running; /* of the control thread: there is a thread to be joined */
    unsigned index;
    size_t slot_count;
    struct worker_listener **slots; /* by item and socket; NULL: never used here */
    struct slab *client_socks;
    struct newcomer newcomer;
    uint8_t stray_hops;        /* of the packet that is being judged: from worker to worker */
    struct forwards *forwards; /* NULL: no client has left for another worker lately */
    struct slab *leaving;      /* place.c's */
    struct list departures;    /* sessions that leave at the end of this turn (place.c) */
    uint64_t rate_ms;          /* when packets per second were last told */
    uint64_t rate_packets;
    bool told_unconnected; /* that a client got no socket of its own */
    bool rate_told;        /* and were some: an idle worker says so once more */
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

/* --- worker.c: letters to other workers ---------------------------------------------------------
 */

struct errand;
struct forward_list;
struct session_parcel;
struct stray;

/* 0; -ENOSPC: its mail is full, nothing was taken. */
MUST_USE int worker_try_mail_session(struct worker *w, uint32_t to, struct session_parcel *parcel);
MUST_USE int worker_try_mail_stray(struct worker *w, uint32_t to, struct stray *stray);
MUST_USE int worker_try_mail_errand(struct worker *w, uint32_t to, struct errand *errand);
MUST_USE int worker_try_mail_forwards(struct worker *w, uint32_t to, struct forward_list *list);

/* These are not refused. */
void worker_mail_sessions(struct worker *w, uint32_t to, struct session_parcel *chain);
void worker_mail_handover(struct worker *w, struct worker_handover *message);

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

/* What is to be done with a packet of a client, whoever has brought it here: a listener's socket, a
 * client's own, another thread.  `pkt->port` is the listener's slot. */
void path_from_listener(struct worker *w, const struct worker_listener *listener, struct pkt *pkt);

/* --- worker_listen.c ----------------------------------------------------------------------------
 */

/* This worker's side of a socket; not read until worker_read().  NULL without memory. */
struct worker_listener *worker_slot(struct worker *w, const struct front_item *item,
                                    uint32_t socket);

/* Read it from now on / leave it alone.  0; negative errno. */
MUST_USE int worker_read(struct worker *w, const struct front_item *item, uint32_t socket);
void worker_unread(struct worker *w, struct worker_listener *slot);

/* No more new clients by `item` (or again). */
void worker_close_item(struct worker *w, const struct front_item *item, bool closed);

void worker_free_slots(struct worker *w);

/* --- place.c ------------------------------------------------------------------------------------
 */

/* `pkt` is the answer that tells a client of its new session, or of its new address.  True: the
 * session is leaving, and the answer with it. */
bool place_newcomer(struct worker *w, const struct pkt *pkt);

/* Send off those that are to leave.  After a flush. */
void place_departures(struct worker *w);

/* Room for them; 0 or -ENOMEM.  Let go of them: the worker ends. */
MUST_USE int place_new(struct worker *w);
void place_free(struct worker *w);

/* Session `session` has begun here. */
void place_begun(struct worker *w, uint64_t session);

/* The client is no longer served at `was`, which reached it through `listener`. */
void place_left(struct worker *w, const struct five_tuple *was, void *listener);

/* The session of `event` has ended. */
void place_ended(struct worker *w, const struct turn_event *event);

/* --- stray.c: packets whose session is another worker's ------------------------------------------
 */

/* Send a copy of `pkt`, which came by a listener, to worker `to`. */
void stray_send(struct worker *w, uint32_t to, const struct pkt *pkt);

/* One has come: judge it as if it had been heard here.  Takes `stray`. */
void stray_take(struct worker *w, struct stray *stray);
void stray_drop(struct stray *stray);

/* The session of `tuple` has left for worker `to`: what is still heard here goes there, for a
 * while. */
void stray_remember(struct worker *w, const struct five_tuple *tuple, uint32_t to);

/* Tell worker `to`, which is heard from now on where this one was, of all of them. */
void stray_tell(struct worker *w, uint32_t to);
struct forward_list;
void stray_told(struct worker *w, struct forward_list *list); /* takes it */

/* The client of `tuple` is here again. */
void stray_recall(struct worker *w, const struct five_tuple *tuple);

/* True: `pkt` was sent on. */
bool stray_forward(struct worker *w, const struct five_tuple *tuple, const struct pkt *pkt);

/* Let go of what has timed out; all of it. */
void stray_tick(struct worker *w);
void stray_forget(struct worker *w);

/* --- elsewhere.c: requests whose session is another worker's
 * ----------------------------------------
 */

struct errand;

/* Have worker `to` judge `pkt`, which came as a datagram or by an association: that goes along, and
 * comes back if nothing holds it there. */
void elsewhere_send(struct worker *w, uint32_t to, const struct pkt *pkt);

/* One has come.  Takes `errand`. */
void elsewhere_take(struct worker *w, struct errand *errand);
void elsewhere_drop(struct errand *errand);

/* --- travel.c -----------------------------------------------------------------------------------
 */

struct session_parcel;

/* Take the session of `tuple`, reached through `listener`, out of this worker: nothing of it may be
 * waiting to be sent.  NULL, nothing changed: without memory, or it cannot travel. */
struct session_parcel *travel_pack(struct worker *w, const struct five_tuple *tuple,
                                   void *listener);

/* The answer that is to be sent by whoever takes it in.  0 or -ENOMEM. */
MUST_USE int travel_answer(struct session_parcel *parcel, const uint8_t *data, uint32_t len);

/* It is to live where socket `socket` of its item is read, and its packets are to be brought there;
 * or not, after all. */
void travel_place(struct session_parcel *parcel, uint32_t socket);
void travel_unplace(struct session_parcel *parcel);

/* Its client is heard by this socket of its item. */
void travel_heard(struct session_parcel *parcel, uint32_t socket);

/* Send it to worker `to`.  0; -ENOSPC: its mail is full, nothing was taken. */
MUST_USE int travel_mail(struct worker *w, uint32_t to, struct session_parcel *parcel);

/* Take in what another worker has packed: a chain of sessions. */
void travel_unpack(struct worker *w, struct session_parcel *chain);

/* Hand `listener` with all its sessions to another worker. */
struct worker_handover;
void travel_hand_over(struct worker *w, struct worker_handover *message);
void travel_take_over(struct worker *w, struct worker_handover *message);

/* dispatch: let those go whose bucket is another worker's now. */
void travel_rebucket(struct worker *w);

/* Nobody takes them in: end these sessions. */
void travel_drop(struct worker *w, struct session_parcel *chain);

/* --- client_socket.c ----------------------------------------------------------------------------
 */

/* Give the client of `tuple`, which came by `listener`, a socket of its own, and serve what others
 * have sent to it before it was connected.  NULL: it goes on by the listener. */
struct client_socket *client_socket_open(struct worker *w, const struct five_tuple *tuple,
                                         struct worker_listener *slot);

/* One from another worker, by value.  NULL: closed, without room. */
struct client_socket *client_socket_adopt(struct worker *w, const struct client_socket *from);

/* Take it out, to be sent to another worker by value. */
struct client_socket client_socket_release(struct worker *w, struct client_socket *sock);

/* Close one that is on its way. */
void client_socket_drop(struct client_socket *sock);

/* Its session has ended: it is closed when the turn has ended. */
void client_socket_close(struct worker *w, struct client_socket *sock);
void client_socket_reap(struct worker *w, struct client_socket *sock);

/* --- client_stream.c, client_dtls.c --------------------------------------------------------------
 */

extern const struct stream_handler client_stream_handler;

/* Go on with those that waited for a key. */
void client_stream_resume(struct worker *w);

/* A connection from another worker.  NULL: closed, without room. */
struct stream *client_stream_adopt(struct worker *w, struct stream_parcel *parcel);

int client_dtls_new(struct worker *w, struct hash_key key);
void client_dtls_free(struct worker *w);

/* Keep a datagram that looks like DTLS; serve those that are kept: a record takes a place of its
 * own in the batch, and a handshake several. */
enum { CLIENT_DTLS_DATAGRAMS = 16 };

void client_dtls_keep(struct worker *w, const struct pkt *pkt);

/* A message of the association was judged: how long it may be idle from now on. */
void client_dtls_set_idle(struct worker *w, struct dtls_client *client);
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

/* The rules that hold for the kernel path now (mirror.h). */
uint32_t effects_rules(const struct worker *w);

/* Close the relay sockets that the core gave up in this turn. */
void effects_reap(struct worker *w);
