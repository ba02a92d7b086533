/* SPDX-License-Identifier: Apache-2.0 */
/* Where a session is to live.
 *
 * A new session is placed when its Allocate has succeeded, before the client knows of it: it goes
 * to its worker together with the answer, so whatever the client sends next finds it there.  What
 * the client has sent until then can only be that Allocate once more, which the core remembers. */
#include <errno.h>
#include <string.h>

#include "base/slab.h"
#include "io/udp_batch.h"
#include "offload/steer.h"
#include "relay/directory.h"
#include "relay/way.h"
#include "relay/worker_int.h"

enum {
    ANSWER_MAX = 2048, /* no response is longer */
    DRAIN_TURNS = 64,
    DEPARTURES = 1024, /* of one turn; more stay where they are heard */
};

/* A session that is to leave when the turn ends, and what its client is to be told then. */
struct departure {
    struct list node;
    struct five_tuple tuple;
    struct worker_listener *slot; /* by which the client has been heard */
    uint32_t to;                  /* this worker: it only gets a socket of its own */
    bool own_socket;
    bool moved;
    struct five_tuple was; /* moved: where the client may still be heard */
    uint32_t len;
    uint8_t answer[ANSWER_MAX];
};

/* --- choice --------------------------------------------------------------------------------------
 */

/* Where the client is heard is where its session has to be, unless its packets can be brought to
 * any worker. */
static uint32_t home_of(const struct worker *w, const struct worker_listener *slot,
                        const struct newcomer *who)
{
    struct front *front = w->env->front;

    switch (front->engine) {
    case FRONT_DISPATCH:
        return front_bucket_worker(front,
                                   front_bucket(front, &who->tuple.client, &who->tuple.server));
    case FRONT_REUSEPORT:
        if (!slot->item->steered) {
            return front_reader(slot->item, slot->socket);
        }
        return who->moved ? w->index : front_least_loaded(front, w->index);
    case FRONT_CONNECTED:
        return who->moved ? w->index : front_least_loaded(front, w->index);
    case FRONT_PAIRED:
    default:
        return front_reader(slot->item, slot->socket);
    }
}

/* The socket by which a session of `worker` is to be reached: where its packets can be brought to
 * any, it belongs to one that its worker reads, and moves with that one. */
static uint32_t socket_for(const struct front *front, const struct worker_listener *slot,
                           uint32_t worker)
{
    const bool any = front->engine == FRONT_CONNECTED ||
                     (front->engine == FRONT_REUSEPORT && slot->item->steered);

    return any && worker < slot->item->sockets ? worker : slot->socket;
}

/* Bring its packets here.  A full table: the kernel's hash may be right all the same. */
static void steer_here(struct worker *w, const struct five_tuple *tuple, uint32_t socket)
{
    struct steer *steer = w->env->front->steer;

    if (steer != NULL && steer_put(steer, &tuple->client, &tuple->server, socket) < 0) {
        stats_add(&w->count.unsteered, 1);
    }
}

static bool depart(struct worker *w, const struct newcomer *who, struct worker_listener *slot,
                   uint32_t to, bool own_socket, const struct pkt *answer)
{
    struct departure *d = answer->len <= ANSWER_MAX ? slab_get(w->leaving) : NULL;

    if (d == NULL) {
        return false; /* it stays, and works as well as it can */
    }
    d->tuple = who->tuple;
    d->slot = slot;
    d->to = to;
    d->own_socket = own_socket;
    d->moved = who->moved;
    d->was = who->was;
    d->len = answer->len;
    memcpy(d->answer, answer->data, answer->len);
    list_init(&d->node);
    list_push(&w->departures, &d->node);
    return true;
}

static bool place_udp(struct worker *w, const struct newcomer *who, const struct pkt *pkt)
{
    struct front *front = w->env->front;
    const bool own_socket = front->engine == FRONT_CONNECTED;
    struct udp_port *port = pkt->port;
    struct worker_listener *slot;

    if (port->role != WORKER_CLIENT) {
        slot = way_slot(port);
    } else if (!port->closing) {
        return false; /* a new session of a client that has its socket already */
    } else {          /* its last session has ended in this turn, and the socket with it */
        const struct client_socket *own = CONTAINER_OF(port, struct client_socket, port);
        slot = worker_slot(w, own->item, own->socket);
        if (slot == NULL) {
            return false;
        }
        turn_server_set_listener(w->core, &who->tuple, &slot->port);
    }
    const uint32_t home = home_of(w, slot, who);
    if (home != w->index || own_socket) {
        return depart(w, who, slot, home, own_socket, pkt);
    }
    const uint32_t socket = socket_for(front, slot, w->index);
    struct worker_listener *mine =
        socket != slot->socket ? worker_slot(w, slot->item, socket) : NULL;
    if (mine != NULL) {
        turn_server_set_listener(w->core, &who->tuple, &mine->port);
    }
    steer_here(w, &who->tuple, mine != NULL ? socket : slot->socket);
    return false;
}

/* One that comes by an association or a balancer.  The kernel can bring an association's packets
 * here where it is steered; else the session goes to where they are heard, with the association. */
