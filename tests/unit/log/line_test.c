/* SPDX-License-Identifier: Apache-2.0 */
#include "log/line.h"

#include <jansson.h>
#include <stdalign.h>

#include "base/net_addr.h"
#include "check.h"
#include "log/record.h"

#define AT_MS 1709251199007 /* 2024-02-29T23:59:59.007Z */

static struct line line;
static const struct line_style text_style = {LOG_FORMAT_TEXT, true, false};
static const struct line_style json_style = {LOG_FORMAT_JSON, true, false};

/* The line without its end, as a C string. */
static const char *format(const struct line_style *style, const struct log_field *fields)
{
    static alignas(8) uint8_t packed[RECORD_MAX];
    struct record record;

    (void)record_pack(packed, AT_MS, LOG_NOTICE, "request.refused", fields);
    record_unpack(packed, &record);
    line_format(&line, &record, style);
    assert_true(line.n > 0 && line.n < sizeof(line.text));
    assert_ptr_equal(memchr(line.text, '\n', line.n), line.text + line.n - 1);
    line.text[line.n - 1] = '\0';
    return line.text;
}

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

static void text__shows_every_kind(void **state)
{
    const struct net_addr v4 = addr_of("192.0.2.1:5000");
    const struct net_addr v6 = addr_of("[2001:db8::1]:5000");

    (void)state;
    assert_string_equal(
        format(&text_style,
               (const struct log_field[]){
                   LOG_ADDR("client", &v4), LOG_ADDR("peer", &v6), LOG_IP("ip", &v6.ip),
                   LOG_USER("user", bytes_of("al ice")), LOG_U64("code", UINT64_MAX),
                   LOG_I64("left", -3), LOG_ID("session", 0xabc), LOG_TEXT("why", ""),
                   LOG_ERRNO("error", -13), LOG_ERRNO("odd", 100000), LOG_END}),
        "2024-02-29T23:59:59.007Z notice request.refused client=192.0.2.1:5000 "
        "peer=[2001:db8::1]:5000 ip=2001:db8::1 user=\"al ice\" code=18446744073709551615 left=-3 "
        "session=0000000000000abc why=\"\" error=\"Permission denied\" odd=\"unknown error\"");
    assert_int_equal(line.body, strlen("2024-02-29T23:59:59.007Z "));
}

static void text__can_leave_the_time_out(void **state)
{
    const struct line_style style = {LOG_FORMAT_TEXT, false, false};

    (void)state;
    assert_string_equal(format(&style, (const struct log_field[]){LOG_END}),
                        "notice request.refused");
    assert_int_equal(line.body, 0);
}

static void text__user_name_cannot_forge_anything(void **state)
{
    static const char name[] = "x\" client=203.0.113.9:1\n2024-01-01T00:00:00.000Z notice "
                               "request.refused client=203.0.113.9:1 %n%s";

    (void)state;
    assert_string_equal(
        format(&text_style, (const struct log_field[]){LOG_USER("user", bytes_of(name)), LOG_END}),
        "2024-02-29T23:59:59.007Z notice request.refused user=\"x\\\" client=203.0.113.9:1\\x0a"
        "2024-01-01T00:00:00.000Z notice request.refused client=203.0.113.9:1 %n%s\"");
}

static void json__shows_every_kind(void **state)
{
    const struct net_addr v4 = addr_of("192.0.2.1:5000");

    (void)state;
    assert_string_equal(
        format(&json_style,
               (const struct log_field[]){
                   LOG_ADDR("client", &v4), LOG_IP("ip", &v4.ip), LOG_USER("user", bytes_of("ü\n")),
                   LOG_U64("code", 401), LOG_U64("huge", UINT64_MAX), LOG_I64("left", -3),
                   LOG_ID("session", 0xabc), LOG_ERRNO("error", 13), LOG_END}),
        "{\"time\":\"2024-02-29T23:59:59.007Z\",\"level\":\"notice\",\"event\":\"request.refused\","
        "\"client\":\"192.0.2.1:5000\",\"ip\":\"192.0.2.1\",\"user\":\"\\u00FC\\n\",\"code\":401,"
        "\"huge\":\"18446744073709551615\",\"left\":-3,\"session\":\"0000000000000abc\","
        "\"error\":\"Permission denied\"}");
}

static void json__takes_bytes_that_are_no_text(void **state)
{
    (void)state;
    assert_string_equal(
        format(&(struct line_style){LOG_FORMAT_JSON, false, false},
               (const struct log_field[]){
                   LOG_STR("data", ((struct bytes){(const uint8_t *)"a\xff\0\"", 4})), LOG_END}),
        "{\"level\":\"notice\",\"event\":\"request.refused\",\"data\":\"a\\\\xff\\u0000\\\"\"}");
}

