/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: everything that is there goes into one large buffer of the engine's and from there to
 * the handler, in place; only an unfinished message is kept with its connection. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "io/stream_int.h"

/* --- what is kept -------------------------------------------------------------------------------
 */

void stream_keep_free(struct stream *s)
{
    struct streams *e = s->engine;

    if (s->kept == NULL) {
        return;
    }
    e->pool.held -= s->kept_cap;
    if (s->kept_cap == STREAM_KEEP_TINY) {
        slab_put(e->small_keeps, s->kept);
    } else {
        free(s->kept);
    }
    s->kept = NULL;
    s->kept_len = 0;
    s->kept_cap = 0;
}

static uint32_t keep_class(size_t len)
{
    if (len <= STREAM_KEEP_TINY) {
        return STREAM_KEEP_TINY;
    }
    if (len <= STREAM_KEEP_SMALL) {
        return STREAM_KEEP_SMALL;
    }
    return (uint32_t)(len <= STREAM_KEEP_MAX ? STREAM_KEEP_MAX : len);
}

/* Make room for `len` bytes in all, with those that are kept; false at the bound. */
static bool keep_room(struct stream *s, size_t len)
{
    struct streams *e = s->engine;

    if (len <= s->kept_cap) {
        return true;
    }
    const uint32_t cap = keep_class(len);
    /* Small ones have bounds of their own: strangers with long messages cannot use up what others
     * need for a few bytes. */
    if (cap > STREAM_KEEP_TINY && e->pool.held + cap > e->pool.limit) {
        return false;
    }
    uint8_t *room = cap == STREAM_KEEP_TINY ? slab_get(e->small_keeps) : mem_new(1, cap);
    if (room == NULL) {
        return false;
    }
    const uint32_t had = s->kept_len;
    if (s->kept != NULL) {
        memcpy(room, s->kept, had);
    }
    stream_keep_free(s);
    e->pool.held += cap;
    s->kept = room;
    s->kept_len = had;
    s->kept_cap = cap;
    return true;
}

bool stream_keep(struct stream *s, const uint8_t *data, size_t len)
{
    if (!keep_room(s, s->kept_len + len)) {
        stream_die(s, STREAM_CLOSE_MEMORY, ENOMEM);
        return false;
    }
    assert(s->kept != NULL);
    memcpy(s->kept + s->kept_len, data, len);
    s->kept_len += (uint32_t)len;
    return true;
}

size_t stream_in_room(struct stream *s, size_t want, uint8_t **out_base, size_t *out_have)
{
    struct streams *e = s->engine;

    *out_have = s->kept_len;
    if (s->kept_len <= STREAM_KEEP_SMALL && !s->paused) {
        if (s->kept_len > 0) {
            memcpy(e->input, s->kept, s->kept_len);
        }
        stream_keep_free(s); /* room that was never used, too */
        *out_base = e->input;
        return want;
    }
    /* A long message: what follows goes right behind what has come.  The handler has seen all that
     * is kept, so there is room for its rest, unless nothing may be handed over now. */
    if (s->kept_len == s->kept_cap && !keep_room(s, s->kept_len + want)) {
        stream_die(s, STREAM_CLOSE_MEMORY, ENOMEM);
        return 0;
    }
    *out_base = s->kept;
    const size_t room = s->kept_cap - s->kept_len;
    return room < want ? room : want;
}

/* --- handing over -------------------------------------------------------------------------------
 */

/* What the handler has left over, the last `len` bytes of what it was given at `data`. */
static void keep_rest(struct stream *s, uint8_t *data, size_t len, bool got_on)
{
    if (data >= s->kept && s->kept != NULL && data <= s->kept + s->kept_cap) {
        memmove(s->kept, data, len);
        s->kept_len = (uint32_t)len;
        if (len == 0) {
            stream_keep_free(s);
        }
    } else if (len > 0 && !stream_keep(s, data, len)) {
        return;
    }
    const bool begins = len > 0 && (got_on || !s->partial);

    s->partial = len > 0;
    if (begins) {
        s->message_ms = s->engine->now_ms;
        stream_rearm(s);
    }
}

/* What the handler was given last is the beginning of a handshake. */
static void begin_tls(struct stream *s, uint8_t *data, size_t len)
{
    struct streams *e = s->engine;

    if (s->tls->waiting) {
        keep_rest(s, data, len, true);
        return;
    }
    memcpy(e->cipher, data, len); /* the plaintext will lie where it lies now */
    stream_keep_free(s);
    s->partial = false;
    stream_tls_in(s, e->cipher, len);
}

