/* SPDX-License-Identifier: Apache-2.0 */
/* A Refresh with a ticket (RFC 8016) is heard here, and another worker has the session: that one
 * judges it.
 *
 *   UDP            the datagram goes there (stray.c)
 *   a balancer's   and the way back to its balancer
 *   DTLS           the association goes there, too, with what it has said; it comes back at once
 *                  when it is refused, and with the session if that is to be where it is heard
 *   TCP, TLS       the connection goes there, and stays (client_stream.c)
 *
 * Only an authentic ticket leads anywhere: strangers move nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/udp_batch.h"
#include "relay/stash.h"
#include "relay/way.h"
#include "relay/worker_int.h"

enum { HOPS_MAX = 3 };

struct errand {
    struct way way;  /* to who asks; of a client behind a balancer a copy */
    uint32_t socket; /* by which it is heard */
    uint8_t hops;
    uint8_t tos;
    uint32_t len;
    uint8_t data[];
};

void elsewhere_drop(struct errand *errand)
{
    way_drop(&errand->way);
    free(errand);
}

/* --- there --------------------------------------------------------------------------------------
 */

/* It stays: there is no room for it where it was to go. */
static void put_back(struct worker *w, struct errand *errand)
{
    if (way_unpack(w, &errand->way) != NULL && errand->way.tuple.protocol == NET_PROXIED) {
        proxied_keep(w->proxied, &errand->way.tuple.client, &errand->way.tuple.server, false);
    }
    elsewhere_drop(errand);
}

void elsewhere_send(struct worker *w, uint32_t to, const struct pkt *pkt)
{
    if (pkt->transport == NET_UDP) {
        stray_send(w, to, pkt);
        return;
    }
    struct errand *errand =
        to < front_made(w->env->front) && to != w->index && w->stray_hops < HOPS_MAX
            ? mem_new(1, sizeof(*errand) + pkt->len)
            : NULL;
    if (errand == NULL) {
        return; /* lost, as on any network */
    }
    const struct five_tuple tuple = {pkt->remote, pkt->local, pkt->transport};
    memcpy(errand->data, pkt->data, pkt->len);
    errand->len = pkt->len;
    errand->tos = pkt->tos;
    errand->hops = (uint8_t)(w->stray_hops + 1);
    if (way_pack(w, &tuple, pkt->port, &errand->way) < 0) {
        free(errand);
        return;
    }
    errand->socket = errand->way.socket;
    stats_add(&w->count.strays, 1);
    if (worker_try_mail_errand(w, to, errand) < 0) {
        put_back(w, errand);
    } else {
        stray_remember(w, &tuple, to);
    }
}

/* --- here ---------------------------------------------------------------------------------------
 */

/* Where the kernel can bring its packets to any worker, they come here from now on if it stays. */
static void choose_socket(struct worker *w, struct way *way)
{
    if (way->tuple.protocol == NET_DTLS && way->item->steered && w->index < way->item->sockets) {
        way->socket = w->index;
    }
}

/* Nothing holds the association here: it goes back to where it is heard. */
static void send_home(struct worker *w, const struct errand *errand, struct dtls_client *client)
{
    struct session_parcel *parcel = travel_pack(w, &errand->way.tuple, client);

    if (parcel != NULL) {
        travel_heard(parcel, errand->socket);
        stray_remember(w, &errand->way.tuple, front_reader(errand->way.item, errand->socket));
        travel_unpack(w, parcel);
    }
}

static void judged(struct worker *w, const struct errand *errand)
{
    const struct five_tuple *tuple = &errand->way.tuple;
    struct dtls_client *client =
        tuple->protocol == NET_DTLS ? dtls_find(w->dtls, &tuple->client, &tuple->server) : NULL;

    if (client == NULL) {
        return; /* it has ended, or gone on */
    }
    if (turn_server_has_allocation(w->core, tuple)) {
        client_dtls_set_idle(w, client);
    } else {
        send_home(w, errand, client);
    }
}

void elsewhere_take(struct worker *w, struct errand *errand)
{
    choose_socket(w, &errand->way);
    void *listener = way_unpack(w, &errand->way);
    struct pkt *pkt = listener != NULL ? path_place(w) : NULL;

    if (pkt != NULL) {
        const struct five_tuple *tuple = &errand->way.tuple;
        if (tuple->protocol == NET_PROXIED) { /* not unless it has, or gets something */
            proxied_keep(w->proxied, &tuple->client, &tuple->server,
                         turn_server_has_allocation(w->core, tuple));
        }
        memcpy(pkt->data, errand->data, errand->len);
        pkt->len = errand->len;
        pkt->remote = errand->way.tuple.client;
        pkt->local = errand->way.tuple.server;
        pkt->tos = errand->tos;
        pkt->transport = (uint8_t)errand->way.tuple.protocol;
        pkt->port = listener;
        w->stray_hops = errand->hops;
        path_from_client(w, pkt);
        judged(w, errand);
        w->stray_hops = 0;
    }
    elsewhere_drop(errand);
}
