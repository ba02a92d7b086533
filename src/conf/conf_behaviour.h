/* SPDX-License-Identifier: Apache-2.0 */
/* At which addresses and ports NAT behaviour discovery (RFC 5780) is served.
 *
 * Owner   nobody: plain values.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "conf/conf.h"

enum conf_behaviour_pair {
    CONF_PAIR_FOUND,
    CONF_PAIR_MISSING, /* fewer than two listening-ip of the family */
    CONF_PAIR_ONE_FACE /* external-ip shows clients one address for both */
};

struct conf_behaviour {
    bool on;                          /* rfc5780 is given */
    enum conf_behaviour_pair pair[2]; /* IPv4, IPv6 */
    struct net_ip ip[2][2];           /* where found: the first two listening-ip of the family */
    uint32_t port[2];                 /* listening-port and alt-listening-port; may exceed 65535 */
    uint32_t tls_port[2];             /* the same for TLS and DTLS; both 0: there is none */
};

struct conf_behaviour conf_behaviour_read(const struct conf *conf);

/* Is `ip` one of a pair that is served? */
bool conf_behaviour_has(const struct conf_behaviour *behaviour, const struct net_ip *ip);

/* True where a pair is served. */
bool conf_behaviour_any(const struct conf_behaviour *behaviour);
