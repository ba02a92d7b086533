/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations with their permissions and channels, and the tables that find them.
 *
 * Owner   the server core; everything lies in slabs whose limits are the memory plan.
 * Thread  the worker.  Clock  milliseconds, passed in: an entry is alive while now < expires. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bucket.h"
#include "base/bytes.h"
#include "base/list.h"
#include "base/net_addr.h"
#include "base/slab.h"
#include "base/table.h"
#include "base/wheel.h"
#include "crypto/credential.h"
#include "crypto/mac.h"
#include "turn/five_tuple.h"
#include "turn/turn_server.h"
#include "wire/stun_msg.h"

/* A user's name, as long as it is. */
struct turn_name {
    uint16_t len;
    uint16_t quota_from; /* what quotas count: a part of the name, or behind it */
    uint16_t quota_len;
    uint8_t bytes[];
};

/* Bytes of the name, and of what quotas count where that stands behind it. */
static inline size_t turn_name_bytes(const struct turn_name *name)
{
    const size_t account_end = (size_t)name->quota_from + name->quota_len;

    return name->len > account_end ? name->len : account_end;
}

/* One relayed transport address. */
struct turn_relay {
    struct turn_alloc *alloc;
    void *port; /* the effects' handle; NULL while there is none */
    uint64_t expires_ms;
    struct net_addr bound;   /* local address of the socket */
    struct net_addr relayed; /* what the client was told */
};

/* RFC 8656 section 9: an IP address that may be heard from. */
struct turn_perm_key {
    uint64_t session;
    struct net_ip ip;
};

struct turn_perm {
    struct turn_perm_key key;
    uint64_t expires_ms;
    struct list node; /* in alloc->perms */
};

/* RFC 8656 section 12: a channel number bound to a peer's transport address. */
struct turn_chan_number {
    uint64_t session;
    uint64_t number;
};

struct turn_chan_peer {
    uint64_t session;
    struct net_addr addr;
};

/* A channel at the path below the core (flow.c). */
struct turn_handed {
    uint32_t handle;      /* 0: the path below does not have it */
    uint64_t until_ms[2]; /* the deadlines it was told last, towards peer and client */
    struct list node;     /* in tables->flows while there is a handle */
};

struct turn_chan {
    struct turn_chan_number number;
    struct turn_chan_peer peer;
    uint64_t expires_ms;
    struct list node; /* in alloc->chans */
    struct turn_handed flow;
};

/* RFC 6062: a connection between a TCP relay and a peer, until the client binds one of its own to
 * it, and then the pair. */
enum turn_conn_state {
    TURN_CONN_CONNECTING, /* a Connect that is not answered yet */
    TURN_CONN_WAITING,    /* for its ConnectionBind */
    TURN_CONN_BOUND,
};

struct turn_conn_peer {
    uint64_t session;
    struct net_addr addr;
};

/* What the answer to a Connect needs of its request. */
struct turn_conn_request {
    uint32_t has; /* enum turn_has */
    uint8_t tid[STUN_TID];
    uint8_t transmit_count;
    uint8_t integrity; /* enum turn_integrity */
    uint8_t key_len;
    uint8_t
        key[CREDENTIAL_MAC_MAX]; /* as it was when the request was proven; wiped at the answer */
};

struct turn_conn {
    uint32_t id; /* CONNECTION-ID */
    uint8_t state;
    struct turn_conn_peer peer;
    struct turn_alloc *alloc;
    void *handle;                     /* the effects'; NULL while there is none */
    uint64_t expires_ms;              /* WAITING: when it must be bound; else UINT64_MAX */
    struct list node;                 /* in alloc->conns */
    struct turn_conn_request request; /* CONNECTING */
};

/* RFC 8016: what is known of a client that may move.  After a Refresh from a new 5-tuple both are
 * served, until data comes from the new one. */
struct turn_mobile {
    struct five_tuple coming; /* while `moving`: where it was last heard */
    uint32_t serial;          /* of the ticket in force, from 1 */
    struct turn_alloc *alloc;
    void *listener;        /* what reaches `coming` */
    uint64_t moved_ms;     /* when the ticket in force was given for an older one; 0: it was not */
    uint8_t tid[STUN_TID]; /* of that Refresh: to know it when it comes again */
    bool moving;
};

