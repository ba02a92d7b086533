/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: what a TURN server must do, as plain arrays and linear searches, written from the
 * rows of the conformance checklist and not from the server's code.  It is told what a client meant
 * (struct intent), says which answers are right, and remembers what the chosen one changed.
 *
 * Nothing ever runs a timer here: an entry is alive while now < expires, and that is all.
 *
 * Owner   the simulation.  Thread  one.  Clock  virtual milliseconds, passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "crypto/credential.h"
#include "intent.h"
#include "turn/turn_config.h"
#include "turn/turn_server.h"

enum {
    MODEL_ALLOCS = 96,
    MODEL_ENTRIES = 32, /* permissions or channels of an allocation, expired ones included */
    MODEL_DEAD = 96,
    MODEL_CODES = 6,
    MODEL_CONNS = 320,
    MODEL_PREFIXES = 48,
    MODEL_USERS = 4,
};

struct model_relay {
    bool open;
    struct net_addr bound;
    uint64_t expires_ms;
};

struct model_perm {
    struct net_ip ip;
    uint8_t row; /* of the catalogue of peers */
    uint64_t expires_ms;
};

struct model_chan {
    uint16_t number;
    uint8_t row;
    struct net_addr peer;
    uint64_t expires_ms;
};

struct model_alloc {
    bool used;
    struct net_addr client;
    struct net_addr server;
    uint8_t transport;
    uint8_t protocol; /* of its relays: NET_UDP or NET_TCP */
    uint8_t core;
    uint8_t user;
    uint64_t session; /* as last told by an event; 0 when not known */
    uint64_t created_ms;
    uint8_t tid[STUN_TID];
    uint64_t token;
    uint16_t error_code[2]; /* of the family that a dual allocation lacks */
    struct model_relay relay[2];
    struct model_perm perm[MODEL_ENTRIES];
    struct model_chan chan[MODEL_ENTRIES];
    uint64_t bytes[2]; /* passed so far: towards peers, towards the client */
    uint32_t number;   /* among all that there ever were */
    bool mobile;       /* RFC 8016: it has a ticket */
    bool away;         /* its connection is gone; client and server: what the core says */
    bool heard;        /* the request that is being judged says that it is at `coming` */
    bool moving;       /* its client has shown it at `coming`, and not sent data from there */
    struct net_addr coming_client;
    struct net_addr coming_server;
    uint64_t moved_ms;
    uint8_t move_tid[STUN_TID];
    struct intent_ticket ticket; /* in force */
    uint64_t passed[2];          /* packets, whichever path relayed them */
    uint64_t refused[2];         /* dropped for want of the server's bandwidth, which also costs */
};

/* A peer data connection (RFC 6062). */
struct model_conn {
    bool used; /* the core has it */
    bool connecting;
    bool bound;
    uint8_t row;
    uint8_t integrity; /* enum model_integrity of the Connect */
    uint32_t id;       /* 0 while connecting */
    uint32_t serial;
    struct model_alloc *alloc;
    struct net_addr peer;
    uint64_t expires_ms; /* while it waits to be bound */
    struct turn_conn *conn;
};

/* An allocation that has ended: the transaction that made it. */
struct model_dead {
    struct net_addr client;
    struct net_addr server;
    uint8_t tid[STUN_TID];
    uint64_t until_ms;
};

/* Challenges of one core to one source prefix. */
struct model_prefix {
    uint8_t bytes[9];
    uint64_t tokens; /* thousandths */
    uint64_t last_ms;
};

struct model_reservation {
    uint64_t token;
    struct net_addr bound;
    uint64_t expires_ms;
};

struct model {
    const struct turn_config *config;
    uint8_t rules; /* of the gate */
    uint32_t nonce_generation;
    uint32_t user_quota;
    uint32_t total_quota;
    uint32_t max_allocations; /* of one core */
    uint32_t max_reservations;
    bool user_removed[MODEL_USERS];
    int key_answer; /* 0, -EAGAIN or -EBUSY */
    uint64_t start_ms;
    struct model_alloc alloc[MODEL_ALLOCS];
    uint32_t alloc_number;
    uint32_t moves; /* how often clients have moved, */
    uint32_t lefts; /* and how often 5-tuples were left */
    struct model_conn conn[MODEL_CONNS];
    uint32_t conn_serial;
    int connect_answer; /* of peer_connect(): 0, -ENOSPC, -ECONNREFUSED */
    struct model_dead dead[MODEL_DEAD];
    uint32_t next_dead;
    struct model_prefix prefix[MODEL_PREFIXES];
    uint32_t prefix_count;
    struct model_reservation reservation[4];
    uint64_t passed[2]; /* packets of all allocations that there were */
    uint16_t port_min;
    uint16_t port_max;
};

/* Which integrity a response carries. */
enum model_integrity { MODEL_UNSIGNED, MODEL_MI, MODEL_MI256 };

