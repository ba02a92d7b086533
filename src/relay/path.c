/* SPDX-License-Identifier: Apache-2.0 */
/* The way of every packet: in by batches, through the core, out by batches.
 *
 * A turn visits each ready socket once and takes a bounded number of packets from it, so no flow
 * starves another; the packets of many sockets go into one batch and leave together.  No lock, no
 * allocation, no log. */
#include <errno.h>

#include "base/bytes.h"
#include "io/udp_batch.h"
#include "io/udp_buffer.h"
#include "io/udp_error.h"
#include "io/udp_rx.h"
#include "io/udp_tx.h"
#include "relay/external.h"
#include "relay/listener.h"
#include "relay/proxied.h"
#include "relay/settings.h"
#include "relay/stash.h"
#include "relay/worker_int.h"
#include "wire/demux.h"
#include "wire/stun_msg.h"

enum {
    LISTENER_BUDGET = UDP_BATCH, /* packets a visit */
    RELAY_BUDGET = 16,
    ERROR_BUDGET = 16,
    SEND_INDICATION = 0x0016,
    ROOM_MIN = 16, /* with less room in the batch, send first: small batches cost more */
};

/* Messages on connections lie in places of the batch, too: they go first. */
void path_flush(struct worker *w)
{
    streams_flush(w->streams);
    udp_tx_flush(w->batch);
}

static void make_room(struct worker *w, uint32_t want)
{
    if (udp_batch_room(w->batch) < want) {
        path_flush(w);
    }
}

struct pkt *path_place(struct worker *w)
{
    if (!w->batch_in_use) {
        make_room(w, 1);
    }
    return udp_batch_take(w->batch);
}

/* Give a view a buffer of its own: to be answered in its place, or to leave otherwise than by
 * udp_tx.  When there are too many, send first what is in such buffers. */
static bool own(struct worker *w, struct pkt *pkt)
{
    if (udp_batch_own(w->batch, pkt) == 0) {
        return true;
    }
    streams_flush(w->streams);
    udp_tx_send(w->batch);
    return udp_batch_own(w->batch, pkt) == 0;
}

/* --- out ---------------------------------------------------------------------------------------
 */

void path_to_peer(struct worker *w, struct pkt *pkt)
{
    if (w->external->count > 0) {
        external_to_private(w->external, &pkt->remote);
    }
    udp_tx_queue(w->batch, pkt);
}

static void to_other_client(struct worker *w, struct pkt *pkt, enum stream_kind kind)
{
    if (!own(w, pkt)) {
        return;
    }
    switch (pkt->transport) {
    case NET_TCP:
    case NET_TLS:
        (void)stream_send(pkt->port, kind, pkt->data, pkt->len);
        break;
    case NET_DTLS:
        if (dtls_output(w->dtls, pkt->port, pkt, w->now_ms)) {
            udp_tx_queue(w->batch, pkt);
        }
        break;
    case NET_PROXIED:
        if (proxied_out(pkt->port, pkt)) {
            udp_tx_queue(w->batch, pkt);
        }
        break;
    default:
        break;
    }
}

void path_to_client(struct worker *w, struct pkt *pkt, enum stream_kind kind)
{
    if (pkt->transport == NET_UDP) {
        udp_tx_queue(w->batch, pkt);
    } else {
        to_other_client(w, pkt, kind);
    }
}

/* --- in ----------------------------------------------------------------------------------------
 */

static inline void from_client(struct worker *w, struct pkt *pkt)
{
    switch (turn_server_client_packet(w->core, pkt, w->now_ms)) {
    case TURN_TO_PEER:
        path_to_peer(w, pkt);
        break;
    case TURN_TO_CLIENT:
        if (!w->newcomer.pending || !place_newcomer(w, pkt)) {
            path_to_client(w, pkt, STREAM_CONTROL);
        }
        break;
    case TURN_WAIT:
        stats_add(&w->count.wait_dropped, stash_put(w->stash, pkt, w->now_ms));
        break;
    case TURN_ELSEWHERE:
        elsewhere_send(w, turn_server_elsewhere(w->core), pkt);
        break;
    case TURN_DROP: /* the core has counted why */
    case TURN_LATER:
    default:
        break;
    }
}

void path_from_client(struct worker *w, struct pkt *pkt)
{
    from_client(w, pkt);
}

/* At a listener where something is out of the ordinary: some of its clients have left for another
 * worker lately, or it takes no new ones. */
static bool passes(struct worker *w, const struct worker_listener *listener, struct pkt *pkt)
{
    const struct five_tuple tuple = {pkt->remote, pkt->local, pkt->transport};

    if (w->forwards != NULL && stray_forward(w, &tuple, pkt)) {
        return false;
    }
    return !listener->closed || turn_server_has_allocation(w->core, &tuple);
}

/* The association of these records has left for another worker lately. */
static bool has_left(struct worker *w, const struct pkt *pkt)
{
    const struct five_tuple tuple = {pkt->remote, pkt->local, NET_DTLS};

    return w->forwards != NULL && stray_forward(w, &tuple, pkt);
}

