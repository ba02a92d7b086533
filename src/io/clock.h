/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks of a running server; everything below relay/ gets their values passed in.
 *
 * Owner   nobody.  Thread  any.  Clock  reads it: a call is some 25 ns and no system call. */
#pragma once

#include <stdint.h>

/* Monotonic milliseconds. */
uint64_t clock_now_ms(void);

/* Unix seconds. */
uint64_t clock_wall_s(void);
