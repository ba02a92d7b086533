/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that go to another worker: the core's parcel, and the sockets that belong to it.
 *
 * A client that moves (RFC 8016) is reached in two ways, and both go along.
 *
 * Who lets a session go reads nothing of it any more and has sent all that it had for it; who takes
 * it in reads on where the other has stopped.  What comes meanwhile lies in the kernel: nothing is
 * lost, and nothing overtakes anything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/slab.h"
#include "io/udp_batch.h"
#include "log/log.h"
#include "offload/steer.h"
#include "relay/directory.h"
#include "relay/kernel_path.h"
#include "relay/quotas.h"
#include "relay/relay_ports.h"
#include "relay/stash.h"
#include "relay/way.h"
#include "relay/worker_int.h"

enum {
    RECORD_FIRST = 4096, /* bytes of a core's parcel: enough for nearly all */
    RECORD_MAX = 1 << 20,
};

struct session_parcel {
    struct session_parcel *next; /* in worker_handover.sessions */
    struct way way[2];           /* where the first is heard is where the session has to be */
    uint32_t way_count;
    uint32_t heard;             /* placed: the socket by which it was heard */
    bool placed;                /* for reasons of load: its packets have to be brought here */
    struct relay_sock relay[2]; /* fd -1: none */
    uint64_t session;           /* 0: an association without an allocation */
    uint32_t record_len;        /* of the core's parcel, a secret */
    uint8_t *record;
    uint32_t realm; /* its number, by which quotas count it */
    uint32_t quota_len;
    uint8_t quota_user[CREDENTIAL_NAME_MAX];
    uint32_t answer_len; /* 0: none */
    uint8_t *answer;
};

/* --- packing -------------------------------------------------------------------------------------
 */

/* As long as it is: many may be on their way at once. */
static int keep_record(struct session_parcel *p, const uint8_t *record, size_t len)
{
    p->record = mem_new(1, len);
    if (p->record == NULL) {
        return -ENOMEM;
    }
    memcpy(p->record, record, len);
    p->record_len = (uint32_t)len;
    return 0;
}

/* Write the core's parcel into memory of its own. */
static int pack_record(struct worker *w, struct session_parcel *p)
{
    int err = -ENOBUFS;

    for (size_t cap = RECORD_FIRST; err == -ENOBUFS && cap <= RECORD_MAX; cap *= 4) {
        uint8_t *record = mem_new(1, cap);
        if (record == NULL) {
            return -ENOMEM;
        }
        struct writer out = writer_over(record, cap);
        err = turn_server_pack(w->core, &p->way[0].tuple, w->now_ms, &out);
        if (err < 0) {
            secret_wipe(record, cap);
            free(record);
            continue;
        }
        err = keep_record(p, record, out.len);
        secret_wipe(record, cap);
        free(record);
    }
    return err;
}

static void forget_record(struct session_parcel *p)
{
    if (p->record != NULL) {
        secret_wipe(p->record, p->record_len);
        free(p->record);
    }
    p->record = NULL;
}

static void parcel_free(struct session_parcel *p)
{
    forget_record(p);
    free(p->answer);
    free(p);
}

/* The descriptor goes along; this worker's side of it is no more. */
static void pack_relay(struct worker *w, struct udp_port *port, struct relay_sock *out)
{
    out->port.fd = -1;
    if (port != NULL) {
        struct relay_sock *sock = CONTAINER_OF(port, struct relay_sock, port);

        loop_remove(w->loop, port->fd);
        list_remove(&port->ready);
        *out = *sock;
        slab_put(w->socks, sock);
    }
}

/* The session of the core, if there is one. */
static int pack_session(struct worker *w, struct session_parcel *p, void *ports[2])
{
    struct bytes user;

    p->relay[0].port.fd = -1;
    p->relay[1].port.fd = -1;
    if (turn_server_ports(w->core, &p->way[0].tuple, ports, &user) < 0) {
        return 0;
    }
    memcpy(p->quota_user, user.p, user.n);
    p->quota_len = (uint32_t)user.n;
    p->realm = turn_server_realm(w->core, &p->way[0].tuple);
    p->session = turn_server_session(w->core, &p->way[0].tuple);
    return pack_record(w, p);
}

