/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dtls_record.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A record whose handshake message says what it likes. */
struct made {
    uint8_t bytes[128];
    uint32_t len;
};

static void put_24(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 16);
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)value;
}

static struct made make(uint8_t type, const void *body, uint32_t n)
{
    struct made m = {.bytes = {type, 0xfe, 0xfd}, .len = DTLS_RECORD_HEAD + n};

    m.bytes[12] = (uint8_t)n;
    memcpy(m.bytes + DTLS_RECORD_HEAD, body, n);
    return m;
}

static struct made make_message(uint8_t type, uint32_t len, uint32_t offset, uint32_t part,
                                uint32_t here)
{
    uint8_t body[100] = {type};

    put_24(body + 1, len);
    put_24(body + 6, offset);
    put_24(body + 9, part);
    for (uint32_t i = 0; i < here; i++) {
        body[12 + i] = (uint8_t)i;
    }
    return make(DTLS_HANDSHAKE, body, 12 + here);
}

static struct dtls_record read_back(const struct made *m)
{
    struct dtls_record r;

    assert_true(dtls_record_next(m->bytes, m->len, &r));
    return r;
}

static void record__is_whole_or_none(void **state)
{
    (void)state;
    struct made m = make(DTLS_APPLICATION, "payload", 7);
    struct dtls_record r = {0};

    for (uint32_t n = 0; n < m.len; n++) {
        uint8_t *exact = malloc(n + 1);
        memcpy(exact + 1, m.bytes, n); /* ends where the block ends */
        assert_false(dtls_record_next(exact + 1, n, &r));
        free(exact);
    }
    assert_null(r.data);
    m.bytes[3] = 1;
    m.bytes[4] = 2;
    assert_true(dtls_record_next(m.bytes, sizeof(m.bytes), &r));
    assert_ptr_equal(r.data, m.bytes);
    assert_int_equal(r.len, 20);
    assert_int_equal(r.type, DTLS_APPLICATION);
    assert_int_equal(r.epoch, 0x0102);
}

static void record__of_another_kind_is_none(void **state)
{
    (void)state;
    static uint8_t huge[DTLS_RECORD_HEAD + 65535] = {DTLS_APPLICATION, 0xfe, 0xfd};
    struct made m = make(DTLS_APPLICATION, "x", 1);
    struct dtls_record r;

    for (unsigned type = 0; type < 256; type++) {
        m.bytes[0] = (uint8_t)type;
        assert_int_equal(dtls_record_next(m.bytes, m.len, &r), type >= 20 && type <= 23);
    }
    m.bytes[0] = DTLS_APPLICATION;
    m.bytes[1] = 3; /* TLS */
    assert_false(dtls_record_next(m.bytes, m.len, &r));
    m.bytes[1] = 0xfe;
    m.bytes[12] = 0; /* empty */
    assert_false(dtls_record_next(m.bytes, m.len, &r));
    huge[11] = DTLS_RECORD_BODY_MAX >> 8;
    assert_true(dtls_record_next(huge, sizeof(huge), &r));
    huge[12] = 1;
    assert_false(dtls_record_next(huge, sizeof(huge), &r));
}

static void random__is_that_of_a_hello_in_the_clear(void **state)
{
    (void)state;
    struct made m = make_message(1, 40, 0, 40, 40);
    struct dtls_record r = read_back(&m);

    assert_ptr_equal(dtls_record_client_random(&r), m.bytes + DTLS_RECORD_HEAD + 12 + 2);
    r.epoch = 1;
    assert_null(dtls_record_client_random(&r));
    r = read_back(&m);
    r.type = DTLS_APPLICATION;
    assert_null(dtls_record_client_random(&r));

    m = make_message(16, 40, 0, 40, 40); /* another message */
    r = read_back(&m);
    assert_null(dtls_record_client_random(&r));
    m = make_message(1, 80, 40, 40, 40); /* a later part */
    r = read_back(&m);
    assert_null(dtls_record_client_random(&r));
    m = make_message(1, 40, 0, 33, 33); /* a byte short of it */
    r = read_back(&m);
    assert_null(dtls_record_client_random(&r));
    m = make_message(1, 40, 0, 40, 39); /* says more than there is */
    r = read_back(&m);
    assert_null(dtls_record_client_random(&r));
}

static bool fits(struct made m)
{
    const struct dtls_record r = read_back(&m);

    return dtls_record_fits_handshake(&r, 100);
}

static void handshake__takes_what_is_whole_and_small(void **state)
{
    (void)state;
    uint8_t two[26] = {14, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1, 7, 14, 0, 0, 1, 0, 3, 0, 0, 0, 0, 0, 1};

    assert_true(fits(make_message(16, 100, 0, 40, 40)));
    assert_false(fits(make_message(16, 101, 0, 40, 40)));
    assert_true(fits(make_message(16, 100, 60, 40, 40)));
    assert_false(fits(make_message(16, 100, 61, 40, 40)));
    assert_false(fits(make_message(16, 100, 0xffffff, 40, 40)));
    assert_false(fits(make_message(16, 100, 0, 41, 40)));
    assert_true(fits(make_message(14, 0, 0, 0, 0)));
    assert_true(fits(make(DTLS_HANDSHAKE, two, 26)));
    assert_false(fits(make(DTLS_HANDSHAKE, two, 25)));
    assert_false(fits(make(DTLS_HANDSHAKE, two, 14)));
    two[18] = 6; /* no handshake has so many messages */
    assert_false(fits(make(DTLS_HANDSHAKE, two, 26)));
}

static void handshake__takes_no_data_and_no_odd_alert(void **state)
{
    (void)state;
    assert_true(fits(make(DTLS_ALERT, "\x02\x28", 2)));
    assert_false(fits(make(DTLS_ALERT, "\x02", 1)));
    assert_false(fits(make(DTLS_ALERT, "\x02\x28\x00", 3)));
    assert_true(fits(make(DTLS_CHANGE_CIPHER_SPEC, "\x01", 1)));
    assert_false(fits(make(DTLS_CHANGE_CIPHER_SPEC, "\x02", 1)));
    assert_false(fits(make(DTLS_CHANGE_CIPHER_SPEC, "\x01\x01", 2)));
    assert_false(fits(make(DTLS_APPLICATION, "\x01", 1)));
    struct made m = make(DTLS_ALERT, "\x02\x28", 2);
    m.bytes[4] = 1; /* encrypted: not to be judged from outside */
    assert_false(fits(m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record__is_whole_or_none),
        cmocka_unit_test(record__of_another_kind_is_none),
        cmocka_unit_test(random__is_that_of_a_hello_in_the_clear),
        cmocka_unit_test(handshake__takes_what_is_whole_and_small),
        cmocka_unit_test(handshake__takes_no_data_and_no_odd_alert),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
