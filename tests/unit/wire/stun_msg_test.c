/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stun_msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "crypto/mac.h"
#include "seeded.h"

static const uint8_t tid[STUN_TID] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* A Binding request with SOFTWARE "abc". */
static const uint8_t request[] = {
    0x00, 0x01, 0x00, 0x08, 0x21, 0x12, 0xA4, 0x42, 1,    2,    3,   4,   5,   6,
    7,    8,    9,    10,   11,   12,   0x80, 0x22, 0x00, 0x03, 'a', 'b', 'c', 0,
};

/* Parse a copy of exactly `n` bytes on the heap, so that a sanitizer sees a read beyond it. */
static int parse_copy(const uint8_t *from, size_t n)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    struct stun_msg msg = {.method = 0x5A5A};

    assert_non_null(copy);
    memcpy(copy, from, n);
    const int err = stun_msg_parse((struct bytes){copy, n}, &msg);
    if (err < 0) {
        assert_int_equal(msg.method, 0x5A5A); /* unchanged on failure */
    }
    free(copy);
    return err;
}

/* Parse `request` with the byte at `at` replaced. */
static int parse_changed(size_t at, uint8_t value)
{
    uint8_t changed[sizeof(request)];

    memcpy(changed, request, sizeof(request));
    changed[at] = value;
    return parse_copy(changed, sizeof(changed));
}

static void parse__gives_the_parts_of_a_message(void **state)
{
    struct stun_msg msg;

    (void)state;
    assert_int_equal(stun_msg_parse((struct bytes){request, sizeof(request)}, &msg), 0);
    assert_int_equal(msg.method, STUN_BINDING);
    assert_int_equal(msg.class, STUN_REQUEST);
    assert_ptr_equal(msg.whole.p, request);
    assert_int_equal(msg.whole.n, sizeof(request));
    assert_ptr_equal(msg.body.p, request + STUN_HEADER);
    assert_int_equal(msg.body.n, 8);
    assert_ptr_equal(msg.tid, request + 8);
}

/* Proves T-8489-5-04 */
static void type__puts_the_class_bits_where_the_rfc_has_them(void **state)
{
    static const struct {
        uint16_t method;
        enum stun_class class;
        uint16_t type;
    } rows[] = {
        {STUN_BINDING, STUN_REQUEST, 0x0001},
        {STUN_BINDING, STUN_INDICATION, 0x0011},
        {STUN_BINDING, STUN_SUCCESS, 0x0101},
        {STUN_BINDING, STUN_ERROR, 0x0111},
        {STUN_ALLOCATE, STUN_REQUEST, 0x0003},
        {STUN_ALLOCATE, STUN_SUCCESS, 0x0103},
        {STUN_ALLOCATE, STUN_ERROR, 0x0113},
        {STUN_REFRESH, STUN_REQUEST, 0x0004},
        {STUN_SEND, STUN_INDICATION, 0x0016},
        {STUN_DATA, STUN_INDICATION, 0x0017},
        {STUN_CREATE_PERMISSION, STUN_ERROR, 0x0118},
        {STUN_CHANNEL_BIND, STUN_REQUEST, 0x0009},
        {STUN_CHANNEL_BIND, STUN_SUCCESS, 0x0109},
        {STUN_CHANNEL_BIND, STUN_ERROR, 0x0119},
        {STUN_CONNECT, STUN_ERROR, 0x011A},
        {STUN_CONNECTION_BIND, STUN_SUCCESS, 0x010B},
        {STUN_CONNECTION_ATTEMPT, STUN_INDICATION, 0x001C},
        {0xFFF, STUN_ERROR, 0x3FFF},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        assert_int_equal(stun_type(rows[i].method, rows[i].class), rows[i].type);
    }
}

