/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/demux.h"

#include "check.h"

/* Proves T-7983-7-01, T-7983-7-02, T-7983-7-03, T-7983-7-04, T-9443-3-01, T-7983-9.3-01 */
static void first_byte__decides_for_all_256_values(void **state)
{
    static const struct {
        unsigned first, last;
        enum demux is;
    } ranges[] = {
        {0, 3, DEMUX_STUN},      {4, 15, DEMUX_OTHER},    {16, 19, DEMUX_OTHER},
        {20, 63, DEMUX_DTLS},    {64, 79, DEMUX_CHANNEL}, {80, 127, DEMUX_OTHER},
        {128, 191, DEMUX_OTHER}, {192, 255, DEMUX_OTHER},
    };

    unsigned next = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        assert_int_equal(ranges[i].first, next);
        for (; next <= ranges[i].last; next++) {
            assert_int_equal(demux_first_byte((uint8_t)next), ranges[i].is);
        }
    }
    assert_int_equal(next, 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_byte__decides_for_all_256_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
