/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report_spread.h"

#include <math.h>

struct bench_page_axis bench_report_spread_axis(const struct histogram *const *histogram, size_t n)
{
    double least = (double)INFINITY, most = 0;

    for (size_t i = 0; i < n; i++) {
        if (histogram[i] != NULL && histogram_count(histogram[i]) > 0) {
            least = fmin(least, (double)histogram_percentile(histogram[i], 0));
            most = fmax(most, (double)histogram_max_us(histogram[i]));
        }
    }
    return bench_page_axis_delay(fmax(least * (1 - 1.0 / (1 << HISTOGRAM_STEP_BITS)), 1), most + 1);
}

void bench_report_spread_edges(const struct bench_page_axis *axis,
                               double edge[BENCH_REPORT_BARS + 1])
{
    const double step = log(axis->to / axis->from) / BENCH_REPORT_BARS;

    for (int i = 0; i <= BENCH_REPORT_BARS; i++) {
        edge[i] = axis->from * exp(step * i);
    }
    edge[BENCH_REPORT_BARS] = axis->to;
}

/* How many durations lie below `us`, where those of one bucket are taken to be spread evenly over
 * it: bars are cut elsewhere than buckets, and would else be high and low in turn. */
static double count_below(const struct histogram *h, double us)
{
    if (us >= HISTOGRAM_MAX_US) {
        return (double)histogram_count(h);
    }
    const uint32_t whole = (uint32_t)us;
    const unsigned bits = whole == 0 ? 0 : 32 - (unsigned)__builtin_clz(whole);
    const unsigned shift = bits > HISTOGRAM_STEP_BITS + 1 ? bits - HISTOGRAM_STEP_BITS - 1 : 0;
    const uint64_t first = (uint64_t)(whole >> shift) << shift;
    const uint64_t width = UINT64_C(1) << shift;
    const uint64_t before = first == 0 ? 0 : histogram_count_to(h, first - 1);
    const uint64_t inside = histogram_count_to(h, first + width - 1) - before;

    return (double)before + (double)inside * (us - (double)first) / (double)width;
}

void bench_report_spread_bars(const struct histogram *h, const double edge[BENCH_REPORT_BARS + 1],
                              double percent[BENCH_REPORT_BARS])
{
    const double count = (double)histogram_count(h);
    double before = 0; /* what took no time at all belongs to the first bar */

    for (size_t i = 0; i < BENCH_REPORT_BARS; i++) {
        const double to = i + 1 == BENCH_REPORT_BARS ? count : count_below(h, edge[i + 1]);
        percent[i] = count > 0 ? 100 * (to - before) / count : 0;
        before = to;
    }
}

unsigned bench_report_spread_nines(uint64_t count)
{
    unsigned nines = 0;

    for (uint64_t left = count; left >= 10 && nines < BENCH_REPORT_NINES; left /= 10) {
        nines++;
    }
    return nines == 0 ? 1 : nines;
}

double bench_report_spread_tail(const struct histogram *h, double x)
{
    const uint64_t count = histogram_count(h);
    const double above = (double)count * pow(10, -x); /* how many may take longer */

    if (count == 0 || (x > 0 && above < 1 - 1e-9)) {
        return (double)NAN;
    }
    const uint64_t allowed = (uint64_t)(above + 1e-9);
    const uint64_t rank = allowed >= count ? 1 : count - allowed;
    uint64_t low = 0, high = HISTOGRAM_MAX_US;
    while (low < high) { /* the least duration that `rank` of them do not exceed */
        const uint64_t middle = low + (high - low) / 2;
        if (histogram_count_to(h, middle) >= rank) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return fmin((double)high, (double)histogram_max_us(h));
}
