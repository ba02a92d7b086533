/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/mirror.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/net_addr.h"
#include "offload/flow.h"
#include "relay/external.h"
#include "relay/interfaces.h"
#include "turn/turn_server.h"

struct mirror {
    struct flow_table *flows;
    const struct external_map *external;
    struct flow_traffic *told; /* by handle: what the core knows of */
    _Atomic uint32_t rules;
    _Atomic uint64_t refused;
    _Atomic int error;
    pthread_mutex_t lock; /* of the addresses: taken when a channel is bound, not for packets */
    size_t own_count;
    struct net_ip *own;
};

int mirror_new(struct flow_table *flows, const struct external_map *external, uint32_t max_channels,
               struct mirror **out)
{
    struct mirror *m = mem_new(1, sizeof(*m));

    if (m == NULL) {
        return -ENOMEM;
    }
    m->told = mem_new((size_t)max_channels + 1, sizeof(*m->told)); /* handles begin with 1 */
    if (m->told == NULL) {
        free(m);
        return -ENOMEM;
    }
    m->flows = flows;
    m->external = external;
    (void)pthread_mutex_init(&m->lock, NULL);
    *out = m;
    return 0;
}

void mirror_free(struct mirror *m)
{
    if (m == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&m->lock);
    free(m->own);
    free(m->told);
    free(m);
}

/* --- own addresses -------------------------------------------------------------------------------
 */

int mirror_set_own(struct mirror *m, const struct interfaces *own)
{
    struct net_ip *now = mem_new(own->count + 1, sizeof(*now));

    if (now == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < own->count; i++) {
        now[i] = own->items[i].ip;
    }
    (void)pthread_mutex_lock(&m->lock);
    struct net_ip *was = m->own;
    m->own = now;
    m->own_count = own->count;
    (void)pthread_mutex_unlock(&m->lock);
    free(was);
    return 0;
}

static bool is_own(struct mirror *m, const struct net_ip *ip)
{
    bool found = false;

    (void)pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->own_count && !found; i++) {
        found = net_ip_equal(&m->own[i], ip);
    }
    (void)pthread_mutex_unlock(&m->lock);
    return found;
}

/* --- rules ---------------------------------------------------------------------------------------
 */

/* The number first: whoever sees the new epoch in flow_open() sees the new number afterwards. */
void mirror_halt(struct mirror *m)
{
    (void)atomic_fetch_add_explicit(&m->rules, 1, memory_order_release);
    flow_halt(m->flows);
}

uint32_t mirror_rules(const struct mirror *m)
{
    return atomic_load_explicit(&m->rules, memory_order_acquire);
}

struct mirror_numbers mirror_read(const struct mirror *m)
{
    return (struct mirror_numbers){
        .open = flow_count(m->flows),
        .refused = atomic_load_explicit(&m->refused, memory_order_relaxed),
        .error = atomic_load_explicit(&m->error, memory_order_relaxed),
    };
}

/* --- channels ------------------------------------------------------------------------------------
 */

/* As its packets go over the wire: path_to_peer() translates likewise. */
static struct flow_spec spec_of(struct mirror *m, const struct turn_flow *flow)
{
    struct flow_spec spec = {
        .client = flow->client,
        .server = flow->server,
        .relay = flow->relay,
        .peer = flow->peer,
        .number = flow->number,
        .limit = flow->limit,
        .to_peer_until_ms = flow->to_peer_until_ms,
        .to_client_until_ms = flow->to_client_until_ms,
    };

    external_to_private(m->external, &spec.peer);
    spec.to_relay = is_own(m, &spec.peer.ip);
    return spec;
}

uint32_t mirror_open(struct mirror *m, uint32_t rules, const struct turn_flow *flow)
{
    const struct flow_spec spec = spec_of(m, flow);
    uint32_t handle;

    if (rules != mirror_rules(m)) {
        return 0;
    }
    const int err = flow_open(m->flows, &spec, &handle);
    if (err < 0) {
        atomic_store_explicit(&m->error, err, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
        return 0;
    }
    if (rules !=
        mirror_rules(m)) { /* they have changed meanwhile, and it may be of the new epoch */
        flow_close(m->flows, handle, NULL);
        return 0;
    }
    m->told[handle] = (struct flow_traffic){.packets = {0}};
    return handle;
}

void mirror_renew(struct mirror *m, uint32_t rules, uint32_t handle, uint64_t to_peer_until_ms,
                  uint64_t to_client_until_ms)
{
    if (rules == mirror_rules(m)) {
        flow_renew(m->flows, handle, to_peer_until_ms, to_client_until_ms);
    }
    if (rules != mirror_rules(m)) { /* it stays switched off, whatever the epoch is */
        flow_renew(m->flows, handle, 0, 0);
    }
}

static void tell(struct flow_traffic *told, const struct flow_traffic *now,
                 struct turn_traffic *out)
{
    *out = (struct turn_traffic){
        .to_peer_packets = now->packets[OFFLOAD_TO_PEER] - told->packets[OFFLOAD_TO_PEER],
        .to_peer_bytes = now->bytes[OFFLOAD_TO_PEER] - told->bytes[OFFLOAD_TO_PEER],
        .to_client_packets = now->packets[OFFLOAD_TO_CLIENT] - told->packets[OFFLOAD_TO_CLIENT],
        .to_client_bytes = now->bytes[OFFLOAD_TO_CLIENT] - told->bytes[OFFLOAD_TO_CLIENT],
    };
    *told = *now;
}

void mirror_usage(struct mirror *m, uint32_t handle, struct turn_traffic *out)
{
    struct flow_traffic now;

    flow_usage(m->flows, handle, &now);
    tell(&m->told[handle], &now, out);
}

void mirror_close(struct mirror *m, uint32_t handle, struct turn_traffic *out)
{
    struct flow_traffic told = m->told[handle]; /* another worker may have the handle next */
    struct flow_traffic last;

    flow_close(m->flows, handle, &last);
    tell(&told, &last, out);
}

uint32_t mirror_limit_open(struct mirror *m, const struct bucket from[2], struct bucket **out)
{
    return flow_limit_open(m->flows, from, out);
}

void mirror_limit_close(struct mirror *m, uint32_t handle)
{
    flow_limit_close(m->flows, handle);
}