/* What a ticket in a Refresh is worth. */
enum model_ticket {
    MODEL_NO_TICKET,
    MODEL_TICKET_FORBIDDEN,
    MODEL_TICKET_BAD, /* invalid, too old, or the client is where it was */
    MODEL_TICKET_GONE,
    MODEL_TICKET_AGAIN,
    MODEL_TICKET_GOOD,
};

/* What may become of a packet.  For a request: any of the codes (0 is success). */
struct expect {
    int code[MODEL_CODES];
    uint32_t code_count;
    bool drop;
    bool wait;
    enum model_integrity integrity;
    bool later;
    struct model_alloc *alloc; /* that the request is about, or NULL */
    struct model_conn *conn;   /* that a ConnectionBind names, or NULL */
    enum model_ticket ticket;
    bool retransmission; /* of the Allocate that made it */
    uint8_t family[2];   /* Allocate: wanted relays, 0 for none; [1] of a dual one */
    bool dual;
    enum intent_even even;
    bool redeem;
    uint32_t lifetime_s;
    bool survives;     /* Refresh with LIFETIME 0: the other family's relay goes on */
    uint16_t unknown;  /* 420: the attribute to be named */
    const char *realm; /* in which it is judged */
};

static inline void expect_code(struct expect *e, int code)
{
    e->code[e->code_count++] = code;
}

bool expect_has(const struct expect *e, int code);

/* --- users: 0..MODEL_USERS-1, and one that nobody knows ----------------------------------------
 */

enum { MODEL_NOBODY = MODEL_USERS, MODEL_ANONYMOUS = MODEL_USERS + 1 };

#define SIM_REALM "example.org"
#define SIM_OTHER "north.example" /* one of the users is of this realm */

/* The realm of `user`, whom everybody agrees on (users.c). */
const char *users_realm(uint8_t user);

/* Two time-limited names are one user for quotas. */
uint8_t model_quota_user(uint8_t user);

/* --- state (model.c) ---------------------------------------------------------------------------
 */

struct model_alloc *model_find(struct model *m, const struct net_addr *client,
                               const struct net_addr *server, uint64_t now_ms);

/* The record, expired or not, of an allocation that the server has not ended yet. */
struct model_alloc *model_record(struct model *m, const struct net_addr *client,
                                 const struct net_addr *server);

/* The allocation whose relay is bound to `relayed`, expired or not, with the relay's index. */
struct model_alloc *model_of_relay(struct model *m, const struct net_addr *relayed, int *out_index);

bool model_alive(const struct model_alloc *a, uint64_t now_ms);
bool model_relay_alive(const struct model_alloc *a, uint8_t family, uint64_t now_ms);
struct model_perm *model_perm(struct model_alloc *a, const struct net_ip *ip, uint64_t now_ms);
struct model_chan *model_chan_number(struct model_alloc *a, uint16_t number, uint64_t now_ms);
struct model_chan *model_chan_peer(struct model_alloc *a, const struct net_addr *peer,
                                   uint64_t now_ms);
uint32_t model_perm_count(const struct model_alloc *a, uint64_t now_ms);
uint32_t model_chan_count(const struct model_alloc *a, uint64_t now_ms);

/* Allocations that the server has not ended: of a core, of a user (as quotas count), in all.  With
 * `alive_ms` only those alive then; 0: all. */
uint32_t model_count_core(const struct model *m, uint8_t core, uint64_t alive_ms);
uint32_t model_count_user(const struct model *m, uint8_t user, uint64_t alive_ms);
uint32_t model_count_all(const struct model *m, uint64_t alive_ms);

/* A free record; NULL when there is none. */
struct model_alloc *model_new(struct model *m);

/* The allocation has ended: remember its making transaction for a while. */
void model_end(struct model *m, struct model_alloc *a, uint64_t now_ms);

/* True while a late duplicate of that Allocate must not make it again. */
bool model_dead(const struct model *m, const struct net_addr *client, const struct net_addr *server,
                const uint8_t tid[STUN_TID], uint64_t now_ms);

void model_permit(struct model_alloc *a, const struct intent_peer *peer, uint64_t expires_ms,
                  uint64_t now_ms);
void model_bind(struct model_alloc *a, const struct intent *in, uint64_t expires_ms,
                uint64_t now_ms);

/* The connection of `a` with that peer / with that id, when it is alive. */
struct model_conn *model_conn_peer(struct model *m, const struct model_alloc *a,
                                   const struct net_addr *peer, uint64_t now_ms);
struct model_conn *model_conn_id(struct model *m, uint32_t id, uint64_t now_ms);
uint32_t model_conn_count(const struct model *m, const struct model_alloc *a, uint64_t now_ms);

/* May `peer` connect to the relay of `a`? */
bool model_accept(struct model *m, struct model_alloc *a, const struct net_addr *peer,
                  uint64_t now_ms);

