/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/precis.h"

#include <errno.h>

#include "check.h"
#include "crypto/longterm.h"

static void assert_opaque(const char *in, const char *expected)
{
    char out[256];

    assert_int_equal(precis_opaque_string(bytes_of(in), out, sizeof(out)), strlen(expected));
    assert_string_equal(out, expected);
}

static void assert_no_opaque(const char *in)
{
    char out[256];

    assert_int_equal(precis_opaque_string(bytes_of(in), out, sizeof(out)), -EBADMSG);
}

/* RFC 8265 section 4.3, tables 4 and 5. */
static void opaque__does_the_examples_of_the_rfc(void **state)
{
    (void)state;
    assert_opaque("correct horse battery staple", "correct horse battery staple");
    assert_opaque("Correct Horse Battery Staple", "Correct Horse Battery Staple");
    assert_opaque("\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5");
    assert_opaque("Jack of \u2666s", "Jack of \u2666s");
    assert_opaque("foo\u1680bar", "foo bar");
    assert_no_opaque("");
    assert_no_opaque("my cat is a \tby");
}

static void opaque__makes_nfc_of_nfd(void **state)
{
    (void)state;
    assert_opaque("andre\u0301", "andr\u00e9");
    assert_opaque("\u212b", "\u00c5"); /* ANGSTROM SIGN is A WITH RING */
    assert_opaque("\u2163", "\u2163"); /* but compatibility forms stay */
    assert_opaque("\uff21", "\uff21"); /* and so do widths */
}

static void opaque__makes_every_space_a_space(void **state)
{
    (void)state;
    assert_opaque("a\u00a0b\u2003c\u3000d", "a b c d");
    assert_opaque(" ", " ");
}

static void opaque__refuses_what_freeform_refuses(void **state)
{
    (void)state;
    assert_no_opaque("a\x01");
    assert_no_opaque("a\x7f");
    assert_no_opaque("a\xc2\x85");
    assert_no_opaque("a\u00ad");      /* default ignorable */
    assert_no_opaque("a\u200b");      /* likewise */
    assert_no_opaque("a\ufeff");      /* likewise */
    assert_no_opaque("a\ufdd0");      /* no character */
    assert_no_opaque("a\u0378");      /* unassigned */
    assert_no_opaque("a\ue000");      /* private use */
    assert_no_opaque("\u1100\u1161"); /* old Hangul jamo */
    assert_no_opaque("a\u0640");      /* exception: tatweel */
    assert_no_opaque("a\u2028");      /* line separator */
    assert_no_opaque("\U000e0001");   /* beyond the basic plane */
    assert_opaque("\U0001f600", "\U0001f600");
}

/* RFC 5892 appendix A. */
static void opaque__judges_characters_in_their_context(void **state)
{
    (void)state;
    assert_opaque("l\u00b7l", "l\u00b7l");
    assert_no_opaque("a\u00b7l");
    assert_no_opaque("l\u00b7");
    assert_opaque("\u0375\u03b1", "\u0375\u03b1");
    assert_no_opaque("\u0375a");
    assert_no_opaque("\u0375");
    assert_opaque("\u05d0\u05f3", "\u05d0\u05f3");
    assert_no_opaque("a\u05f4");
    assert_opaque("\u30fb\u30a2", "\u30fb\u30a2");
    assert_no_opaque("a\u30fb");
    assert_opaque("\u0660\u0661", "\u0660\u0661");
    assert_opaque("\u06f0\u06f1", "\u06f0\u06f1");
    assert_no_opaque("\u0660\u06f1");
    assert_opaque("\u0915\u094d\u200d", "\u0915\u094d\u200d"); /* ZWJ after a virama */
    assert_no_opaque("a\u200d");
    assert_opaque("\u0915\u094d\u200c", "\u0915\u094d\u200c"); /* ZWNJ after a virama */
    assert_opaque("\u0628\u200c\u0628", "\u0628\u200c\u0628"); /* between joining letters */
    assert_opaque("\u0628\u064e\u200c\u064e\u0628", "\u0628\u064e\u200c\u064e\u0628");
    assert_no_opaque("a\u200c\u0628");
    assert_no_opaque("\u0628\u200c");
    assert_no_opaque("\u200c");
}

static void opaque__refuses_what_is_no_utf8(void **state)
{
    (void)state;
    assert_no_opaque("a\xff");
    assert_no_opaque("a\xc0\x80");     /* an overlong NUL */
    assert_no_opaque("a\xed\xa0\x80"); /* a surrogate */
    assert_no_opaque("a\xc3");         /* cut off */
    assert_no_opaque("a\xf4\x90\x80\x80");
}

static void opaque__takes_a_nul_for_a_control(void **state)
{
    static const uint8_t in[] = {'a', 0, 'b'};
    char out[8];

    (void)state;
    assert_int_equal(precis_opaque_string((struct bytes){in, sizeof(in)}, out, sizeof(out)),
                     -EBADMSG);
}

