/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol, versions 1 and 2 (HAProxy's specification): what a balancer writes before the
 * first byte of a connection, or into each datagram (version 2).
 *
 * Of version 2's extensions only PP2_TYPE_SSL is looked at; a checksum (CRC32C) is not verified.
 *
 * Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"

enum {
    PROXY_V1_MAX = 107, /* bytes, with CR LF */
    PROXY_V2_HEAD = 16,
    PROXY_V2_MAX = 16 + 536, /* longer ones are refused */
};

struct proxy_header {
    uint32_t len;  /* bytes of the header: what follows is the client's */
    bool local;    /* LOCAL (health check), UNKNOWN, or a family without addresses of ours (UNSPEC,
                      AF_UNIX): the addresses of the connection itself hold; those below are zero */
    bool datagram; /* version 2: DGRAM; false: STREAM */
    bool tls;      /* version 2: a PP2_TYPE_SSL TLV says that the client came over TLS */
    struct net_addr source;      /* the client */
    struct net_addr destination; /* where it connected to */
};

/* Decode the header at the start of `in`.  0 with `*out`; -EAGAIN: it may be one, more bytes are
 * needed; -EBADMSG: it is none, or a broken one. */
MUST_USE int proxy_header_decode(struct bytes in, struct proxy_header *out);

/* Write a version 2 header (tests, clients); `header->len` is not looked at.  Returns its length;
 * -ENOBUFS. */
MUST_USE int proxy_header_encode(const struct proxy_header *header, uint8_t *out, size_t cap);
