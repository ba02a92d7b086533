/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of the NAT tests: they send to any address of a server and take answers from any.
 *
 * Owner   whoever made it.  Thread  one.  Clock  CLOCK_MONOTONIC, read inside. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"
#include "cmd/probe_nat.h"

struct probe_nat_link;

/* Sockets on random ports, as RFC 5780 section 4.1 recommends, for a server at `server`;
 * `timeout_ms` bounds a transaction.  0; -ENOMEM; the errno of socket(), bind(), connect(). */
MUST_USE int probe_nat_link_new(const struct net_addr *server, uint32_t timeout_ms,
                                struct probe_nat_link **out);

/* NULL is allowed. */
void probe_nat_link_free(struct probe_nat_link *link);

/* For probe_nat_run(); borrows from the link. */
struct probe_nat_net probe_nat_link_net(struct probe_nat_link *link);
