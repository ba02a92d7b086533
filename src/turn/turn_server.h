/* SPDX-License-Identifier: Apache-2.0 */
/* The STUN/TURN server core: one instance a worker, pure.
 *
 * It makes no system call and knows no clock, thread, socket or log.  A packet goes in and a
 * verdict comes out; the packet itself is rewritten in place into what is to be sent.  What the
 * core cannot do itself (open a relay socket, find a key, count a quota) it asks of its effects.
 *
 * Owner   the worker; turn_server_free() gives back every relay socket and quota it took.
 * Thread  that worker, no other.
 * Clock   `now_ms`, monotonic milliseconds, passed in, never going back; nonces need `wall_s`, Unix
 *         seconds, set by turn_server_set_wall(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "base/hash.h"
#include "base/net_addr.h"
#include "base/pkt.h"
#include "crypto/credential.h"
#include "turn/drop.h"
#include "turn/five_tuple.h"
#include "turn/gate.h"
#include "turn/turn_config.h"
#include "wire/stun_code.h"

struct turn_server;
struct turn_relay; /* one relayed transport address of one allocation; the core's */
struct turn_conn;  /* one peer data connection of a TCP allocation (RFC 6062); the core's */

/* What kind of relay port an Allocate wants. */
enum turn_port_want { TURN_PORT_ANY, TURN_PORT_EVEN, TURN_PORT_EVEN_RESERVE, TURN_PORT_RESERVED };

struct turn_relay_want {
    struct turn_relay *relay; /* to be handed back with every packet of that socket */
    struct net_addr
        server;       /* the address the client reached us at: a relay address if none is set */
    uint8_t family;   /* NET_V4 or NET_V6; of the reservation for TURN_PORT_RESERVED: ignored */
    uint8_t protocol; /* NET_UDP, or NET_TCP: a listening socket (RFC 6062), always TURN_PORT_ANY */
    enum turn_port_want want;
    uint64_t token;     /* TURN_PORT_RESERVED: the reservation to be redeemed */
    struct bytes user;  /* whose it is: reservations are limited per user */
    uint64_t new_token; /* TURN_PORT_EVEN_RESERVE: the token under which N+1 is to be kept */
};

struct turn_relay_grant {
    void *port;              /* the effects' own handle: packets to peers carry it */
    struct net_addr bound;   /* the local address of the socket */
    struct net_addr relayed; /* what the client is told (external-ip) */
};

enum turn_event_kind {
    TURN_EVENT_ALLOCATED,
    TURN_EVENT_REFRESHED,
    TURN_EVENT_PERMISSION, /* created or refreshed by CreatePermission or ChannelBind */
    TURN_EVENT_CHANNEL,
    TURN_EVENT_DELETED, /* by Refresh with LIFETIME 0 */
    TURN_EVENT_EXPIRED,
    TURN_EVENT_CLOSED,            /* by the server: shutdown, session ended by the administrator */
    TURN_EVENT_REVOKED,           /* a permission that the gate no longer grants (reload) */
    TURN_EVENT_CONNECTED,         /* a peer data connection, made or accepted (RFC 6062) */
    TURN_EVENT_CONNECTION_CLOSED, /* its end, told before the allocation's own */
    TURN_EVENT_MOVED,   /* RFC 8016: a Refresh from a new 5-tuple was granted; both are served */
    TURN_EVENT_LEFT,    /* RFC 8016: the 5-tuple `was` is over, and free for others */
    TURN_EVENT_REFUSED, /* a request was answered with `code` */
};

