/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that are heard by one worker while their session is another's: a client has changed its
 * address (RFC 8016), and the kernel's hash has put the new one elsewhere.
 *
 * Copies go by mail: this is for requests, and for what was under way while a session moved, never
 * the way of a flow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab.h"
#include "base/table.h"
#include "io/udp_batch.h"
#include "relay/worker_int.h"

enum {
    FORWARD_MS = 10 * 1000, /* longer than anything is under way; anew with every packet... */
    FORWARD_MOST_MS = 5 * 60 * 1000, /* ...of a client that is slow to leave its old address */
    FORWARDS_MAX = 1024,
    HOPS_MAX = 3,
};

struct stray {
    const struct front_item *item;
    uint32_t socket; /* by which it was heard */
    struct net_addr remote;
    struct net_addr local;
    uint8_t tos;
    uint8_t hops;
    uint32_t len;
    uint8_t data[];
};

/* Where a session has gone. */
struct forward {
    struct five_tuple tuple;
    uint32_t to;
    uint64_t expires_ms;
    uint64_t last_ms; /* it never lives longer */
    struct list node; /* longest unused first */
};

struct forwards {
    struct table by_tuple;
    struct list by_age;
    struct slab *slab; /* FORWARDS_MAX of them */
    uint32_t count;
};

void stray_drop(struct stray *stray)
{
    free(stray);
}

void stray_send(struct worker *w, uint32_t to, const struct pkt *pkt)
{
    struct udp_port *port = pkt->port;
    struct stray *stray = pkt->transport == NET_UDP && to < front_made(w->env->front) &&
                                  to != w->index && w->stray_hops < HOPS_MAX
                              ? mem_new(1, sizeof(*stray) + pkt->len)
                              : NULL;

    if (stray == NULL) {
        return; /* lost, as on any network */
    }
    if (port->role == WORKER_CLIENT) {
        const struct client_socket *own = CONTAINER_OF(port, struct client_socket, port);
        stray->item = own->item;
        stray->socket = own->socket;
    } else {
        const struct worker_listener *slot = CONTAINER_OF(port, struct worker_listener, port);
        stray->item = slot->item;
        stray->socket = slot->socket;
    }
    stray->remote = pkt->remote;
    stray->local = pkt->local;
    stray->tos = pkt->tos;
    stray->hops = (uint8_t)(w->stray_hops + 1);
    stray->len = pkt->len;
    memcpy(stray->data, pkt->data, pkt->len);
    stats_add(&w->count.strays, 1);
    if (worker_try_mail_stray(w, to, stray) < 0) {
        free(stray);
    }
}

void stray_take(struct worker *w, struct stray *stray)
{
    struct worker_listener *slot = worker_slot(w, stray->item, stray->socket);
    struct pkt *pkt = path_place(w);

    if (slot != NULL && pkt != NULL) {
        memcpy(pkt->data, stray->data, stray->len);
        pkt->len = stray->len;
        pkt->remote = stray->remote;
        pkt->local = stray->local;
        pkt->tos = stray->tos;
        pkt->port = &slot->port;
        w->stray_hops = stray->hops;
        path_from_listener(w, slot, pkt);
        client_dtls_serve(w);
        w->stray_hops = 0;
    }
    free(stray);
}

/* --- forwarding addresses ------------------------------------------------------------------------
 */

static void forward_free(struct forwards *f, struct forward *forward)
{
    (void)table_remove(&f->by_tuple, &forward->tuple);
    list_remove(&forward->node);
    slab_put(f->slab, forward);
    f->count--;
}

