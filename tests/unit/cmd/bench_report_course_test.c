/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report_course.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"

static struct bench_result *result;
static struct bench_report_course *course;

static int setup(void **state)
{
    (void)state;
    result = mem_new(1, sizeof(*result));
    course = mem_new(1, sizeof(*course));
    return result == NULL || course == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_result_fini(result);
    free(result);
    free(course);
    return 0;
}

/* Seconds that sent 100 packets up each; second i has a p50 of i + 1 and a p99 of 10 (i + 1). */
static void fold(size_t count)
{
    free(result->series);
    result->series = mem_new(count + 1, sizeof(result->series[0]));
    assert_non_null(result->series);
    result->series_count = count;
    for (size_t i = 0; i < count; i++) {
        result->series[i] = (struct bench_second){.start_s = (double)i,
                                                  .length_s = 1,
                                                  .cycles = 7,
                                                  .server_cpu_s = 0.25,
                                                  .way[BENCH_UP] = {.sent = 100,
                                                                    .received = 90,
                                                                    .lost = 10,
                                                                    .p50_us = i + 1,
                                                                    .p99_us = 10 * (i + 1),
                                                                    .max_us = 20 * (i + 1)}};
    }
    bench_report_course_fill(course, result);
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-6)) {
        print_error("%g is not %g\n", value, expected);
    }
    assert_true(fabs(value - expected) < 1e-6);
}

static void fill__of_nothing_has_no_point(void **state)
{
    (void)state;
    fold(0);
    assert_int_equal(course->n, 0);
    assert_near(bench_report_course_max(course->cycles, course->n), 0);
}

static void fill__has_a_point_for_each_second(void **state)
{
    const struct bench_report_flow *up = &course->way[BENCH_UP];

    (void)state;
    fold(BENCH_REPORT_POINTS);
    assert_int_equal(course->n, BENCH_REPORT_POINTS);
    assert_int_equal(course->seconds_a_point, 1);
    assert_near(course->edge[0], 0);
    assert_near(course->edge[course->n], BENCH_REPORT_POINTS);
    assert_near(course->x[2], 2.5);
    assert_near(up->sent[2], 100);
    assert_near(up->received[2], 90);
    assert_near(up->lost[2], 10);
    assert_near(up->p50_us[2], 3);
    assert_near(up->p99_us[2], 30);
    assert_near(up->max_us[2], 60);
    assert_near(course->cycles[2], 7);
    assert_near(course->server_cpu[2], 25);
}

static void fill__folds_a_long_run(void **state)
{
    const struct bench_report_flow *up = &course->way[BENCH_UP];

    (void)state;
    fold(BENCH_REPORT_POINTS + 1);
    assert_int_equal(course->seconds_a_point, 2);
    assert_int_equal(course->n, BENCH_REPORT_POINTS / 2 + 1);
    assert_near(course->edge[course->n], BENCH_REPORT_POINTS + 1);
    assert_near(up->sent[1], 100); /* still packets a second */
    assert_near(up->p50_us[1], 3.5);
    assert_near(up->p99_us[1], 40); /* of the worse one */
    fold(86400);
    assert_int_equal(course->n, BENCH_REPORT_POINTS);
    assert_near(course->edge[course->n], 86400);
}

static void fill__weighs_medians_by_packets(void **state)
{
    (void)state;
    fold(2 * BENCH_REPORT_POINTS);
    result->series[0].way[BENCH_UP].received = 30; /* p50 of 1 us; the next, 90 with 2 us */
    bench_report_course_fill(course, result);
    assert_near(course->way[BENCH_UP].p50_us[0], 1.75);
}

static void fill__joins_a_short_last_second(void **state)
{
    (void)state;
    fold(3);
    result->series[2].length_s = 0.2;
    result->series[2].way[BENCH_UP].sent = 20;
    bench_report_course_fill(course, result);
    assert_int_equal(course->n, 2);
    assert_near(course->edge[2], 2.2);
    assert_near(course->way[BENCH_UP].sent[1], 100);
    result->series[2].length_s = 0.6;
    bench_report_course_fill(course, result);
    assert_int_equal(course->n, 3);
}

static void fill__keeps_the_only_second(void **state)
{
    (void)state;
    fold(1);
    result->series[0].length_s = 0.1;
    bench_report_course_fill(course, result);
    assert_int_equal(course->n, 1);
    assert_near(course->way[BENCH_UP].sent[0], 1000);
}

static void fill__leaves_gaps_where_nothing_came(void **state)
{
    const struct bench_report_flow *up = &course->way[BENCH_UP];

    (void)state;
    fold(3);
    result->series[1].way[BENCH_UP] = (struct bench_second_flow){.lost = -5};
    result->series[2].length_s = 0;
    result->series[2].start_s = 2;
    bench_report_course_fill(course, result);
    assert_near(up->received[1] * 0, 0); /* which NaN would not be */
    fold(3);
    result->series[1].way[BENCH_UP] = (struct bench_second_flow){.lost = -5};
    bench_report_course_fill(course, result);
    assert_true(isnan(up->p50_us[1]) && isnan(up->p99_us[1]) && isnan(up->max_us[1]));
    assert_near(up->received[1], 0);
    assert_near(up->lost[1], 0); /* late packets that closed gaps are no negative loss */
    assert_near(bench_report_course_max(up->p99_us, course->n), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill__of_nothing_has_no_point),
        cmocka_unit_test(fill__has_a_point_for_each_second),
        cmocka_unit_test(fill__folds_a_long_run),
        cmocka_unit_test(fill__weighs_medians_by_packets),
        cmocka_unit_test(fill__joins_a_short_last_second),
        cmocka_unit_test(fill__keeps_the_only_second),
        cmocka_unit_test(fill__leaves_gaps_where_nothing_came),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