/* Spans and pointers are valid during the call only. */
struct turn_event {
    enum turn_event_kind kind;
    uint64_t session; /* allocation number, unique in the server; 0 when there is none */
    uint16_t method;
    enum stun_code code;    /* REFUSED */
    enum gate_verdict gate; /* why a peer was refused, with 403 */
    bool proven;            /* REFUSED: a NONCE of ours proved that the client receives at its
                               address; without one anybody may have sent it */
    const struct net_addr *client;
    const struct net_addr *server;
    const struct net_addr *relayed[2]; /* IPv4, IPv6; NULL when absent */
    const struct net_addr *peer;       /* NULL when none */
    void *listener;                    /* what reaches the client; NULL: REFUSED */
    uint8_t transport;                 /* of the client: enum net_transport; 0: REFUSED */
    struct bytes user;                 /* empty when unknown; of a token its account */
    const char *realm;                 /* that it is about */
    uint32_t lifetime_s;
    const struct turn_traffic *traffic; /* DELETED, EXPIRED, CLOSED */
    /* MOVED: client, server and listener are the new ones, these are where packets to the client
     * go as yet.  LEFT: what is no longer served; the others say where the client is, or
     * that it is nowhere (RFC 8016: its connection has ended): NET_NONE, no transport, no listener.
     */
    const struct five_tuple *was;
    void *was_listener;
};

/* Packets and payload bytes of one allocation. */
struct turn_traffic {
    uint64_t to_peer_packets;
    uint64_t to_peer_bytes;
    uint64_t to_client_packets;
    uint64_t to_client_bytes;
};

/* A bound channel of a client on UDP, as the path below the core has to know it.  Valid during the
 * call only. */
struct turn_flow {
    uint64_t session;
    uint16_t number;
    struct net_addr client; /* and the address that it sends to */
    struct net_addr server;
    struct net_addr relay; /* the local address of the relay socket */
    struct net_addr peer;
    uint32_t limit; /* limit_open()'s, or 0 */
    /* Relayed while now < until.  Towards the peer the channel and the relay count; towards the
     * client the permission, too. */
    uint64_t to_peer_until_ms;
    uint64_t to_client_until_ms;
};

/* What the core asks of its surroundings.  No call may come back into the core. */
struct turn_effects {
    void *arg; /* first argument of every call */

    /* Fill `n` bytes with cryptographically secure randomness. */
    void (*random_fill)(void *arg, uint8_t *out, size_t n);

    /* Find the keys of a user.  0 with `*out`; -ENOENT no such user; -EAGAIN: being looked up, the
     * verdict will be TURN_WAIT; -EBUSY: cannot be looked up now, the request is dropped. */
    int (*key_find)(void *arg, const struct credential_query *query, struct credential_keys *out);

    /* Open a relay socket.  0 with `*out`; -ENOSPC no port or socket (508); -EAFNOSUPPORT no
     * address of that family (440); -ENOENT no such reservation (508). */
    int (*relay_open)(void *arg, const struct turn_relay_want *want, struct turn_relay_grant *out);

    /* Close it and give its port back.  A reservation made with it lives on until its own end. */
    void (*relay_close)(void *arg, void *port);

    /* RFC 6062 section 5.2: begin a connection from the TCP relay `port` to `peer`.  0 with `*out`,
     * the effects' handle: turn_server_connected() tells how it went, later, never from inside this
     * call; -ENOSPC: no socket or memory (508); any other error: the peer cannot be reached, or is
     * held off (447). */
    int (*peer_connect)(void *arg, void *port, const struct net_addr *peer, struct turn_conn *conn,
                        void **out);

    /* Close the peer data connection `handle`, whatever its state, and the client data connection
     * that is bound to it, after what they still hold has been sent.  Its turn_conn is gone: the
     * core is told nothing more about it. */
    void (*peer_close)(void *arg, void *handle);

    /* ConnectionBind has succeeded: when the response has been sent, all further bytes of the
     * client connection `listener` go to `handle` as they are, and the other way round. */
    void (*peer_bind)(void *arg, void *handle, void *listener);

    /* Count an allocation of `user` of the realm with that id: 0, or -EDQUOT (486), or -ENOSPC
     * (508). */
    int (*quota_take)(void *arg, uint32_t realm, struct bytes user);
    void (*quota_give)(void *arg, uint32_t realm, struct bytes user);

