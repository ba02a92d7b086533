/* SPDX-License-Identifier: Apache-2.0 */
/* Steering in a build without BPF: there is none, so nobody has a struct steer. */
#include <errno.h>
#include <stdio.h>

#include "offload/steer.h"

int steer_new(const struct steer_options *options, struct steer **out, char *why, size_t cap)
{
    (void)options;
    (void)out;
    (void)snprintf(why, cap, "this build has no BPF (option offload)");
    return -ENOTSUP;
}

void steer_free(struct steer *steer)
{
    (void)steer;
}

int steer_attach(struct steer *steer, uint32_t group, const int *fds, uint32_t count)
{
    (void)steer;
    (void)group;
    (void)fds;
    (void)count;
    return -ENOTSUP;
}

int steer_put(struct steer *steer, const struct net_addr *client, const struct net_addr *server,
              uint32_t socket)
{
    (void)steer;
    (void)client;
    (void)server;
    (void)socket;
    return -ENOTSUP;
}

void steer_del(struct steer *steer, const struct net_addr *client, const struct net_addr *server)
{
    (void)steer;
    (void)client;
    (void)server;
}

uint32_t steer_flows(const struct steer *steer)
{
    (void)steer;
    return 0;
}

int steer_by_cpu(struct steer *steer, const uint32_t *socket_of_cpu, uint32_t cpus)
{
    (void)steer;
    (void)socket_of_cpu;
    (void)cpus;
    return -ENOTSUP;
}
