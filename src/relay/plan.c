/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/plan.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "log/log.h"

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

void plan_log(const struct plan *plan)
{
    const uint64_t fds = fd_limit();
    const uint64_t ports = (uint64_t)plan->port_max - plan->port_min + 1;

    log_event(LOG_NOTICE, "server.plan", LOG_U64("workers", plan->workers),
              LOG_U64("max_allocations", plan->max_allocations),
              LOG_U64("max_connections", plan->max_connections),
              LOG_U64("memory_mib", (uint64_t)plan->max_allocations * ALLOCATION_BYTES >> 20),
              LOG_U64("ports_per_address", ports), LOG_U64("descriptors", fds), LOG_END);
    if (fds < fds_wanted(plan, ports)) {
        log_event(
            LOG_WARNING, "server.descriptors_few", LOG_U64("descriptors", fds),
            LOG_U64("wanted", fds_wanted(plan, ports)),
            LOG_TEXT("effect", "no more allocations and connections than that: each takes one"),
            LOG_TEXT("advice", "raise LimitNOFILE (systemd) or the hard limit of ulimit -n"),
            LOG_END);
    }
    if (plan->buffer_granted < plan->buffer_asked) {
        log_event(LOG_WARNING, "listener.buffer_small", LOG_U64("asked_bytes", plan->buffer_asked),
                  LOG_U64("granted_bytes", plan->buffer_granted),
                  LOG_TEXT("advice", "raise net.core.rmem_max and net.core.wmem_max, or lower "
                                     "sock-buf-size"),
                  LOG_END);
    }
}
