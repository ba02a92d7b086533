/* SPDX-License-Identifier: Apache-2.0 */
/* One association from its right cookie to its end. */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/time.h>

#include "io/dtls_bio.h"
#include "io/dtls_int.h"
#include "io/tls.h"

enum {
    IDLE_AT_FIRST_MS = 30 * 1000,
    PARK_AFTER_MS = 10 * 1000, /* without a packet, until OpenSSL's buffers are given back */
    /* Without client certificates only hellos are larger than a hundred bytes or so. */
    MESSAGE_MAX = 4096,
    MESSAGE_MAX_CERTIFICATES = 16384,
};

static void gauges_set(struct dtls *dtls)
{
    stats_set(&dtls->counters.established, dtls->count - dtls->half_open);
}

void dtls_client_release(struct dtls *dtls, struct dtls_client *client)
{
    if (!client->busy) {
        SSL_free(client->ssl);
        slab_put(dtls->slab, client);
    }
}

/* --- birth --------------------------------------------------------------------------------------
 */

bool dtls_client_fits(struct dtls *dtls, const struct net_ip *ip, bool half_open)
{
    const struct dtls_limits *limits = &dtls->limits;

    if (dtls->count >= limits->max_clients) {
        return false;
    }
    return !half_open || (dtls->half_open < limits->max_half_open &&
                          (limits->source_half_open == 0 ||
                           dtls_source_of(dtls, ip)->half_open < limits->source_half_open));
}

bool dtls_client_link(struct dtls *dtls, struct dtls_client *client, struct dtls_client *holder)
{
    if (holder == NULL) {
        if (table_insert(&dtls->clients, client) < 0) {
            return false;
        }
    } else {
        assert(holder->rival == NULL);
        holder->rival = client;
        client->holder = holder;
    }
    list_push(&dtls->all, &client->node);
    wheel_timer_init(&client->timer);
    client->source = dtls_source_of(dtls, &client->key.remote.ip);
    dtls->count++;
    if (!client->established) {
        dtls->half_open++;
        client->source->half_open++;
    }
    gauges_set(dtls);
    return true;
}

/* Until the server name is known it is the first section that counts, then the name's. */
static uint32_t message_max(const SSL *ssl)
{
    return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 ? MESSAGE_MAX_CERTIFICATES
                                                             : MESSAGE_MAX;
}

struct dtls_client *dtls_client_new(struct dtls *dtls, const struct dtls_arrival *arrival, SSL *ssl,
                                    struct dtls_client *holder)
{
    if (!dtls_client_fits(dtls, &arrival->key.remote.ip, true)) {
        return NULL;
    }
    struct dtls_client *client = slab_get(dtls->slab);
    if (client == NULL) {
        return NULL;
    }
    client->key = arrival->key;
    if (!dtls_client_link(dtls, client, holder)) {
        slab_put(dtls->slab, client);
        return NULL;
    }
    client->ssl = ssl;
    client->wire = (struct dtls_wire){.dtls = dtls, .key = &client->key, .port = arrival->port};
    client->fragment = dtls_fragment_first(&dtls->limits);
    client->fragment_max = client->fragment;
    client->deadline_ms = dtls->now_ms + dtls->limits.handshake_ms;
    client->message_max = message_max(ssl);
    dtls_bio_move(ssl, &client->wire);
    stats_add(&dtls->counters.handshakes, 1);
    return client;
}

/* --- death --------------------------------------------------------------------------------------
 */

/* A rival takes the place of its holder; an only one leaves it empty. */
static void leave_place(struct dtls *dtls, struct dtls_client *client)
{
    struct dtls_client *rival = client->rival;

    if (client->holder != NULL) {
        client->holder->rival = NULL;
        client->holder = NULL;
        return;
    }
    (void)table_remove(&dtls->clients, &client->key);
    if (rival != NULL) {
        client->rival = NULL;
        rival->holder = NULL;
        const int err = table_insert(&dtls->clients, rival);
        assert(err == 0); /* its slot and its key were freed just now: no growth */
        (void)err;
    }
}

void dtls_client_unlink(struct dtls *dtls, struct dtls_client *client)
{
    wheel_cancel(&dtls->wheel, &client->timer);
    list_remove(&client->node);
    leave_place(dtls, client);
    dtls->count--;
    if (!client->established) {
        dtls->half_open--;
        client->source->half_open--;
    }
    gauges_set(dtls);
}

/* RFC 7350 section 3, RFC 5246 section 7.2.1: close_notify, unless it cannot be read any more. */
void dtls_client_say_goodbye(struct dtls *dtls, struct dtls_client *client, enum dtls_close why)
{
    if (!client->established || why == DTLS_CLOSE_ERROR) {
        return;
    }
    if (why == DTLS_CLOSE_REPLACED) {
        /* The client has other keys by now.  To OpenSSL it ended well: the session may be resumed.
         */
        SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    } else if (dtls_client_wake(dtls, client, 0)) {
        ERR_clear_error();
        (void)SSL_shutdown(client->ssl);
        ERR_clear_error();
    }
}

