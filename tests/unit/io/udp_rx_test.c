/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_rx.h"

#include <netinet/in.h>

#include "io/udp_batch.h"
#include "io/udp_tx.h"
#include "udp_pair.h"

static struct udp_batch *batch;

static void no_df(void *arg, struct pkt *pkt)
{
    (void)arg;
    (void)pkt;
    fail();
}

static int setup(void **state)
{
    (void)state;
    batch = udp_batch_new(no_df, NULL);
    return batch == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    udp_batch_free(batch);
    return 0;
}

/* A socket that sends, bound to `text`. */
static int sender(const char *text)
{
    const struct udp_options options = {.local = pair_addr(text)};
    struct udp_port port;

    pair_open(&port, &options);
    return port.fd;
}

static void rx__tells_addresses_and_order(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct udp_port port;
    struct pkt *pkt = NULL;
    const int from = sender("127.0.0.1:0");
    const struct net_addr name = pair_name(from);

    (void)state;
    pair_open(&port, &options);
    pair_send(from, &port.local, "one", 3);
    pair_send(from, &port.local, "", 0);
    pair_send(from, &port.local, "three", 5);
    pair_wait(port.fd, POLLIN);
    port.readable = true;
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 3);
    assert_false(port.readable);
    assert_memory_equal(pkt[0].data, "one", 3);
    assert_int_equal(pkt[1].len, 0);
    assert_int_equal(pkt[2].len, 5);
    for (int i = 0; i < 3; i++) {
        assert_true(net_addr_equal(&pkt[i].remote, &name));
        assert_true(net_addr_equal(&pkt[i].local, &port.local));
        assert_ptr_equal(pkt[i].port, &port);
    }
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 0);
    (void)close(from);
    udp_close(&port);
}

static void rx__stays_within_budget_and_room(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct udp_port port;
    struct pkt *pkt = NULL;
    const int from = sender("127.0.0.1:0");
    uint32_t got = 0;

    (void)state;
    pair_open(&port, &options);
    for (uint8_t i = 0; i < 80; i++) {
        pair_send(from, &port.local, &i, 1);
    }
    pair_wait(port.fd, POLLIN);
    port.readable = true;
    assert_int_equal(udp_rx(batch, &port, 10, &pkt), 10);
    assert_true(port.readable);
    got = 10 + udp_rx(batch, &port, UDP_BATCH, &pkt);
    assert_int_equal(got, UDP_BATCH); /* the batch is full */
    assert_true(port.readable);
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 0);
    udp_tx_flush(batch);
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 16);
    assert_int_equal(pkt[15].data[0], 79);
    assert_false(port.readable);
    (void)close(from);
    udp_close(&port);
}

/* On a wildcard socket every packet tells the address that it was sent to. */
static void rx__tells_the_address_that_was_asked(void **state)
{
    static const struct {
        const char *any;
        const char *from;
        const char *to;
    } cases[] = {
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"},
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.77"},
        {"[::]:0", "[::1]:0", "::1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct udp_options options = {.local = pair_addr(cases[i].any), .ask_tos = true};
        struct udp_port port;
        struct pkt *pkt = NULL;
        pair_open(&port, &options);
        const int from = sender(cases[i].from);
        struct net_addr to = pair_addr(cases[i].to);
        to.port = port.local.port;
        pair_send(from, &to, "x", 1);
        pair_wait(port.fd, POLLIN);
        assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 1);
        assert_int_equal(pkt->len, 1);
        assert_true(net_addr_equal(&pkt->local, &to));
        udp_tx_flush(batch);
        (void)close(from);
        udp_close(&port);
    }
}

static void rx__tells_dscp_and_ecn(void **state)
{
    static const struct {
        const char *addr;
        int level, name;
    } cases[] = {
        {"127.0.0.1:0", IPPROTO_IP, IP_TOS},
        {"[::1]:0", IPPROTO_IPV6, IPV6_TCLASS},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct udp_options options = {.local = pair_addr(cases[i].addr), .ask_tos = true};
        const int tos = 0xb8 | 0x02; /* EF, ECT(0) */
        struct udp_port port;
        struct pkt *pkt = NULL;
        const int from = sender(cases[i].addr);
        pair_open(&port, &options);
        pair_send(from, &port.local, "plain", 5);
        assert_int_equal(setsockopt(from, cases[i].level, cases[i].name, &tos, sizeof(tos)), 0);
        pair_send(from, &port.local, "marked", 6);
        pair_wait(port.fd, POLLIN);
        assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 2);
        assert_int_equal(pkt[0].tos, 0);
        assert_int_equal(pkt[1].tos, tos);
        udp_tx_flush(batch);
        (void)close(from);
        udp_close(&port);
    }
}

static void rx__takes_the_largest_datagram(void **state)
{
    enum { LARGEST = 65507 };

    static uint8_t data[LARGEST];
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct udp_port port;
    struct pkt *pkt = NULL;
    const int from = sender("127.0.0.1:0");

    (void)state;
    pair_open(&port, &options);
    memset(data, 0xa5, sizeof(data));
    pair_send(from, &port.local, data, sizeof(data));
    pair_wait(port.fd, POLLIN);
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 1);
    assert_int_equal(pkt->len, LARGEST);
    assert_memory_equal(pkt->data, data, sizeof(data));
    (void)close(from);
    udp_close(&port);
}

/* What the kernel dropped because the socket's buffer was full is counted. */
static void rx__counts_what_the_kernel_dropped(void **state)
{
    static uint8_t data[1000];
    const struct udp_options options = {
        .local = pair_addr("127.0.0.1:0"),
        .buffer_bytes = 4096,
        .ask_drops = true,
    };
    struct udp_port port;
    struct pkt *pkt = NULL;
    const int from = sender("127.0.0.1:0");
    uint32_t got = 0;

    (void)state;
    pair_open(&port, &options);
    for (int i = 0; i < 100; i++) {
        pair_send(from, &port.local, data, sizeof(data));
    }
    for (uint32_t n = 1; n > 0; got += n) {
        n = udp_rx(batch, &port, UDP_BATCH, &pkt);
        udp_tx_flush(batch);
    }
    assert_in_range(got, 1, 99);
    pair_send(from, &port.local, data, sizeof(data)); /* the next one brings the count */
    pair_wait(port.fd, POLLIN);
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 1);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->rx_overflow), 100 - got);
    (void)close(from);
    udp_close(&port);
}

/* An error that does not go away must not keep the worker busy for ever. */
static void rx__rests_after_an_error_that_stays(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    struct udp_port port;
    struct pkt *pkt = NULL;

    (void)state;
    pair_open(&port, &options);
    udp_close(&port);
    port.fd = -1; /* EBADF, each time */
    port.readable = true;
    assert_int_equal(udp_rx(batch, &port, UDP_BATCH, &pkt), 0);
    assert_false(port.readable);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->rx_errors), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rx__tells_addresses_and_order, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__stays_within_budget_and_room, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__tells_the_address_that_was_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__tells_dscp_and_ecn, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__takes_the_largest_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__counts_what_the_kernel_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(rx__rests_after_an_error_that_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
