/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LEN = 1024, MASK_FIRST = 1024, MASK_MOST = 1 << 20 };

/* --- quota ---------------------------------------------------------------------------------------
 */

/* One hierarchy of control groups that may limit CPU time, as /proc/self/cgroup names it:
 * "0::/path" of version 2, "4:cpu,cpuacct:/path" of version 1. */
struct hierarchy {
    const char *controllers; /* empty: version 2 */
    char *path;              /* of our group, from the root of the hierarchy */
};

/* Is "cpu" one of the names in `list`? */
static bool names_cpu(const char *list)
{
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Take a line apart, in place.  False when it is of no hierarchy that limits CPU time. */
static bool hierarchy_read(char *line, struct hierarchy *out)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

    if (path == NULL || path[1] != '/') {
        return false;
    }
    *path = '\0';
    *out = (struct hierarchy){controllers + 1, path + 1};
    return *out->controllers == '\0' ? strncmp(line, "0:", 2) == 0 : names_cpu(out->controllers);
}

/* The first line of folder/name; false without one. */
static bool first_line(const char *folder, const char *name, char *out, size_t cap)
{
    char full[3 * PATH_LEN];

    if (snprintf(full, sizeof(full), "%s/%s", folder, name) >= (int)sizeof(full)) {
        return false;
    }
    FILE *file = fopen(full, "re");
    if (file == NULL) {
        return false;
    }
    const bool got = fgets(out, (int)cap, file) != NULL;
    (void)fclose(file);
    return got;
}

/* CPUs that `quota` of each `period` microseconds is, rounded up; 0 when there is no limit. */
static uint32_t cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) {
        return 0;
    }
    const long long cpus = quota / period + (quota % period != 0 ? 1 : 0);
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

/* Version 2, cpu.max: "max 100000" or "150000 100000". */
static uint32_t group_quota_v2(const char *folder)
{
    char text[64];
    char *end;

    if (!first_line(folder, "cpu.max", text, sizeof(text))) {
        return 0;
    }
    const long long quota = strtoll(text, &end, 10); /* of "max": 0 */
    return cpus_of(quota, strtoll(end, NULL, 10));
}

/* Version 1: two files; a quota of -1 is none. */
static uint32_t group_quota_v1(const char *folder)
{
    char quota[64];
    char period[64];

    if (!first_line(folder, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !first_line(folder, "cpu.cfs_period_us", period, sizeof(period))) {
        return 0;
    }
    return cpus_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* The least quota from our group up to the root of the hierarchy that is mounted at root/mount. */
static uint32_t least_quota(const struct hierarchy *h, const char *root, const char *mount)
{
    char folder[2 * PATH_LEN];
    uint32_t least = 0;
    const int base = snprintf(folder, sizeof(folder), "%s%s", root, mount);

    if (base >= (int)sizeof(folder) || snprintf(folder + base, sizeof(folder) - (size_t)base, "%s",
                                                h->path) >= (int)sizeof(folder) - base) {
        return 0;
    }
    /* In a container our path may be the host's, which is not there: its root is our group then. */
    for (char *end = folder + strlen(folder); end != NULL; end = strrchr(folder + base, '/')) {
        *end = '\0';
        const bool v2 = *h->controllers == '\0';
        least = least_of(least, v2 ? group_quota_v2(folder) : group_quota_v1(folder));
    }
    return least;
}

static uint32_t hierarchy_quota(const struct hierarchy *h, const char *root)
{
    char mount[PATH_LEN];

    if (*h->controllers == '\0') {
        return least_of(least_quota(h, root, ""), least_quota(h, root, "/unified"));
    }
    if (snprintf(mount, sizeof(mount), "/%s", h->controllers) >= (int)sizeof(mount)) {
        return 0;
    }
    return least_of(least_quota(h, root, "/cpu"), least_quota(h, root, mount));
}

uint32_t cpus_quota(const char *self, const char *root)
{
    char line[PATH_LEN];
    struct hierarchy h;
    uint32_t least = 0;
    FILE *file = fopen(self, "re");

    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        if (hierarchy_read(line, &h)) {
            least = least_of(least, hierarchy_quota(&h, root));
        }
    }
    (void)fclose(file);
    return least;
}

/* --- affinity ------------------------------------------------------------------------------------
 */

/* The mask of the process, as long as the kernel's own: on hosts with more than 1,024 possible CPUs
 * a cpu_set_t is too short, and refused.  NULL when the system does not tell. */
static cpu_set_t *mask_read(size_t *out_cpus)
{
    for (size_t cpus = MASK_FIRST; cpus <= MASK_MOST; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (set == NULL) {
            return NULL;
        }
        CPU_ZERO_S(CPU_ALLOC_SIZE(cpus), set);
        /* Of the process: threads may have been pinned. */
        if (sched_getaffinity(getpid(), CPU_ALLOC_SIZE(cpus), set) == 0) {
            *out_cpus = cpus;
            return set;
        }
        const int err = errno;
        CPU_FREE(set);
        if (err != EINVAL) {
            return NULL;
        }
    }
    return NULL;
}

size_t cpus_allowed(unsigned *out, size_t cap)
{
    size_t cpus = 0;
    size_t count = 0;
    cpu_set_t *set = mask_read(&cpus);

    for (size_t i = 0; i < cpus; i++) {
        if (CPU_ISSET_S(i, CPU_ALLOC_SIZE(cpus), set)) {
            if (count < cap) {
                out[count] = (unsigned)i;
            }
            count++;
        }
    }
    CPU_FREE(set);
    return count;
}

uint32_t cpus_usable(void)
{
    const size_t allowed = cpus_allowed(NULL, 0);
    const uint32_t count = allowed > 0 ? (uint32_t)allowed : 1;
    const uint32_t quota = cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");

    return quota > 0 && quota < count ? quota : count;
}
