/* SPDX-License-Identifier: Apache-2.0 */
/* The page of a measurement: one HTML file that needs nothing else, no network and no script.
 *
 * It begins with what most readers want (throughput, loss, latency, CPU time a packet), shows the
 * run over time and the latencies as plots, and ends with every figure, the command line and the
 * machine.  Names and texts of the result may hold anything.  Figures of the headline are <data>
 * elements with an id and the exact value, for those who read the page by a program.
 *
 * Owner   cmd_bench(); nothing is kept.  Thread  one. */
#pragma once

#include <stddef.h>

#include "base/attr.h"

struct bench_result;

/* Write the page of `result` to the file `path`, which is replaced.  Returns 0; -ENOMEM, or the
 * negative errno of a file that cannot be opened or written, with a sentence for the user in `why`
 * (`cap` > 0 bytes, cut at need).  A file that was there before stays as it was unless writing
 * itself failed. */
MUST_USE int bench_report_write(const struct bench_result *result, const char *path, char *why,
                                size_t cap);