/* Proves T-8489-5-04 */
static void type__survives_both_ways_for_all_values(void **state)
{
    static const enum stun_class classes[] = {STUN_REQUEST, STUN_INDICATION, STUN_SUCCESS,
                                              STUN_ERROR};

    uint8_t message[STUN_HEADER] = {0, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    struct stun_msg msg;

    (void)state;
    for (uint16_t method = 0; method <= 0xFFF; method++) {
        for (size_t i = 0; i < COUNT_OF(classes); i++) {
            be16_put(message, stun_type(method, classes[i]));
            assert_int_equal(stun_msg_parse((struct bytes){message, sizeof(message)}, &msg), 0);
            assert_int_equal(msg.method, method);
            assert_int_equal(msg.class, classes[i]);
        }
    }
}

/* Proves T-8489-5-01 */
static void parse__refuses_set_top_bits(void **state)
{
    (void)state;
    assert_int_equal(parse_changed(0, 0x3F), 0);
    assert_int_equal(parse_changed(0, 0x40), -EBADMSG);
    assert_int_equal(parse_changed(0, 0x80), -EBADMSG);
    assert_int_equal(parse_changed(0, 0xC0), -EBADMSG);
}

/* Proves T-8489-5-02 */
static void parse__refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(request); n++) {
        assert_int_equal(parse_copy(request, n), -EBADMSG);
    }
    assert_int_equal(parse_copy(request, sizeof(request)), 0);
}

/* Proves T-8489-6.3-01 */
static void parse__refuses_another_cookie(void **state)
{
    (void)state;
    for (size_t at = 4; at < 8; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            assert_int_equal(parse_changed(at, (uint8_t)(request[at] ^ 1U << bit)), -EBADMSG);
        }
    }
}

/* Proves T-8489-6.3-02, T-8489-6.3-03, T-8489-6.3-04 */
static void parse__wants_the_length_of_the_datagram(void **state)
{
    uint8_t longer[sizeof(request) + 8] = {0};

    (void)state;
    memcpy(longer, request, sizeof(request));
    for (unsigned len = 0; len <= UINT16_MAX; len++) {
        be16_put(longer + 2, (uint16_t)len);
        for (size_t n = sizeof(request); n <= sizeof(longer); n++) {
            const int expected = len % 4 == 0 && len + STUN_HEADER == n ? 0 : -EBADMSG;
            struct stun_msg msg;
            assert_int_equal(stun_msg_parse((struct bytes){longer, n}, &msg), expected);
        }
    }
}

/* A value that contains a well-formed LIFETIME must stay a value. */
static void walk__does_not_enter_values(void **state)
{
    static const uint8_t body[] = {
        0x00, 0x19, 0x00, 0x0c, 17,   0,    0,    0,    /* REQUESTED-TRANSPORT, 12 bytes */
        0x00, 0x0d, 0x00, 0x04, 0xde, 0xad, 0xbe, 0xef, /* ... looks like LIFETIME */
        0x00, 0x1a, 0x00, 0x00,                         /* DONT-FRAGMENT */
    };
    struct bytes rest = {body, sizeof(body)};
    struct stun_attr attr;

    (void)state;
    assert_int_equal(stun_attr_next(&rest, &attr), 1);
    assert_int_equal(attr.value.n, 12);
    assert_int_equal(stun_attr_next(&rest, &attr), 1);
    assert_int_equal(attr.type, 0x001a);
    assert_int_equal(attr.value.n, 0);
    assert_int_equal(stun_attr_next(&rest, &attr), 0);
    assert_int_equal(stun_attr_next(&rest, &attr), 0); /* and stays there */
}

