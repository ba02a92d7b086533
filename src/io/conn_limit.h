/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections there may be: in all, under TLS, and from one source (one IPv4 address; one
 * /64 of IPv6) (streams.md K14).
 *
 * Owner   the server, for all workers.  Thread  any: a mutex inside, taken when a connection begins
 * or ends, never for what it carries. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/hash.h"
#include "base/net_addr.h"

struct conn_limit;

struct conn_limits {
    uint32_t total;        /* 65,536 */
    uint32_t tls;          /* 65,536 */
    uint32_t per_ipv4;     /* 256; 0 without limit */
    uint32_t per_ipv6_net; /* 512; 0 without limit */
};

enum conn_verdict { CONN_ADMITTED, CONN_TOTAL_REACHED, CONN_TLS_REACHED, CONN_SOURCE_REACHED };

/* `max_sources`: most connections that there can ever be, whatever limits->total is set to later:
 * each may have a source of its own.  NULL without memory. */
MUST_USE struct conn_limit *conn_limit_new(const struct conn_limits *limits, uint32_t max_sources,
                                           struct hash_key key);
void conn_limit_free(struct conn_limit *limit);
void conn_limit_set(struct conn_limit *limit, const struct conn_limits *limits);

/* A connection from `source` begins / ends.  `::` is a source that is not known yet: it counts in
 * the total only.  CONN_TOTAL_REACHED, too, without memory. */
enum conn_verdict conn_limit_take(struct conn_limit *limit, const struct net_ip *source);
void conn_limit_give(struct conn_limit *limit, const struct net_ip *source);

/* One of those that were admitted turns out to be TLS / that one ends. */
enum conn_verdict conn_limit_take_tls(struct conn_limit *limit);
void conn_limit_give_tls(struct conn_limit *limit);

/* Behind a balancer: a connection's source is another than it seemed (PROXY protocol).  Keeps the
 * place in the total.  When refused, `was` stays counted. */
enum conn_verdict conn_limit_move(struct conn_limit *limit, const struct net_ip *was,
                                  const struct net_ip *source);

uint32_t conn_limit_count(struct conn_limit *limit);
