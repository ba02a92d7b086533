/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation: several server cores, clients behind NATs and peers on a virtual network and
 * clock, driven by one seed, and compared with the model after every step.
 *
 *   actor.c   clients: what they want               message.c   from a meaning to bytes
 *   net.c     the network between all               peers.c     peers, and what rules say of them
 *   site.c    the cores and how they are set up     effects.c   what the cores ask for
 *   users.c   who they are                          admin.c     what administrators do
 *   model*.c  what must become of a packet          referee*.c  compare it with what does
 *   audit.c   compares the cores' tables, too       sim.c       the event loop
 *   conns.c   connections with peers (RFC 6062)
 *   below.c   a path below the cores that relays for bound channels
 *
 * Owner   whoever made it.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "below.h"
#include "crypto/random.h"
#include "intent.h"
#include "lib/client.h"
#include "model.h"
#include "net.h"
#include "peers.h"
#include "prng.h"
#include "relay/port_pool.h"
#include "trace.h"
#include "turn/gate.h"
#include "turn/quota.h"
#include "turn/turn_server.h"

#define SIM_DOMAIN "turn.example.net"

enum {
    SIM_CORES = PEER_LISTENERS,
    SIM_SOCKETS = 256,
    SIM_ACTORS = 12,
    SIM_KEPT = 6, /* packets that a client may send again */
    SIM_FLOWS = 2048,
    SIM_WAITING = 32,
    SIM_WHY = 400,
};

struct sim_options {
    uint64_t seed;
    uint32_t steps;
    uint32_t actors;
    bool dense;                /* time goes on slowly: for many steps */
    bool words;                /* write the trace in words */
    bool faults;               /* allocations may fail: refusals for want of memory are right */
    struct gate *const *gates; /* PEER_RULE_SETS of them, borrowed */
};

/* --- the server's side (site.c) ----------------------------------------------------------------
 */

struct sim_socket {
    bool open;
    uint8_t core;
    uint8_t protocol;
    struct net_addr bound;
    struct turn_relay *relay; /* NULL while it only keeps a reserved port */
};

struct sim_core {
    struct sim *sim;
    uint8_t index;
    struct turn_server *server;
    uint8_t listener[2]; /* handles of the listeners: their addresses count */
};

/* The client's flow goes to another core than its own: the session has travelled. */
struct sim_flow {
    struct net_addr client;
    struct net_addr server;
    uint8_t core;
};

struct site {
    struct sim_core core[SIM_CORES];
    struct turn_config config_first;
    struct turn_config config[2]; /* one in force, the other about to be */
    struct turn_realm other[2];   /* SIM_OTHER in each of them */
    uint32_t config_now;
    struct port_pool *pool;
    struct quota *quota;
    struct crypto_random *random;
    struct sim_socket socket[SIM_SOCKETS];
    uint32_t open_sockets;
    struct sim_flow flow[SIM_FLOWS];
    uint32_t flow_count;
    struct net_packet *waiting[SIM_WAITING]; /* for a key */
    uint32_t waiting_count;
    uint64_t capacity_left[2];
    struct below below; /* the path below the cores */
    bool late_ticks;    /* the cores' timers run late, as they may */

    /* What the core asked for during the call under way. */
    struct net_addr opened[2];
    uint32_t opened_count;
    uint64_t new_token;
    bool redeemed;
    bool lease_refused;
    uint32_t events;    /* other than refusals */
    uint32_t connected; /* connections, as events tell */
    struct model_conn *connecting;
    uint32_t moves; /* and clients that move, and places that they have left */
    uint32_t lefts;
    bool noise;    /* bytes without a meaning may happen to be data */
    bool deleting; /* a Refresh may end allocations now */
    bool closing;  /* so may the administrator */
    bool stopping;
};

/* --- a client (actor.c) ------------------------------------------------------------------------
 */

struct sim_kept {
    struct intent intent;
    struct net_addr to;
    uint16_t len;
    uint8_t data[NET_PACKET_MAX];
};