/* The client may be heard at either address, by whichever worker: it has gone to `to`. */
static void remember(struct worker *w, const struct five_tuple *tuple, uint32_t to)
{
    struct five_tuple tuples[2];
    void *listeners[2];

    if (turn_server_moving(w->core, tuple, tuples, listeners)) {
        stray_remember(w, &tuples[0], to);
        stray_remember(w, &tuples[1], to);
    }
}

/* The connection, or what it is, cannot go along: it ends. */
static void end_way(struct worker *w, const struct turn_way *way)
{
    turn_server_client_closed(w->core, &way->tuple, way->listener, w->now_ms);
    if (net_is_stream(way->tuple.protocol)) {
        stream_close(way->listener, false);
    } else if (way->tuple.protocol == NET_DTLS) {
        dtls_close(w->dtls, way->listener);
    }
}

/* 1: the client's other way is packed; 0: there is none (any more); negative errno: the session
 * cannot be written down. */
static int pack_other(struct worker *w, struct session_parcel *p)
{
    struct turn_way ways[2];
    const struct five_tuple *first = &p->way[0].tuple;

    if (turn_server_ways(w->core, first, ways) < 2) {
        return 0;
    }
    const struct turn_way *other =
        memcmp(&ways[0].tuple, first, sizeof(*first)) == 0 ? &ways[1] : &ways[0];
    if (way_pack(w, &other->tuple, other->listener, &p->way[1]) == 0) {
        return 1;
    }
    end_way(w, other);
    forget_record(p);
    return pack_record(w, p);
}

/* The other way comes back, or is where it has come to. */
static void unpack_other(struct worker *w, struct session_parcel *p)
{
    void *listener = p->way_count > 1 ? way_unpack(w, &p->way[1]) : NULL;

    if (p->way_count > 1) {
        turn_server_set_listener(w->core, &p->way[1].tuple, listener);
    }
    if (p->way_count > 1 && listener == NULL) {
        turn_server_client_closed(w->core, &p->way[1].tuple, NULL, w->now_ms);
    }
}

/* Both ways.  0, or negative errno: they are here as before. */
static int pack_ways(struct worker *w, struct session_parcel *p, void *listener)
{
    const struct five_tuple tuple = p->way[0].tuple;
    const int other = pack_other(w, p);

    if (other < 0) {
        return other;
    }
    p->way_count = 1 + (uint32_t)other;
    const int err = way_pack(w, &tuple, listener, &p->way[0]);
    if (err < 0) {
        unpack_other(w, p);
        p->way_count = 0;
    }
    return err;
}

struct session_parcel *travel_pack(struct worker *w, const struct five_tuple *tuple, void *listener)
{
    struct session_parcel *p = mem_new(1, sizeof(*p));
    void *ports[2] = {NULL, NULL};

    if (p == NULL) {
        return NULL;
    }
    p->way[0].tuple = *tuple;
    if (pack_session(w, p, ports) < 0 || pack_ways(w, p, listener) < 0) {
        parcel_free(p);
        return NULL;
    }
    pack_relay(w, ports[0], &p->relay[0]);
    pack_relay(w, ports[1], &p->relay[1]);
    if (p->session != 0) {
        const int err = turn_server_forget(w->core, tuple);
        (void)err; /* it was just there */
        front_count(w->env->front, w->index, false);
    }
    return p;
}

int travel_answer(struct session_parcel *p, const uint8_t *data, uint32_t len)
{
    p->answer = mem_new(1, len);
    if (p->answer == NULL) {
        return -ENOMEM;
    }
    memcpy(p->answer, data, len);
    p->answer_len = len;
    return 0;
}

static void set_socket(struct way *way, uint32_t socket)
{
    way->socket = socket;
    way->client.socket = socket;
}

void travel_place(struct session_parcel *p, uint32_t socket)
{
    p->heard = p->way[0].socket;
    p->placed = true;
    set_socket(&p->way[0], socket);
}

