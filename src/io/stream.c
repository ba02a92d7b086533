/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/mem.h"
#include "io/conn_limit.h"
#include "io/stream_int.h"

enum {
    BLOCKS_MAX = 1 << 24, /* the pool's bound is bytes, and may change */
};

const char *stream_close_text(enum stream_close why)
{
    static const char *const texts[] = {
#define X(name, text) [STREAM_CLOSE_##name] = text,
        STREAM_CLOSES(X)
#undef X
    };
    return why < STREAM_CLOSE_COUNT ? texts[why] : "?";
}

/* --- the engine ---------------------------------------------------------------------------------
 */

struct streams *streams_new(const struct streams_options *options)
{
    struct streams *e = mem_new(1, sizeof(*e));
    if (e == NULL) {
        return NULL;
    }
    e->loop = options->loop;
    e->arg = options->arg;
    e->shared = options->shared;
    e->owner_bytes = options->owner_bytes;
    e->now_ms = options->now_ms;
    e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    list_init(&e->handshakes);
    list_init(&e->ready);
    list_init(&e->sending);
    list_init(&e->dying);
    list_init(&e->listeners);
    list_init(&e->all);
    wheel_init(&e->wheel, options->now_ms);
    streams_set_limits(e, &options->limits);
    e->slab = slab_new(sizeof(struct stream) + options->owner_bytes, options->max_streams);
    e->small_keeps = slab_new(STREAM_KEEP_TINY, options->max_streams);
    e->pool.blocks = slab_new(STREAM_BLOCK, BLOCKS_MAX);
    if (e->slab == NULL || e->small_keeps == NULL || e->pool.blocks == NULL) {
        streams_free(e);
        return NULL;
    }
    return e;
}

void streams_set_limits(struct streams *e, const struct stream_limits *limits)
{
    e->limits = *limits;
    e->pool.limit = limits->total_bytes;
}

const struct stream_counters *streams_counters(const struct streams *e)
{
    return &e->count;
}

/* --- a connection -------------------------------------------------------------------------------
 */

struct stream *stream_new(struct streams *e, int fd, const struct stream_handler *handler)
{
    struct stream *s = slab_get(e->slab);
    if (s == NULL) {
        return NULL;
    }
    s->engine = e;
    s->fd = fd;
    s->handler = handler;
    s->watch.fn = stream_event;
    s->first_message = STREAM_NONE;
    s->last_message = STREAM_NONE;
    s->why = STREAM_CLOSE_LOCAL;
    s->born_ms = e->now_ms;
    s->last_ms = e->now_ms;
    list_init(&s->ready);
    list_init(&s->sending);
    list_push(&e->all, &s->all);
    wheel_timer_init(&s->timer);
    s->timer.deadline_ms = UINT64_MAX;
    if (loop_add_connection(e->loop, fd, &s->watch) < 0) {
        list_remove(&s->all);
        slab_put(e->slab, s);
        return NULL;
    }
    stats_add(&e->count.established, 1);
    return s;
}

void stream_wake(struct stream *s)
{
    if (s->state != STREAM_DYING && list_empty(&s->ready)) {
        list_push(&s->engine->ready, &s->ready);
    }
}

void stream_event(void *arg, struct loop_watch *watch, unsigned events)
{
    struct stream *s = CONTAINER_OF(watch, struct stream, watch);

    (void)arg;
    if (s->state == STREAM_DYING) {
        return;
    }
    s->readable = s->readable || (events & (LOOP_READ | LOOP_END | LOOP_ERROR)) != 0;
    s->hung = s->hung || (events & (LOOP_END | LOOP_ERROR)) != 0;
    s->broken = s->broken || (events & LOOP_ERROR) != 0;
    s->writable = s->writable || (events & LOOP_WRITE) != 0;
    stream_wake(s);
}

static void count_end(struct streams *e, enum stream_close why)
{
    switch (why) {
    case STREAM_CLOSE_RESET:
        stats_add(&e->count.con_reset, 1);
        break;
    case STREAM_CLOSE_CONNECT_TIMEOUT:
    case STREAM_CLOSE_HANDSHAKE_TIMEOUT:
    case STREAM_CLOSE_FIRST_TIMEOUT:
    case STREAM_CLOSE_MESSAGE_TIMEOUT:
    case STREAM_CLOSE_IDLE:
        stats_add(&e->count.con_timeout, 1);
        break;
    case STREAM_CLOSE_SEND_TIMEOUT:
        stats_add(&e->count.send_timeout, 1);
        break;
    case STREAM_CLOSE_QUEUE_FULL:
    case STREAM_CLOSE_MEMORY:
        stats_add(&e->count.sendq_full, 1);
        break;
    case STREAM_CLOSE_EOF:
    case STREAM_CLOSE_LOCAL:
    case STREAM_CLOSE_REFUSED:
    case STREAM_CLOSE_TLS:
    case STREAM_CLOSE_LIMIT:
    case STREAM_CLOSE_PROTOCOL:
    case STREAM_CLOSE_COUNT:
    default:
        break;
    }
}