static void opaque__needs_room_for_its_end(void **state)
{
    static const char *const texts[] = {"abcd", "ab\u00e9"};
    char out[8];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        for (size_t cap = 0; cap <= 4; cap++) {
            assert_int_equal(precis_opaque_string(bytes_of(texts[i]), out, cap), -ENOBUFS);
        }
        assert_int_equal(precis_opaque_string(bytes_of(texts[i]), out, 5), 4);
        assert_string_equal(out, texts[i]);
    }
}

static void opaque__has_a_longest_text(void **state)
{
    static char in[4000];
    static char out[8000];

    (void)state;
    for (size_t i = 0; i + 2 < sizeof(in); i += 2) {
        memcpy(in + i, "\u00e9", 3);
    }
    assert_int_equal(precis_opaque_string(bytes_of(in), out, sizeof(out)), -ENOBUFS);
    assert_int_equal(precis_saslprep(bytes_of(in), out, sizeof(out)), -ENOBUFS);
    assert_int_equal(
        precis_opaque_string((struct bytes){(const uint8_t *)in, 1526}, out, sizeof(out)), 1526);
}

static void assert_saslprep(const char *in, const char *expected)
{
    char out[64];

    assert_int_equal(precis_saslprep(bytes_of(in), out, sizeof(out)), strlen(expected));
    assert_string_equal(out, expected);
}

/* RFC 4013 section 3. */
static void saslprep__does_the_examples_of_the_rfc(void **state)
{
    char out[64];

    (void)state;
    assert_saslprep("I\u00adX", "IX");
    assert_saslprep("user", "user");
    assert_saslprep("USER", "USER");
    assert_saslprep("\u00aa", "a");
    assert_saslprep("\u2168", "IX");
    assert_int_equal(precis_saslprep(bytes_of("\x07"), out, sizeof(out)), -EBADMSG);
    assert_int_equal(precis_saslprep(bytes_of("\u0627\x31"), out, sizeof(out)), -EBADMSG);
    assert_int_equal(precis_saslprep(bytes_of(""), out, sizeof(out)), -EBADMSG);
    assert_int_equal(precis_saslprep(bytes_of("\u00ad"), out, sizeof(out)), -EBADMSG);
}

/* RFC 5769 section 2.4 and RFC 8489 appendix B.1: the password that SASLprep turns into TheMatrIX
 * and that OpaqueString does not take; the name, which both leave alone. */
static void matrix__has_one_name_and_two_opinions(void **state)
{
    static const char name[] = "\u30de\u30c8\u30ea\u30c3\u30af\u30b9";

    (void)state;
    assert_saslprep("The\u00adM\u00aatr\u2168", "TheMatrIX");
    assert_no_opaque("The\u00adM\u00aatr\u2168");
    assert_saslprep(name, name);
    assert_opaque(name, name);
}

/* Proves T-8489-14.4-01 */
static void userhash__is_made_of_prepared_text(void **state)
{
    /* RFC 8489 appendix B.1. */
    static const uint8_t expected[] = {
        0x4a, 0x3c, 0xf3, 0x8f, 0xef, 0x69, 0x92, 0xbd, 0xa9, 0x52, 0xc6,
        0x78, 0x04, 0x17, 0xda, 0x0f, 0x24, 0x81, 0x94, 0x15, 0x56, 0x9e,
        0x60, 0xb2, 0x05, 0xc4, 0x6e, 0x41, 0x40, 0x7f, 0x17, 0x04,
    };
    char name[64];
    uint8_t hash[CRYPTO_SHA256_LEN];

    (void)state;
    const int n =
        precis_opaque_string(bytes_of("\u30de\u30c8\u30ea\u30c3\u30af\u30b9"), name, sizeof(name));
    assert_int_equal(n, 18);
    assert_int_equal(crypto_longterm_userhash(bytes_of(name), bytes_of("example.org"), hash), 0);
    assert_memory_equal(hash, expected, sizeof(hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opaque__does_the_examples_of_the_rfc),
        cmocka_unit_test(opaque__makes_nfc_of_nfd),
        cmocka_unit_test(opaque__makes_every_space_a_space),
        cmocka_unit_test(opaque__refuses_what_freeform_refuses),
        cmocka_unit_test(opaque__judges_characters_in_their_context),
        cmocka_unit_test(opaque__refuses_what_is_no_utf8),
        cmocka_unit_test(opaque__takes_a_nul_for_a_control),
        cmocka_unit_test(opaque__needs_room_for_its_end),
        cmocka_unit_test(opaque__has_a_longest_text),
        cmocka_unit_test(saslprep__does_the_examples_of_the_rfc),
        cmocka_unit_test(matrix__has_one_name_and_two_opinions),
        cmocka_unit_test(userhash__is_made_of_prepared_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
