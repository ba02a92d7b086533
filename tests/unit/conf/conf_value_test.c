/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/conf_value.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static void assert_range(const char *text, int count, const char *const *ends)
{
    struct conf_range ranges[2];
    char buf[NET_ADDR_TEXT];

    assert_int_equal(conf_range_parse(text, ranges), count);
    for (int i = 0; i < count; i++, ends += 2) {
        assert_string_equal(net_ip_text(&ranges[i].first, buf), ends[0]);
        assert_string_equal(net_ip_text(&ranges[i].last, buf), ends[1]);
        assert_int_equal(net_ip_is_v4(&ranges[i].first), net_ip_is_v4(&ranges[i].last));
    }
}

#define ENDS(...) ((const char *const[]){__VA_ARGS__})

static void range__takes_address_span_and_prefix(void **state)
{
    (void)state;
    assert_range("192.0.2.1", 1, ENDS("192.0.2.1", "192.0.2.1"));
    assert_range("10.0.0.0-10.255.255.255", 1, ENDS("10.0.0.0", "10.255.255.255"));
    assert_range("0.0.0.0-255.255.255.255", 1, ENDS("0.0.0.0", "255.255.255.255"));
    assert_range("10.0.0.0/8", 1, ENDS("10.0.0.0", "10.255.255.255"));
    assert_range("0.0.0.0/0", 1, ENDS("0.0.0.0", "255.255.255.255"));
    assert_range("192.0.2.1/32", 1, ENDS("192.0.2.1", "192.0.2.1"));
    assert_range("2001:db8::/32", 1, ENDS("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_range("64:ff9b::-64:ff9b::ffff:ffff", 1, ENDS("64:ff9b::", "64:ff9b::ffff:ffff"));
    /* a span with a carry, which coturn once compared byte by byte */
    assert_range("2001:db8::ff-2001:db8::100", 1, ENDS("2001:db8::ff", "2001:db8::100"));
}

static void range__of_ipv6_never_holds_ipv4(void **state)
{
    static const char all6[] = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

    (void)state;
    assert_range("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2,
                 ENDS("::", "::fffe:ffff:ffff", "::1:0:0:0", all6));
    assert_range("::/0", 2, ENDS("::", "::fffe:ffff:ffff", "::1:0:0:0", all6));
    assert_range("::fffe:0:0/95", 1, ENDS("::fffe:0:0", "::fffe:ffff:ffff"));
    assert_range("::5-::ffff:1.2.3.4", 1, ENDS("::5", "::fffe:ffff:ffff"));
    assert_range("::ffff:1.2.3.4-::2:0:0:0", 1, ENDS("::1:0:0:0", "::2:0:0:0"));
    assert_range("::ffff:0.0.0.0-::ffff:255.255.255.255", 0, NULL);
    assert_range("::ffff:0:0/96", 0, NULL);
    assert_range("::ffff:10.0.0.0/104", 1, ENDS("10.0.0.0", "10.255.255.255"));
    assert_range("::ffff:10.0.0.1", 1, ENDS("10.0.0.1", "10.0.0.1"));
}

static void range__that_is_malformed_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "10.0.0",
                                      "10.0.0.1-",
                                      "-10.0.0.1",
                                      "10.0.0.2-10.0.0.1",
                                      "10.0.0.1-::1",
                                      "::1-10.0.0.1",
                                      "10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8x",
                                      "10.0.0.0/0008",
                                      "10.0.0.1/8",
                                      "2001:db8::1/64",
                                      "::/129",
                                      "10.0.0.0/8-11.0.0.0/8",
                                      "10.0.0.1 10.0.0.2",
                                      "fe80::1%eth0",
                                      "10.0.0.1-10.0.0.2-10.0.0.3"};
    struct conf_range ranges[2];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (conf_range_parse(bad[i], ranges) != -EBADMSG) {
            fail_msg("'%s' is taken", bad[i]);
        }
    }
}