static struct forwards *forwards_new(const struct worker *w)
{
    struct forwards *f = mem_new(1, sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    f->slab = slab_new(sizeof(struct forward), FORWARDS_MAX);
    if (f->slab == NULL) {
        free(f);
        return NULL;
    }
    table_init(&f->by_tuple, offsetof(struct forward, tuple), sizeof(struct five_tuple),
               w->env->front->key);
    list_init(&f->by_age);
    return f;
}

void stray_remember(struct worker *w, const struct five_tuple *tuple, uint32_t to)
{
    const bool datagrams = tuple->protocol != 0 && !net_is_stream(tuple->protocol);
    struct forwards *f = w->forwards != NULL || !datagrams ? w->forwards : forwards_new(w);

    if (f == NULL || !datagrams) {
        return;
    }
    w->forwards = f;
    struct forward *old = table_find(&f->by_tuple, tuple);
    if (old == NULL && f->count == FORWARDS_MAX) {
        old = CONTAINER_OF(f->by_age.next, struct forward, node);
    }
    if (old != NULL) {
        forward_free(f, old);
    }
    struct forward *forward = slab_get(f->slab);
    if (forward == NULL) {
        return;
    }
    forward->tuple = *tuple;
    forward->to = to;
    forward->expires_ms = w->now_ms + FORWARD_MS;
    forward->last_ms = w->now_ms + FORWARD_MOST_MS;
    list_init(&forward->node);
    if (table_insert(&f->by_tuple, forward) < 0) {
        slab_put(f->slab, forward);
        return;
    }
    list_push(&f->by_age, &forward->node);
    f->count++;
}

void stray_recall(struct worker *w, const struct five_tuple *tuple)
{
    struct forward *forward =
        w->forwards != NULL ? table_find(&w->forwards->by_tuple, tuple) : NULL;

    if (forward != NULL) {
        forward_free(w->forwards, forward);
    }
}

/* A copy of them for another worker. */
struct forward_list {
    uint32_t count;

    struct {
        struct five_tuple tuple;
        uint32_t to;
    } item[];
};

void stray_tell(struct worker *w, uint32_t to)
{
    const struct forwards *f = w->forwards;

    if (f == NULL || to == w->index) {
        return;
    }
    struct forward_list *list = mem_new(1, sizeof(*list) + f->count * sizeof(list->item[0]));
    if (list == NULL) {
        return;
    }
    LIST_EACH (node, &f->by_age) {
        const struct forward *forward = CONTAINER_OF(node, struct forward, node);
        list->item[list->count].tuple = forward->tuple;
        list->item[list->count++].to = forward->to;
    }
    if (worker_try_mail_forwards(w, to, list) < 0) {
        free(list);
    }
}

void stray_told(struct worker *w, struct forward_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->item[i].to != w->index) {
            stray_remember(w, &list->item[i].tuple, list->item[i].to);
        }
    }
    free(list);
}

/* RFC 8016 section 3.2.2: the old address is served until data comes from the new one. */
static void used(struct worker *w, struct forward *forward)
{
    const uint64_t expires_ms = w->now_ms + FORWARD_MS;

    forward->expires_ms = expires_ms < forward->last_ms ? expires_ms : forward->last_ms;
    list_remove(&forward->node);
    list_push(&w->forwards->by_age, &forward->node);
}

bool stray_forward(struct worker *w, const struct five_tuple *tuple, const struct pkt *pkt)
{
    struct forward *forward = table_find(&w->forwards->by_tuple, tuple);

    if (forward == NULL || forward->expires_ms <= w->now_ms) {
        return false;
    }
    if (turn_server_has_allocation(w->core, tuple)) { /* it has come back */
        forward_free(w->forwards, forward);
        return false;
    }
    used(w, forward);
    /* Its own client of an association has gone with it: what comes is its records. */
    if (pkt->transport == NET_PROXIED) {
        elsewhere_send(w, forward->to, pkt);
    } else {
        stray_send(w, forward->to, pkt);
    }
    return true;
}

void stray_tick(struct worker *w)
{
    struct forwards *f = w->forwards;

    LIST_EACH_SAFE (node, &f->by_age) {
        struct forward *oldest = CONTAINER_OF(node, struct forward, node);
        if (oldest->expires_ms > w->now_ms) {
            return;
        }
        forward_free(f, oldest);
    }
    stray_forget(w);
}

void stray_forget(struct worker *w)
{
    struct forwards *f = w->forwards;

    if (f == NULL) {
        return;
    }
    LIST_EACH_SAFE (node, &f->by_age) {
        forward_free(f, CONTAINER_OF(node, struct forward, node));
    }
    table_fini(&f->by_tuple);
    slab_free(f->slab);
    free(f);
    w->forwards = NULL;
}
