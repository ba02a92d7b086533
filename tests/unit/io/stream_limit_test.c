/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections there may be, and what they cost (streams.md K14, K15, K16, K20). */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "io/conn_limit.h"
#include "io/stream_int.h"
#include "stream_stage.h"

static struct conn_limit *limit_new(const struct conn_limits *limits)
{
    struct conn_limit *limit = conn_limit_new(limits, 64, (struct hash_key){1, 2});

    assert_non_null(limit);
    return limit;
}

static const struct conn_limits wide = {1000, 1000, 0, 0};

static bool is_gone(struct peer *peer)
{
    (void)peer_pump(peer);
    return peer->eof || peer->reset;
}

/* A peer that is refused: closed at once, and nobody is told. */
static void check_refused(struct stage *stage, const char *source)
{
    const uint64_t rejects = STAGE_COUNT(stage, local_reject);
    const unsigned opened = stage->opened;
    struct peer *peer = peer_new_from(stage, source);

    STAGE_UNTIL(stage, is_gone(peer));
    assert_int_equal(STAGE_COUNT(stage, local_reject), rejects + 1);
    assert_int_equal(stage->opened, opened);
    assert_int_equal(stage->closed, 0);
    peer_free(peer);
}

static struct peer *check_admitted(struct stage *stage, const char *source)
{
    const unsigned opened = stage->opened;
    struct peer *peer = peer_new_from(stage, source);

    STAGE_UNTIL(stage, stage->opened == opened + 1);
    return peer;
}

/* --- limits -------------------------------------------------------------------------------------
 */

/* Proves K14: one source has its bound, and others are served still. */
static void accept__has_a_limit_for_each_source(void **state)
{
    struct conn_limits limits = wide;
    struct stage stage;

    (void)state;
    limits.per_ipv4 = 2;
    struct conn_limit *shared = limit_new(&limits);
    stage_open(&stage, &(struct stage_options){.shared = shared});
    struct peer *a = check_admitted(&stage, "127.0.0.2");
    struct peer *b = check_admitted(&stage, "127.0.0.2");
    for (int i = 0; i < 20; i++) {
        check_refused(&stage, "127.0.0.2");
    }
    struct peer *other = check_admitted(&stage, "127.0.0.3");
    assert_int_equal(conn_limit_count(shared), 3);
    peer_fin(a);
    stage.handler.ended = NULL;
    STAGE_UNTIL(&stage, stage.closed == 1);
    stage.closed = 0;
    struct peer *again = check_admitted(&stage, "127.0.0.2");
    peer_free(a);
    peer_free(b);
    peer_free(other);
    peer_free(again);
    STAGE_UNTIL(&stage, stage.closed == 3);
    assert_int_equal(conn_limit_count(shared), 0);
    stage_close(&stage);
    conn_limit_free(shared);
}

static void accept__has_a_limit_in_all(void **state)
{
    struct conn_limits limits = wide;
    struct stage stage;

    (void)state;
    limits.total = 2;
    struct conn_limit *shared = limit_new(&limits);
    stage_open(&stage, &(struct stage_options){.shared = shared});
    struct peer *a = check_admitted(&stage, "127.0.0.2");
    struct peer *b = check_admitted(&stage, "127.0.0.3");
    check_refused(&stage, "127.0.0.4");
    peer_free(a);
    peer_free(b);
    stage_close(&stage);
    assert_int_equal(conn_limit_count(shared), 0); /* what streams_free() closes is given back */
    conn_limit_free(shared);
}

static void accept__has_a_limit_of_the_engine(void **state)
{
    struct conn_limit *shared = limit_new(&wide);
    struct stage stage;

    (void)state;
    stage_open(&stage, &(struct stage_options){.shared = shared, .max_streams = 2});
    struct peer *a = check_admitted(&stage, "127.0.0.2");
    struct peer *b = check_admitted(&stage, "127.0.0.2");
    check_refused(&stage, "127.0.0.2");
    assert_int_equal(conn_limit_count(shared), 2);
    peer_free(a);
    peer_free(b);
    stage_close(&stage);
    conn_limit_free(shared);
}

