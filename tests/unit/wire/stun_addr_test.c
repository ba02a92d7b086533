/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stun_addr.h"

#include <errno.h>
#include <string.h>

#include "check.h"
#include "seeded.h"

static const uint8_t tid[STUN_TID] = {0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6,
                                      0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAC};

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

/* The value of the attribute that `put` writes. */
static struct bytes encoded(uint8_t *buf, size_t cap, const struct net_addr *addr, bool xored)
{
    struct stun_out out;

    stun_out_begin(&out, buf, cap, stun_type(STUN_BINDING, STUN_SUCCESS), tid);
    if (xored) {
        stun_out_xor_addr(&out, STUN_XOR_MAPPED_ADDRESS, addr);
    } else {
        stun_out_addr(&out, STUN_MAPPED_ADDRESS, addr);
    }
    assert_true(stun_out_end(&out) > 0);
    assert_int_equal(be16(buf + STUN_HEADER),
                     xored ? STUN_XOR_MAPPED_ADDRESS : STUN_MAPPED_ADDRESS);
    return (struct bytes){buf + STUN_HEADER + STUN_ATTR_HEAD, be16(buf + STUN_HEADER + 2)};
}

static void plain__is_family_port_and_address(void **state)
{
    static const uint8_t v4[] = {0, 1, 0x80, 0x55, 192, 0, 2, 1};
    static const uint8_t v6[] = {0, 2, 0x80, 0x55, 0x20, 0x01, 0x0d, 0xb8, 0, 0,
                                 0, 0, 0,    0,    0,    0,    0,    0,    0, 9};
    const struct net_addr addr4 = addr_of("192.0.2.1:32853");
    const struct net_addr addr6 = addr_of("[2001:db8::9]:32853");
    uint8_t buf[64];

    (void)state;
    struct bytes value = encoded(buf, sizeof(buf), &addr4, false);
    assert_int_equal(value.n, sizeof(v4));
    assert_memory_equal(value.p, v4, sizeof(v4));
    value = encoded(buf, sizeof(buf), &addr6, false);
    assert_int_equal(value.n, sizeof(v6));
    assert_memory_equal(value.p, v6, sizeof(v6));
}

/* Proves T-8489-14.2-01, T-8489-14.2-02 */
static void xored__ipv4_is_masked_with_the_cookie(void **state)
{
    static const uint8_t expected[] = {0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43}; /* RFC 5769 */
    const struct net_addr addr = addr_of("192.0.2.1:32853");
    uint8_t buf[64];

    (void)state;
    const struct bytes value = encoded(buf, sizeof(buf), &addr, true);
    assert_int_equal(value.n, sizeof(expected));
    assert_memory_equal(value.p, expected, sizeof(expected));
}

/* Proves T-8489-14.2-03 */
static void xored__ipv6_is_masked_with_cookie_and_transaction_id(void **state)
{
    const struct net_addr zero = addr_of("[::]:0");
    uint8_t buf[64];
    static const uint8_t cookie[] = {0x21, 0x12, 0xA4, 0x42};
    static const uint8_t other_tid[STUN_TID] = {1};
    struct net_addr other;

    (void)state;
    const struct bytes value = encoded(buf, sizeof(buf), &zero, true);
    assert_int_equal(value.n, 20);
    assert_int_equal(be16(value.p + 2), 0x2112);
    assert_memory_equal(value.p + 4, cookie, sizeof(cookie));
    assert_memory_equal(value.p + 8, tid, sizeof(tid));
    /* under another transaction ID it is another address */
    assert_int_equal(stun_addr_decode_xor(value, other_tid, &other), 0);
    assert_false(net_addr_equal(&other, &zero));
}

/* Proves T-8489-14.1-01 */
static void decode__ignores_the_first_byte_and_we_send_zero(void **state)
{
    const struct net_addr addr = addr_of("198.51.100.7:5000");
    uint8_t buf[64];
    struct net_addr out;

    (void)state;
    const struct bytes value = encoded(buf, sizeof(buf), &addr, true);
    assert_int_equal(value.p[0], 0);
    for (unsigned first = 0; first < 256; first++) {
        buf[STUN_HEADER + STUN_ATTR_HEAD] = (uint8_t)first;
        assert_int_equal(stun_addr_decode_xor(value, tid, &out), 0);
        assert_true(net_addr_equal(&out, &addr));
    }
}

