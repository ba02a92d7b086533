/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks of a running server; everything below relay/ gets their values passed in.  And
 * pauses too short for the loop.
 *
 * Owner   nobody.  Thread  any.  Clock  reads it: a call is some 25 ns and no system call. */
#pragma once

#include <stdint.h>

/* Monotonic milliseconds. */
uint64_t clock_now_ms(void);

/* Unix seconds. */
uint64_t clock_wall_s(void);

/* Sleep for `us` microseconds, less than a second. */
void clock_pause_us(uint32_t us);

/* Let the calling thread's timers end when they are due; Linux adds 50 us otherwise. */
void clock_be_precise(void);
