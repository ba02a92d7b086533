/* SPDX-License-Identifier: Apache-2.0 */
/* The flood shield: which of strangers' datagrams reach the listeners.  The program before the
 * network stack (bpf/shield.h) judges; here it is told where clients are served, and the limits.
 *
 *     what user space drops, whoever sends it     is dropped
 *     from a live client (flow_client_put())      passes, whatever else it is
 *     a STUN request or a DTLS record             passes within the limits; a request that there
 *                                                 was no room for does when it is asked again
 *     a Binding request without attributes        is answered there, within the limits
 *     anything else to a listener                 is dropped
 *     to whom no listener belongs                 is not looked at
 *
 * A listener is known by an address of this host, never by a wildcard: what this host forwards for
 * others (a router, a bridge) is not ours to drop.  Listeners that balancers use (PROXY protocol)
 * are not to be named.
 *
 * Owner   the kernel path, forward_shield().  Thread  one at a time.
 * Memory  the kernel's: 5 MiB of buckets and notes, about 100 a listener or client. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"
#include "offload/flow_map.h"
#include "offload/shield_map.h"

struct shield;

/* What it writes to; borrowed, and there until shield_free(). */
struct shield_parts {
    int listeners; /* descriptor of the map of that name */
    struct shield_rules *rules;
    struct offload_control *control;
};

/* Where clients are served over UDP. */
struct shield_listener {
    struct net_addr addr; /* no wildcard, no zone */
    bool plain;           /* clients without DTLS are taken */
    bool dtls;
    bool classic; /* clients of RFC 3489, too */
};

/* Packets a second; 0: without limit.  The burst is one second's worth. */
struct shield_limits {
    uint32_t prefix_per_s;    /* of a kind (enum shield_kind) from one /24 or /48 */
    uint32_t newcomers_per_s; /* of a kind from all strangers together, and of those asked again */
};

/* Begin: switched off, no listener, no limit, no answer.  0 with `*out`; -ENOMEM; what getrandom()
 * says. */
MUST_USE int shield_new(const struct shield_parts *parts, struct shield **out);

/* NULL is fine.  Switches it off. */
void shield_free(struct shield *shield);

/* Judge from now on, or let all pass.  To be switched off, too, when a live client could not be
 * written down (flow_client_put()): else what it sends would be dropped. */
void shield_set_on(struct shield *shield, bool on);

void shield_set_limits(struct shield *shield, const struct shield_limits *limits);

/* Answer Binding requests that have no attributes with XOR-MAPPED-ADDRESS and, unless `software` is
 * "", SOFTWARE.  To be asked for only while user space would say the very same: Binding is served
 * without credentials, without FINGERPRINT and MAPPED-ADDRESS.  NULL: user space answers.
 * 0; -EINVAL: longer than 128 bytes; then user space answers. */
MUST_USE int shield_set_answer(struct shield *shield, const char *software);

/* Serve these listeners and no others.  Those that were there keep being judged meanwhile.
 * 0; -ENOSPC: more than SHIELD_LISTENERS; -EINVAL: a wildcard; -ENOMEM: nothing has changed.
 * Another negative errno of the kernel: some are not shielded. */
MUST_USE int shield_set_listeners(struct shield *shield, const struct shield_listener *list,
                                  size_t count);
