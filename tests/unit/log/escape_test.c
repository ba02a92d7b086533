/* SPDX-License-Identifier: Apache-2.0 */
#include "log/escape.h"

#include <jansson.h>

#include "check.h"

static uint8_t out[4096];

static struct bytes text_of(struct bytes data)
{
    struct writer w = writer_over(out, sizeof(out));

    escape_text(&w, data);
    assert_false(w.full);
    return (struct bytes){out, w.len};
}

static void assert_text(const char *data, size_t n, const char *expected)
{
    const struct bytes got = text_of((struct bytes){(const uint8_t *)data, n});

    assert_int_equal(got.n, strlen(expected));
    assert_memory_equal(got.p, expected, got.n);
}

#define ASSERT_TEXT(data, expected) assert_text(data, sizeof(data) - 1, expected)

static void text__keeps_what_is_printable(void **state)
{
    (void)state;
    ASSERT_TEXT("", "");
    ASSERT_TEXT("alice@example.org %n %s", "alice@example.org %n %s");
    ASSERT_TEXT("J\u00fcrgen \u65e5\u672c \U0001f600", "J\u00fcrgen \u65e5\u672c \U0001f600");
}

static void text__escapes_quotes_and_backslashes(void **state)
{
    (void)state;
    ASSERT_TEXT("a\"b\\c", "a\\\"b\\\\c");
}

static void text__escapes_controls_in_every_form(void **state)
{
    (void)state;
    ASSERT_TEXT("a\nb\r\t\0\x1b[2J\x7f", "a\\x0ab\\x0d\\x09\\x00\\x1b[2J\\x7f");
    ASSERT_TEXT("\xc2\x85\xc2\x9b", "\\xc2\\x85\\xc2\\x9b");
    ASSERT_TEXT("\u2028\u2029", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
    ASSERT_TEXT("\u202e\u2066\u061c", "\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xd8\\x9c");
}

static void text__escapes_what_is_not_utf8(void **state)
{
    (void)state;
    ASSERT_TEXT("\xff\xfe", "\\xff\\xfe");
    ASSERT_TEXT("\xc0\x8a", "\\xc0\\x8a");                   /* overlong newline */
    ASSERT_TEXT("\xe0\x80\x8a", "\\xe0\\x80\\x8a");          /* the same in three */
    ASSERT_TEXT("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
    ASSERT_TEXT("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    ASSERT_TEXT("\xe2\x82", "\\xe2\\x82");                   /* cut off */
    ASSERT_TEXT("\xc3(", "\\xc3(");
}

/* jansson, which checks for itself, must take all that is left as it is, and refuse the rest:
 * all sequences of one and two bytes, and a great many longer ones. */
static void utf8__agrees_with_jansson(void **state)
{
    uint32_t x = 3;

    (void)state;
    for (uint32_t i = 0; i < 400000; i++) {
        uint8_t data[4];
        x = x * 1664525U + 1013904223U;
        be32_put(data, i < 0x10000 ? i << 16 : (x | 0xc0000000U));
        const size_t n = i < 0x10000 ? 2 : 3 + (i & 1);
        bool valid = true;
        for (struct bytes rest = {data, n}, c; rest.n > 0 && valid;) {
            uint32_t number;
            const size_t size = escape_utf8(rest, &number);
            valid = size > 0 && bytes_take(&rest, size, &c) == 0;
        }
        json_t *text = json_stringn((const char *)data, n);
        assert_int_equal(valid, text != NULL);
        json_decref(text);
    }
}

static void not_utf8__leaves_only_utf8(void **state)
{
    uint32_t x = 9;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t data[16];
        for (size_t k = 0; k < sizeof(data); k++) {
            x = x * 1664525U + 1013904223U;
            data[k] = (uint8_t)(x >> 24);
        }
        struct writer w = writer_over(out, sizeof(out));
        escape_not_utf8(&w, (struct bytes){data, sizeof(data)});
        assert_true(w.len <= ESCAPE_MAX(sizeof(data)));
        json_t *text = json_stringn((const char *)out, w.len);
        assert_non_null(text);
        json_decref(text);
    }
}

/* No byte string whatever yields a line end, a control byte or a bare quote. */
static void text__holds_no_harm_whatever_comes(void **state)
{
    uint32_t x = 1;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t data[16];
        for (size_t k = 0; k < sizeof(data); k++) {
            x = x * 1664525U + 1013904223U;
            data[k] = (uint8_t)(x >> 24);
        }
        const struct bytes got = text_of((struct bytes){data, sizeof(data)});
        bool escaped = false;
        for (size_t k = 0; k < got.n; k++) {
            assert_true(got.p[k] >= 0x20 && got.p[k] != 0x7f);
            assert_true(got.p[k] != '"' || escaped);
            escaped = got.p[k] == '\\' && !escaped;
        }
        assert_false(escaped);
    }
}

static void whole__cuts_half_characters_only(void **state)
{
    static const struct {
        const char *text;
        size_t n, kept;
    } rows[] = {
        {"", 0, 0},
        {"abc", 3, 3},
        {"ab\xc3\xbc", 4, 4},
        {"ab\xc3\xbc", 3, 2},
        {"a\xe2\x82\xac", 3, 1},
        {"a\xe2\x82\xac", 2, 1},
        {"\xf0\x9f\x98\x80", 3, 0},
        {"\xff", 1, 1},
        {"a\x80\x80\x80\x80", 5, 5},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct bytes data = {(const uint8_t *)rows[i].text, rows[i].n};
        assert_int_equal(escape_whole(data).n, rows[i].kept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__keeps_what_is_printable),
        cmocka_unit_test(text__escapes_quotes_and_backslashes),
        cmocka_unit_test(text__escapes_controls_in_every_form),
        cmocka_unit_test(text__escapes_what_is_not_utf8),
        cmocka_unit_test(utf8__agrees_with_jansson),
        cmocka_unit_test(not_utf8__leaves_only_utf8),
        cmocka_unit_test(text__holds_no_harm_whatever_comes),
        cmocka_unit_test(whole__cuts_half_characters_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
