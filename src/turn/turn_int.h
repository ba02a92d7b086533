/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of turn/ share: the server, its allocations, and one request on its way. */
#pragma once

#include "base/bucket.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/table.h"
#include "base/wheel.h"
#include "crypto/mac.h"
#include "turn/alloc.h"
#include "turn/rate.h"
#include "turn/realm.h"
#include "turn/turn_server.h"
#include "wire/turn_req.h"

enum {
    /* A response never grows beyond this: what a 401 with the longest REALM needs, and more. */
    TURN_RESPONSE_MAX = 2048,
    /* How long the transaction that made an allocation is remembered (RFC 8489 section 6.3.1). */
    TURN_TRANSACTION_MS = 40 * 1000,
};

/* What a server secret becomes in one epoch of nonces. */
struct turn_nonce_key {
    uint32_t epoch;
    bool made;
    uint8_t key[CRYPTO_SHA256_LEN];
};

/* And what it becomes for tickets (RFC 8016). */
struct turn_ticket_key {
    bool made;
    uint8_t key[CRYPTO_SHA256_LEN];
};

struct turn_server {
    const struct turn_config *config;
    struct turn_effects fx;
    struct crypto_mac *mac;
    struct rate *unauth;  /* answers to strangers, by source prefix, which is anybody's word */
    struct rate *proven;  /* the same where a handshake has proven it: streams, DTLS */
    struct rate *lookups; /* slow look-ups of credentials, by source prefix */
    struct rate *redirects;
    struct turn_tables tables;
    struct wheel wheel;
    uint64_t now_ms; /* of the call under way */
    uint64_t wall_s;
    uint64_t owed[2];  /* bytes of connections that were relayed and not leased yet */
    uint64_t lease[2]; /* bytes of the server's bandwidth in hand: towards peers, towards clients */
    uint32_t instance;
    uint32_t instances;
    uint32_t next_alternate[TURN_ALTERNATE_KINDS];
    uint32_t next_balance;
    struct turn_nonce_key nonce_keys[TURN_NONCE_KEYS][2]; /* this epoch's and the one before it */
    struct turn_ticket_key ticket_keys[TURN_NONCE_KEYS];
    struct turn_counters count;
    enum drop last_drop;
    uint32_t elsewhere;
    uint8_t response[TURN_RESPONSE_MAX];
};

/* Which integrity attribute a response carries (RFC 8489 section 9.2.4). */
enum turn_integrity { TURN_NO_INTEGRITY, TURN_MI, TURN_MI256 };

/* What a MOBILITY-TICKET in a Refresh has come to (RFC 8016 section 3.2.2). */
enum turn_ticket {
    TURN_NO_TICKET,
    TURN_TICKET_FORBIDDEN,
    TURN_TICKET_INVALID,
    TURN_TICKET_GONE,       /* its allocation is, or cannot come: its client has another here */
    TURN_TICKET_ELSEWHERE,  /* another instance has it */
    TURN_TICKET_TRAVELLING, /* it is on its way here */
    TURN_TICKET_OLD,        /* there is a newer one */
    TURN_TICKET_SAME,       /* the client is where it was */
    TURN_TICKET_AGAIN,      /* the Refresh that was granted, once more */
    TURN_TICKET_GOOD,
};

enum { TURN_TICKET_TAG = 15, TURN_TICKET_PLAIN = 16, TURN_TICKET_LEN = 32 };

/* One request while it is judged. */
struct turn_call {
    struct turn_server *server;
    struct pkt *pkt;
    const struct turn_req *req;
    uint64_t now_ms;
    struct five_tuple tuple;
    struct turn_alloc *alloc; /* of the 5-tuple, or NULL */
    struct turn_conn *conn;   /* that a ConnectionBind names, or NULL */
    uint32_t realm_id;        /* in which it is judged */
    const struct turn_realm *realm;

    /* Set by turn_authenticate() when it returns STUN_OK. */
    bool proven; /* by a NONCE of ours, fresh or stale */
    enum turn_integrity integrity;
    struct bytes key; /* what signs the response */
    struct credential_key user_key;
    struct credential_keys found;
    uint32_t lifetime_cap_s; /* longest that the credential allows; 0: any */

    /* Set by the method's handler for the response. */
    enum gate_verdict gate; /* why a peer was refused */
    uint16_t refused_attr;  /* a known attribute that must be answered as unknown (420), or 0 */
    uint32_t lifetime_s;
    bool retransmission;               /* the Allocate that made `alloc`, again */
    const struct turn_tombstone *tomb; /* of that Allocate, when the allocation is gone */
    const struct turn_alternate *alternate[2];
    uint32_t alternate_count;
    uint32_t connection_id; /* of a Connect that has succeeded */
    bool later;             /* a Connect is under way: no answer yet */
    enum turn_ticket ticket;
    bool ticket_out; /* the response carries this one */
    uint8_t new_ticket[TURN_TICKET_LEN];