/* Proves T-8489-14.1-01 */
static void decode__refuses_each_family_and_length_but_two(void **state)
{
    uint8_t value[64] = {0};
    const struct net_addr before = addr_of("10.0.0.1:1");

    (void)state;
    for (unsigned family = 0; family < 256; family++) {
        value[1] = (uint8_t)family;
        for (size_t n = 0; n <= sizeof(value); n++) {
            const bool good = (family == 1 && n == 8) || (family == 2 && n == 20);
            struct net_addr out = before;
            assert_int_equal(stun_addr_decode((struct bytes){value, n}, &out), good ? 0 : -EBADMSG);
            assert_int_equal(net_addr_equal(&out, &before), !good);
            out = before;
            assert_int_equal(stun_addr_decode_xor((struct bytes){value, n}, tid, &out),
                             good ? 0 : -EBADMSG);
            assert_int_equal(net_addr_equal(&out, &before), !good);
        }
    }
}

/* What the client wrote can be judged: IPv6 stays IPv6, but the host is the same 128 bits. */
static void decode__of_a_mapped_ipv6_address_keeps_the_family(void **state)
{
    struct net_addr mapped = addr_of("192.0.2.1:80");
    const struct net_addr plain = mapped;
    struct net_addr out;
    uint8_t buf[64];

    (void)state;
    mapped.family = NET_V6; /* written as ::ffff:192.0.2.1 */
    const struct bytes value = encoded(buf, sizeof(buf), &mapped, true);
    assert_int_equal(value.n, 20);
    assert_int_equal(stun_addr_decode_xor(value, tid, &out), 0);
    assert_int_equal(out.family, NET_V6);
    assert_true(net_ip_equal(&out.ip, &plain.ip));
}

static void addr__survives_both_ways(void **state)
{
    struct seeded seed = {21};
    uint8_t buf[64];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct net_ip ip;
        struct net_addr out;
        const bool xored = (i & 2) != 0;
        seeded_fill(&seed, ip.b, sizeof(ip.b));
        if ((i & 1) != 0) {
            ip = net_ip_v4(ip.b);
        }
        const struct net_addr addr = net_addr_make(&ip, (uint16_t)seeded_u64(&seed));
        const struct bytes value = encoded(buf, sizeof(buf), &addr, xored);
        assert_int_equal(
            xored ? stun_addr_decode_xor(value, tid, &out) : stun_addr_decode(value, &out), 0);
        assert_true(net_addr_equal(&out, &addr));
    }
}

static void put__into_too_small_a_buffer_writes_nothing_beyond(void **state)
{
    const struct net_addr addr = addr_of("[2001:db8::1]:9");

    (void)state;
    for (size_t cap = 0; cap < STUN_HEADER + STUN_ATTR_HEAD + 20; cap++) {
        uint8_t buf[64];
        struct stun_out out;
        memset(buf, 0xEE, sizeof(buf));
        stun_out_begin(&out, buf, cap, stun_type(STUN_BINDING, STUN_SUCCESS), tid);
        stun_out_xor_addr(&out, STUN_XOR_MAPPED_ADDRESS, &addr);
        assert_int_equal(stun_out_end(&out), -ENOBUFS);
        for (size_t at = cap; at < sizeof(buf); at++) {
            assert_int_equal(buf[at], 0xEE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain__is_family_port_and_address),
        cmocka_unit_test(xored__ipv4_is_masked_with_the_cookie),
        cmocka_unit_test(xored__ipv6_is_masked_with_cookie_and_transaction_id),
        cmocka_unit_test(decode__ignores_the_first_byte_and_we_send_zero),
        cmocka_unit_test(decode__refuses_each_family_and_length_but_two),
        cmocka_unit_test(decode__of_a_mapped_ipv6_address_keeps_the_family),
        cmocka_unit_test(addr__survives_both_ways),
        cmocka_unit_test(put__into_too_small_a_buffer_writes_nothing_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
