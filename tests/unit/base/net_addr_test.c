/* SPDX-License-Identifier: Apache-2.0 */
#include "base/net_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "check.h"
#include "seeded.h"

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    assert_int_equal(net_ip_parse(text, &ip), 0);
    return ip;
}

static void ip__of_mapped_text_is_ipv4(void **state)
{
    const struct net_ip plain = ip_of("192.0.2.1");
    const struct net_ip mapped = ip_of("::ffff:192.0.2.1");
    const struct net_ip hex = ip_of("::ffff:c000:201");
    const struct net_ip compatible = ip_of("::192.0.2.1");

    (void)state;
    assert_true(net_ip_equal(&plain, &mapped));
    assert_true(net_ip_equal(&plain, &hex));
    assert_true(net_ip_is_v4(&mapped));
    assert_false(net_ip_is_v4(&compatible));
    assert_int_equal(net_ip_v4_bytes(&plain)[0], 192);
    assert_int_equal(net_ip_v4_bytes(&plain)[3], 1);
}

static void ip_parse__refuses_what_is_no_address(void **state)
{
    static const char *const bad[] = {"",      "1.2.3",     "1.2.3.4.5",    "256.1.1.1", "01.2.3.4",
                                      "::1::", "1.2.3.4/8", " 1.2.3.4",     "1.2.3.4 ",  "host",
                                      "[::1]", "12345::",   "::ffff:1.2.3", "fe80::1%3"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct net_ip ip = ip_of("2001:db8::5");
        const struct net_ip before = ip;
        assert_int_equal(net_ip_parse(bad[i], &ip), -EBADMSG);
        assert_true(net_ip_equal(&ip, &before));
    }
}

static void ip_compare__orders_as_numbers(void **state)
{
    static const char *const rising[] = {"::",
                                         "::1",
                                         "0.0.0.0",
                                         "9.255.255.255",
                                         "10.0.0.0",
                                         "255.255.255.255",
                                         "2001:db8::",
                                         "fe80::1",
                                         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rising); i++) {
        for (size_t j = 0; j < COUNT_OF(rising); j++) {
            const struct net_ip a = ip_of(rising[i]);
            const struct net_ip b = ip_of(rising[j]);
            assert_int_equal(net_ip_compare(&a, &b), (i > j) - (i < j));
        }
    }
}

static void addr_parse__takes_every_written_form(void **state)
{
    static const struct {
        const char *text;
        const char *again; /* as we write it */
    } cases[] = {
        {"1.2.3.4", "1.2.3.4:3478"},
        {"1.2.3.4:80", "1.2.3.4:80"},
        {"1.2.3.4:0", "1.2.3.4:0"},
        {"1.2.3.4:65535", "1.2.3.4:65535"},
        {"::1", "[::1]:3478"},
        {"[::1]", "[::1]:3478"},
        {"[::1]:80", "[::1]:80"},
        {"2001:db8::5", "[2001:db8::5]:3478"},
        {"::ffff:192.0.2.1", "192.0.2.1:3478"},
        {"[::ffff:192.0.2.1]:9", "192.0.2.1:9"},
        {"[fe80::1%3]:80", "[fe80::1%3]:80"},
        {"fe80::1%4294967295", "[fe80::1%4294967295]:3478"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct net_addr addr;
        struct net_addr back;
        char text[NET_ADDR_TEXT];
        assert_int_equal(net_addr_parse(cases[i].text, 3478, &addr), 0);
        assert_int_equal(addr.family, net_ip_is_v4(&addr.ip) ? NET_V4 : NET_V6);
        assert_string_equal(net_addr_text(&addr, text), cases[i].again);
        assert_int_equal(net_addr_parse(text, 1, &back), 0);
        assert_true(net_addr_equal(&addr, &back));
    }
}

static void addr_parse__refuses_the_rest_and_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        ":80",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4: 80",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[::1]:65536",
        "::1]:80",
        "[]:80",
        "fe80::1%",
        "fe80::1%x",
        "fe80::1%4294967296",
        "1.2.3.4%3",
        "[::ffff:1.2.3.4%3]:80",
        "[::1]:80:80",
        "1.2.3.4:80:80",
        "host:80",
        "99999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    };
    struct net_addr addr;
    struct net_addr before;

    (void)state;
    assert_int_equal(net_addr_parse("10.0.0.1:1", 0, &addr), 0);
    before = addr;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(net_addr_parse(bad[i], 3478, &addr), -EBADMSG);
        assert_true(net_addr_equal(&addr, &before));
    }
}

