/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_uri.h"

#include <errno.h>
#include <string.h>

#include "check.h"

/* Proves T-7064-3.1-01, T-7065-3.1-01 */
static void parse__takes_every_form(void **state)
{
    static const struct {
        const char *text;
        struct probe_uri uri;
    } rows[] = {
        {"example.org", {.bare = true, .host = "example.org"}},
        {"example.org.", {.bare = true, .host = "example.org"}},
        {"turn:example.org", {.host = "example.org"}},
        {"TURNS:example.org:443", {.secure = true, .host = "example.org", .port = 443}},
        {"turns:a-b.example.org?transport=udp",
         {.secure = true, .host = "a-b.example.org", .transport = "udp"}},
        {"turn:192.0.2.1:80?transport=TCP", {.host = "192.0.2.1", .port = 80, .transport = "TCP"}},
        {"turn:[2001:db8::1]:80", {.host = "2001:db8::1", .port = 80}},
        {"stun:example.org", {.stun = true, .host = "example.org"}},
        {"stuns://example.org", {.stun = true, .secure = true, .host = "example.org"}},
        {"2001:db8::1", {.bare = true, .host = "2001:db8::1"}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct probe_uri uri;
        const char *why;
        assert_int_equal(probe_uri_parse(rows[i].text, &uri, &why), 0);
        assert_int_equal(uri.stun, rows[i].uri.stun);
        assert_int_equal(uri.secure, rows[i].uri.secure);
        assert_int_equal(uri.bare, rows[i].uri.bare);
        assert_string_equal(uri.host, rows[i].uri.host);
        assert_int_equal(uri.port, rows[i].uri.port);
        assert_string_equal(uri.transport, rows[i].uri.transport);
    }
}

/* Proves T-7064-3.1-01, T-7065-3.1-01 */
static void parse__says_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"", "host"},
        {"turn:", "host"},
        {".", "dots"},
        {"turn:example..org", "dots"},
        {"turn:.example.org", "dots"},
        {"example.org:0", "port"},
        {"example.org:port", "port"},
        {"example.org:65536", "port"},
        {"turn:exa mple.org", "letters"},
        {"turn:b\303\274cher.example", "xn--"},
        {"turn:example.org/path", "letters"},
        {"turn:example.org?", "transport"},
        {"turn:example.org?transport=", "transport"},
        {"turn:example.org?port=1", "transport"},
        {"turn:example.org?transport=0123456789abcdef", "transport"},
        {"turn:[2001:db8::1", "brackets"},
        {"stun:example.org?transport=udp", "RFC 7064"},
        {"stuns:example.org?transport=tcp", "RFC 7064"},
    };
    struct probe_uri uri = {.port = 7};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *why;
        assert_int_equal(probe_uri_parse(rows[i].text, &uri, &why), -EBADMSG);
        assert_non_null(strstr(why, rows[i].word));
        assert_int_equal(uri.port, 7);
    }
}

/* RFC 1035 section 2.3.4. */
static void parse__keeps_to_the_limits_of_names(void **state)
{
    struct probe_uri uri;
    char text[1024];
    const char *why;

    (void)state;
    memset(text, 'a', sizeof(text));
    text[63] = '\0';
    assert_int_equal(probe_uri_parse(text, &uri, &why), 0);
    text[63] = 'a';
    text[64] = '\0';
    assert_int_equal(probe_uri_parse(text, &uri, &why), -EBADMSG);
    for (size_t n = 0; n < sizeof(text); n++) {
        text[n] = n % 50 == 49 ? '.' : 'a';
    }
    text[253] = '\0';
    assert_int_equal(probe_uri_parse(text, &uri, &why), 0);
    text[253] = 'a';
    text[254] = '\0';
    assert_int_equal(probe_uri_parse(text, &uri, &why), -EBADMSG);
    text[254] = 'a';
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(probe_uri_parse(text, &uri, &why), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_every_form),
        cmocka_unit_test(parse__says_what_is_wrong),
        cmocka_unit_test(parse__keeps_to_the_limits_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
