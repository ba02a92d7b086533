/* SPDX-License-Identifier: Apache-2.0 */
/* Spliced connections without TLS: bytes go from socket to socket through a pipe, and never through
 * our memory.  A pipe is borrowed for one passage; only when the receiver does not take all of it
 * does it stay with that connection until it has. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/stream_int.h"

enum {
    PIPE_BYTES = 256 * 1024,
    PIPES_MAX = 1024, /* of one engine: two descriptors each */
};

static struct stream_pipe *pipe_new(struct streams *e)
{
    int ends[2];
    struct stream_pipe *p = e->pipe_count < PIPES_MAX ? mem_new(1, sizeof(*p)) : NULL;

    if (p == NULL) {
        return NULL;
    }
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(p);
        return NULL;
    }
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* else it stays smaller */
    p->out = ends[0];
    p->in = ends[1];
    e->pipe_count++;
    return p;
}

static void pipe_free(struct streams *e, struct stream_pipe *p)
{
    (void)close(p->in);
    (void)close(p->out);
    free(p);
    e->pipe_count--;
}

static struct stream_pipe *pipe_get(struct streams *e)
{
    return e->pipe_spare > 0 ? e->pipes[--e->pipe_spare] : pipe_new(e);
}

static void pipe_put(struct streams *e, struct stream_pipe *p)
{
    if (p->bytes > 0 || e->pipe_spare == STREAM_SPARE_PIPES) {
        pipe_free(e, p);
    } else {
        e->pipes[e->pipe_spare++] = p;
    }
}

void stream_pipes_free(struct streams *e)
{
    while (e->pipe_spare > 0) {
        pipe_free(e, e->pipes[--e->pipe_spare]);
    }
}

void stream_pipe_drop(struct stream *s)
{
    if (s->pipe != NULL) {
        pipe_put(s->engine, s->pipe);
        s->pipe = NULL;
    }
}

/* Empty the pipe into `to`.  False: `to` is dying. */
static bool pass(struct stream *to, struct stream_pipe *p)
{
    struct streams *e = to->engine;

    while (p->bytes > 0 && !to->blocked) {
        const ssize_t n = splice(p->out, NULL, to->fd, NULL, p->bytes, SPLICE_F_NONBLOCK);
        stats_add(&e->count.tx_calls, 1);
        if (n <= 0) {
            if (n < 0 && errno != EAGAIN && errno != EINTR) {
                stream_die(to, STREAM_CLOSE_RESET, errno);
                return false;
            }
            stream_set_blocked(to);
            break;
        }
        p->bytes -= (uint32_t)n;
        stats_add(&e->count.tx_bytes, (uint64_t)n);
        stream_progress(to, (size_t)n);
    }
    return true;
}

bool stream_pipe_drain(struct stream *to)
{
    if (to->pipe != NULL && pass(to, to->pipe) && to->pipe->bytes == 0) {
        stream_pipe_drop(to);
    }
    return to->pipe == NULL && to->state != STREAM_DYING;
}

bool stream_pipe_may(const struct stream *s)
{
    const struct stream *to = s->twin;

    return to != NULL && s->tls == NULL && to->tls == NULL && s->kept_len == 0 &&
           to->state == STREAM_OPEN && stream_queue_empty(&to->queue) &&
           to->first_message == STREAM_NONE;
}

bool stream_pipe_in(struct stream *s)
{
    struct streams *e = s->engine;
    struct stream *to = s->twin;

    if (to->blocked || to->pipe != NULL) { /* what came now would only wait */
        s->held = true;
        return true;
    }
    struct stream_pipe *p = pipe_get(e);
    if (p == NULL) {
        return false;
    }
    const ssize_t n = splice(s->fd, NULL, p->in, NULL, PIPE_BYTES, SPLICE_F_NONBLOCK);
    const size_t got = stream_received(s, n, SIZE_MAX);
    if (got > 0) {
        s->readable = true; /* a passage may be less than there is */
        p->bytes = (uint32_t)got;
        stream_splice_count(s, got);
        (void)pass(to, p);
    }
    if (p->bytes > 0 && to->state == STREAM_OPEN) {
        to->pipe = p;
        s->held = true;
        stream_pending(to);
    } else {
        pipe_put(e, p);
    }
    return true;
}
