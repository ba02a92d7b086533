/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6062 with sockets: the listening one of a TCP allocation, connections to peers from its very
 * address and port, and those that peers make.
 *
 * What a peer sends before the client has bound its own connection stays in the kernel: TCP's
 * window closes when that is full (section 5.2). */
#include <errno.h>

#include "base/slab.h"
#include "io/udp_batch.h"
#include "relay/external.h"
#include "relay/relay_ports.h"
#include "relay/settings.h"
#include "relay/worker_int.h"

static void answer(struct worker *w, enum turn_verdict verdict, struct pkt *pkt)
{
    if (verdict == TURN_TO_CLIENT) {
        path_to_client(w, pkt, STREAM_CONTROL);
    }
    path_flush(w);
}

/* --- connections of peers -----------------------------------------------------------------------
 */

static void on_connected(void *arg, struct stream *s)
{
    struct worker *w = arg;
    struct peer_stream *peer = stream_owner(s);
    struct pkt *pkt = path_place(w);

    peer->connecting = false;
    stream_pause(s);
    stream_set_idle(s, 0);
    holdoff_worked(w->holdoff, stream_remote(s));
    answer(w, turn_server_connected(w->core, peer->conn, true, pkt, w->now_ms), pkt);
}

static void connect_failed(struct worker *w, const struct stream *s, struct peer_stream *peer,
                           enum stream_close why)
{
    struct pkt *pkt = path_place(w);

    /* Want of ports is our own affair: the peer has not failed. */
    if (stream_error(s) != EADDRNOTAVAIL) {
        holdoff_failed(w->holdoff, peer->scope, peer->user, stream_remote(s),
                       why == STREAM_CLOSE_CONNECT_TIMEOUT ? HOLDOFF_TIMEOUT : HOLDOFF_CONNECT,
                       w->now_ms);
    }
    answer(w, turn_server_connected(w->core, peer->conn, false, pkt, w->now_ms), pkt);
}

uint32_t tcp_relay_pace(struct worker *w, struct stream *s, bool to_peer, size_t bytes)
{
    const struct peer_stream *peer = stream_owner(s);

    return peer->conn == NULL
               ? 0
               : turn_server_conn_pace(w->core, peer->conn, to_peer, bytes, w->now_ms);
}

static void on_peer_closed(void *arg, struct stream *s, enum stream_close why)
{
    struct worker *w = arg;
    struct peer_stream *peer = stream_owner(s);

    stats_add(&w->count.closed[why], 1);
    if (peer->conn == NULL) {
        return;
    }
    if (peer->connecting) {
        connect_failed(w, s, peer, why);
        return;
    }
    turn_server_conn_traffic(w->core, peer->conn, stream_spliced_to(s), stream_spliced_from(s));
    turn_server_conn_closed(w->core, peer->conn);
}

static uint32_t on_peer_pace(void *arg, struct stream *s, struct stream *twin, size_t bytes)
{
    (void)twin;
    return tcp_relay_pace(arg, s, false, bytes);
}

static const struct stream_handler connecting_handler = {
    .opened = on_connected,
    .pace = on_peer_pace,
    .closed = on_peer_closed,
};

static void on_accepted(void *arg, struct stream *s)
{
    struct worker *w = arg;
    const struct stream_listener *listener = stream_listener_of(s);
    const struct tcp_relay *relay = listener->owner;
    struct peer_stream *peer = stream_owner(s);
    struct net_addr remote = *stream_remote(s);
    struct pkt *pkt = path_place(w);

    stream_pause(s);
    stream_proven(s);
    if (w->external->count > 0) {
        external_to_public(w->external, &remote);
    }
    const enum turn_verdict verdict =
        turn_server_peer_accepted(w->core, relay->relay, &remote, s, pkt, &peer->conn, w->now_ms);
    if (verdict != TURN_TO_CLIENT) { /* RFC 6062 section 5.3: closed at once */
        stream_close(s, false);
    }
    answer(w, verdict, pkt);
}

static const struct stream_handler accepted_handler = {
    .opened = on_accepted,
    .pace = on_peer_pace,
    .closed = on_peer_closed,
};

int tcp_relay_connect(struct worker *w, void *port, const struct net_addr *peer,
                      struct turn_conn *conn, void **out)
{
    const struct tcp_relay *relay = port;
    struct net_addr to = *peer;
    struct stream *s;

    if (w->external->count > 0) {
        external_to_private(w->external, &to);
    }
    if (holdoff_check(w->holdoff, relay->scope, &to, w->now_ms) != HOLDOFF_NONE) {
        stats_add(&w->count.held_off, 1);
        return -EHOSTUNREACH;
    }
    const int err = stream_connect(w->streams, &relay->port.local, &to, &connecting_handler, &s);
    if (err < 0) {
        const bool ours = err == -ENOSPC || err == -EMFILE || err == -ENFILE || err == -ENOMEM ||
                          err == -ENOBUFS || err == -EADDRNOTAVAIL || err == -EADDRINUSE;
        return ours ? -ENOSPC : err;
    }
    struct peer_stream *mine = stream_owner(s);
    mine->conn = conn;
    mine->connecting = true;
    mine->scope = relay->scope;
    mine->user = turn_conn_user_hash(w->core, conn);
    *out = s;
    return 0;
}

void tcp_relay_disconnect(struct worker *w, struct stream *s)
{
    struct peer_stream *peer = stream_owner(s);

    if (peer->conn != NULL) { /* what it has carried is told when the allocation ends */
        turn_server_conn_traffic(w->core, peer->conn, stream_spliced_to(s), stream_spliced_from(s));
    }
    peer->conn = NULL;
    stream_close(s, false);
}

/* --- the relay itself ---------------------------------------------------------------------------
 */

int tcp_relay_open(struct worker *w, const struct turn_relay_want *want,
                   struct turn_relay_grant *out)
{
    struct tcp_relay *relay = slab_get(w->tcp_relays);

    if (relay == NULL) {
        return -ENOSPC;
    }
    int err = relay_ports_open(w->env->ports, want, false, w->now_ms, &relay->port);
    if (err < 0) {
        slab_put(w->tcp_relays, relay);
        return err;
    }
    relay->relay = want->relay;
    relay->scope = ++w->tcp_relay_scopes;
    relay->port.role = WORKER_TCP_RELAY;
    list_init(&relay->port.ready);
    relay->listener.handler = &accepted_handler;
    relay->listener.owner = relay;
    relay->listener.fd = relay->port.fd;
    relay->port.fd = -1; /* the listener's */
    err = stream_listen(w->streams, &relay->listener);
    if (err < 0) {
        tcp_relay_close(w, relay);
        return -ENOSPC;
    }
    *out = (struct turn_relay_grant){
        .port = &relay->port,
        .bound = relay->port.local,
        .relayed = external_relayed(w->external, &relay->port.local),
    };
    return 0;
}

void tcp_relay_close(struct worker *w, struct tcp_relay *relay)
{
    stream_unlisten(&relay->listener);
    relay_ports_close(w->env->ports, &relay->port, w->now_ms);
    slab_put(w->tcp_relays, relay);
}
