/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPU a worker runs on, and on how many CPUs packets come in.
 *
 * Owner   nobody.  Thread  any, unless it says otherwise. */
#pragma once

#include <stdint.h>

#include "base/attr.h"

/* The CPU of worker `worker`: the workers go round the CPUs that this process may use.  CPU 0 when
 * the system does not tell which those are. */
unsigned affinity_cpu_of(unsigned worker);

/* Pin the calling thread to the CPU of worker `worker`.  Returns 0 with `*out_cpu`; negative errno,
 * the thread runs wherever it did before.  Thread: the worker's own. */
MUST_USE int affinity_pin(unsigned worker, unsigned *out_cpu);

/* On how many CPUs packets that come in can be handled at once: the most that one network interface
 * of this host spreads them over, by its receive queues or, within a queue, by RPS.  0 when there
 * is none, or the system does not tell.  `root` is /sys/class/net outside of tests. */
uint32_t affinity_receive_cpus(const char *root);
