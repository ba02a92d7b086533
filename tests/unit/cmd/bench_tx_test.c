/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving, with and without bursts, over loopback. */
#include "cmd/bench_tx.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "cmd/bench_rx.h"

enum { BODY = 8192, WAIT_MS = 20000, MANY = 200, HEAD = 4 };

static uint8_t body[BODY];

struct stage {
    struct bench_socket from;
    struct bench_socket to;
    struct bench_name name; /* of `to` */
    struct bench_tx *tx;
    struct bench_rx *rx;
    uint32_t sent;
    uint32_t unsent;
    uint64_t bytes;
    int err;
    uint32_t received;
    uint32_t next; /* number expected in the next packet */
    uint32_t sizes[MANY];
    bool intact;
    struct net_ip to_ip;
    bool has_to;
};

static void on_sent(void *arg, const struct bench_tx_outcome *outcome)
{
    struct stage *s = arg;

    s->sent += outcome->sent;
    s->unsent += outcome->unsent;
    s->bytes += outcome->bytes;
    s->err = outcome->unsent > 0 ? outcome->err : s->err;
}

static void on_received(void *arg, const struct bench_socket *socket, const struct net_ip *to,
                        struct bytes datagram, uint64_t when_ns)
{
    struct stage *s = arg;

    (void)socket;
    s->intact = s->intact && when_ns > 0 && datagram.n >= HEAD && be32(datagram.p) == s->next &&
                memcmp(datagram.p + HEAD, body, datagram.n - HEAD) == 0;
    if (s->received < MANY) {
        s->sizes[s->received] = (uint32_t)datagram.n;
    }
    s->has_to = to != NULL;
    if (to != NULL) {
        s->to_ip = *to;
    }
    s->next++;
    s->received++;
}

static struct net_addr loopback(bool v6)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(v6 ? "::1" : "127.0.0.1", 0, &addr), 0);
    return addr;
}

static void begin(struct stage *s, bool v6, bool gro)
{
    *s = (struct stage){.intact = true};
    for (uint32_t i = 0; i < BODY; i++) {
        body[i] = (uint8_t)(i * 13);
    }
    const struct bench_socket_options to = {.local = loopback(v6), .gro = gro};
    assert_int_equal(bench_socket_open(&to, 1, &s->to), 0);
    const struct bench_socket_options from = {.remote = &s->to.local, .whole = true};
    assert_int_equal(bench_socket_open(&from, 2, &s->from), 0);
    bench_socket_name(&s->to.local, &s->name);
    s->tx = bench_tx_new(body, on_sent, s);
    s->rx = bench_rx_new(16384, gro, on_received, s);
    assert_non_null(s->tx);
    assert_non_null(s->rx);
}

static void end(struct stage *s)
{
    bench_tx_free(s->tx);
    bench_rx_free(s->rx);
    bench_socket_close(&s->from);
    bench_socket_close(&s->to);
}

/* A burst of `count` packets of `size` bytes, the last of `tail`, numbered from `first`. */
static void put(struct stage *s, uint32_t first, uint32_t count, uint32_t size, uint32_t tail)
{
    const struct bench_tx_way way = {.socket = &s->from, .way = BENCH_UP};

    bench_tx_begin(s->tx, &way, size);
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t n = k + 1 == count ? tail : size;
        be32_put(bench_tx_packet(s->tx, HEAD, n - HEAD, 0, n), first + k);
    }
}

static void receive(struct stage *s, uint32_t count)
{
    uint64_t dropped = 0;

    while (s->received < count) {
        struct pollfd p = {.fd = s->to.fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        assert_true(bench_rx_read(s->rx, &s->to, &dropped) > 0);
    }
    assert_int_equal(dropped, 0);
    assert_int_equal(bench_rx_read(s->rx, &s->to, &dropped), 0);
    assert_int_equal(s->received, count);
    assert_true(s->intact);
}

/* Small packets, large ones, a tail; both families; with and without bursts at both ends. */
static void bursts__arrive_whole_and_in_order(void **state)
{
    static const uint32_t sizes[][2] = {{24, 24}, {172, 172}, {172, 30}, {1200, 1200}, {1200, 33}};
    struct stage s;

    (void)state;
    for (unsigned kind = 0; kind < 8; kind++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            begin(&s, (kind & 1) != 0, (kind & 2) != 0);
            s.from.gso = s.from.gso && (kind & 4) != 0;
            put(&s, 0, 20, sizes[i][0], sizes[i][1]);
            bench_tx_flush(s.tx);
            assert_int_equal(s.sent, 20);
            assert_int_equal(s.bytes, 19 * sizes[i][0] + sizes[i][1]);
            receive(&s, 20);
            assert_int_equal(s.sizes[0], sizes[i][0]);
            assert_int_equal(s.sizes[19], sizes[i][1]);
            end(&s);
        }
    }
}

static void bursts__longer_than_a_message_are_split(void **state)
{
    struct stage s;

    (void)state;
    begin(&s, false, true);
    put(&s, 0, 150, 100, 50); /* the kernel takes 64 */
    bench_tx_flush(s.tx);
    receive(&s, 150);
    assert_int_equal(s.sizes[149], 50);
    end(&s);
    begin(&s, false, true);
    put(&s, 0, 60, 1200, 1200); /* 72,000 bytes: more than a datagram may have */
    bench_tx_flush(s.tx);
    receive(&s, 60);
    end(&s);
}