    /* Ask for `bytes` of the server's whole bandwidth towards peers (0) or clients (1); returns how
     * many are granted (a lease, at least `bytes`, or 0). */
    uint64_t (*capacity_lease)(void *arg, int direction, uint32_t bytes, uint64_t now_ms);

    /* Which instance has that session: 0 or more; -ENOENT.  NULL: there is no other instance. */
    int (*session_owner)(void *arg, uint64_t session);

    /* What sends from address `at` of set `set` of the configuration's behaviour (RFC 5780): a
     * packet's `port`; NULL: nothing does now (500).  NULL: there are no sets. */
    void *(*behaviour_port)(void *arg, uint32_t set, uint32_t at);

    /* Tell of something that happened. */
    void (*event)(void *arg, const struct turn_event *event);

    /* A path below this core that relays the packets of bound channels by itself; all NULL when
     * there is none.  What it does not relay comes here as before.
     *
     * flow_open() hands a channel over: a handle, or 0 when it is not taken (it may be offered
     * again when something of it changes).  flow_renew() tells other deadlines.  flow_usage() tells
     * what was relayed since the last call, flow_close() that and takes the channel back: no packet
     * of it is relayed below afterwards. */
    uint32_t (*flow_open)(void *arg, const struct turn_flow *flow);
    void (*flow_renew)(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                       uint64_t to_client_until_ms);
    void (*flow_usage)(void *arg, uint32_t handle, struct turn_traffic *out);
    void (*flow_close)(void *arg, uint32_t handle, struct turn_traffic *out);

    /* The two buckets (towards peer, towards client) of an allocation in memory that both paths
     * take from; they begin as `from`.  A handle with `*out`, or 0: none, and no channel is handed
     * over while max-bps is set. */
    uint32_t (*limit_open)(void *arg, const struct bucket from[2], struct bucket **out);
    void (*limit_close)(void *arg, uint32_t handle);
};

struct turn_server_options {
    const struct turn_config *config; /* borrowed until the next turn_server_configure() */
    struct turn_effects effects;
    struct hash_key hash_key; /* secret of the tables */
    uint32_t max_allocations; /* of this instance */
    uint32_t instance;        /* which of `instances` this is, from 0: CONNECTION-IDs tell it */
    uint32_t instances;       /* the most there will ever be; 0 counts as 1 */
    uint64_t session_base;    /* sessions are numbered upward from this + 1: unique in the server */
    uint64_t now_ms;
    uint64_t wall_s;
};

/* Returns 0 with `*out`; -ENOMEM; -EIO when libcrypto lacks an algorithm. */
MUST_USE int turn_server_new(const struct turn_server_options *options, struct turn_server **out);

/* End every allocation (TURN_EVENT_CLOSED) and release all.  NULL is allowed. */
void turn_server_free(struct turn_server *server);

/* What is to become of a packet. */
enum turn_verdict {
    TURN_DROP,      /* nothing; counted under its reason */
    TURN_TO_CLIENT, /* send it to pkt->remote, from pkt->local through pkt->port (a listener) */
    TURN_TO_PEER,   /* send it to pkt->remote, from pkt->local through pkt->port (a relay socket) */
    TURN_WAIT,      /* keep the packet as it is and submit it again when the key is there */
    TURN_LATER,     /* it is answered later: see turn_server_connected() */
    TURN_ELSEWHERE, /* unchanged: turn_server_elsewhere() has its session and is to judge it */
};

/* A datagram or a whole message of a stream (without padding) from a client.  In: data, len, remote
 * (client), local (server address it was sent to), transport, port (listener, connection or
 * association, handed back with all packets to that client), tos.  A packet to a client has its
 * transport; on a stream ChannelData is padded (RFC 8656 section 12.5).  Hot path. */
