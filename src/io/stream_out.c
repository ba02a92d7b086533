/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: at once while the kernel takes it, else through the queue (streams.md K1 to K6). */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io/stream_int.h"

bool stream_out_done(const struct stream *s)
{
    return stream_queue_empty(&s->queue) && s->pipe == NULL && s->first_message == STREAM_NONE &&
           (s->tls == NULL || stream_queue_empty(&s->tls->wire));
}

void stream_set_blocked(struct stream *s)
{
    struct streams *e = s->engine;

    if (!s->blocked) {
        s->blocked = true;
        stats_set(&e->count.blocked, stats_read(&e->count.blocked) + 1);
    }
}

static size_t sum_of(const struct iovec *vec, size_t count)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += vec[i].iov_len;
    }
    return sum;
}

ssize_t stream_socket_send(struct stream *s, struct iovec *vec, size_t count)
{
    struct streams *e = s->engine;
    const struct msghdr head = {.msg_iov = vec, .msg_iovlen = count};
    const ssize_t n = sendmsg(s->fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);

    stats_add(&e->count.tx_calls, 1);
    if (n >= 0) {
        stats_add(&e->count.tx_bytes, (uint64_t)n);
        stream_progress(s, (size_t)n);
        if ((size_t)n < sum_of(vec, count)) {
            stream_set_blocked(s); /* it is told when there is room again, once */
        }
        return n;
    }
    if (errno != EAGAIN && errno != EINTR) {
        return -errno;
    }
    stream_set_blocked(s);
    return -EAGAIN;
}

/* --- queueing -----------------------------------------------------------------------------------
 */

static void count_drop(struct streams *e, uint32_t len)
{
    stats_add(&e->count.dropped, 1);
    stats_add(&e->count.dropped_bytes, len);
}

/* Drop what has become too old, and as many of the oldest as it takes to let `len` bytes in. */
static void drop_oldest(struct stream *s, uint32_t len)
{
    struct streams *e = s->engine;
    const struct stream_limits *l = &e->limits;
    const uint64_t old_ms = e->now_ms > l->datagram_age_ms ? e->now_ms - l->datagram_age_ms - 1 : 0;
    uint32_t dropped;

    while (s->queue.bytes[QUEUE_DATAGRAM] > 0 &&
           (dropped = stream_queue_drop(&s->queue, &e->pool, old_ms)) > 0) {
        count_drop(e, dropped);
    }
    while (s->queue.bytes[QUEUE_DATAGRAM] > 0 &&
           (uint64_t)s->queue.bytes[QUEUE_DATAGRAM] + len > l->datagram_queue_bytes &&
           (dropped = stream_queue_drop(&s->queue, &e->pool, UINT64_MAX)) > 0) {
        count_drop(e, dropped);
    }
}

/* Queue a message of which `sent` bytes have gone.  False: dropped, or `s` is dying. */
static bool enqueue(struct stream *s, const struct stream_message *m, uint32_t sent)
{
    struct streams *e = s->engine;
    const bool datagram = m->kind == QUEUE_DATAGRAM && sent == 0;

    if (datagram) {
        drop_oldest(s, m->len);
        if ((uint64_t)s->queue.bytes[QUEUE_DATAGRAM] + m->len > e->limits.datagram_queue_bytes) {
            count_drop(e, m->len);
            return false;
        }
    } else if (m->kind == QUEUE_CONTROL &&
               (uint64_t)s->queue.bytes[QUEUE_CONTROL] + m->len > e->limits.control_queue_bytes) {
        stream_die(s, STREAM_CLOSE_QUEUE_FULL, 0);
        return false;
    }
    if (stream_queue_put(&s->queue, &e->pool, (enum stream_queue_kind)m->kind, m->data, m->len,
                         e->now_ms) < 0) {
        if (datagram) {
            count_drop(e, m->len);
        } else {
            stream_die(s, STREAM_CLOSE_MEMORY, ENOMEM);
        }
        return false;
    }
    if (sent > 0) {
        stream_queue_skip(&s->queue, sent);
    }
    return true;
}

/* --- a flush ------------------------------------------------------------------------------------
 */

/* Point `vec` at waiting messages from `at` on.  Returns how many. */
static size_t gather(const struct streams *e, uint16_t at, struct iovec *vec)
{
    size_t n = 0;

    for (; at != STREAM_NONE && n < STREAM_VECTORS; at = e->messages[at].next) {
        union {
            const uint8_t *in;
            void *out;
        } p = {.in = e->messages[at].data}; /* sendmsg(2) writes nothing there */

        vec[n++] = (struct iovec){p.out, e->messages[at].len};
    }
    return n;
}