static void external__takes_one_or_a_pair_of_one_family(void **state)
{
    struct conf_external external;
    char buf[NET_ADDR_TEXT];

    (void)state;
    assert_int_equal(conf_external_parse("198.51.100.1", &external), 0);
    assert_false(external.has_private);
    assert_int_equal(conf_external_parse("2001:db8::1/fd00::1", &external), 0);
    assert_true(external.has_private);
    assert_string_equal(net_ip_text(&external.private_ip, buf), "fd00::1");
    assert_int_equal(conf_external_parse("198.51.100.1/fd00::1", &external), -EBADMSG);
    assert_int_equal(conf_external_parse("198.51.100.1/", &external), -EBADMSG);
    assert_int_equal(conf_external_parse("/10.0.0.1", &external), -EBADMSG);
    assert_int_equal(conf_external_parse("turn.example.org", &external), -EBADMSG);
    assert_string_equal(net_ip_text(&external.public_ip, buf), "2001:db8::1");
}

static void user__takes_password_or_key(void **state)
{
    struct conf_user user;
    char text[600];

    (void)state;
    assert_int_equal(conf_user_parse("gorst:he:ro", &user), 0);
    assert_true(bytes_equal(user.name, bytes_of("gorst")));
    assert_true(bytes_equal(user.password, bytes_of("he:ro")));
    assert_int_equal(user.key_len, 0);
    assert_int_equal(conf_user_parse("a: b", &user), 0);
    assert_true(bytes_equal(user.password, bytes_of("b")));
    assert_int_equal(conf_user_parse("a:0x00112233445566778899AABBccddeeff", &user), 0);
    assert_int_equal(user.key_len, 16);
    assert_int_equal(user.key[15], 0xff);
    assert_int_equal(user.password.n, 0);
    assert_int_equal(
        conf_user_parse("a:0x0011223344556677889900112233445566778899001122334455667788990011",
                        &user),
        0);
    assert_int_equal(user.key_len, 32);
    assert_int_equal(conf_user_parse("a", &user), -EBADMSG);
    assert_int_equal(conf_user_parse(":b", &user), -EBADMSG);
    assert_int_equal(conf_user_parse("a:", &user), -EBADMSG);
    assert_int_equal(conf_user_parse("a:0x", &user), -EBADMSG);
    assert_int_equal(conf_user_parse("a:0x0011", &user), -EBADMSG);
    assert_int_equal(conf_user_parse("a:0x0011223344556677889900112233445g", &user), -EBADMSG);
    memset(text, 'u', sizeof(text));
    memcpy(text + 508, ":p", 3);
    assert_int_equal(conf_user_parse(text, &user), 0);
    text[508] = 'u';
    memcpy(text + 509, ":p", 3);
    assert_int_equal(conf_user_parse(text, &user), -EBADMSG);
}

static void prefix__takes_lengths_of_rfc6052(void **state)
{
    struct net_ip prefix;
    unsigned bits;

    (void)state;
    assert_int_equal(conf_prefix_parse("64:ff9b:1::/48", &prefix, &bits), 0);
    assert_int_equal(bits, 48);
    assert_int_equal(conf_prefix_parse("2001:db8::/96", &prefix, &bits), 0);
    assert_int_equal(conf_prefix_parse("2001:db8::/33", &prefix, &bits), -EBADMSG);
    assert_int_equal(conf_prefix_parse("2001:db8::/72", &prefix, &bits), -EBADMSG);
    assert_int_equal(conf_prefix_parse("2001:db8::1/64", &prefix, &bits), -EBADMSG);
    assert_int_equal(conf_prefix_parse("10.0.0.0/32", &prefix, &bits), -EBADMSG);
    assert_int_equal(conf_prefix_parse("::ffff:0:0/96", &prefix, &bits), -EBADMSG);
    assert_int_equal(conf_prefix_parse("2001:db8::", &prefix, &bits), -EBADMSG);
    assert_int_equal(bits, 96);
}

