/* SPDX-License-Identifier: Apache-2.0 */
/* Random frames for the server: most are packets of the history's sessions as they should be, the
 * rest has something about it.
 *
 * Owner   the test.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diff/history.h"

/* What was done to a frame. */
#define TRAFFIC_ODDITIES(X)                                                                        \
    X(NONE)                                                                                        \
    X(MAC)       /* sent to another link address, or to all */                                     \
    X(VLAN)      /* with a tag */                                                                  \
    X(ETHERTYPE) /* neither IPv4 nor IPv6, or the wrong one */                                     \
    X(OPTIONS)   /* IPv4 options, IPv6 extension headers */                                        \
    X(FRAGMENT)  /* of either kind */                                                              \
    X(IP_SUM)    /* a wrong IPv4 header checksum; IPv6: another version */                         \
    X(IP_LENGTH) /* longer or shorter than what there is */                                        \
    X(UDP_LENGTH)                                                                                  \
    X(PROTOCOL)    /* not UDP */                                                                   \
    X(TTL)         /* 0 to 2 */                                                                    \
    X(UDP_SUM)     /* wrong */                                                                     \
    X(NO_SUM)      /* no UDP checksum */                                                           \
    X(PARTIAL_SUM) /* left to hardware that isn't there */                                         \
    X(CUT)         /* the frame ends early */                                                      \
    X(TRAILER)     /* the frame goes on */                                                         \
    X(FLIP)        /* any one bit */                                                               \
    X(ADDRESS)     /* another host, port or address of the server */                               \
    X(CHANNEL)     /* a channel nobody has bound, lengths that aren't true, no channel at all */   \
    X(OWN_SOURCE)  /* from an address of the server itself */

enum traffic_oddity {

#define X(name) TRAFFIC_##name,
    TRAFFIC_ODDITIES(X)
#undef X
        TRAFFIC_ODDITY_COUNT
};

struct traffic {
    enum stage_interface at; /* where it comes in */
    enum traffic_oddity oddity;
    size_t n;
    uint8_t bytes[FRAME_MAX];
};

/* A frame of some party of the history. */
void traffic_make(struct history *h, struct traffic *out);

const char *traffic_name(enum traffic_oddity oddity);