enum turn_verdict turn_server_client_packet(struct turn_server *server, struct pkt *pkt,
                                            uint64_t now_ms);

/* The instance that the last packet with TURN_ELSEWHERE belongs to. */
uint32_t turn_server_elsewhere(const struct turn_server *server);

/* A datagram from a peer to `relay`.  In: data, len, remote (peer), tos; PKT_HEADROOM bytes of room
 * in front.  TURN_TO_CLIENT or TURN_DROP.  Hot path. */
enum turn_verdict turn_server_peer_packet(struct turn_server *server, struct turn_relay *relay,
                                          struct pkt *pkt, uint64_t now_ms);

/* The connection or association `listener` (pkt->port of its packets) of a client has ended: its
 * allocation ends with it (A-21; TURN_EVENT_CLOSED), unless a ticket was given for it: then it
 * lives on without its client (TURN_EVENT_LEFT; RFC 8016), which has no 5-tuple until it comes back
 * from a new one with the ticket: packets to it are dropped.  Harmless when it has none.  Others
 * may have the same 5-tuple (a DTLS handshake beside an association, what a balancer says): their
 * allocation stays.  NULL: whoever's. */
void turn_server_client_closed(struct turn_server *server, const struct five_tuple *tuple,
                               const void *listener, uint64_t now_ms);

/* True while the client has an allocation. */
bool turn_server_has_allocation(const struct turn_server *server, const struct five_tuple *tuple);

/* --- sessions -----------------------------------------------------------------------------------
 *
 * A session is an allocation: its number is unique in the server and goes with it.  While a client
 * moves (RFC 8016) it has two 5-tuples: that which packets to it go to, and a new one, from its
 * Refresh until it sends data from there.  Every function that is given a 5-tuple finds a session
 * by either. */

/* The number of the session of `tuple`, or 0. */
uint64_t turn_server_session(const struct turn_server *server, const struct five_tuple *tuple);

/* True with the 5-tuple that packets to the client of `session` go to. */
bool turn_server_find_session(const struct turn_server *server, uint64_t session,
                              struct five_tuple *out);

/* True while the client of `tuple` is moving, with both of its 5-tuples and what reaches them. */
bool turn_server_moving(const struct turn_server *server, const struct five_tuple *tuple,
                        struct five_tuple tuples[2], void *listeners[2]);

/* Where a client is, and what reaches it. */
struct turn_way {
    struct five_tuple tuple;
    void *listener;
};

/* The ways to the client of the session of `tuple`: first the one that packets to it go, then the
 * one that it is coming.  How many; 0: there is no session. */
uint32_t turn_server_ways(const struct turn_server *server, const struct five_tuple *tuple,
                          struct turn_way out[2]);

/* Call `each` with every 5-tuple and what reaches it: not at all for a client that is away, twice
 * for a client that is moving, unless the first call lets the session go.  `each` may pack and
 * forget that very session, no other. */
typedef void (*turn_server_each_fn)(void *arg, const struct five_tuple *tuple, void *listener);
void turn_server_each(struct turn_server *server, turn_server_each_fn each, void *arg);

/* From now on `listener` reaches the client at `tuple`.  Harmless without a session. */
void turn_server_set_listener(struct turn_server *server, const struct five_tuple *tuple,
                              void *listener);

/* --- peer data connections (RFC 6062; tcp_relay.c) ----------------------------------------------
 *
 * A TCP allocation has one TCP relay.  Every peer data connection has a CONNECTION-ID, unguessable
 * and unique among all instances; it is bound within 30 s or closed. */

/* What peer_connect() has come to.  Writes the response to the Connect into `pkt` (a free buffer):
 * TURN_TO_CLIENT; TURN_DROP when nobody waits for it.  After a failure `conn` is gone, without a
 * call of peer_close(); after a success peer_close() may be called from inside: the allocation has
 * expired, or the gate no longer grants the peer. */