void travel_unplace(struct session_parcel *p)
{
    if (p->placed) {
        p->placed = false;
        set_socket(&p->way[0], p->heard);
    }
}

void travel_heard(struct session_parcel *p, uint32_t socket)
{
    set_socket(&p->way[0], socket);
}

int travel_mail(struct worker *w, uint32_t to, struct session_parcel *p)
{
    const uint64_t session = p->session;

    if (session != 0) { /* before: whoever asks now finds it there, or on its way */
        directory_put(w->env->directory, session, to);
    }
    const int err = worker_try_mail_session(w, to, p);
    if (err < 0 && session != 0) {
        directory_put(w->env->directory, session, w->index);
    }
    return err;
}

/* --- the end of one that found no place ----------------------------------------------------------
 */

static void drop_one(struct worker *w, struct session_parcel *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->relay[i].port.fd >= 0) {
            relay_ports_close(w->env->ports, &p->relay[i].port, w->now_ms);
        }
    }
    for (uint32_t i = 0; i < p->way_count; i++) {
        way_drop(&p->way[i]);
    }
    if (p->session != 0) {
        quotas_give(w->env->quotas, p->realm, (struct bytes){p->quota_user, p->quota_len});
        directory_remove(w->env->directory, p->session);
        for (uint32_t i = 0; i < p->way_count; i++) {
            kernel_path_client(w->env->kernel_path, &p->way[i].tuple, false);
        }
        log_event(LOG_ERROR, "session.lost", LOG_ID("session", p->session),
                  LOG_ADDR("client", &p->way[0].tuple.client),
                  LOG_TEXT("why", "memory was exhausted when it was to change its worker"),
                  LOG_END);
    }
    parcel_free(p);
}

void travel_drop(struct worker *w, struct session_parcel *chain)
{
    while (chain != NULL) {
        struct session_parcel *p = chain;
        chain = p->next;
        drop_one(w, p);
    }
}

/* --- unpacking -----------------------------------------------------------------------------------
 */

static struct relay_sock *unpack_relay(struct worker *w, struct relay_sock *from)
{
    struct relay_sock *sock = from->port.fd >= 0 ? slab_get(w->socks) : NULL;

    if (sock == NULL) {
        return NULL;
    }
    *sock = *from;
    list_init(&sock->port.ready);
    sock->port.readable = false;
    sock->port.in_error = false;
    if (loop_add(w->loop, sock->port.fd, true, &sock->port.watch) < 0) {
        slab_put(w->socks, sock);
        return NULL;
    }
    from->port.fd = -1; /* taken */
    return sock;
}

/* The relay sockets are here; the core has not taken them. */
static void unpack_undo(struct worker *w, struct relay_sock *const socks[2])
{
    for (int i = 0; i < 2; i++) {
        if (socks[i] != NULL) {
            relay_ports_close(w->env->ports, &socks[i]->port, w->now_ms);
            slab_put(w->socks, socks[i]);
        }
    }
}

static int unpack_session(struct worker *w, struct session_parcel *p, void *listener)
{
    const bool wanted[2] = {p->relay[0].port.fd >= 0, p->relay[1].port.fd >= 0};
    struct turn_relay *relays[2] = {NULL, NULL};
    struct relay_sock *socks[2];
    void *ports[2];

    for (int i = 0; i < 2; i++) {
        socks[i] = unpack_relay(w, &p->relay[i]);
        ports[i] = socks[i] != NULL ? &socks[i]->port : NULL;
    }
    int err = -ENOSPC;
    if (wanted[0] == (socks[0] != NULL) && wanted[1] == (socks[1] != NULL)) {
        const struct bytes record = {p->record, p->record_len};
        err = turn_server_unpack(w->core, record, listener, ports, relays, w->now_ms);
    }
    if (err < 0) {
        unpack_undo(w, socks);
        return err;
    }
    turn_server_set_realm(w->core, &p->way[0].tuple, p->realm);
    for (int i = 0; i < 2; i++) {
        if (socks[i] != NULL) {
            socks[i]->relay = relays[i];
        }
    }
    return 0;
}

