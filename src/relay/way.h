/* SPDX-License-Identifier: Apache-2.0 */
/* A way to a client: the socket, association, balancer or connection that reaches it, and how it
 * goes to another worker.  A session has one; two while its client moves (RFC 8016).
 *
 * Owner   a way that is packed belongs to its holder, with all that is in it.
 * Thread  the worker that packs it, then the one that unpacks it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "relay/proxied.h"
#include "relay/worker_int.h"
#include "turn/five_tuple.h"

struct dtls_parcel;
struct stream_parcel;

struct way {
    struct five_tuple tuple;
    const struct front_item *item; /* by which, and by which socket, the client is heard */
    uint32_t socket;
    bool own_socket; /* `client` is its own */
    struct client_socket client;
    struct dtls_parcel *dtls;     /* NET_DTLS */
    struct proxied_route route;   /* NET_PROXIED */
    struct stream_parcel *stream; /* NET_TCP, NET_TLS */
};

/* Take the way to the client of `tuple` out of this worker.  0 with `*out`; -ENOMEM; -ENOENT:
 * nobody knows it any more; -EBUSY: something is unsent on its connection; nothing changed then. */
MUST_USE int way_pack(struct worker *w, const struct five_tuple *tuple, void *listener,
                      struct way *out);

/* Take it in.  What reaches the client from here (pkt->port); NULL: nothing does, it has ended. */
MUST_USE void *way_unpack(struct worker *w, struct way *way);

/* Nobody takes it in: whatever it holds is closed. */
void way_drop(struct way *way);

/* The session is not here, the way is: nobody needs it. */
void way_abandon(struct worker *w, const struct way *way, void *listener);

/* The UDP socket by which the client is heard; NULL: a connection, or nobody knows. */
struct udp_port *way_port(const struct worker *w, const struct five_tuple *tuple, void *listener);

/* That socket's side of this worker. */
struct worker_listener *way_slot(struct udp_port *port);

/* The worker that has to have a session which comes this way: where the client is heard. */
uint32_t way_reader(const struct worker *w, const struct way *way);

/* dispatch: the same for a client that is served here. */
uint32_t way_bucket_worker(const struct worker *w, const struct five_tuple *tuple);
