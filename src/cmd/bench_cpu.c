/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_cpu.h"

#include <time.h>

static uint64_t read_ns(clockid_t clock, bool *ok)
{
    struct timespec ts = {.tv_sec = 0};

    *ok = clock_gettime(clock, &ts) == 0;
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

bool bench_cpu_of(const int *pids, uint32_t count, uint64_t *out)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        clockid_t clock;
        bool ok = false;
        if (clock_getcpuclockid(pids[i], &clock) == 0) {
            sum += read_ns(clock, &ok);
        }
        if (!ok) {
            return false;
        }
    }
    *out = sum;
    return true;
}

uint64_t bench_cpu_own(void)
{
    bool ok;

    return read_ns(CLOCK_PROCESS_CPUTIME_ID, &ok);
}