struct actor {
    struct net_addr addr; /* as the server sees it: behind its NAT's mapping */
    bool natted;
    uint8_t index;
    uint8_t home; /* its usual core */
    uint8_t user;
    enum client_auth auth;
    bool userhash;
    uint32_t rebindings;
    uint64_t sent_ms;
    uint64_t next_tid;
    char nonce_text[256];
    struct intent_nonce nonce;
    struct intent_ticket ticket[2]; /* the newest, and the one before it */
    bool roaming;                   /* it has not shown it at its new address */
    struct net_addr left;           /* where it was before, and may still send from */
    uint32_t retries;               /* answers to challenges since it last did something else */
    struct sim_kept kept[SIM_KEPT];
    uint32_t kept_count;
};

/* How often each thing has come about, over all scenarios played: a simulation in which something
 * never happens proves nothing about it. */
struct sim_seen {
    uint64_t answer[INTENT_NOISE + 1][700]; /* by what was asked and the code; 0: success */
    uint64_t repeated;                      /* Allocates answered as before */
    uint64_t dual;
    uint64_t redeemed;
    uint64_t send_relayed;
    uint64_t send_dropped;
    uint64_t channel_relayed;
    uint64_t channel_dropped;
    uint64_t peer_as_data;
    uint64_t peer_as_channel;
    uint64_t peer_dropped;
    uint64_t icmp_told;
    uint64_t icmp_dropped;
    uint64_t noise_relayed;
    uint64_t waited;
    uint64_t limited; /* dropped for want of bandwidth */
    uint64_t moved;
    uint64_t closed;
    uint64_t expired;
    uint64_t revoked;
    uint64_t between_relays;
    uint64_t conn_accepted;
    uint64_t conn_refused;
    uint64_t conn_ended;
    uint64_t conn_expired;
    uint64_t conn_revoked;
    uint64_t hung_up;       /* connections that closed with an allocation */
    uint64_t lost;          /* of these, whose allocation lived on with its ticket */
    uint64_t padded;        /* ChannelData on streams */
    uint64_t domain_told;   /* ALTERNATE-DOMAIN */
    uint64_t shown;         /* Refreshes with tickets that moved their client, */
    uint64_t shown_again;   /* that came twice, */
    uint64_t forwarded;     /* and that came to another core than the allocation's */
    uint64_t below_opened;  /* channels handed over, */
    uint64_t below_refused; /* not taken, */
    uint64_t below_renewed;
    uint64_t below_relayed; /* packets of them, */
    uint64_t below_limited; /* and those for which there was no bandwidth */
    uint64_t travelled;     /* sessions in parcels while their clients moved */
};

struct sim {
    struct sim_options options;
    struct prng random;
    struct trace trace;
    struct net net;
    struct model model;
    struct site site;
    struct actor actor[SIM_ACTORS];
    uint32_t actor_count;
    uint8_t transport[SIM_ACTORS]; /* enum net_transport, by the client's index */
    uint64_t last_token;           /* the newest reservation anybody made */
    uint64_t now_ms;
    uint64_t start_ms;
    uint32_t steps_left;
    bool closing_down; /* the last step has been taken */
    bool failed;
    char why[SIM_WHY];
    uint64_t packets; /* handed to cores */
    struct sim_seen seen;
    struct intent_ticket ticket; /* in the answer in hand */
    struct client reader;
    struct pkt pkt; /* the packet in a core's hands */
    uint8_t buf[PKT_HEADROOM + NET_PACKET_MAX];
};

/* Play one scenario.  0; -EPROTO when the server and the model disagree (sim->why says how);
 * -ENOMEM when an allocation failed at start.  `sim` needs no preparation. */
int sim_play(struct sim *sim, const struct sim_options *options);

/* The first disagreement ends the scenario. */
__attribute__((format(printf, 2, 3))) void sim_fail(struct sim *sim, const char *format, ...);

uint64_t sim_wall_s(const struct sim *sim);

/* Let the cores' timers run up to `until_ms` and set the clock to it. */
void sim_advance(struct sim *sim, uint64_t until_ms);

/* --- site.c ------------------------------------------------------------------------------------
 */

/* 0 or -ENOMEM. */
MUST_USE int site_open(struct sim *sim);
void site_close(struct sim *sim);

/* The handle of the listener with that address. */
void *site_listener(struct sim *sim, const struct net_addr *server);

