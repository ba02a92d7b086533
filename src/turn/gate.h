/* SPDX-License-Identifier: Apache-2.0 */
/* The one gate for peers: may this address be reached through us? (design invariant 6)
 *
 * Every way to a peer asks it, on the canonical 128-bit address: mapped and compatible IPv4, 6to4,
 * Teredo and NAT64 addresses are judged by the IPv4 address inside them as well.
 *
 * Order, coturn's (allow wins): what can never be a peer, whatever the rules say (unspecified,
 * multicast, broadcast, tunnels; loopback unless allowed; protected endpoints) is denied; an allow
 * rule opens; a deny rule closes; then special-purpose networks are denied by default.
 *
 * Owner   whoever built it; immutable once built, replaced whole at reload.
 * Thread  any number may ask at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct gate;

/* Why an address is refused; GATE_OPEN when it is not. */
enum gate_verdict {
    GATE_OPEN = 0,
    GATE_UNSPECIFIED, /* 0.0.0.0/8, :: */
    GATE_LOOPBACK,    /* 127.0.0.0/8, ::1 */
    GATE_MULTICAST,   /* 224.0.0.0/4, ff00::/8, 255.255.255.255 */
    GATE_LINK_LOCAL,  /* 169.254.0.0/16 (cloud metadata), fe80::/10, fec0::/10 */
    GATE_PRIVATE,     /* RFC 1918, 100.64.0.0/10, fc00::/7 */
    GATE_SPECIAL,     /* other special-purpose networks of the IANA registries */
    GATE_TUNNEL,      /* 2002::/16, 2001::/32 (RFC 8656 section 21.4); a NAT64 or compatible
                         address whose inner IPv4 address is refused has the inner verdict */
    GATE_OWN,         /* one of our own addresses, but not a relay port */
    GATE_BACKEND,     /* a database or other service that we ourselves use */
    GATE_RULE,        /* a deny rule */
    GATE_VERDICTS,
};

struct gate_options {
    bool allow_loopback;
    bool allow_private;
    uint16_t relay_port_min; /* on our own addresses only these ports are peers */
    uint16_t relay_port_max;
};

MUST_USE struct gate *gate_new(const struct gate_options *options);

/* NULL is allowed. */
void gate_free(struct gate *gate);

/* Add a rule for first..last (inclusive, canonical; 128-bit order).  0 or -ENOMEM; -EINVAL when
 * last < first or the two are of different families.  A range of IPv6 addresses says nothing about
 * IPv4, also when ::ffff:0:0/96 lies in it. */
MUST_USE int gate_allow(struct gate *gate, const struct net_ip *first, const struct net_ip *last);
MUST_USE int gate_deny(struct gate *gate, const struct net_ip *first, const struct net_ip *last);

/* Add one of our own addresses; a transport address that nobody may reach through us (a listener,
 * a database: port 0 means every port); a local NAT64 prefix of 32, 40, 48, 56, 64 or 96 bits
 * (RFC 6052).  A protected :: or 0.0.0.0 is that port on every own and every loopback address.
 * 0 or -ENOMEM; gate_nat64() -EINVAL for another length, for bits behind the prefix, and inside
 * ::/32, 2001::/32, 2002::/16 or ff00::/8.  After -ENOMEM the gate can only be freed. */
MUST_USE int gate_own(struct gate *gate, const struct net_ip *ip);
MUST_USE int gate_protect(struct gate *gate, const struct net_addr *endpoint);
MUST_USE int gate_nat64(struct gate *gate, const struct net_ip *prefix, unsigned prefix_bits);

/* Sort and index what was added; must be called once before the first question.  0 or -ENOMEM. */
MUST_USE int gate_build(struct gate *gate);

/* May `ip` be given a permission?  No port is known yet, so our own addresses pass here and are
 * judged by gate_check_addr() once a port is known. */
enum gate_verdict gate_check_ip(const struct gate *gate, const struct net_ip *ip);

/* May packets go to (or come from) this transport address?  Hot path for Send; logarithmic. */
enum gate_verdict gate_check_addr(const struct gate *gate, const struct net_addr *addr);

/* A word for logs and probe: "loopback", "private network (RFC 1918) ...". */
const char *gate_verdict_text(enum gate_verdict verdict);
