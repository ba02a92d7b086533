/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_target.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static void parse__takes_every_usual_form(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        bool stun_only;
    } rows[] = {
        {"turn:turn.example.org", "turn.example.org", 3478, false},
        {"turn:turn.example.org:443", "turn.example.org", 443, false},
        {"TURN:192.0.2.1:65535", "192.0.2.1", 65535, false},
        {"turn://turn.example.org:80", "turn.example.org", 80, false},
        {"turn:turn.example.org:80?transport=udp", "turn.example.org", 80, false},
        {"stun:stun.example.org", "stun.example.org", 3478, true},
        {"turn:[2001:db8::1]:5000", "2001:db8::1", 5000, false},
        {"turn:[2001:db8::1]", "2001:db8::1", 3478, false},
        {"2001:db8::1", "2001:db8::1", 3478, false},
        {"turn.example.org:1", "turn.example.org", 1, false},
    };
    struct probe_target target;
    const char *why;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(probe_target_parse(rows[i].text, &target, &why), 0);
        assert_string_equal(target.host, rows[i].host);
        assert_int_equal(target.port, rows[i].port);
        assert_int_equal(target.stun_only, rows[i].stun_only);
    }
}

static void parse__says_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"turns:turn.example.org", "TLS"},
        {"stuns:turn.example.org", "TLS"},
        {"turn:turn.example.org?transport=tcp", "UDP"},
        {"turn:", "host"},
        {"turn::3478", "host"},
        {"turn:host:0", "port"},
        {"turn:host:65536", "port"},
        {"turn:host:123456", "port"},
        {"turn:host:", "port"},
        {"turn:host:3478x", "port"},
        {"turn:[2001:db8::1", "brackets"},
        {"turn:[2001:db8::1]x", "brackets"},
    };
    struct probe_target target;
    const char *why;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(probe_target_parse(rows[i].text, &target, &why), -EBADMSG);
        assert_non_null(strstr(why, rows[i].word));
    }
}

static void parse__refuses_what_is_too_long(void **state)
{
    struct probe_target target;
    char text[1024] = "turn:";
    const char *why;

    (void)state;
    for (size_t n = 256; n < sizeof(text) - 6; n += 32) {
        memset(text + 5, 'a', n);
        text[5 + n] = '\0';
        assert_int_equal(probe_target_parse(text, &target, &why), -EBADMSG);
    }
}

static void resolve__takes_addresses_as_they_are(void **state)
{
    struct probe_target target = {.host = "127.0.0.1", .port = 3478};
    struct net_addr addr;
    char why[320];
    char text[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(probe_target_resolve(&target, NET_NONE, &addr, why, sizeof(why)), 0);
    assert_string_equal(net_addr_text(&addr, text), "127.0.0.1:3478");
    strcpy(target.host, "::1");
    assert_int_equal(probe_target_resolve(&target, NET_V6, &addr, why, sizeof(why)), 0);
    assert_string_equal(net_addr_text(&addr, text), "[::1]:3478");
}

static void resolve__tells_a_family_that_is_not_there(void **state)
{
    const struct probe_target target = {.host = "127.0.0.1", .port = 3478};
    struct net_addr addr;
    char why[320];

    (void)state;
    assert_int_equal(probe_target_resolve(&target, NET_V6, &addr, why, sizeof(why)), -ENOENT);
    assert_non_null(strstr(why, "127.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_every_usual_form),
        cmocka_unit_test(parse__says_what_is_wrong),
        cmocka_unit_test(parse__refuses_what_is_too_long),
        cmocka_unit_test(resolve__takes_addresses_as_they_are),
        cmocka_unit_test(resolve__tells_a_family_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
