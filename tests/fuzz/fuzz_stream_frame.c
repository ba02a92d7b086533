/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of stream_frame_next().
 *
 * Input: the bytes of a stream. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "wire/stream_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is true of every message, and that one byte less is not enough. */
static void check_message(struct bytes rest, uint32_t len, uint32_t step)
{
    uint32_t len_less = 0;
    uint32_t step_less = 0;

    assert(len >= 4 && len <= step && step <= rest.n && step <= STREAM_FRAME_MAX);
    assert(step % 4 == 0 && step - len < 4 && rest.p[0] < 0x80);
    rest.n = step - 1;
    assert(stream_frame_next(rest, &len_less, &step_less) == -EAGAIN);
    assert(len_less == 0 && step_less == 0);
    rest.n = step;
    assert(stream_frame_next(rest, &len_less, &step_less) == 0);
    assert(len_less == len && step_less == step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {data, size};
    uint32_t len = 0;
    uint32_t step = 0;

    for (;;) {
        const int err = stream_frame_next(rest, &len, &step);
        if (err < 0) {
            assert(err == -EAGAIN || err == -EBADMSG);
            assert(err == -EAGAIN || rest.n > 0);
            assert(err == -EBADMSG || rest.n < STREAM_FRAME_MAX);
            return 0;
        }
        check_message(rest, len, step);
        rest = (struct bytes){rest.p + step, rest.n - step};
    }
}
