/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"

#include <sys/prctl.h>
#include <time.h>

uint64_t clock_now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t clock_wall_s(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (uint64_t)ts.tv_sec;
}

void clock_pause_us(uint32_t us)
{
    const struct timespec ts = {.tv_nsec = (long)us * 1000};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL); /* a signal ends it early */
}

void clock_be_precise(void)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}
