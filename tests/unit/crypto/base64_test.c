/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/base64.h"

#include <string.h>

#include "check.h"

/* RFC 4648 section 10, whole groups. */
static void encode__agrees_with_the_rfc(void **state)
{
    uint8_t out[8];

    (void)state;
    crypto_base64_encode((const uint8_t *)"foobar", 6, out);
    assert_memory_equal(out, "Zm9vYmFy", 8);
}

static void decode__undoes_encode(void **state)
{
    uint8_t in[CRYPTO_BASE64_MAX];
    uint8_t text[CRYPTO_BASE64_MAX / 3 * 4];
    uint8_t back[CRYPTO_BASE64_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++) {
        in[i] = (uint8_t)(i * 151 + 7);
    }
    for (size_t n = 0; n <= sizeof(in); n += 3) {
        crypto_base64_encode(in, n, text);
        assert_true(crypto_base64_decode(text, n, back));
        assert_memory_equal(back, in, n);
    }
}

static void decode__refuses_what_is_no_base64(void **state)
{
    static const char *const bad[] = {"Zm9vYmF=", "Zm9vYm==", "Zm9v YmF", "Zm9vYm\nF",
                                      "Zm9v-mFy", " Zm9vYmF", "Zm9vYmF ", "Zm9vY\x80mF"};
    uint8_t out[6];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(crypto_base64_decode((const uint8_t *)bad[i], 6, out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode__agrees_with_the_rfc),
        cmocka_unit_test(decode__undoes_encode),
        cmocka_unit_test(decode__refuses_what_is_no_base64),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
