/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stun_code.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static const uint8_t tid[STUN_TID] = {1, 2, 3};

static const enum stun_code codes[] = {
    STUN_TRY_ALTERNATE,       STUN_BAD_REQUEST,           STUN_UNAUTHENTICATED,
    STUN_FORBIDDEN,           STUN_MOBILITY_FORBIDDEN,    STUN_UNKNOWN_ATTRIBUTE,
    STUN_ALLOCATION_MISMATCH, STUN_STALE_NONCE,           STUN_FAMILY_NOT_SUPPORTED,
    STUN_WRONG_CREDENTIALS,   STUN_UNSUPPORTED_TRANSPORT, STUN_PEER_FAMILY_MISMATCH,
    STUN_CONNECTION_EXISTS,   STUN_CONNECTION_FAILED,     STUN_QUOTA_REACHED,
    STUN_SERVER_ERROR,        STUN_INSUFFICIENT_CAPACITY,
};

/* The one attribute of a message in `buf`. */
static struct stun_attr only_attr(struct stun_out *out)
{
    struct stun_msg msg;
    struct stun_attr attr;
    const int len = stun_out_end(out);

    assert_true(len > 0);
    assert_int_equal(stun_msg_parse((struct bytes){out->w.p, (size_t)len}, &msg), 0);
    assert_int_equal(stun_attr_next(&msg.body, &attr), 1);
    assert_int_equal(msg.body.n, 0);
    return attr;
}

static struct stun_attr error_attr(uint8_t *buf, size_t cap, enum stun_code code,
                                   const char *reason)
{
    struct stun_out out;

    stun_out_begin(&out, buf, cap, stun_type(STUN_ALLOCATE, STUN_ERROR), tid);
    stun_out_error(&out, code, reason);
    return only_attr(&out);
}

/* Proves T-8489-14.8-01 */
static void error__has_zero_bits_class_and_number(void **state)
{
    uint8_t buf[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        const char *phrase = stun_code_phrase(codes[i]);
        const struct stun_attr attr = error_attr(buf, sizeof(buf), codes[i], phrase);
        assert_int_equal(attr.type, STUN_ERROR_CODE);
        assert_int_equal(be16(attr.value.p), 0);
        assert_int_equal(attr.value.p[2], (unsigned)codes[i] / 100);
        assert_int_equal(attr.value.p[3], (unsigned)codes[i] % 100);
        assert_int_equal(attr.value.n, 4 + strlen(phrase));
        assert_memory_equal(attr.value.p + 4, phrase, strlen(phrase));
        assert_int_equal(stun_code_decode(attr.value), codes[i]);
    }
}

/* Proves T-8489-14.8-02 */
static void error__cuts_a_reason_at_127_bytes(void **state)
{
    char reason[300];
    uint8_t buf[512];

    (void)state;
    memset(reason, 'x', sizeof(reason));
    reason[sizeof(reason) - 1] = '\0';
    struct stun_attr attr = error_attr(buf, sizeof(buf), STUN_BAD_REQUEST, reason);
    assert_int_equal(attr.value.n, 4 + 127);
    attr = error_attr(buf, sizeof(buf), STUN_BAD_REQUEST, "");
    assert_int_equal(attr.value.n, 4);
}

/* Proves T-8489-6.3.1.1-02 */
static void phrase__is_known_for_every_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        assert_string_not_equal(stun_code_phrase(codes[i]), "Error");
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(stun_code_phrase(codes[i]), stun_code_phrase(codes[j]));
        }
    }
    assert_string_equal(stun_code_phrase(STUN_UNAUTHENTICATED), "Unauthenticated");
    assert_string_equal(stun_code_phrase(STUN_INSUFFICIENT_CAPACITY), "Insufficient Capacity");
    assert_string_equal(stun_code_phrase((enum stun_code)499), "Error");
}

/* Proves T-8656-18.12-01 */
static void address_error__names_the_family(void **state)
{
    static const uint8_t head[] = {2, 0, 4, 40};
    struct stun_out out;
    uint8_t buf[256];

    (void)state;
    stun_out_begin(&out, buf, sizeof(buf), stun_type(STUN_ALLOCATE, STUN_SUCCESS), tid);
    stun_out_address_error(&out, 2, STUN_FAMILY_NOT_SUPPORTED);
    const struct stun_attr attr = only_attr(&out);
    assert_int_equal(attr.type, STUN_ADDRESS_ERROR_CODE);
    assert_memory_equal(attr.value.p, head, sizeof(head));
    assert_true(attr.value.n > 4 && attr.value.n < 4 + 128);
}

static void decode__takes_classes_3_to_6_and_numbers_to_99(void **state)
{
    (void)state;
    for (unsigned class = 0; class < 256; class ++) {
        for (unsigned number = 0; number < 256; number++) {
            /* the 21 bits before the class are ignored */
            const uint8_t value[] = {0xFF, 0xFF, (uint8_t) class, (uint8_t)number, 'x'};
            const int code = (int)((class & 7) * 100 + number);
            const bool good = (class & 7) >= 3 && (class & 7) <= 6 && number <= 99;
            assert_int_equal(stun_code_decode((struct bytes){value, sizeof(value)}),
                             good ? code : -EBADMSG);
        }
    }
    for (size_t n = 0; n < 4; n++) {
        static const uint8_t value[] = {0, 0, 4, 1};
        assert_int_equal(stun_code_decode((struct bytes){value, n}), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error__has_zero_bits_class_and_number),
        cmocka_unit_test(error__cuts_a_reason_at_127_bytes),
        cmocka_unit_test(phrase__is_known_for_every_code),
        cmocka_unit_test(address_error__names_the_family),
        cmocka_unit_test(decode__takes_classes_3_to_6_and_numbers_to_99),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
