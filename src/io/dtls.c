/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dtls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/dtls_bio.h"
#include "io/dtls_cookie.h"
#include "io/dtls_int.h"

enum {
    MTU_MIN = 256,
    MTU_MAX = 4096, /* OpenSSL gathers a flight in a buffer of this size */
    /* Room for the packets that there mostly are; larger ones get it when the first comes. */
    FRAGMENT_FIRST = 2048,
};

uint32_t dtls_fragment_first(const struct dtls_limits *limits)
{
    return limits->mtu > FRAGMENT_FIRST ? limits->mtu : FRAGMENT_FIRST;
}

/* --- contexts -----------------------------------------------------------------------------------
 */

static int cookie_make(SSL *ssl, unsigned char *cookie, unsigned int *out_len)
{
    const struct dtls_wire *wire = dtls_bio_wire(ssl);

    *out_len = DTLS_COOKIE_BYTES;
    return dtls_cookie_make(wire->dtls->cookie_mac, wire->key, sizeof(*wire->key),
                            wire->dtls->now_ms, cookie);
}

static int cookie_check(SSL *ssl, const unsigned char *cookie, unsigned int len)
{
    const struct dtls_wire *wire = dtls_bio_wire(ssl);

    return dtls_cookie_check(wire->dtls->cookie_mac, wire->key, sizeof(*wire->key),
                             wire->dtls->now_ms, cookie, len);
}

/* Contexts are shared by workers: the first one to come writes, under the lock, and the others see
 * that it has. */
static void context_prepare(SSL_CTX *context)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int index = -1;
    static char prepared;

    (void)pthread_mutex_lock(&lock);
    if (index < 0) {
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }
    if (index < 0 || SSL_CTX_get_ex_data(context, index) != &prepared) {
        SSL_CTX_set_cookie_generate_cb(context, cookie_make);
        SSL_CTX_set_cookie_verify_cb(context, cookie_check);
        (void)(index >= 0 && SSL_CTX_set_ex_data(context, index, &prepared));
    }
    (void)pthread_mutex_unlock(&lock);
}

