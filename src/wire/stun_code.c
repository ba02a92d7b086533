/* SPDX-License-Identifier: Apache-2.0 */
/*   0                   1                   2                   3
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |           Reserved, should be 0         |Class|     Number    |
 *  |      Reason Phrase (variable) ...                             |
 *
 * RFC 8489 section 14.8; ADDRESS-ERROR-CODE has the family in its first byte. */
#include "wire/stun_code.h"

#include <errno.h>

enum { REASON_MAX = 127, CODE_LEN = 4 };

const char *stun_code_phrase(enum stun_code code)
{
    switch (code) {
    case STUN_OK:
        return "OK";
    case STUN_TRY_ALTERNATE:
        return "Try Alternate";
    case STUN_BAD_REQUEST:
        return "Bad Request";
    case STUN_UNAUTHENTICATED:
        return "Unauthenticated";
    case STUN_FORBIDDEN:
        return "Forbidden";
    case STUN_MOBILITY_FORBIDDEN:
        return "Mobility Forbidden";
    case STUN_UNKNOWN_ATTRIBUTE:
        return "Unknown Attribute";
    case STUN_ALLOCATION_MISMATCH:
        return "Allocation Mismatch";
    case STUN_STALE_NONCE:
        return "Stale Nonce";
    case STUN_FAMILY_NOT_SUPPORTED:
        return "Address Family not Supported";
    case STUN_WRONG_CREDENTIALS:
        return "Wrong Credentials";
    case STUN_UNSUPPORTED_TRANSPORT:
        return "Unsupported Transport Protocol";
    case STUN_PEER_FAMILY_MISMATCH:
        return "Peer Address Family Mismatch";
    case STUN_CONNECTION_EXISTS:
        return "Connection Already Exists";
    case STUN_CONNECTION_FAILED:
        return "Connection Timeout or Failure";
    case STUN_QUOTA_REACHED:
        return "Allocation Quota Reached";
    case STUN_SERVER_ERROR:
        return "Server Error";
    case STUN_INSUFFICIENT_CAPACITY:
        return "Insufficient Capacity";
    default:
        return "Error";
    }
}

static void put_code(struct stun_out *out, uint16_t type, uint8_t first, enum stun_code code,
                     const char *reason)
{
    uint8_t value[CODE_LEN + REASON_MAX];
    const unsigned number = (unsigned)code;
    size_t len = strlen(reason);

    if (len > REASON_MAX) {
        len = REASON_MAX;
    }
    value[0] = first;
    value[1] = 0;
    value[2] = (uint8_t)(number / 100);
    value[3] = (uint8_t)(number % 100);
    memcpy(value + CODE_LEN, reason, len);
    stun_out_attr(out, type, (struct bytes){value, CODE_LEN + len});
}

void stun_out_error(struct stun_out *out, enum stun_code code, const char *reason)
{
    put_code(out, STUN_ERROR_CODE, 0, code, reason);
}

void stun_out_address_error(struct stun_out *out, uint8_t family, enum stun_code code)
{
    put_code(out, STUN_ADDRESS_ERROR_CODE, family, code, stun_code_phrase(code));
}

int stun_code_decode(struct bytes value)
{
    if (value.n < CODE_LEN) {
        return -EBADMSG;
    }
    const int class = value.p[2] & 7;
    const int number = value.p[3];
    if (class < 3 || class > 6 || number > 99) {
        return -EBADMSG;
    }
    return class * 100 + number;
}
