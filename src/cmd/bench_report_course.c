/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_report_course.h"

#include <math.h>

/* A last second shorter than this would have a rate made of few packets. */
#define SECOND_MIN_S 0.5

static double rate(double amount, double seconds)
{
    return seconds > 0 ? amount / seconds : (double)NAN;
}

/* The highest of two, where NaN is less than anything and 0 (nothing was received) is NaN. */
static double higher(double value, uint64_t us)
{
    return us > 0 ? fmax(value, (double)us) : value;
}

/* The seconds first to last, seen as one, become point `at` of a direction. */
static void fold_flow(struct bench_report_flow *flow, size_t at, enum bench_way way,
                      const struct bench_second *first, const struct bench_second *last)
{
    double sent = 0, received = 0, lost = 0, seconds = 0, p50_sum = 0;

    flow->p99_us[at] = flow->max_us[at] = (double)NAN;
    for (const struct bench_second *second = first; second <= last; second++) {
        const struct bench_second_flow *from = &second->way[way];
        sent += (double)from->sent;
        received += (double)from->received;
        lost += (double)from->lost;
        seconds += second->length_s;
        p50_sum += (double)from->p50_us * (double)from->received;
        flow->p99_us[at] = higher(flow->p99_us[at], from->p99_us);
        flow->max_us[at] = higher(flow->max_us[at], from->max_us);
    }
    flow->sent[at] = rate(sent, seconds);
    flow->received[at] = rate(received, seconds);
    flow->lost[at] = rate(fmax(lost, 0), seconds);
    flow->p50_us[at] = received > 0 ? p50_sum / received : (double)NAN;
}

static void fold(struct bench_report_course *course, size_t at, const struct bench_second *first,
                 const struct bench_second *last)
{
    double cycles = 0, server = 0, own = 0, seconds = 0;

    for (const struct bench_second *second = first; second <= last; second++) {
        cycles += (double)second->cycles;
        server += second->server_cpu_s;
        own += second->own_cpu_s;
        seconds += second->length_s;
    }
    course->cycles[at] = rate(cycles, seconds);
    course->server_cpu[at] = 100 * rate(server, seconds);
    course->own_cpu[at] = 100 * rate(own, seconds);
    course->edge[at] = first->start_s;
    course->edge[at + 1] = last->start_s + last->length_s;
    course->x[at] = (course->edge[at] + course->edge[at + 1]) / 2;
    for (enum bench_way way = BENCH_UP; way < BENCH_WAYS; way++) {
        fold_flow(&course->way[way], at, way, first, last);
    }
}

void bench_report_course_fill(struct bench_report_course *course, const struct bench_result *result)
{
    const struct bench_second *const series = result->series;
    size_t count = result->series_count;

    if (count > 1 && series[count - 1].length_s < SECOND_MIN_S) {
        count--;
    }
    const size_t each = count == 0 ? 1 : (count + BENCH_REPORT_POINTS - 1) / BENCH_REPORT_POINTS;
    course->seconds_a_point = each;
    course->n = (count + each - 1) / each;
    for (size_t i = 0; i < course->n; i++) {
        const size_t last = i + 1 == course->n ? result->series_count - 1 : (i + 1) * each - 1;
        fold(course, i, &series[i * each], &series[last]);
    }
}

double bench_report_course_max(const double *value, size_t n)
{
    double max = 0;

    for (size_t i = 0; i < n; i++) {
        max = fmax(max, value[i]); /* which takes the number when the other is NaN */
    }
    return max;
}