struct turn_alloc {
    struct five_tuple tuple; /* packets to the client go there */
    uint32_t chan_count;
    uint64_t session;
    void *listener;              /* what reaches the client */
    struct turn_mobile *mobile;  /* NULL: it was not asked for */
    struct turn_relay relay[2];  /* [0] IPv4, [1] IPv6; unused: port is NULL */
    struct bucket bucket[2];     /* max-bps: towards the peer, towards the client */
    struct bucket *shared;       /* the two while the path below takes from them, too; or NULL */
    uint32_t limit;              /* its handle of those, or 0 */
    uint32_t flow_count;         /* channels that the path below has */
    uint32_t realm;              /* id of struct turn_realm */
    struct turn_perm *last_perm; /* that was asked for with turn_perm_again(), or NULL */
    struct turn_chan *last_chan; /* and turn_chan_again(), turn_chan_with() */
    struct list perms;
    struct list chans;
    struct list conns;        /* peer data connections */
    struct list node;         /* in tables->allocs, oldest judged by the gate first */
    struct wheel_timer timer; /* not later than the first thing in here that expires */
    uint64_t created_ms;
    uint64_t reservation; /* RESERVATION-TOKEN that was granted, or 0 */
    struct turn_name *user;
    struct credential_key key; /* proves requests without asking anybody */
    uint64_t until_ms;         /* no lifetime beyond it: the token's end (RFC 7635); 0: none */
    uint64_t origin;           /* turn_origin_mark() of the Allocate */
    struct turn_traffic traffic;
    uint32_t perm_count;
    uint32_t gate_generation; /* the configuration whose gate has judged it */
    uint32_t conn_count;
    uint64_t conns_until_us[2]; /* max-bps: until then its connections have had their share */
    uint16_t family_code[2];    /* asked for but not granted: why IPv4 / IPv6 is missing, or 0 */
    uint8_t protocol;           /* of its relays: NET_UDP or NET_TCP */
    uint8_t tid[STUN_TID];      /* of the Allocate that made it */
};

/* An ended allocation's making transaction: a late duplicate must not make it again. */
struct turn_tombstone {
    struct turn_tombstone_key {
        struct five_tuple tuple;
        uint8_t tid[STUN_TID];
    } key;

    uint64_t expires_ms;
    struct list node; /* in tables->tombs, oldest first */
    bool travelled;   /* the allocation has not ended: another instance has it */
};

struct turn_tables {
    struct turn_alloc *last_alloc; /* that was found with turn_alloc_again(), or NULL */
    struct table by_tuple;         /* struct turn_alloc */
    struct table perms;            /* struct turn_perm */
    struct table by_number;        /* struct turn_chan */
    struct table by_peer;          /* struct turn_chan */
    struct table by_tid;           /* struct turn_tombstone */
    struct table by_session;
    struct table coming; /* struct turn_mobile while it is moving */
    struct table conns;  /* struct turn_conn, by CONNECTION-ID */
    struct table conn_peers;
    struct slab *alloc_slab;
    uint32_t perm_pool;   /* entries beyond what each allocation is sure of: how many there are */
    uint32_t perm_shared; /* and how many of them are out */
    uint32_t chan_pool;
    uint32_t chan_shared;
    uint32_t conn_pool;
    uint32_t conn_shared;
    struct slab *perm_slab;
    struct slab *chan_slab;
    struct slab *conn_slab;
    struct slab *tomb_slab;
    struct slab *mobile_slab;
    struct slab *name_slab; /* names of usual length */
    struct slab *long_name_slab;
    struct list allocs;
    struct list tombs;
    struct list flows; /* channels that the path below has: usage is asked for in this order */
    uint32_t flow_count;
    struct wheel *wheel;
    uint64_t next_session;
    uint32_t generation; /* of the configuration */
};

/* 0 or -ENOMEM (nothing is held then). */
MUST_USE int turn_tables_init(struct turn_tables *t, struct wheel *wheel, struct hash_key key,
                              uint32_t max_allocations);
void turn_tables_fini(struct turn_tables *t);