/* A listener at which others than plain clients come in: through a balancer, or under DTLS. */
static void from_mixed(struct worker *w, const struct worker_listener *listener, struct pkt *pkt)
{
    const struct listener_spec *spec = listener->spec;

    if (spec->proxy) {
        if (proxied_in(w->proxied, w->settings->proxy_from, pkt, w->now_ms) < 0) {
            stats_add(&w->count.proxy_refused, 1);
            return;
        }
        pkt->transport = NET_PROXIED;
    }
    if (spec->secure && !spec->proxy && pkt->len > 0 &&
        demux_first_byte(pkt->data[0]) == DEMUX_DTLS) {
        if (!has_left(w, pkt)) {
            client_dtls_keep(w, pkt);
        }
    } else if (spec->plain && passes(w, listener, pkt)) {
        from_client(w, pkt);
    }
}

/* A STUN message may be answered in its place, except Send indications, which come in bursts. */
static bool is_answered(const struct pkt *pkt)
{
    return demux_first_byte(pkt->data[0]) == DEMUX_STUN &&
           (pkt->len < STUN_HEADER || be16(pkt->data) != SEND_INDICATION);
}

void path_from_listener(struct worker *w, const struct worker_listener *listener, struct pkt *pkt)
{
    if (pkt->view && is_answered(pkt) && !own(w, pkt)) {
        return;
    }
    if (listener->port.role == WORKER_MIXED_LISTENER) {
        from_mixed(w, listener, pkt);
    } else if (passes(w, listener, pkt)) {
        from_client(w, pkt);
    }
}

static inline void from_peer(struct worker *w, struct turn_relay *relay, struct pkt *pkt)
{
    if (w->external->count > 0) {
        external_to_public(w->external, &pkt->remote);
    }
    if (turn_server_peer_packet(w->core, relay, pkt, w->now_ms) == TURN_TO_CLIENT) {
        path_to_client(w, pkt, STREAM_DATAGRAM);
    }
}

/* The listener of `port` if its packets have to be looked at one by one; NULL: it is as always. */
static const struct worker_listener *odd_listener(const struct worker *w, struct udp_port *port)
{
    const struct worker_listener *listener = CONTAINER_OF(port, struct worker_listener, port);

    return port->role == WORKER_LISTENER && (listener->closed || w->forwards != NULL) ? listener
                                                                                      : NULL;
}

/* The kernel may have chosen a client's own socket for another one before it was connected, and
 * brings that one's packet only now. */
static bool is_strangers(struct udp_port *port, const struct pkt *pkt)
{
    return port->role == WORKER_CLIENT &&
           !net_addr_equal(&pkt->remote, &CONTAINER_OF(port, struct client_socket, port)->client);
}

static void from_stranger(struct worker *w, struct udp_port *port, struct pkt *pkt)
{
    const struct client_socket *sock = CONTAINER_OF(port, struct client_socket, port);
    struct worker_listener *slot = worker_slot(w, sock->item, sock->socket);

    if (slot != NULL) {
        pkt->port = &slot->port;
        path_from_listener(w, slot, pkt);
    }
}

static void serve_listener(struct worker *w, struct udp_port *port)
{
    struct pkt *pkt = NULL;
    bool strangers = false;

    make_room(w, ROOM_MIN);
    const uint32_t n = udp_rx(w->batch, port, LISTENER_BUDGET, &pkt);
    const struct worker_listener *odd = odd_listener(w, port);
    for (uint32_t i = 0; i < n; i++) {
        if (is_strangers(port, &pkt[i])) {
            from_stranger(w, port, &pkt[i]);
            strangers = true;
            continue;
        }
        if (odd != NULL && !passes(w, odd, &pkt[i])) {
            continue;
        }
        if (!pkt[i].view || !is_answered(&pkt[i]) || own(w, &pkt[i])) {
            from_client(w, &pkt[i]);
        }
    }
    if (strangers) {
        client_dtls_serve(w);
    }
}

static void serve_mixed(struct worker *w, struct udp_port *port)
{
    const struct worker_listener *listener = CONTAINER_OF(port, struct worker_listener, port);
    struct pkt *pkt = NULL;

    make_room(w, ROOM_MIN);
    const uint32_t n = udp_rx(w->batch, port, CLIENT_DTLS_DATAGRAMS, &pkt);
    w->batch_in_use = true;
    for (uint32_t i = 0; i < n; i++) {
        from_mixed(w, listener, &pkt[i]);
    }
    w->batch_in_use = false;
    client_dtls_serve(w);
}

/* The kernel has dropped packets of a peer for want of room. */
static void relay_overflow(struct worker *w, struct udp_port *port, uint32_t before)
{
    stats_add(&w->count.relay_overflow, port->overflow - before);
    (void)udp_buffer_grow(port, w->env->buffer_bytes);
}

