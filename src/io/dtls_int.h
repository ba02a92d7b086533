/* SPDX-License-Identifier: Apache-2.0 */
/* What dtls.c, dtls_bio.c, dtls_client.c, dtls_input.c and dtls_travel.c share. */
#pragma once

#include <assert.h>
#include <openssl/bio.h>

#include "base/bucket.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/table.h"
#include "base/wheel.h"
#include "io/dtls.h"
#include "io/dtls_record.h"

/* Whom an association is with; the table's key, and what a cookie is bound to.  Not the socket:
 * several may have one address, and the client's datagrams come by any of them. */
struct dtls_key {
    struct net_addr remote;
    struct net_addr local;
};

static_assert(sizeof(struct dtls_key) == 2 * sizeof(struct net_addr),
              "hashed as it lies: no padding");

/* The far side of an SSL: where its records come from and go to (dtls_bio.h). */
struct dtls_wire {
    struct dtls *dtls;
    const struct dtls_key *key;
    void *port;        /* what reaches the other side; borrowed */
    const uint8_t *in; /* the record to be read next, or NULL; borrowed */
    uint32_t in_len;
    uint32_t reply_max;  /* longer datagrams are not sent; 0: no bound */
    struct pkt *capture; /* application records go in here instead of being sent, or NULL */
    bool captured;
    bool sent;
};

/* A datagram on its way in. */
struct dtls_arrival {
    struct pkt *pkt; /* lent to the message hook */
    struct pkt as_it_came;
    struct dtls_key key;
    void *port;    /* by which it came */
    bool listened; /* one ClientHello of it was looked at */
};

/* Handshakes of the sources that share a place: which ones do is a secret. */
struct dtls_source {
    struct bucket begun;
    uint32_t half_open;
};

enum { DTLS_SOURCES = 256 };

struct dtls_client {
    struct dtls_key key;
    struct list node;
    /* At most two have one address: an established one, which is in the table, and its rival, a
     * handshake that has begun since.  An only one is in the table in either state. */
    struct dtls_client *rival;
    struct dtls_client *holder; /* of a rival: the established one */
    struct dtls_source *source; /* where it counts while it is half-open */
    SSL *ssl;
    struct dtls_wire wire;
    struct wheel_timer timer;
    uint64_t heard_ms;    /* when its last message came */
    uint64_t used_ms;     /* when its buffers were last needed */
    uint64_t deadline_ms; /* of the handshake */
    uint32_t idle_ms;
    uint32_t fragment;     /* plaintext that OpenSSL's write buffer has room for now */
    uint32_t fragment_max; /* and to which it may grow */
    uint32_t message_max;  /* of a handshake message */
    uint8_t random[DTLS_RANDOM];
    bool established;
    bool discovery;
    bool parked; /* OpenSSL's buffers are given back */
    bool busy;   /* inside dtls_client_feed(), which releases it when it is gone */
    bool gone;
};

struct dtls {
    struct dtls_hooks hooks;
    struct dtls_limits limits;
    struct dtls_counters counters;
    struct table clients;
    struct slab *slab;
    struct list all; /* rivals, too, which the table does not know */
    struct wheel wheel;
    struct bucket begun;
    struct dtls_source source[DTLS_SOURCES];
    struct hash_key source_key;
    uint64_t now_ms;
    uint32_t count; /* of clients, and of those: */
    uint32_t half_open;
    SSL_CTX *context; /* NULL: off */
    /* The one SSL that looks at every ClientHello and keeps nothing; with the right cookie it
     * becomes the client's, and the next hello gets another. */
    SSL *listener;
    struct dtls_wire listen_wire;
    struct dtls_key listen_key;
    BIO_ADDR *nobody; /* DTLSv1_listen() wants to tell an address, which we know better */
    EVP_MAC_CTX *cookie_mac;
    uint8_t rest[65536]; /* later records of a datagram, while its packet is lent out */
};

/* Plaintext that the write buffer of a new SSL has room for. */
uint32_t dtls_fragment_first(const struct dtls_limits *limits);

/* Where the handshakes of `ip` count. */
struct dtls_source *dtls_source_of(struct dtls *dtls, const struct net_ip *ip);

/* --- dtls_client.c ------------------------------------------------------------------------------
 */

/* The association that `ssl` becomes, linked beside `holder` (NULL: into the table).  Takes `ssl`
 * on success; NULL at a bound or without memory. */
MUST_USE struct dtls_client *dtls_client_new(struct dtls *dtls, const struct dtls_arrival *arrival,
                                             SSL *ssl, struct dtls_client *holder);

/* True when the bounds allow one more with `ip`. */
bool dtls_client_fits(struct dtls *dtls, const struct net_ip *ip, bool half_open);

/* Make `client`, whose key and state are set, known and counted, beside `holder` (NULL: in the
 * table).  False, nothing changed, without memory. */
MUST_USE bool dtls_client_link(struct dtls *dtls, struct dtls_client *client,
                               struct dtls_client *holder);

/* The reverse, with its timer stopped.  A rival takes its place. */
void dtls_client_unlink(struct dtls *dtls, struct dtls_client *client);

/* Give back one that is unlinked; one that is busy is given back when it is not. */
void dtls_client_release(struct dtls *dtls, struct dtls_client *client);

/* close_notify, where the other side can read it.  OpenSSL is told that it ended well. */
void dtls_client_say_goodbye(struct dtls *dtls, struct dtls_client *client, enum dtls_close why);

/* Hand a record (NULL: what OpenSSL has kept from listening) to its association, and its messages
 * to the hook.  True when it changed anything.  `client` may be gone afterwards. */
bool dtls_client_feed(struct dtls *dtls, struct dtls_client *client, struct dtls_arrival *arrival,
                      const struct dtls_record *record);

/* End it: unlinked, and close_notify sent where the other side can read it.  Quietly: without the
 * hook. */
void dtls_client_end(struct dtls *dtls, struct dtls_client *client, enum dtls_close why);
void dtls_client_end_quietly(struct dtls *dtls, struct dtls_client *client);

/* (Re)start the timer for whatever is due next. */
void dtls_client_arm(struct dtls *dtls, struct dtls_client *client);
void dtls_client_timer(struct dtls *dtls, struct dtls_client *client);

/* Make sure that OpenSSL has its buffers, with room for `plaintext` bytes to be sent. */
MUST_USE bool dtls_client_wake(struct dtls *dtls, struct dtls_client *client, uint32_t plaintext);
