/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes of STUN and TURN with their phrases, and ERROR-CODE (RFC 8489 section 14.8,
 * RFC 8656 sections 18.12 and 19). */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "wire/stun_msg.h"

enum stun_code {
    STUN_OK = 0,
    STUN_TRY_ALTERNATE = 300,
    STUN_BAD_REQUEST = 400,
    STUN_UNAUTHENTICATED = 401,
    STUN_FORBIDDEN = 403,
    STUN_MOBILITY_FORBIDDEN = 405,
    STUN_UNKNOWN_ATTRIBUTE = 420,
    STUN_ALLOCATION_MISMATCH = 437,
    STUN_STALE_NONCE = 438,
    STUN_FAMILY_NOT_SUPPORTED = 440,
    STUN_WRONG_CREDENTIALS = 441,
    STUN_UNSUPPORTED_TRANSPORT = 442,
    STUN_PEER_FAMILY_MISMATCH = 443,
    STUN_CONNECTION_EXISTS = 446,
    STUN_CONNECTION_FAILED = 447,
    STUN_QUOTA_REACHED = 486,
    STUN_SERVER_ERROR = 500,
    STUN_INSUFFICIENT_CAPACITY = 508,
};

/* The IANA phrase of `code` ("Unauthenticated"); "Error" for a number that is none of ours. */
const char *stun_code_phrase(enum stun_code code);

/* Append ERROR-CODE with `reason` (fewer than 128 characters). */
void stun_out_error(struct stun_out *out, enum stun_code code, const char *reason);

/* Append ADDRESS-ERROR-CODE for `family` (RFC 8656 section 18.12). */
void stun_out_address_error(struct stun_out *out, uint8_t family, enum stun_code code);

/* Decode an ERROR-CODE value (clients and tests).  Returns the code 300..699; -EBADMSG. */
MUST_USE int stun_code_decode(struct bytes value);
