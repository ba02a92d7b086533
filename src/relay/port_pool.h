/* SPDX-License-Identifier: Apache-2.0 */
/* The relay ports of every relay address: chosen at random over the whole range, none lost.
 *
 * One bitmap an address; a choice is uniform over the ports that are free (RFC 6056), by one random
 * number and a count of bits.  A returned port rests in quarantine before another allocation gets
 * it, so that late packets of the old peers do not reach a stranger; when nothing else is left the
 * port that has rested longest is handed out rather than none.
 *
 * Owner   the server (one for all workers; the owner guards it).  Thread  one at a time.
 * Clock   passed in, milliseconds.  Randomness: passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct port_pool;

struct port_pool_options {
    uint16_t port_min; /* 1024.. */
    uint16_t port_max; /* inclusive: the last port is usable */
    uint64_t quarantine_ms;
    void (*random_fill)(void *arg, uint8_t *out, size_t n);
    void *random_arg;
};

MUST_USE struct port_pool *port_pool_new(const struct port_pool_options *options);
void port_pool_free(struct port_pool *pool);

/* Add a relay address.  0; -EEXIST; -ENOMEM. */
MUST_USE int port_pool_add(struct port_pool *pool, const struct net_ip *ip);

enum port_want { PORT_ANY, PORT_EVEN, PORT_EVEN_PAIR };

/* Take a port on `ip`, or, when `ip` is NULL, on one of the addresses of `family`, spread evenly by
 * what is free.  PORT_EVEN_PAIR takes the port and the next one.
 * Returns 0 with `*out` (the even one of a pair); -ENOSPC when there is none; -ENOENT when there is
 * no such address or none of that family. */
MUST_USE int port_pool_take(struct port_pool *pool, const struct net_ip *ip, uint8_t family,
                            enum port_want want, uint64_t now_ms, struct net_addr *out);

/* Give one port back: it rests, then it is free.  A port of a pair is given back on its own. */
void port_pool_give(struct port_pool *pool, const struct net_addr *addr, uint64_t now_ms);

/* Ports in use now (taken, not those at rest), and ports in all, over all addresses of `family`. */
uint32_t port_pool_used(const struct port_pool *pool, uint8_t family);
uint32_t port_pool_size(const struct port_pool *pool, uint8_t family);