static void text__fits_the_longest_address(void **state)
{
    struct net_addr addr = {
        .scope = UINT32_MAX,
        .port = 65535,
        .family = NET_V6,
    };
    char text[NET_ADDR_TEXT];

    (void)state;
    memset(addr.ip.b, 0xAB, sizeof(addr.ip.b));
    assert_string_equal(net_addr_text(&addr, text),
                        "[abab:abab:abab:abab:abab:abab:abab:abab%4294967295]:65535");
    assert_string_equal(net_ip_text(&addr.ip, text), "abab:abab:abab:abab:abab:abab:abab:abab");
}

/* Random addresses survive both ways through text and through socket addresses. */
static void addr__survives_text_and_sockaddr(void **state)
{
    struct seeded seed = {3};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct net_ip ip;
        struct net_addr back;
        struct sockaddr_storage ss;
        char text[NET_ADDR_TEXT];
        seeded_fill(&seed, ip.b, sizeof(ip.b));
        if (i % 3 == 0) {
            ip = net_ip_v4(ip.b);
        } else if (i % 3 == 1) {
            memset(ip.b + seeded_below(&seed, 12), 0, 4); /* runs of zeros are shortened */
        }
        struct net_addr addr = net_addr_make(&ip, (uint16_t)seeded_u64(&seed));
        addr.scope = addr.family == NET_V6 && i % 5 == 0 ? seeded_below(&seed, UINT32_MAX) : 0;
        assert_int_equal(net_addr_parse(net_addr_text(&addr, text), 1, &back), 0);
        assert_true(net_addr_equal(&addr, &back));
        memset(&ss, 0, sizeof(ss));
        const socklen_t len = net_addr_to_sockaddr(&addr, &ss);
        assert_int_equal(len, addr.family == NET_V4 ? sizeof(struct sockaddr_in)
                                                    : sizeof(struct sockaddr_in6));
        assert_int_equal(net_addr_from_sockaddr(&ss, &back), 0);
        assert_true(net_addr_equal(&addr, &back));
    }
}

static void from_sockaddr__makes_mapped_addresses_ipv4(void **state)
{
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(5),
        .sin6_scope_id = 9, /* means nothing for IPv4 */
    };
    struct sockaddr_storage ss;
    struct net_addr addr;
    struct net_addr plain;

    (void)state;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6.sin6_addr), 1);
    memset(&ss, 0, sizeof(ss));
    memcpy(&ss, &in6, sizeof(in6));
    assert_int_equal(net_addr_from_sockaddr(&ss, &addr), 0);
    assert_int_equal(net_addr_parse("192.0.2.7:5", 0, &plain), 0);
    assert_true(net_addr_equal(&addr, &plain));
    ss.ss_family = AF_UNIX;
    assert_int_equal(net_addr_from_sockaddr(&ss, &addr), -EBADMSG);
    assert_true(net_addr_equal(&addr, &plain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ip__of_mapped_text_is_ipv4),
        cmocka_unit_test(ip_parse__refuses_what_is_no_address),
        cmocka_unit_test(ip_compare__orders_as_numbers),
        cmocka_unit_test(addr_parse__takes_every_written_form),
        cmocka_unit_test(addr_parse__refuses_the_rest_and_changes_nothing),
        cmocka_unit_test(text__fits_the_longest_address),
        cmocka_unit_test(addr__survives_text_and_sockaddr),
        cmocka_unit_test(from_sockaddr__makes_mapped_addresses_ipv4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
