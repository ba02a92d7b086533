/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs this process may really use.
 *
 * Owner   nobody.  Thread  any. */
#pragma once

#include <stdint.h>

/* The CPUs of the affinity mask, but not more than the quota of the control group and its parents
 * (cgroup v2, cpu.max) pays for; at least 1. */
uint32_t cpus_usable(void);

/* The quota alone, rounded up; 0 when there is none.  `self` is /proc/self/cgroup and `root`
 * /sys/fs/cgroup outside of tests. */
uint32_t cpus_quota(const char *self, const char *root);
