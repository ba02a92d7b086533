/* SPDX-License-Identifier: Apache-2.0 */
/* The table of channels in a build without BPF: forward_new() fails, so nobody has one. */
#include <errno.h>
#include <stddef.h>

#include "offload/flow.h"

/* NOLINTNEXTLINE(readability-non-const-parameter): it is the contract's */
int flow_open(struct flow_table *table, const struct flow_spec *spec, uint32_t *out_handle)
{
    (void)table;
    (void)spec;
    (void)out_handle;
    return -ENOTSUP;
}

void flow_renew(struct flow_table *table, uint32_t handle, uint64_t to_peer_until_ms,
                uint64_t to_client_until_ms)
{
    (void)table;
    (void)handle;
    (void)to_peer_until_ms;
    (void)to_client_until_ms;
}

void flow_usage(const struct flow_table *table, uint32_t handle, struct flow_traffic *out)
{
    (void)table;
    (void)handle;
    *out = (struct flow_traffic){0};
}

void flow_close(struct flow_table *table, uint32_t handle, struct flow_traffic *last)
{
    (void)table;
    (void)handle;
    if (last != NULL) {
        *last = (struct flow_traffic){0};
    }
}

int flow_try(const struct flow_table *table)
{
    (void)table;
    return -ENOTSUP;
}

uint32_t flow_count(const struct flow_table *table)
{
    (void)table;
    return 0;
}

void flow_halt(struct flow_table *table)
{
    (void)table;
}

uint32_t flow_limit_open(struct flow_table *table, const struct bucket from[OFFLOAD_WAYS],
                         struct bucket **out)
{
    (void)table;
    (void)from;
    (void)out;
    return 0;
}

void flow_limit_close(struct flow_table *table, uint32_t limit)
{
    (void)table;
    (void)limit;
}

int flow_client_put(struct flow_table *table, const struct net_addr *client,
                    const struct net_addr *server)
{
    (void)table;
    (void)client;
    (void)server;
    return -ENOTSUP;
}

void flow_client_del(struct flow_table *table, const struct net_addr *client,
                     const struct net_addr *server)
{
    (void)table;
    (void)client;
    (void)server;
}
