/* SPDX-License-Identifier: Apache-2.0 */
/* Values of options that are more than a number or a text, for those who use them.  The loader has
 * judged every list item with these functions already: on items of a checked conf they succeed.
 *
 * Owner   nobody; outputs are plain values or borrow from the text.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"

struct conf_range {
    struct net_ip first;
    struct net_ip last; /* inclusive, of the same family */
};

/* Parse "192.0.2.1", "192.0.2.0-192.0.2.9", "192.0.2.0/24", the same for IPv6, into at most two
 * ranges of canonical addresses.  An IPv6 range never takes in IPv4: ::ffff:0:0/96, which is IPv4
 * in canonical form, is cut out of it ("::-ffff:..." gives two ranges), and a range of exactly that
 * block, which Synapse's sample file denies, gives none: an address written so is judged as the
 * IPv4 address that it is.  A smaller mapped range is taken as the IPv4 addresses in it.
 * Returns the number of ranges, or -EBADMSG. */
MUST_USE int conf_range_parse(const char *text, struct conf_range out[2]);

struct conf_external {
    struct net_ip public_ip;
    struct net_ip private_ip;
    bool has_private;
};

/* Parse "public" or "public/private", both of one family.  0 or -EBADMSG. */
MUST_USE int conf_external_parse(const char *text, struct conf_external *out);

struct conf_endpoint {
    struct net_addr addr; /* its port is not 0 */
    struct bytes domain;  /* borrows from the text; n is 0 when there is none */
};

/* Parse "address[:port]" with a domain name of letters, digits and '-' behind it, or none (RFC 8489
 * section 14.16).  0 or -EBADMSG. */
MUST_USE int conf_endpoint_parse(const char *text, uint16_t default_port,
                                 struct conf_endpoint *out);

struct conf_user {
    struct bytes name;
    struct bytes password; /* when key_len is 0; may hold ':' */
    uint8_t key[32];       /* wipe after use */
    size_t key_len;        /* 16 (MD5), 32 (SHA-256) or 0 */
};

/* Parse "name:password" or "name:0xKEY".  0 or -EBADMSG. */
MUST_USE int conf_user_parse(const char *text, struct conf_user *out);

/* Parse a NAT64 prefix "64:ff9b::/96" of 32, 40, 48, 56, 64 or 96 bits (RFC 6052 section 2.2).
 * 0 or -EBADMSG. */
MUST_USE int conf_prefix_parse(const char *text, struct net_ip *out_prefix, unsigned *out_bits);

/* Decode "0x" and an even number of hexadecimal digits into at most `cap` bytes.
 * Returns the number of bytes; -EBADMSG when `text` is not of that form; -ENOBUFS. */
MUST_USE int conf_hex_parse(const char *text, uint8_t *out, size_t cap);

/* A network interface that programs are attached to. */
enum { CONF_INTERFACE_NAME = 16, CONF_OFFLOAD_INTERFACES = 32 };

struct conf_offload_interface {
    char name[CONF_INTERFACE_NAME];
    bool has_mode;
    uint32_t mode; /* enum conf_offload, not off */
};

/* Parse "eth0" or "eth0=xdp".  0 or -EBADMSG. */
MUST_USE int conf_offload_interface_parse(const char *text, struct conf_offload_interface *out);
