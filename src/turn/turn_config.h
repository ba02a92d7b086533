/* SPDX-License-Identifier: Apache-2.0 */
/* What the protocol core is told about its administrator's wishes.
 *
 * Owner   whoever made it; the core borrows it until the next turn_server_configure() returns.
 * Thread  immutable once handed over, so all workers may borrow the same one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net_addr.h"

struct gate;

enum {
    TURN_REALM_MAX = 127,    /* characters (RFC 8489 section 14.9) */
    TURN_SOFTWARE_MAX = 127, /* characters (RFC 8489 section 14.14) */
    TURN_NONCE_KEYS = 4,
    TURN_NONCE_KEY_LEN = 32,
    TURN_MAX_ALTERNATES = 64,
};

/* Which password algorithms are offered (RFC 8489 section 18.5). */
enum turn_algorithms {
    TURN_ALG_SHA256_MD5, /* both, SHA-256 preferred */
    TURN_ALG_MD5,        /* MD5 only: some users have no SHA-256 key */
    TURN_ALG_SHA256,     /* SHA-256 only: MD5 is refused */
};

enum turn_family_default { TURN_DEFAULT_IPV4, TURN_DEFAULT_IPV6, TURN_DEFAULT_KEEP };

/* TLS stands for DTLS, too. */
enum turn_alternate_kind { TURN_ALTERNATE_UDP, TURN_ALTERNATE_TCP, TURN_ALTERNATE_TLS };

enum { TURN_ALTERNATE_KINDS = 3, TURN_DOMAIN_MAX = 255 };

struct turn_alternate {
    struct net_addr addr;
    char domain[TURN_DOMAIN_MAX + 1]; /* ALTERNATE-DOMAIN (RFC 8489 section 10), or "" */
};

struct turn_alternates {
    size_t count;
    struct turn_alternate items[TURN_MAX_ALTERNATES];
};

struct turn_config {
    char realm[TURN_REALM_MAX * 4 + 1];
    char software[TURN_SOFTWARE_MAX + 1]; /* empty: no SOFTWARE attribute */
    bool require_auth;                    /* false: anonymous, `no-auth` */
    bool stun_enabled;                    /* Binding is answered */
    bool turn_enabled;                    /* TURN methods are answered */
    bool auth_binding;                    /* `secure-stun`: Binding needs credentials, too */
    bool always_fingerprint; /* FINGERPRINT in every response, not only when asked with one */
    bool mapped_address;     /* add MAPPED-ADDRESS to Binding responses */
    bool channels_5766;      /* channel numbers up to 0x7FFF */
    bool username_anonymity; /* offer USERHASH: every user can be found by it */
    bool udp_relay;          /* false: Allocate for UDP is refused with 403 */
    bool tcp_relay;          /* false: Allocate for TCP (RFC 6062) is refused with 403 */
    bool ipv4_relay;         /* there are IPv4 relay addresses */
    bool ipv6_relay;
    bool additional_family; /* ADDITIONAL-ADDRESS-FAMILY is understood */
    bool copy_dscp;         /* RFC 8656 section 14; else Best Effort */
    bool copy_ecn;          /* RFC 8656 section 14; else Not-ECT */
    bool mobility;          /* clients may move to other addresses (RFC 8016) */
    bool draining;          /* new allocations are refused with 403 */
    enum turn_algorithms algorithms;
    enum turn_family_default default_family;

    uint32_t default_lifetime_s; /* 600 */
    uint32_t max_lifetime_s;     /* 3600 */
    uint32_t permission_s;       /* 300 */
    uint32_t channel_s;          /* 600 */
    uint32_t nonce_s;            /* how long a NONCE is valid */
    uint32_t max_permissions;    /* per allocation */
    uint32_t max_channels;       /* per allocation */
    uint32_t max_connections;    /* peer data connections (RFC 6062) per allocation */
    uint64_t max_bps;            /* bytes a second, allocation and direction; 0 without limit */
    bool limit_capacity;         /* ask capacity_lease() before relaying */
    uint32_t unauth_per_s;       /* challenges a second and source prefix; 0 without limit */
    uint32_t unauth_burst;

    /* Secrets of the nonces: made with the first, accepted with any of them. */
    uint8_t nonce_keys[TURN_NONCE_KEYS][TURN_NONCE_KEY_LEN];
    size_t nonce_key_count;

    const struct gate *gate;

    /* Where Allocate requests are sent instead (300), by the client's transport; none: they are
     * served here. */
    struct turn_alternates alternates[TURN_ALTERNATE_KINDS];
};
