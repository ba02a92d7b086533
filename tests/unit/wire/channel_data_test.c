/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/channel_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "seeded.h"

/* A datagram of exactly `n` bytes on the heap, so that a sanitizer sees a read beyond it. */
static uint8_t *exact(const uint8_t *from, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);

    assert_non_null(copy);
    memcpy(copy, from, n);
    return copy;
}

/* Proves T-8656-12.4-01 */
static void decode__gives_number_and_data(void **state)
{
    static const uint8_t message[] = {0x40, 0x01, 0x00, 0x03, 'a', 'b', 'c'};
    static const uint8_t empty[] = {0x4F, 0xFF, 0x00, 0x00};
    uint16_t channel = 0;
    struct bytes data = {NULL, 99};

    (void)state;
    assert_int_equal(channel_data_decode((struct bytes){message, sizeof(message)}, &channel, &data),
                     0);
    assert_int_equal(channel, 0x4001);
    assert_ptr_equal(data.p, message + CHANNEL_HEAD);
    assert_int_equal(data.n, 3);
    assert_int_equal(channel_data_decode((struct bytes){empty, sizeof(empty)}, &channel, &data), 0);
    assert_int_equal(channel, 0x4FFF);
    assert_int_equal(data.n, 0);
}

/* Proves T-8656-12.5-04 */
static void decode__ignores_padding_behind_the_data(void **state)
{
    uint8_t message[CHANNEL_HEAD + 5 + 8] = {0x40, 0x00, 0x00, 0x05, 1, 2, 3, 4, 5, 9, 9, 9};

    (void)state;
    for (size_t extra = 0; extra <= 8; extra++) {
        uint16_t channel;
        struct bytes data;
        assert_int_equal(
            channel_data_decode((struct bytes){message, CHANNEL_HEAD + 5 + extra}, &channel, &data),
            0);
        assert_int_equal(data.n, 5);
        assert_memory_equal(data.p, message + CHANNEL_HEAD, 5);
    }
}

/* Proves T-8656-12.6-02 */
static void decode__refuses_every_truncation(void **state)
{
    uint8_t message[CHANNEL_HEAD + 40] = {0x40, 0x00, 0x00, 40};

    (void)state;
    for (size_t n = 0; n < sizeof(message); n++) {
        uint8_t *copy = exact(message, n);
        uint16_t channel = 7;
        struct bytes data = {message, 1};
        assert_int_equal(channel_data_decode((struct bytes){copy, n}, &channel, &data), -EBADMSG);
        assert_int_equal(channel, 7); /* outputs unchanged */
        assert_ptr_equal(data.p, message);
        assert_int_equal(data.n, 1);
        free(copy);
    }
}

static void decode__reads_back_every_head(void **state)
{
    static uint8_t message[CHANNEL_HEAD + UINT16_MAX];
    struct seeded seed = {11};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        const uint16_t channel = (uint16_t)seeded_u64(&seed);
        const uint16_t len = (uint16_t)(seeded_u64(&seed) >> seeded_below(&seed, 16));
        uint16_t out_channel;
        struct bytes data;
        channel_data_head(message, channel, len);
        assert_int_equal(
            channel_data_decode((struct bytes){message, CHANNEL_HEAD + len}, &out_channel, &data),
            0);
        assert_int_equal(out_channel, channel);
        assert_int_equal(data.n, len);
        if (len > 0) {
            assert_int_equal(channel_data_decode((struct bytes){message, CHANNEL_HEAD + len - 1U},
                                                 &out_channel, &data),
                             -EBADMSG);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode__gives_number_and_data),
        cmocka_unit_test(decode__ignores_padding_behind_the_data),
        cmocka_unit_test(decode__refuses_every_truncation),
        cmocka_unit_test(decode__reads_back_every_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
