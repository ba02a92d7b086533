/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/proxy_header.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "seeded.h"

#define MAGIC 0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 'Q', 'U', 'I', 'T', 0x0A

/* Decode exactly `n` bytes: on the heap, so that a sanitizer sees a read beyond them.  What is not
 * 0 must have left the output alone. */
static int decode(const void *from, size_t n, struct proxy_header *out)
{
    struct proxy_header before;
    struct proxy_header h;
    uint8_t *copy = malloc(n > 0 ? n : 1);

    assert_non_null(copy);
    if (n > 0) {
        memcpy(copy, from, n);
    }
    memset(&before, 0x5A, sizeof(before));
    h = before;
    const int err = proxy_header_decode((struct bytes){copy, n}, &h);
    if (err < 0) {
        assert_memory_equal(&h, &before, sizeof(h));
    }
    *out = h;
    free(copy);
    return err;
}

static int decode_text(const char *text)
{
    struct proxy_header h;
    return decode(text, strlen(text), &h);
}

static void assert_addr(const struct net_addr *addr, const char *text)
{
    char out[NET_ADDR_TEXT];
    assert_string_equal(net_addr_text(addr, out), text);
}

static struct net_addr addr_of(const char *text)
{
    struct net_addr addr;
    assert_int_equal(net_addr_parse(text, 0, &addr), 0);
    return addr;
}

/* --- version 1 ----------------------------------------------------------------------------------
 */

