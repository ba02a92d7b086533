/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_flow.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static struct bench_flow flow;
static int64_t gap;

static int setup(void **state)
{
    (void)state;
    memset(&flow, 0, sizeof(flow));
    gap = 0;
    return 0;
}

static enum bench_arrival arrive(uint32_t seq)
{
    const struct bench_stamp stamp = {.seq = seq, .sent_ns = seq * UINT64_C(1000)};

    return bench_flow_arrive(&flow, &stamp, seq * UINT64_C(1000) + 500, &gap);
}

static void stamp__what_is_written_is_read(void **state)
{
    const struct bench_stamp in = {0xdeadbeef, 7, UINT32_MAX - 1, UINT64_C(0x0102030405060708)};
    struct bench_stamp out;
    uint8_t bytes[BENCH_STAMP];

    (void)state;
    bench_flow_stamp(bytes, &in);
    assert_int_equal(bench_flow_read((struct bytes){bytes, sizeof(bytes)}, &out), 0);
    assert_int_equal(out.run, in.run);
    assert_int_equal(out.flow, in.flow);
    assert_int_equal(out.seq, in.seq);
    assert_int_equal(out.sent_ns, in.sent_ns);
}

static void stamp__every_truncation_is_refused(void **state)
{
    uint8_t bytes[BENCH_STAMP] = {0};
    struct bench_stamp out;

    (void)state;
    for (size_t n = 0; n < sizeof(bytes); n++) {
        assert_int_equal(bench_flow_read((struct bytes){bytes, n}, &out), -EBADMSG);
    }
}

static void arrivals__in_order_are_new_and_leave_no_gap(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < 1000; seq++) {
        assert_int_equal(arrive(seq), BENCH_NEW);
        assert_int_equal(gap, 0);
    }
}

static void arrivals__a_missing_one_is_a_gap_until_it_comes(void **state)
{
    (void)state;
    assert_int_equal(arrive(0), BENCH_NEW);
    assert_int_equal(arrive(3), BENCH_NEW);
    assert_int_equal(gap, 2);
    assert_int_equal(arrive(1), BENCH_LATE);
    assert_int_equal(gap, 1);
    assert_int_equal(arrive(2), BENCH_LATE);
    assert_int_equal(gap, 0);
}

static void arrivals__the_first_may_be_any(void **state)
{
    (void)state;
    assert_int_equal(arrive(5000), BENCH_NEW);
    assert_int_equal(gap, 5000);
    assert_int_equal(arrive(5000), BENCH_AGAIN);
    assert_int_equal(gap, 5000);
}

static void arrivals__duplicates_are_told_within_the_window(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < 2 * BENCH_FLOW_WINDOW; seq++) {
        assert_int_equal(arrive(seq), BENCH_NEW);
    }
    for (uint32_t seq = BENCH_FLOW_WINDOW; seq < 2 * BENCH_FLOW_WINDOW; seq++) {
        assert_int_equal(arrive(seq), BENCH_AGAIN);
    }
    assert_int_equal(gap, 0);
}

static void arrivals__what_left_the_window_is_late(void **state)
{
    (void)state;
    assert_int_equal(arrive(0), BENCH_NEW);
    assert_int_equal(arrive(BENCH_FLOW_WINDOW), BENCH_NEW);
    assert_int_equal(arrive(0), BENCH_LATE);
}

/* A long pause must not make numbers of the last round look as if they had been seen. */
static void arrivals__a_jump_clears_the_window(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < BENCH_FLOW_WINDOW; seq++) {
        assert_int_equal(arrive(seq), BENCH_NEW);
    }
    assert_int_equal(arrive(10 * BENCH_FLOW_WINDOW), BENCH_NEW);
    for (uint32_t k = 1; k < BENCH_FLOW_WINDOW; k++) {
        assert_int_equal(arrive(10 * BENCH_FLOW_WINDOW - k), BENCH_LATE);
    }
    assert_int_equal(gap, 9 * BENCH_FLOW_WINDOW - (BENCH_FLOW_WINDOW - 1));
}

static void jitter__is_none_when_all_take_the_same_time(void **state)
{
    (void)state;
    for (uint32_t seq = 0; seq < 100; seq++) {
        (void)arrive(seq);
    }
    assert_true(flow.jitter_us < 1e-9);
}

/* RFC 3550 section 6.4.1: J += (|D| - J) / 16. */
static void jitter__follows_the_rfc(void **state)
{
    struct bench_stamp stamp = {.seq = 0, .sent_ns = 1000000};

    (void)state;
    (void)bench_flow_arrive(&flow, &stamp, 1000000 + 10000, &gap);
    stamp = (struct bench_stamp){.seq = 1, .sent_ns = 2000000};
    (void)bench_flow_arrive(&flow, &stamp, 2000000 + 26000, &gap);
    assert_true(flow.jitter_us > 0.999 && flow.jitter_us < 1.001); /* 16 us / 16 */
    stamp = (struct bench_stamp){.seq = 2, .sent_ns = 3000000};
    (void)bench_flow_arrive(&flow, &stamp, 3000000 + 26000, &gap);
    assert_true(flow.jitter_us > 0.936 && flow.jitter_us < 0.939); /* 1 - 1/16 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamp__what_is_written_is_read),
        cmocka_unit_test(stamp__every_truncation_is_refused),
        cmocka_unit_test_setup(arrivals__in_order_are_new_and_leave_no_gap, setup),
        cmocka_unit_test_setup(arrivals__a_missing_one_is_a_gap_until_it_comes, setup),
        cmocka_unit_test_setup(arrivals__the_first_may_be_any, setup),
        cmocka_unit_test_setup(arrivals__duplicates_are_told_within_the_window, setup),
        cmocka_unit_test_setup(arrivals__what_left_the_window_is_late, setup),
        cmocka_unit_test_setup(arrivals__a_jump_clears_the_window, setup),
        cmocka_unit_test_setup(jitter__is_none_when_all_take_the_same_time, setup),
        cmocka_unit_test_setup(jitter__follows_the_rfc, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
