/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that we begin (streams.md K7, K10). */
#include <errno.h>

#include "stream_stage.h"

/* A listening socket of somebody else, with a backlog of `backlog`; its address. */
static int open_other(int backlog, struct net_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct net_addr any;
    int fd = -1;

    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    assert_int_equal(stream_listen_fd(&any, false, backlog, &fd), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(net_addr_from_sockaddr(&ss, out), 0);
    return fd;
}

/* A local address with a port that nobody has. */
static struct net_addr free_address(void)
{
    struct net_addr address;

    (void)close(open_other(1, &address));
    return address;
}

static void connect__comes_from_the_address_that_was_asked_for(void **state)
{
    const struct net_addr local = free_address();
    struct stage stage;
    struct stream *s = NULL;
    struct net_addr there;

    (void)state;
    stage_open(&stage, &(struct stage_options){.owner_bytes = 8});
    const int fd = open_other(10, &there);
    assert_int_equal(stream_connect(stage.streams, &local, &there, &stage.handler, &s), 0);
    assert_int_equal(stage.opened, 0); /* told from streams_run() */
    assert_null(stream_listener_of(s));
    STAGE_UNTIL(&stage, stage.opened == 1);
    assert_ptr_equal(stage.streams_seen[0], s);
    assert_true(net_addr_equal(stream_local(s), &local));
    assert_true(net_addr_equal(stream_remote(s), &there));
    assert_int_equal(STAGE_COUNT(&stage, connect_success), 1);
    assert_int_equal(STAGE_COUNT(&stage, passive_open), 0);
    assert_int_equal(STAGE_COUNT(&stage, established), 1);
    const int peer = accept(fd, NULL, NULL);
    assert_int_equal(send(peer, "hello", 5, 0), 5);
    STAGE_UNTIL(&stage, stage.got.len == 5);
    stage_pass(&stage, 100000); /* no first message is due from those that we called */
    assert_int_equal(stage.closed, 0);
    (void)close(peer);
    (void)close(fd);
    stage_close(&stage);
}

/* As many connections from one address as there are peers; RFC 6062: besides a listening socket. */
static void connect__shares_its_address(void **state)
{
    struct stage stage;
    struct net_addr there[2];
    int fd[2];
    struct stream *s = NULL;

    (void)state;
    stage_open(&stage, NULL);
    for (int i = 0; i < 2; i++) {
        fd[i] = open_other(10, &there[i]);
        assert_int_equal(
            stream_connect(stage.streams, &stage.address, &there[i], &stage.handler, &s), 0);
    }
    STAGE_UNTIL(&stage, stage.opened == 2);
    struct peer *peer = peer_join(&stage, 0, NULL); /* the listener is still there */
    for (int i = 0; i < 2; i++) {
        (void)close(fd[i]);
    }
    peer_free(peer);
    stage_close(&stage);
}

/* What is sent before it is up is sent then, in order. */
static void connect__keeps_what_is_sent_before(void **state)
{
    struct net_addr any;
    struct stage stage;
    struct stream *s = NULL;
    struct net_addr there;
    char got[12];

    (void)state;
    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    stage_open(&stage, NULL);
    const int fd = open_other(10, &there);
    assert_int_equal(stream_connect(stage.streams, &any, &there, &stage.handler, &s), 0);
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"hello ", 6));
    assert_true(stage_send(&stage, s, STREAM_CONTROL, (const uint8_t *)"world", 5));
    STAGE_UNTIL(&stage, stage.opened == 1);
    stage_settle(&stage);
    const int peer = accept(fd, NULL, NULL);
    assert_int_equal(recv(peer, got, 11, MSG_WAITALL), 11);
    assert_memory_equal(got, "hello world", 11);
    (void)close(peer);
    (void)close(fd);
    stage_close(&stage);
}

/* Proves K10: refused is told at once, with its reason. */
static void connect__tells_a_refusal(void **state)
{
    const struct net_addr nobody = free_address();
    struct net_addr any;
    struct stage stage;
    struct stream *s = NULL;

    (void)state;
    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    stage_open(&stage, NULL);
    assert_int_equal(stream_connect(stage.streams, &any, &nobody, &stage.handler, &s), 0);
    assert_int_equal(stage.closed, 0);
    STAGE_UNTIL(&stage, stage.closed == 1);
    assert_int_equal(stage.why, STREAM_CLOSE_REFUSED);
    assert_int_equal(stage.error, ECONNREFUSED);
    assert_int_equal(stage.opened, 0);
    assert_int_equal(STAGE_COUNT(&stage, connect_failed), 1);
    assert_int_equal(STAGE_COUNT(&stage, connect_success), 0);
    assert_int_equal(STAGE_COUNT(&stage, con_timeout), 0);
    assert_int_equal(STAGE_COUNT(&stage, established), 0);
    stage_close(&stage);
}

/* Fill the backlog of `there`: the kernel ignores what comes then, as a black hole does. */
static size_t make_black_hole(const struct net_addr *there, int *fds, size_t max)
{
    struct sockaddr_storage ss;
    const socklen_t len = net_addr_to_sockaddr(there, &ss);
    size_t n = 0;

    for (; n < max; n++) {
        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[n], (struct sockaddr *)&ss, len);
    }
    return n;
}