/* Another set of rules is in force: what it does not grant is gone. */
void model_recheck(struct model *m, uint64_t now_ms);

struct model_reservation *model_reservation(struct model *m, uint64_t token, uint64_t now_ms);
uint32_t model_reservation_count(const struct model *m, uint64_t now_ms);

/* May another unsigned refusal go to that source now?  Datagrams, whose source anybody may borrow,
 * have another account than the rest.  model_charge() when one went. */
bool model_may_challenge(struct model *m, uint8_t core, uint8_t transport,
                         const struct net_addr *client, uint64_t now_ms);
void model_charge(struct model *m, uint8_t core, uint8_t transport, const struct net_addr *client,
                  uint64_t now_ms);

/* The time of some deadline of some allocation, the `pick`-th of them; 0 when there is none. */
uint64_t model_deadline(const struct model *m, uint32_t pick, uint64_t now_ms);

/* --- judgement (model_auth.c, model_request.c, model_data.c) -----------------------------------
 */

struct model_input {
    const struct intent *in;
    const struct net_addr *from;
    const struct net_addr *to;
    uint8_t transport; /* enum net_transport: a client's address has one */
    uint8_t core;
    uint64_t now_ms;
    uint64_t wall_s;
};

/* Steps of the long-term credential mechanism.  True when the request is authentic (or needs no
 * authentication); else `e` holds what may become of it. */
bool model_authenticate(struct model *m, const struct model_input *at, struct expect *e);

/* Whom a NONCE is bound to: over a stream, where nobody can borrow an address, any port of it. */
struct net_addr model_nonce_owner(const struct net_addr *client, uint8_t transport);

/* What must become of a request (not mutated). */
void model_request(struct model *m, const struct model_input *at, struct expect *e);

/* Does a Send indication or ChannelData message reach a peer?  Then `*out_peer` is where. */
bool model_to_peer(struct model *m, const struct model_input *at, struct net_addr *out_peer,
                   struct model_alloc **out_alloc);

/* May, whatever the packet was, something go from this client to that peer now? */
bool model_peer_reachable(struct model *m, const struct net_addr *client,
                          const struct net_addr *server, const struct net_addr *peer,
                          uint64_t now_ms);

/* Does a datagram from `peer` to that relay reach the client?  `*out_channel` is its channel's
 * number, or 0 for a Data indication. */
bool model_to_client(struct model *m, struct model_alloc *a, int relay, const struct net_addr *peer,
                     uint64_t now_ms, uint16_t *out_channel);

/* Is an ICMP error about something sent to `icmp->peer` told to the client? */
bool model_icmp(struct model *m, struct model_alloc *a, int relay, const struct turn_icmp *icmp,
                uint64_t now_ms);

/* Limits of bandwidth: must `bytes` more pass, and may they? */
bool model_bandwidth_must(const struct model *m, const struct model_alloc *a, int direction,
                          uint64_t bytes);
bool model_bandwidth_may(const struct model *m, const struct model_alloc *a, int direction,
                         uint64_t bytes, uint64_t now_ms);

/* --- clients that move: RFC 8016 (model_mobility.c) ---------------------------------------------
 */

/* T-8016-5-02, T-8016-3.1.2-01 */
bool model_mobility_allowed(const struct model *m, const struct model_input *at);

/* Is the allocation that the ticket of a Refresh names another core's?  Then `*out_core` has it. */
bool model_elsewhere(struct model *m, const struct model_input *at, uint8_t *out_core);

/* What a Refresh with a ticket is about: e->alloc and e->ticket. */
void model_ticket(struct model *m, const struct model_input *at, struct expect *e);

/* Is it refused for its ticket?  The code, or 0; the user aside. */
int model_ticket_code(const struct expect *e);

/* The Refresh is granted. */
void model_move(struct model *m, struct model_alloc *a, const struct model_input *at);

/* Data has come: if it came from where its client was moving to, that is where he is now. */
void model_hear(struct model *m, const struct model_input *at);

void model_arrive(struct model *m, struct model_alloc *a, uint64_t now_ms);
void model_stay(struct model *m, struct model_alloc *a);

/* The connection of its client is gone, and it lives on: T-8016-3.2.2-17. */
void model_lose(struct model *m, struct model_alloc *a, uint64_t now_ms);

/* It is back, and served there at once: no old place is left to be served. */
void model_return(struct model *m, struct model_alloc *a, const struct net_addr *client,
                  const struct net_addr *server);

/* The 5-tuple by which the core has it. */
struct five_tuple model_tuple(const struct model_alloc *a);

/* Is that the 5-tuple that the client of `a` is moving to? */
bool model_is_coming(const struct model_alloc *a, const struct net_addr *client,
                     const struct net_addr *server);

/* The lifetime that a request is granted (RFC 8656 sections 7.2 and 8.2). */
uint32_t model_lifetime(const struct turn_config *config, const struct intent *in);
