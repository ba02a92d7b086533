/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t meter_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t meter_now_ms(void)
{
    return meter_now_ns() / 1000000U;
}

static uint64_t task_ns(int pid, const char *task)
{
    char path[300];
    unsigned long long ns = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, task);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%llu", &ns) != 1) {
        ns = 0;
    }
    (void)fclose(f);
    return ns;
}

uint64_t meter_cpu_ns(const int *pids, int count)
{
    uint64_t sum = 0;

    for (int i = 0; i < count; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/proc/%d/task", pids[i]);
        DIR *dir = opendir(path);
        const struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            if (entry->d_name[0] != '.') {
                sum += task_ns(pids[i], entry->d_name);
            }
        }
        if (dir != NULL) {
            (void)closedir(dir);
        }
    }
    return sum;
}

/* Seconds that the machine's CPUs have been idle. */
static double idle_s(void)
{
    unsigned long long idle = 0;
    unsigned long long iowait = 0;
    FILE *f = fopen("/proc/stat", "r");

    if (f == NULL || fscanf(f, "cpu %*u %*u %*u %llu %llu", &idle, &iowait) != 2) {
        idle = 0;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return (double)(idle + iowait) / (double)sysconf(_SC_CLK_TCK);
}

/* CPU time that somebody else has taken; only differences mean anything. */
static double other_s(const struct meter *m, double now_s, double cpu_s)
{
    const uint64_t own_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + meter_cpu_ns(m->own, m->own_count);
    const double own_s = (double)own_ns / 1e9;

    return now_s * (double)sysconf(_SC_NPROCESSORS_ONLN) - idle_s() - cpu_s - own_s;
}

/* Seconds that CPU 0 has not been idle; only differences mean anything. */
static double cpu0_s(double now_s)
{
    unsigned long long idle = 0;
    unsigned long long iowait = 0;
    FILE *f = fopen("/proc/stat", "r");

    if (f == NULL || fscanf(f, "cpu %*[^\n] cpu0 %*u %*u %*u %llu %llu", &idle, &iowait) != 2) {
        idle = 0;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return now_s - (double)(idle + iowait) / (double)sysconf(_SC_CLK_TCK);
}

static double process_s(const struct meter *m)
{
    return (double)meter_cpu_ns(m->pids, m->pid_count > 0 ? 1 : 0) / 1e9;
}

void meter_start(struct meter *m)
{
    m->start_process_s = process_s(m);
    m->start_cpu0_s = cpu0_s((double)meter_now_ns() / 1e9);
    m->start_s = (double)meter_now_ns() / 1e9;
    m->start_cpu_s = (double)meter_cpu_ns(m->pids, m->pid_count) / 1e9;
    m->start_other_s = other_s(m, m->start_s, m->start_cpu_s);
}

struct meter_reading meter_read(const struct meter *m)
{
    const double now_s = (double)meter_now_ns() / 1e9;
    const double cpu_s = (double)meter_cpu_ns(m->pids, m->pid_count) / 1e9;
    const double seconds = now_s - m->start_s;

    return (struct meter_reading){
        .seconds = seconds,
        .cpu_s = cpu_s - m->start_cpu_s,
        .process_s = process_s(m) - m->start_process_s,
        .cpu0_s = cpu0_s(now_s) - m->start_cpu0_s,
        .strangers = (other_s(m, now_s, cpu_s) - m->start_other_s) / seconds,
    };
}