static void client_finish(struct dtls *dtls, struct dtls_client *client, enum dtls_close why,
                          bool tell)
{
    if (client->gone) {
        return;
    }
    dtls_client_say_goodbye(dtls, client, why);
    client->gone = true;
    dtls_client_unlink(dtls, client);
    if (!client->established) {
        stats_add(&dtls->counters.failed, 1);
    }
    if (tell) {
        dtls->hooks.closed(dtls->hooks.arg, client, why);
    }
    dtls_client_release(dtls, client);
}

void dtls_client_end(struct dtls *dtls, struct dtls_client *client, enum dtls_close why)
{
    client_finish(dtls, client, why, true);
}

void dtls_client_end_quietly(struct dtls *dtls, struct dtls_client *client)
{
    client_finish(dtls, client, DTLS_CLOSE_LOCAL, false);
}

/* --- buffers ------------------------------------------------------------------------------------
 *
 * OpenSSL gives the buffers of DTLS back only when told to (SSL_MODE_RELEASE_BUFFERS is for TLS),
 * and writes into a missing one: so they are there whenever it may write. */

bool dtls_client_wake(struct dtls *dtls, struct dtls_client *client, uint32_t plaintext)
{
    const bool grow = plaintext > client->fragment;

    client->used_ms = dtls->now_ms;
    if (!client->parked && !grow) {
        return true;
    }
    if (grow) {
        (void)SSL_set_max_send_fragment(client->ssl, client->fragment_max);
        client->fragment = client->fragment_max;
    }
    ERR_clear_error();
    if (SSL_alloc_buffers(client->ssl) != 1) {
        ERR_clear_error();
        return false;
    }
    const bool was_parked = client->parked;
    client->parked = false;
    if (was_parked && client->established) {
        dtls_client_arm(dtls, client);
    }
    return true;
}

static void client_park(struct dtls_client *client)
{
    client->parked = SSL_free_buffers(client->ssl) == 1;
}

/* A negotiated maximum fragment length (RFC 6066 section 4) counts in both directions, and OpenSSL
 * sizes its buffer by it from now on. */
static bool client_fit_buffers(struct dtls_client *client)
{
    const uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get0_session(client->ssl));

    client->fragment_max = SSL3_RT_MAX_PLAIN_LENGTH;
    if (code != TLSEXT_max_fragment_length_DISABLED) {
        client->fragment_max = UINT32_C(256) << code;
        client->fragment = client->fragment_max;
    }
    return SSL_alloc_buffers(client->ssl) == 1;
}

/* --- time ---------------------------------------------------------------------------------------
 */

/* When OpenSSL wants to send its flight again.  It looks at the wall clock: a step of that moves
 * one retransmission, but not the deadline. */