/* Proves T-8489-14-03 */
static void walk__skips_padding_of_any_value(void **state)
{
    (void)state;
    for (uint8_t len = 0; len <= 8; len++) {
        uint8_t body[4 + 8 + 4];
        memset(body, 0xFF, sizeof(body));
        const size_t padded = (len + 3U) & ~3U;
        be16_put(body, STUN_SOFTWARE);
        be16_put(body + 2, len);
        be16_put(body + 4 + padded, STUN_DONT_FRAGMENT);
        be16_put(body + 6 + padded, 0);
        struct bytes rest = {body, 8 + padded};
        struct stun_attr attr;
        assert_int_equal(stun_attr_next(&rest, &attr), 1);
        assert_int_equal(attr.value.n, len);
        assert_ptr_equal(attr.value.p, body + 4);
        assert_int_equal(stun_attr_next(&rest, &attr), 1);
        assert_int_equal(attr.type, STUN_DONT_FRAGMENT);
        assert_int_equal(rest.n, 0);
    }
}

static void walk__never_runs_past_the_end(void **state)
{
    enum { ROOM = 64 };
    struct bytes before;

    (void)state;
    for (size_t room = 0; room <= ROOM; room++) {
        uint8_t *body = calloc(1, room + 1); /* one more, so that room 0 is an object, too */
        assert_non_null(body);
        for (unsigned len = 0; len <= UINT16_MAX; len += len < 80 || len > 65500 ? 1 : 61) {
            struct bytes rest = {body + 1, room};
            struct stun_attr attr = {.type = 7};
            if (room >= 4) {
                be16_put(body + 3, (uint16_t)len);
            }
            before = rest;
            const int step = stun_attr_next(&rest, &attr);
            const size_t needed = 4 + (len + 3U) / 4 * 4;
            if (room == 0) {
                assert_int_equal(step, 0);
            } else if (room < 4 || needed > room) {
                assert_int_equal(step, -EBADMSG);
                assert_int_equal(attr.type, 7); /* both unchanged */
                assert_ptr_equal(rest.p, before.p);
                assert_int_equal(rest.n, before.n);
            } else {
                assert_int_equal(step, 1);
                assert_int_equal(attr.value.n, len);
                assert_int_equal(rest.n, room - needed);
            }
        }
        free(body);
    }
}

/* Proves T-8489-5-03, T-8489-5-07, T-8489-14-01, T-8489-14-02 */
static void out__writes_what_the_walk_reads(void **state)
{
    struct seeded seed = {8};

    (void)state;
    for (int round = 0; round < 5000; round++) {
        static uint8_t buf[2000];
        static uint8_t value[10][150];
        struct stun_attr in[10];
        const uint32_t count = seeded_below(&seed, 11);
        struct stun_out out;
        struct stun_msg msg;
        struct stun_attr attr;
        memset(buf, 0xEE, sizeof(buf));
        stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_SUCCESS), tid);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t len = seeded_below(&seed, 150);
            seeded_fill(&seed, value[i], len);
            in[i] = (struct stun_attr){(uint16_t)seeded_u64(&seed), {value[i], len}};
            stun_out_attr(&out, in[i].type, in[i].value);
        }
        const int n = stun_out_end(&out);
        assert_true(n >= STUN_HEADER && n % 4 == 0);
        assert_int_equal(be32(buf + 4), STUN_COOKIE);
        assert_int_equal(be16(buf + 2) + STUN_HEADER, n);
        assert_int_equal(stun_msg_parse((struct bytes){buf, (size_t)n}, &msg), 0);
        assert_int_equal(msg.method, STUN_ALLOCATE);
        assert_int_equal(msg.class, STUN_SUCCESS);
        assert_memory_equal(msg.tid, tid, sizeof(tid));
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal((msg.body.p - buf) % 4, 0);
            assert_int_equal(stun_attr_next(&msg.body, &attr), 1);
            assert_int_equal(attr.type, in[i].type);
            assert_true(bytes_equal(attr.value, in[i].value));
            for (const uint8_t *pad = attr.value.p + attr.value.n; pad < msg.body.p; pad++) {
                assert_int_equal(*pad, 0);
            }
        }
        assert_int_equal(msg.body.n, 0);
    }
}

