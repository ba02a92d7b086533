/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses and transport addresses as plain values, always canonical.
 *
 * An IPv4 address a.b.c.d is held as ::ffff:a.b.c.d, so one 128-bit value names one host whatever
 * encoding brought it here; `family` says how it appears on the wire.
 *
 * Owner   nobody; plain values, compared and hashed byte for byte (no hidden padding).
 * Thread  any. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"

/* The values that STUN uses on the wire (RFC 8489 section 14.1). */
enum net_family { NET_NONE = 0, NET_V4 = 1, NET_V6 = 2 };

/* What carries packets between a client and us: protocol numbers, or numbers of our own from the
 * range for experiments; never on the wire. */
enum net_transport {
    NET_TCP = 6,
    NET_UDP = 17,
    NET_PROXIED = 252, /* UDP by way of a balancer that tells whose packet it is */
    NET_DTLS = 253,
    NET_TLS = 254,
};

/* True for transports without message boundaries. */
static inline bool net_is_stream(uint32_t transport)
{
    return transport == NET_TCP || transport == NET_TLS;
}

/* A 128-bit address, network order. */
struct net_ip {
    uint8_t b[16];
};

/* A transport address: 24 bytes without padding, so that it can be hashed as it lies. */
struct net_addr {
    struct net_ip ip;
    uint32_t scope; /* IPv6 zone (interface index) of a link-local address, else 0 */
    uint16_t port;  /* host order */
    uint8_t family; /* enum net_family */
    uint8_t zero;   /* always 0 */
};

/* "[0123:4567:89ab:cdef:0123:4567:255.255.255.255%4294967295]:65535" and its end. */
#define NET_ADDR_TEXT 80

struct net_ip net_ip_v4(const uint8_t v4[4]);

/* The four bytes of an IPv4 address in `ip`; meaningful only when net_ip_is_v4(). */
static inline const uint8_t *net_ip_v4_bytes(const struct net_ip *ip)
{
    return ip->b + 12;
}

/* True for ::ffff:0:0/96, the canonical form of IPv4. */
bool net_ip_is_v4(const struct net_ip *ip);
bool net_ip_equal(const struct net_ip *a, const struct net_ip *b);

/* -1, 0 or 1: order as 128-bit unsigned numbers. */
int net_ip_compare(const struct net_ip *a, const struct net_ip *b);

/* Parse "192.0.2.1", "2001:db8::1" or "::ffff:192.0.2.1" (which becomes IPv4).
 * Returns 0 with `*out` set; -EBADMSG, `*out` unchanged, when `text` is no address. */
MUST_USE int net_ip_parse(const char *text, struct net_ip *out);

/* Parse "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80", "[fe80::1%3]:80"; without a port
 * `default_port` is taken.  Returns 0 or -EBADMSG with `*out` unchanged. */
MUST_USE int net_addr_parse(const char *text, uint16_t default_port, struct net_addr *out);

struct net_addr net_addr_make(const struct net_ip *ip, uint16_t port);
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);

/* Write `ip` / `addr` as text; both return `out`. */
const char *net_ip_text(const struct net_ip *ip, char out[NET_ADDR_TEXT]);
const char *net_addr_text(const struct net_addr *addr, char out[NET_ADDR_TEXT]);

/* Between socket addresses and ours.  A mapped IPv6 socket address becomes IPv4.
 * net_addr_from_sockaddr() returns 0, or -EBADMSG for another address family;
 * net_addr_to_sockaddr() writes AF_INET or AF_INET6 after `family` and returns the length. */
MUST_USE int net_addr_from_sockaddr(const struct sockaddr_storage *ss, struct net_addr *out);
socklen_t net_addr_to_sockaddr(const struct net_addr *addr, struct sockaddr_storage *out);
