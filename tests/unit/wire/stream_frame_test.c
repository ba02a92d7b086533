/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stream_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "seeded.h"
#include "wire/channel_data.h"
#include "wire/stun_msg.h"

enum { UNTOUCHED = 0xDEAD };

struct frame {
    int status;
    uint32_t len;
    uint32_t step;
};

/* The answer for exactly `n` bytes: on the heap, so that a sanitizer sees a read beyond them. */
static struct frame frame_of(const uint8_t *from, size_t n)
{
    struct frame f = {0, UNTOUCHED, UNTOUCHED};
    uint8_t *copy = malloc(n > 0 ? n : 1);

    assert_non_null(copy);
    if (n > 0) {
        memcpy(copy, from, n);
    }
    f.status = stream_frame_next((struct bytes){copy, n}, &f.len, &f.step);
    free(copy);
    return f;
}

static void assert_frame(const uint8_t *from, size_t n, uint32_t len, uint32_t step)
{
    const struct frame f = frame_of(from, n);

    assert_int_equal(f.status, 0);
    assert_int_equal(f.len, len);
    assert_int_equal(f.step, step);
}

static void assert_fails(const uint8_t *from, size_t n, int status)
{
    const struct frame f = frame_of(from, n);

    assert_int_equal(f.status, status);
    assert_int_equal(f.len, UNTOUCHED);
    assert_int_equal(f.step, UNTOUCHED);
}

/* A STUN head with `body` bytes announced. */
static void stun_head(uint8_t *out, uint16_t type, uint16_t body)
{
    be16_put(out, type);
    be16_put(out + 2, body);
    be32_put(out + 4, STUN_COOKIE);
}

/* Proves T-8489-6.2.2-05 and T-8489-6.2.2-06: a message needs no framing but its own length. */
static void stun__waits_for_its_last_byte(void **state)
{
    uint8_t message[STUN_HEADER + 8 + 3] = {0};

    (void)state;
    stun_head(message, 0x0001, 8);
    for (size_t n = 0; n < STUN_HEADER + 8; n++) {
        assert_fails(message, n, -EAGAIN);
    }
    for (size_t more = 0; more <= 3; more++) {
        assert_frame(message, STUN_HEADER + 8 + more, STUN_HEADER + 8, STUN_HEADER + 8);
    }
}

static void stun__of_every_length_is_framed(void **state)
{
    static uint8_t message[STREAM_FRAME_MAX];
    uint32_t len;
    uint32_t step;

    (void)state;
    for (uint32_t body = 0; body <= UINT16_MAX; body++) {
        struct bytes whole = {message, STUN_HEADER + body};
        stun_head(message, 0x0101, (uint16_t)body);
        if (body % 4 != 0) {
            assert_int_equal(stream_frame_next(whole, &len, &step), -EBADMSG);
            continue;
        }
        assert_int_equal(stream_frame_next(whole, &len, &step), 0);
        assert_int_equal(len, STUN_HEADER + body);
        assert_int_equal(step, len);
        whole.n--;
        assert_int_equal(stream_frame_next(whole, &len, &step), -EAGAIN);
    }
}

/* Proves T-8656-12.5-03: lengths with each padding, one behind the other. */
static void channel_data__is_padded_to_four(void **state)
{
    uint8_t stream[9 * 12] = {0};
    size_t end = 0;
    size_t at = 0;

    (void)state;
    for (uint16_t n = 0; n <= 8; n++) {
        channel_data_head(stream + end, 0x4000, n);
        end += CHANNEL_HEAD + (n + 3U) / 4 * 4;
    }
    for (uint32_t n = 0; n <= 8; n++) {
        const uint32_t step = CHANNEL_HEAD + (n + 3) / 4 * 4;
        assert_frame(stream + at, end - at, CHANNEL_HEAD + n, step);
        at += step;
    }
    assert_int_equal(at, end);
}

/* Proves T-8656-12.6-08 */
static void channel_data__waits_for_its_padding(void **state)
{
    const uint8_t message[12] = {0x4F, 0xFF, 0x00, 0x05, 1, 2, 3, 4, 5};

    (void)state;
    for (size_t n = 0; n < sizeof(message); n++) {
        assert_fails(message, n, -EAGAIN);
    }
    assert_frame(message, sizeof(message), 9, 12);
}

/* Proves T-8656-12.6-08: the longest there is. */
static void channel_data__of_65535_bytes_is_framed(void **state)
{
    static uint8_t message[65540];

    (void)state;
    channel_data_head(message, 0x4001, UINT16_MAX);
    assert_fails(message, sizeof(message) - 1, -EAGAIN);
    assert_frame(message, sizeof(message), 65539, 65540);
}