enum turn_verdict turn_server_connected(struct turn_server *server, struct turn_conn *conn,
                                        bool success, struct pkt *pkt, uint64_t now_ms);

/* A peer has connected to the TCP relay `relay`; `handle` is the effects'.  TURN_TO_CLIENT with a
 * ConnectionAttempt indication in `pkt` and `*out_conn`; TURN_DROP, nothing kept: close it (no
 * permission, or the gate, or a bound). */
enum turn_verdict turn_server_peer_accepted(struct turn_server *server, struct turn_relay *relay,
                                            const struct net_addr *peer, void *handle,
                                            struct pkt *pkt, struct turn_conn **out_conn,
                                            uint64_t now_ms);

/* The peer data connection, or the client data connection bound to it, has ended: `conn` is gone
 * (no call of peer_close()). */
void turn_server_conn_closed(struct turn_server *server, struct turn_conn *conn);

/* A number that tells the users of connections apart, and nothing about them. */
uint64_t turn_conn_user_hash(const struct turn_server *server, const struct turn_conn *conn);

/* Bytes that a bound connection has carried, for the allocation's traffic: called now and then. */
void turn_server_conn_traffic(struct turn_server *server, struct turn_conn *conn,
                              uint64_t to_peer_bytes, uint64_t to_client_bytes);

/* `bytes` (or none) have just gone through a bound connection: for how many milliseconds nothing
 * more should be taken from their sender, so that max-bps and bps-capacity hold in the long run.
 * 0: go on; else ask again then. */
MUST_USE uint32_t turn_server_conn_pace(struct turn_server *server, struct turn_conn *conn,
                                        bool to_peer, uint64_t bytes, uint64_t now_ms);

/* Is `message` (whole) a ConnectionBind request with a CONNECTION-ID?  Then the instance that made
 * that id is `*out_instance` of `instances`: the request has to be judged there.  Pure. */
bool turn_connection_owner(struct bytes message, uint32_t instances, uint32_t *out_instance);

/* An ICMP error about a datagram that `relay` sent (RFC 8656 section 11.5). */
struct turn_icmp {
    struct net_addr peer; /* its destination; port 0 when unknown */
    uint8_t type;
    uint8_t code;
    uint32_t mtu; /* of "too big" errors, else ignored */
};

/* Turn `icmp` into a Data indication written to `pkt` (a free buffer).  TURN_TO_CLIENT or DROP. */
enum turn_verdict turn_server_peer_icmp(struct turn_server *server, struct turn_relay *relay,
                                        const struct turn_icmp *icmp, struct pkt *pkt,
                                        uint64_t now_ms);

/* Release what has expired by `now_ms`; handles at most `budget` allocations and returns how many
 * were handled (== budget: call again). */
uint32_t turn_server_tick(struct turn_server *server, uint64_t now_ms, uint32_t budget);

/* A time not later than the next deadline; UINT64_MAX when there is none. */
uint64_t turn_server_next_deadline(const struct turn_server *server);

/* Ask the path below the core what it has relayed, at most `budget` channels a call, those first
 * that were not asked for longest.  Returns how many were asked.  Between two calls (about a second
 * apart) counters and traffic lag behind; what tells the end of a session is exact. */
uint32_t turn_server_collect(struct turn_server *server, uint32_t budget);

/* Wall clock for nonces, Unix seconds; call at least once a second while packets flow. */
void turn_server_set_wall(struct turn_server *server, uint64_t wall_s);

/* Use another configuration from now on; the old one is no longer borrowed afterwards.  Permissions
 * and channels that its gate no longer grants are taken away by turn_server_recheck(), which also
 * tells the path below of all others again. */
void turn_server_configure(struct turn_server *server, const struct turn_config *config);

/* Ask the gate again about every permission and channel, `budget` allocations a call.  Returns true
 * when all were asked. */
bool turn_server_recheck(struct turn_server *server, uint32_t budget, uint64_t now_ms);

