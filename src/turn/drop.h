/* SPDX-License-Identifier: Apache-2.0 */
/* Every reason for which a packet is dropped without an answer, with its name for statistics. */
#pragma once

#define DROP_REASONS(X)                                                                            \
    X(NOT_STUN, "not-stun")       /* first byte or length of no protocol we speak */               \
    X(BAD_MESSAGE, "bad-message") /* header checks of RFC 8489 section 6.3 */                      \
    X(BAD_FINGERPRINT, "bad-fingerprint")                                                          \
    X(UNKNOWN_METHOD, "unknown-method")                                                            \
    X(BAD_CLASS, "bad-class") /* a class that the method does not have */                          \
    X(STRAY_RESPONSE, "stray-response")                                                            \
    X(KEEPALIVE, "keepalive")                 /* Binding indication: accepted, no answer */        \
    X(BAD_INDICATION, "bad-indication")       /* malformed, or without what it needs */            \
    X(UNKNOWN_ATTRIBUTE, "unknown-attribute") /* in an indication */                               \
    X(DISABLED, "disabled")                   /* STUN or TURN is switched off */                   \
    X(UNAUTH_RATE, "unauth-rate")             /* too many challenges to that source */             \
    X(KEY_BUSY, "key-busy")                   /* credentials cannot be looked up now */            \
    X(ELSEWHERE, "elsewhere")                 /* its session is on its way between workers */      \
    X(NO_ALLOCATION, "no-allocation")                                                              \
    X(NO_CHANNEL, "no-channel")                                                                    \
    X(TCP_ALLOCATION, "tcp-allocation") /* a Send indication on one (RFC 6062) */                  \
    X(CONNECTIONS, "connections")       /* no room for another peer data connection */             \
    X(BAD_LENGTH, "bad-length")         /* ChannelData shorter than it says */                     \
    X(NO_PERMISSION, "no-permission")                                                              \
    X(PEER_DENIED, "peer-denied") /* the gate */                                                   \
    X(PEER_FAMILY, "peer-family")                                                                  \
    X(BANDWIDTH, "bandwidth")         /* max-bps */                                                \
    X(CAPACITY, "capacity")           /* bps-capacity */                                           \
    X(CLIENT_AWAY, "client-away")     /* its connection is gone; it may come back (RFC 8016) */    \
    X(TOO_BIG, "too-big")             /* does not fit a datagram any more */                       \
    X(ICMP_OTHER, "icmp-other")       /* a type that is not relayed */                             \
    X(TUNNEL_CLIENT, "tunnel-client") /* RFC 8656 section 21.4 */                                  \
    X(INTERNAL, "internal")           /* libcrypto failed */

enum drop {

#define X(name, text) DROP_##name,
    DROP_REASONS(X)
#undef X
        DROP_COUNT
};
