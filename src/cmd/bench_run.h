/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of `sterna bench`: clients and peers in one loop.
 *
 * Owner   the caller.  Thread  one. */
#pragma once

#include "base/attr.h"

struct bench_plan;
struct bench_result;

/* Told once a second of the load, when result->series has grown; NULL: nobody. */
typedef void (*bench_run_fn)(const struct bench_result *result);

/* Allocate, load, measure, release, as `plan` says.  `result` is what the caller has begun (zeroes,
 * and result->setup a copy of the plan's); it is filled, whatever happens, and released with
 * bench_result_fini().  result->ok and result->why tell how it went.  SIGINT and SIGTERM end the
 * load early.  Takes as long as the plan says, and some seconds. */
void bench_run(const struct bench_plan *plan, struct bench_result *result, bench_run_fn progress);
