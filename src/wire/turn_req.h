/* SPDX-License-Identifier: Apache-2.0 */
/* A STUN/TURN request or indication from a client, decoded whole into one flat struct.
 *
 * Only attributes up to the integrity attribute count (RFC 8489 section 9: after MESSAGE-INTEGRITY
 * all are ignored but MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; after a MESSAGE-INTEGRITY-SHA256
 * all but FINGERPRINT), the first of a kind wins (section 14), except XOR-PEER-ADDRESS, whose
 * further ones are walked with turn_req_next_peer().  Nothing after FINGERPRINT is looked at.
 *
 * Owner   nobody: spans borrow from the datagram.  Thread  any; pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "base/net_addr.h"
#include "wire/stun_msg.h"

/* Presence mask. */
enum turn_has {
    HAS_USERNAME = 1 << 0,
    HAS_USERHASH = 1 << 1,
    HAS_REALM = 1 << 2,
    HAS_NONCE = 1 << 3,
    HAS_MI = 1 << 4,
    HAS_MI256 = 1 << 5,
    HAS_FINGERPRINT = 1 << 6,
    HAS_PASSWORD_ALGORITHM = 1 << 7,
    HAS_PASSWORD_ALGORITHMS = 1 << 8,
    HAS_CHANNEL_NUMBER = 1 << 9,
    HAS_LIFETIME = 1 << 10,
    HAS_XOR_PEER_ADDRESS = 1 << 11,
    HAS_DATA = 1 << 12,
    HAS_REQUESTED_ADDRESS_FAMILY = 1 << 13,
    HAS_ADDITIONAL_ADDRESS_FAMILY = 1 << 14,
    HAS_EVEN_PORT = 1 << 15,
    HAS_REQUESTED_TRANSPORT = 1 << 16,
    HAS_DONT_FRAGMENT = 1 << 17,
    HAS_RESERVATION_TOKEN = 1 << 18,
    HAS_TRANSMIT_COUNTER = 1 << 19,
    HAS_MOBILITY_TICKET = 1 << 20,
    HAS_ACCESS_TOKEN = 1 << 21,
    HAS_CONNECTION_ID = 1 << 22,
    HAS_CHANGE_REQUEST = 1 << 23,
    HAS_ORIGIN = 1 << 24,
    HAS_PADDING = 1 << 25,
    HAS_RESPONSE_PORT = 1 << 26,
};

/* Flags of CHANGE-REQUEST; the other bits mean nothing. */
enum turn_change { TURN_CHANGE_PORT = 0x2, TURN_CHANGE_IP = 0x4 };

/* What makes a request malformed (400) without making it unparsable: set in `bad`, judged by the
 * core after authentication, in the order of conformance section 4. */
enum { TURN_REQ_MAX_UNKNOWN = 16 };

struct turn_req {
    struct stun_msg msg;
    uint32_t has; /* enum turn_has: present with a well-formed value */
    uint32_t bad; /* enum turn_has: present, but its value has a wrong length or form */
    bool overrun; /* an attribute's length runs past the end of the message */

    struct bytes username;
    struct bytes userhash; /* 32 bytes */
    struct bytes realm;
    struct bytes nonce;
    struct bytes mi;                  /* value, inside msg.whole */
    struct bytes mi256;               /* value, inside msg.whole; 16..32 bytes as received */
    struct bytes fingerprint;         /* value, inside msg.whole */
    struct bytes password_algorithms; /* the raw list */
    uint16_t password_algorithm;
    bool password_algorithm_params; /* PASSWORD-ALGORITHM had parameters */

    uint16_t channel;
    uint32_t lifetime_s;
    struct net_addr peer; /* first XOR-PEER-ADDRESS */
    struct bytes data;
    uint8_t family;            /* REQUESTED-ADDRESS-FAMILY as sent: 1, 2 or anything */
    uint8_t additional_family; /* ADDITIONAL-ADDRESS-FAMILY as sent */
    bool even_port_reserve;    /* EVEN-PORT with R = 1 */
    uint8_t transport;         /* REQUESTED-TRANSPORT protocol number */
    uint64_t reservation_token;
    uint8_t transmit_count; /* RFC 7982 Req */
    uint32_t connection_id; /* RFC 6062 */
    struct bytes ticket;    /* MOBILITY-TICKET (RFC 8016) */
    struct bytes token;     /* ACCESS-TOKEN (RFC 7635) */
    struct bytes origin;    /* ORIGIN (draft-johnston-tram-stun-origin), the first */
    struct bytes origins;   /* body from the first to the last, for turn_req_next_origin() */
    uint32_t change;        /* CHANGE-REQUEST: enum turn_change (RFC 5780 section 7.2) */
    uint16_t response_port; /* RESPONSE-PORT (RFC 5780 section 7.5) */
    uint16_t padding;       /* bytes of PADDING (RFC 5780 section 7.6) */

    struct bytes peers;    /* body from the first XOR-PEER-ADDRESS to the integrity attribute */
    uint8_t unknown_count; /* distinct unknown comprehension-required types kept below */
    uint16_t unknown[TURN_REQ_MAX_UNKNOWN];
};

/* Decode `msg` into `*out`.  Never fails: what is wrong is said in `bad`, `overrun` and `unknown`.
 * Cost: one walk.  Reads nothing outside msg->whole. */
void turn_req_decode(const struct stun_msg *msg, struct turn_req *out);

/* Attributes `has` (a mask of enum turn_has, each with a type of its own) of `req` mean nothing
 * here: count those that are there, whatever their form, as unknown ones. */
void turn_req_disown(struct turn_req *req, uint32_t has);

/* Walk all ORIGIN values; `*rest` starts as req->origins.  True with `*out`; false at the end. */
bool turn_req_next_origin(struct bytes *rest, struct bytes *out);

/* Walk all XOR-PEER-ADDRESS values (RFC 8656 section 10.2); `*rest` starts as req->peers.
 * 1 with `*out`, 0 at the end, -EBADMSG for one that is malformed. */
MUST_USE int turn_req_next_peer(const struct turn_req *req, struct bytes *rest,
                                struct net_addr *out);

/* Step through a PASSWORD-ALGORITHMS list (RFC 8489 section 14.11).
 * 1 with number and parameters, 0 at the end, -EBADMSG. */
MUST_USE int turn_req_next_algorithm(struct bytes *rest, uint16_t *out_number,
                                     struct bytes *out_params);
