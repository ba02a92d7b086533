/* SPDX-License-Identifier: Apache-2.0 */
/* A server core with everything around it made of arrays: for unit tests, simulation and fuzzing.
 *
 * The effects are plain and deterministic: relay "sockets" are slots, ports come from the real port
 * pool, quotas from the real quota table, randomness from a seeded generator.  Users are those of
 * world_add_user().  Nothing here sends: a test hands packets in and looks at what comes out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/pkt.h"
#include "crypto/random.h"
#include "relay/port_pool.h"
#include "turn/gate.h"
#include "turn/quota.h"
#include "turn/turn_server.h"

enum {
    WORLD_MAX_USERS = 16,
    WORLD_MAX_SOCKETS = 4096,
    WORLD_MAX_RESERVATIONS = 64,
    WORLD_MAX_CONNS = 256,
    WORLD_PKT_CAP = 65535,
};

/* One relay socket. */
struct world_socket {
    bool open;
    uint8_t protocol;
    struct net_addr bound;
    struct turn_relay *relay; /* NULL while it only keeps a reserved port */
};

/* One peer data connection, as the effects see it: what the core has asked for. */
struct world_conn {
    bool used;
    bool connecting;        /* peer_connect() was called, and world_connected() was not yet */
    bool closed;            /* peer_close() was called */
    void *bound_to;         /* the listener of peer_bind(), or NULL */
    struct turn_conn *conn; /* NULL when the core has forgotten it */
    struct world_socket *socket;
    struct net_addr peer;
};

struct world_reservation {
    uint64_t token;
    uint64_t expires_ms;
    struct world_socket *socket;
};

struct world_user {
    char name[CREDENTIAL_NAME_MAX + 1];
    const char *realm;
    const char *token;   /* ACCESS-TOKEN of one who comes with it, his kid is `name`; or NULL */
    uint32_t lifetime_s; /* that the token allows; 0: any */
    bool own_realm;      /* the token's key is of `realm`, whatever realm was asked for */
    struct credential_key key;
    bool removed;
};

/* What the last event said (the newest of each kind), and how often each kind came. */
struct world_events {
    uint64_t count[TURN_EVENT_REFUSED + 1];
    enum stun_code last_code;
    enum gate_verdict last_gate;
    struct net_addr last_client;
    struct net_addr last_peer; /* of an event that has one */
    char last_user[64];
    struct turn_traffic last_traffic;
    struct five_tuple last_was; /* of an event that has one */
    void *last_was_listener;
    void *last_listener;
    uint64_t last_session;
};

struct world {
    struct turn_config config; /* edit before world_start(), or edit and world_reconfigure() */
    struct gate_options gate_options;
    struct gate *gate;
    struct port_pool *pool;
    struct port_pool_options pool_options;
    struct quota *quota;
    uint32_t quota_realm; /* that it was taken or given back for last */
    struct crypto_random *random;
    struct turn_server *server;
    /* Between world_init() and world_start(): more effects, such as a path below the core.  Their
     * `arg` is the world. */
    void (*edit_effects)(struct turn_effects *effects);
    uint32_t max_allocations;
    uint64_t now_ms;
    uint64_t wall_s;
    uint64_t start_ms;
    uint64_t start_wall_s;
    struct net_addr server_addr[2]; /* listeners, IPv4 and IPv6: port 3478 */
    struct world_user users[WORLD_MAX_USERS];
    uint32_t user_count;
    uint32_t key_lookups;
    int key_answer;            /* when not 0, what key_find returns (-EAGAIN, -EBUSY) */
    uint64_t capacity_left[2]; /* what capacity_lease may still grant, by direction */
    struct world_socket sockets[WORLD_MAX_SOCKETS];
    uint32_t open_sockets;
    struct world_conn conns[WORLD_MAX_CONNS];
    int connect_answer; /* what peer_connect returns */
    uint32_t instance;  /* of the server */
    uint32_t instances;
    uint64_t session_base;
    int session_owner; /* what session_owner() answers */
    struct world_reservation reservations[WORLD_MAX_RESERVATIONS];
    struct world_events events;
    struct pkt pkt; /* the packet in hand */
    uint8_t buf[PKT_HEADROOM + WORLD_PKT_CAP];
};

/* Addresses of the stage. */
#define WORLD_SERVER_V4 "192.0.2.1"
#define WORLD_SERVER_V6 "2001:db8::1"
#define WORLD_REALM     "example.org"

/* Fill `w` with a usual configuration: authentication on, both families, documentation networks
 * open as peers.  Returns 0.  Call world_start() next. */
void world_init(struct world *w, uint64_t seed);

/* Build gate, pool, quota and server from what `w` says.  Returns 0 or negative errno. */
int world_start(struct world *w);

/* End the server and release everything; checks nothing. */
void world_stop(struct world *w);

/* A new gate with these rules in force from now on, and the configuration as edited. NULL: none. */
int world_reconfigure(struct world *w, const char *const *allow, const char *const *deny);

/* A user of WORLD_REALM with a password: both keys. */
struct world_user *world_add_user(struct world *w, const char *name, const char *password);

/* The same in another realm, which is borrowed. */
struct world_user *world_add_user_of(struct world *w, const char *realm, const char *name,
                                     const char *password);

/* A holder of an ACCESS-TOKEN (RFC 7635): the bytes of `token` stand for a mac_key of 20 bytes,
 * each of them `fill`.  The texts are borrowed. */
struct world_user *world_add_token(struct world *w, const char *kid, const char *token,
                                   uint8_t fill);

/* Let time pass: the server's timers run at their deadlines. */
void world_advance(struct world *w, uint64_t ms);

/* An address from text, "192.0.2.7:1000" or "[2001:db8::7]:1000"; aborts when it is none. */
struct net_addr world_addr(const char *text);

/* Hand a datagram of `n` bytes from `client` to the server address of its family.  The verdict's
 * packet is w->pkt. */
enum turn_verdict world_from_client(struct world *w, const struct net_addr *client,
                                    const uint8_t *data, size_t n);

/* The same over another transport: a whole message, without padding.  `connection` stands for what
 * carries it. */
enum turn_verdict world_from_client_over(struct world *w, const struct net_addr *client,
                                         uint8_t transport, void *connection, const uint8_t *data,
                                         size_t n);

/* Hand a datagram from `peer` to the relay socket bound to `relayed`.  TURN_DROP when there is no
 * such socket, as the kernel would. */
enum turn_verdict world_from_peer(struct world *w, const struct net_addr *relayed,
                                  const struct net_addr *peer, const uint8_t *data, size_t n);

/* An ICMP error for a datagram that the relay socket bound to `relayed` sent. */
enum turn_verdict world_icmp(struct world *w, const struct net_addr *relayed,
                             const struct turn_icmp *icmp);

/* The connection of the effects with `peer` that was asked for last, or NULL. */
struct world_conn *world_conn(struct world *w, const struct net_addr *peer);

/* Tell how the connection went: the verdict about w->pkt. */
enum turn_verdict world_connected(struct world *w, struct world_conn *conn, bool success);

/* `peer` connects to the TCP relay bound to `relayed`: the verdict about w->pkt, and `*out_conn`
 * when it is TURN_TO_CLIENT.  TURN_DROP when there is no such socket. */
enum turn_verdict world_accept(struct world *w, const struct net_addr *relayed,
                               const struct net_addr *peer, struct world_conn **out_conn);

/* The connection ends by itself. */
void world_conn_closed(struct world *w, struct world_conn *conn);

/* The counter of one drop reason. */
uint64_t world_drops(const struct world *w, enum drop why);
