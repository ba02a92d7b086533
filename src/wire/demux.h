/* SPDX-License-Identifier: Apache-2.0 */
/* What a datagram is, by its first byte (RFC 7983 section 7, RFC 9443). */
#pragma once

#include <stdint.h>

enum demux { DEMUX_STUN, DEMUX_DTLS, DEMUX_CHANNEL, DEMUX_OTHER };

/* 0-3 STUN, 20-63 DTLS, 64-79 ChannelData, else other.  RFC 7983 took the channels 0x5000-0x7FFF of
 * RFC 5766 away (80-127): where those are wanted, the caller lets these bytes in. */
static inline enum demux demux_first_byte(uint8_t first)
{
    if (first < 4) {
        return DEMUX_STUN;
    }
    if (first >= 64 && first < 80) {
        return DEMUX_CHANNEL;
    }
    return first >= 20 && first < 64 ? DEMUX_DTLS : DEMUX_OTHER;
}
