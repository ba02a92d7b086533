/* SPDX-License-Identifier: Apache-2.0 */
/* Associations that go from one engine to another: what OpenSSL has of them goes along as it is,
 * and everything that belongs to an engine stays. */
#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/dtls_bio.h"
#include "io/dtls_int.h"

struct dtls_parcel {
    struct dtls_client client; /* as it was; linked nowhere, its wire leads nowhere */
    struct dtls_parcel *rival; /* which has no rival of its own; or NULL */
};

/* --- packing ------------------------------------------------------------------------------------
 */

/* Empty, with room for a rival when there is one. */
static struct dtls_parcel *parcel_new(const struct dtls_client *client)
{
    struct dtls_parcel *parcel = mem_new(1, sizeof(*parcel));

    if (parcel != NULL && client->rival != NULL) {
        parcel->rival = mem_new(1, sizeof(*parcel->rival));
        if (parcel->rival == NULL) {
            free(parcel);
            return NULL;
        }
    }
    return parcel;
}

static void pack(struct dtls *dtls, struct dtls_client *client, struct dtls_parcel *parcel)
{
    dtls_client_unlink(dtls, client);
    dtls_bio_move(client->ssl, NULL);
    parcel->client = *client;
    parcel->client.busy = false;
    client->ssl = NULL; /* it is the parcel's now */
    client->gone = true;
    dtls_client_release(dtls, client);
}

struct dtls_parcel *dtls_detach(struct dtls *dtls, struct dtls_client *client)
{
    struct dtls_client *rival = client->rival;

    if (client->gone || client->holder != NULL) {
        return NULL;
    }
    struct dtls_parcel *parcel = parcel_new(client);
    if (parcel == NULL) {
        return NULL;
    }
    pack(dtls, client, parcel);
    if (rival != NULL) {
        pack(dtls, rival, parcel->rival);
    }
    return parcel;
}

void dtls_parcel_free(struct dtls_parcel *parcel)
{
    while (parcel != NULL) {
        struct dtls_parcel *rival = parcel->rival;
        if (parcel->client.ssl != NULL &&
            parcel->client.established) { /* nobody's fault: its session may be resumed */
            SSL_set_shutdown(parcel->client.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        SSL_free(parcel->client.ssl);
        free(parcel);
        parcel = rival;
    }
}

/* --- unpacking ----------------------------------------------------------------------------------
 */

static void lead(struct dtls *dtls, struct dtls_client *client, void *port)
{
    client->wire = (struct dtls_wire){.dtls = dtls, .key = &client->key, .port = port};
    dtls_bio_move(client->ssl, &client->wire);
}

/* End what cannot stay: its client is told, if it can still read that. */
static struct dtls_client *refuse(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                                  enum dtls_close why)
{
    struct dtls_client *client = &parcel->client;

    lead(dtls, client, port);
    client->gone = true; /* no timer is started for it */
    dtls_client_say_goodbye(dtls, client, why);
    dtls_parcel_free(parcel);
    return NULL;
}

/* The client in the parcel, linked beside `holder` or into the table, which has room for its key.
 * NULL, the parcel unchanged, without memory. */
static struct dtls_client *unpack(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                                  struct dtls_client *holder)
{
    struct dtls_client *client = slab_get(dtls->slab);

    if (client == NULL) {
        return NULL;
    }
    *client = parcel->client;
    if (!dtls_client_link(dtls, client, holder)) {
        slab_put(dtls->slab, client);
        return NULL;
    }
    parcel->client.ssl = NULL;
    lead(dtls, client, port);
    dtls_client_arm(dtls, client);
    return client;
}

/* An established one comes where its client has begun another handshake: that becomes its rival. */
static struct dtls_client *unpack_before(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                                         struct dtls_client *half)
{
    (void)table_remove(&dtls->clients, &half->key);
    struct dtls_client *client = unpack(dtls, parcel, port, NULL);
    if (client == NULL) {
        const int err = table_insert(&dtls->clients, half);
        assert(err == 0); /* its slot and its key were freed just now: no growth */
        (void)err;
        return NULL;
    }
    client->rival = half;
    half->holder = client;
    return client;
}

static void unpack_rival(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                         struct dtls_client *holder)
{
    if (holder->rival == NULL && dtls_client_fits(dtls, &parcel->client.key.remote.ip, true)) {
        (void)unpack(dtls, parcel, port, holder); /* else its client begins anew */
    }
}

struct dtls_client *dtls_attach(struct dtls *dtls, struct dtls_parcel *parcel, void *port,
                                uint64_t now_ms)
{
    const struct dtls_client *packed = &parcel->client;
    struct dtls_client *here = table_find(&dtls->clients, &packed->key);

    dtls->now_ms = now_ms;
    if (here != NULL && (here->established || !packed->established)) {
        return refuse(dtls, parcel, port, DTLS_CLOSE_REPLACED);
    }
    if (!dtls_client_fits(dtls, &packed->key.remote.ip, !packed->established)) {
        return refuse(dtls, parcel, port, DTLS_CLOSE_LOCAL);
    }
    struct dtls_client *client =
        here == NULL ? unpack(dtls, parcel, port, NULL) : unpack_before(dtls, parcel, port, here);
    if (client == NULL) {
        return refuse(dtls, parcel, port, DTLS_CLOSE_LOCAL);
    }
    if (parcel->rival != NULL) {
        unpack_rival(dtls, parcel->rival, port, client);
    }
    dtls_parcel_free(parcel);
    return client;
}

/* --- all of them --------------------------------------------------------------------------------
 */

void dtls_each(struct dtls *dtls, void (*each)(void *arg, struct dtls_client *client), void *arg)
{
    struct list todo;
    struct list *node;

    list_push(&dtls->all, &todo); /* the ring changes its head: all of them are to be done */
    list_remove(&dtls->all);
    while ((node = list_shift(&todo)) != NULL) {
        struct dtls_client *client = CONTAINER_OF(node, struct dtls_client, node);
        list_push(&dtls->all, node);
        if (client->holder == NULL) {
            each(arg, client);
        }
    }
}
