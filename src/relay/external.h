/* SPDX-License-Identifier: Apache-2.0 */
/* The public addresses that relay addresses are known by behind a one-to-one NAT (`external-ip`).
 *
 * A client is told the public address.  When another client of this server uses it as a peer, the
 * packet needs no way through the NAT (most turn none round): it goes to the private address at
 * once, and is shown as coming from the public one.
 *
 * A public address without a pair stands for one relay-ip of its family; for all addresses of an
 * interface when there is no relay-ip, though packets that turn round here then go to the first.
 *
 * Owner   the relay server; immutable.  Thread  any number may ask. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct conf;
struct interfaces;

enum { EXTERNAL_MAX = 256 };

struct external_pair {
    struct net_ip private_ip;
    struct net_ip public_ip;
};

struct external_map {
    uint16_t port_min; /* of relay ports: other ports of the same addresses are not ours */
    uint16_t port_max;
    bool plain[2]; /* IPv4, IPv6: a public address for every relay address of the family */
    struct net_ip plain_ip[2];
    size_t count; /* 0: nothing is ever translated */
    struct external_pair pairs[EXTERNAL_MAX];
};

/* 0; -ENOMEM; -EINVAL with `why`. */
MUST_USE int external_map_new(const struct conf *conf, const struct interfaces *own,
                              struct external_map **out, char *why, size_t cap);
void external_map_free(struct external_map *map);

/* The address that a client is told for a relay socket bound to `bound`. */
struct net_addr external_relayed(const struct external_map *map, const struct net_addr *bound);

/* Translate `addr` in place when it is a relay address of ours. */
void external_to_private(const struct external_map *map, struct net_addr *addr);
void external_to_public(const struct external_map *map, struct net_addr *addr);
