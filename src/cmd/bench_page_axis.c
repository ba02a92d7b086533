/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_page_axis.h"

#include <math.h>

#include "base/attr.h"

#define GAP (1.0 / 12)

static const double one_two_five[] = {1, 2, 5};
static const double steps_of_amounts[] = {1, 2, 2.5, 5}; /* finer: less of the height is empty */

/* Values that the powers and quotients below stay exact enough for, and their labels apart. */
#define AMOUNT_MIN  1e-3
#define SECONDS_MIN 0.2
#define DELAY_MIN   1.0
#define GREATEST    1e15

static bool is_above_zero(double value)
{
    return isfinite(value) && value > 0;
}

/* `value`, made `least` to GREATEST. */
static double bounded(double value, double least)
{
    return fmin(fmax(value, least), GREATEST);
}

/* Label a place, unless it lies outside or too near to the label before. */
static void add_tick(struct bench_page_axis *axis, double at, struct bench_page_figure label)
{
    const double slack = (axis->to - axis->from) * 1e-9;

    if (axis->ticks == BENCH_PAGE_TICKS || at < axis->from - slack || at > axis->to + slack) {
        return;
    }
    if (axis->ticks > 0) {
        const double before = bench_page_axis_place(axis, axis->tick[axis->ticks - 1].at);
        if (bench_page_axis_place(axis, at) - before < GAP) {
            return;
        }
    }
    axis->tick[axis->ticks++] = (struct bench_page_tick){at, label};
}

/* The least of the `n` steps, times a power of ten, that is not below `value` > 0. */
static double round_up(double value, const double *steps, size_t n)
{
    const double decade = pow(10, floor(log10(value)));

    for (size_t i = 0; i < n; i++) {
        if (decade * steps[i] >= value * (1 - 1e-9)) {
            return decade * steps[i];
        }
    }
    return decade * 10;
}

static double delay_up(double us)
{
    return round_up(us, one_two_five, ARRAY_SIZE(one_two_five));
}

static double delay_down(double us)
{
    const double decade = pow(10, floor(log10(us)));

    for (size_t i = ARRAY_SIZE(one_two_five); i-- > 1;) {
        if (decade * one_two_five[i] <= us * (1 + 1e-9)) {
            return decade * one_two_five[i];
        }
    }
    return decade;
}

struct bench_page_axis bench_page_axis_amount(double max, const char *unit)
{
    enum { STEPS = 5 };

    const double top = is_above_zero(max) ? bounded(max, AMOUNT_MIN) : 1;
    const double step = round_up(top / STEPS, steps_of_amounts, ARRAY_SIZE(steps_of_amounts));
    struct bench_page_axis axis = {.from = 0, .to = step * ceil(top / step * (1 - 1e-9))};

    for (unsigned i = 0; i <= STEPS; i++) {
        struct bench_page_figure label = bench_page_short(step * i);
        struct bench_page_figure whole = {""};
        snprintf(whole.text, sizeof(whole.text), "%.16s%.8s", label.text, unit);
        add_tick(&axis, step * i, whole);
    }
    return axis;
}

/* A time of a run: 45 s, 2:30 (minutes and seconds), 1:15 h. */
static struct bench_page_figure moment(double seconds, double step)
{
    struct bench_page_figure figure;
    const unsigned long whole = (unsigned long)seconds;

    if (step < 1) {
        snprintf(figure.text, sizeof(figure.text), "%.1f", seconds);
    } else if (step < 60) {
        snprintf(figure.text, sizeof(figure.text), "%lu", whole);
    } else {
        snprintf(figure.text, sizeof(figure.text), "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60,
                 whole % 60);
    }
    return figure;
}

struct bench_page_axis bench_page_axis_seconds(double seconds)
{
    static const double steps[] = {0.1, 0.2, 0.5, 1,   2,    5,    10,   20,   30,
                                   60,  120, 300, 600, 1200, 1800, 3600, 7200, 14400};

    enum { TICKS_MAX = 10 };
    struct bench_page_axis axis = {
        .from = 0, .to = is_above_zero(seconds) ? bounded(seconds, SECONDS_MIN) : 1};
    double step = steps[0];

    for (size_t i = 0; i < ARRAY_SIZE(steps) && axis.to / step > TICKS_MAX; i++) {
        step = steps[i];
    }
    while (axis.to / step > TICKS_MAX) { /* longer than 40 hours */
        step *= 2;
    }
    for (unsigned i = 0; i <= TICKS_MAX; i++) {
        add_tick(&axis, step * i, moment(step * i, step));
    }
    return axis;
}

struct bench_page_axis bench_page_axis_delay(double min_us, double max_us)
{
    const double low = is_above_zero(min_us) ? bounded(min_us, DELAY_MIN) : DELAY_MIN;
    const double high = is_above_zero(max_us) && max_us > low ? bounded(max_us, low) : low;
    struct bench_page_axis axis = {.log = true, .from = delay_down(low), .to = delay_up(high)};

    if (axis.to < axis.from * 4) { /* one value, or nearly: room on both sides */
        axis.from = delay_down(axis.from * 0.9);
        axis.to = delay_up(axis.to * 1.1);
    }
    /* Beyond three decades only the powers of ten are labelled. */
    const size_t labels = axis.to / axis.from > 1001 ? 1 : ARRAY_SIZE(one_two_five);
    const int last = (int)floor(log10(axis.to) + 1e-9);
    for (int power = (int)floor(log10(axis.from) + 1e-9); power <= last; power++) {
        for (size_t i = 0; i < labels; i++) {
            const double at = pow(10, power) * one_two_five[i];
            add_tick(&axis, at, bench_page_short_time(at));
        }
    }
    return axis;
}

struct bench_page_axis bench_page_axis_tail(unsigned nines)
{
    static const struct {
        double at;
        struct bench_page_figure label;
    } places[] = {
        {0, {"0 %"}},    {0.30103, {"50 %"}}, {1, {"90 %"}},     {2, {"99 %"}},
        {3, {"99.9 %"}}, {4, {"99.99 %"}},    {5, {"99.999 %"}}, {6, {"99.9999 %"}},
    };
    struct bench_page_axis axis = {.from = 0, .to = nines < 1 ? 1 : nines > 6 ? 6 : nines};

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        add_tick(&axis, places[i].at, places[i].label);
    }
    return axis;
}

double bench_page_axis_place(const struct bench_page_axis *axis, double value)
{
    double place;

    if (isnan(value)) {
        return value;
    }
    if (axis->log) {
        place = value <= axis->from ? 0 : log(value / axis->from) / log(axis->to / axis->from);
    } else {
        place = (value - axis->from) / (axis->to - axis->from);
    }
    return place < 0 ? 0 : place > 1 ? 1 : place;
}
