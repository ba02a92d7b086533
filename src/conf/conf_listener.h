/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients are taken where, by the options and by [listener] sections.
 *
 * Owner   nobody: plain values that borrow from the conf.  Thread  any. */
#pragma once

#include <stdbool.h>

#include "conf/conf.h"

enum conf_transport { CONF_UDP, CONF_TCP, CONF_TRANSPORTS };

/* Without TLS (over UDP: DTLS), and with it.  Neither: that transport is not listened on. */
struct conf_takes {
    bool plain;
    bool secure;
};

struct conf_listener {
    struct conf_takes takes[CONF_TRANSPORTS];
    bool proxy;           /* PROXY protocol first, on every connection */
    const char *tls_name; /* of a [tls "name"] section; "": the default one */
};

/* What the options ask for, at a port that takes all of it. */
struct conf_listener conf_listener_default(const struct conf *conf);

/* What a [listener] section asks for. */
struct conf_listener conf_listener_read(const struct conf *conf,
                                        const struct conf_section *section);

/* True when somewhere clients are taken over that transport, with or without (D)TLS; when somewhere
 * clients are taken with TLS or DTLS. */
bool conf_serves(const struct conf *conf, enum conf_transport transport);
bool conf_serves_secure(const struct conf *conf);
