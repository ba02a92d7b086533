/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of this host, as they are now.
 *
 * Owner   whoever read them; a plain value with one block of memory.  Thread  any, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct interface_address {
    struct net_ip ip;
    uint32_t index; /* of the interface */
    bool loopback;
    bool link_local;
};

struct interfaces {
    size_t count;
    struct interface_address *items;
};

/* Read the addresses of all interfaces that are up.  0; negative errno, `*out` empty then. */
MUST_USE int interfaces_read(struct interfaces *out);
void interfaces_fini(struct interfaces *list);

/* True when `ip` is one of them. */
bool interfaces_have(const struct interfaces *list, const struct net_ip *ip);

/* The address of `family` from which peers are best reached for clients that use the address
 * `near`: a loopback address only when `near` is one; else a public address before a private one,
 * and one of the same interface before one of another.  `near` may be NULL.  False when there is
 * none. */
bool interfaces_best(const struct interfaces *list, const struct net_ip *near, uint8_t family,
                     struct net_ip *out);

/* RFC 1918, 100.64.0.0/10 and fc00::/7. */
bool interfaces_private(const struct net_ip *ip);