/* End the session with that number (TURN_EVENT_CLOSED).  0 or -ENOENT. */
MUST_USE int turn_server_close_session(struct turn_server *server, uint64_t session,
                                       uint64_t now_ms);

/* Numbers for statistics: written by the worker alone with relaxed stores; another thread reads
 * each with __atomic_load_n(.., __ATOMIC_RELAXED). */
struct turn_counters {
    uint64_t drops[DROP_COUNT];
    uint64_t requests[16]; /* by method number */
    uint64_t successes[16];
    uint64_t refused_300_to_599[300]; /* by error code - 300 */
    uint64_t to_peer_packets;
    uint64_t to_peer_bytes;
    uint64_t to_client_packets;
    uint64_t to_client_bytes;
};

/* Why the last packet of a client that was dropped was. */
enum drop turn_server_last_drop(const struct turn_server *server);

const struct turn_counters *turn_server_counters(const struct turn_server *server);
uint32_t turn_server_allocation_count(const struct turn_server *server);

/* --- the session parcel (design 1.3) ------------------------------------------------------------
 *
 * Everything that a session is made of, as one versioned record.  Times travel as what is left of
 * them, so the clocks of the two ends need not agree.  It holds the user's keys: it is a secret. */

enum {
    TURN_PARCEL_HEAD = 576 + CREDENTIAL_NAME_MAX + CREDENTIAL_ACCOUNT_MAX + CREDENTIAL_REALM_MAX,
    TURN_PARCEL_PERM = 24,
    TURN_PARCEL_CHAN = 34,
};

/* Write the session of `tuple` to `out` (TURN_PARCEL_HEAD bytes, and TURN_PARCEL_PERM / _CHAN for
 * each permission and channel, are enough).  0; -ENOENT; -ENOBUFS; -EOPNOTSUPP for a TCP
 * allocation: its connections cannot travel.  Its traffic is that of both paths:
 * the path below relays nothing of it from now on; if the session stays, until its client's next
 * request. */
MUST_USE int turn_server_pack(struct turn_server *server, const struct five_tuple *tuple,
                              uint64_t now_ms, struct writer *out);

/* The effects' handles of the relay sockets of `tuple`'s session (NULL: none of that family), and
 * the part of its user's name that quotas count; valid until the session ends.  0 or -ENOENT. */
MUST_USE int turn_server_ports(const struct turn_server *server, const struct five_tuple *tuple,
                               void *ports[2], struct bytes *quota_user);

/* The number of the realm of `tuple`'s session; 0 when there is none.  A parcel names the realm,
 * and names may change their numbers while it is on its way between workers of one process: who
 * counts by numbers gives it back its own. */
uint32_t turn_server_realm(const struct turn_server *server, const struct five_tuple *tuple);
void turn_server_set_realm(struct turn_server *server, const struct five_tuple *tuple,
                           uint32_t realm);

/* The session of `tuple` has left: forget it without closing its relay sockets or peer data
 * connections, giving back its quota or telling of an end.  A late duplicate of the Allocate that
 * made it is dropped here.  0 or -ENOENT. */
MUST_USE int turn_server_forget(struct turn_server *server, const struct five_tuple *tuple);

/* Take a session in, with its number.  `listener` reaches its client, at both 5-tuples if it is
 * moving (else see turn_server_set_listener()); `ports[0]` and `ports[1]` are the effects' handles
 * of its IPv4 and IPv6 relay sockets (NULL for a family that the parcel lacks); its quota is
 * already counted.  0 with `out_relays`; -EBADMSG; -EEXIST when a 5-tuple has an allocation, or the
 * session is here; -EINVAL when the ports do not match the relays; -ENOSPC; nothing is kept then.
 */
MUST_USE int turn_server_unpack(struct turn_server *server, struct bytes parcel, void *listener,
                                void *const ports[2], struct turn_relay *out_relays[2],
                                uint64_t now_ms);
