/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <errno.h>

#include "check.h"

static void take__splits_a_view(void **state)
{
    static const uint8_t raw[] = {1, 2, 3, 4, 5};
    struct bytes rest = {raw, sizeof(raw)};
    struct bytes out;

    (void)state;
    assert_int_equal(bytes_take(&rest, 2, &out), 0);
    assert_ptr_equal(out.p, raw);
    assert_int_equal(out.n, 2);
    assert_ptr_equal(rest.p, raw + 2);
    assert_int_equal(rest.n, 3);
    assert_int_equal(bytes_take(&rest, 3, &out), 0);
    assert_int_equal(rest.n, 0);
}

static void take__leaves_all_unchanged_when_too_few_are_left(void **state)
{
    static const uint8_t raw[] = {1, 2, 3};
    struct bytes rest = {raw, sizeof(raw)};
    struct bytes out = {raw + 1, 1};

    (void)state;
    assert_int_equal(bytes_take(&rest, 4, &out), -EBADMSG);
    assert_int_equal(bytes_take(&rest, SIZE_MAX, &out), -EBADMSG);
    assert_ptr_equal(rest.p, raw);
    assert_int_equal(rest.n, 3);
    assert_ptr_equal(out.p, raw + 1);
    assert_int_equal(out.n, 1);
}

static void take__takes_nothing_from_nothing(void **state)
{
    struct bytes rest = {NULL, 0};
    struct bytes out = {(const uint8_t *)"x", 1};

    (void)state;
    assert_int_equal(bytes_take(&rest, 0, &out), 0);
    assert_int_equal(out.n, 0);
    assert_int_equal(bytes_take(&rest, 1, &out), -EBADMSG);
}

static void equal__compares_length_and_content(void **state)
{
    const struct bytes nothing = {NULL, 0};

    (void)state;
    assert_true(bytes_equal(bytes_of("abc"), bytes_of("abc")));
    assert_false(bytes_equal(bytes_of("abc"), bytes_of("abd")));
    assert_false(bytes_equal(bytes_of("abc"), bytes_of("ab")));
    assert_true(bytes_equal(nothing, bytes_of("")));
    assert_false(bytes_equal(nothing, bytes_of("a")));
}

static void be__loads_what_it_stored_at_any_alignment(void **state)
{
    uint8_t raw[16];

    (void)state;
    for (size_t at = 0; at < 8; at++) {
        be16_put(raw + at, 0xFEDC);
        assert_int_equal(raw[at], 0xFE);
        assert_int_equal(raw[at + 1], 0xDC);
        assert_int_equal(be16(raw + at), 0xFEDC);
        be32_put(raw + at, 0xFEDCBA98U);
        assert_int_equal(raw[at + 3], 0x98);
        assert_int_equal(be32(raw + at), 0xFEDCBA98U);
        be64_put(raw + at, UINT64_C(0xFEDCBA9876543210));
        assert_int_equal(raw[at], 0xFE);
        assert_int_equal(raw[at + 7], 0x10);
        assert_true(be64(raw + at) == UINT64_C(0xFEDCBA9876543210));
    }
}

static void writer__writes_each_kind_in_order(void **state)
{
    static const uint8_t expected[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A,
                                       0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 'h',  'i',  0,    0,    'x'};
    uint8_t raw[sizeof(expected)];
    struct writer w = writer_over(raw, sizeof(raw));

    (void)state;
    writer_u8(&w, 1);
    writer_be16(&w, 0x0203);
    writer_be32(&w, 0x04050607);
    writer_be64(&w, UINT64_C(0x08090A0B0C0D0E0F));
    writer_put(&w, "hi", 2);
    writer_zero(&w, 2);
    writer_bytes(&w, bytes_of("x"));
    assert_false(w.full);
    assert_int_equal(w.len, sizeof(expected));
    assert_memory_equal(raw, expected, sizeof(expected));
    writer_bytes(&w, (struct bytes){NULL, 0}); /* nothing fits everywhere */
    assert_false(w.full);
}

static void writer__ignores_all_after_the_first_that_does_not_fit(void **state)
{
    uint8_t raw[4] = {0xEE, 0xEE, 0xEE, 0xEE};
    struct writer w = writer_over(raw, 3);

    (void)state;
    writer_u8(&w, 1);
    writer_be32(&w, 2);
    assert_true(w.full);
    writer_u8(&w, 3); /* would fit, but would hide the hole */
    assert_null(writer_room(&w, 1));
    assert_int_equal(w.len, 1);
    assert_int_equal(raw[0], 1);
    assert_int_equal(raw[1], 0xEE);
    assert_int_equal(raw[3], 0xEE);
}

static void writer__survives_sizes_that_would_overflow(void **state)
{
    uint8_t raw[8];
    struct writer w = writer_over(raw, sizeof(raw));

    (void)state;
    writer_u8(&w, 1);
    assert_null(writer_room(&w, SIZE_MAX));
    assert_true(w.full);
    assert_int_equal(w.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__splits_a_view),
        cmocka_unit_test(take__leaves_all_unchanged_when_too_few_are_left),
        cmocka_unit_test(take__takes_nothing_from_nothing),
        cmocka_unit_test(equal__compares_length_and_content),
        cmocka_unit_test(be__loads_what_it_stored_at_any_alignment),
        cmocka_unit_test(writer__writes_each_kind_in_order),
        cmocka_unit_test(writer__ignores_all_after_the_first_that_does_not_fit),
        cmocka_unit_test(writer__survives_sizes_that_would_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
