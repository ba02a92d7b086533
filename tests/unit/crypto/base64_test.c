/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/base64.h"

#include <errno.h>
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

/* RFC 4648 section 10, whole. */
static const char *const vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void write__agrees_with_the_rfc(void **state)
{
    char out[9];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        const struct bytes in = bytes_of(vectors[i][0]);
        const size_t n = strlen(vectors[i][1]);
        assert_int_equal(crypto_base64_write(in, out, n + 1), n);
        assert_string_equal(out, vectors[i][1]);
        assert_int_equal(crypto_base64_write(in, out, n), -ENOBUFS);
    }
}

static void read__takes_padding_or_none(void **state)
{
    uint8_t out[6];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        struct bytes text = bytes_of(vectors[i][1]);
        const size_t n = strlen(vectors[i][0]);
        assert_int_equal(crypto_base64_read(text, out, n), n);
        assert_memory_equal(out, vectors[i][0], n);
        while (text.n > 0 && text.p[text.n - 1] == '=') {
            text.n--;
        }
        assert_int_equal(crypto_base64_read(text, out, n), n);
        assert_memory_equal(out, vectors[i][0], n);
        if (n > 0) {
            assert_int_equal(crypto_base64_read(text, out, n - 1), -ENOBUFS);
        }
    }
}

static void read__takes_both_alphabets(void **state)
{
    uint8_t out[3];

    (void)state;
    assert_int_equal(crypto_base64_read(bytes_of("+/+/"), out, 3), 3);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_int_equal(crypto_base64_read(bytes_of("-_-_"), out, 3), 3);
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
}

static void read__refuses_what_is_no_base64(void **state)
{
    static const char *const bad[] = {"Z",     "Zm9vY", "Zg=",  "Zg===",  "=",        "====",
                                      "Zm9v=", "Z=g=",  "Zm 9", "Zm9v\n", "Zm9v\x80", "Zm9$"};
    uint8_t out[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(crypto_base64_read(bytes_of(bad[i]), out, sizeof(out)), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode__agrees_with_the_rfc),
        cmocka_unit_test(decode__undoes_encode),
        cmocka_unit_test(decode__refuses_what_is_no_base64),
        cmocka_unit_test(write__agrees_with_the_rfc),
        cmocka_unit_test(read__takes_padding_or_none),
        cmocka_unit_test(read__takes_both_alphabets),
        cmocka_unit_test(read__refuses_what_is_no_base64),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
