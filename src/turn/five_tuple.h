/* SPDX-License-Identifier: Apache-2.0 */
/* What names a client's transport: both addresses and the protocol (RFC 8656 section 2). */
#pragma once

#include <stdint.h>

#include "base/net_addr.h"

/* Compared and hashed as it lies: no padding. */
struct five_tuple {
    struct net_addr client;
    struct net_addr server;
    uint32_t protocol; /* enum net_transport */
};

_Static_assert(sizeof(struct five_tuple) == 52, "five_tuple is hashed as it lies");