/* Behind a balancer the real source counts; the balancer's own address then does not. */
static void addresses__move_the_count_to_the_real_source(void **state)
{
    struct conn_limits limits = wide;
    struct stage stage;
    struct net_addr client;

    (void)state;
    limits.per_ipv4 = 1;
    struct conn_limit *shared = limit_new(&limits);
    stage_open(&stage, &(struct stage_options){.shared = shared});
    assert_int_equal(net_addr_parse("192.0.2.1:1", 0, &client), 0);
    struct peer *a = check_admitted(&stage, "127.0.0.2");
    assert_true(stream_set_addresses(stage.streams_seen[0], &client, &stage.address));
    struct peer *b = check_admitted(&stage, "127.0.0.2");
    assert_false(stream_set_addresses(stage.streams_seen[1], &client, &stage.address));
    stream_close(stage.streams_seen[1], true);
    stream_close(stage.streams_seen[0], true);
    stage_settle(&stage);
    assert_int_equal(conn_limit_count(shared), 0);
    struct peer *c = check_admitted(&stage, "127.0.0.2");
    assert_true(stream_set_addresses(stage.streams_seen[2], &client, &stage.address));
    peer_free(a);
    peer_free(b);
    peer_free(c);
    stage_close(&stage);
    conn_limit_free(shared);
}

/* TLS has a limit of its own, taken when the handshake begins. */
static void tls__has_a_limit_of_its_own(void **state)
{
    struct conn_limits limits = wide;
    struct stage stage;

    (void)state;
    limits.tls = 1;
    struct conn_limit *shared = limit_new(&limits);
    stage_open(&stage, &(struct stage_options){.shared = shared});
    stage.tls = stage_server_context();
    stage.handler.ended = NULL;
    struct peer *a = peer_join(&stage, 0, NULL);
    peer_tls(a, NULL);
    peer_shake(&stage, a);
    struct peer *b = peer_join(&stage, 0, NULL);
    peer_tls(b, NULL);
    STAGE_UNTIL(&stage, is_gone(b)); /* the stage fails it when it is refused */
    peer_free(a);
    peer_free(b);
    STAGE_UNTIL(&stage, stage.closed == 2);
    struct peer *c = peer_join(&stage, 0, NULL);
    peer_tls(c, NULL);
    peer_shake(&stage, c);
    assert_int_equal(STAGE_COUNT(&stage, tls_established), 1);
    peer_free(c);
    STAGE_UNTIL(&stage, stage.closed == 3);
    assert_int_equal(STAGE_COUNT(&stage, tls_established), 0);
    stage_close(&stage);
    conn_limit_free(shared);
}

/* --- descriptors --------------------------------------------------------------------------------
 */

/* From now on no descriptor can be had.  Returns what is to be restored. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit was;
    const int lowest = dup(0);

    assert_true(lowest >= 0);
    (void)close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    struct rlimit none = was;
    none.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return was;
}

/* Proves K14: out of descriptors the server refuses, goes on, and does not spin. */
static void accept__survives_the_want_of_descriptors(void **state)
{
    enum { WAITING = 10 };

    struct stage stage;
    struct peer *peer[WAITING];
    int turns = 0;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *before = peer_join(&stage, 0, NULL);
    for (int i = 0; i < WAITING; i++) {
        peer[i] = peer_new(&stage, 0);
    }
    const struct rlimit was = use_up_descriptors();
    while (stage_turn(&stage)) {
        turns++;
        assert_true(turns < 100);
    }
    peer_text(before, "still served");
    STAGE_UNTIL(&stage, stage.got.len == 12);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(STAGE_COUNT(&stage, accept_errors), WAITING);
    assert_int_equal(STAGE_COUNT(&stage, local_reject), WAITING);
    for (int i = 0; i < WAITING; i++) {
        STAGE_UNTIL(&stage, is_gone(peer[i]));
        peer_free(peer[i]);
    }
    struct peer *after = peer_join(&stage, 0, NULL);
    assert_int_equal(stage.opened, 2);
    peer_free(before);
    peer_free(after);
    stage_close(&stage);
}

/* --- what one costs -----------------------------------------------------------------------------
 */

/* Proves K15: an idle connection costs less than 2 kB, and holds no buffer even when it was busy.
 */
