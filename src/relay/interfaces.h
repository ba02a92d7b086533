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
    bool down; /* its interface is: nothing can be bound to it now, yet it is ours */
};

struct interfaces {
    size_t count;
    struct interface_address *items;
};

/* Read the addresses of all interfaces, up or down.  0; negative errno, `*out` empty then. */
MUST_USE int interfaces_read(struct interfaces *out);
void interfaces_fini(struct interfaces *list);

/* True when `ip` is one of them. */
bool interfaces_have(const struct interfaces *list, const struct net_ip *ip);

/* True when both tell the same in the same order. */
bool interfaces_same(const struct interfaces *a, const struct interfaces *b);

/* The address of `family` from which peers are best reached for clients that use the address
 * `near`: a loopback address only when `near` is one; else a public address before a private one,
 * and one of the same interface before one of another; never one of an interface that is down.
 * `near` may be NULL.  False when there is none. */
bool interfaces_best(const struct interfaces *list, const struct net_ip *near, uint8_t family,
                     struct net_ip *out);

/* 169.254.0.0/16 and fe80::/10. */
bool interfaces_link_local(const struct net_ip *ip);

/* RFC 1918, 100.64.0.0/10 and fc00::/7. */
bool interfaces_private(const struct net_ip *ip);