static void v1__names_ipv4_and_ipv6_clients(void **state)
{
    static const char v4[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 3478\r\nrest";
    static const char v6[] = "PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n";
    struct proxy_header h;

    (void)state;
    assert_int_equal(decode(v4, sizeof(v4) - 1, &h), 0);
    assert_int_equal(h.len, sizeof(v4) - 1 - 4);
    assert_false(h.local || h.datagram || h.tls);
    assert_addr(&h.source, "192.0.2.7:56324");
    assert_addr(&h.destination, "198.51.100.1:3478");
    assert_int_equal(h.source.family, NET_V4);
    assert_int_equal(decode(v6, sizeof(v6) - 1, &h), 0);
    assert_int_equal(h.len, sizeof(v6) - 1);
    assert_addr(&h.source, "[2001:db8::7]:0");
    assert_addr(&h.destination, "[2001:db8::1]:65535");
    assert_int_equal(h.source.family, NET_V6);
}

static void v1__unknown_leaves_the_addresses(void **state)
{
    static const char *const lines[] = {
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN anything \x01 at all\r\n",
        ("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct proxy_header h;
        assert_int_equal(decode(lines[i], strlen(lines[i]), &h), 0);
        assert_true(h.local);
        assert_int_equal(h.len, strlen(lines[i]));
        assert_int_equal(h.source.family, NET_NONE);
    }
    assert_int_equal(strlen(lines[2]), PROXY_V1_MAX);
}

static void v1__waits_for_the_end_of_its_line(void **state)
{
    static const char line[] = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    struct proxy_header h;

    (void)state;
    for (size_t n = 0; n < sizeof(line) - 1; n++) {
        assert_int_equal(decode(line, n, &h), -EAGAIN);
    }
    assert_int_equal(decode(line, sizeof(line) - 1, &h), 0);
}

static void v1__has_a_longest_line(void **state)
{
    char line[PROXY_V1_MAX + 40];
    struct proxy_header h;

    (void)state;
    (void)snprintf(line, sizeof(line), "PROXY UNKNOWN %0132d", 0);
    assert_int_equal(decode(line, PROXY_V1_MAX - 1, &h), -EAGAIN);
    assert_int_equal(decode(line, PROXY_V1_MAX, &h), -EBADMSG);
    line[PROXY_V1_MAX - 2] = '\r';
    line[PROXY_V1_MAX - 1] = '\n';
    assert_int_equal(decode(line, sizeof(line), &h), 0);
    line[PROXY_V1_MAX - 2] = 'x'; /* one byte too long */
    line[PROXY_V1_MAX - 1] = '\r';
    line[PROXY_V1_MAX] = '\n';
    assert_int_equal(decode(line, sizeof(line), &h), -EBADMSG);
}

static void v1__refuses_what_is_not_as_specified(void **state)
{
    static const char *const lines[] = {
        "PROXY \r\n",
        "PROXY\r\n",
        "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r \n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 4294967297 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2x\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP4 ::ffff:1.2.3.4 ::ffff:1.2.3.4 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 ::1 5.6.7.8 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 11111111111111111111111111111111111111111111111111 ::1 1 2\r\n",
        "PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        " PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    };
    static const char nul[] = "PROXY TCP4 1.2.3.4\0.9 5.6.7.8 1 2\r\n";
    struct proxy_header h;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (decode_text(lines[i]) != -EBADMSG) {
            fail_msg("taken: %s", lines[i]);
        }
    }
    assert_int_equal(decode(nul, sizeof(nul) - 1, &h), -EBADMSG);
}

/* --- version 2 ----------------------------------------------------------------------------------
 */

static void v2__names_stream_and_datagram_clients(void **state)
{
    static const uint8_t tcp4[] = {MAGIC, 0x21, 0x11, 0, 12,   192,  0,    2,   7,  198,
                                   51,    100,  1,    1, 0xBB, 0x0D, 0x96, 'x', 'y'};
    uint8_t udp6[16 + 36] = {MAGIC, 0x21, 0x22, 0, 36};
    struct proxy_header h;

    (void)state;
    assert_int_equal(decode(tcp4, sizeof(tcp4), &h), 0);
    assert_int_equal(h.len, 28);
    assert_false(h.local || h.datagram || h.tls);
    assert_addr(&h.source, "192.0.2.7:443");
    assert_addr(&h.destination, "198.51.100.1:3478");
    memcpy(udp6 + 16, addr_of("2001:db8::7").ip.b, 16);
    memcpy(udp6 + 32, addr_of("2001:db8::1").ip.b, 16);
    be16_put(udp6 + 48, 5000);
    be16_put(udp6 + 50, 3478);
    assert_int_equal(decode(udp6, sizeof(udp6), &h), 0);
    assert_int_equal(h.len, sizeof(udp6));
    assert_true(h.datagram);
    assert_false(h.local);
    assert_addr(&h.source, "[2001:db8::7]:5000");
    assert_addr(&h.destination, "[2001:db8::1]:3478");
}

/* One host has one address here, whichever family brought it. */
static void v2__mapped_addresses_are_ipv4(void **state)
{
    uint8_t header[16 + 36] = {MAGIC, 0x21, 0x21, 0, 36};
    struct proxy_header h;

    (void)state;
    memcpy(header + 16, addr_of("192.0.2.7").ip.b, 16);
    memcpy(header + 32, addr_of("2001:db8::1").ip.b, 16);
    assert_int_equal(decode(header, sizeof(header), &h), 0);
    assert_int_equal(h.source.family, NET_V4);
    assert_int_equal(h.destination.family, NET_V6);
    assert_addr(&h.source, "192.0.2.7:0");
}

/* The specification has LOCAL ignore all that follows, its family and broken extensions too. */
static void v2__local_leaves_the_addresses(void **state)
{
    static const uint8_t local[] = {MAGIC, 0x20, 0x00, 0, 0};
    static const uint8_t full[] = {MAGIC, 0x20, 0xFF, 0, 5, 1, 2, 3, 4, 5};
    struct proxy_header h;

    (void)state;
    assert_int_equal(decode(local, sizeof(local), &h), 0);
    assert_true(h.local);
    assert_int_equal(h.len, 16);
    assert_int_equal(decode(full, sizeof(full), &h), 0);
    assert_true(h.local);
    assert_int_equal(h.len, 21);
    assert_int_equal(h.source.family, NET_NONE);
}

/* Which of the 256 kinds carry addresses, which leave them, which do not exist. */
static void v2__every_kind_is_judged(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 256; kind++) {
        uint8_t header[16 + 216] = {MAGIC, 0x21, (uint8_t)kind, 0, 216};
        const unsigned family = kind >> 4;
        const unsigned transport = kind & 15;
        const bool addresses = (family == 1 || family == 2) && transport != 0 && transport <= 2;
        struct proxy_header h;

        const int err = decode(header, sizeof(header), &h);
        if (family > 3 || transport > 2) {
            assert_int_equal(err, -EBADMSG);
            continue;
        }
        assert_int_equal(err, 0);
        assert_int_equal(h.local, !addresses);
        assert_int_equal(h.datagram, transport == 2);
        assert_int_equal(h.len, sizeof(header));
    }
}

