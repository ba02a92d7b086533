/* SPDX-License-Identifier: Apache-2.0 */
/* TLS between reading and sending (streams.md K30 to K34): OpenSSL never sees the socket.  It is
 * fed what was read, and what it wants to send is collected and goes through the connection's own
 * queue, so neither reading that has to write nor writing that has to read ever waits. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/conn_limit.h"
#include "io/stream_int.h"

/* --- what OpenSSL reads from and writes to ------------------------------------------------------
 */

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *out, size_t len, size_t *got)
{
    struct stream_tls *tls = ((struct stream *)BIO_get_data(bio))->tls;
    const size_t n = len < tls->in_len ? len : tls->in_len;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, tls->in, n);
    tls->in += n;
    tls->in_len -= n;
    *got = n;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *put)
{
    struct stream *s = BIO_get_data(bio);
    struct streams *e = s->engine;
    size_t done = 0;

    BIO_clear_retry_flags(bio);
    while (done < len) {
        if (e->wire_len == sizeof(e->wire)) {
            stream_tls_push(s);
        }
        const size_t room = sizeof(e->wire) - e->wire_len;
        const size_t n = len - done < room ? len - done : room;
        memcpy(e->wire + e->wire_len, data + done, n);
        e->wire_len += (uint32_t)n;
        done += n;
    }
    *put = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (method != NULL && (BIO_meth_set_read_ex(method, bio_read) != 1 ||
                           BIO_meth_set_write_ex(method, bio_write) != 1 ||
                           BIO_meth_set_ctrl(method, bio_ctrl) != 1)) {
        BIO_meth_free(method);
        method = NULL;
    }
}

