/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page_axis.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

/* What every axis has to keep, whatever it was made of. */
static void assert_drawable(const struct bench_page_axis *axis)
{
    assert_true(isfinite(axis->from) && isfinite(axis->to) && axis->from < axis->to);
    assert_true(!axis->log || axis->from > 0);
    assert_in_range(axis->ticks, 2, BENCH_PAGE_TICKS);
    for (size_t i = 0; i < axis->ticks; i++) {
        const double place = bench_page_axis_place(axis, axis->tick[i].at);
        assert_true(place >= 0 && place <= 1);
        assert_int_not_equal(axis->tick[i].label.text[0], '\0');
        if (i > 0) { /* labels of six letters at most stand side by side */
            const double before = bench_page_axis_place(axis, axis->tick[i - 1].at);
            assert_true(place - before >= 1.0 / 12 - 1e-9);
            assert_string_not_equal(axis->tick[i].label.text, axis->tick[i - 1].label.text);
        }
    }
}

static const double odd[] = {0,
                             -1,
                             (double)NAN,
                             (double)INFINITY,
                             -(double)INFINITY,
                             DBL_MIN,
                             DBL_MAX,
                             1e-9,
                             0.3,
                             1,
                             1.01,
                             2,
                             3,
                             5,
                             9.99,
                             10,
                             11,
                             49,
                             99,
                             100,
                             101,
                             999,
                             1000,
                             86399,
                             86400,
                             1e6,
                             123456,
                             1e9,
                             1e12,
                             4.3e9,
                             1e15,
                             1e30,
                             5e-324};

static void amount__can_be_drawn_and_holds_its_maximum(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        const struct bench_page_axis axis = bench_page_axis_amount(odd[i], " %");
        assert_drawable(&axis);
        assert_true(!(odd[i] > 0 && odd[i] <= 1e15) || axis.to >= odd[i] * (1 - 1e-6));
    }
    const struct bench_page_axis axis = bench_page_axis_amount(48000, "");
    assert_int_equal(axis.ticks, 6);
    assert_string_equal(axis.tick[0].label.text, "0");
    assert_string_equal(axis.tick[5].label.text, "50k");
    assert_string_equal(bench_page_axis_amount(80, " %").tick[1].label.text, "20 %");
}

static void amount__of_whole_steps_ends_at_its_maximum(void **state)
{
    (void)state;
    for (int i = 1; i <= 1000; i++) {
        const struct bench_page_axis axis = bench_page_axis_amount(i * 100.0, "");
        assert_true(axis.to >= i * 100.0 - 1e-6);
        assert_true(axis.to <= i * 134.0 + 1e-6); /* most of the height is used */
    }
}

static void seconds__can_be_drawn_and_end_with_the_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        const struct bench_page_axis axis = bench_page_axis_seconds(odd[i]);
        assert_drawable(&axis);
        assert_true(!(odd[i] >= 0.2 && odd[i] <= 1e15) || axis.to == odd[i]);
    }
    assert_string_equal(bench_page_axis_seconds(10).tick[1].label.text, "1");
    assert_string_equal(bench_page_axis_seconds(3600).tick[1].label.text, "0:10:00");
}

static void delay__can_be_drawn_and_holds_both_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        for (size_t k = 0; k < COUNT_OF(odd); k++) {
            const struct bench_page_axis axis = bench_page_axis_delay(odd[i], odd[k]);
            assert_drawable(&axis);
            if (odd[i] >= 1 && odd[k] >= odd[i] && odd[k] <= 1e15) {
                assert_true(axis.from <= odd[i] * (1 + 1e-6) && axis.to >= odd[k] * (1 - 1e-6));
            }
        }
    }
    const struct bench_page_axis axis = bench_page_axis_delay(130, 4200);
    assert_true(axis.log);
    assert_string_equal(axis.tick[0].label.text, "100\xc2\xa0\xc2\xb5s");
    assert_string_equal(axis.tick[axis.ticks - 1].label.text, "5\xc2\xa0ms");
}

static void delay__of_one_value_has_room_on_both_sides(void **state)
{
    (void)state;
    const struct bench_page_axis axis = bench_page_axis_delay(100, 100);
    const double place = bench_page_axis_place(&axis, 100);
    assert_true(place > 0.1 && place < 0.9);
}

static void tail__has_a_step_for_each_nine(void **state)
{
    (void)state;
    for (unsigned nines = 0; nines < 9; nines++) {
        const struct bench_page_axis axis = bench_page_axis_tail(nines);
        assert_drawable(&axis);
    }
    const struct bench_page_axis axis = bench_page_axis_tail(3);
    assert_string_equal(axis.tick[axis.ticks - 1].label.text, "99.9 %");
    assert_true(bench_page_axis_place(&axis, 3) == 1);
}

static void place__keeps_to_the_picture(void **state)
{
    const struct bench_page_axis axis = bench_page_axis_delay(10, 1000);

    (void)state;
    assert_true(bench_page_axis_place(&axis, 0) == 0);
    assert_true(bench_page_axis_place(&axis, -5) == 0);
    assert_true(bench_page_axis_place(&axis, (double)INFINITY) == 1);
    assert_true(isnan(bench_page_axis_place(&axis, (double)NAN)));
    assert_true(fabs(bench_page_axis_place(&axis, 100) - 0.5) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amount__can_be_drawn_and_holds_its_maximum),
        cmocka_unit_test(amount__of_whole_steps_ends_at_its_maximum),
        cmocka_unit_test(seconds__can_be_drawn_and_end_with_the_run),
        cmocka_unit_test(delay__can_be_drawn_and_holds_both_ends),
        cmocka_unit_test(delay__of_one_value_has_room_on_both_sides),
        cmocka_unit_test(tail__has_a_step_for_each_nine),
        cmocka_unit_test(place__keeps_to_the_picture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
