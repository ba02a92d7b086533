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
    TURN_MAX_ANYCAST = 16,
    TURN_MAX_REALMS = 1024,     /* in the life of a process, the main one included */
    TURN_SERVER_NAME_MAX = 255, /* octets (RFC 7635 section 6.1) */
    TURN_ORIGIN_MAX = 127,      /* octets of an ORIGIN that may be known */
    TURN_ORIGIN_SPELLED_MAX = TURN_ORIGIN_MAX + 6, /* and with its port */
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

/* What holds for one realm.  Its id never changes while the process lives: sessions keep it. */
struct turn_realm {
    char name[TURN_REALM_MAX * 4 + 1];
    bool gone;               /* not configured any more: nobody can log in, its sessions go on */
    bool username_anonymity; /* offer USERHASH: every user can be found by it */
    enum turn_algorithms algorithms;
    uint64_t max_bps; /* bytes a second, allocation and direction; 0 without limit */
    const struct gate *gate;
};

/* An ORIGIN (draft-johnston-tram-stun-origin) and the realm that it stands for. */
struct turn_origin {
    const char *origin; /* as origin_spell() spells it */
    uint32_t realm;     /* id */
};

/* Four transport addresses of one family and kind of transport, at which a client is served the
 * same (RFC 5780 section 6): A1:P1, A1:P2, A2:P1, A2:P2.  The other port is at index ^ 1, the other
 * address at index ^ 2. */
enum { TURN_OTHER_PORT = 1, TURN_OTHER_IP = 2, TURN_BEHAVIOUR_ADDRS = 4, TURN_BEHAVIOUR_SETS = 8 };

struct turn_behaviour_set {
    bool stream; /* TCP and TLS; else UDP and DTLS */
    struct net_addr local[TURN_BEHAVIOUR_ADDRS];
    struct net_addr told[TURN_BEHAVIOUR_ADDRS]; /* as clients see them (external-ip) */
};

struct turn_behaviour {
    uint32_t count; /* 0: no NAT behaviour discovery */
    bool response_port;
    bool padding;
    struct turn_behaviour_set sets[TURN_BEHAVIOUR_SETS]; /* no two have an address in common */
};

struct turn_config {
    struct turn_realm main;          /* id 0: of requests that name no other */
    const struct turn_realm *realms; /* ids from 1 on */
    uint32_t realm_count;
    const uint32_t *realm_order;       /* their ids, sorted by turn_realm_order() of the names */
    const struct turn_origin *origins; /* sorted by turn_realm_order() */
    uint32_t origin_count;
    bool origin_consistency; /* all requests of a session carry the same ORIGIN, or none */
    bool third_party;        /* ACCESS-TOKEN is understood (RFC 7635) */
    char server_name[TURN_SERVER_NAME_MAX + 1]; /* THIRD-PARTY-AUTHORIZATION */
    char software[TURN_SOFTWARE_MAX + 1];       /* empty: no SOFTWARE attribute */
    bool require_auth;                          /* false: anonymous, `no-auth` */
    bool stun_enabled;                          /* Binding is answered */
    bool turn_enabled;                          /* TURN methods are answered */
    bool auth_binding;                          /* `secure-stun`: Binding needs credentials, too */
    bool always_fingerprint; /* FINGERPRINT in every response, not only when asked with one */
    bool mapped_address;     /* add MAPPED-ADDRESS to Binding responses */
    bool rfc3489;            /* Binding requests without magic cookie are answered, over UDP */
    bool channels_5766;      /* channel numbers up to 0x7FFF */
    bool udp_relay;          /* false: Allocate for UDP is refused with 403 */
    bool tcp_relay;          /* false: Allocate for TCP (RFC 6062) is refused with 403 */
    bool ipv4_relay;         /* there are IPv4 relay addresses */
    bool ipv6_relay;
    bool additional_family; /* ADDITIONAL-ADDRESS-FAMILY is understood */
    bool copy_dscp;         /* RFC 8656 section 14; else Best Effort */
    bool copy_ecn;          /* RFC 8656 section 14; else Not-ECT */
    bool mobility;          /* clients may move to other addresses (RFC 8016) */
    bool draining;          /* new allocations are refused with 403 */
    enum turn_family_default default_family;

    uint32_t default_lifetime_s; /* 600 */
    uint32_t max_lifetime_s;     /* 3600 */
    uint32_t permission_s;       /* 300 */
    uint32_t channel_s;          /* 600 */
    uint32_t nonce_s;            /* how long a NONCE is valid */
    uint32_t max_permissions;    /* per allocation */
    uint32_t max_channels;       /* per allocation */
    uint32_t max_connections;    /* peer data connections (RFC 6062) per allocation */
    bool limit_capacity;         /* ask capacity_lease() before relaying */
    uint32_t unauth_per_s;       /* challenges a second and source prefix; 0 without limit */
    uint32_t unauth_burst;

    struct turn_behaviour behaviour;

    /* Secrets of the nonces: made with the first, accepted with any of them. */
    uint8_t nonce_keys[TURN_NONCE_KEYS][TURN_NONCE_KEY_LEN];
    size_t nonce_key_count;

    /* Where Allocate requests are sent instead (300), by the client's transport; none: they are
     * served here. */
    struct turn_alternates alternates[TURN_ALTERNATE_KINDS];
    bool redirect_only;     /* nothing is allocated here: 300, or 508 */
    uint32_t max_redirects; /* of one client in 10 s, then it is served here; 0 without limit */

    /* `udp-self-balance`: addresses of this server that UDP clients are spread over, as clients
     * know them and as they are bound here. */
    struct turn_alternates balance;
    struct net_addr balance_bound[TURN_MAX_ALTERNATES];

    /* Addresses that other servers have, too, and where their clients are sent (RFC 8155). */
    struct net_ip anycast[TURN_MAX_ANYCAST];
    size_t anycast_count;
    struct turn_alternates anycast_to[TURN_ALTERNATE_KINDS];
};
