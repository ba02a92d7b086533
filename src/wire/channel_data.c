/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/channel_data.h"

#include <errno.h>

int channel_data_decode(struct bytes datagram, uint16_t *out_channel, struct bytes *out_data)
{
    struct bytes rest = datagram;
    struct bytes head;
    struct bytes data;

    if (bytes_take(&rest, CHANNEL_HEAD, &head) < 0 ||
        bytes_take(&rest, be16(head.p + 2), &data) < 0) {
        return -EBADMSG;
    }
    *out_channel = be16(head.p);
    *out_data = data;
    return 0;
}

void channel_data_head(uint8_t out[CHANNEL_HEAD], uint16_t channel, uint16_t len)
{
    be16_put(out, channel);
    be16_put(out + 2, len);
}