static bool place_carried(struct worker *w, const struct newcomer *who, const struct pkt *pkt)
{
    struct udp_port *port = way_port(w, &who->tuple, pkt->port);
    if (port == NULL) {
        return false;
    }
    struct worker_listener *slot = way_slot(port);
    const uint32_t home = w->env->front->engine == FRONT_DISPATCH
                              ? way_bucket_worker(w, &who->tuple)
                              : front_reader(slot->item, slot->socket);
    if (home != w->index && who->moved) {
        return depart(w, who, slot, home, false, pkt);
    }
    if (pkt->transport == NET_DTLS) {
        steer_here(w, &who->tuple, slot->socket);
    }
    return false;
}

bool place_newcomer(struct worker *w, const struct pkt *pkt)
{
    const struct newcomer who = w->newcomer;

    w->newcomer.pending = false;
    if (!net_addr_equal(&pkt->remote, &who.tuple.client)) {
        return false; /* the newcomer's answer could not be made */
    }
    return pkt->transport == NET_UDP ? place_udp(w, &who, pkt) : place_carried(w, &who, pkt);
}

/* --- leaving -------------------------------------------------------------------------------------
 */

/* It could not leave: the client is answered from here. */
static void answer_here(struct worker *w, const struct departure *d, void *listener)
{
    struct pkt *pkt = path_place(w);

    memcpy(pkt->data, d->answer, d->len);
    pkt->len = d->len;
    pkt->remote = d->tuple.client;
    pkt->local = d->tuple.server;
    pkt->port = listener;
    pkt->transport = (uint8_t)d->tuple.protocol;
    path_to_client(w, pkt, STREAM_CONTROL);
}

/* What reaches a client that does not come by a plain socket. */
static void *carrier(const struct worker *w, const struct five_tuple *tuple)
{
    struct turn_way ways[2];
    const uint32_t count = turn_server_ways(w->core, tuple, ways);

    return ways[count == 2 && memcmp(&ways[1].tuple, tuple, sizeof(*tuple)) == 0].listener;
}

/* What reaches the client: its own socket, if it is to have one. */
static void *way_out(struct worker *w, const struct departure *d)
{
    if (d->tuple.protocol != NET_UDP) {
        return carrier(w, &d->tuple);
    }
    struct client_socket *own = d->own_socket ? client_socket_open(w, &d->tuple, d->slot) : NULL;

    if (own == NULL) {
        return &d->slot->port;
    }
    turn_server_set_listener(w->core, &d->tuple, &own->port);
    return &own->port;
}

/* What the client has sent from where it was, before it asked, comes first. */
static void drain(struct worker *w)
{
    for (int i = 0; i < DRAIN_TURNS; i++) {
        if (loop_turn(w->loop, w->now_ms, w->now_ms) == 0 && list_empty(&w->ready)) {
            return;
        }
        path_run(w);
    }
}

static void send_off(struct worker *w, const struct departure *d)
{
    if (d->moved && d->to != w->index) {
        drain(w);
    }
    if (!turn_server_has_allocation(w->core, &d->tuple)) {
        return; /* deleted in the same turn; its client has been told so */
    }
    void *listener = way_out(w, d);
    /* Without the socket that it was to have, it lives where it is heard. */
    const bool stays = d->to == w->index || (d->own_socket && listener == &d->slot->port);
    struct session_parcel *p = stays ? NULL : travel_pack(w, &d->tuple, listener);
    if (p == NULL) {
        answer_here(w, d, listener);
        return;
    }
    if (d->tuple.protocol == NET_UDP) { /* others are heard where they are to be */
        travel_place(p, socket_for(w->env->front, d->slot, d->to));
    }
    if (travel_answer(p, d->answer, d->len) < 0 || travel_mail(w, d->to, p) < 0) {
        travel_unplace(p);
        travel_unpack(w, p); /* it is busy enough: back again, and answered from here */
    } else if (d->moved) {
        stray_remember(w, &d->was, d->to);
    }
}

void place_departures(struct worker *w)
{
    struct list *node;

    while ((node = list_shift(&w->departures)) != NULL) {
        struct departure *d = CONTAINER_OF(node, struct departure, node);
        send_off(w, d);
        slab_put(w->leaving, d);
    }
}

int place_new(struct worker *w)
{
    w->leaving = slab_new(sizeof(struct departure), DEPARTURES);
    return w->leaving != NULL ? 0 : -ENOMEM;
}

void place_free(struct worker *w)
{
    list_init(&w->departures);
    slab_free(w->leaving);
    w->leaving = NULL;
}

/* --- the end -------------------------------------------------------------------------------------
 */

void place_begun(struct worker *w, uint64_t session)
{
    front_count(w->env->front, w->index, true);
    directory_put(w->env->directory, session, w->index);
}

void place_left(struct worker *w, const struct five_tuple *was, void *listener)
{
    struct front *front = w->env->front;
    struct udp_port *port = listener;

    if (front->steer != NULL && (was->protocol == NET_UDP || was->protocol == NET_DTLS)) {
        steer_del(front->steer, &was->client, &was->server);
    }
    if (front->engine == FRONT_CONNECTED && was->protocol == NET_UDP && port != NULL &&
        port->role == WORKER_CLIENT) {
        client_socket_close(w, CONTAINER_OF(port, struct client_socket, port));
    }
}

void place_ended(struct worker *w, const struct turn_event *event)
{
    const struct five_tuple tuple = {*event->client, *event->server, event->transport};

    front_count(w->env->front, w->index, false);
    directory_remove(w->env->directory, event->session);
    place_left(w, &tuple, event->listener);
}
