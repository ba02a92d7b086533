/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/affinity.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "relay/cpus.h"

enum {
    CPUS_MAX = 1024, /* workers are at most as many (relay-threads) */
    PATH_LEN = 512,
    /* Longest line of hexadecimal digits and commas that a mask of CPUs is. */
    MASK_TEXT = 4096,
};

/* --- workers -------------------------------------------------------------------------------------
 */

unsigned affinity_cpu_of(unsigned worker)
{
    unsigned list[CPUS_MAX];
    size_t count = cpus_allowed(list, CPUS_MAX);

    if (count == 0) {
        return 0;
    }
    if (count > CPUS_MAX) {
        count = CPUS_MAX;
    }
    return list[worker % count];
}

int affinity_pin(unsigned worker, unsigned *out_cpu)
{
    const unsigned cpu = affinity_cpu_of(worker);
    cpu_set_t *set = CPU_ALLOC((size_t)cpu + 1);
    const size_t bytes = CPU_ALLOC_SIZE((size_t)cpu + 1);

    if (set == NULL) {
        return -ENOMEM;
    }
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    const int err = sched_setaffinity(0, bytes, set) < 0 ? -errno : 0;
    CPU_FREE(set);
    if (err == 0) {
        *out_cpu = cpu;
    }
    return err;
}

/* --- interfaces ----------------------------------------------------------------------------------
 */

/* CPUs in the mask of a queue's rps_cpus ("ff", "00000000,0000000f"); 0 when it is not set. */
static uint32_t mask_count(const char *queue)
{
    static const uint8_t bits[] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    static const char digits[] = "0123456789abcdef";
    char name[2 * PATH_LEN];
    char text[MASK_TEXT] = "";
    uint32_t count = 0;

    if (snprintf(name, sizeof(name), "%s/rps_cpus", queue) >= (int)sizeof(name)) {
        return 0;
    }
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return 0;
    }
    const bool got = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    for (const char *at = text; got && *at != '\0' && *at != '\n'; at++) {
        const char *digit = strchr(digits, *at);
        count += digit != NULL ? bits[digit - digits] : 0;
    }
    return count;
}

/* An interface without a cable receives nothing; those that cannot tell ("unknown") may. */
static bool is_down(const char *root, const char *interface)
{
    char name[2 * PATH_LEN];
    char text[16] = "";

    if (snprintf(name, sizeof(name), "%s/%s/operstate", root, interface) >= (int)sizeof(name)) {
        return false;
    }
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return false;
    }
    const bool got = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    return got && strcmp(text, "down\n") == 0;
}

/* What one interface spreads packets over. */
static uint32_t interface_cpus(const char *root, const char *interface)
{
    char folder[PATH_LEN];
    char queue[PATH_LEN + sizeof(((struct dirent *)NULL)->d_name) + 1];
    uint32_t cpus = 0;

    if (snprintf(folder, sizeof(folder), "%s/%s/queues", root, interface) >= (int)sizeof(folder)) {
        return 0;
    }
    DIR *queues = opendir(folder);
    if (queues == NULL) {
        return 0;
    }
    for (const struct dirent *one = readdir(queues); one != NULL; one = readdir(queues)) {
        if (strncmp(one->d_name, "rx-", 3) == 0) {
            (void)snprintf(queue, sizeof(queue), "%s/%s", folder, one->d_name);
            const uint32_t steered = mask_count(queue);
            cpus += steered > 0 ? steered : 1;
        }
    }
    (void)closedir(queues);
    return cpus;
}

uint32_t affinity_receive_cpus(const char *root)
{
    uint32_t most = 0;
    DIR *interfaces = opendir(root);

    if (interfaces == NULL) {
        return 0;
    }
    for (const struct dirent *one = readdir(interfaces); one != NULL; one = readdir(interfaces)) {
        if (one->d_name[0] != '.' && strcmp(one->d_name, "lo") != 0 &&
            !is_down(root, one->d_name)) {
            const uint32_t cpus = interface_cpus(root, one->d_name);
            most = cpus > most ? cpus : most;
        }
    }
    (void)closedir(interfaces);
    return most;
}