static void serve_relay(struct worker *w, struct relay_sock *sock)
{
    struct pkt *pkt = NULL;

    make_room(w, ROOM_MIN);
    const uint32_t dropped = sock->port.overflow;
    const uint32_t n = udp_rx(w->batch, &sock->port, RELAY_BUDGET, &pkt);
    if (sock->port.overflow != dropped) {
        relay_overflow(w, &sock->port, dropped);
    }
    w->batch_in_use = true;
    for (uint32_t i = 0; i < n; i++) {
        from_peer(w, sock->relay, &pkt[i]);
    }
    w->batch_in_use = false;
}

/* --- errors ------------------------------------------------------------------------------------
 */

/* What an error tells the client (RFC 8656 section 11.5); false when nothing. */
static bool icmp_of(const struct relay_sock *sock, const struct udp_error *error,
                    struct turn_icmp *out)
{
    const bool v4 = error->peer.family == NET_V4;

    if (error->peer.family == NET_NONE) {
        return false;
    }
    *out = (struct turn_icmp){error->peer, error->type, error->code, error->info};
    if (error->origin == UDP_ERROR_ICMP || error->origin == UDP_ERROR_ICMP6) {
        return true;
    }
    if (error->origin != UDP_ERROR_LOCAL || error->error != EMSGSIZE) {
        return false;
    }
    /* This host is the router on which a DF packet found no way: it complains to itself. */
    out->type = v4 ? 3 : 2; /* destination unreachable, fragmentation needed; packet too big */
    out->code = v4 ? 4 : 0;
    if (out->peer.port == 0 && net_ip_equal(&out->peer.ip, &sock->df_peer.ip)) {
        out->peer.port = sock->df_peer.port; /* the kernel has not kept it */
    }
    return true;
}

static void serve_errors(struct worker *w, struct relay_sock *sock)
{
    struct udp_error error;
    struct turn_icmp icmp;

    for (int i = 0; i < ERROR_BUDGET; i++) {
        if (udp_error_read(&sock->port, &error) == 0) {
            sock->port.in_error = false;
            return;
        }
        if (!icmp_of(sock, &error, &icmp)) {
            continue;
        }
        if (w->external->count > 0) {
            external_to_public(w->external, &icmp.peer);
        }
        make_room(w, 1);
        struct pkt *pkt = udp_batch_take(w->batch);
        if (turn_server_peer_icmp(w->core, sock->relay, &icmp, pkt, w->now_ms) == TURN_TO_CLIENT) {
            stats_add(&w->count.icmp_relayed, 1);
            path_to_client(w, pkt, STREAM_DATAGRAM);
        }
    }
}

void path_too_big(void *arg, struct pkt *pkt)
{
    struct udp_port *port = pkt->port;

    (void)arg;
    if (port->role == WORKER_RELAY) {
        /* The kernel has queued an error with the MTU; it is read in the next turn. */
        CONTAINER_OF(port, struct relay_sock, port)->df_peer = pkt->remote;
    }
}

/* --- a turn ------------------------------------------------------------------------------------
 */

void path_ready(void *arg, struct loop_watch *watch, unsigned events)
{
    struct udp_port *port = CONTAINER_OF(watch, struct udp_port, watch);
    struct worker *w = arg;

    if (port->closing) {
        return;
    }
    port->readable = port->readable || (events & LOOP_READ) != 0;
    port->in_error = port->in_error || ((events & LOOP_ERROR) != 0 && port->errors);
    list_remove(&port->ready);
    list_push(&w->ready, &port->ready);
}

static void serve(struct worker *w, struct udp_port *port)
{
    if (port->role == WORKER_LISTENER || port->role == WORKER_CLIENT) {
        serve_listener(w, port);
    } else if (port->role == WORKER_MIXED_LISTENER) {
        serve_mixed(w, port);
    } else {
        struct relay_sock *sock = CONTAINER_OF(port, struct relay_sock, port);
        if (port->in_error) {
            serve_errors(w, sock);
        }
        if (port->readable) {
            serve_relay(w, sock);
        }
    }
    if (port->readable || port->in_error) { /* more than the budget: it comes round again */
        list_push(&w->ready, &port->ready);
    }
}

void path_run(struct worker *w)
{
    if (list_empty(&w->ready)) {
        return;
    }
    list_push(&w->ready, &w->round_end);
    for (;;) {
        struct list *node = list_shift(&w->ready);
        if (node == NULL || node == &w->round_end) {
            break;
        }
        serve(w, CONTAINER_OF(node, struct udp_port, ready));
    }
    path_flush(w);
}

void path_resubmit(struct worker *w)
{
    const uint32_t count = stash_count(w->stash); /* those that must wait on are stashed again */

    for (uint32_t i = 0; i < count; i++) {
        uint32_t dropped;
        make_room(w, 1);
        struct pkt *pkt = udp_batch_take(w->batch);
        const bool got = stash_take(w->stash, pkt, w->now_ms, &dropped);
        stats_add(&w->count.wait_dropped, dropped);
        if (!got) {
            break;
        }
        from_client(w, pkt);
    }
    path_flush(w);
}
