/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelData (RFC 8656 section 12.4):
 *
 *   0                   1                   2                   3
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |         Channel Number        |            Length             |
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |                       Application Data                        |
 *
 * Pure; any thread; hot path. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum { CHANNEL_HEAD = 4, CHANNEL_MIN = 0x4000, CHANNEL_MAX = 0x4FFF, CHANNEL_MAX_5766 = 0x7FFF };

/* Decode a datagram: channel number and exactly Length bytes of data; bytes after them are ignored
 * (RFC 8656 section 12.5 permits padding on UDP).  0; -EBADMSG when it is shorter than it says. */
MUST_USE int channel_data_decode(struct bytes datagram, uint16_t *out_channel,
                                 struct bytes *out_data);

/* Write the 4-byte head. */
void channel_data_head(uint8_t out[CHANNEL_HEAD], uint16_t channel, uint16_t len);
