/* SPDX-License-Identifier: Apache-2.0 */
/* What a measured server costs: CPU time of its processes and of the kernel threads that work for
 * its interfaces, over a span of time.
 *
 * Owner   one load generator.  Thread  one. */
#pragma once

#include <stdint.h>

enum { METER_PIDS = 32 };

struct meter {
    int pids[METER_PIDS]; /* the server's processes and threads of the kernel */
    int pid_count;
    int own[METER_PIDS]; /* threads of the kernel that work for this generator */
    int own_count;
    double start_s;
    double start_cpu_s;
    double start_other_s;
    double start_process_s;
    double start_cpu0_s;
};

struct meter_reading {
    double seconds;
    double cpu_s;     /* of the server */
    double process_s; /* of the first of its processes alone */
    double cpu0_s;    /* that CPU 0 was not idle, by the kernel's clock of idle time */
    double strangers; /* share of one CPU that neither server nor generator took */
};

/* `a` for each `b`; 0 when there was no `b`. */
static inline double meter_per(double a, double b)
{
    return b > 0 ? a / b : 0;
}

uint64_t meter_now_ns(void);
uint64_t meter_now_ms(void);

/* Nanoseconds on a CPU of all tasks of `count` processes: exact, softirq work in their context
 * included. */
uint64_t meter_cpu_ns(const int *pids, int count);

/* Begin a span; read it at its end. */
void meter_start(struct meter *m);
struct meter_reading meter_read(const struct meter *m);