    /* A Binding request: how it is answered otherwise than plainly. */
    bool classic;                            /* by the rules of RFC 3489 */
    const struct turn_behaviour_set *served; /* it came to one of these (RFC 5780), or NULL */
    uint8_t at;                              /* that one */
    uint8_t from;                            /* the one that the answer leaves from */
    void *port;                              /* by which; NULL: as it came */
};

/* Count one; single writer, read relaxed by other threads (no lock prefix, no ordering). */
/* NOLINTNEXTLINE(readability-non-const-parameter): the atomic store writes through it */
static inline void turn_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline enum turn_verdict turn_drop(struct turn_server *s, enum drop why)
{
    turn_count(&s->count.drops[why], 1);
    s->last_drop = why;
    return TURN_DROP;
}

/* --- longterm.c: the long-term credential mechanism --------------------------------------------
 */

/* Judge who asks (conformance section 4, step 4).  STUN_OK with the call's key and integrity set; a
 * code to refuse with; or -EAGAIN (wait for a key), -EBUSY, -EIO. */
MUST_USE int turn_authenticate(struct turn_call *call);

/* Is the proven user the one whose allocation it is? */
bool turn_is_owner(const struct turn_call *call, const struct turn_alloc *alloc);

/* Let the call's user be the one whose allocation it is. */
void turn_take_user(struct turn_call *call, const struct turn_alloc *alloc);

/* An ACCESS-TOKEN that was not asked for is an unknown attribute (RFC 7635 section 7): true, and
 * the refusal names it. */
bool turn_token_unknown(struct turn_call *call);

/* --- nonce.c -----------------------------------------------------------------------------------
 */

enum { TURN_NONCE_LEN = 13 + (4 + 4 + 1 + 12) / 3 * 4 };

enum turn_nonce { TURN_NONCE_VALID, TURN_NONCE_STALE, TURN_NONCE_FORGED };

/* Whom a NONCE is for: the client's transport address; on a stream, whose source address the
 * handshake has proven, any connection from there: a ConnectionBind comes on one of its own with
 * the NONCE of the control connection (RFC 6062 section 4.3). */
struct net_addr turn_nonce_client(const struct pkt *pkt);

/* Make a NONCE for `client` that tells what is offered with it in `realm`.  0 or -EIO. */
MUST_USE int turn_nonce_make(struct turn_server *s, const struct turn_realm *realm,
                             const struct net_addr *client, uint8_t out[TURN_NONCE_LEN]);

/* Judge a NONCE.  `*out_algorithms` is what was offered with it, meaningful unless it is forged.
 * -EIO when libcrypto fails. */
MUST_USE int turn_nonce_check(struct turn_server *s, const struct net_addr *client,
                              struct bytes nonce, enum turn_algorithms *out_algorithms);

/* True when the NONCE says that password algorithms were offered (RFC 8489 section 9.2). */
bool turn_nonce_offers_algorithms(struct bytes nonce);

/* May a stranger be answered?  It costs a token of his prefix (RFC 8656 section 21.1.1).  Who sends
 * datagrams in another's name does not use up what the other has on connections, where a response
 * that is not sent is not asked for again. */
bool turn_may_answer(struct turn_server *s, const struct pkt *pkt, uint64_t now_ms);

/* --- reply.c: one function makes every response -------------------------------------------------
 */

/* Answer the call with a success or a refusal: the response replaces the packet. */
enum turn_verdict turn_reply(struct turn_call *call, enum stun_code code);

/* PASSWORD-ALGORITHMS as offered with `algorithms`. */
struct bytes turn_algorithm_list(enum turn_algorithms algorithms);

/* --- request.c ---------------------------------------------------------------------------------
 */

/* A STUN message from a client. */
enum turn_verdict turn_stun_message(struct turn_server *s, struct pkt *pkt, uint64_t now_ms);

/* A call about which nothing is known but what is handed over. */
void turn_call_init(struct turn_call *call, struct turn_server *s, struct pkt *pkt,
                    const struct turn_req *req, uint64_t now_ms);

/* --- classic.c: what is no STUN message of RFC 8489 --------------------------------------------
 */

enum turn_verdict turn_classic_message(struct turn_server *s, struct pkt *pkt, uint64_t now_ms);