static void bursts__of_a_batch_follow_each_other(void **state)
{
    struct stage s;

    (void)state;
    begin(&s, false, false);
    for (uint32_t k = 0; k < MANY / 4; k++) { /* more messages than a batch has */
        put(&s, 4 * k, 4, 120, 60);
    }
    bench_tx_flush(s.tx);
    assert_int_equal(s.sent, MANY);
    receive(&s, MANY);
    end(&s);
}

/* A segment that is larger than the link's MTU is nothing that the kernel cuts to. */
static void bursts__that_are_refused_leave_one_by_one(void **state)
{
    struct stage s;

    (void)state;
    begin(&s, false, false);
    if (!s.from.gso) {
        end(&s);
        CHECK_SKIP("no UDP_SEGMENT here");
    }
    const int checksums_off = 1; /* with it, the kernel refuses UDP_SEGMENT (EINVAL or EIO) */
    assert_int_equal(setsockopt(s.from.fd, SOL_SOCKET, SO_NO_CHECK, &checksums_off, sizeof(int)),
                     0);
    put(&s, 0, 10, 172, 40);
    bench_tx_flush(s.tx);
    assert_int_equal(s.sent, 10);
    assert_false(s.from.gso);
    receive(&s, 10);
    assert_int_equal(s.sizes[9], 40);
    end(&s);
}

static void packets__to_a_closed_port_are_told(void **state)
{
    struct stage s;

    (void)state;
    begin(&s, false, false);
    bench_socket_close(&s.to);
    for (uint32_t k = 0; k < 20; k++) {
        put(&s, k, 1, 100, 100);
        bench_tx_flush(s.tx);
    }
    assert_int_equal(s.sent + s.unsent, 20);
    end(&s);
}

static void requests__go_between_packets(void **state)
{
    struct stage s;
    const struct bench_tx_way way = {.socket = &s.from, .way = BENCH_UP};
    uint8_t request[HEAD + 36];

    (void)state;
    begin(&s, false, false);
    put(&s, 0, 3, 100, 100);
    memcpy(request + HEAD, body, sizeof(request) - HEAD);
    be32_put(request, 3);
    bench_tx_request(s.tx, &way, request, sizeof(request));
    put(&s, 4, 3, 100, 100);
    bench_tx_flush(s.tx);
    assert_int_equal(s.sent, 6); /* requests are not told of */
    receive(&s, 7);
    assert_int_equal(s.sizes[3], sizeof(request));
    end(&s);
}

/* Many clients on one socket: each packet has its own source, and tells where it was sent to. */
static void sources__differ_on_one_socket(void **state)
{
    struct stage s;
    struct bench_socket shared;
    struct net_ip ip;
    const struct bench_socket_options options = {
        .local = {.family = NET_V4, .ip.b = {[10] = 0xff, [11] = 0xff}}, .sourced = true};
    uint64_t dropped = 0;

    (void)state;
    begin(&s, false, false);
    assert_int_equal(bench_socket_open(&options, 0, &shared), 0);
    assert_int_equal(net_ip_parse("127.77.0.9", &ip), 0);
    const struct bench_tx_way way = {.socket = &shared, .to = &s.name, .source = &ip};
    bench_tx_begin(s.tx, &way, 50);
    be32_put(bench_tx_packet(s.tx, HEAD, 46, 0, 50), 0);
    bench_tx_flush(s.tx);
    receive(&s, 1);

    struct net_addr back = shared.local;
    struct bench_name name;
    back.ip = ip;
    bench_socket_name(&back, &name);
    const struct bench_tx_way home = {.socket = &s.to, .to = &name};
    bench_tx_begin(s.tx, &home, 50);
    be32_put(bench_tx_packet(s.tx, HEAD, 46, 0, 50), 1);
    bench_tx_flush(s.tx);
    struct pollfd p = {.fd = shared.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_int_equal(bench_rx_read(s.rx, &shared, &dropped), 1);
    assert_true(s.has_to && net_ip_equal(&s.to_ip, &ip));
    bench_socket_close(&shared);
    end(&s);
}

static void memory__that_is_lacking_is_told(void **state)
{
    (void)state;
#ifdef STERNA_FAULT_INJECTION
    mem_fail_at(0);
    assert_null(bench_tx_new(body, on_sent, NULL));
    mem_fail_at(0);
    assert_null(bench_rx_new(2048, false, on_received, NULL));
    mem_fail_at(1);
    assert_null(bench_rx_new(2048, true, on_received, NULL));
    mem_fail_at(-1);
#endif
    bench_tx_free(NULL);
    bench_rx_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts__arrive_whole_and_in_order),
        cmocka_unit_test(bursts__longer_than_a_message_are_split),
        cmocka_unit_test(bursts__of_a_batch_follow_each_other),
        cmocka_unit_test(bursts__that_are_refused_leave_one_by_one),
        cmocka_unit_test(packets__to_a_closed_port_are_told),
        cmocka_unit_test(requests__go_between_packets),
        cmocka_unit_test(sources__differ_on_one_socket),
        cmocka_unit_test(memory__that_is_lacking_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
