/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_world.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/conn_limit.h"
#include "io/stream_int.h"

enum { TURNS_MOST = 20000, BEGIN_MS = 1000000, SMALL_KEEP = 512 };

static struct stream_limits limits_of(uint8_t how)
{
    return (struct stream_limits){
        .control_queue_bytes = 32 * 1024,
        .datagram_queue_bytes = 64 * 1024,
        .datagram_age_ms = 200,
        .splice_high_bytes = 64 * 1024,
        .splice_low_bytes = 16 * 1024,
        .total_bytes = (how & 1) != 0 ? 150 * 1000 : 4 * 1000 * 1000,
        .send_timeout_ms = 10 * 1000,
        .connect_timeout_ms = 30 * 1000,
        .first_timeout_ms = 10 * 1000,
        .message_timeout_ms = 10 * 1000,
        .handshake_timeout_ms = 10 * 1000,
        .handshakes_per_s = (how & 2) != 0 ? 10 : 0,
    };
}

static void listen_at(struct net_addr *address, int *out_fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (net_addr_parse("127.0.0.1:0", 0, address) < 0 ||
        stream_listen_fd(address, false, WORLD_CONNS, out_fd) < 0 ||
        getsockname(*out_fd, (struct sockaddr *)&ss, &len) < 0 ||
        net_addr_from_sockaddr(&ss, address) < 0) {
        abort();
    }
}

static void begin_end(struct stream_world *w, struct world_end *end)
{
    end->loop = loop_new(w);
    const struct streams_options options = {
        .loop = end->loop,
        .arg = w,
        .limits = w->limits,
        .shared = w->shared,
        .max_streams = w->max_streams,
        .owner_bytes = sizeof(struct world_conn *),
        .now_ms = w->now_ms,
    };
    end->streams = streams_new(&options);
    end->listener = (struct stream_listener){.handler = &world_handler};
    listen_at(&end->address, &end->listener.fd);
    if (end->streams == NULL || stream_listen(end->streams, &end->listener) < 0) {
        abort();
    }
}

static void begin_conn(struct world_conn *c)
{
    uint8_t *log = c->log != NULL ? c->log : malloc(WORLD_LOG);

    if (log == NULL) {
        abort();
    }
    *c = (struct world_conn){.fd = -1, .log = log};
}

void world_begin(struct stream_world *w, uint8_t how)
{
    const struct conn_limits limits = {.total = WORLD_CONNS,
                                       .tls = 6,
                                       .per_ipv4 = (how & 64) != 0 ? 3 : WORLD_CONNS,
                                       .per_ipv6_net = 4};

    (void)signal(SIGPIPE, SIG_IGN);
    w->now_ms = BEGIN_MS;
    w->limits = limits_of(how);
    w->max_streams = (how & 32) != 0 ? 3 : WORLD_CONNS;
    w->shared = conn_limit_new(&limits, WORLD_CONNS, (struct hash_key){.k0 = 1, .k1 = 2});
    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        begin_conn(&w->conns[i]);
    }
    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        begin_end(w, &w->ends[i]);
    }
    listen_at(&w->accept_address, &w->accept_fd);
    w->nowhere = w->accept_address;
    w->nowhere.port = 1;
    for (unsigned i = 0; i < WORLD_BULK; i++) {
        w->bulk[i] = (uint8_t)(i * 7 + i / 256);
    }
}

void world_finish(struct stream_world *w)
{
    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        far_close(&w->conns[i], true);
    }
    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        stream_unlisten(&w->ends[i].listener);
        streams_free(w->ends[i].streams);
        loop_free(w->ends[i].loop);
    }
    (void)close(w->accept_fd);
    assert(conn_limit_count(w->shared) == 0);
    conn_limit_free(w->shared);
}

/* --- time ---------------------------------------------------------------------------------------
 */

bool world_turn(struct stream_world *w)
{
    bool busy = false;

    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        busy = loop_turn(w->ends[i].loop, w->now_ms, w->now_ms) > 0 || busy;
        busy = streams_run(w->ends[i].streams, w->now_ms) || busy;
    }
    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        busy = far_read(w, &w->conns[i]) || busy;
    }
    return busy;
}