/* Write the addresses of a success response of RFC 3489. */
void turn_classic_put(const struct turn_call *call, struct stun_out *out);

/* --- behaviour.c: NAT behaviour discovery (RFC 5780) ---------------------------------------------
 */

/* Count those attributes of RFC 5780 as unknown that mean nothing in this request. */
void turn_behaviour_sift(const struct turn_server *s, const struct pkt *pkt, struct turn_req *req);

/* Where the answer to a Binding request is to come from: sets what the call says about that.
 * STUN_OK, or what to refuse with. */
enum stun_code turn_behaviour_judge(struct turn_call *call);

/* Its answer is more, or goes elsewhere, than any stranger may have at will. */
bool turn_behaviour_costs(const struct turn_call *call);

/* Add what this or RFC 3489 asks for to its answer; address the answer. */
void turn_behaviour_put(const struct turn_call *call, struct stun_out *out);
void turn_behaviour_send(const struct turn_call *call);

/* --- realm.c -----------------------------------------------------------------------------------
 */

/* Set the realm that the call is judged in: of its allocation, else as the request says. */
void turn_realm_choose(struct turn_call *call);

/* Tells the ORIGIN that counts from another, and from none (0). */
uint64_t turn_origin_mark(const struct turn_config *config, const struct turn_req *req);

static inline const struct turn_realm *turn_alloc_realm(const struct turn_server *s,
                                                        const struct turn_alloc *alloc)
{
    return alloc->realm == 0 ? &s->config->main : turn_realm_at(s->config, alloc->realm);
}

/* --- one file a method -------------------------------------------------------------------------
 */

enum stun_code turn_on_allocate(struct turn_call *call);
enum stun_code turn_on_refresh(struct turn_call *call);
enum stun_code turn_on_create_permission(struct turn_call *call);
enum stun_code turn_on_channel_bind(struct turn_call *call);
enum stun_code turn_on_connect(struct turn_call *call);
enum stun_code turn_on_connection_bind(struct turn_call *call);

/* --- redirect.c ---------------------------------------------------------------------------------
 */

/* An Allocate that could be granted: STUN_OK, serve it here; STUN_TRY_ALTERNATE with
 * call->alternate set; or what to refuse it with. */
enum stun_code turn_redirect(struct turn_call *call);

/* The limits of the server's `redirects`. */
void turn_redirect_limit(const struct turn_config *config, uint32_t *out_per_s,
                         uint32_t *out_burst);

/* --- allocate.c ---------------------------------------------------------------------------------
 */

/* RFC 8656 section 7.2: the lifetime to be granted for what was asked; RFC 7635 section 9: no
 * longer than the credential allows. */
uint32_t turn_grant_lifetime(const struct turn_call *call);

/* May `peer` be reached from this allocation?  STUN_OK, STUN_PEER_FAMILY_MISMATCH or STUN_FORBIDDEN
 * with call->gate set.  `with_port`: the port counts, too. */
enum stun_code turn_judge_peer(struct turn_call *call, const struct net_addr *peer, bool with_port);

/* --- tcp_relay.c: peer data connections ---------------------------------------------------------
 */

/* The connection that a ConnectionBind names; NULL for another request, or when there is none. */
struct turn_conn *turn_conn_named(struct turn_server *s, const struct turn_req *req,
                                  uint64_t now_ms);

/* The ConnectionBind that came through `listener` has been answered with success. */
void turn_bind_conn(struct turn_server *s, struct turn_conn *conn, void *listener);

/* Close the connections of `alloc`: all; those that were not bound in time; those that the gate of
 * the configuration in force does not grant. */
void turn_end_conns(struct turn_server *s, struct turn_alloc *alloc);
void turn_expire_conns(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);
void turn_recheck_conns(struct turn_server *s, struct turn_alloc *alloc);

/* --- ticket.c: what is in a MOBILITY-TICKET ------------------------------------------------------
 */

struct turn_ticket_content {
    uint64_t session;
    uint32_t serial;
    uint32_t mark; /* tells an allocation from another with its number: turn_ticket_mark() */
};

/* 0 or -EIO. */
MUST_USE int turn_ticket_mark(struct turn_server *s, const struct turn_alloc *alloc,
                              uint32_t *out_mark);

/* The same content becomes the same ticket.  0 or -EIO. */
MUST_USE int turn_ticket_seal(struct turn_server *s, const struct turn_ticket_content *content,
                              uint8_t out[TURN_TICKET_LEN]);

/* 0; -EBADMSG: not one of ours; -EIO. */
MUST_USE int turn_ticket_open(struct turn_server *s, struct bytes ticket,
                              struct turn_ticket_content *out);