static void out__u32_is_big_endian(void **state)
{
    static const uint8_t expected[] = {0x00, 0x0D, 0x00, 0x04, 0x01, 0x02, 0x03, 0x04};
    uint8_t buf[64];
    struct stun_out out;

    (void)state;
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_REFRESH, STUN_SUCCESS), tid);
    stun_out_u32(&out, STUN_LIFETIME, 0x01020304);
    assert_int_equal(stun_out_end(&out), STUN_HEADER + 8);
    assert_memory_equal(buf + STUN_HEADER, expected, sizeof(expected));
}

/* With one byte too few, or far too few, nothing is written behind the buffer and the end says so.
 */
static void out__into_too_small_a_buffer_fails_at_the_end(void **state)
{
    enum { NEEDED = 20 + 8 + 24 + 36 + 8 };
    struct crypto_mac *mac = crypto_mac_new();

    (void)state;
    for (size_t cap = 0; cap <= NEEDED; cap++) {
        uint8_t buf[NEEDED + 8];
        struct stun_out out;
        memset(buf, 0xEE, sizeof(buf));
        stun_out_begin(&out, buf, cap, stun_type(STUN_REFRESH, STUN_SUCCESS), tid);
        stun_out_attr(&out, STUN_SOFTWARE, bytes_of("abc"));
        assert_int_equal(stun_out_mi(&out, mac, bytes_of("key")), 0);
        assert_int_equal(stun_out_mi256(&out, mac, bytes_of("key")), 0);
        stun_out_fingerprint(&out);
        assert_int_equal(stun_out_end(&out), cap == NEEDED ? NEEDED : -ENOBUFS);
        for (size_t at = cap; at < sizeof(buf); at++) {
            assert_int_equal(buf[at], 0xEE);
        }
    }
    crypto_mac_free(mac);
}

/* The length field has 16 bits: what does not fit it is refused, not cut. */
static void out__refuses_more_than_the_length_can_say(void **state)
{
    static uint8_t buf[200000];
    static uint8_t value[70000];
    struct crypto_mac *mac = crypto_mac_new();
    struct stun_out out;

    (void)state;
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_attr(&out, STUN_DATA_ATTR, (struct bytes){value, 65536});
    assert_int_equal(stun_out_end(&out), -ENOBUFS);

    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_attr(&out, STUN_DATA_ATTR, (struct bytes){value, 65528}); /* the longest body */
    assert_int_equal(stun_out_end(&out), STUN_HEADER + 65532);

    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_attr(&out, STUN_DATA_ATTR, (struct bytes){value, 65500});
    assert_int_equal(stun_out_mi256(&out, mac, bytes_of("key")), 0);
    assert_int_equal(stun_out_end(&out), -ENOBUFS);

    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_DATA, STUN_INDICATION), tid);
    stun_out_attr(&out, STUN_DATA_ATTR, (struct bytes){value, 65528});
    stun_out_fingerprint(&out);
    assert_int_equal(stun_out_end(&out), -ENOBUFS);
    crypto_mac_free(mac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__gives_the_parts_of_a_message),
        cmocka_unit_test(type__puts_the_class_bits_where_the_rfc_has_them),
        cmocka_unit_test(type__survives_both_ways_for_all_values),
        cmocka_unit_test(parse__refuses_set_top_bits),
        cmocka_unit_test(parse__refuses_every_truncation),
        cmocka_unit_test(parse__refuses_another_cookie),
        cmocka_unit_test(parse__wants_the_length_of_the_datagram),
        cmocka_unit_test(walk__does_not_enter_values),
        cmocka_unit_test(walk__skips_padding_of_any_value),
        cmocka_unit_test(walk__never_runs_past_the_end),
        cmocka_unit_test(out__writes_what_the_walk_reads),
        cmocka_unit_test(out__u32_is_big_endian),
        cmocka_unit_test(out__into_too_small_a_buffer_fails_at_the_end),
        cmocka_unit_test(out__refuses_more_than_the_length_can_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
