/* SPDX-License-Identifier: Apache-2.0 */
/* Does a server that was found answer?  A Binding request over its transport; over TLS and DTLS, is
 * its certificate one that clients accept?
 *
 * Owner   nobody.  Thread  one.  Clock  CLOCK_MONOTONIC, read inside. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

enum { PROBE_CONTACT_DOUBT = 256 };

struct probe_contact {
    struct net_addr mapped;          /* our address as the server sees it */
    char doubt[PROBE_CONTACT_DOUBT]; /* what is wrong with its certificate, or "" */
};

/* Send a Binding request to `server`; `host` is what its certificate must name: the host of the
 * URI, not the name that the DNS led to (RFC 5928 section 5).  Trusted are the authorities of this
 * system.  0; -EPROTO when the answer is none that STUN has, or there is no handshake; else as
 * probe_client_call(). */
MUST_USE int probe_contact(const struct net_addr *server, enum net_transport transport,
                           const char *host, uint32_t timeout_ms, struct probe_contact *out);