/* Make an allocation for `tuple` without relays.  NULL at the limit or without memory. */
MUST_USE struct turn_alloc *turn_alloc_new(struct turn_tables *t, const struct five_tuple *tuple,
                                           uint64_t now_ms);

/* The same for one that has a number already, which must be in use neither here nor anywhere. */
MUST_USE struct turn_alloc *turn_alloc_adopt(struct turn_tables *t, const struct five_tuple *tuple,
                                             uint64_t session, uint64_t now_ms);

/* Release `alloc` with its permissions and channels; its relays must be closed. */
void turn_alloc_free(struct turn_tables *t, struct turn_alloc *alloc);

/* By its 5-tuple, or by the one that its client is moving to.  Hot path: one probe. */
struct turn_alloc *turn_alloc_find(const struct turn_tables *t, const struct five_tuple *tuple);

/* The same, and the next packet of a burst costs a comparison.  Hot path. */
struct turn_alloc *turn_alloc_again(struct turn_tables *t, const struct five_tuple *tuple);

/* From now on `alloc` has `tuple`, which no other has. */
void turn_alloc_readdress(struct turn_tables *t, struct turn_alloc *alloc,
                          const struct five_tuple *tuple);

/* The allocation with that number, or NULL. */
struct turn_alloc *turn_alloc_numbered(const struct turn_tables *t, uint64_t session);

/* Give `alloc` a copy of a user's name, `name.n` bytes, and of what quotas count, which may stand
 * behind these.  0 or -ENOMEM. */
MUST_USE int turn_alloc_set_user(struct turn_tables *t, struct turn_alloc *alloc, struct bytes name,
                                 uint16_t quota_from, uint16_t quota_len);
struct bytes turn_alloc_user(const struct turn_alloc *alloc);
struct bytes turn_alloc_quota_user(const struct turn_alloc *alloc);

/* The user as the administrator is told of him: what quotas count where the name itself says
 * nothing. */
struct bytes turn_alloc_told_user(const struct turn_alloc *alloc);

/* The relay of `family`, or NULL when there is none. */
struct turn_relay *turn_alloc_relay(struct turn_alloc *alloc, uint8_t family);

/* See to it that the allocation is looked at by `deadline_ms`. */
void turn_alloc_wake_by(struct turn_tables *t, struct turn_alloc *alloc, uint64_t deadline_ms);

/* Release expired permissions and channels and set the timer for the next thing that expires. */
void turn_alloc_sweep(struct turn_tables *t, struct turn_alloc *alloc, uint64_t now_ms);

/* Remember for 40 s the transaction that made `alloc`, which is about to be freed: a late duplicate
 * of that Allocate must not make it again (RFC 8489 section 6.3.1).  `travelled`: another instance
 * has it from now on.  Bounded: the oldest gives way. */
void turn_tombstone_keep(struct turn_tables *t, const struct turn_alloc *alloc, bool travelled,
                         uint64_t now_ms);

/* The tombstone that holds this transaction, or NULL. */
const struct turn_tombstone *turn_tombstone_find(struct turn_tables *t,
                                                 const struct five_tuple *tuple,
                                                 const uint8_t tid[STUN_TID], uint64_t now_ms);

/* --- clients that move (mobility.c) --------------------------------------------------------------
 */

/* Make `alloc` a mobile one.  0 or -ENOMEM. */
MUST_USE int turn_mobile_get(struct turn_tables *t, struct turn_alloc *alloc);

/* Its client is coming to `tuple`, which nobody has: from now on it is found by that, too; nowhere
 * else any more.  0 or -ENOMEM, unchanged. */
MUST_USE int turn_mobile_come(struct turn_tables *t, struct turn_alloc *alloc,
                              const struct five_tuple *tuple, void *listener);

/* It is not coming any more.  Harmless when it was not. */
void turn_mobile_stop(struct turn_tables *t, struct turn_alloc *alloc);

/* It is no mobile one any more.  Harmless when it was not. */
void turn_mobile_put(struct turn_tables *t, struct turn_alloc *alloc);

/* --- permissions (perm.c) ----------------------------------------------------------------------
 */

