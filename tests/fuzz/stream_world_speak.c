/* SPDX-License-Identifier: Apache-2.0 */
/* The handler: PROXY header, TLS by its first byte, HTTP, then messages; the second byte of a
 * message says what is done beside answering it. */
#include <assert.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>

#include "base/bytes.h"
#include "stream_world.h"
#include "wire/http_hint.h"
#include "wire/proxy_header.h"
#include "wire/stream_frame.h"

enum { TLS_HANDSHAKE = 22, PACE_BYTES = 512 };

/* The second byte of a message. */
enum {
    ANSWER_DATAGRAM = 1,
    ANSWER_BULK = 2,
    ACTION_SHIFT = 2, /* three bits: enum action */
    ACTION_MORE = 0x20,
    ACTION_ABORT = 0x40,
};

enum action { GO_ON, RESUME_OTHER, FLUSH, PAUSE, FINISH, FAIL, MOVE, END };

enum step { STEP_ON, STEP_MORE, STEP_STOP };

static struct world_conn *conn_of(struct stream *s)
{
    return *(struct world_conn **)stream_owner(s);
}

static struct streams *streams_of(struct stream_world *w, const struct world_conn *c)
{
    return w->ends[c->engine].streams;
}

/* --- what is done to a connection ---------------------------------------------------------------
 */

void world_pause(struct world_conn *c, bool paused)
{
    if (c->stream == NULL || c->twin != NULL) {
        return;
    }
    c->paused = paused;
    if (paused) {
        stream_pause(c->stream);
    } else {
        stream_resume(c->stream);
    }
}

void world_close(struct world_conn *c, bool abort)
{
    if (c->stream != NULL) {
        stream_close(c->stream, abort);
        c->stream = NULL;
    }
}

static bool may_splice(const struct world_conn *c)
{
    return c->stream != NULL && c->twin == NULL && c->phase != WORLD_HTTP &&
           (stream_ssl(c->stream) == NULL ? !c->secure
                                          : SSL_is_init_finished(stream_ssl(c->stream)) != 0);
}

static void is_twin(struct world_conn *c, struct world_conn *twin)
{
    c->blind_out =
        c->blind_out || twin->blind_in || c->got != 0 || c->answer_next != c->answer_count;
    c->twin = twin;
    c->twin_at = twin->taken;
    c->paused = false;
}

void world_splice(struct stream_world *w, struct world_conn *a, struct world_conn *b)
{
    (void)w;
    if (a != b && a->engine == b->engine && may_splice(a) && may_splice(b)) {
        is_twin(a, b);
        is_twin(b, a);
        stream_splice(a->stream, b->stream, WORLD_IDLE_MS);
    }
}

void world_move(struct stream_world *w, struct world_conn *c, const uint8_t *data, size_t len)
{
    if (c->stream == NULL || c->twin != NULL) {
        return;
    }
    struct stream_parcel *parcel = stream_detach(c->stream, data, len);
    if (parcel == NULL) {
        return;
    }
    c->engine = 1 - c->engine;
    c->paused = false;
    c->ended = false;
    c->stream = stream_attach(streams_of(w, c), parcel, &world_handler);
    if (c->stream != NULL) {
        stream_set_idle(c->stream, WORLD_IDLE_MS);
    }
}

/* --- the first bytes ----------------------------------------------------------------------------
 */

static enum step read_proxy(struct world_conn *c, struct stream *s, struct bytes in, size_t *done)
{
    struct proxy_header header;
    const int err = proxy_header_decode(in, &header);

    if (err == -EAGAIN) {
        return STEP_MORE;
    }
    if (err < 0 || header.datagram ||
        (!header.local && !stream_set_addresses(s, &header.source, &header.destination))) {
        stream_fail(s);
        return STEP_STOP;
    }
    *done += header.len;
    c->taken += header.len;
    c->phase = WORLD_FIRST;
    return STEP_ON;
}