/* The engine would not wait: one that has been given a connection, or one that spins. */
static bool is_due(const struct stream_world *w)
{
    bool due = false;

    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        due = due || streams_next_deadline(w->ends[i].streams) <= w->now_ms;
    }
    return due;
}

void world_settle(struct stream_world *w)
{
    int turns = 0;

    while (world_turn(w) || is_due(w)) {
        turns++;
        assert(turns < TURNS_MOST);
    }
    world_check(w);
}

void world_pass(struct stream_world *w, uint64_t ms)
{
    const uint64_t until_ms = w->now_ms + ms;

    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        w->conns[i].late = w->conns[i].late || w->conns[i].finished;
    }
    while (w->now_ms < until_ms) {
        uint64_t next_ms = until_ms;
        for (unsigned i = 0; i < WORLD_ENGINES; i++) {
            const uint64_t at_ms = streams_next_deadline(w->ends[i].streams);
            next_ms = at_ms < next_ms ? at_ms : next_ms;
        }
        w->now_ms = next_ms > w->now_ms ? next_ms : w->now_ms + 1;
        world_settle(w);
    }
}

/* --- truths -------------------------------------------------------------------------------------
 */

struct sums {
    uint64_t streams;
    uint64_t blocked;
    uint64_t secure;
    uint64_t limited;
    uint64_t kept;
    uint64_t small;
    uint64_t queued; /* bytes in queues */
    uint64_t pipes;
};

static void add(struct sums *sum, const struct stream *s)
{
    sum->streams++;
    sum->blocked += s->blocked ? 1 : 0;
    sum->secure += s->tls != NULL && s->tls->established ? 1 : 0;
    sum->limited += s->limited ? 1 : 0;
    sum->kept += s->kept_cap;
    sum->small += s->kept_cap == SMALL_KEEP ? 1 : 0;
    sum->queued += stream_queue_bytes(&s->queue);
    sum->queued += s->tls != NULL ? stream_queue_bytes(&s->tls->wire) : 0;
    sum->pipes += s->pipe != NULL ? 1 : 0;
    assert((s->kept == NULL) == (s->kept_cap == 0) && s->kept_len <= s->kept_cap);
    assert(s->state != STREAM_DYING && s->first_message == STREAM_NONE);
    assert(s->twin == NULL || s->twin->twin == s);
    assert(s->pipe == NULL || s->pipe->bytes > 0);
    assert(!stream_queue_empty(&s->queue) || stream_queue_bytes(&s->queue) == 0);
    /* What is unsent waits for the kernel, or for a handshake: nobody else would send it. */
    assert(s->blocked || s->state == STREAM_CONNECTING ||
           (s->tls != NULL && !s->tls->established) || (s->tls != NULL && s->tls->notified) ||
           stream_out_done(s));
}

static uint64_t check_end(const struct streams *e)
{
    struct sums sum = {0};

    LIST_EACH (node, &e->all) {
        add(&sum, CONTAINER_OF(node, struct stream, all));
    }
    assert(sum.streams == stats_read(&e->count.established));
    assert(sum.streams == slab_count(e->slab));
    assert(sum.blocked == stats_read(&e->count.blocked));
    assert(sum.secure == stats_read(&e->count.tls_established));
    assert(sum.small == slab_count(e->small_keeps));
    assert(sum.pipes + e->pipe_spare == e->pipe_count);
    assert(e->pool.held == stats_read(&e->count.queued_bytes));
    assert(e->pool.held >= sum.kept + (uint64_t)slab_count(e->pool.blocks) * STREAM_BLOCK);
    assert(e->pool.held - sum.kept >= sum.queued);
    assert(e->pool.held > sum.kept || sum.queued == 0);
    assert(e->wire_len == 0 && e->message_count == 0);
    return sum.limited;
}

void world_check(struct stream_world *w)
{
    uint64_t limited = 0;

    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        limited += check_end(w->ends[i].streams);
    }
    assert(limited == conn_limit_count(w->shared));
    (void)limited;
}
