/* SPDX-License-Identifier: Apache-2.0 */
/* Clients on DTLS associations (RFC 7350): records in, packets to the core, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls.h"
#include "io/udp_batch.h"
#include "io/udp_tx.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/stash.h"
#include "relay/worker_int.h"
#include "wire/demux.h"
#include "wire/stun_msg.h"

enum { GRACE_S = 60 };

static void on_send(void *arg, void *port, const struct net_addr *local,
                    const struct net_addr *remote, const uint8_t *data, uint32_t len)
{
    struct worker *w = arg;
    struct pkt *pkt = path_place(w);

    if (pkt == NULL) {
        return; /* an alert that would have cost another's packet */
    }
    memcpy(pkt->data, data, len);
    pkt->len = len;
    pkt->port = port;
    pkt->local = *local;
    pkt->remote = *remote;
    udp_tx_queue(w->batch, pkt);
}

/* Only Binding passes where stun.nat-discovery was negotiated (RFC 7301 section 3.2). */
static bool is_allowed(const struct dtls_client *client, const struct pkt *pkt)
{
    return !dtls_is_discovery(client) || (pkt->len >= STUN_HEADER && stun_is_binding(pkt->data));
}

/* An association without an allocation is closed when it is idle; with one, when its client would
 * have had to refresh it (T-7350-3-03). */
void client_dtls_set_idle(struct worker *w, struct dtls_client *client)
{
    const struct five_tuple tuple = {
        .client = *dtls_remote(client),
        .server = *dtls_local(client),
        .protocol = NET_DTLS,
    };
    const uint32_t lifetime_ms = (w->settings->config.max_lifetime_s + GRACE_S) * 1000;

    dtls_set_idle(w->dtls, client,
                  turn_server_has_allocation(w->core, &tuple) ? lifetime_ms
                                                              : w->settings->client_idle_ms,
                  w->now_ms);
}

/* The packet goes on to the batch in a place of its own: a datagram may hold several records. */
static void on_message(void *arg, struct dtls_client *client, struct pkt *record)
{
    struct worker *w = arg;

    if (record->len == 0 || !is_allowed(client, record)) {
        return;
    }
    struct pkt *pkt = path_place(w);
    memcpy(pkt->data, record->data, record->len);
    pkt->len = record->len;
    pkt->remote = *dtls_remote(client);
    pkt->local = *dtls_local(client);
    pkt->tos = record->tos;
    pkt->transport = NET_DTLS;
    pkt->port = client;
    const bool control = demux_first_byte(pkt->data[0]) == DEMUX_STUN;
    path_from_client(w, pkt);
    if (control) { /* harmless when it has gone */
        client_dtls_set_idle(w, client);
    }
}

static void on_closed(void *arg, struct dtls_client *client, enum dtls_close why)
{
    struct worker *w = arg;
    const struct five_tuple tuple = {
        .client = *dtls_remote(client),
        .server = *dtls_local(client),
        .protocol = NET_DTLS,
    };

    stash_forget(w->stash, client);
    (void)why; /* replaced, too: whoever is at that address now begins anew */
    turn_server_client_closed(w->core, &tuple, client, w->now_ms);
}

/* --- datagrams ----------------------------------------------------------------------------------
 */

/* The longest record there is, with its head (RFC 6347 section 4.1). */
enum { DATAGRAM_MAX = 13 + 16384 + 2048 };

struct client_dtls_datagrams {
    uint32_t count;

    struct {
        struct pkt pkt;
        uint8_t buf[PKT_HEADROOM + DATAGRAM_MAX];
    } kept[CLIENT_DTLS_DATAGRAMS];
};

void client_dtls_keep(struct worker *w, const struct pkt *pkt)
{
    struct client_dtls_datagrams *in = w->dtls_datagrams;

    if (pkt->len > DATAGRAM_MAX || in->count == CLIENT_DTLS_DATAGRAMS) {
        return; /* no record is so long; more are never read at once */
    }
    struct pkt *copy = &in->kept[in->count].pkt;
    *copy = *pkt;
    copy->buf = in->kept[in->count].buf;
    copy->data = copy->buf + PKT_HEADROOM;
    copy->cap = DATAGRAM_MAX;
    memcpy(copy->data, pkt->data, pkt->len);
    in->count++;
}

void client_dtls_serve(struct worker *w)
{
    struct client_dtls_datagrams *in = w->dtls_datagrams;

    for (uint32_t i = 0; i < in->count; i++) {
        struct pkt *pkt = &in->kept[i].pkt;
        const struct worker_listener *listener =
            CONTAINER_OF((struct udp_port *)pkt->port, struct worker_listener, port);
        /* Mostly the same again; a closed one takes no new clients. */
        dtls_set_context(w->dtls, listener->closed ? NULL : listener->dtls_context);
        dtls_input(w->dtls, pkt, w->now_ms);
    }
    in->count = 0;
}

int client_dtls_new(struct worker *w, struct hash_key key)
{
    const struct dtls_hooks hooks = {
        .arg = w,
        .send = on_send,
        .message = on_message,
        .closed = on_closed,
    };

    w->dtls_datagrams = mem_new(1, sizeof(*w->dtls_datagrams));
    w->dtls = dtls_new(&w->settings->dtls, &hooks, key, w->now_ms);
    return w->dtls_datagrams == NULL || w->dtls == NULL ? -ENOMEM : 0;
}

void client_dtls_free(struct worker *w)
{
    dtls_free(w->dtls);
    free(w->dtls_datagrams);
}

void client_dtls_listen(struct worker *w, struct worker_listener *listener)
{
    const struct tls_set *tls = w->settings->tls;

    listener->dtls_context =
        tls != NULL ? tls_set_context(tls, TLS_DATAGRAM, listener->spec->tls_name) : NULL;
}

void client_dtls_configure(struct worker *w)
{
    dtls_set_limits(w->dtls, &w->settings->dtls);
    dtls_set_context(w->dtls, NULL); /* the old set goes; each datagram brings its listener's */
    for (size_t i = 0; i < w->slot_count; i++) {
        if (w->slots[i] != NULL) {
            client_dtls_listen(w, w->slots[i]);
        }
    }
}