static void v2__refuses_other_versions_and_commands(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t header[] = {MAGIC, (uint8_t)byte, 0x00, 0, 0};
        struct proxy_header h;
        const bool good = byte == 0x20 || byte == 0x21;

        assert_int_equal(decode(header, 13, &h), good ? -EAGAIN : -EBADMSG); /* at once */
        assert_int_equal(decode(header, sizeof(header), &h), good ? 0 : -EBADMSG);
    }
}

static void v2__waits_for_its_last_byte(void **state)
{
    const struct proxy_header in = {
        .source = addr_of("[2001:db8::7]:1"),
        .destination = addr_of("[2001:db8::1]:2"),
        .tls = true,
    };
    uint8_t header[PROXY_V2_MAX];
    struct proxy_header h;

    (void)state;
    const int len = proxy_header_encode(&in, header, sizeof(header));
    assert_int_equal(len, 16 + 36 + 8);
    for (size_t n = 0; n < (size_t)len; n++) {
        assert_int_equal(decode(header, n, &h), -EAGAIN);
    }
    assert_int_equal(decode(header, (size_t)len, &h), 0);
}

static void v2__refuses_blocks_shorter_than_their_addresses(void **state)
{
    static const struct {
        uint8_t kind;
        uint8_t needs;
    } kinds[] = {{0x11, 12}, {0x12, 12}, {0x21, 36}, {0x22, 36}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (uint8_t n = 0; n <= kinds[i].needs; n++) {
            uint8_t header[16 + 36] = {MAGIC, 0x21, kinds[i].kind, 0, n};
            struct proxy_header h;
            assert_int_equal(decode(header, 16U + n, &h), n < kinds[i].needs ? -EBADMSG : 0);
        }
    }
}

/* A length is refused when it is known, not after so many bytes have been kept. */
static void v2__has_a_longest_header(void **state)
{
    uint8_t header[PROXY_V2_MAX + 1] = {MAGIC, 0x21, 0x00};
    struct proxy_header h;

    (void)state;
    be16_put(header + 14, PROXY_V2_MAX - PROXY_V2_HEAD);
    assert_int_equal(decode(header, 16, &h), -EAGAIN);
    assert_int_equal(decode(header, sizeof(header), &h), 0);
    assert_int_equal(h.len, PROXY_V2_MAX);
    be16_put(header + 14, PROXY_V2_MAX - PROXY_V2_HEAD + 1);
    assert_int_equal(decode(header, 16, &h), -EBADMSG);
    assert_int_equal(decode(header, sizeof(header), &h), -EBADMSG);
}

/* --- extensions ---------------------------------------------------------------------------------
 */

/* A header for UDP over IPv4 with `n` bytes of extensions. */
static int decode_extended(const uint8_t *extensions, size_t n, struct proxy_header *h)
{
    uint8_t header[16 + 12 + 64] = {MAGIC, 0x21, 0x12, 0, (uint8_t)(12 + n)};

    assert_true(n <= 64);
    memcpy(header + 28, extensions, n);
    return decode(header, 28 + n, h);
}

static void extensions__say_whether_the_client_came_over_tls(void **state)
{
    static const uint8_t with[] = {0x04, 0, 2, 9,    9, 0x20, 0,    8, 1, 0,
                                   0,    0, 1, 0x21, 0, 0,    0x30, 0, 1, 'n'};
    static const uint8_t without[] = {0x20, 0, 5, 0x06, 0, 0, 0, 0};
    struct proxy_header h;

    (void)state;
    assert_int_equal(decode_extended(with, sizeof(with), &h), 0);
    assert_true(h.tls);
    assert_int_equal(h.len, 28 + sizeof(with));
    assert_int_equal(decode_extended(without, sizeof(without), &h), 0);
    assert_false(h.tls);
}

static void extensions__must_be_whole(void **state)
{
    static const uint8_t two[] = {0x20, 0, 5, 1, 0, 0, 0, 0, 0x05, 0, 3, 'a', 'b', 'c'};
    static const uint8_t short_ssl[] = {0x20, 0, 4, 1, 0, 0, 0};
    static const uint8_t long_one[] = {0x05, 0xFF, 0xFF, 1};
    struct proxy_header h;

    (void)state;
    for (size_t n = 0; n <= sizeof(two); n++) {
        const bool whole = n == 0 || n == 8 || n == sizeof(two);
        assert_int_equal(decode_extended(two, n, &h), whole ? 0 : -EBADMSG);
    }
    assert_int_equal(decode_extended(short_ssl, sizeof(short_ssl), &h), -EBADMSG);
    assert_int_equal(decode_extended(long_one, sizeof(long_one), &h), -EBADMSG);
}

