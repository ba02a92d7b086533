/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/way.h"

#include <errno.h>

#include "io/stream.h"
#include "relay/front.h"
#include "relay/stash.h"

struct worker_listener *way_slot(struct udp_port *port)
{
    return CONTAINER_OF(port, struct worker_listener, port);
}

struct udp_port *way_port(const struct worker *w, const struct five_tuple *tuple, void *listener)
{
    const struct proxied_client *entry;

    switch (tuple->protocol) {
    case NET_UDP:
        return listener;
    case NET_DTLS:
        return dtls_port(listener);
    case NET_PROXIED: /* what the core knows may be another's entry by now */
        entry = proxied_find(w->proxied, &tuple->client, &tuple->server);
        return entry != NULL ? proxied_port(entry) : NULL;
    default:
        return NULL;
    }
}

/* --- out of a worker -----------------------------------------------------------------------------
 */

static void heard_by(struct way *way, const struct worker_listener *slot)
{
    way->item = slot->item;
    way->socket = slot->socket;
}

static int pack_udp(struct worker *w, struct udp_port *port, struct way *way)
{
    if (port->role != WORKER_CLIENT) {
        heard_by(way, way_slot(port));
        return 0;
    }
    way->client = client_socket_release(w, CONTAINER_OF(port, struct client_socket, port));
    way->own_socket = true;
    way->item = way->client.item;
    way->socket = way->client.socket;
    return 0;
}

static int pack_dtls(struct worker *w, struct dtls_client *client, struct way *way)
{
    heard_by(way, way_slot(dtls_port(client)));
    way->dtls = dtls_detach(w->dtls, client);
    if (way->dtls == NULL) {
        return -ENOMEM;
    }
    stash_forget(w->stash, client);
    return 0;
}

static int pack_proxied(struct worker *w, struct way *way)
{
    const struct net_addr *client = &way->tuple.client;
    const struct net_addr *server = &way->tuple.server;
    const struct proxied_client *entry = proxied_find(w->proxied, client, server);

    if (entry == NULL) {
        return -ENOENT; /* nobody knows its way: it ends where it is */
    }
    heard_by(way, way_slot(proxied_port(entry)));
    proxied_route_of(entry, &way->route);
    proxied_forget(w->proxied, client, server);
    return 0;
}

static int pack_stream(struct stream *s, struct way *way)
{
    struct client_stream *client = stream_owner(s);

    way->stream = stream_detach(s, NULL, 0);
    if (way->stream == NULL) {
        return -EBUSY;
    }
    list_remove(&client->waiting); /* what was kept is judged again where it goes */
    return 0;
}

int way_pack(struct worker *w, const struct five_tuple *tuple, void *listener, struct way *out)
{
    struct way way = {.tuple = *tuple};
    int err;

    switch (tuple->protocol) {
    case NET_UDP:
        err = pack_udp(w, listener, &way);
        break;
    case NET_DTLS:
        err = pack_dtls(w, listener, &way);
        break;
    case NET_PROXIED:
        err = pack_proxied(w, &way);
        break;
    default:
        err = pack_stream(listener, &way);
        break;
    }
    if (err == 0) {
        *out = way;
    }
    return err;
}

/* --- into one ------------------------------------------------------------------------------------
 */

static void *unpack_udp(struct worker *w, struct way *way, struct worker_listener *slot)
{
    if (!way->own_socket) {
        return &slot->port;
    }
    struct client_socket *own = client_socket_adopt(w, &way->client);
    way->own_socket = false; /* taken, or closed */
    return own != NULL ? &own->port : NULL;
}

static void *unpack_dtls(struct worker *w, struct way *way, struct worker_listener *slot)
{
    void *client = dtls_attach(w->dtls, way->dtls, &slot->port, w->now_ms);

    way->dtls = NULL; /* taken, or ended */
    stray_recall(w, &way->tuple);
    return client;
}

static void *unpack_proxied(struct worker *w, const struct way *way, struct worker_listener *slot)
{
    const struct net_addr *client = &way->tuple.client;
    const struct net_addr *server = &way->tuple.server;
    void *entry = proxied_attach(w->proxied, client, server, &way->route, &slot->port, w->now_ms);

    if (entry != NULL) {
        proxied_keep(w->proxied, client, server, true);
    }
    return entry;
}

static void *unpack_stream(struct worker *w, struct way *way)
{
    struct stream_parcel *parcel = way->stream;

    way->stream = NULL; /* taken, or closed */
    return client_stream_adopt(w, parcel);
}

void *way_unpack(struct worker *w, struct way *way)
{
    if (net_is_stream(way->tuple.protocol)) {
        return unpack_stream(w, way);
    }
    struct worker_listener *slot = worker_slot(w, way->item, way->socket);
    if (slot == NULL) {
        return NULL;
    }
    switch (way->tuple.protocol) {
    case NET_DTLS:
        return unpack_dtls(w, way, slot);
    case NET_PROXIED:
        return unpack_proxied(w, way, slot);
    default:
        return unpack_udp(w, way, slot);
    }
}

void way_abandon(struct worker *w, const struct way *way, void *listener)
{
    struct udp_port *port = listener;

    if (listener == NULL) {
        return;
    }
    if (way->tuple.protocol == NET_UDP && port->role == WORKER_CLIENT) {
        client_socket_close(w, CONTAINER_OF(port, struct client_socket, port));
    } else if (net_is_stream(way->tuple.protocol)) {
        stream_close(listener, false);
    } else if (way->tuple.protocol == NET_PROXIED) {
        proxied_keep(w->proxied, &way->tuple.client, &way->tuple.server, false);
    }
}

void way_drop(struct way *way)
{
    if (way->own_socket) {
        client_socket_drop(&way->client);
        way->own_socket = false;
    }
    dtls_parcel_free(way->dtls);
    stream_parcel_free(way->stream);
    way->dtls = NULL;
    way->stream = NULL;
}

/* --- where it has to be --------------------------------------------------------------------------
 */

/* What the dispatcher sees of a client behind a balancer is the balancer. */
static uint32_t bucket_worker(const struct worker *w, const struct five_tuple *tuple,
                              const struct proxied_route *route)
{
    const struct front *front = w->env->front;
    const bool proxied = tuple->protocol == NET_PROXIED;

    return front_bucket_worker(front, front_bucket(front, proxied ? &route->remote : &tuple->client,
                                                   proxied ? &route->local : &tuple->server));
}

uint32_t way_bucket_worker(const struct worker *w, const struct five_tuple *tuple)
{
    struct proxied_route route = {.used_ms = 0};
    const struct proxied_client *entry =
        tuple->protocol == NET_PROXIED ? proxied_find(w->proxied, &tuple->client, &tuple->server)
                                       : NULL;

    if (entry != NULL) {
        proxied_route_of(entry, &route);
    }
    return bucket_worker(w, tuple, &route);
}

uint32_t way_reader(const struct worker *w, const struct way *way)
{
    if (way->own_socket || net_is_stream(way->tuple.protocol)) {
        return w->index;
    }
    return w->env->front->engine == FRONT_DISPATCH ? bucket_worker(w, &way->tuple, &way->route)
                                                   : front_reader(way->item, way->socket);
}