static enum step read_first(struct world_conn *c, struct stream *s, struct bytes in)
{
    if (stream_ssl(s) == NULL && in.p[0] == TLS_HANDSHAKE) {
        c->blind_in = c->blind_in || !c->secure;
        c->blind_out = c->blind_out || !c->secure;
        if (stream_start_tls(s, far_server_context()) < 0) {
            world_close(c, false);
        }
        return STEP_STOP;
    }
    c->phase = http_hint_is(in) ? WORLD_HTTP : WORLD_MESSAGES;
    return STEP_ON;
}

static enum step answer_http(struct stream_world *w, struct world_conn *c, struct bytes in)
{
    static char text[HTTP_HINT_ANSWER_MAX];
    const int len = http_hint_answer(in, "https://example.org/", text, sizeof(text));

    if (len == -EAGAIN) {
        return STEP_MORE;
    }
    c->blind_out = true;
    if (len > 0) {
        (void)stream_send(c->stream, STREAM_CONTROL, (const uint8_t *)text, (uint32_t)len);
        streams_flush(streams_of(w, c));
    }
    stream_finish(c->stream);
    return STEP_STOP;
}

/* --- messages -----------------------------------------------------------------------------------
 */

/* The message itself goes back, with its number and length instead of its first bytes, or a much
 * longer one. */
static void answer(struct stream_world *w, struct world_conn *c, uint8_t *data, uint32_t len)
{
    const uint8_t how = data[1];
    const bool bulk = (how & ANSWER_BULK) != 0;
    const struct world_answer a = {
        .at = c->taken,
        .len = bulk ? WORLD_BULK : len,
        .datagram = (how & ANSWER_DATAGRAM) != 0,
        .bulk = bulk,
    };
    uint8_t *out = bulk ? w->bulk : data;

    if (a.len < WORLD_ANSWER_HEAD || c->answer_count == WORLD_ANSWERS) {
        return;
    }
    be32_put(out, c->answer_count);
    be32_put(out + 4, a.len);
    c->answers[c->answer_count] = a;
    if (stream_send(c->stream, a.datagram ? STREAM_DATAGRAM : STREAM_CONTROL, out, a.len)) {
        c->answer_count++;
    }
    if (bulk) {
        streams_flush(streams_of(w, c));
    }
}

static struct world_conn *other_of(struct stream_world *w, const struct world_conn *c)
{
    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        struct world_conn *other = &w->conns[i];
        if (other != c && other->engine == c->engine && may_splice(other)) {
            return other;
        }
    }
    return NULL;
}

static enum step act(struct stream_world *w, struct world_conn *c, uint8_t how, uint8_t *rest,
                     size_t len)
{
    struct world_conn *other = other_of(w, c);

    switch ((enum action)(how >> ACTION_SHIFT & 7)) {
    case GO_ON:
        break;
    case RESUME_OTHER:
        if (other != NULL) {
            world_pause(other, (how & ACTION_MORE) != 0);
        }
        break;
    case FLUSH:
        streams_flush(streams_of(w, c));
        break;
    case PAUSE:
        world_pause(c, true);
        return STEP_STOP;
    case FINISH:
        c->finished = true;
        stream_finish(c->stream);
        return STEP_STOP;
    case FAIL:
        c->finished = true;
        stream_fail(c->stream);
        return STEP_STOP;
    case MOVE: {
        const struct stream *before = c->stream;
        world_move(w, c, rest, len);
        return c->stream == before ? STEP_ON : STEP_STOP;
    }
    case END:
        if ((how & ACTION_MORE) != 0) {
            world_close(c, (how & ACTION_ABORT) != 0);
        } else if (other != NULL) {
            streams_flush(streams_of(w, c));
            world_splice(w, c, other);
        }
        return c->stream == NULL || c->twin != NULL ? STEP_STOP : STEP_ON;
    }
    return STEP_ON;
}

static size_t read_messages(struct stream_world *w, struct world_conn *c, uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        uint32_t message;
        uint32_t taken;
        const int err =
            stream_frame_next((struct bytes){data + done, len - done}, &message, &taken);
        if (err == -EAGAIN) {
            break;
        }
        if (err < 0) {
            stream_fail(c->stream);
            break;
        }
        stream_proven(c->stream);
        const uint8_t how = data[done + 1];
        answer(w, c, data + done, message);
        done += taken;
        c->taken += taken;
        if (act(w, c, how, data + done, len - done) == STEP_STOP) {
            break;
        }
    }
    return done;
}

