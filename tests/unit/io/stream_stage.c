/* SPDX-License-Identifier: Apache-2.0 */
#include "stream_stage.h"

#include <time.h>

double stage_wall_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- data ---------------------------------------------------------------------------------------
 */

uint8_t pattern_at(size_t at)
{
    uint64_t x = (uint64_t)at * 0x9E3779B97F4A7C15U;

    x ^= x >> 29;
    return (uint8_t)(x ^ x >> 40);
}

void pattern_fill(uint8_t *out, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = pattern_at(at + i);
    }
}

void pattern_check(const uint8_t *data, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != pattern_at(at + i)) {
            fail_msg("byte %zu of %zu is another", i, len);
        }
    }
}

void stage_bytes_add(struct stage_bytes *bytes, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    if (bytes->len + len > bytes->cap) {
        bytes->cap = 2 * bytes->cap + len;
        uint8_t *more = realloc(bytes->data, bytes->cap);
        if (more == NULL) {
            abort();
        }
        bytes->data = more;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void stage_bytes_drop(struct stage_bytes *bytes, size_t len)
{
    assert_true(len <= bytes->len);
    bytes->len -= len;
    if (bytes->len > 0) {
        memmove(bytes->data, bytes->data + len, bytes->len);
    }
}

void stage_bytes_are(const struct stage_bytes *got, const char *text)
{
    if (got->len != strlen(text) || (got->len > 0 && memcmp(got->data, text, got->len) != 0)) {
        fail_msg("\"%.*s\" instead of \"%s\"", (int)got->len, (const char *)got->data, text);
    }
}

/* --- the engine ---------------------------------------------------------------------------------
 */

static void on_opened(void *arg, struct stream *s)
{
    struct stage *stage = arg;

    if (stage->opened < STAGE_STREAMS) {
        stage->streams_seen[stage->opened] = s;
    }
    stage->opened++;
}

static size_t on_input(void *arg, struct stream *s, uint8_t *data, size_t len)
{
    struct stage *stage = arg;

    if (stage->tls != NULL && stream_ssl(s) == NULL && stream_listener_of(s) != NULL) {
        if (stream_start_tls(s, stage->tls) < 0) {
            stream_fail(s);
        }
        return 0;
    }
    stage->inputs++;
    if (stage->input != NULL) {
        return stage->input(stage, s, data, len);
    }
    stage_bytes_add(&stage->got, data, len);
    return len;
}

static void on_ended(void *arg, struct stream *s)
{
    struct stage *stage = arg;

    (void)s;
    stage->ended++;
}

static bool on_idle(void *arg, struct stream *s)
{
    struct stage *stage = arg;

    (void)s;
    stage->idle++;
    return stage->idle_answer;
}

static void on_closed(void *arg, struct stream *s, enum stream_close why)
{
    struct stage *stage = arg;

    if (stage->closed < STAGE_STREAMS) {
        stage->closed_seen[stage->closed] = s;
    }
    stage->closed++;
    stage->why = why;
    stage->error = stream_error(s);
}

struct stream_limits stage_limits(void)
{
    return (struct stream_limits){
        .control_queue_bytes = 32 * 1024,
        .datagram_queue_bytes = 256 * 1024,
        .datagram_age_ms = 200,
        .splice_high_bytes = 256 * 1024,
        .splice_low_bytes = 64 * 1024,
        .total_bytes = 64 << 20,
        .send_timeout_ms = 10000,
        .send_min_bytes = 0,
        .connect_timeout_ms = 30000,
        .first_timeout_ms = 10000,
        .message_timeout_ms = 10000,
        .handshake_timeout_ms = 10000,
    };
}

/* A listening socket whose connections begin with a send buffer of `sndbuf` bytes. */
static int open_listener(struct net_addr *out_address, int sndbuf)
{
    struct net_addr any;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd = -1;

    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    assert_int_equal(stream_listen_fd(&any, true, 1024, &fd), 0);
    if (sndbuf > 0) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, out_address), 0);
    return fd;
}

void stage_open(struct stage *stage, const struct stage_options *options)
{
    const struct stage_options none = {.sndbuf = 0};
    const struct stage_options *o = options != NULL ? options : &none;

    *stage = (struct stage){
        .now_ms = STAGE_START_MS,
        .idle_answer = true,
        .handler = {.opened = on_opened,
                    .input = on_input,
                    .ended = on_ended,
                    .idle = on_idle,
                    .closed = on_closed},
    };
    stage->loop = loop_new(NULL);
    assert_non_null(stage->loop);
    const struct streams_options wanted = {
        .loop = stage->loop,
        .arg = stage,
        .limits = o->limits.total_bytes != 0 ? o->limits : stage_limits(),
        .shared = o->shared,
        .max_streams = o->max_streams != 0 ? o->max_streams : STAGE_STREAMS,
        .owner_bytes = o->owner_bytes,
        .now_ms = stage->now_ms,
    };
    stage->streams = streams_new(&wanted);
    assert_non_null(stage->streams);
    stage->listener.fd = open_listener(&stage->address, o->sndbuf);
    stage->listener.handler = &stage->handler;
    stage->listener.owner = stage;
    assert_int_equal(stream_listen(stage->streams, &stage->listener), 0);
}

void stage_close(struct stage *stage)
{
    stream_unlisten(&stage->listener);
    streams_free(stage->streams);
    loop_free(stage->loop);
    SSL_CTX_free(stage->tls);
    free(stage->got.data);
}

bool stage_turn(struct stage *stage)
{
    const int events = loop_turn(stage->loop, stage->now_ms, stage->now_ms);
    const bool more = streams_run(stage->streams, stage->now_ms);

    return more || events > 0;
}

void stage_settle(struct stage *stage)
{
    int turns = 0;

    while (stage_turn(stage)) {
        assert_true(++turns < 100000); /* it does not spin */
    }
}

void stage_wait(struct stage *stage)
{
    const bool more = streams_run(stage->streams, stage->now_ms);
    const uint64_t until_ms = more ? stage->now_ms : stage->now_ms + 2;

    (void)loop_turn(stage->loop, stage->now_ms, until_ms);
    (void)streams_run(stage->streams, stage->now_ms);
}

void stage_pass(struct stage *stage, uint64_t ms)
{
    stage->now_ms += ms;
    stage_settle(stage);
}

bool stage_send(struct stage *stage, struct stream *s, enum stream_kind kind, const uint8_t *data,
                uint32_t len)
{
    const bool taken = stream_send(s, kind, data, len);

    streams_flush(stage->streams);
    return taken;
}

size_t stage_block(struct stage *stage, struct stream *s, size_t size, size_t more)
{
    static uint8_t message[65536];
    size_t sum = 0;

    assert_true(size <= sizeof(message));
    while (!stream_is_blocked(s) || stream_queued_bytes(s) < more) {
        pattern_fill(message, sum, size);
        assert_true(stage_send(stage, s, STREAM_CONTROL, message, (uint32_t)size));
        sum += size;
        assert_true(sum < 64 << 20);
    }
    return sum;
}