static void expect_endpoint(const char *text, const char *addr, const char *domain)
{
    struct conf_endpoint endpoint = {.domain = {NULL, 99}};
    char shown[NET_ADDR_TEXT];
    const int err = conf_endpoint_parse(text, 5349, &endpoint);

    if (addr == NULL) {
        assert_int_equal(err, -EBADMSG);
        assert_int_equal(endpoint.domain.n, 99);
        return;
    }
    assert_int_equal(err, 0);
    assert_string_equal(net_addr_text(&endpoint.addr, shown), addr);
    assert_int_equal(endpoint.domain.n, strlen(domain));
    assert_memory_equal(endpoint.domain.p, domain, strlen(domain));
}

/* Proves T-8489-14.16-01 */
static void endpoint__may_have_a_domain(void **state)
{
    char text[300] = "192.0.2.1 ";
    char *name = text + strlen(text);

    (void)state;
    expect_endpoint("192.0.2.1", "192.0.2.1:5349", "");
    expect_endpoint("192.0.2.1:443", "192.0.2.1:443", "");
    expect_endpoint("[2001:db8::1]:443\t turn.example.org", "[2001:db8::1]:443",
                    "turn.example.org");
    expect_endpoint("192.0.2.1 xn--e1afmkfd.example", "192.0.2.1:5349", "xn--e1afmkfd.example");
    expect_endpoint("192.0.2.1:0 a", NULL, NULL);
    expect_endpoint("turn.example.org", NULL, NULL);
    expect_endpoint("192.0.2.1 ", NULL, NULL);
    expect_endpoint("192.0.2.1 a b", NULL, NULL);
    expect_endpoint("192.0.2.1 .a", NULL, NULL);
    expect_endpoint("192.0.2.1 a.", NULL, NULL);
    expect_endpoint("192.0.2.1 a..b", NULL, NULL);
    expect_endpoint("192.0.2.1 -a.b", NULL, NULL);
    expect_endpoint("192.0.2.1 a-.b", NULL, NULL);
    expect_endpoint("192.0.2.1 a.b-", NULL, NULL);
    expect_endpoint("192.0.2.1 m\xc3\xbcnchen.example", NULL, NULL);
    for (size_t i = 0; i < 255; i++) { /* 63 letters a label, 255 bytes in all */
        name[i] = i % 64 == 63 ? '.' : 'a';
    }
    expect_endpoint(text, "192.0.2.1:5349", name);
    name[255] = 'a';
    expect_endpoint(text, NULL, NULL);
    name[255] = 0;
    name[63] = 'a'; /* a label of 64 and more */
    expect_endpoint(text, NULL, NULL);
    memset(name - 9, '1', 200);
    expect_endpoint(text, NULL, NULL);
}

static void hex__is_whole_or_refused(void **state)
{
    uint8_t out[4] = {0};

    (void)state;
    assert_int_equal(conf_hex_parse("0x01aBff", out, sizeof(out)), 3);
    assert_int_equal(out[1], 0xab);
    assert_int_equal(conf_hex_parse("01ab", out, sizeof(out)), -EBADMSG);
    assert_int_equal(conf_hex_parse("0x1", out, sizeof(out)), -EBADMSG);
    assert_int_equal(conf_hex_parse("0x", out, sizeof(out)), -EBADMSG);
    assert_int_equal(conf_hex_parse("", out, sizeof(out)), -EBADMSG);
    assert_int_equal(conf_hex_parse("0x0102030405", out, sizeof(out)), -ENOBUFS);
    assert_int_equal(out[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range__takes_address_span_and_prefix),
        cmocka_unit_test(range__of_ipv6_never_holds_ipv4),
        cmocka_unit_test(range__that_is_malformed_is_refused),
        cmocka_unit_test(external__takes_one_or_a_pair_of_one_family),
        cmocka_unit_test(user__takes_password_or_key),
        cmocka_unit_test(prefix__takes_lengths_of_rfc6052),
        cmocka_unit_test(endpoint__may_have_a_domain),
        cmocka_unit_test(hex__is_whole_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
