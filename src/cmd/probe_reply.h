/* SPDX-License-Identifier: Apache-2.0 */
/* A STUN/TURN response or indication as a client sees it, decoded into one flat struct.
 *
 * Attributes behind an integrity attribute are ignored, except a MESSAGE-INTEGRITY-SHA256 behind a
 * MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 section 14.5); the first of a kind wins, except
 * XOR-RELAYED-ADDRESS, of which one per family may come (RFC 8656 section 7.3).
 *
 * Owner   nobody: spans borrow from the datagram.  Thread  any; pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "wire/stun_msg.h"

struct probe_reply {
    struct stun_msg msg;
    int code; /* of ERROR-CODE; 0 in a success response or indication */
    struct bytes reason;
    struct bytes realm;
    struct bytes nonce;
    struct bytes algorithms; /* raw PASSWORD-ALGORITHMS; p is NULL when there is none */
    struct bytes software;
    struct bytes mi;        /* MESSAGE-INTEGRITY, n is 0 when there is none */
    struct bytes mi256;     /* MESSAGE-INTEGRITY-SHA256 likewise */
    struct bytes data;      /* DATA; p is NULL when there is none */
    struct bytes ticket;    /* MOBILITY-TICKET likewise (RFC 8016) */
    bool fingerprint;       /* there is one, and it is right */
    uint32_t lifetime_s;    /* 0 when there is none */
    struct net_addr mapped; /* the family of an address that did not come is NET_NONE */
    struct net_addr relayed;
    struct net_addr peer;
    struct net_addr alternate;
    struct net_addr origin; /* RESPONSE-ORIGIN (RFC 5780 section 7.3) */
    struct net_addr other;  /* OTHER-ADDRESS (RFC 5780 section 7.4) */
};

/* Decode a datagram.  0; -EBADMSG, `*out` unchanged, when it is no STUN message, when an attribute
 * that it understands is malformed, when an error response has no ERROR-CODE, or when a FINGERPRINT
 * is wrong. */
MUST_USE int probe_reply_decode(struct bytes datagram, struct probe_reply *out);