static void die_alone(struct stream *s, enum stream_close why, int error)
{
    struct streams *e = s->engine;

    if (s->state == STREAM_DYING) {
        return;
    }
    if (s->state == STREAM_CONNECTING) {
        stats_add(&e->count.connect_failed, 1);
    }
    s->state = STREAM_DYING;
    s->why = (uint8_t)why;
    s->error = error;
    s->abort = s->abort || why == STREAM_CLOSE_RESET || why == STREAM_CLOSE_SEND_TIMEOUT;
    count_end(e, why);
    list_remove(&s->sending);
    list_remove(&s->ready);
    list_push(&e->dying, &s->ready);
}

/* Two that are one end together, the one that began it first. */
void stream_die(struct stream *s, enum stream_close why, int error)
{
    struct stream *twin = s->twin;

    die_alone(s, why, error);
    if (twin != NULL) {
        twin->abort = twin->abort || s->abort;
        die_alone(twin, why, error);
    }
}

static void socket_close(const struct stream *s)
{
    if (s->fd < 0) {
        return;
    }
    if (s->abort) {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    (void)close(s->fd);
}

static void release(struct stream *s)
{
    struct streams *e = s->engine;

    if (s->tls != NULL && !s->abort) {
        stream_tls_notify(s);
    }
    if (s->twin != NULL) {
        s->twin->twin = NULL;
    }
    if (s->blocked) {
        stats_set(&e->count.blocked, stats_read(&e->count.blocked) - 1);
    }
    if (s->limited) {
        conn_limit_give(e->shared, &s->source);
    }
    wheel_cancel(&e->wheel, &s->timer);
    stream_tls_free(s);
    stream_queue_clear(&s->queue, &e->pool);
    stream_keep_free(s);
    stream_pipe_drop(s);
    socket_close(s);
    list_remove(&s->ready);
    list_remove(&s->sending);
    list_remove(&s->all);
    stats_set(&e->count.established, stats_read(&e->count.established) - 1);
    slab_put(e->slab, s);
}

void stream_close(struct stream *s, bool abort)
{
    s->silent = true;
    s->abort = s->abort || abort;
    if (s->twin != NULL) { /* it is told, or closed by its owner as well */
        struct stream *twin = s->twin;
        s->twin = NULL;
        twin->twin = NULL;
        twin->abort = twin->abort || abort;
        stream_die(twin, STREAM_CLOSE_LOCAL, 0);
    }
    stream_die(s, STREAM_CLOSE_LOCAL, 0);
}

void stream_fail(struct stream *s)
{
    stream_finish_why(s, STREAM_CLOSE_PROTOCOL);
}

void stream_finish_why(struct stream *s, enum stream_close why)
{
    if (s->state != STREAM_OPEN && s->state != STREAM_CONNECTING) {
        return;
    }
    if (s->state == STREAM_CONNECTING) {
        stream_die(s, why, 0);
        return;
    }
    s->state = STREAM_FINISHING;
    s->why = (uint8_t)why;
    s->finish_ms = s->engine->now_ms;
    s->readable = true; /* what has been kept from being read is thrown away */
    s->again = false;
    stream_rearm(s);
    stream_wake(s);
}

void stream_finish(struct stream *s)
{
    stream_finish_why(s, STREAM_CLOSE_LOCAL);
}

/* --- a turn -------------------------------------------------------------------------------------
 */

/* True when the socket has failed. */
static bool check_error(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);

    s->broken = false;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error == 0) {
        return false;
    }
    stream_die(s, error == ETIMEDOUT ? STREAM_CLOSE_SEND_TIMEOUT : STREAM_CLOSE_RESET, error);
    return true;
}

static void serve(struct stream *s)
{
    struct streams *e = s->engine;

    if (s->state == STREAM_CONNECTING) {
        if (s->writable || s->broken) {
            stream_connected(s);
        }
        return;
    }
    if (s->broken && check_error(s)) {
        return;
    }
    if (s->writable) {
        s->writable = false;
        if (s->blocked) {
            s->blocked = false;
            stats_set(&e->count.blocked, stats_read(&e->count.blocked) - 1);
            stream_out(s);
        }
    }
    if (s->state != STREAM_DYING) {
        stream_in(s);
    }
    if (s->state == STREAM_FINISHING) {
        stream_out_finish(s);
    }
}

