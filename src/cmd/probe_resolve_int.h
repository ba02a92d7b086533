/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the resolution share and nobody else sees.
 *
 * Owner   probe_resolve_run().  Thread  its caller's. */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "cmd/probe_resolve.h"

struct resolve {
    const struct probe_resolve_wish *wish;
    const struct probe_resolve_io *io;
    enum net_transport transports[PROBE_RESOLVE_TRANSPORTS]; /* filtered, by preference */
    size_t transport_count;
    struct probe_resolve_list *out;
    unsigned followed; /* NAPTR records, so that a zone cannot keep us busy for ever */
};

uint16_t probe_resolve_port(enum net_transport transport);

/* Add the addresses of `name`, IPv4 first; returns how many there were. */
size_t probe_resolve_addresses(struct resolve *r, const char *name, uint16_t port,
                               enum net_transport transport);

/* Add what the SRV records of `name` lead to, in the order of RFC 2782.  True when there were any,
 * also when they say that the service is not offered: probe_resolve_srv.c */
bool probe_resolve_srv(struct resolve *r, const char *name, enum net_transport transport);

/* Step 4 of RFC 5928 section 3.  True when there were NAPTR records for RELAY:
 * probe_resolve_naptr.c */
bool probe_resolve_naptr(struct resolve *r);

/* Tell something about the zone. */
void probe_resolve_remark(const struct resolve *r, enum probe_mark mark, const char *advice,
                          const char *format, ...) PRINTF(4, 5);