void stream_deliver(struct stream *s, uint8_t *data, size_t len)
{
    struct streams *e = s->engine;
    const bool plain = s->tls == NULL;

    s->last_ms = e->now_ms;
    if (s->state != STREAM_OPEN) {
        return;
    }
    if (s->twin != NULL) {
        stream_splice_data(s, data, len);
        stream_keep_free(s);
        return;
    }
    if (s->paused) {
        keep_rest(s, data, len, false);
        return;
    }
    const size_t done = s->handler->input(e->arg, s, data, len);
    streams_flush(e);
    if (s->state != STREAM_OPEN) {
        return;
    }
    if (plain && s->tls != NULL) { /* what has come is the beginning of a handshake */
        begin_tls(s, data + done, len - done);
        return;
    }
    if (s->twin != NULL) {
        if (done < len) {
            stream_splice_data(s, data + done, len - done);
        }
        stream_keep_free(s);
        return;
    }
    keep_rest(s, data + done, len - done, done > 0);
}

void stream_in_end(struct stream *s)
{
    struct streams *e = s->engine;

    if (!s->eof || s->ended || s->paused || s->again || s->state != STREAM_OPEN) {
        return;
    }
    s->ended = true;
    if (s->twin != NULL) {
        stream_splice_end(s);
    } else if (s->handler->ended != NULL) {
        s->handler->ended(e->arg, s);
    } else {
        stream_finish_why(s, STREAM_CLOSE_EOF);
    }
}

/* --- reading ------------------------------------------------------------------------------------
 */

size_t stream_received(struct stream *s, ssize_t n, size_t asked)
{
    struct streams *e = s->engine;

    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            s->readable = errno == EINTR;
        } else {
            stream_die(s, STREAM_CLOSE_RESET, errno);
        }
        return 0;
    }
    if (n == 0) {
        s->eof = true;
        s->readable = false;
        return 0;
    }
    /* Less than there is room for: that was all, unless an end is behind it. */
    if ((size_t)n < asked && !s->hung) {
        s->readable = false;
    }
    e->turn_bytes += (uint64_t)n;
    stats_add(&e->count.rx_calls, 1);
    stats_add(&e->count.rx_bytes, (uint64_t)n);
    return (size_t)n;
}

static bool may_read(const struct stream *s)
{
    return s->readable && !s->eof && !s->held && (!s->paced || s->state == STREAM_FINISHING) &&
           (!s->paused || s->state == STREAM_FINISHING) &&
           (s->state == STREAM_OPEN || s->state == STREAM_FINISHING) &&
           (s->tls == NULL || (!s->tls->waiting && !stream_tls_backlogged(s)));
}

/* Is what was kept to be handed over again, now? */
static bool may_hand_over(const struct stream *s)
{
    return s->again && !s->paused && s->state == STREAM_OPEN &&
           (s->tls == NULL || s->tls->established);
}

static void read_away(struct stream *s)
{
    struct streams *e = s->engine;
    (void)stream_received(s, recv(s->fd, e->cipher, STREAM_READ, 0), STREAM_READ);
}

static void read_plain(struct stream *s)
{
    uint8_t *base = NULL;
    size_t have;

    if (stream_pipe_may(s) && stream_pipe_in(s)) {
        return;
    }
    const size_t room =
        stream_in_room(s, s->twin != NULL ? STREAM_READ_SPLICE : STREAM_READ, &base, &have);
    if (room == 0) {
        return;
    }
    const size_t n = stream_received(s, recv(s->fd, base + have, room, 0), room);
    if (n > 0) {
        stream_deliver(s, base, have + n);
    } else if (base != s->kept && have > 0 && s->state == STREAM_OPEN) {
        (void)stream_keep(s, base, have);
    }
}

static void read_tls(struct stream *s)
{
    struct streams *e = s->engine;
    const size_t n = stream_received(s, recv(s->fd, e->cipher, STREAM_READ, 0), STREAM_READ);

    if (n > 0) {
        stream_tls_in(s, e->cipher, n);
    }
}

void stream_in(struct stream *s)
{
    if (s->state == STREAM_FINISHING) { /* not before: its handler may have been at work on it */
        stream_keep_free(s);
    }
    if (may_hand_over(s)) {
        s->again = false;
        if (s->kept_len > 0) {
            stream_deliver(s, s->kept, s->kept_len);
        }
    }
    if (s->twin != NULL && s->state == STREAM_OPEN && may_read(s)) {
        stream_splice_pace(s, 0);
    }
    if (may_read(s)) {
        if (s->state == STREAM_FINISHING) {
            read_away(s);
        } else if (s->tls == NULL) {
            read_plain(s);
        } else {
            read_tls(s);
        }
    }
    stream_in_end(s);
    if (may_read(s) || may_hand_over(s)) {
        stream_wake(s);
    }
}
