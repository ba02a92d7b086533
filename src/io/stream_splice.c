/* SPDX-License-Identifier: Apache-2.0 */
/* Two connections that have become one: what comes from either goes to the other as it is.
 *
 * One that cannot be sent to keeps at most what one read has brought, and the other is read no more
 * until it has taken most of that: TCP's own windows tell the sender (RFC 6062 section 3). */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "io/stream_int.h"

/* A receiver may take its time: that is its sender's affair, and no reason to end the connection.
 */
static void patience(const struct stream *s)
{
    const int none = 0;

    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof(none));
}

void stream_splice(struct stream *a, struct stream *b, uint32_t idle_ms)
{
    struct stream *both[] = {a, b};

    a->twin = b;
    b->twin = a;
    if (a->state != STREAM_OPEN || b->state != STREAM_OPEN) { /* one has ended in this very turn */
        stream_die(a, STREAM_CLOSE_RESET, ECONNRESET);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct stream *s = both[i];
        s->paused = false;
        s->proven = true;
        s->partial = false;
        s->ended = false; /* an end that its handler was told of is the other's to know, too */
        s->again = s->kept_len > 0;
        s->idle_ms = idle_ms;
        s->last_ms = s->engine->now_ms;
        patience(s);
        stream_pending(s);
        stream_rearm(s);
        stream_wake(s);
    }
}

void stream_splice_count(struct stream *s, size_t len)
{
    stats_add(&s->engine->count.spliced_bytes, len);
    s->last_ms = s->engine->now_ms;
    s->spliced_from += len;
    s->twin->spliced_to += len;
    stream_splice_pace(s, len);
}

void stream_splice_pace(struct stream *s, size_t len)
{
    struct streams *e = s->engine;
    const uint32_t wait_ms =
        s->handler->pace != NULL ? s->handler->pace(e->arg, s, s->twin, len) : 0;

    s->paced = wait_ms > 0;
    if (s->paced) {
        s->resume_ms = e->now_ms + wait_ms;
        stream_rearm(s);
    }
}

void stream_splice_data(struct stream *s, const uint8_t *data, size_t len)
{
    struct stream *to = s->twin;

    if (len == 0 || to->state != STREAM_OPEN) {
        return;
    }
    stream_splice_count(s, len);
    stream_out_raw(to, data, len);
    if (to->state == STREAM_OPEN &&
        stream_queued_bytes(to) >= s->engine->limits.splice_high_bytes) {
        s->held = true;
    }
}

void stream_splice_drained(struct stream *s)
{
    struct stream *from = s->twin;

    if (from->held && stream_queued_bytes(s) <= s->engine->limits.splice_low_bytes) {
        from->held = false;
        stream_wake(from);
    }
}

/* A connection under TLS that ends without close_notify may have been cut off by anybody. */
static bool is_truncated(const struct stream *s)
{
    return s->tls != NULL && !s->tls->closed;
}

void stream_splice_end(struct stream *s)
{
    struct stream *to = s->twin;

    if (is_truncated(s)) {
        stream_die(s, STREAM_CLOSE_RESET, ECONNRESET);
        return;
    }
    to->fin_wanted = true;
    stream_out_finish(to);
}
