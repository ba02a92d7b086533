/* SPDX-License-Identifier: Apache-2.0 */
/* Sending packets that follow each other to one destination as one message. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "io/udp_batch_int.h"
#include "io/udp_tx.h"
#include "udp_burst.h"

struct stage {
    struct udp_batch *batch;
    struct udp_batch *far_batch;
    struct udp_port port;
    struct udp_port far[2];
};

static void no_df(void *arg, struct pkt *pkt)
{
    (void)arg;
    (void)pkt;
    fail();
}

static void stage_open(struct stage *s, const char *address)
{
    const struct udp_options options = {
        .local = pair_addr(address),
        .ask_tos = true,
        .ask_errors = true,
        .buffer_bytes = 1 << 20,
    };

    s->batch = udp_batch_new(no_df, NULL);
    s->far_batch = udp_batch_new(no_df, NULL);
    udp_batch_set_gso(s->batch, true);
    pair_open(&s->port, &options);
    pair_open(&s->far[0], &options);
    pair_open(&s->far[1], &options);
}

static void stage_close(struct stage *s)
{
    udp_close(&s->port);
    udp_close(&s->far[0]);
    udp_close(&s->far[1]);
    udp_batch_free(s->batch);
    udp_batch_free(s->far_batch);
}

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return -1;
    }
    stage_open(s, "127.0.0.1:0");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    stage_close(s);
    free(s);
    return 0;
}

static uint64_t bursts(const struct stage *s)
{
    return stats_read(&s->batch->count.tx_bursts);
}

/* A packet of `len` bytes that says `value`, to `to`, queued. */
static struct pkt *queue(struct stage *s, const struct udp_port *to, uint32_t len, uint8_t value)
{
    struct pkt *pkt = udp_batch_take(s->batch);

    memset(pkt->data, value, len);
    pkt->len = len;
    pkt->port = &s->port;
    pkt->local = s->port.local;
    pkt->remote = to->local;
    udp_tx_queue(s->batch, pkt);
    return pkt;
}

/* `port` gets packets of these lengths that say `value`, `value + 1` and so on. */
static void expect(struct stage *s, struct udp_port *port, const uint32_t *len, uint32_t n,
                   uint8_t value)
{
    const struct pkt *pkt = burst_expect(s->far_batch, port, n);

    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pkt[i].len, len[i]);
        for (uint32_t k = 0; k < len[i]; k++) {
            assert_int_equal(pkt[i].data[k], (uint8_t)(value + i));
        }
    }
    udp_tx_flush(s->far_batch);
}

static void run__leaves_as_one_message(void **state)
{
    static const uint32_t len[] = {100, 100, 100, 37};
    struct stage *s = *state;

    for (uint8_t i = 0; i < COUNT_OF(len); i++) {
        (void)queue(s, &s->far[0], len[i], i);
    }
    udp_tx_flush(s->batch);
    expect(s, &s->far[0], len, COUNT_OF(len), 0);
    assert_int_equal(bursts(s), 1);
    assert_int_equal(stats_read(&s->batch->count.tx_packets), 4);
    assert_int_equal(stats_read(&s->batch->count.tx_calls), 1);
}

/* It ends behind a shorter packet, before a longer one, and where something else differs. */
static void run__ends_where_packets_differ(void **state)
{
    static const uint32_t len[] = {10, 10, 5, 5, 5, 7, 0, 0, 7, 7, 7};
    struct stage *s = *state;

    /*                             [10 10 5] [5 5] [7] [0] [0] [7 7] TOS [7] */
    for (uint8_t i = 0; i < COUNT_OF(len); i++) {
        queue(s, &s->far[0], len[i], i)->tos = i == 10 ? 0xb8 : 0;
    }
    udp_tx_flush(s->batch);
    expect(s, &s->far[0], len, COUNT_OF(len), 0);
    assert_int_equal(bursts(s), 3);
    for (uint8_t i = 0; i < 6; i++) { /* in turns to two destinations */
        (void)queue(s, &s->far[i % 2], 10, i);
    }
    udp_tx_flush(s->batch);
    assert_int_equal(bursts(s), 3);
    assert_int_equal(burst_expect(s->far_batch, &s->far[1], 3)[2].data[0], 5);
}

/* More packets than a message, a call, or its pieces can hold: all arrive, in order. */
static void run__of_any_length(void **state)
{
    enum { COUNT = UDP_BATCH };

    struct stage *s = *state;
    uint32_t len[COUNT];

    for (uint32_t n = 1; n <= COUNT; n += 21) {
        for (uint32_t i = 0; i < n; i++) {
            len[i] = 1400;
            (void)queue(s, &s->far[0], len[i], (uint8_t)i);
        }
        udp_tx_flush(s->batch);
        expect(s, &s->far[0], len, n, 0);
    }
    assert_int_equal(bursts(s), 1 + 1 + 2); /* of 1, 22, 43 and 64: 46 are 65,000 bytes */
}

/* What came as views leaves as it lies: heads, payloads and tails from three places. */
static void run__of_views(void **state)
{
    enum { COUNT = 1000, SEGMENT = 20 };

    struct stage *s = *state;
    static uint8_t data[COUNT / 10 * SEGMENT];

    burst_ask(&s->port);
    for (int i = 0; i < 10; i++) {
        memset(data, i, sizeof(data));
        burst_send(s->far[0].fd, &s->port.local, data, sizeof(data), SEGMENT);
    }
    struct pkt *pkt = burst_expect(s->batch, &s->port, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(pkt_append_zeros(&pkt[i], 2));
        be32_put(pkt_prepend(&pkt[i], 4), i);
        pkt[i].remote = s->far[1].local;
        udp_tx_queue(s->batch, &pkt[i]);
    }
    udp_tx_flush(s->batch);
    for (uint32_t next = 0; next < COUNT; udp_tx_flush(s->far_batch)) {
        pair_wait(s->far[1].fd, POLLIN);
        const uint32_t n = udp_rx(s->far_batch, &s->far[1], UDP_BATCH, &pkt);
        for (uint32_t i = 0; i < n; i++, next++) {
            assert_int_equal(pkt[i].len, 4 + SEGMENT + 2);
            assert_int_equal(be32(pkt[i].data), next);
            assert_int_equal(pkt[i].data[4], next / 100);
            assert_memory_equal(pkt[i].data + 4 + SEGMENT, "\0\0", 2);
        }
    }
    assert_int_equal(bursts(s), (COUNT + UDP_RUN - 1) / UDP_RUN);
}

