/* SPDX-License-Identifier: Apache-2.0 */
/* Which association a record is for, and what becomes of a ClientHello (RFC 6347 section 4.2.1 and
 * section 4.2.8). */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "io/dtls_bio.h"
#include "io/dtls_int.h"

/* A handshake, as bytes of a bucket: its depth is one second's worth whenever the rate is one
 * handshake or more. */
enum { BUCKET_BYTES_A_HANDSHAKE = 65536 };

static void count_bad(struct dtls *dtls)
{
    stats_add(&dtls->counters.bad_records, 1);
}

static void listener_prepare(struct dtls *dtls, SSL *ssl, BIO *bio)
{
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    (void)SSL_set_options(ssl,
                          SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_set_max_send_fragment(ssl, dtls_fragment_first(&dtls->limits));
    (void)SSL_set_mtu(ssl, dtls->limits.mtu);
}

/* The SSL that listens, made when there is none. */
static SSL *listener_of(struct dtls *dtls)
{
    if (dtls->listener != NULL) {
        return dtls->listener;
    }
    SSL *ssl = SSL_new(dtls->context);
    BIO *bio = ssl == NULL ? NULL : dtls_bio_new(&dtls->listen_wire);
    if (bio == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    listener_prepare(dtls, ssl, bio);
    dtls->listener = ssl;
    return ssl;
}

/* Look at a ClientHello, once a datagram.  True when its cookie is right, and then the listener is
 * ready to go on with the handshake; else it was answered with a cookie, or is of no use.
 *
 * RFC 7350 section 4.6: the answer is never longer than the question, so that nobody gains by
 * asking in another's name. */
static bool hello_has_cookie(struct dtls *dtls, struct dtls_arrival *arrival,
                             const struct dtls_record *r)
{
    struct dtls_wire *wire = &dtls->listen_wire;

    if (arrival->listened || dtls->context == NULL || listener_of(dtls) == NULL) {
        return false;
    }
    arrival->listened = true;
    dtls->listen_key = arrival->key;
    wire->port = arrival->port;
    wire->in = r->data;
    wire->in_len = r->len;
    wire->reply_max = r->len;
    wire->sent = false;
    const int right = DTLSv1_listen(dtls->listener, dtls->nobody);
    wire->in = NULL;
    ERR_clear_error();
    if (wire->sent) {
        stats_add(&dtls->counters.cookies_sent, 1);
    } else if (right <= 0) {
        count_bad(dtls);
    }
    if (right < 0) { /* out of memory, mostly */
        SSL_free(dtls->listener);
        dtls->listener = NULL;
    }
    return right > 0;
}

/* A byte less than its share: a bucket rounds up what each takes, and `per_s` at once must fit. */
static bool rate_allows(struct dtls *dtls, struct bucket *bucket, uint32_t per_s)
{
    return bucket_take(bucket, (uint64_t)per_s * BUCKET_BYTES_A_HANDSHAKE,
                       BUCKET_BYTES_A_HANDSHAKE - 1, dtls->now_ms);
}

/* The source first: who asks too often takes nothing from the others. */
static bool may_begin(struct dtls *dtls, const struct net_ip *ip)
{
    const struct dtls_limits *limits = &dtls->limits;

    return rate_allows(dtls, &dtls_source_of(dtls, ip)->begun, limits->source_handshakes_per_s) &&
           rate_allows(dtls, &dtls->begun, limits->handshakes_per_s);
}

/* Begin the handshake that the listener has let through. */
static void handshake_begin(struct dtls *dtls, struct dtls_arrival *arrival, const uint8_t *random,
                            struct dtls_client *holder)
{
    SSL *ssl = dtls->listener;
    struct dtls_client *client = dtls_client_new(dtls, arrival, ssl, holder);

    if (client == NULL) {
        stats_add(&dtls->counters.refused, 1);
        return;
    }
    dtls->listener = NULL;
    memcpy(client->random, random, DTLS_RANDOM);
    /* The cookie was right a moment ago; not every context that a server name leads to knows how to
     * check it again. */
    (void)SSL_clear_options(ssl, SSL_OP_COOKIE_EXCHANGE);
    (void)dtls_client_feed(dtls, client, arrival, NULL);
}

static bool same_random(const struct dtls_client *client, const uint8_t *random)
{
    return client != NULL && memcmp(client->random, random, DTLS_RANDOM) == 0;
}

static void route_hello(struct dtls *dtls, struct dtls_arrival *arrival,
                        const struct dtls_record *r, const uint8_t *random)
{
    struct dtls_client *client = table_find(&dtls->clients, &arrival->key);
    struct dtls_client *holder = client != NULL && client->established ? client : NULL;
    struct dtls_client *half = holder != NULL ? holder->rival : client;

    if (same_random(half, random) && dtls_record_fits_handshake(r, half->message_max)) {
        (void)dtls_client_feed(dtls, half, arrival, r); /* another part of it, or a repetition */
        return;
    }
    if (same_random(half, random) || same_random(holder, random)) {
        count_bad(dtls);
        return;
    }
    if (!hello_has_cookie(dtls, arrival, r)) {
        return;
    }
    if (!may_begin(dtls, &arrival->key.remote.ip)) {
        stats_add(&dtls->counters.refused, 1);
        return;
    }
    if (half != NULL) { /* the client has forgotten it */
        dtls_client_end(dtls, half, DTLS_CLOSE_REPLACED);
        client = table_find(&dtls->clients, &arrival->key); /* the hook may have closed it */
        holder = client != NULL && client->established ? client : NULL;
    }
    handshake_begin(dtls, arrival, random, holder);
}

/* The next unencrypted thing has been said: what follows is under the new keys.  Before, OpenSSL
 * would keep a whole buffer for each early record. */
static bool expects_finished(const struct dtls_client *half)
{
    return SSL_get_state(half->ssl) == TLS_ST_SR_CHANGE;
}

/* The association of a record that is no ClientHello; NULL when nobody should see it. */
static struct dtls_client *addressee(const struct dtls *dtls, const struct dtls_key *key,
                                     const struct dtls_record *r)
{
    struct dtls_client *client = table_find(&dtls->clients, key);

    if (client == NULL) {
        return NULL;
    }
    struct dtls_client *half = client->established ? client->rival : client;
    if (r->epoch == 0) {
        return half != NULL && dtls_record_fits_handshake(r, half->message_max) ? half : NULL;
    }
    if (half != NULL && r->type == DTLS_HANDSHAKE && expects_finished(half)) {
        return half;
    }
    return client->established && r->epoch == 1 ? client : NULL;
}

static void route(struct dtls *dtls, struct dtls_arrival *arrival, const struct dtls_record *r)
{
    const uint8_t *random = dtls_record_client_random(r);

    if (random != NULL) {
        route_hello(dtls, arrival, r, random);
        return;
    }
    struct dtls_client *client = addressee(dtls, &arrival->key, r);
    if (client == NULL || !dtls_client_feed(dtls, client, arrival, r)) {
        count_bad(dtls);
    }
}

void dtls_input(struct dtls *dtls, struct pkt *pkt, uint64_t now_ms)
{
    struct dtls_arrival arrival = {
        .pkt = pkt,
        .as_it_came = *pkt,
        .key = {.remote = pkt->remote, .local = pkt->local},
        .port = pkt->port,
    };
    const uint8_t *at = pkt->data;
    uint32_t left = pkt->len < sizeof(dtls->rest) ? pkt->len : (uint32_t)sizeof(dtls->rest);
    struct dtls_record r;

    dtls->now_ms = now_ms;
    while (left > 0) {
        if (!dtls_record_next(at, left, &r)) {
            count_bad(dtls);
            return;
        }
        left -= r.len;
        if (left > 0 && at == pkt->data) {
            memcpy(dtls->rest, at + r.len, left);
            at = dtls->rest;
        } else {
            at += r.len;
        }
        route(dtls, &arrival, &r);
    }
}