/* Before the answer goes out everything that it promises is in place. */
static void settle(struct worker *w, const struct session_parcel *p, void *listener)
{
    front_count(w->env->front, w->index, true);
    stats_add(&w->count.moved_in, 1);
    directory_put(w->env->directory, p->session, w->index);
    struct pkt *pkt = p->answer_len > 0 ? path_place(w) : NULL;
    if (pkt == NULL) {
        return;
    }
    memcpy(pkt->data, p->answer, p->answer_len);
    pkt->len = p->answer_len;
    pkt->remote = p->way[0].tuple.client;
    pkt->local = p->way[0].tuple.server;
    pkt->port = listener;
    pkt->transport = (uint8_t)p->way[0].tuple.protocol;
    path_to_client(w, pkt, STREAM_CONTROL);
}

/* Bring the packets of a session that was placed here.  When the kernel has no room for it, the
 * session goes back to where its client is heard. */
static void steer_placed(struct worker *w, struct session_parcel *p)
{
    struct steer *steer = w->env->front->steer;

    const struct way *way = &p->way[0];

    if (!p->placed || way->own_socket || steer == NULL) {
        return;
    }
    if (steer_put(steer, &way->tuple.client, &way->tuple.server, way->socket) < 0) {
        stats_add(&w->count.unsteered, 1);
        set_socket(&p->way[0], p->heard);
    }
    p->placed = false;
}

static void unpack_one(struct worker *w, struct session_parcel *p)
{
    steer_placed(w, p);
    /* A socket may have changed hands while it was under way. */
    const uint32_t reader = way_reader(w, &p->way[0]);

    if (reader != w->index && reader < front_made(w->env->front) &&
        travel_mail(w, reader, p) == 0) {
        return;
    }

    void *listener = way_unpack(w, &p->way[0]);

    if (listener == NULL || (p->session != 0 && unpack_session(w, p, listener) < 0)) {
        way_abandon(w, &p->way[0], listener);
        drop_one(w, p);
        return;
    }
    if (p->session != 0) {
        unpack_other(w, p);
        settle(w, p, listener);
    }
    parcel_free(p);
}

void travel_unpack(struct worker *w, struct session_parcel *chain)
{
    while (chain != NULL) {
        struct session_parcel *p = chain;
        chain = p->next;
        p->next = NULL;
        unpack_one(w, p);
    }
}

/* --- a listener with all that belongs to it ------------------------------------------------------
 */

/* The sessions that come by `slot`, as a chain. */
struct leavers {
    struct worker *w;
    const struct worker_listener *slot;
    uint32_t to;
    struct session_parcel **last;
};

/* Does the session come by `slot`?  With a socket of its own, it was the socket that it came by. */
static bool comes_by(const struct leavers *l, const struct five_tuple *tuple, void *listener)
{
    struct udp_port *port = way_port(l->w, tuple, listener);
    const struct worker_listener *slot = l->slot;

    if (port != NULL && port->role == WORKER_CLIENT) {
        const struct client_socket *own = CONTAINER_OF(port, struct client_socket, port);
        return own->item == slot->item && own->socket == slot->socket;
    }
    return port == &slot->port;
}

static void leave(struct leavers *l, const struct five_tuple *tuple, void *listener)
{
    remember(l->w, tuple, l->to);
    struct session_parcel *p = travel_pack(l->w, tuple, listener);

    if (p != NULL) {
        *l->last = p;
        l->last = &p->next;
    }
}

static void each_session(void *arg, const struct five_tuple *tuple, void *listener)
{
    struct leavers *l = arg;

    if (comes_by(l, tuple, listener)) {
        const struct five_tuple copy = *tuple;
        leave(l, &copy, listener);
    }
}

/* Associations without an allocation. */
static void each_association(void *arg, struct dtls_client *client)
{
    struct leavers *l = arg;

    if (dtls_port(client) == &l->slot->port) {
        const struct five_tuple tuple = {
            .client = *dtls_remote(client),
            .server = *dtls_local(client),
            .protocol = NET_DTLS,
        };
        leave(l, &tuple, client);
    }
}