static void connected__sends_without_an_address(void **state)
{
    static const uint32_t len[] = {10, 10};
    struct stage *s = *state;
    struct sockaddr_storage ss;
    const socklen_t n = net_addr_to_sockaddr(&s->far[0].local, &ss);

    assert_int_equal(connect(s->port.fd, (const struct sockaddr *)&ss, n), 0);
    s->port.connected = true;
    for (uint8_t i = 0; i < 2; i++) {
        queue(s, &s->far[0], 10, i)->remote = (struct net_addr){.family = NET_NONE};
    }
    udp_tx_flush(s->batch);
    expect(s, &s->far[0], len, 2, 0);
    queue(s, &s->far[0], 10, 7)->remote = (struct net_addr){.family = NET_NONE};
    udp_tx_flush(s->batch);
    expect(s, &s->far[0], len, 1, 7);
}

/* A socket without checksums: Linux does not segment for it.  Nothing is lost, and it is not asked
 * again. */
static void refused__is_sent_one_by_one(void **state)
{
    static const uint32_t len[] = {100, 100, 100, 37, 8};
    struct stage *s = *state;
    const int on = 1;

    assert_int_equal(setsockopt(s->port.fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
    for (int turn = 0; turn < 2; turn++) {
        for (uint8_t i = 0; i < COUNT_OF(len); i++) {
            (void)queue(s, &s->far[0], len[i], i);
        }
        udp_tx_flush(s->batch);
        expect(s, &s->far[0], len, COUNT_OF(len), 0);
        assert_true(s->port.gso_off);
        assert_int_equal(stats_read(&s->batch->count.tx_refused), 1);
    }
    assert_int_equal(bursts(s), 0);
    assert_int_equal(stats_read(&s->batch->count.tx_packets), 10);
    assert_int_equal(stats_read(&s->batch->count.tx_errors), 0);
}

/* A network of our own whose loopback device has a small MTU; false where that is not allowed. */
static bool small_mtu(void)
{
    struct ifreq ifr = {.ifr_name = "lo", .ifr_mtu = 1500};
    int fd;

    if (unshare(CLONE_NEWNET) < 0 || (fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0) {
        return false;
    }
    bool ok = ioctl(fd, SIOCSIFMTU, &ifr) == 0;
    ifr.ifr_flags = IFF_UP;
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
    (void)close(fd);
    return ok;
}

enum { NOT_HERE = 77 };

/* Segments beyond the MTU are refused: those packets leave as fragments, shorter ones still
 * together. */
static void send_long_ones(void)
{
    static const uint32_t long_len[] = {2000, 2000, 900};
    static const uint32_t len[] = {1400, 1400, 900};
    struct stage s;

    if (!small_mtu()) {
        _exit(NOT_HERE);
    }
    stage_open(&s, "127.0.0.1:0");
    for (int turn = 0; turn < 2; turn++) {
        for (uint8_t i = 0; i < COUNT_OF(len); i++) {
            (void)queue(&s, &s.far[0], long_len[i], i);
        }
        udp_tx_flush(s.batch);
        expect(&s, &s.far[0], long_len, COUNT_OF(len), 0);
    }
    assert_false(s.port.gso_off);
    assert_int_equal(s.port.gso_max, 1999);
    assert_int_equal(stats_read(&s.batch->count.tx_refused), 1);
    for (uint8_t i = 0; i < COUNT_OF(len); i++) {
        (void)queue(&s, &s.far[0], len[i], i);
    }
    udp_tx_flush(s.batch);
    expect(&s, &s.far[0], len, COUNT_OF(len), 0);
    assert_int_equal(bursts(&s), 1);
    stage_close(&s);
}

static void refused__for_its_length_only(void **state)
{
    int status = 0;
    const pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        send_long_ones();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE) {
        CHECK_SKIP("network namespaces need root");
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Without UDP_SEGMENT, and for a socket that nobody has tried it with. */
static void gso__can_be_off(void **state)
{
    static const uint32_t len[] = {10, 10, 10};
    struct stage *s = *state;

    udp_batch_set_gso(s->batch, false);
    for (uint8_t i = 0; i < COUNT_OF(len); i++) {
        (void)queue(s, &s->far[0], len[i], i);
    }
    udp_tx_flush(s->batch);
    expect(s, &s->far[0], len, COUNT_OF(len), 0);
    assert_int_equal(bursts(s), 0);
    assert_int_equal(stats_read(&s->batch->count.tx_calls), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(run__leaves_as_one_message, setup, teardown),
        cmocka_unit_test_setup_teardown(run__ends_where_packets_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(run__of_any_length, setup, teardown),
        cmocka_unit_test_setup_teardown(run__of_views, setup, teardown),
        cmocka_unit_test_setup_teardown(connected__sends_without_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(refused__is_sent_one_by_one, setup, teardown),
        cmocka_unit_test(refused__for_its_length_only),
        cmocka_unit_test_setup_teardown(gso__can_be_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