static void idle__connection_is_small(void **state)
{
    static uint8_t data[100000];
    struct stage stage;
    struct stream *s;

    (void)state;
    assert_true(sizeof(struct stream) < 1024);
    stage_open(&stage, &(struct stage_options){.sndbuf = 4096});
    struct peer *peer = peer_join(&stage, 4096, &s);
    peer_send(peer, data, sizeof(data));
    STAGE_UNTIL(&stage, (peer_drip(peer, SIZE_MAX), stage.got.len == sizeof(data)));
    const size_t sum = stage_block(&stage, s, 1000, 20000);
    STAGE_UNTIL(&stage, peer_pump(peer) == sum);
    stage_settle(&stage);
    assert_null(s->kept);
    assert_true(stream_queue_empty(&s->queue));
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    peer_free(peer);
    stage_close(&stage);
}

static int option_of(const struct stream *s, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(s->fd, level, name, &value, &len), 0);
    return value;
}

/* Proves K16. */
static void socket__has_its_options(void **state)
{
    struct stage_options options = {.limits = stage_limits()};
    struct stage stage;
    struct stream *s;

    (void)state;
    options.limits.keepalive_idle_s = 60;
    options.limits.keepalive_interval_s = 10;
    options.limits.keepalive_count = 3;
    options.limits.tos = 46 << 2;
    stage_open(&stage, &options);
    struct peer *peer = peer_join(&stage, 0, &s);
    assert_int_equal(option_of(s, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(s, IPPROTO_TCP, TCP_USER_TIMEOUT), 10000);
    assert_int_equal(option_of(s, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option_of(s, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option_of(s, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(option_of(s, IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option_of(s, IPPROTO_IP, IP_TOS), 46 << 2);
    peer_free(peer);
    stage_close(&stage);
}

/* --- want of memory -----------------------------------------------------------------------------
 */

/* A life with everything that takes memory; allocation `n` fails.  True when it got through. */
static bool life(SSL_CTX *context, long n)
{
    static uint8_t long_message[66000];
    struct stage stage;
    bool whole = false;

    stage_open(&stage, &(struct stage_options){.sndbuf = 4096});
    SSL_CTX_up_ref(context);
    stage.tls = context;
    struct peer *peer = peer_new(&stage, 4096);
    peer_tls(peer, NULL);
    mem_fail_at(n);
    for (int i = 0; i < 2000 && !is_gone(peer) && !whole; i++) {
        stage_wait(&stage);
        if (SSL_is_init_finished(peer->ssl) != 0 && peer->got.len == 0 && stage.opened == 1 &&
            STAGE_COUNT(&stage, tls_handshakes) == 1 && stage.closed == 0) {
            (void)stage_send(&stage, stage.streams_seen[0], STREAM_DATAGRAM, long_message, 66000);
            (void)stage_send(&stage, stage.streams_seen[0], STREAM_CONTROL, long_message, 1000);
        }
        whole = peer->got.len >= 67000;
    }
    mem_fail_at(-1);
    peer_free(peer);
    stage_settle(&stage);
    stage_close(&stage);
    return whole;
}

static void memory__may_fail_at_any_time(void **state)
{
    SSL_CTX *context = stage_server_context();
    long n = 0;

    (void)state;
    mem_fail_at(0);
    const bool injects = mem_fails();
    while (!life(context, n)) {
        assert_true(++n < 100);
    }
    SSL_CTX_free(context);
    if (injects) {
        assert_true(n >= 3);
    }
}

/* An engine cannot be made without memory. */
static void new__fails_cleanly(void **state)
{
    struct loop *loop = loop_new(NULL);
    const struct streams_options options = {
        .loop = loop,
        .limits = stage_limits(),
        .max_streams = 10,
    };
    struct streams *streams = NULL;
    long n = 0;

    (void)state;
    while (streams == NULL) {
        assert_true(n < 10);
        mem_fail_at(n++);
        streams = streams_new(&options);
        mem_fail_at(-1);
    }
    streams_free(streams);
    streams_free(NULL);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept__has_a_limit_for_each_source),
        cmocka_unit_test(accept__has_a_limit_in_all),
        cmocka_unit_test(accept__has_a_limit_of_the_engine),
        cmocka_unit_test(addresses__move_the_count_to_the_real_source),
        cmocka_unit_test(tls__has_a_limit_of_its_own),
        cmocka_unit_test(accept__survives_the_want_of_descriptors),
        cmocka_unit_test(idle__connection_is_small),
        cmocka_unit_test(socket__has_its_options),
        cmocka_unit_test(memory__may_fail_at_any_time),
        cmocka_unit_test(new__fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
