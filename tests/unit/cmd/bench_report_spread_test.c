/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report_spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static struct histogram h;
static double edge[BENCH_REPORT_BARS + 1];
static double percent[BENCH_REPORT_BARS];

static int empty(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    return 0;
}

static struct bench_page_axis axis_of_h(void)
{
    const struct histogram *const all[] = {NULL, &h};

    return bench_report_spread_axis(all, COUNT_OF(all));
}

static double sum_of_bars(void)
{
    const struct bench_page_axis axis = axis_of_h();
    double sum = 0;

    bench_report_spread_edges(&axis, edge);
    assert_true(edge[0] == axis.from && edge[BENCH_REPORT_BARS] == axis.to);
    bench_report_spread_bars(&h, edge, percent);
    for (size_t i = 0; i < BENCH_REPORT_BARS; i++) {
        assert_true(edge[i] < edge[i + 1]);
        assert_true(percent[i] >= 0);
        sum += percent[i];
    }
    return sum;
}

static void bars__hold_every_packet(void **state)
{
    static const uint64_t values[] = {0,    1,     31,    32,      33,        100,
                                      1000, 65535, 65536, 4000000, UINT32_MAX};

    (void)state;
    assert_true(sum_of_bars() == 0);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        histogram_add(&h, values[i]);
        assert_true(fabs(sum_of_bars() - 100) < 1e-9);
    }
}

static void bars__stand_where_their_packets_are(void **state)
{
    size_t high = 0;

    (void)state;
    for (unsigned i = 0; i < 900; i++) {
        histogram_add(&h, 200);
    }
    for (unsigned i = 0; i < 100; i++) {
        histogram_add(&h, 9000);
    }
    sum_of_bars();
    for (size_t i = 0; i < BENCH_REPORT_BARS; i++) {
        const bool near =
            (edge[i + 1] > 200 && edge[i] < 204) || (edge[i + 1] > 8960 && edge[i] < 9216);
        high += percent[i] > 0;
        assert_true(near || percent[i] < 1e-9);
    }
    assert_in_range(high, 2, 4);
}

static void tail__is_what_the_percentiles_are(void **state)
{
    static const struct {
        double x;
        unsigned per_10000;
    } shares[] = {{0.3010299956639812, 5000}, {1, 9000}, {2, 9900}, {3, 9990}, {4, 9999}};

    (void)state;
    srand(4);
    for (unsigned i = 0; i < 20000; i++) {
        histogram_add(&h, (uint64_t)(rand() % 1000) * (uint64_t)(rand() % 1000));
    }
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        assert_true(bench_report_spread_tail(&h, shares[i].x) ==
                    (double)histogram_percentile(&h, shares[i].per_10000));
    }
    assert_true(bench_report_spread_tail(&h, 0) == (double)histogram_percentile(&h, 0));
}

static void tail__ends_where_packets_are_too_few(void **state)
{
    (void)state;
    assert_true(isnan(bench_report_spread_tail(&h, 0)));
    histogram_add(&h, 0);
    assert_true(bench_report_spread_tail(&h, 0) == 0);
    assert_true(isnan(bench_report_spread_tail(&h, 1)));
    for (unsigned i = 1; i < 10; i++) {
        histogram_add(&h, i);
    }
    assert_true(bench_report_spread_tail(&h, 1) == 8);
    assert_true(isnan(bench_report_spread_tail(&h, 1.05)));
}

static void nines__are_those_of_the_count(void **state)
{
    (void)state;
    assert_int_equal(bench_report_spread_nines(0), 1);
    assert_int_equal(bench_report_spread_nines(99), 1);
    assert_int_equal(bench_report_spread_nines(100), 2);
    assert_int_equal(bench_report_spread_nines(100000), 5);
    assert_int_equal(bench_report_spread_nines(UINT64_MAX), BENCH_REPORT_NINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bars__hold_every_packet, empty),
        cmocka_unit_test_setup(bars__stand_where_their_packets_are, empty),
        cmocka_unit_test_setup(tail__is_what_the_percentiles_are, empty),
        cmocka_unit_test_setup(tail__ends_where_packets_are_too_few, empty),
        cmocka_unit_test_setup(nines__are_those_of_the_count, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
