/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_LEN = 1024 };

/* The path of our group in the unified hierarchy: the line "0::/path". */
static bool group_path(const char *self, char *out, size_t cap)
{
    char line[PATH_LEN + 8];
    bool found = false;
    FILE *file = fopen(self, "re");

    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            found = snprintf(out, cap, "%s", line + 3) < (int)cap;
        }
    }
    (void)fclose(file);
    return found;
}

/* One cpu.max: "max 100000" or "150000 100000".  0 without a quota. */
static uint32_t group_quota(const char *root, const char *path)
{
    char name[2 * PATH_LEN];
    char text[64];
    char *end;

    (void)snprintf(name, sizeof(name), "%s%s/cpu.max", root, path);
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return 0;
    }
    const bool got = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    if (!got) {
        return 0;
    }
    const unsigned long quota = strtoul(text, &end, 10);
    const unsigned long period = strtoul(end, NULL, 10);
    if (quota == 0 || period == 0) {
        return 0; /* "max" */
    }
    const unsigned long cpus = quota / period + (quota % period != 0 ? 1 : 0);
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

uint32_t cpus_quota(const char *self, const char *root)
{
    char path[PATH_LEN];
    uint32_t least = 0;

    if (!group_path(self, path, sizeof(path))) {
        return 0;
    }
    for (char *slash = path + strlen(path); slash != NULL; slash = strrchr(path, '/')) {
        *slash = '\0'; /* the group itself first, then its parents up to the root */
        const uint32_t quota = group_quota(root, path);
        if (quota > 0 && (least == 0 || quota < least)) {
            least = quota;
        }
    }
    return least;
}

uint32_t cpus_usable(void)
{
    cpu_set_t set;
    uint32_t count = 1;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        count = (uint32_t)CPU_COUNT(&set);
    }
    const uint32_t quota = cpus_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota > 0 && quota < count ? quota : count;
}