void travel_hand_over(struct worker *w, struct worker_handover *message)
{
    struct worker_listener *slot = worker_slot(w, message->item, message->socket);
    struct leavers l = {.w = w, .slot = slot, .to = message->to, .last = &message->sessions};

    place_departures(w);
    path_flush(w);
    effects_reap(w);
    if (slot != NULL) {
        worker_unread(w, slot);
        stash_forget(w->stash, &slot->port); /* their clients will ask again, elsewhere */
        atomic_store_explicit(&slot->item->reader[slot->socket], message->to, memory_order_release);
        message->overflow = slot->port.overflow;
        message->gro = slot->port.gro;
        message->gro_score = slot->port.gro_score;
        message->buffer_full = slot->port.buffer_full;
        if (!slot->spec->stream) {
            turn_server_each(w->core, each_session, &l);
            dtls_each(w->dtls, each_association, &l);
        }
    }
    stray_tell(w, message->to);
    worker_mail_handover(w, message);
}

void travel_take_over(struct worker *w, struct worker_handover *message)
{
    struct worker_listener *slot = worker_slot(w, message->item, message->socket);

    travel_unpack(w, message->sessions);
    if (slot != NULL) {
        slot->port.overflow = message->overflow;
        slot->port.gro = message->gro;
        slot->port.gro_score = message->gro_score;
        slot->port.buffer_full = message->buffer_full;
        slot->closed = message->closed;
    }
    const int err = worker_read(w, message->item, message->socket);
    if (err < 0) {
        log_event(LOG_ERROR, "listener.lost", LOG_ADDR("listener", &message->item->spec.addr),
                  LOG_TEXT("why", strerror(-err)), LOG_END);
    }
    (void)sem_post(message->done); /* the message is not ours any more */
}

/* --- buckets of a dispatcher ---------------------------------------------------------------------
 */

/* Where each bucket's sessions go: one letter for each worker, however many sessions are in it. */
struct movers {
    struct worker *w;
    struct session_parcel **to; /* by worker */
};

/* Its client moves, and has been heard last somewhere else: the session is to be there. */
static bool comes_another_way(const struct worker *w, const struct five_tuple *tuple)
{
    struct turn_way ways[2];

    return turn_server_ways(w->core, tuple, ways) == 2 &&
           memcmp(&ways[0].tuple, tuple, sizeof(*tuple)) == 0 &&
           way_port(w, &ways[1].tuple, ways[1].listener) != NULL;
}

static void rebucket_one(struct movers *m, const struct five_tuple *tuple, void *listener)
{
    if (way_port(m->w, tuple, listener) == NULL || comes_another_way(m->w, tuple)) {
        return;
    }
    const uint32_t home = way_bucket_worker(m->w, tuple);
    if (home == m->w->index) {
        return;
    }
    remember(m->w, tuple, home);
    struct session_parcel *p = travel_pack(m->w, tuple, listener);
    if (p != NULL) {
        p->next = m->to[home];
        m->to[home] = p;
    }
}

static void rebucket_session(void *arg, const struct five_tuple *tuple, void *listener)
{
    const struct five_tuple copy = *tuple;

    rebucket_one(arg, &copy, listener);
}

static void rebucket_association(void *arg, struct dtls_client *client)
{
    const struct five_tuple tuple = {
        .client = *dtls_remote(client),
        .server = *dtls_local(client),
        .protocol = NET_DTLS,
    };

    rebucket_one(arg, &tuple, client);
}

void travel_rebucket(struct worker *w)
{
    const uint32_t workers = front_workers_max(w->env->front);
    struct movers m = {.w = w, .to = mem_new(workers, sizeof(struct session_parcel *))};

    if (m.to == NULL) {
        return; /* their sessions are lost to their clients: nothing can be done */
    }
    place_departures(w);
    path_flush(w);
    effects_reap(w);
    turn_server_each(w->core, rebucket_session, &m);
    dtls_each(w->dtls, rebucket_association, &m);
    for (uint32_t i = 0; i < workers; i++) {
        if (m.to[i] != NULL) {
            worker_mail_sessions(w, i, m.to[i]);
        }
        if (i < front_made(w->env->front)) {
            stray_tell(w, i);
        }
    }
    free(m.to);
}