/* --- mobility.c: clients that move (RFC 8016) ----------------------------------------------------
 */

/* May this client have a ticket? */
bool turn_mobility_allowed(const struct turn_call *call);

/* Make the new allocation of an Allocate a mobile one.  STUN_OK, or what to refuse with. */
enum stun_code turn_mobility_begin(struct turn_call *call, struct turn_alloc *alloc);

/* Put the ticket in force of `alloc` into the response.  STUN_OK or STUN_SERVER_ERROR. */
enum stun_code turn_mobility_repeat(struct turn_call *call, const struct turn_alloc *alloc);

/* A Refresh with a ticket: sets call->ticket and, when it names one, call->alloc.  0 or -EIO. */
MUST_USE int turn_mobility_find(struct turn_call *call);

/* STUN_OK, or what the ticket is refused with, the user's identity aside. */
enum stun_code turn_mobility_judge(const struct turn_call *call);

/* The Refresh with a ticket is granted: its 5-tuple is served, too, and the response carries a new
 * ticket.  STUN_OK, or what to refuse with, nothing changed. */
enum stun_code turn_mobility_move(struct turn_call *call);

/* Data has come from `tuple`: if the client was moving there, it has arrived. */
void turn_mobility_heard(struct turn_server *s, struct turn_alloc *alloc,
                         const struct five_tuple *tuple, uint64_t now_ms);

/* The client has arrived, whether or not data has come; or it is not coming.  Harmless when it is
 * not moving. */
void turn_mobility_arrive(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);
void turn_mobility_stay(struct turn_server *s, struct turn_alloc *alloc);

/* The connection of its client has ended: the allocation lives on, and no packet can reach its
 * client until it comes back with its ticket. */
void turn_mobility_lose(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);

/* True since then: its 5-tuple is nobody's, and nothing listens. */
static inline bool turn_client_away(const struct turn_alloc *alloc)
{
    return alloc->tuple.protocol == 0;
}

/* --- flow.c: channels at the path below the core ------------------------------------------------
 */

/* Something of `alloc` may have changed: tell the path below what of it differs.  It concerns the
 * channels of peers with the address `ip`, or all (NULL).  Not before turn_flow_judged() when the
 * configuration is a new one. */
void turn_flow_update(struct turn_server *s, struct turn_alloc *alloc, const struct net_ip *ip,
                      uint64_t now_ms);

/* The configuration in force has judged `alloc`: the same, and all of it is told again. */
void turn_flow_judged(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);

/* Take its channels back: those of `relay`, or all (NULL). */
void turn_flow_end(struct turn_server *s, struct turn_alloc *alloc, const struct turn_relay *relay);

/* --- data.c ------------------------------------------------------------------------------------
 */

/* Address `pkt` to the client of `alloc`. */
void turn_to_client(const struct turn_alloc *alloc, struct pkt *pkt);

enum turn_verdict turn_channel_data(struct turn_server *s, struct pkt *pkt, uint64_t now_ms);
enum turn_verdict turn_on_send(struct turn_server *s, struct pkt *pkt, const struct turn_req *req,
                               uint64_t now_ms);

/* --- turn_server.c -----------------------------------------------------------------------------
 */

struct five_tuple turn_tuple_of(const struct pkt *pkt);

/* End `alloc`: relays closed, quota given back, event told. */
void turn_end_allocation(struct turn_server *s, struct turn_alloc *alloc, enum turn_event_kind kind,
                         uint64_t now_ms);

/* Take away what the gate of the configuration in force does not grant. */
void turn_recheck(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);

/* Take away what of `alloc` has expired by `now_ms`.  Returns `alloc`, or NULL when it is gone. */
struct turn_alloc *turn_expire(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);

/* `alloc` as it is now, though the tick may have yet to come; NULL when it is over, or is NULL. */
struct turn_alloc *turn_current(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms);

/* Close one relay of `alloc`; ends the allocation with its last one. */
void turn_end_relay(struct turn_server *s, struct turn_alloc *alloc, struct turn_relay *relay,
                    enum turn_event_kind kind, uint64_t now_ms);

/* An event that concerns `alloc`, to be told as it is or with more in it. */
struct turn_event turn_event_about(const struct turn_server *s, const struct turn_alloc *alloc,
                                   enum turn_event_kind kind);

/* Tell of something that concerns `alloc`. */
void turn_tell(struct turn_server *s, const struct turn_alloc *alloc, enum turn_event_kind kind,
               const struct net_addr *peer);