/* --- both ---------------------------------------------------------------------------------------
 */

static void decode__refuses_other_protocols_at_the_first_byte_that_differs(void **state)
{
    static const uint8_t v2[] = {MAGIC};
    static const char *const v1 = "PROXY ";
    static const uint8_t binding[] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42};
    struct proxy_header h;

    (void)state;
    for (size_t wrong = 0; wrong < sizeof(v2); wrong++) {
        uint8_t copy[sizeof(v2)];
        memcpy(copy, v2, sizeof(v2));
        copy[wrong] ^= 0x80;
        assert_int_equal(decode(copy, wrong, &h), -EAGAIN);
        assert_int_equal(decode(copy, wrong + 1, &h), -EBADMSG);
    }
    for (size_t wrong = 0; wrong < strlen(v1); wrong++) {
        uint8_t copy[6];
        memcpy(copy, v1, sizeof(copy));
        copy[wrong] ^= 0x80;
        assert_int_equal(decode(copy, wrong + 1, &h), -EBADMSG);
    }
    assert_int_equal(decode(binding, sizeof(binding), &h), -EBADMSG);
    assert_int_equal(decode_text("GET / HTTP/1.1\r\n"), -EBADMSG);
}

static struct net_addr any_addr(struct seeded *seed, bool v4)
{
    struct net_ip ip;

    seeded_fill(seed, ip.b, sizeof(ip.b));
    if (v4) {
        ip = net_ip_v4(ip.b);
    }
    return net_addr_make(&ip, (uint16_t)seeded_u64(seed));
}

static void encode__is_read_back(void **state)
{
    struct seeded seed = {5};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct proxy_header in = {.local = seeded_below(&seed, 10) == 0};
        uint8_t header[PROXY_V2_MAX];
        struct proxy_header out;
        if (!in.local) {
            in.source = any_addr(&seed, seeded_below(&seed, 2) == 0);
            in.destination = any_addr(&seed, seeded_below(&seed, 2) == 0);
            in.datagram = seeded_below(&seed, 2) == 0;
            in.tls = seeded_below(&seed, 2) == 0;
        }
        const int len = proxy_header_encode(&in, header, sizeof(header));
        assert_true(len >= PROXY_V2_HEAD);
        assert_int_equal(proxy_header_encode(&in, header, (size_t)len - 1), -ENOBUFS);
        assert_int_equal(proxy_header_encode(&in, header, (size_t)len), len);
        assert_int_equal(decode(header, (size_t)len, &out), 0);
        assert_int_equal(out.len, len);
        assert_int_equal(out.local, in.local);
        assert_int_equal(out.datagram, in.datagram);
        assert_int_equal(out.tls, in.tls);
        assert_true(net_addr_equal(&out.source, &in.source));
        assert_true(net_addr_equal(&out.destination, &in.destination));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v1__names_ipv4_and_ipv6_clients),
        cmocka_unit_test(v1__unknown_leaves_the_addresses),
        cmocka_unit_test(v1__waits_for_the_end_of_its_line),
        cmocka_unit_test(v1__has_a_longest_line),
        cmocka_unit_test(v1__refuses_what_is_not_as_specified),
        cmocka_unit_test(v2__names_stream_and_datagram_clients),
        cmocka_unit_test(v2__mapped_addresses_are_ipv4),
        cmocka_unit_test(v2__local_leaves_the_addresses),
        cmocka_unit_test(v2__every_kind_is_judged),
        cmocka_unit_test(v2__refuses_other_versions_and_commands),
        cmocka_unit_test(v2__waits_for_its_last_byte),
        cmocka_unit_test(v2__refuses_blocks_shorter_than_their_addresses),
        cmocka_unit_test(v2__has_a_longest_header),
        cmocka_unit_test(extensions__say_whether_the_client_came_over_tls),
        cmocka_unit_test(extensions__must_be_whole),
        cmocka_unit_test(decode__refuses_other_protocols_at_the_first_byte_that_differs),
        cmocka_unit_test(encode__is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
