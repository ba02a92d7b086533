/* SPDX-License-Identifier: Apache-2.0 */
/* The result as JSON.  Times in seconds or, where the name ends so, in _us; rates a second.
 *
 * Owner   nobody.  Thread  one. */
#pragma once

#include <stdio.h>

#include "base/attr.h"

struct bench_result;

/* Write one object.  0; -ENOMEM; -EIO when `out` takes no more. */
MUST_USE int bench_json_write(const struct bench_result *result, FILE *out);