/* Whatever bytes: the line is one line of ASCII, parses, and what was UTF-8 comes back the same. */
static void json__is_json_whatever_comes(void **state)
{
    uint32_t x = 77;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t data[24];
        for (size_t k = 0; k < sizeof(data); k++) {
            x = x * 1664525U + 1013904223U;
            data[k] = (uint8_t)(x >> (24 + (i & 1)));
        }
        const char *got = format(
            &json_style,
            (const struct log_field[]){LOG_STR("data", ((struct bytes){data, 24})), LOG_END});
        for (const char *p = got; *p != '\0'; p++) {
            assert_true(*p >= 0x20); /* char is signed: above 0x7f would be negative */
        }
        json_t *root = json_loads(got, JSON_ALLOW_NUL, NULL);
        assert_non_null(root);
        const json_t *value = json_object_get(root, "data");
        if ((i & 1) != 0) { /* seven bits: always UTF-8 */
            assert_int_equal(json_string_length(value), sizeof(data));
            assert_memory_equal(json_string_value(value), data, sizeof(data));
        }
        json_decref(root);
    }
}

static void cut__is_told_and_keeps_characters_whole(void **state)
{
    uint8_t data[RECORD_STRING_MAX + 2];

    (void)state;
    memset(data, 'a', sizeof(data));
    memcpy(data + RECORD_STRING_MAX - 1, "\xc3\xbc", 2); /* lies across the limit */
    const struct log_field fields[] = {LOG_STR("s", ((struct bytes){data, sizeof(data)})), LOG_END};
    const char *got = format(&text_style, fields);
    assert_string_equal(got + strlen(got) - strlen("aa\" truncated=1"), "aa\" truncated=1");
    assert_null(strstr(got, "\\x"));
    got = format(&json_style, fields);
    assert_string_equal(got + strlen(got) - strlen("aa\",\"truncated\":1}"),
                        "aa\",\"truncated\":1}");
}

/* The widest lines that a record can make. */
static void longest__fits_in_both_formats(void **state)
{
    static uint8_t nul[RECORD_STRING_MAX], bad[RECORD_STRING_MAX];
    const struct bytes zeros = {nul, sizeof(nul)};
    const struct bytes wrong = {bad, sizeof(bad)};

    (void)state;
    memset(bad, 0xff, sizeof(bad));
    const struct log_field fields[] = {LOG_STR("a", zeros), LOG_STR("b", wrong),
                                       LOG_STR("c", zeros), LOG_END};
    assert_true(strlen(format(&text_style, fields)) > 8 * RECORD_STRING_MAX);
    assert_true(strlen(format(&json_style, fields)) > 11 * RECORD_STRING_MAX);
}

static void *no_memory(size_t n)
{
    (void)n;
    return NULL;
}

static void json__becomes_text_without_memory(void **state)
{
    json_malloc_t kept_malloc;
    json_free_t kept_free;

    (void)state;
    json_get_alloc_funcs(&kept_malloc, &kept_free);
    json_set_alloc_funcs(no_memory, kept_free);
    const char *got = format(&json_style, (const struct log_field[]){LOG_U64("n", 1), LOG_END});
    json_set_alloc_funcs(kept_malloc, kept_free);
    assert_string_equal(got, "2024-02-29T23:59:59.007Z notice request.refused n=1");
}

static const char *user_shown(const struct line_style *style, const char *name)
{
    static char shown[8][512];
    static unsigned turn;
    char *out = shown[turn++ % 8];

    (void)format(style, (const struct log_field[]){LOG_USER("user", bytes_of(name)), LOG_END});
    (void)strcpy(out, strstr(line.text, "user"));
    return out;
}

static void privacy__hashes_user_names_only(void **state)
{
    const struct line_style style = {LOG_FORMAT_TEXT, false, true};
    const struct line_style json = {LOG_FORMAT_JSON, false, true};

    (void)state;
    const char *alice = user_shown(&style, "alice");
    assert_int_equal(strlen(alice), strlen("user=\"01234567\""));
    assert_int_equal(strspn(alice + 6, "0123456789abcdef"), 8);
    assert_string_equal(user_shown(&style, "alice"), alice);
    assert_string_not_equal(user_shown(&style, "bob"), alice);
    assert_memory_equal(user_shown(&json, "alice") + 7, user_shown(&style, "alice") + 6, 8);
    assert_string_equal(
        format(&style, (const struct log_field[]){LOG_STR("realm", bytes_of("r")), LOG_END}),
        "notice request.refused realm=\"r\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__shows_every_kind),
        cmocka_unit_test(text__can_leave_the_time_out),
        cmocka_unit_test(text__user_name_cannot_forge_anything),
        cmocka_unit_test(json__shows_every_kind),
        cmocka_unit_test(json__takes_bytes_that_are_no_text),
        cmocka_unit_test(json__is_json_whatever_comes),
        cmocka_unit_test(cut__is_told_and_keeps_characters_whole),
        cmocka_unit_test(longest__fits_in_both_formats),
        cmocka_unit_test(json__becomes_text_without_memory),
        cmocka_unit_test(privacy__hashes_user_names_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
