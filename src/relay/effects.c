/* SPDX-License-Identifier: Apache-2.0 */
/* The core's effects, by means of io/ and of what the workers share. */
#include <errno.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "base/slab.h"
#include "crypto/random.h"
#include "relay/capacity.h"
#include "relay/directory.h"
#include "relay/event.h"
#include "relay/external.h"
#include "relay/kernel_path.h"
#include "relay/mirror.h"
#include "relay/proxied.h"
#include "relay/quotas.h"
#include "relay/relay_ports.h"
#include "relay/settings.h"
#include "relay/worker_int.h"

static void on_random(void *arg, uint8_t *out, size_t n)
{
    struct worker *w = arg;

    crypto_random_fill(w->random, out, n);
}

static int on_key_find(void *arg, const struct credential_query *query, struct credential_keys *out)
{
    struct worker *w = arg;

    return auth_worker_find(w->auth, query, w->wall_s, w->now_ms, out);
}

static int on_relay_open(void *arg, const struct turn_relay_want *want,
                         struct turn_relay_grant *out)
{
    struct worker *w = arg;
    const struct turn_config *config = &w->settings->config;
    if (want->protocol == NET_TCP) {
        return tcp_relay_open(w, want, out);
    }
    struct relay_sock *sock = slab_get(w->socks);
    if (sock == NULL) {
        return -ENOSPC;
    }
    int err = relay_ports_open(w->env->ports, want, config->copy_dscp || config->copy_ecn,
                               w->now_ms, &sock->port);
    if (err < 0) {
        slab_put(w->socks, sock);
        return err;
    }
    sock->relay = want->relay;
    sock->port.role = WORKER_RELAY;
    sock->port.watch.fn = path_ready;
    if (loop_add(w->loop, sock->port.fd, true, &sock->port.watch) < 0) {
        relay_ports_close(w->env->ports, &sock->port, w->now_ms);
        slab_put(w->socks, sock);
        return -ENOSPC;
    }
    *out = (struct turn_relay_grant){
        .port = &sock->port,
        .bound = sock->port.local,
        .relayed = external_relayed(w->external, &sock->port.local),
    };
    return 0;
}

/* Packets through this socket may be queued, and its event may be among those of this turn: it is
 * closed when the turn has ended. */
static void on_relay_close(void *arg, void *handle)
{
    struct worker *w = arg;
    struct udp_port *port = handle;

    if (port->role == WORKER_TCP_RELAY) {
        tcp_relay_close(w, CONTAINER_OF(port, struct tcp_relay, port));
        return;
    }
    port->closing = true;
    list_remove(&port->ready);
    list_push(&w->closing, &port->ready);
}

static int on_peer_connect(void *arg, void *port, const struct net_addr *peer,
                           struct turn_conn *conn, void **out)
{
    return tcp_relay_connect(arg, port, peer, conn, out);
}

static void on_peer_close(void *arg, void *handle)
{
    tcp_relay_disconnect(arg, handle);
}

static void on_peer_bind(void *arg, void *handle, void *listener)
{
    struct worker *w = arg;

    (void)listener; /* the connection whose request is being served */
    w->bind_peer = handle;
}

void effects_reap(struct worker *w)
{
    struct list *node;

    while ((node = list_shift(&w->closing)) != NULL) {
        struct udp_port *port = CONTAINER_OF(node, struct udp_port, ready);

        if (port->role == WORKER_CLIENT) {
            client_socket_reap(w, CONTAINER_OF(port, struct client_socket, port));
            continue;
        }
        relay_ports_close(w->env->ports, port, w->now_ms);
        slab_put(w->socks, CONTAINER_OF(port, struct relay_sock, port));
    }
}

static int on_quota_take(void *arg, uint32_t realm, struct bytes user)
{
    const struct worker *w = arg;

    return quotas_take(w->env->quotas, realm, user);
}

static void on_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    const struct worker *w = arg;

    quotas_give(w->env->quotas, realm, user);
}

static uint64_t on_capacity(void *arg, int direction, uint32_t bytes, uint64_t now_ms)
{
    const struct worker *w = arg;

    return capacity_lease(&w->env->capacity[direction], bytes, now_ms);
}

static int on_session_owner(void *arg, uint64_t session)
{
    const struct worker *w = arg;

    return directory_find(w->env->directory, session);
}

/* Any socket on the address does, and each worker may send by all of them; its own, where it has
 * one, nobody else is busy with. */
static void *on_behaviour_port(void *arg, uint32_t set, uint32_t at)
{
    struct worker *w = arg;
    const struct front_item *item = w->settings->behaviour_item[set][at];

    if (item == NULL || item->sockets == 0) {
        return NULL;
    }
    struct worker_listener *slot = worker_slot(w, item, w->index < item->sockets ? w->index : 0);
    return slot != NULL ? &slot->port : NULL;
}