void dtls_set_context(struct dtls *dtls, SSL_CTX *context)
{
    if (context == dtls->context) {
        return;
    }
    SSL_free(dtls->listener);
    dtls->listener = NULL;
    SSL_CTX_free(dtls->context);
    dtls->context = NULL;
    if (context != NULL && SSL_CTX_up_ref(context) == 1) {
        context_prepare(context);
        dtls->context = context;
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

void dtls_set_limits(struct dtls *dtls, const struct dtls_limits *limits)
{
    dtls->limits = *limits;
    if (limits->mtu < MTU_MIN) {
        dtls->limits.mtu = MTU_MIN;
    } else if (limits->mtu > MTU_MAX) {
        dtls->limits.mtu = MTU_MAX;
    }
    SSL_free(dtls->listener); /* it was made with the old ones */
    dtls->listener = NULL;
}

struct dtls_source *dtls_source_of(struct dtls *dtls, const struct net_ip *ip)
{
    const size_t n = net_ip_is_v4(ip) ? sizeof(ip->b) : sizeof(ip->b) / 2;

    return &dtls->source[hash_bytes(&dtls->source_key, ip->b, n) % DTLS_SOURCES];
}

struct dtls *dtls_new(const struct dtls_limits *limits, const struct dtls_hooks *hooks,
                      struct hash_key key, uint64_t now_ms)
{
    struct dtls *dtls = mem_new(1, sizeof(*dtls));

    if (dtls == NULL) {
        return NULL;
    }
    dtls->hooks = *hooks;
    dtls->now_ms = now_ms;
    dtls->listen_wire = (struct dtls_wire){.dtls = dtls, .key = &dtls->listen_key};
    list_init(&dtls->all);
    wheel_init(&dtls->wheel, now_ms);
    table_init(&dtls->clients, offsetof(struct dtls_client, key), sizeof(struct dtls_key), key);
    dtls->source_key = key;
    bucket_init(&dtls->begun);
    for (size_t i = 0; i < DTLS_SOURCES; i++) {
        bucket_init(&dtls->source[i].begun);
    }
    dtls_set_limits(dtls, limits);
    dtls->slab = slab_new(sizeof(struct dtls_client), UINT32_MAX); /* the limits may change */
    dtls->nobody = BIO_ADDR_new();
    dtls->cookie_mac = dtls_cookie_new();
    if (dtls->slab == NULL || dtls->nobody == NULL || dtls->cookie_mac == NULL) {
        dtls_free(dtls);
        ERR_clear_error();
        return NULL;
    }
    return dtls;
}

void dtls_free(struct dtls *dtls)
{
    if (dtls == NULL) {
        return;
    }
    while (!list_empty(&dtls->all)) {
        dtls_client_end(dtls, CONTAINER_OF(dtls->all.next, struct dtls_client, node),
                        DTLS_CLOSE_LOCAL);
    }
    dtls_set_context(dtls, NULL);
    EVP_MAC_CTX_free(dtls->cookie_mac);
    BIO_ADDR_free(dtls->nobody);
    table_fini(&dtls->clients);
    slab_free(dtls->slab);
    free(dtls);
}

void dtls_close(struct dtls *dtls, struct dtls_client *client)
{
    dtls_client_end_quietly(dtls, client);
}

/* --- output -------------------------------------------------------------------------------------
 */

bool dtls_output(struct dtls *dtls, struct dtls_client *client, struct pkt *pkt, uint64_t now_ms)
{
    struct dtls_wire *wire = &client->wire;
    size_t taken = 0;

    dtls->now_ms = now_ms;
    /* More than one record holds would be an error that ends the association. */
    if (client->gone || !client->established || pkt->len == 0 || pkt->len > client->fragment_max ||
        !dtls_client_wake(dtls, client, pkt->len)) {
        return false;
    }
    wire->capture = pkt;
    wire->captured = false;
    ERR_clear_error();
    const int sealed = SSL_write_ex(client->ssl, pkt->data, pkt->len, &taken);
    ERR_clear_error();
    wire->capture = NULL;
    if (sealed != 1 || !wire->captured) {
        return false;
    }
    pkt->remote = client->key.remote;
    pkt->local = client->key.local;
    pkt->port = wire->port;
    return true;
}

/* --- time and questions -------------------------------------------------------------------------
 */

void dtls_set_idle(struct dtls *dtls, struct dtls_client *client, uint32_t idle_ms, uint64_t now_ms)
{
    dtls->now_ms = now_ms;
    client->idle_ms = idle_ms;
    if (client->established && !client->gone) {
        dtls_client_arm(dtls, client);
    }
}

bool dtls_tick(struct dtls *dtls, uint64_t now_ms, uint32_t budget)
{
    dtls->now_ms = now_ms;
    for (; budget > 0; budget--) {
        struct wheel_timer *timer = wheel_expired(&dtls->wheel, now_ms);
        if (timer == NULL) {
            return false;
        }
        dtls_client_timer(dtls, CONTAINER_OF(timer, struct dtls_client, timer));
    }
    return dtls_next_deadline(dtls) <= now_ms;
}

uint64_t dtls_next_deadline(const struct dtls *dtls)
{
    return wheel_next_deadline(&dtls->wheel);
}

struct dtls_client *dtls_find(const struct dtls *dtls, const struct net_addr *remote,
                              const struct net_addr *local)
{
    const struct dtls_key key = {.remote = *remote, .local = *local};

    return table_find(&dtls->clients, &key);
}

const struct net_addr *dtls_remote(const struct dtls_client *client)
{
    return &client->key.remote;
}

const struct net_addr *dtls_local(const struct dtls_client *client)
{
    return &client->key.local;
}

void *dtls_port(const struct dtls_client *client)
{
    return client->wire.port;
}

bool dtls_is_discovery(const struct dtls_client *client)
{
    return client->discovery;
}

const struct dtls_counters *dtls_counters(const struct dtls *dtls)
{
    return &dtls->counters;
}