/* Proves T-8656-12.6-01: the stream stays in step behind a number that nobody may use; from 0x8000
 * on nothing says where the next message would begin. */
static void first_byte__decides(void **state)
{
    uint8_t channel[CHANNEL_HEAD] = {0};
    uint8_t stun[STUN_HEADER];

    (void)state;
    memset(stun, 0, sizeof(stun));
    stun_head(stun, 0, 0);
    for (unsigned first = 0; first < 256; first++) {
        channel[0] = (uint8_t)first;
        stun[0] = (uint8_t)first;
        if (first < 0x40) {
            assert_fails(stun, 1, -EAGAIN);
            assert_frame(stun, sizeof(stun), STUN_HEADER, STUN_HEADER);
        } else if (first < 0x80) {
            assert_frame(channel, sizeof(channel), CHANNEL_HEAD, CHANNEL_HEAD);
        } else {
            assert_fails(channel, 1, -EBADMSG);
            assert_fails(channel, sizeof(channel), -EBADMSG);
        }
    }
}

/* Garbage is known as soon as its bytes are here, not after the 64 KiB that it announces. */
static void cookie__is_checked_byte_by_byte(void **state)
{
    (void)state;
    for (size_t wrong = 4; wrong < 8; wrong++) {
        uint8_t message[STUN_HEADER] = {0};
        stun_head(message, 0x0001, 0xFFFC);
        message[wrong] ^= 0x10;
        for (size_t n = 0; n <= sizeof(message); n++) {
            assert_fails(message, n, n > wrong ? -EBADMSG : -EAGAIN);
        }
    }
}

static void length__that_is_no_multiple_of_four_ends_the_stream(void **state)
{
    (void)state;
    for (uint16_t body = 1; body < 4; body++) {
        uint8_t message[STUN_HEADER + 4] = {0};
        stun_head(message, 0x0001, body);
        assert_fails(message, 3, -EAGAIN);
        assert_fails(message, 4, -EBADMSG);
        assert_fails(message, sizeof(message), -EBADMSG);
    }
}

static size_t any_message(struct seeded *seed, uint8_t *out)
{
    const uint32_t n = seeded_below(seed, 300);

    if (seeded_below(seed, 2) == 0) {
        seeded_fill(seed, out, STUN_HEADER + n * 4);
        stun_head(out, (uint16_t)seeded_below(seed, 0x4000), (uint16_t)(n * 4));
        return STUN_HEADER + n * 4;
    }
    const size_t padded = CHANNEL_HEAD + (n + 3U) / 4 * 4;
    seeded_fill(seed, out, padded);
    channel_data_head(out, (uint16_t)(0x4000 + seeded_below(seed, 0x4000)), (uint16_t)n);
    return padded;
}

/* Proves T-8489-6.2.2-04 and T-8489-6.2.2-05: whatever the segments, the same messages come out. */
static void stream__gives_the_same_messages_in_any_segments(void **state)
{
    static uint8_t stream[400 * 1300];
    size_t ends[400];
    struct seeded seed = {3};
    size_t end = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        end += any_message(&seed, stream + end);
        ends[i] = end;
    }
    for (int round = 0; round < 20; round++) {
        size_t message = 0;
        size_t done = 0;
        size_t come = 0;
        while (come < end) {
            uint32_t len;
            uint32_t step;
            come += 1 + seeded_below(&seed, round == 0 ? 1 : 1 + (uint32_t)round * 200);
            come = come < end ? come : end;
            while (stream_frame_next((struct bytes){stream + done, come - done}, &len, &step) ==
                   0) {
                done += step;
                assert_true(message < COUNT_OF(ends));
                assert_int_equal(done, ends[message++]);
                assert_true(len <= step && step - len < 4);
            }
        }
        assert_int_equal(message, COUNT_OF(ends));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stun__waits_for_its_last_byte),
        cmocka_unit_test(stun__of_every_length_is_framed),
        cmocka_unit_test(channel_data__is_padded_to_four),
        cmocka_unit_test(channel_data__waits_for_its_padding),
        cmocka_unit_test(channel_data__of_65535_bytes_is_framed),
        cmocka_unit_test(first_byte__decides),
        cmocka_unit_test(cookie__is_checked_byte_by_byte),
        cmocka_unit_test(length__that_is_no_multiple_of_four_ends_the_stream),
        cmocka_unit_test(stream__gives_the_same_messages_in_any_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
