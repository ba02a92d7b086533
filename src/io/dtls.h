/* SPDX-License-Identifier: Apache-2.0 */
/* DTLS associations on shared UDP sockets (RFC 6347, RFC 7350): nothing is kept for a client before
 * it has echoed a cookie that was bound to its address.
 *
 * Several sockets may have one address: an association is answered through the one by which it was
 * heard last, and any engine of the process takes the cookies of the others.
 *
 * Owner   one worker.  Thread  that worker.  Clock  monotonic milliseconds, passed in. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/net_addr.h"
#include "base/pkt.h"
#include "stats/counters.h"

struct dtls;
struct dtls_client;
struct dtls_parcel;

enum dtls_close {
    DTLS_CLOSE_NOTIFY, /* the client ended it */
    DTLS_CLOSE_IDLE,
    DTLS_CLOSE_HANDSHAKE, /* not finished in time */
    DTLS_CLOSE_ERROR,     /* a fatal alert, sent or received */
    DTLS_CLOSE_REPLACED,  /* a new association from the same address was completed */
    DTLS_CLOSE_LOCAL,     /* dtls_close(), dtls_free() */
};

struct dtls_counters {
    struct stats_counter established; /* a gauge */
    struct stats_counter handshakes;  /* begun: the cookie was right */
    struct stats_counter completed;
    struct stats_counter failed;
    struct stats_counter cookies_sent;
    struct stats_counter refused; /* a bound was reached: associations, handshakes a second */
    struct stats_counter bad_records;
};

struct dtls_hooks {
    void *arg;

    /* Send a datagram of `len` bytes from `local` through `port` to `remote`; borrowed.  It may not
     * call back. */
    void (*send)(void *arg, void *port, const struct net_addr *local, const struct net_addr *remote,
                 const uint8_t *data, uint32_t len);

    /* One application record of an association: `pkt` is the packet handed in, with data and len
     * of the record's plaintext (in place, PKT_HEADROOM kept free before it), transport NET_DTLS,
     * and port the association.  It may be rewritten; it is the hook's until it returns. */
    void (*message)(void *arg, struct dtls_client *client, struct pkt *pkt);

    /* An established or half-open association has ended; `client` is gone after the call. */
    void (*closed)(void *arg, struct dtls_client *client, enum dtls_close why);
};

struct dtls_limits {
    uint32_t max_clients; /* of this worker, half-open ones counted */
    uint32_t max_half_open;
    uint32_t handshakes_per_s; /* begun, of this worker; 0 without limit */
    /* The part of these two that one source (an IPv4 address, a /64) may have; 0: all. */
    uint32_t source_half_open;
    uint32_t source_handshakes_per_s;
    uint32_t handshake_ms; /* 10,000 */
    uint32_t mtu;          /* largest datagram of a handshake flight: 1200 */
};

/* NULL without memory or when libcrypto fails. */
MUST_USE struct dtls *dtls_new(const struct dtls_limits *limits, const struct dtls_hooks *hooks,
                               struct hash_key key, uint64_t now_ms);
/* Ends every association, with close_notify and the closed hook (DTLS_CLOSE_LOCAL); NULL is
 * allowed.
 */
void dtls_free(struct dtls *dtls);

void dtls_set_limits(struct dtls *dtls, const struct dtls_limits *limits);

/* The context of new handshakes from now on (tls.h, TLS_DATAGRAM); NULL: DTLS is off, records are
 * dropped.  Takes a reference of its own. */
void dtls_set_context(struct dtls *dtls, SSL_CTX *context);

/* A datagram that looks like DTLS (wire/demux.h).  In: data, len, remote, local, port (a listener;
 * handed back to the send hook).  All its records are handled; `pkt` may be scribbled on.
 * A ClientHello from a known address starts a second association beside the first, which lives
 * until the new one is complete (RFC 6347 section 4.2.8). */
void dtls_input(struct dtls *dtls, struct pkt *pkt, uint64_t now_ms);

/* Encrypt `pkt` (data, len) for `client` in place into one record.  True: data, len, remote, local,
 * port (the listener) are set, to be sent as a datagram.  False: the association is not
 * established, or the packet does not fit.  Hot path: no allocation of ours. */
bool dtls_output(struct dtls *dtls, struct dtls_client *client, struct pkt *pkt, uint64_t now_ms);

/* End it: close_notify is sent, the closed hook is not called. */
void dtls_close(struct dtls *dtls, struct dtls_client *client);

/* Ends it when nothing has come for so long; 0: never.  A new one has 30 s. */
void dtls_set_idle(struct dtls *dtls, struct dtls_client *client, uint32_t idle_ms,
                   uint64_t now_ms);

/* The association with `remote` at `local`, established or half-open; or NULL. */
struct dtls_client *dtls_find(const struct dtls *dtls, const struct net_addr *remote,
                              const struct net_addr *local);

const struct net_addr *dtls_remote(const struct dtls_client *client);
const struct net_addr *dtls_local(const struct dtls_client *client);
void *dtls_port(const struct dtls_client *client);        /* by which it was heard last */
bool dtls_is_discovery(const struct dtls_client *client); /* see tls_is_discovery() */

/* --- travel: an association goes from one engine to another ------------------------------------
 */

/* Take `client` out, quietly: nothing is sent and no hook is called; it is gone.  A handshake that
 * was begun beside it goes along; half-open ones can go, too.  The parcel is a heap object of its
 * holder and may be handed to another thread, with all its engine-bound parts left behind: idle
 * time, deadlines and keys are kept.
 * In the message hook it is allowed, but the later records of that datagram are lost then.
 * NULL, nothing changed: no memory. */
MUST_USE struct dtls_parcel *dtls_detach(struct dtls *dtls, struct dtls_client *client);

/* Take the association of `parcel` (takes it) in; from now on `port` is what reaches it.  It goes
 * on as if it had always been here: nothing is lost but what came in between.  NULL: it has ended,
 * without the hook, as the limits (max_clients; half-open ones, theirs) leave no room or there is
 * no memory, with a close_notify; or as its client has another association here already. */
struct dtls_client *dtls_attach(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                                uint64_t now_ms);

/* End an association that arrives nowhere; its client is not told.  NULL is allowed. */
void dtls_parcel_free(struct dtls_parcel *parcel);

/* Call `each` for every association, established and half-open (not for handshakes beside an
 * established one: they follow it).  It may detach or close any of them. */
void dtls_each(struct dtls *dtls, void (*each)(void *arg, struct dtls_client *client), void *arg);

/* Retransmissions and deadlines: at most `budget`; true when more is due. */
bool dtls_tick(struct dtls *dtls, uint64_t now_ms, uint32_t budget);
uint64_t dtls_next_deadline(const struct dtls *dtls);

const struct dtls_counters *dtls_counters(const struct dtls *dtls);