/* Proves K7 and T-6062-5.2-07 for the engine: not before 30 s, and others are served meanwhile. */
static void connect__gives_up_after_its_time(void **state)
{
    struct net_addr any;
    struct net_addr there;
    struct stage stage;
    struct stream *s = NULL;
    int fds[8];

    (void)state;
    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    stage_open(&stage, NULL);
    const int fd = open_other(0, &there);
    const size_t n = make_black_hole(&there, fds, COUNT_OF(fds));
    assert_int_equal(stream_connect(stage.streams, &any, &there, &stage.handler, &s), 0);
    stage_pass(&stage, 15000);
    struct peer *peer = peer_join(&stage, 0, NULL);
    assert_int_equal(stage.opened, 1);
    stage_pass(&stage, 14999);
    assert_int_equal(stage.closed, 1); /* the peer, that said nothing */
    assert_int_equal(stage.why, STREAM_CLOSE_FIRST_TIMEOUT);
    stage_pass(&stage, 1);
    assert_int_equal(stage.closed, 2);
    assert_int_equal(stage.why, STREAM_CLOSE_CONNECT_TIMEOUT);
    assert_int_equal(stage.error, ETIMEDOUT);
    assert_ptr_equal(stage.closed_seen[1], s);
    assert_int_equal(STAGE_COUNT(&stage, connect_failed), 1);
    assert_int_equal(STAGE_COUNT(&stage, con_timeout), 2);
    for (size_t i = 0; i < n; i++) {
        (void)close(fds[i]);
    }
    (void)close(fd);
    peer_free(peer);
    stage_close(&stage);
}

/* Given up by its owner: nobody is told. */
static void connect__can_be_given_up(void **state)
{
    struct net_addr any;
    struct net_addr there;
    struct stage stage;
    struct stream *s = NULL;
    int fds[8];

    (void)state;
    assert_int_equal(net_addr_parse("127.0.0.1", 0, &any), 0);
    stage_open(&stage, NULL);
    const int fd = open_other(0, &there);
    const size_t n = make_black_hole(&there, fds, COUNT_OF(fds));
    assert_int_equal(stream_connect(stage.streams, &any, &there, &stage.handler, &s), 0);
    stage_settle(&stage);
    stream_close(s, true);
    stage_pass(&stage, 60000);
    assert_int_equal(stage.closed + stage.opened, 0);
    assert_int_equal(STAGE_COUNT(&stage, established), 0);
    for (size_t i = 0; i < n; i++) {
        (void)close(fds[i]);
    }
    (void)close(fd);
    stage_close(&stage);
}

/* Proves K10: what cannot even begin is told by the call. */
static void connect__tells_what_cannot_begin(void **state)
{
    struct net_addr local;
    struct net_addr remote;
    struct stage stage;
    struct stream *s = NULL;

    (void)state;
    stage_open(&stage, &(struct stage_options){.max_streams = 1});
    assert_int_equal(net_addr_parse("192.0.2.77", 0, &local), 0); /* not ours */
    assert_int_equal(stream_connect(stage.streams, &local, &stage.address, &stage.handler, &s),
                     -EADDRNOTAVAIL);
    assert_int_equal(net_addr_parse("127.0.0.1", 0, &local), 0);
    assert_int_equal(net_addr_parse("192.0.2.1:9", 0, &remote), 0); /* not from loopback */
    assert_true(stream_connect(stage.streams, &local, &remote, &stage.handler, &s) < 0);
    assert_null(s);
    struct peer *peer = peer_join(&stage, 0, NULL);
    assert_int_equal(stream_connect(stage.streams, &local, &stage.address, &stage.handler, &s),
                     -ENOSPC); /* the engine is full */
    assert_null(s);
    assert_int_equal(stage.closed, 0);
    peer_free(peer);
    stage_close(&stage);
}

static void listen__shares_only_when_asked(void **state)
{
    struct net_addr address;
    int second = -1;

    (void)state;
    const int first = open_other(10, &address);
    assert_int_equal(stream_listen_fd(&address, false, 10, &second), -EADDRINUSE);
    assert_int_equal(second, -1);
    (void)close(first);
    int a = -1;
    int b = -1;
    assert_int_equal(stream_listen_fd(&address, true, 10, &a), 0);
    assert_int_equal(stream_listen_fd(&address, true, 10, &b), 0);
    (void)close(a);
    (void)close(b);
}

static void listen__ends(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    struct peer *waiting = peer_new(&stage, 0);
    (void)loop_turn(stage.loop, stage.now_ms, stage.now_ms); /* it is known to be ready */
    stream_unlisten(&stage.listener);
    stream_unlisten(&stage.listener);
    stage_settle(&stage);
    assert_int_equal(stage.opened, 1);
    peer_text(peer, "lives on");
    STAGE_UNTIL(&stage, stage.got.len == 8);
    peer_free(peer);
    peer_free(waiting);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect__comes_from_the_address_that_was_asked_for),
        cmocka_unit_test(connect__shares_its_address),
        cmocka_unit_test(connect__keeps_what_is_sent_before),
        cmocka_unit_test(connect__tells_a_refusal),
        cmocka_unit_test(connect__gives_up_after_its_time),
        cmocka_unit_test(connect__can_be_given_up),
        cmocka_unit_test(connect__tells_what_cannot_begin),
        cmocka_unit_test(listen__shares_only_when_asked),
        cmocka_unit_test(listen__ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