/* Where that flow goes instead of its listener's own core; NULL when nowhere. */
struct sim_flow *site_flow(struct sim *sim, const struct net_addr *client,
                           const struct net_addr *server);

/* From now on it goes to `core`. */
void site_steer(struct sim *sim, const struct net_addr *client, const struct net_addr *server,
                uint8_t core);

/* The core that serves a client at a listener; SIM_CORES when there is no such listener. */
uint8_t site_core_for(struct sim *sim, const struct net_addr *client,
                      const struct net_addr *server);

/* --- users.c -----------------------------------------------------------------------------------
 */

/* Names, passwords and keys; MODEL_NOBODY is one that the server does not know. */
/* Give configuration `which` its other realm, where all is as in the main one. */
void site_put_realm(struct site *site, uint32_t which);

void users_init(void);
const char *users_name(uint8_t user);
const char *users_password(uint8_t user);
const struct credential_key *users_key(uint8_t user);
struct bytes users_hash(uint8_t user);
uint16_t users_quota_from(uint8_t user);

/* --- effects.c ---------------------------------------------------------------------------------
 */

struct turn_effects effects_of(struct sim_core *core);

/* The open relay socket that is bound to that address, or NULL. */
struct sim_socket *effects_socket_at(struct sim *sim, const struct net_addr *bound);

/* Close reserved ports whose time is over. */
void effects_sweep(struct sim *sim);

/* --- admin.c -----------------------------------------------------------------------------------
 */

/* Put a changed copy of the configuration in force. */
void admin_reconfigure(struct sim *sim);

/* Move a session to another core in a parcel. */
void admin_move_session(struct sim *sim, struct model_alloc *a, uint8_t to);

/* End a session. */
void admin_close_session(struct sim *sim, struct model_alloc *a);

/* The connection or association of that client to a listener has closed. */
void admin_close_client(struct sim *sim, const struct net_addr *client,
                        const struct net_addr *server);

/* --- actor.c -----------------------------------------------------------------------------------
 */

void actor_init(struct sim *sim, struct actor *a, uint8_t index);

/* Do something, at random. */
void actor_act(struct sim *sim, struct actor *a);

/* RFC 8016: go to another address without closing the connection / show the ticket there. */
void roam_away(struct sim *sim, struct actor *a);
bool roam_wishes(struct sim *sim, const struct actor *a);
void roam_wish(struct sim *sim, const struct actor *a, struct intent *in);

/* Whether the client asks for a ticket. */
void roam_wish_ticket(struct sim *sim, const struct actor *a, struct intent *in);

/* The answer has a ticket. */
void roam_keep(struct actor *a, const struct intent_ticket *ticket);

/* Where the client sends from: it may still be where it was. */
struct net_addr roam_address(struct sim *sim, const struct actor *a);

/* The client is seen at another port from now on. */
void actor_rebind(struct actor *a);

/* A packet has reached the client. */
void actor_receive(struct sim *sim, struct actor *a, const struct net_packet *packet);

/* The transport over which the client with that address comes. */
uint8_t actor_transport(const struct sim *sim, const struct net_addr *client);

/* Fill `n` bytes of payload that follow from `seed`. */
void actor_payload(uint32_t seed, uint8_t *out, size_t n);

/* --- referee.c ---------------------------------------------------------------------------------
 */

/* Hand a packet to a core and judge what comes of it.  The packet is the callee's. */
void referee_client_packet(struct sim *sim, struct net_packet *packet);
void referee_peer_packet(struct sim *sim, struct sim_socket *socket, struct net_packet *packet);
void referee_icmp(struct sim *sim, struct sim_socket *socket, struct net_packet *packet);

/* --- reply_check.c -----------------------------------------------------------------------------
 */

/* Does the response carry what it must, and nothing that it must not (conformance section 6)? */
void reply_check(struct sim *sim, const struct intent *in, const struct expect *e,
                 const struct reply *r, size_t len);

/* --- audit.c -----------------------------------------------------------------------------------
 */

/* Compare one allocation / everything in the cores with the model. */
void audit_allocation(struct sim *sim, const struct model_alloc *a);
void audit_all(struct sim *sim);

/* Nothing may be left. */
void audit_empty(struct sim *sim);
