/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients are served: which transport addresses, and the sockets on them.
 *
 * Without listening-ip there is one wildcard socket a family and worker, which serves addresses
 * that are added later, too; each answer leaves from the address that was asked.
 *
 * Owner   a plan is a plain value; sockets belong to their worker.  Thread  control. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/net_addr.h"

struct conf;
struct udp_port;

enum { LISTENER_MAX = 256 };

struct listener_plan {
    size_t count;
    struct net_addr addr[LISTENER_MAX];
    uint32_t buffer_bytes;
};

/* Make the plan that `conf` asks for and see that nobody else uses the addresses.
 * 0; negative errno with `why`. */
MUST_USE int listener_plan_make(const struct conf *conf, struct listener_plan *out, char *why,
                                size_t cap);

/* Open one more socket on address `i`: the workers share it (SO_REUSEPORT).  0; negative errno with
 * `why`. */
MUST_USE int listener_open(const struct listener_plan *plan, size_t i, struct udp_port *out,
                           char *why, size_t cap);
