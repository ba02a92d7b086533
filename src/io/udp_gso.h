/* SPDX-License-Identifier: Apache-2.0 */
/* Bursts as one message: whether this kernel can be trusted with them, and which sockets ask for
 * them.
 *
 * UDP_GRO pays for a socket that finds several packets of a flow at a time, and is in the way of
 * others: every packet of the host is looked up once more as soon as one socket has it.  So a
 * socket asks for it after some visits in a row that would have gained by it.  It stays: a burst
 * that was in the queue when it is switched off would be delivered as one long packet.
 *
 * Owner   nobody.  Thread  udp_gso_test(): any; udp_gro_learn(): the worker of the port. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

struct pkt;
struct udp_port;

/* Send segmented messages over loopback, IPv4 and IPv6, and see that the packets arrive as they
 * should; takes less than a second.  Returns 0; -EOPNOTSUPP: the kernel cannot, or is known to
 * corrupt what it sends; -EBADMSG: it does corrupt it; another negative errno: not tested. */
MUST_USE int udp_gso_test(void);

/* True for kernels (the release as uname(2) tells it) that are known to corrupt segmented messages:
 * Linux 7.0 to 7.1.4. */
bool udp_gso_is_bad_release(const char *release);

/* A visit to `port`, which has not UDP_GRO, has found the `count` packets at `pkt`: switch it on
 * when this happens often enough.  Hot path. */
void udp_gro_learn(struct udp_port *port, const struct pkt *pkt, uint32_t count);
