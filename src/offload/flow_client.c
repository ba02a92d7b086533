/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the shield knows. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "base/net_addr.h"
#include "offload/flow.h"
#include "offload/flow_int.h"
#include "offload/shield_map.h"

static struct offload_client client_key(const struct net_addr *client,
                                        const struct net_addr *server)
{
    struct offload_client key = {
        .client_port = htons(client->port),
        .server_port = htons(server->port),
    };

    memcpy(key.client_ip, client->ip.b, sizeof(key.client_ip));
    memcpy(key.server_ip, server->ip.b, sizeof(key.server_ip));
    return key;
}

int flow_client_put(struct flow_table *table, const struct net_addr *client,
                    const struct net_addr *server)
{
    const struct offload_client key = client_key(client, server);
    const __u8 known = 1;

    if (table->maps.clients < 0) {
        return 0; /* nobody is a stranger */
    }
    const int err = bpf_map_update_elem(table->maps.clients, &key, &known, BPF_ANY);
    return err == -E2BIG ? -ENOSPC : err;
}

void flow_client_del(struct flow_table *table, const struct net_addr *client,
                     const struct net_addr *server)
{
    const struct offload_client key = client_key(client, server);

    if (table->maps.clients >= 0) {
        (void)bpf_map_delete_elem(table->maps.clients, &key);
    }
}
