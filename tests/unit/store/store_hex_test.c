/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_hex.h"

#include <errno.h>

#include "check.h"

static void encode__writes_lower_case(void **state)
{
    static const uint8_t in[] = {0x00, 0x9f, 0xa0, 0xff};
    char out[2 * sizeof(in) + 1];

    (void)state;
    store_hex_encode(in, sizeof(in), out);
    assert_string_equal(out, "009fa0ff");
}

static void decode__takes_both_cases(void **state)
{
    static const uint8_t expected[] = {0x00, 0x9f, 0xAB, 0xff};
    uint8_t out[4];

    (void)state;
    assert_int_equal(store_hex_decode(bytes_of("009FabFf"), out, 4), 0);
    assert_memory_equal(out, expected, 4);
}

static void decode__refuses_every_other_length(void **state)
{
    static const char digits[] = "0123456789abcdef0123456789abcdef0123";
    uint8_t out[16];

    (void)state;
    for (size_t n = 0; n < sizeof(digits); n++) {
        const struct bytes text = {(const uint8_t *)digits, n};
        assert_int_equal(store_hex_decode(text, out, 16), n == 32 ? 0 : -EBADMSG);
    }
}

static void decode__refuses_every_other_byte(void **state)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    uint8_t out;

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const uint8_t first[] = {(uint8_t)c, '0'};
        const uint8_t second[] = {'0', (uint8_t)c};
        const int expected = c != 0 && strchr(digits, (int)c) != NULL ? 0 : -EBADMSG;
        assert_int_equal(store_hex_decode((struct bytes){first, 2}, &out, 1), expected);
        assert_int_equal(store_hex_decode((struct bytes){second, 2}, &out, 1), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode__writes_lower_case),
        cmocka_unit_test(decode__takes_both_cases),
        cmocka_unit_test(decode__refuses_every_other_length),
        cmocka_unit_test(decode__refuses_every_other_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
