/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/mirror.h"

#include <errno.h>
#include <netinet/in.h>
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

/* A channel that was handed over. */
struct handed {
    struct flow_traffic told; /* what the core knows of */
    struct net_ip server;     /* the addresses of this host that it uses */
    struct net_ip relay;
};

struct ip_list {
    size_t count;
    struct net_ip *items;
};

struct mirror {
    struct flow_table *flows;
    const struct external_map *external;
    struct handed *handed; /* by handle */
    _Atomic uint32_t rules;
    _Atomic uint64_t refused;
    _Atomic int error;
    pthread_mutex_t lock; /* of the addresses: taken when a channel is bound, not for packets */
    struct ip_list own;
    struct ip_list lost;       /* were own ones, and are no more */
    _Atomic size_t lost_count; /* mostly 0, and then nobody takes the lock for it */
};

int mirror_new(struct flow_table *flows, const struct external_map *external, uint32_t max_channels,
               struct mirror **out)
{
    struct mirror *m = mem_new(1, sizeof(*m));

    if (m == NULL) {
        return -ENOMEM;
    }
    m->handed = mem_new((size_t)max_channels + 1, sizeof(*m->handed)); /* handles begin with 1 */
    if (m->handed == NULL) {
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
    free(m->own.items);
    free(m->lost.items);
    free(m->handed);
    free(m);
}

/* --- own addresses -------------------------------------------------------------------------------
 */

static bool has_ip(const struct ip_list *list, const struct net_ip *ip)
{
    for (size_t i = 0; i < list->count; i++) {
        if (net_ip_equal(&list->items[i], ip)) {
            return true;
        }
    }
    return false;
}

/* Those of `from` that are in neither of the other two. */
static void add_lost(const struct ip_list *from, const struct ip_list *now, struct ip_list *lost)
{
    for (size_t i = 0; i < from->count; i++) {
        if (!has_ip(now, &from->items[i]) && !has_ip(lost, &from->items[i])) {
            lost->items[lost->count++] = from->items[i];
        }
    }
}

/* Only the control thread changes the lists, so it reads them without the lock. */
static void put_lists(struct mirror *m, const struct ip_list *own, const struct ip_list *lost)
{
    struct net_ip *const before[] = {m->own.items, m->lost.items};

    (void)pthread_mutex_lock(&m->lock);
    m->own = *own;
    m->lost = *lost;
    (void)pthread_mutex_unlock(&m->lock);
    atomic_store_explicit(&m->lost_count, lost->count, memory_order_release);
    free(before[0]);
    free(before[1]);
}

int mirror_set_own(struct mirror *m, const struct interfaces *own)
{
    struct ip_list now = {.items = mem_new(own->count + 1, sizeof(*now.items))};
    struct ip_list lost = {
        .items = mem_new(m->own.count + m->lost.count + 1, sizeof(*lost.items)),
    };

    if (now.items == NULL || lost.items == NULL) {
        free(now.items);
        free(lost.items);
        return -ENOMEM;
    }
    for (size_t i = 0; i < own->count; i++) {
        now.items[now.count++] = own->items[i].ip;
    }
    add_lost(&m->lost, &now, &lost);
    add_lost(&m->own, &now, &lost);
    put_lists(m, &now, &lost);
    return 0;
}

static bool is_in(struct mirror *m, const struct ip_list *list, const struct net_ip *ip)
{
    (void)pthread_mutex_lock(&m->lock);
    const bool found = has_ip(list, ip);
    (void)pthread_mutex_unlock(&m->lock);
    return found;
}

/* Nothing comes from there over a network: the stack drops what says so (RFC 1812 section 5.3.7).
 */
static bool is_of_host(struct mirror *m, const struct net_ip *ip)
{
    return (net_ip_is_v4(ip) && net_ip_v4_bytes(ip)[0] == IN_LOOPBACKNET) || is_in(m, &m->own, ip);
}

/* User space gets nothing of what is sent to an address that the host has no more.  Others than the
 * host's own are as good as those: routes may make them local (AnyIP). */
static bool is_homeless(struct mirror *m, const struct handed *channel)
{
    return atomic_load_explicit(&m->lost_count, memory_order_acquire) > 0 &&
           (is_in(m, &m->lost, &channel->server) || is_in(m, &m->lost, &channel->relay));
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
    spec.to_relay = is_of_host(m, &spec.peer.ip);
    return spec;
}

/* As user space sees packets of that peer, they may be of another one: a relay of this server by
 * the private side of its address. */
static bool is_another(const struct mirror *m, const struct flow_spec *spec,
                       const struct turn_flow *flow)
{
    struct net_addr seen = spec->peer;

    external_to_public(m->external, &seen);
    return !net_addr_equal(&seen, &flow->peer);
}

/* Hand it over: 0 with `*out`, or why not. */
static int hand_over(struct mirror *m, const struct turn_flow *flow, uint32_t *out)
{
    const struct flow_spec spec = spec_of(m, flow);
    const struct handed channel = {.server = flow->server.ip, .relay = flow->relay.ip};

    if (is_another(m, &spec, flow)) {
        return -EINVAL;
    }
    if (is_homeless(m, &channel)) {
        return -EADDRNOTAVAIL;
    }
    const int err = flow_open(m->flows, &spec, out);
    if (err == 0) {
        m->handed[*out] = channel;
    }
    return err;
}

uint32_t mirror_open(struct mirror *m, uint32_t rules, const struct turn_flow *flow)
{
    uint32_t handle;

    if (rules != mirror_rules(m) || is_of_host(m, &flow->client.ip)) {
        return 0;
    }
    const int err = hand_over(m, flow, &handle);
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
    return handle;
}

void mirror_renew(struct mirror *m, uint32_t rules, uint32_t handle, uint64_t to_peer_until_ms,
                  uint64_t to_client_until_ms)
{
    const bool stays = !is_homeless(m, &m->handed[handle]);

    if (stays && rules == mirror_rules(m)) {
        flow_renew(m->flows, handle, to_peer_until_ms, to_client_until_ms);
    }
    if (!stays || rules != mirror_rules(m)) { /* switched off, whatever the epoch is */
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
    tell(&m->handed[handle].told, &now, out);
}

void mirror_close(struct mirror *m, uint32_t handle, struct turn_traffic *out)
{
    struct flow_traffic told = m->handed[handle].told; /* another worker may have the handle next */
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
