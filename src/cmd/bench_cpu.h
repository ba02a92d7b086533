/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of processes.
 *
 * Owner   nobody.  Thread  any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* CPU time (user and system, all threads, ended ones included) of `count` processes or kernel
 * threads, in nanoseconds.  False, `*out` unchanged, when one of them is not there. */
MUST_USE bool bench_cpu_of(const int *pids, uint32_t count, uint64_t *out);

/* That of this process. */
uint64_t bench_cpu_own(void);
