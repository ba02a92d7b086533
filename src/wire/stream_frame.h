/* SPDX-License-Identifier: Apache-2.0 */
/* Where a message on a stream ends (RFC 8489 section 6.2.2, RFC 8656 section 12.5): STUN is 20
 * bytes and its length, ChannelData 4 bytes and its length rounded up to a multiple of 4.
 *
 * Pure; any thread; hot path. */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/bytes.h"

enum {
    STREAM_FRAME_MAX = 20 + 65532, /* STUN; ChannelData with padding is at most 65,540 */
};

/* Look at the first message of `rest`.  `*out_len` is its length as a message (without padding),
 * `*out_step` how many bytes it takes on the stream (with padding).
 * 0: it is there whole; -EAGAIN: more bytes are needed (out untouched); -EBADMSG: this cannot be a
 * message, the stream is out of step for good (first byte is neither STUN nor a channel number
 * 0x4000-0x7FFF; STUN with a length that is not a multiple of 4, or with another magic cookie).
 * Channel numbers 0x5000-0x7FFF are framed, whoever may use them (T-8656-12.6-01). */
MUST_USE int stream_frame_next(struct bytes rest, uint32_t *out_len, uint32_t *out_step);