/* The live permission for `ip`, or NULL.  Hot path: one probe. */
struct turn_perm *turn_perm_find(const struct turn_tables *t, const struct turn_alloc *alloc,
                                 const struct net_ip *ip, uint64_t now_ms);

/* The same; the one that was used last costs a comparison.  Hot path: at most one probe. */
struct turn_perm *turn_perm_again(const struct turn_tables *t, struct turn_alloc *alloc,
                                  const struct net_ip *ip, uint64_t now_ms);

/* Every allocation is sure of this many permissions, channels and peer data connections; what it
 * takes beyond them comes out of a pool that all share, so that none can starve the others. */
enum { TURN_SURE_PERMS = 8, TURN_SURE_CHANS = 4, TURN_SURE_CONNS = 2 };

/* Find or make the entry for `ip`.  A new one is not alive until turn_perm_refresh().
 * NULL at `max` entries, with the shared pool exhausted, or without memory. */
MUST_USE struct turn_perm *turn_perm_get(struct turn_tables *t, struct turn_alloc *alloc,
                                         const struct net_ip *ip, uint32_t max, uint64_t now_ms);
void turn_perm_refresh(struct turn_tables *t, struct turn_alloc *alloc, struct turn_perm *perm,
                       uint64_t expires_ms);
void turn_perm_remove(struct turn_tables *t, struct turn_alloc *alloc, struct turn_perm *perm);

/* Release the entries that never came alive, or have expired. */
void turn_perm_sweep(struct turn_tables *t, struct turn_alloc *alloc, uint64_t now_ms);

/* --- channels (chan.c) -------------------------------------------------------------------------
 */

/* The live channel with `number` / of `peer`, or NULL.  Hot path: one probe each. */
struct turn_chan *turn_chan_by_number(const struct turn_tables *t, const struct turn_alloc *alloc,
                                      uint16_t number, uint64_t now_ms);
struct turn_chan *turn_chan_by_peer(const struct turn_tables *t, const struct turn_alloc *alloc,
                                    const struct net_addr *peer, uint64_t now_ms);

/* The same; the one that was used last costs a comparison.  Hot path: at most one probe. */
struct turn_chan *turn_chan_again(const struct turn_tables *t, struct turn_alloc *alloc,
                                  uint16_t number, uint64_t now_ms);
struct turn_chan *turn_chan_with(const struct turn_tables *t, struct turn_alloc *alloc,
                                 const struct net_addr *peer, uint64_t now_ms);

/* Bind `number` to `peer`, or refresh that binding, until `expires_ms`.  0; -EEXIST when one of the
 * two is bound to another; -ENOSPC at `max` channels or without memory; unchanged on failure. */
MUST_USE int turn_chan_bind(struct turn_tables *t, struct turn_alloc *alloc, uint16_t number,
                            const struct net_addr *peer, uint32_t max, uint64_t expires_ms,
                            uint64_t now_ms);
void turn_chan_remove(struct turn_tables *t, struct turn_alloc *alloc, struct turn_chan *chan);

/* The channel is about to go: take it back from the path below, which has it (flow.c).  `t` belongs
 * to a server. */
void turn_flow_leave(struct turn_tables *t, struct turn_alloc *alloc, struct turn_chan *chan);

/* --- peer data connections (conn.c) -------------------------------------------------------------
 */

/* The connection with `id` / of `alloc` with `peer`, whatever its state, or NULL. */
struct turn_conn *turn_conn_find(const struct turn_tables *t, uint32_t id);
struct turn_conn *turn_conn_by_peer(const struct turn_tables *t, const struct turn_alloc *alloc,
                                    const struct net_addr *peer);

/* Make the record of a connection with `peer`, not there yet, under the unused CONNECTION-ID `id`.
 * NULL at `max` connections, with the shared pool exhausted, or without memory. */
MUST_USE struct turn_conn *turn_conn_new(struct turn_tables *t, struct turn_alloc *alloc,
                                         uint32_t id, const struct net_addr *peer, uint32_t max);

/* From now on the connection waits to be bound, until `expires_ms`. */
void turn_conn_wait(struct turn_tables *t, struct turn_conn *conn, uint64_t expires_ms);
void turn_conn_remove(struct turn_tables *t, struct turn_conn *conn);
