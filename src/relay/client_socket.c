/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that have a socket of their own (network-engine=connected): the kernel finds it by both
 * addresses, so its packets need no further choice, and it can be read by any worker.
 *
 * It is made after authentication only: a stranger cannot make us open one. */
#include <errno.h>
#include <sys/socket.h>

#include "base/slab.h"
#include "io/udp_rx.h"
#include "log/log.h"
#include "relay/settings.h"
#include "relay/stash.h"
#include "relay/worker_int.h"

enum {
    DRAIN_VISITS = 128, /* more than a socket can hold that has been open for a moment */
    DRAIN_PACKETS = CLIENT_DTLS_DATAGRAMS,
};

/* The kernel looks at every socket of an address for whoever has none of its own: with thousands of
 * them a stranger's packet takes a tenth of a millisecond. */
static bool take_room(const struct front_item *item)
{
    if (atomic_fetch_add_explicit(item->own_sockets, 1, memory_order_relaxed) < FRONT_OWN_SOCKETS) {
        return true;
    }
    (void)atomic_fetch_sub_explicit(item->own_sockets, 1, memory_order_relaxed);
    return false;
}

static void give_room(const struct front_item *item)
{
    (void)atomic_fetch_sub_explicit(item->own_sockets, 1, memory_order_relaxed);
}

/* Once is enough: what fails for one will fail for all. */
static void tell_failure(struct worker *w, const struct net_addr *client, int err)
{
    const enum log_level level = w->told_unconnected ? LOG_DEBUG : LOG_WARNING;

    w->told_unconnected = true;
    if (log_enabled(level)) {
        log_write(level, "client.not_connected",
                  (const struct log_field[]){
                      LOG_ADDR("client", client), LOG_ERRNO("why", err),
                      LOG_TEXT("effect", "it is served by the listener's socket"), LOG_END});
    }
}

static int connect_to(const struct udp_port *port, const struct net_addr *client)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(client, &ss);

    return connect(port->fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

static int open_port(const struct worker *w, const struct five_tuple *tuple, struct udp_port *out)
{
    const struct turn_config *config = &w->settings->config;
    const struct udp_options options = {
        .local = tuple->server,
        .share = true,
        .ask_tos = config->copy_dscp || config->copy_ecn,
        .ask_drops = true,
        .buffer_bytes = w->env->buffer_bytes,
    };
    int err = udp_open(&options, out);

    if (err < 0) {
        return err;
    }
    err = connect_to(out, &tuple->client);
    if (err < 0) {
        udp_close(out);
    }
    return err;
}

/* Between bind and connect the socket got packets of other clients, as one of those that share the
 * address: they are served as if they had come by `slot`. */
static void drain(struct worker *w, struct udp_port *port, struct worker_listener *slot)
{
    port->readable = true;
    for (int i = 0; port->readable && i < DRAIN_VISITS; i++) {
        struct pkt *pkt = NULL;

        path_flush(w);
        const uint32_t n = udp_rx(w->batch, port, DRAIN_PACKETS, &pkt);
        w->batch_in_use = true;
        for (uint32_t k = 0; k < n; k++) {
            pkt[k].port = &slot->port;
            path_from_listener(w, slot, &pkt[k]);
        }
        w->batch_in_use = false;
        client_dtls_serve(w);
    }
    path_flush(w);
}

static struct client_socket *watch(struct worker *w, const struct client_socket *from)
{
    struct client_socket *sock = slab_get(w->client_socks);

    if (sock == NULL) {
        return NULL;
    }
    *sock = *from;
    list_init(&sock->port.ready);
    sock->port.role = WORKER_CLIENT;
    sock->port.connected = true;
    sock->port.watch.fn = path_ready;
    sock->port.readable = false;
    sock->port.closing = false;
    if (loop_add(w->loop, sock->port.fd, true, &sock->port.watch) < 0) {
        slab_put(w->client_socks, sock);
        return NULL;
    }
    return sock;
}

struct client_socket *client_socket_open(struct worker *w, const struct five_tuple *tuple,
                                         struct worker_listener *slot)
{
    struct client_socket sock = {
        .client = tuple->client,
        .item = slot->item,
        .socket = slot->socket,
        .heard = slot->socket,
    };
    if (!take_room(slot->item)) {
        return NULL;
    }
    const int err = open_port(w, tuple, &sock.port);
    if (err < 0) {
        give_room(slot->item);
        tell_failure(w, &tuple->client, err);
        return NULL;
    }
    drain(w, &sock.port, slot);
    struct client_socket *made = watch(w, &sock);
    if (made == NULL) {
        give_room(slot->item);
        udp_close(&sock.port);
    }
    return made;
}

struct client_socket *client_socket_adopt(struct worker *w, const struct client_socket *from)
{
    struct client_socket *sock = watch(w, from);

    if (sock == NULL) {
        struct udp_port port = from->port;
        give_room(from->item);
        udp_close(&port);
    }
    return sock;
}

struct client_socket client_socket_release(struct worker *w, struct client_socket *sock)
{
    const struct client_socket out = *sock;

    stash_forget(w->stash, &sock->port);
    loop_remove(w->loop, sock->port.fd);
    list_remove(&sock->port.ready);
    slab_put(w->client_socks, sock);
    return out;
}

void client_socket_drop(struct client_socket *sock)
{
    give_room(sock->item);
    udp_close(&sock->port);
}

void client_socket_close(struct worker *w, struct client_socket *sock)
{
    sock->port.closing = true;
    list_remove(&sock->port.ready);
    list_push(&w->closing, &sock->port.ready);
}

/* What the client has sent since its session ended belongs to whoever reads the listener: that one
 * will hear the next of it, duplicates among them. */
static void hand_back(struct worker *w, struct udp_port *port, struct worker_listener *slot)
{
    const uint32_t reader = front_reader(slot->item, slot->socket);

    if (reader == w->index) {
        drain(w, port, slot);
        return;
    }
    port->readable = true;
    for (int i = 0; port->readable && i < DRAIN_VISITS; i++) {
        struct pkt *pkt = NULL;

        path_flush(w);
        const uint32_t n = udp_rx(w->batch, port, DRAIN_PACKETS, &pkt);
        for (uint32_t k = 0; k < n; k++) {
            pkt[k].port = &slot->port;
            stray_send(w, reader, &pkt[k]);
        }
    }
    path_flush(w);
}

void client_socket_reap(struct worker *w, struct client_socket *sock)
{
    struct worker_listener *slot = worker_slot(w, sock->item, sock->heard);

    /* From now on the client's packets come by the listener: connected to itself the socket gets
     * nobody's. */
    if (slot != NULL && w->core != NULL && connect_to(&sock->port, &sock->port.local) == 0) {
        hand_back(w, &sock->port, slot);
    }
    stash_forget(w->stash, &sock->port);
    udp_close(&sock->port);
    give_room(sock->item);
    slab_put(w->client_socks, sock);
}