static uint64_t retransmit_ms(const struct dtls *dtls, struct dtls_client *client)
{
    struct timeval left;

    if (DTLSv1_get_timeout(client->ssl, &left) != 1) {
        return UINT64_MAX;
    }
    return dtls->now_ms + (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
}

static uint64_t idle_deadline(const struct dtls_client *client)
{
    return client->idle_ms == 0 ? UINT64_MAX : client->heard_ms + client->idle_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void dtls_client_arm(struct dtls *dtls, struct dtls_client *client)
{
    uint64_t due;

    if (client->gone) {
        return;
    }
    if (!client->established) {
        due = earlier(client->deadline_ms, retransmit_ms(dtls, client));
    } else {
        const uint64_t park = client->parked ? UINT64_MAX : client->used_ms + PARK_AFTER_MS;
        due = earlier(idle_deadline(client), park);
    }
    if (due == UINT64_MAX) {
        wheel_cancel(&dtls->wheel, &client->timer);
    } else {
        wheel_start(&dtls->wheel, &client->timer, due);
    }
}

static void timer_of_handshake(struct dtls *dtls, struct dtls_client *client)
{
    if (dtls->now_ms >= client->deadline_ms) {
        dtls_client_end(dtls, client, DTLS_CLOSE_HANDSHAKE);
        return;
    }
    if (!dtls_client_wake(dtls, client, 0)) {
        dtls_client_end(dtls, client, DTLS_CLOSE_ERROR);
        return;
    }
    ERR_clear_error();
    const long sent = DTLSv1_handle_timeout(client->ssl);
    ERR_clear_error();
    if (sent < 0) {
        dtls_client_end(dtls, client, DTLS_CLOSE_ERROR);
        return;
    }
    client_park(client);
    dtls_client_arm(dtls, client);
}

/* The times of an established one move with every packet; its timer follows when it fires. */
static void timer_of_established(struct dtls *dtls, struct dtls_client *client)
{
    if (dtls->now_ms >= idle_deadline(client)) {
        dtls_client_end(dtls, client, DTLS_CLOSE_IDLE);
        return;
    }
    if (!client->parked && dtls->now_ms >= client->used_ms + PARK_AFTER_MS) {
        client_park(client);
        client->used_ms = dtls->now_ms;
    }
    dtls_client_arm(dtls, client);
}

void dtls_client_timer(struct dtls *dtls, struct dtls_client *client)
{
    if (client->established) {
        timer_of_established(dtls, client);
    } else {
        timer_of_handshake(dtls, client);
    }
}

/* --- input --------------------------------------------------------------------------------------
 */

static bool client_complete(struct dtls *dtls, struct dtls_client *client)
{
    struct dtls_client *holder = client->holder;

    client->established = true;
    dtls->half_open--;
    client->source->half_open--;
    gauges_set(dtls);
    stats_add(&dtls->counters.completed, 1);
    client->discovery = tls_is_discovery(client->ssl);
    client->idle_ms = IDLE_AT_FIRST_MS;
    client->heard_ms = dtls->now_ms;
    client->used_ms = dtls->now_ms;
    if (holder != NULL) { /* RFC 6347 section 4.2.8: only now, and at once */
        dtls_client_end(dtls, holder, DTLS_CLOSE_REPLACED);
    }
    if (client->gone) { /* the hook has closed it or sent it away */
        return false;
    }
    if (!client_fit_buffers(client)) {
        dtls_client_end(dtls, client, DTLS_CLOSE_ERROR);
        return false;
    }
    dtls_client_arm(dtls, client);
    return true;
}

/* OpenSSL has no more to read.  True when it was not merely for want of a record. */
static bool client_stopped(struct dtls *dtls, struct dtls_client *client, int returned)
{
    switch (SSL_get_error(client->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return false;
    case SSL_ERROR_ZERO_RETURN:
        dtls_client_end(dtls, client, DTLS_CLOSE_NOTIFY);
        return true;
    default:
        dtls_client_end(dtls, client, DTLS_CLOSE_ERROR);
        return true;
    }
}

/* True when the association is established after this. */
static bool client_shake_hands(struct dtls *dtls, struct dtls_client *client)
{
    ERR_clear_error();
    const int returned = SSL_do_handshake(client->ssl);
    client->message_max = message_max(client->ssl);
    if (returned == 1) {
        return client_complete(dtls, client);
    }
    if (!client_stopped(dtls, client, returned)) {
        client_park(client); /* a flight takes its time, and there may be many */
        dtls_client_arm(dtls, client);
    }
    return false;
}

/* One message, into the place of the datagram that brought it.  False when there is none. */
static bool client_read(struct dtls *dtls, struct dtls_client *client, struct dtls_arrival *arrival)
{
    struct pkt *pkt = arrival->pkt;
    size_t n = 0;

    *pkt = arrival->as_it_came;
    pkt->data = pkt->buf + PKT_HEADROOM;
    ERR_clear_error();
    const int returned = SSL_read_ex(client->ssl, pkt->data, pkt->cap, &n);
    if (returned != 1) {
        (void)client_stopped(dtls, client, returned);
        return false;
    }
    client->heard_ms = dtls->now_ms;
    pkt->len = (uint32_t)n;
    pkt->transport = NET_DTLS;
    pkt->port = client;
    dtls->hooks.message(dtls->hooks.arg, client, pkt);
    return true;
}

static bool client_advance(struct dtls *dtls, struct dtls_client *client,
                           struct dtls_arrival *arrival)
{
    bool effect = !client->established;

    if (!client->established && !client_shake_hands(dtls, client)) {
        return effect;
    }
    while (!client->gone && client_read(dtls, client, arrival)) {
        effect = true;
    }
    return effect || client->wire.sent || client->gone;
}

bool dtls_client_feed(struct dtls *dtls, struct dtls_client *client, struct dtls_arrival *arrival,
                      const struct dtls_record *record)
{
    struct dtls_wire *wire = &client->wire;

    if (!dtls_client_wake(dtls, client, 0)) {
        return false;
    }
    wire->port = arrival->port; /* it answers where it was heard last */
    wire->in = record == NULL ? NULL : record->data;
    wire->in_len = record == NULL ? 0 : record->len;
    wire->sent = false;
    client->busy = true;
    const bool effect = client_advance(dtls, client, arrival);
    client->busy = false;
    ERR_clear_error();
    wire->in = NULL;
    if (client->gone) {
        dtls_client_release(dtls, client);
    }
    return effect;
}
