/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/plan.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "log/log.h"
#include "relay/affinity.h"

enum {
    ALLOCATION_BYTES = 4096, /* of user space, generously: the limit set in tests/bench */
    SPARE_FDS = 64,          /* for everything but relay sockets */
};

static uint64_t fd_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

uint64_t plan_memory_bytes(void)
{
    struct sysinfo info;

    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

/* Each allocation takes one for its relay port, each connection one. */
static uint64_t fds_wanted(const struct plan *plan, uint64_t ports)
{
    const uint64_t relays = ports < plan->max_allocations ? ports : plan->max_allocations;

    return relays + plan->max_connections + SPARE_FDS;
}

static void log_descriptors(uint64_t fds, uint64_t wanted)
{
    log_event(LOG_WARNING, "server.descriptors_few", LOG_U64("descriptors", fds),
              LOG_U64("wanted", wanted),
              LOG_TEXT("effect", "no more allocations and connections than that: each takes one"),
              LOG_TEXT("advice", "raise LimitNOFILE (systemd) or the hard limit of ulimit -n"),
              LOG_END);
}

static void log_buffer(const struct plan *plan)
{
    log_event(LOG_WARNING, "listener.buffer_small", LOG_U64("asked_bytes", plan->buffer_asked),
              LOG_U64("granted_bytes", plan->buffer_granted),
              LOG_TEXT("effect", "bursts of packets are lost before the server sees them"),
              LOG_TEXT("advice", "set net.core.rmem_max and net.core.wmem_max (sysctl -w) to what "
                                 "is asked for, or give the server CAP_NET_ADMIN, or lower "
                                 "sock-buf-size"),
              LOG_END);
}

static void log_queues(uint32_t workers, uint32_t receive_cpus)
{
    log_event(LOG_INFO, "server.receive_queues_few", LOG_U64("workers", workers),
              LOG_U64("receive_cpus", receive_cpus),
              LOG_TEXT("effect", "packets come in on fewer CPUs than there are workers"),
              LOG_TEXT("advice",
                       "give the interface more queues (ethtool -L) or spread the one that "
                       "it has (rps_cpus): see tuning in the operations manual"),
              LOG_END);
}

void plan_log(const struct plan *plan)
{
    const uint64_t fds = fd_limit();
    const uint64_t ports = (uint64_t)plan->port_max - plan->port_min + 1;
    const uint32_t receive_cpus = affinity_receive_cpus("/sys/class/net");

    log_event(LOG_NOTICE, "server.plan", LOG_U64("workers", plan->workers),
              LOG_U64("max_allocations", plan->max_allocations),
              LOG_U64("max_connections", plan->max_connections),
              LOG_U64("memory_mib", (uint64_t)plan->max_allocations * ALLOCATION_BYTES >> 20),
              LOG_U64("ports_per_address", ports), LOG_U64("descriptors", fds), LOG_END);
    if (fds < fds_wanted(plan, ports)) {
        log_descriptors(fds, fds_wanted(plan, ports));
    }
    if (plan->buffer_granted < plan->buffer_asked) {
        log_buffer(plan);
    }
    if (receive_cpus > 0 && receive_cpus < plan->workers) {
        log_queues(plan->workers, receive_cpus);
    }
}
