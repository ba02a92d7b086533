/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define DASH    "\xe2\x80\x93"
#define INVALID "\xef\xbf\xbd"

static void assert_written(const char *text, const char *expected)
{
    char *memory = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&memory, &size);

    assert_non_null(out);
    bench_page_text(out, text);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(memory, expected);
    free(memory);
}

static void text__cannot_break_out_of_an_element_or_attribute(void **state)
{
    (void)state;
    assert_written("<script>alert('1')</script>",
                   "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;");
    assert_written("\" onload=\"x", "&quot; onload=&quot;x");
    assert_written("&lt;", "&amp;lt;");
    assert_written("plain", "plain");
    assert_written("", "");
    assert_written(NULL, "");
}

static void text__shows_what_is_no_character(void **state)
{
    (void)state;
    assert_written("a\x1b[31m\x7f", "a" INVALID "[31m" INVALID);
    assert_written("one\ntwo\tthree", "one two three");
    assert_written("caf\xc3\xa9", "caf\xc3\xa9");
    assert_written("\xc2\x9b", INVALID);              /* C1 */
    assert_written("\xe2\x80\xaegpj", INVALID "gpj"); /* turns the direction of writing */
    assert_written("\xff\xfe", INVALID INVALID);
    assert_written("\xc3", INVALID);             /* cut off */
    assert_written("\xc0\xbc", INVALID INVALID); /* an overlong "<" */
}

static void number__has_commas_between_thousands(void **state)
{
    static const struct {
        double value;
        int digits;
        const char *text;
    } cases[] = {
        {0, 0, "0"},
        {999, 0, "999"},
        {999.5, 0, "1,000"},
        {1000, 0, "1,000"},
        {1234567.891, 2, "1,234,567.89"},
        {-123456, 0, "-123,456"},
        {-1234.5, 1, "-1,234.5"},
        {0.0004, 3, "0.000"},
        {123, 6, "123.000000"},
        {999999999999999, 0, "999,999,999,999,999"},
        {1.5e18, 0, "1.5e+18"},
        {1e300, 6, "1e+300"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(bench_page_number(cases[i].value, cases[i].digits).text, cases[i].text);
    }
}

static void figures__of_no_number_are_a_dash(void **state)
{
    static const double none[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        assert_string_equal(bench_page_number(none[i], 3).text, DASH);
        assert_string_equal(bench_page_time(none[i]).text, DASH);
        assert_string_equal(bench_page_short(none[i]).text, DASH);
        assert_string_equal(bench_page_short_time(none[i]).text, DASH);
    }
    assert_string_equal(bench_page_time(-1).text, DASH);
}

static void time__has_the_unit_that_fits(void **state)
{
    static const struct {
        double us;
        const char *text;
    } cases[] = {
        {0, "0\xc2\xa0\xc2\xb5s"},        {0.456, "0.46\xc2\xa0\xc2\xb5s"},
        {7, "7\xc2\xa0\xc2\xb5s"},        {12.34, "12.3\xc2\xa0\xc2\xb5s"},
        {999, "999\xc2\xa0\xc2\xb5s"},    {999.7, "1.00\xc2\xa0ms"},
        {1000, "1.00\xc2\xa0ms"},         {12340, "12.3\xc2\xa0ms"},
        {999400, "999\xc2\xa0ms"},        {999600, "1.00\xc2\xa0s"},
        {4294967295.0, "4,295\xc2\xa0s"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(bench_page_time(cases[i].us).text, cases[i].text);
    }
}

static void short_time__has_no_digit_in_vain(void **state)
{
    (void)state;
    assert_string_equal(bench_page_short_time(0).text, "0\xc2\xa0\xc2\xb5s");
    assert_string_equal(bench_page_short_time(500).text, "500\xc2\xa0\xc2\xb5s");
    assert_string_equal(bench_page_short_time(1000).text, "1\xc2\xa0ms");
    assert_string_equal(bench_page_short_time(2500).text, "2.5\xc2\xa0ms");
    assert_string_equal(bench_page_short_time(2e6).text, "2\xc2\xa0s");
}

static void short__fits_an_axis(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},       {0.25, "0.25"},   {800, "800"},    {999.9999, "1k"}, {25000, "25k"},
        {2500, "2.5k"}, {999999.9, "1M"}, {1.2e6, "1.2M"}, {3e9, "3G"},      {7e12, "7T"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(bench_page_short(cases[i].value).text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__cannot_break_out_of_an_element_or_attribute),
        cmocka_unit_test(text__shows_what_is_no_character),
        cmocka_unit_test(number__has_commas_between_thousands),
        cmocka_unit_test(figures__of_no_number_are_a_dash),
        cmocka_unit_test(time__has_the_unit_that_fits),
        cmocka_unit_test(short_time__has_no_digit_in_vain),
        cmocka_unit_test(short__fits_an_axis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