/* Send messages from `at` on while the kernel takes them whole.  Returns the first one that is not
 * sent, and how much of it has gone. */
static uint16_t send_plain(struct stream *s, uint16_t at, uint32_t *out_sent)
{
    struct streams *e = s->engine;
    struct iovec vec[STREAM_VECTORS];

    *out_sent = 0;
    while (at != STREAM_NONE) {
        const size_t count = gather(e, at, vec);
        ssize_t n = stream_socket_send(s, vec, count);
        if (n < 0) {
            if (n != -EAGAIN) {
                stream_die(s, STREAM_CLOSE_RESET, (int)-n);
            }
            return at;
        }
        for (size_t i = 0; i < count; i++) {
            if ((size_t)n < vec[i].iov_len) {
                *out_sent = (uint32_t)n;
                return at;
            }
            n -= (ssize_t)vec[i].iov_len;
            at = e->messages[at].next;
            stats_add(&e->count.tx_messages, 1);
        }
    }
    return at;
}

/* One message larger than a record: encrypted piece by piece, all of it.  False: `s` is dying. */
static bool encrypt_long(struct stream *s, const struct stream_message *m)
{
    for (size_t done = 0; done < m->len;) {
        const ssize_t n = stream_tls_send(s, m->data + done, m->len - done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

/* Encrypt messages from `at` on, many to a record, while the ciphertext finds its way out. */
static uint16_t send_tls(struct stream *s, uint16_t at)
{
    struct streams *e = s->engine;

    while (at != STREAM_NONE && !s->blocked && stream_queue_empty(&s->tls->wire)) {
        size_t len = 0;
        if (e->messages[at].len > STREAM_RECORD) {
            if (!encrypt_long(s, &e->messages[at])) {
                break;
            }
            at = e->messages[at].next;
        }
        while (at != STREAM_NONE && len + e->messages[at].len <= STREAM_RECORD) {
            memcpy(e->plain + len, e->messages[at].data, e->messages[at].len);
            len += e->messages[at].len;
            stats_add(&e->count.tx_messages, 1);
            at = e->messages[at].next;
        }
        if (len > 0 && stream_tls_send(s, e->plain, len) <= 0) {
            break;
        }
        stream_tls_push(s);
    }
    return at;
}

void stream_out_flush(struct stream *s)
{
    struct streams *e = s->engine;
    const bool direct =
        !s->blocked && stream_queue_empty(&s->queue) && s->state != STREAM_CONNECTING;
    uint16_t at = s->first_message;
    uint32_t sent = 0;

    list_remove(&s->sending);
    s->first_message = STREAM_NONE;
    s->last_message = STREAM_NONE;
    if (direct && s->tls == NULL) {
        at = send_plain(s, at, &sent);
    } else if (direct && s->tls->established) {
        at = send_tls(s, at);
    }
    for (; at != STREAM_NONE && s->state != STREAM_DYING; at = e->messages[at].next) {
        (void)enqueue(s, &e->messages[at], sent);
        sent = 0;
    }
    stream_pending(s);
}

void streams_flush(struct streams *e)
{
    while (!list_empty(&e->sending)) {
        stream_out_flush(CONTAINER_OF(e->sending.next, struct stream, sending));
    }
    e->message_count = 0;
}

bool stream_send(struct stream *s, enum stream_kind kind, const uint8_t *data, uint32_t len)
{
    struct streams *e = s->engine;

    if (s->state == STREAM_FINISHING || s->state == STREAM_DYING || s->twin != NULL) {
        return false;
    }
    if (e->message_count == STREAM_MESSAGES) {
        streams_flush(e);
        if (s->state == STREAM_DYING) {
            return false;
        }
    }
    const uint16_t at = (uint16_t)e->message_count++;
    e->messages[at] = (struct stream_message){
        .data = data,
        .len = len,
        .next = STREAM_NONE,
        .kind = kind == STREAM_CONTROL ? QUEUE_CONTROL : QUEUE_DATAGRAM,
    };
    if (s->first_message == STREAM_NONE) {
        s->first_message = at;
        list_push(&e->sending, &s->sending);
    } else {
        e->messages[s->last_message].next = at;
    }
    s->last_message = at;
    return true;
}

void stream_out_raw(struct stream *s, const uint8_t *data, size_t len)
{
    struct streams *e = s->engine;

    if (s->first_message != STREAM_NONE) {
        stream_out_flush(s);
    }
    if (s->tls == NULL && !s->blocked && stream_queue_empty(&s->queue)) {
        union {
            const uint8_t *in;
            void *out;
        } p = {.in = data};

        struct iovec vec = {p.out, len};
        const ssize_t n = stream_socket_send(s, &vec, 1);
        if (n < 0 && n != -EAGAIN) {
            stream_die(s, STREAM_CLOSE_RESET, (int)-n);
            return;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    while (s->tls != NULL && len > 0 && !s->blocked && stream_queue_empty(&s->queue) &&
           stream_queue_empty(&s->tls->wire)) {
        const ssize_t n = stream_tls_send(s, data, len);
        if (n <= 0) {
            break;
        }
        stream_tls_push(s);
        data += n;
        len -= (size_t)n;
    }
    if (len > 0 && s->state != STREAM_DYING &&
        stream_queue_put(&s->queue, &e->pool, QUEUE_RAW, data, (uint32_t)len, e->now_ms) < 0) {
        stream_die(s, STREAM_CLOSE_MEMORY, ENOMEM);
        return;
    }
    stream_pending(s);
}

/* --- when the kernel takes more -----------------------------------------------------------------
 */

static void drain_plain(struct stream *s)
{
    struct streams *e = s->engine;
    struct iovec vec[STREAM_VECTORS];

    while (!s->blocked && !stream_queue_empty(&s->queue)) {
        const size_t count = stream_queue_peek(&s->queue, vec, STREAM_VECTORS, STREAM_READ_SPLICE);
        const ssize_t n = stream_socket_send(s, vec, count);
        if (n < 0) {
            if (n != -EAGAIN) {
                stream_die(s, STREAM_CLOSE_RESET, (int)-n);
            }
            return;
        }
        stats_add(&e->count.tx_messages, stream_queue_pop(&s->queue, &e->pool, (size_t)n));
    }
}

static void drain_tls(struct stream *s)
{
    struct streams *e = s->engine;
    struct iovec vec[STREAM_VECTORS];

    while (stream_tls_drain(s) && s->tls->established && !stream_queue_empty(&s->queue)) {
        const size_t count = stream_queue_peek(&s->queue, vec, STREAM_VECTORS, STREAM_RECORD);
        size_t len = 0;
        for (size_t i = 0; i < count && len < STREAM_RECORD; i++) {
            const size_t room = STREAM_RECORD - len;
            const size_t n = vec[i].iov_len < room ? vec[i].iov_len : room;
            memcpy(e->plain + len, vec[i].iov_base, n);
            len += n;
        }
        const ssize_t n = stream_tls_send(s, e->plain, len);
        if (n <= 0) {
            return;
        }
        stats_add(&e->count.tx_messages, stream_queue_pop(&s->queue, &e->pool, (size_t)n));
        stream_tls_push(s);
    }
}

void stream_out(struct stream *s)
{
    drop_oldest(s, 0);
    if (s->tls != NULL) {
        drain_tls(s);
    } else if (stream_pipe_drain(s)) {
        drain_plain(s);
    }
    stream_pending(s);
    if (s->state == STREAM_DYING) {
        return;
    }
    if (s->twin != NULL) {
        stream_splice_drained(s);
    }
    stream_out_finish(s);
    stream_wake(s); /* what could not be read for want of room */
}

void stream_out_finish(struct stream *s)
{
    const bool asked = s->fin_wanted || s->state == STREAM_FINISHING;

    if (asked && !s->fin_sent && stream_out_done(s) && s->state != STREAM_DYING) {
        if (s->tls != NULL) {
            stream_tls_notify(s);
            if (!stream_queue_empty(&s->tls->wire)) {
                return; /* it comes round again when that is sent */
            }
        }
        s->fin_sent = true;
        s->finish_ms = s->engine->now_ms;
        (void)shutdown(s->fd, SHUT_WR);
        stream_rearm(s);
    }
    if (!s->fin_sent || !s->eof || s->state == STREAM_DYING) {
        return;
    }
    if (s->state == STREAM_FINISHING) {
        stream_die(s, (enum stream_close)s->why, 0);
    } else if (s->twin != NULL && s->twin->fin_sent && s->twin->eof) {
        stream_die(s, STREAM_CLOSE_EOF, 0);
    }
}
