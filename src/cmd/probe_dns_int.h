/* SPDX-License-Identifier: Apache-2.0 */
/* What probe_dns.c, which keeps answers, wants of probe_dns_ares.c, which gets them.
 *
 * Owner   probe_dns.c.  Thread  one. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "cmd/probe_dns.h"

struct probe_dns_ares;

/* As probe_dns_new(). */
MUST_USE int probe_dns_ares_new(const struct net_addr *server, uint32_t timeout_ms,
                                struct probe_dns_ares **out);
void probe_dns_ares_free(struct probe_dns_ares *ares);

/* Fill status and records of `answer`, whose type and name are set. */
void probe_dns_ares_ask(struct probe_dns_ares *ares, struct probe_dns_answer *answer);