static int attach_bio(struct stream *s, SSL *ssl)
{
    (void)pthread_once(&method_once, make_method);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;
    if (bio == NULL) {
        return -ENOMEM;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return 0;
}

/* --- ciphertext out -----------------------------------------------------------------------------
 */

bool stream_tls_drain(struct stream *s)
{
    struct streams *e = s->engine;
    struct stream_queue *wire = &s->tls->wire;
    struct iovec vec[STREAM_VECTORS];

    while (!s->blocked && !stream_queue_empty(wire)) {
        const size_t count = stream_queue_peek(wire, vec, STREAM_VECTORS, STREAM_READ_SPLICE);
        const ssize_t n = stream_socket_send(s, vec, count);
        if (n < 0) {
            if (n != -EAGAIN) {
                stream_die(s, STREAM_CLOSE_RESET, (int)-n);
            }
            return false;
        }
        (void)stream_queue_pop(wire, &e->pool, (size_t)n);
    }
    return !s->blocked && s->state != STREAM_DYING;
}

void stream_tls_push(struct stream *s)
{
    struct streams *e = s->engine;
    size_t sent = 0;

    if (e->wire_len == 0) {
        return;
    }
    if (!s->blocked && stream_queue_empty(&s->tls->wire)) {
        struct iovec vec = {e->wire, e->wire_len};
        const ssize_t n = stream_socket_send(s, &vec, 1);
        if (n < 0 && n != -EAGAIN) {
            stream_die(s, STREAM_CLOSE_RESET, (int)-n);
        }
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent < e->wire_len && s->state != STREAM_DYING &&
        stream_queue_put(&s->tls->wire, &e->pool, QUEUE_RAW, e->wire + sent,
                         e->wire_len - (uint32_t)sent, e->now_ms) < 0) {
        stream_die(s, STREAM_CLOSE_MEMORY, ENOMEM);
    }
    e->wire_len = 0;
    stream_pending(s);
}

bool stream_tls_backlogged(const struct stream *s)
{
    return stream_queue_bytes(&s->tls->wire) > STREAM_WIRE_MAX;
}

/* --- failing ------------------------------------------------------------------------------------
 */

/* OpenSSL has given up: its alert is sent, then FIN. */
static void fail(struct stream *s)
{
    struct streams *e = s->engine;

    if (!s->tls->established) {
        stats_add(&e->count.tls_failed, 1);
    }
    ERR_clear_error();
    stream_tls_push(s);
    s->tls->notified = true; /* after a fatal alert nothing follows */
    if (s->twin != NULL) {
        stream_die(s, STREAM_CLOSE_RESET, EPROTO);
    } else if (s->state == STREAM_OPEN) {
        stream_finish_why(s, STREAM_CLOSE_TLS);
    }
}

/* What a call's result means: 1 done, 0 more input is needed (or the end has come), -1 failed. */
static int outcome(struct stream *s, int result)
{
    if (result == 1) {
        return 1;
    }
    switch (SSL_get_error(s->tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: /* cannot be: what it writes is always taken */
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        s->tls->closed = true;
        s->eof = true;
        return 0;
    default:
        fail(s);
        return -1;
    }
}

/* --- ciphertext in ------------------------------------------------------------------------------
 */

static bool shake_hands(struct stream *s)
{
    struct streams *e = s->engine;
    struct stream_tls *tls = s->tls;

    ERR_clear_error();
    const int done = outcome(s, SSL_do_handshake(tls->ssl));
    stream_tls_push(s);
    if (done <= 0) {
        return false;
    }
    tls->established = true;
    s->born_ms = e->now_ms; /* the first message is due from here */
    stats_add(&e->count.tls_handshakes, 1);
    stats_add(&e->count.tls_established, 1);
    if (SSL_session_reused(tls->ssl) != 0) {
        stats_add(&e->count.tls_resumed, 1);
    }
    stream_rearm(s);
    if (!stream_queue_empty(&s->queue)) {
        stream_out(s); /* what was to be sent before */
    }
    return s->state == STREAM_OPEN;
}

/* Decrypt into `room` bytes at `out`.  How many came; `*out_more`: there may be more. */
static size_t decrypt(struct stream *s, uint8_t *out, size_t room, bool *out_more)
{
    size_t sum = 0;

    *out_more = true;
    while (sum < room) {
        size_t n = 0;
        ERR_clear_error();
        if (outcome(s, SSL_read_ex(s->tls->ssl, out + sum, room - sum, &n)) <= 0) {
            *out_more = false;
            break;
        }
        sum += n;
    }
    stream_tls_push(s); /* tickets, KeyUpdate: before what was read is acted upon */
    return sum;
}

void stream_tls_in(struct stream *s, const uint8_t *data, size_t len)
{
    struct stream_tls *tls = s->tls;
    bool more = true;

    tls->in = data;
    tls->in_len = len;
    if (!tls->established && !shake_hands(s)) {
        return;
    }
    while (more && s->state == STREAM_OPEN) {
        uint8_t *base = NULL;
        size_t have;
        const size_t room = stream_in_room(s, STREAM_READ, &base, &have);
        if (room == 0) {
            return;
        }
        const size_t n = decrypt(s, base + have, room, &more);
        if (n > 0) {
            stream_deliver(s, base, have + n);
        } else if (base != s->kept && have > 0 && s->state == STREAM_OPEN) {
            (void)stream_keep(s, base, have);
        }
    }
}

/* --- plaintext out ------------------------------------------------------------------------------
 */

ssize_t stream_tls_send(struct stream *s, const uint8_t *data, size_t len)
{
    size_t n = 0;

    if (!s->tls->established) {
        return 0;
    }
    if (s->state == STREAM_DYING) {
        return -1;
    }
    ERR_clear_error();
    const int done =
        outcome(s, SSL_write_ex(s->tls->ssl, data, len < STREAM_RECORD ? len : STREAM_RECORD, &n));
    return done > 0 ? (ssize_t)n : done;
}

void stream_tls_notify(struct stream *s)
{
    if (s->tls->notified || !s->tls->established) {
        return;
    }
    s->tls->notified = true;
    ERR_clear_error();
    (void)SSL_shutdown(s->tls->ssl);
    ERR_clear_error();
    stream_tls_push(s);
}

/* A tenth of a second's worth of handshakes may begin at once. */
#define BURST_US  UINT64_C(100000)
#define SECOND_US UINT64_C(1000000)

/* --- beginning and ending -----------------------------------------------------------------------
 */

/* May one more handshake begin? */
static bool take_turn(struct streams *e)
{
    const uint32_t rate = e->limits.handshakes_per_s;
    const uint64_t now_us = e->now_ms * 1000;

    if (rate == 0) {
        return true;
    }
    if (e->handshake_us > now_us + BURST_US) {
        return false;
    }
    if (e->handshake_us < now_us) {
        e->handshake_us = now_us;
    }
    e->handshake_us += SECOND_US / rate;
    return true;
}

uint64_t stream_tls_next(const struct streams *e)
{
    if (list_empty(&e->handshakes)) {
        return UINT64_MAX;
    }
    return e->handshake_us > BURST_US ? (e->handshake_us - BURST_US) / 1000 + 1 : e->now_ms;
}

int stream_start_tls(struct stream *s, SSL_CTX *context)
{
    struct streams *e = s->engine;

    if (e->shared != NULL && conn_limit_take_tls(e->shared) != CONN_ADMITTED) {
        stats_add(&e->count.local_reject, 1);
        stream_die(s, STREAM_CLOSE_LIMIT, 0);
        return -ENOSPC;
    }
    struct stream_tls *tls = mem_new(1, sizeof(*tls));
    SSL *ssl = tls != NULL ? SSL_new(context) : NULL;
    if (ssl == NULL || attach_bio(s, ssl) < 0) {
        SSL_free(ssl);
        free(tls);
        if (e->shared != NULL) {
            conn_limit_give_tls(e->shared);
        }
        return -ENOMEM;
    }
    SSL_set_accept_state(ssl);
    tls->ssl = ssl;
    tls->since_ms = e->now_ms;
    tls->counted = e->shared != NULL;
    list_init(&tls->node);
    s->tls = tls;
    /* Those who wait go first. */
    if (!list_empty(&e->handshakes) || !take_turn(e)) {
        tls->waiting = true;
        tls->owner = s;
        list_push(&e->handshakes, &tls->node);
        stats_add(&e->count.tls_deferred, 1);
    }
    stream_rearm(s);
    return 0;
}

void stream_tls_admit(struct streams *e)
{
    while (!list_empty(&e->handshakes) && take_turn(e)) {
        struct stream_tls *tls = CONTAINER_OF(list_shift(&e->handshakes), struct stream_tls, node);
        struct stream *s = tls->owner;
        tls->waiting = false;
        if (s->state != STREAM_OPEN) {
            continue;
        }
        const size_t len = s->kept_len;
        memcpy(e->cipher, s->kept, len);
        stream_keep_free(s);
        s->partial = false;
        s->again = false;
        stream_tls_in(s, e->cipher, len);
        stream_wake(s);
    }
}

void stream_tls_free(struct stream *s)
{
    struct streams *e = s->engine;
    struct stream_tls *tls = s->tls;

    if (tls == NULL) {
        return;
    }
    if (tls->established) {
        stats_set(&e->count.tls_established, stats_read(&e->count.tls_established) - 1);
    }
    if (tls->counted) {
        conn_limit_give_tls(e->shared);
    }
    list_remove(&tls->node);
    stream_queue_clear(&tls->wire, &e->pool);
    SSL_free(tls->ssl);
    free(tls);
    s->tls = NULL;
}
