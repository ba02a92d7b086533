/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines: one timer a connection, set for the first of all that may run, and looked at again
 * when it rings: most have moved on by then. */
#include <errno.h>

#include "io/stream_int.h"

enum { LINGER_MS = 2000 };

struct deadline {
    uint64_t at_ms;
    enum stream_close why;
};

static void earlier(struct deadline *d, uint64_t since_ms, uint32_t span_ms, enum stream_close why)
{
    if (span_ms != 0 && since_ms + span_ms < d->at_ms) {
        *d = (struct deadline){since_ms + span_ms, why};
    }
}

static uint64_t last_of(const struct stream *s)
{
    return s->twin != NULL && s->twin->last_ms > s->last_ms ? s->twin->last_ms : s->last_ms;
}

static struct deadline deadline_of(const struct stream *s)
{
    const struct stream_limits *l = &s->engine->limits;
    struct deadline d = {UINT64_MAX, STREAM_CLOSE_IDLE};

    if (s->state == STREAM_CONNECTING) {
        earlier(&d, s->born_ms, l->connect_timeout_ms, STREAM_CLOSE_CONNECT_TIMEOUT);
        return d;
    }
    if (s->pending && s->twin == NULL) {
        earlier(&d, s->window_ms, l->send_timeout_ms, STREAM_CLOSE_SEND_TIMEOUT);
    }
    if (s->state == STREAM_FINISHING) {
        earlier(&d, s->finish_ms, s->fin_sent ? LINGER_MS : l->send_timeout_ms,
                (enum stream_close)s->why);
        return d;
    }
    if (s->tls != NULL && !s->tls->established) {
        earlier(&d, s->tls->since_ms, l->handshake_timeout_ms, STREAM_CLOSE_HANDSHAKE_TIMEOUT);
    } else if (!s->proven) {
        earlier(&d, s->born_ms, l->first_timeout_ms, STREAM_CLOSE_FIRST_TIMEOUT);
    } else if (s->partial && !s->paused && s->twin == NULL) {
        earlier(&d, s->message_ms, l->message_timeout_ms, STREAM_CLOSE_MESSAGE_TIMEOUT);
    }
    earlier(&d, last_of(s), s->idle_ms, STREAM_CLOSE_IDLE);
    return d;
}

void stream_rearm(struct stream *s)
{
    const struct deadline d = deadline_of(s);
    const uint64_t at_ms = s->paced && s->resume_ms < d.at_ms ? s->resume_ms : d.at_ms;

    if (at_ms < s->timer.deadline_ms && s->state != STREAM_DYING) {
        wheel_start(&s->engine->wheel, &s->timer, at_ms);
    }
}

void stream_pending(struct stream *s)
{
    const bool pending = s->blocked || s->pipe != NULL || !stream_queue_empty(&s->queue) ||
                         (s->tls != NULL && !stream_queue_empty(&s->tls->wire));

    if (pending && !s->pending) {
        s->window_ms = s->engine->now_ms;
        s->window_bytes = 0;
        s->pending = true;
        stream_rearm(s);
    }
    s->pending = pending;
}

void stream_progress(struct stream *s, size_t bytes)
{
    s->last_ms = s->engine->now_ms;
    s->window_bytes += (uint32_t)bytes;
}

/* The span of the send timeout is over: true when it took too little. */
static bool too_slow(struct stream *s)
{
    const uint32_t least = s->engine->limits.send_min_bytes;

    if (s->window_bytes == 0 || s->window_bytes < least) {
        return true;
    }
    s->window_ms = s->engine->now_ms;
    s->window_bytes = 0;
    return false;
}

static void ring(struct stream *s)
{
    struct streams *e = s->engine;
    const struct deadline d = deadline_of(s);

    s->timer.deadline_ms = UINT64_MAX;
    if (s->paced && s->resume_ms <= e->now_ms) {
        s->paced = false;
        stream_wake(s);
    }
    if (d.at_ms > e->now_ms) {
        stream_rearm(s);
        return;
    }
    if (s->pending && d.why == STREAM_CLOSE_SEND_TIMEOUT && s->state != STREAM_CONNECTING &&
        d.at_ms == s->window_ms + e->limits.send_timeout_ms && !too_slow(s)) {
        stream_rearm(s);
        return;
    }
    if (d.why == STREAM_CLOSE_IDLE && s->state == STREAM_OPEN && s->twin == NULL &&
        s->handler->idle != NULL && !s->handler->idle(e->arg, s)) {
        s->last_ms = e->now_ms;
        stream_rearm(s);
        return;
    }
    /* What was cut off must not look complete. */
    s->abort = s->abort || (s->state == STREAM_FINISHING && !stream_out_done(s));
    stream_die(s, d.why, d.why == STREAM_CLOSE_IDLE ? 0 : ETIMEDOUT);
}

void stream_expire(struct streams *e)
{
    struct wheel_timer *timer;

    while ((timer = wheel_expired(&e->wheel, e->now_ms)) != NULL) {
        struct stream *s = CONTAINER_OF(timer, struct stream, timer);
        if (s->state != STREAM_DYING) {
            ring(s);
        }
    }
}