/* --- the kernel path -----------------------------------------------------------------------------
 */

uint32_t effects_rules(const struct worker *w)
{
    return w->env->mirror != NULL ? mirror_rules(w->env->mirror) : 0;
}

static uint32_t on_flow_open(void *arg, const struct turn_flow *flow)
{
    struct worker *w = arg;
    const uint32_t handle = mirror_open(w->env->mirror, w->rules, flow);

    w->flows += handle != 0 ? 1 : 0;
    return handle;
}

static void on_flow_renew(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                          uint64_t to_client_until_ms)
{
    const struct worker *w = arg;

    mirror_renew(w->env->mirror, w->rules, handle, to_peer_until_ms, to_client_until_ms);
}

static void on_flow_usage(void *arg, uint32_t handle, struct turn_traffic *out)
{
    const struct worker *w = arg;

    mirror_usage(w->env->mirror, handle, out);
}

static void on_flow_close(void *arg, uint32_t handle, struct turn_traffic *out)
{
    struct worker *w = arg;

    mirror_close(w->env->mirror, handle, out);
    w->flows--;
}

static uint32_t on_limit_open(void *arg, const struct bucket from[2], struct bucket **out)
{
    const struct worker *w = arg;

    return mirror_limit_open(w->env->mirror, from, out);
}

static void on_limit_close(void *arg, uint32_t handle)
{
    const struct worker *w = arg;

    mirror_limit_close(w->env->mirror, handle);
}

static void add_kernel_path(struct turn_effects *effects)
{
    effects->flow_open = on_flow_open;
    effects->flow_renew = on_flow_renew;
    effects->flow_usage = on_flow_usage;
    effects->flow_close = on_flow_close;
    effects->limit_open = on_limit_open;
    effects->limit_close = on_limit_close;
}

/* --- events --------------------------------------------------------------------------------------
 */

/* A session has begun, or its client is heard at another address: where it is to live is decided
 * when its answer is on its way. */
static void newcomer(struct worker *w, const struct turn_event *event)
{
    const bool moved = event->kind == TURN_EVENT_MOVED;

    if (net_is_stream(event->transport) || (event->transport == NET_PROXIED && !moved)) {
        return; /* connections, and what balancers bring, stay where they are heard */
    }
    w->newcomer = (struct newcomer){
        .pending = true,
        .moved = moved,
        .tuple = {*event->client, *event->server, event->transport},
    };
    if (w->newcomer.moved) {
        w->newcomer.was = *event->was;
    }
}

/* The client that `event` is about is served, or no more. */
static void tell_shield(struct worker *w, const struct turn_event *event, bool live)
{
    const struct five_tuple tuple = {*event->client, *event->server, event->transport};

    kernel_path_client(w->env->kernel_path, &tuple, live);
}

static void on_event(void *arg, const struct turn_event *event)
{
    struct worker *w = arg;

    switch ((int)event->kind) {
    case TURN_EVENT_ALLOCATED:
        place_begun(w, event->session);
        newcomer(w, event);
        tell_shield(w, event, true);
        proxied_keep(w->proxied, event->client, event->server, true);
        break;
    case TURN_EVENT_REFRESHED:
        proxied_keep(w->proxied, event->client, event->server, true);
        break;
    case TURN_EVENT_MOVED:
        newcomer(w, event);
        tell_shield(w, event, true);
        proxied_keep(w->proxied, event->client, event->server, true);
        break;
    case TURN_EVENT_LEFT:
        place_left(w, event->was, event->was_listener);
        kernel_path_client(w->env->kernel_path, event->was, false);
        proxied_keep(w->proxied, &event->was->client, &event->was->server, false);
        break;
    case TURN_EVENT_DELETED:
    case TURN_EVENT_EXPIRED:
    case TURN_EVENT_CLOSED:
        place_ended(w, event);
        tell_shield(w, event, false);
        proxied_keep(w->proxied, event->client, event->server, false);
        break;
    default:
        break;
    }
    event_log(event, w->settings->config.main.name);
}

struct turn_effects effects_of(struct worker *w)
{
    struct turn_effects effects = {
        .arg = w,
        .random_fill = on_random,
        .key_find = on_key_find,
        .relay_open = on_relay_open,
        .relay_close = on_relay_close,
        .peer_connect = on_peer_connect,
        .peer_close = on_peer_close,
        .peer_bind = on_peer_bind,
        .quota_take = on_quota_take,
        .quota_give = on_quota_give,
        .capacity_lease = on_capacity,
        .session_owner = on_session_owner,
        .behaviour_port = on_behaviour_port,
        .event = on_event,
    };

    if (w->env->mirror != NULL) {
        add_kernel_path(&effects);
    }
    return effects;
}
