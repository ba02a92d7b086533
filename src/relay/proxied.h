/* SPDX-License-Identifier: Apache-2.0 */
/* UDP clients behind a balancer that writes a PROXY protocol header (version 2) into each datagram.
 *
 * The core sees the client's own addresses; answers go the way that the client's last datagram
 * came, to the balancer, without a header.  UDP does not prove where a datagram is from: nobody but
 * the listed balancers may be able to send from their addresses.
 *
 * Entries are bounded.  One that is not used for PROXIED_IDLE_MS ends; when all are taken, the one
 * that was not used for longest gives way.  One that is kept, as it has an allocation, does
 * neither. A packet whose entry has ended or become another's is never sent to the wrong client.
 *
 * A client that goes to another worker takes the way to its balancer along (struct proxied_route).
 *
 * Owner   one worker.  Thread  that worker.  Clock  monotonic milliseconds, passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/net_addr.h"

enum { PROXIED_IDLE_MS = 10 * 60 * 1000 };

struct pkt;
struct prefix_set;
struct proxied;
struct proxied_client;

/* How a client is reached: its balancer, and our address there. */
struct proxied_route {
    struct net_addr remote;
    struct net_addr local;
    struct net_addr client; /* whose route it is */
    struct net_addr server;
    uint64_t used_ms; /* when it was good last */
};

/* NULL without memory. */
MUST_USE struct proxied *proxied_new(uint32_t max_clients, struct hash_key key);

/* NULL is allowed. */
void proxied_free(struct proxied *proxied);

/* Turn a datagram as it came from a balancer into what the client sent: the header is stripped,
 * `remote` and `local` become those that it names (with a LOCAL header, of a health check, they
 * stay), `port` becomes the client's entry (struct proxied_client).  `from`: the balancers; NULL:
 * there are none.  `pkt->port` is a udp_port that lives as long as `proxied`.  Hot path.
 * 0; -EPERM: not from a balancer; -EBADMSG: no header of version 2, or not one for datagrams;
 * -ENOSPC: all entries are kept; -ENOMEM; `pkt` unchanged. */
MUST_USE int proxied_in(struct proxied *proxied, const struct prefix_set *from, struct pkt *pkt,
                        uint64_t now_ms);

/* Address `pkt`, which is for the client in `remote` from the address in `local`, to its balancer:
 * sets `remote`, `local` and `port`.  `client` is what proxied_in() gave, however long ago.  False,
 * `pkt` unchanged: the client has no entry any more, and the packet must be dropped.  Hot path. */
MUST_USE bool proxied_out(struct proxied_client *client, struct pkt *pkt);

/* The client at `client` that talks to `server` has an allocation / has none any more.  Safe for
 * others than proxied ones.  To be told when an allocation is made or refreshed, and at its end. */
void proxied_keep(struct proxied *proxied, const struct net_addr *client,
                  const struct net_addr *server, bool keep);

/* --- travel --------------------------------------------------------------------------------------
 */

/* The entry of the client at `client` that talks to `server` as it is now, or NULL. */
MUST_USE struct proxied_client *proxied_find(const struct proxied *proxied,
                                             const struct net_addr *client,
                                             const struct net_addr *server);

/* The way of its last datagram, and the udp_port by which it came.  What was kept for long may be
 * another's entry by now: ask proxied_find() first. */
void proxied_route_of(const struct proxied_client *client, struct proxied_route *out);
void *proxied_port(const struct proxied_client *client);

/* Make known here a client that another worker has served: `route` is how it was reached there, and
 * `port` leads that way from here.  One that has been heard here since stays as it is.  It is not
 * kept yet.  NULL: all entries are kept, there is no memory, or the route is another client's. */
MUST_USE struct proxied_client *proxied_attach(struct proxied *proxied,
                                               const struct net_addr *client,
                                               const struct net_addr *server,
                                               const struct proxied_route *route, void *port,
                                               uint64_t now_ms);

/* End the entry of a client that has left, kept or not.  Safe when there is none. */
void proxied_forget(struct proxied *proxied, const struct net_addr *client,
                    const struct net_addr *server);

/* How many clients there are. */
uint32_t proxied_count(const struct proxied *proxied);