/* --- calls --------------------------------------------------------------------------------------
 */

/* It is given what was sent, from where it has got to. */
static void check_input(struct world_conn *c, const struct stream *s, const uint8_t *data,
                        size_t len)
{
    assert(c->stream == s && len > 0);
    assert(!c->paused);
    assert(!c->finished);
    assert(c->twin == NULL);
    if (c->blind_in || (c->secure && stream_ssl(s) == NULL)) { /* or a real ClientHello */
        return;
    }
    assert(len <= c->sent - c->taken);
    assert(c->taken + len >= c->seen);
    assert(!c->ended || c->taken + len == c->seen); /* what was kept, when resumed */
    assert(memcmp(c->log + c->taken, data, len) == 0);
    c->seen = c->taken + (uint32_t)len;
}

static size_t on_input(void *arg, struct stream *s, uint8_t *data, size_t len)
{
    struct stream_world *w = arg;
    struct world_conn *c = conn_of(s);
    enum step step = STEP_ON;
    size_t done = 0;

    check_input(c, s, data, len);
    while (step == STEP_ON && done < len) {
        const struct bytes in = {data + done, len - done};
        switch ((enum world_phase)c->phase) {
        case WORLD_PROXY:
            step = read_proxy(c, s, in, &done);
            break;
        case WORLD_FIRST:
            step = read_first(c, s, in);
            break;
        case WORLD_HTTP:
            step = answer_http(w, c, in);
            break;
        case WORLD_MESSAGES:
        default:
            return done + read_messages(w, c, data + done, len - done);
        }
    }
    return done;
}

/* Has the far end of `c` opened `s`?  A port may serve twice, towards two listeners. */
static bool is_of(const struct stream_world *w, const struct world_conn *c, const struct stream *s)
{
    return c->begun && !c->accepted && net_addr_equal(&c->far, stream_remote(s)) &&
           net_addr_equal(&w->ends[c->engine].address, stream_local(s));
}

static void on_opened(void *arg, struct stream *s)
{
    struct stream_world *w = arg;
    struct world_conn **owner = stream_owner(s);

    for (unsigned i = 0; *owner == NULL && i < WORLD_CONNS; i++) {
        if (is_of(w, &w->conns[i], s)) {
            *owner = &w->conns[i];
            (*owner)->stream = s;
            (*owner)->accepted = true;
        }
    }
    assert(*owner != NULL && (*owner)->stream == s);
    stream_set_idle(s, WORLD_IDLE_MS);
}

static void on_ended(void *arg, struct stream *s)
{
    const struct stream_world *w = arg;
    struct world_conn *c = conn_of(s);

    assert(c->stream == s && !c->ended && !c->paused && c->twin == NULL);
    c->ended = true;
    if ((c - w->conns) % 4 != 0) {
        stream_finish(s);
    }
}

static bool on_idle(void *arg, struct stream *s)
{
    (void)arg;
    assert(conn_of(s)->stream == s);
    return true;
}

static void on_closed(void *arg, struct stream *s, enum stream_close why)
{
    struct world_conn *c = conn_of(s);

    (void)arg;
    assert(c->stream == s && why < STREAM_CLOSE_COUNT);
    c->cleanly = c->finished && (why == STREAM_CLOSE_LOCAL || why == STREAM_CLOSE_PROTOCOL);
    c->stream = NULL;
}

/* Some are slow: a millisecond for so many bytes. */
static uint32_t on_pace(void *arg, struct stream *s, struct stream *twin, size_t bytes)
{
    const struct stream_world *w = arg;
    const struct world_conn *c = conn_of(s);

    assert(c->stream == s && c->twin != NULL && c->twin->stream == twin);
    return (c - w->conns) % 4 == 3 ? (uint32_t)(bytes / PACE_BYTES) : 0;
}

const struct stream_handler world_handler = {
    .opened = on_opened,
    .input = on_input,
    .ended = on_ended,
    .idle = on_idle,
    .closed = on_closed,
    .pace = on_pace,
};
