/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/plan.h"

#include <sys/resource.h>

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

void plan_log(const struct plan *plan)
{
    const uint64_t fds = fd_limit();
    const uint64_t ports = (uint64_t)plan->port_max - plan->port_min + 1;

    log_event(LOG_NOTICE, "server.plan", LOG_U64("workers", plan->workers),
              LOG_U64("max_allocations", plan->max_allocations),
              LOG_U64("memory_mib", (uint64_t)plan->max_allocations * ALLOCATION_BYTES >> 20),
              LOG_U64("ports_per_address", ports), LOG_U64("descriptors", fds), LOG_END);
    if (fds < (ports < plan->max_allocations ? ports : plan->max_allocations) + SPARE_FDS) {
        log_event(LOG_WARNING, "server.descriptors_few", LOG_U64("descriptors", fds),
                  LOG_TEXT("effect", "no more allocations than that; one takes a descriptor"),
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