/* Move all of `from` behind `to`. */
static void move_all(struct list *to, struct list *from)
{
    struct list *node;

    while ((node = list_shift(from)) != NULL) {
        list_push(to, node);
    }
}

/* Serving counts what it has read. */
static bool turn_is_spent(const struct streams *e)
{
    return e->turn_bytes >= STREAM_TURN;
}

static void serve_ready(struct streams *e)
{
    struct list round;
    struct list *node;

    list_init(&round);
    move_all(&round, &e->ready);
    e->turn_bytes = 0;
    while (!turn_is_spent(e) && (node = list_shift(&round)) != NULL) {
        serve(CONTAINER_OF(node, struct stream, ready));
    }
    move_all(&round, &e->ready); /* those that have had to wait come first */
    move_all(&e->ready, &round);
}

static void reap(struct streams *e)
{
    struct list *node;

    while ((node = list_shift(&e->dying)) != NULL) {
        struct stream *s = CONTAINER_OF(node, struct stream, ready);
        if (!s->silent) {
            s->handler->closed(e->arg, s, (enum stream_close)s->why);
        }
        release(s);
    }
}

void streams_set_now(struct streams *e, uint64_t now_ms)
{
    e->now_ms = now_ms;
}

bool streams_run(struct streams *e, uint64_t now_ms)
{
    struct list *node;

    e->now_ms = now_ms;
    stream_expire(e);
    while ((node = list_shift(&e->listeners)) != NULL) {
        stream_accept(CONTAINER_OF(node, struct stream_listener, ready));
    }
    stream_tls_admit(e);
    serve_ready(e);
    streams_flush(e);
    reap(e);
    streams_flush(e);
    stats_set(&e->count.queued_bytes, e->pool.held);
    return !list_empty(&e->ready) || !list_empty(&e->dying);
}

uint64_t streams_next_deadline(const struct streams *e)
{
    const uint64_t timer_ms = wheel_next_deadline(&e->wheel);
    const uint64_t tls_ms = stream_tls_next(e);

    if (!list_empty(&e->ready) || !list_empty(&e->dying)) {
        return e->now_ms;
    }
    return timer_ms < tls_ms ? timer_ms : tls_ms;
}

void streams_free(struct streams *e)
{
    if (e == NULL) {
        return;
    }
    while (!list_empty(&e->all)) {
        release(CONTAINER_OF(e->all.next, struct stream, all));
    }
    stream_pipes_free(e);
    slab_free(e->slab);
    slab_free(e->small_keeps);
    slab_free(e->pool.blocks);
    if (e->reserve_fd >= 0) {
        (void)close(e->reserve_fd);
    }
    free(e);
}

/* --- what its owner asks ------------------------------------------------------------------------
 */

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    s->again = s->kept_len > 0 && s->state == STREAM_OPEN;
    s->message_ms = s->engine->now_ms;
    stream_rearm(s);
    stream_wake(s);
}

void stream_set_idle(struct stream *s, uint32_t idle_ms)
{
    s->idle_ms = idle_ms;
    stream_rearm(s);
}

void stream_proven(struct stream *s)
{
    s->proven = true;
}

void *stream_owner(struct stream *s)
{
    return s->owner;
}

struct stream *stream_of_owner(void *owner)
{
    return CONTAINER_OF(owner, struct stream, owner);
}

const struct stream_listener *stream_listener_of(const struct stream *s)
{
    return s->listener;
}

const struct net_addr *stream_remote(const struct stream *s)
{
    return &s->remote;
}

const struct net_addr *stream_local(const struct stream *s)
{
    return &s->local;
}

SSL *stream_ssl(const struct stream *s)
{
    return s->tls != NULL ? s->tls->ssl : NULL;
}

bool stream_is_blocked(const struct stream *s)
{
    return s->blocked;
}

uint64_t stream_queued_bytes(const struct stream *s)
{
    return stream_queue_bytes(&s->queue) + (s->pipe != NULL ? s->pipe->bytes : 0) +
           (s->tls != NULL ? stream_queue_bytes(&s->tls->wire) : 0);
}

uint32_t stream_kernel_bytes(const struct stream *s)
{
    int bytes = 0;

    return ioctl(s->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

uint64_t stream_spliced_from(const struct stream *s)
{
    return s->spliced_from;
}

uint64_t stream_spliced_to(const struct stream *s)
{
    return s->spliced_to;
}

int stream_error(const struct stream *s)
{
    return s->error;
}

bool stream_set_addresses(struct stream *s, const struct net_addr *remote,
                          const struct net_addr *local)
{
    if (s->limited &&
        conn_limit_move(s->engine->shared, &s->source, &remote->ip) != CONN_ADMITTED) {
        return false;
    }
    s->source = remote->ip;
    s->remote = *remote;
    s->local = *local;
    return true;
}
