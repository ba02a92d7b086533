/* SPDX-License-Identifier: Apache-2.0 */
/* The STUN message: header, walk over attributes, integrity and fingerprint (RFC 8489 sections 5,
 * 14.5 to 14.7).
 *
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |0 0|     STUN Message Type     |         Message Length        |
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |                         Magic Cookie                          |
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |                     Transaction ID (96 bits)                  |
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *
 * Owner   nobody: a message borrows its bytes.  Thread  any; pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

struct crypto_mac;

enum {
    STUN_HEADER = 20,
    STUN_ATTR_HEAD = 4,
    STUN_TID = 12,
    STUN_MI_LEN = 20,
    STUN_MI256_LEN = 32,
};

#define STUN_COOKIE UINT32_C(0x2112A442)

enum stun_class {
    STUN_REQUEST = 0,
    STUN_INDICATION = 1,
    STUN_SUCCESS = 2,
    STUN_ERROR = 3,
};

enum stun_method {
    STUN_BINDING = 0x001,
    STUN_ALLOCATE = 0x003,
    STUN_REFRESH = 0x004,
    STUN_SEND = 0x006,
    STUN_DATA = 0x007,
    STUN_CREATE_PERMISSION = 0x008,
    STUN_CHANNEL_BIND = 0x009,
    STUN_CONNECT = 0x00A,
    STUN_CONNECTION_BIND = 0x00B,
    STUN_CONNECTION_ATTEMPT = 0x00C,
};

/* Numbers from conformance: comprehension-required below 0x8000 (RFC 8489 section 14). */
enum stun_attr_type {
    STUN_MAPPED_ADDRESS = 0x0001,
    STUN_CHANGE_REQUEST = 0x0003,
    STUN_SOURCE_ADDRESS = 0x0004,  /* RFC 3489 */
    STUN_CHANGED_ADDRESS = 0x0005, /* RFC 3489 */
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_UNKNOWN_ATTRIBUTES = 0x000A,
    STUN_CHANNEL_NUMBER = 0x000C,
    STUN_LIFETIME = 0x000D,
    STUN_XOR_PEER_ADDRESS = 0x0012,
    STUN_DATA_ATTR = 0x0013,
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    STUN_XOR_RELAYED_ADDRESS = 0x0016,
    STUN_REQUESTED_ADDRESS_FAMILY = 0x0017,
    STUN_EVEN_PORT = 0x0018,
    STUN_REQUESTED_TRANSPORT = 0x0019,
    STUN_DONT_FRAGMENT = 0x001A,
    STUN_ACCESS_TOKEN = 0x001B,
    STUN_MESSAGE_INTEGRITY_SHA256 = 0x001C,
    STUN_PASSWORD_ALGORITHM = 0x001D,
    STUN_USERHASH = 0x001E,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_RESERVATION_TOKEN = 0x0022,
    STUN_PADDING = 0x0026,
    STUN_RESPONSE_PORT = 0x0027,
    STUN_CONNECTION_ID = 0x002A,
    STUN_ADDITIONAL_ADDRESS_FAMILY = 0x8000,
    STUN_ADDRESS_ERROR_CODE = 0x8001,
    STUN_PASSWORD_ALGORITHMS = 0x8002,
    STUN_ALTERNATE_DOMAIN = 0x8003,
    STUN_ICMP = 0x8004,
    STUN_SOFTWARE = 0x8022,
    STUN_ALTERNATE_SERVER = 0x8023,
    STUN_TRANSACTION_TRANSMIT_COUNTER = 0x8025,
    STUN_FINGERPRINT = 0x8028,
    STUN_RESPONSE_ORIGIN = 0x802B,
    STUN_OTHER_ADDRESS = 0x802C,
    STUN_THIRD_PARTY_AUTHORIZATION = 0x802E,
    STUN_ORIGIN = 0x802F,
    STUN_MOBILITY_TICKET = 0x8030,
};

/* A parsed header.  `whole` spans header and body exactly. */
struct stun_msg {
    struct bytes whole;
    struct bytes body;  /* what follows the header */
    const uint8_t *tid; /* 12 bytes; the cookie stands in the 4 bytes before it */
    uint16_t method;
    uint8_t class; /* enum stun_class */
};

struct stun_attr {
    uint16_t type;
    struct bytes value; /* without padding */
};

/* Parse the header of a datagram that must hold exactly one message (RFC 8489 section 6.3; trailing
 * bytes make it no STUN message).  Returns 0; -EBADMSG for wrong top bits, cookie or length, or
 * fewer than 20 bytes; `*out` unchanged. */
MUST_USE int stun_msg_parse(struct bytes datagram, struct stun_msg *out);

/* True when `message`, which has the first two bytes of one at least, has the method Binding. */
static inline bool stun_is_binding(const uint8_t *message)
{
    return message[0] <= 1 && (message[1] & 0xef) == STUN_BINDING;
}

/* Step to the next attribute of `rest` (RFC 8489 section 14); the step comes from the attribute
 * header alone.  Returns 1 with `*out` set, 0 at a clean end, -EBADMSG when a length runs past the
 * end, both unchanged. */
MUST_USE int stun_attr_next(struct bytes *rest, struct stun_attr *out);

/* Message type field from method and class, and back. */
uint16_t stun_type(uint16_t method, enum stun_class class);

/* Verify MESSAGE-INTEGRITY (20 bytes) or MESSAGE-INTEGRITY-SHA256 (32 bytes, never truncated) whose
 * value `mi` points into `msg->whole`, behind its attribute header, which says which; under `key`.
 *  The header is hashed with the length set to the end of
 * that attribute, from a copy: received bytes are never rewritten.  Constant-time comparison.
 * 0 when it holds; -EPERM when not; -EIO when libcrypto fails. */
MUST_USE int stun_msg_check_mi(struct crypto_mac *mac, const struct stun_msg *msg, struct bytes mi,
                               struct bytes key);

/* True when the FINGERPRINT whose 4-byte value `fp` points into `msg->whole` is right. */
bool stun_msg_check_fingerprint(const struct stun_msg *msg, struct bytes fp);

/* --- writing --------------------------------------------------------------------------------- */

/* A message under construction, in a buffer that the caller owns. */
struct stun_out {
    struct writer w;
};

/* Begin a message: 20 bytes of header.  `tid` is 12 bytes. */
void stun_out_begin(struct stun_out *out, uint8_t *buf, size_t cap, uint16_t type,
                    const uint8_t tid[STUN_TID]);

/* Append an attribute with zero padding (RFC 8489 section 14). */
void stun_out_attr(struct stun_out *out, uint16_t type, struct bytes value);
void stun_out_u32(struct stun_out *out, uint16_t type, uint32_t value);

/* Append MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 under `key`.  0 or -EIO. */
MUST_USE int stun_out_mi(struct stun_out *out, struct crypto_mac *mac, struct bytes key);
MUST_USE int stun_out_mi256(struct stun_out *out, struct crypto_mac *mac, struct bytes key);

/* Append FINGERPRINT, the last attribute. */
void stun_out_fingerprint(struct stun_out *out);

/* Fill in the length.  Returns the number of bytes, or -ENOBUFS when the buffer was too small. */
MUST_USE int stun_out_end(struct stun_out *out);
