/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of demux_first_byte(), channel_data_decode() and channel_data_head().
 *
 * Input: one datagram as it comes from a client. */
#include <assert.h>
#include <errno.h>

#include "wire/channel_data.h"
#include "wire/demux.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t channel = 0;
    struct bytes payload = {NULL, 0};
    uint8_t head[CHANNEL_HEAD];

    const int err = channel_data_decode((struct bytes){data, size}, &channel, &payload);
    if (err < 0) {
        assert(err == -EBADMSG && payload.p == NULL && payload.n == 0 && channel == 0);
        return 0;
    }
    assert(payload.p == data + CHANNEL_HEAD && payload.n <= size - CHANNEL_HEAD);
    channel_data_head(head, channel, (uint16_t)payload.n);
    assert(bytes_equal((struct bytes){head, sizeof(head)}, (struct bytes){data, CHANNEL_HEAD}));
    if (demux_first_byte(data[0]) == DEMUX_CHANNEL) {
        assert(channel >= CHANNEL_MIN && channel <= CHANNEL_MAX);
    }
    return 0;
}
