/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stream_frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "wire/channel_data.h"
#include "wire/stun_msg.h"

enum { COOKIE_AT = 4, COOKIE_LEN = 4 };

_Static_assert(STREAM_FRAME_MAX >= STUN_HEADER + (UINT16_MAX & ~3), "the longest STUN message");
_Static_assert(STREAM_FRAME_MAX >= ((CHANNEL_HEAD + UINT16_MAX + 3) & ~3),
               "the longest ChannelData");

/* What has come of the magic cookie is right (RFC 8489 section 5).  RFC 3489, which had none, knew
 * no streams. */
static bool cookie_fits(struct bytes rest)
{
    static const uint8_t cookie[COOKIE_LEN] = {0x21, 0x12, 0xA4, 0x42};
    const size_t come = rest.n < COOKIE_AT ? 0 : rest.n - COOKIE_AT;

    return come == 0 ||
           memcmp(rest.p + COOKIE_AT, cookie, come < COOKIE_LEN ? come : COOKIE_LEN) == 0;
}

/* The length of a STUN message: its header and what that announces (RFC 8489 section 5).
 * 0, -EAGAIN or -EBADMSG. */
static int stun_len(struct bytes rest, uint32_t *out_len)
{
    if (rest.n < 4) {
        return -EAGAIN;
    }
    const uint32_t body = be16(rest.p + 2);
    if (body % 4 != 0 || !cookie_fits(rest)) {
        return -EBADMSG;
    }
    *out_len = STUN_HEADER + body;
    return 0;
}

/* The length of a ChannelData message without its padding.  0 or -EAGAIN. */
static int channel_len(struct bytes rest, uint32_t *out_len)
{
    if (rest.n < CHANNEL_HEAD) {
        return -EAGAIN;
    }
    *out_len = CHANNEL_HEAD + (uint32_t)be16(rest.p + 2);
    return 0;
}

int stream_frame_next(struct bytes rest, uint32_t *out_len, uint32_t *out_step)
{
    uint32_t len;

    if (rest.n == 0) {
        return -EAGAIN;
    }
    if (rest.p[0] >= 0x80) {
        return -EBADMSG;
    }
    const int err = rest.p[0] < 0x40 ? stun_len(rest, &len) : channel_len(rest, &len);
    if (err < 0) {
        return err;
    }
    const uint32_t step = (len + 3) & ~UINT32_C(3); /* RFC 8656 section 12.5 */
    if (rest.n < step) {
        return -EAGAIN;
    }
    *out_len = len;
    *out_step = step;
    return 0;
}
