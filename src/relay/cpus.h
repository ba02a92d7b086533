/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs this process may really use.
 *
 * Owner   nobody.  Thread  any. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The CPUs of the affinity mask, but not more than the quota of the control group and its parents
 * (cpu.max of version 2, cpu.cfs_quota_us of version 1) pays for; at least 1. */
uint32_t cpus_usable(void);

/* The quota alone, rounded up; 0 when there is none.  `self` is /proc/self/cgroup and `root`
 * /sys/fs/cgroup outside of tests. */
uint32_t cpus_quota(const char *self, const char *root);

/* The numbers of the CPUs of this process' affinity mask, ascending, at most `cap` of them into
 * `out`.  Returns how many the mask has; 0 when the system does not tell. */
size_t cpus_allowed(unsigned *out, size_t cap);
