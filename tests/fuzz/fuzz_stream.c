/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of the stream engine (io/stream*.c): streams_run(), stream_send(), stream_pause(),
 * stream_finish(), stream_close(), stream_start_tls(), stream_splice(), stream_detach() and what
 * calls them, with real sockets on both sides.
 *
 * Input: a byte that chooses limits, then a list of actions: a byte with what happens (high half)
 * and to which connection (low half), and what else it needs. */
#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "io/stream_int.h"
#include "stream_world.h"

enum {
    ACTIONS_MOST = 200,
    HELLO_MAX = 2048,
    WAITS_MOST = 4000, /* of a few milliseconds of real time */
    DESCRIPTORS = 1024,
    SNDBUF = 4096,
};

enum action {
    OPEN,
    SAY,     /* bytes of the input */
    MESSAGE, /* ChannelData with a length of its own */
    PUSH,    /* send a part of what was said */
    PASS,
    LEAVE, /* close, reset, shutdown */
    READ,  /* the far end begins, or ceases, to read */
    SPLICE,
    MOVE,
    PAUSE,
    OWNER, /* what else the owner may do */
    SECURE,
    TURN, /* one turn, no more */
    HELLO,
    BURST, /* many messages */
    SETTLE,
};

struct script {
    const uint8_t *at;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct stream_world world;

static uint8_t take(struct script *s)
{
    if (s->left == 0) {
        return 0;
    }
    s->left--;
    return *s->at++;
}

static uint32_t take16(struct script *s)
{
    const uint32_t high = take(s);

    return high << 8 | take(s);
}

/* --- actions ------------------------------------------------------------------------------------
 */

static void say(struct script *s, struct world_conn *c)
{
    size_t n = take(s);

    n = n < s->left ? n : s->left;
    far_say(c, s->at, n);
    far_push(c, n);
    s->at += n;
    s->left -= n;
}

/* ChannelData of `len` bytes; `how` is its second byte, which the handler looks at. */
static void say_message(struct world_conn *c, uint8_t how, uint32_t len)
{
    static uint8_t message[4 + UINT16_MAX + 3];

    message[0] = 0x40;
    message[1] = how;
    message[2] = (uint8_t)(len >> 8);
    message[3] = (uint8_t)len;
    for (uint32_t i = 0; i < len; i++) {
        message[4 + i] = (uint8_t)(i + c->log_len + i / 256);
    }
    far_say(c, message, 4 + ((len + 3) & ~UINT32_C(3)));
}

/* Where a send buffer is small, what does not fit is what is tested. */
static void shrink(const struct world_conn *c, uint8_t how)
{
    const int bytes = SNDBUF;

    if (c->stream != NULL && (how & 4) != 0 && c->stream->fd >= 0) {
        (void)setsockopt(c->stream->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
}

static void own(struct script *s, struct world_conn *c)
{
    const uint8_t how = take(s);

    if (c->stream == NULL) {
        return;
    }
    switch (how % 6) {
    case 0:
        c->finished = true;
        stream_finish(c->stream);
        break;
    case 1:
        c->finished = true;
        stream_fail(c->stream);
        break;
    case 2:
        stream_set_idle(c->stream, 1 + (uint32_t)how * 100);
        break;
    case 3:
        world.limits.total_bytes = how < 64 ? 100 * 1000 : 4 * 1000 * 1000;
        world.limits.send_min_bytes = how;
        streams_set_limits(world.ends[c->engine].streams, &world.limits);
        break;
    case 4:
        shrink(c, how | 4);
        break;
    default:
        world_close(c, how >= 128);
        break;
    }
}

static void leave(struct script *s, struct world_conn *c)
{
    const uint8_t how = take(s);

    switch (how % 4) {
    case 0:
        far_close(c, false);
        break;
    case 1:
        far_close(c, true);
        break;
    default:
        far_shut(c, how % 4 == 2);
        break;
    }
}

/* A ClientHello with a byte changed, or not. */
static void hello(struct script *s, struct world_conn *c)
{
    uint8_t data[HELLO_MAX];
    const size_t n = far_client_hello(data, sizeof(data));
    const uint32_t place = take16(s);
    const uint8_t with = take(s);

    data[place % n] ^= with;
    far_say(c, data, n);
}

static void burst(struct script *s, struct world_conn *c)
{
    const uint8_t how = take(s);
    const uint32_t len = take16(s) % 4096;

    for (unsigned n = take(s); n > 0; n--) {
        say_message(c, how, len);
    }
    far_push(c, WORLD_LOG);
}

static void act(struct script *s)
{
    const uint8_t what = take(s);
    struct world_conn *c = &world.conns[what % WORLD_CONNS];

    switch ((enum action)(what >> 4)) {
    case OPEN: {
        const uint8_t how = take(s);
        far_open(&world, c, how & 1, (enum world_open)(how >> 1 & 3));
        if ((how & 8) != 0) { /* it may be gone before it is accepted */
            return;
        }
        break;
    }
    case SAY:
        say(s, c);
        break;
    case MESSAGE: {
        const uint8_t how = take(s);
        say_message(c, how, take16(s));
        return;
    }
    case PUSH:
        far_push(c, take16(s) * 4);
        break;
    case PASS:
        world_pass(&world, (uint64_t)take(s) * 100);
        break;
    case LEAVE:
        leave(s, c);
        break;
    case READ:
        c->deaf = !c->deaf;
        break;
    case SPLICE:
        world_splice(&world, c, &world.conns[take(s) % WORLD_CONNS]);
        break;
    case MOVE:
        world_move(&world, c, NULL, 0);
        break;
    case PAUSE:
        world_pause(c, !c->paused);
        break;
    case OWNER:
        own(s, c);
        break;
    case SECURE:
        far_tls(c);
        break;
    case TURN:
        (void)world_turn(&world);
        return;
    case HELLO:
        hello(s, c);
        return;
    case BURST:
        burst(s, c);
        return;
    case SETTLE:
        break;
    }
    world_settle(&world);
}

/* --- the end ------------------------------------------------------------------------------------
 */

/* Everything that must not be lost has come. */
static bool is_answered(const struct world_conn *c)
{
    for (uint32_t i = c->answer_next; i < c->answer_count; i++) {
        if (!c->answers[i].datagram) {
            return false;
        }
    }
    return c->got == 0;
}

/* Nothing is on its way any more between the handler and the far end of `c`. */
static bool is_done(const struct world_conn *c)
{
    const struct stream *s = c->stream;

    if (c->finished && !c->late && c->fd >= 0 && !c->blind_out && c->twin == NULL &&
        (s != NULL || c->cleanly)) {
        return is_answered(c);
    }
    if (s == NULL || c->fd < 0 || c->quiet || c->broken || c->blind_in || s->state != STREAM_OPEN ||
        (c->ssl != NULL && stream_ssl(s) == NULL)) {
        return true;
    }
    if (c->twin != NULL) {
        const struct world_conn *twin = c->twin;
        return c->blind_out || twin->broken || twin->finished || twin->stream == NULL ||
               (c->twin_at == twin->sent && (!twin->shut || c->quiet));
    }
    if (stream_ssl(s) != NULL && c->ssl == NULL) {
        return true;
    }
    if (c->sent < c->log_len && !c->shut) {
        return false;
    }
    if (c->seen < c->sent && !(c->ended || c->phase == WORLD_HTTP)) {
        return false;
    }
    if (c->blind_out) {
        return true;
    }
    return is_answered(c);
}

/* Is there anything that only time brings? */
static bool time_is_needed(void)
{
    bool needed = false;

    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        const struct streams *e = world.ends[i].streams;
        needed = needed || !list_empty(&e->handshakes);
        LIST_EACH (node, &e->all) {
            needed = needed || CONTAINER_OF(node, struct stream, all)->paced;
        }
    }
    return needed;
}

/* Let everybody send, read and take all there is: it comes, without time passing, but for
 * handshakes that wait for their turn, and slow ones. */
static void deliver_all(void)
{
    bool done = false;
    int waits = 0;

    while (!done && waits < WAITS_MOST) {
        bool resumed = false;
        done = true;
        for (unsigned k = 0; k < WORLD_CONNS; k++) {
            struct world_conn *c = &world.conns[k];
            c->deaf = false;
            if (c->paused) {
                world_pause(c, false);
                resumed = resumed || !c->paused;
            }
            far_push(c, WORLD_LOG);
        }
        world_settle(&world);
        if (time_is_needed()) {
            world_pass(&world, 100);
        }
        for (unsigned k = 0; k < WORLD_CONNS; k++) {
            done = done && is_done(&world.conns[k]);
        }
        if (!done && !resumed) { /* the kernel has timers of its own */
            (void)poll(NULL, 0, waits > 8 ? 1 : 0);
            waits++;
        }
    }
    assert(done);
}

/* When all far ends have gone, time ends everything. */
static void end_all(bool abort)
{
    for (unsigned i = 0; i < WORLD_CONNS; i++) {
        far_close(&world.conns[i], abort);
    }
    world_settle(&world);
    world_pass(&world, UINT64_C(4) * WORLD_IDLE_MS);
    for (unsigned i = 0; i < WORLD_ENGINES; i++) {
        const struct streams *e = world.ends[i].streams;
        assert(list_empty(&e->all) && e->pool.held == 0);
        assert(streams_next_deadline(e) == UINT64_MAX);
        (void)e;
    }
}

static int count_descriptors(void)
{
    static struct pollfd all[DESCRIPTORS];
    int open = 0;

    for (int i = 0; i < DESCRIPTORS; i++) {
        all[i] = (struct pollfd){.fd = i};
    }
    (void)poll(all, DESCRIPTORS, 0);
    for (int i = 0; i < DESCRIPTORS; i++) {
        open += (all[i].revents & POLLNVAL) == 0;
    }
    return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s = {data, size};
    const int before = count_descriptors();
    const uint8_t how = take(&s);

    world_begin(&world, how);
    for (int i = 0; i < ACTIONS_MOST && s.left > 0; i++) {
        act(&s);
    }
    world_settle(&world);
    if ((how & 4) == 0) {
        deliver_all();
    }
    if ((how & 8) == 0) {
        end_all((how & 16) != 0);
    }
    world_finish(&world);
    const int after = count_descriptors();
    assert(before == after);
    (void)after;
    (void)before;
    return 0;
}
