/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers a domain has, step by step (RFC 5928, RFC 8155, RFC 8489 section 8): what is asked
 * of the DNS, what is answered, which servers come out, and what the zone lacks.
 *
 * Owner   the caller.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "cmd/probe_uri.h"

struct probe_dns;
struct probe_report;

struct probe_discover_plan {
    struct probe_uri uri;
    struct probe_dns *dns;
    uint32_t timeout_ms; /* of one transaction with a server */
    bool contact;        /* send a Binding request to each server */
    bool anycast;        /* try the anycast addresses of RFC 8155 */
    const char *user;    /* for these; NULL: as a stranger */
    const char *password;
};

/* Go through it and tell `report`.  0, also when nothing was found; -EINVAL when what was asked for
 * cannot be had, `*out_why` says why; -ENOMEM. */
MUST_USE int probe_discover_run(const struct probe_discover_plan *plan, struct probe_report *report,
                                const char **out_why);
