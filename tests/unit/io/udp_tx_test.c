/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_tx.h"

#include "io/udp_batch.h"
#include "io/udp_rx.h"
#include "udp_pair.h"

static struct udp_batch *batch;
static struct udp_batch *far_batch;

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
    far_batch = udp_batch_new(no_df, NULL);
    return batch == NULL || far_batch == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    udp_batch_free(batch);
    udp_batch_free(far_batch);
    return 0;
}

static struct pkt *make(struct udp_port *port, const struct net_addr *to, uint8_t value)
{
    struct pkt *pkt = udp_batch_take(batch);

    pkt->data[0] = value;
    pkt->len = 1;
    pkt->port = port;
    pkt->local = port->local;
    pkt->remote = *to;
    return pkt;
}

/* Receive `n` packets at `port`, however many turns that takes; returns the last turn's first. */
static struct pkt *expect(struct udp_port *port, uint32_t n)
{
    struct pkt *first = NULL;
    struct pkt *pkt = NULL;

    for (uint32_t got = 0; got < n;) {
        pair_wait(port->fd, POLLIN);
        got += udp_rx(far_batch, port, n - got, &pkt);
        first = first == NULL ? pkt : first;
    }
    return first;
}

/* Packets of several sockets, queued in turns: one system call a socket, order kept in each. */
static void tx__sends_by_socket_in_order(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0"), .ask_errors = true};
    struct udp_port far[3];
    struct udp_port near[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        pair_open(&far[i], &options);
        pair_open(&near[i], &options);
    }
    for (uint8_t k = 0; k < 60; k++) {
        udp_tx_queue(batch, make(&near[k % 3], &far[k % 3].local, k));
    }
    udp_tx_flush(batch);
    assert_int_equal(udp_batch_room(batch), UDP_BATCH);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->tx_packets), 60);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->tx_calls), 3);
    for (int i = 0; i < 3; i++) {
        const struct pkt *pkt = expect(&far[i], 20);
        for (int k = 0; k < 20; k++) {
            assert_int_equal(pkt[k].data[0], 3 * k + i);
            assert_true(net_addr_equal(&pkt[k].remote, &near[i].local));
        }
        udp_tx_flush(far_batch);
        udp_close(&far[i]);
        udp_close(&near[i]);
    }
}

/* From a wildcard socket each packet leaves from the address that it names. */
static void tx__leaves_from_the_address_named(void **state)
{
    static const struct {
        const char *any;
        const char *far;
        const char *source;
    } cases[] = {
        {"0.0.0.0:0", "127.0.0.1:0", "127.0.0.5"},
        {"[::]:0", "[::1]:0", "::1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct udp_options any = {.local = pair_addr(cases[i].any)};
        const struct udp_options options = {.local = pair_addr(cases[i].far)};
        struct udp_port port;
        struct udp_port far;
        pair_open(&port, &any);
        pair_open(&far, &options);
        struct pkt *pkt = make(&port, &far.local, 1);
        struct net_addr source = pair_addr(cases[i].source);
        source.port = port.local.port;
        pkt->local = source;
        udp_tx_queue(batch, pkt);
        udp_tx_flush(batch);
        assert_true(net_addr_equal(&expect(&far, 1)->remote, &source));
        udp_tx_flush(far_batch);
        udp_close(&port);
        udp_close(&far);
    }
}

/* The mark is the packet's, not the socket's: the next packet does not inherit it. */
static void tx__marks_each_packet_for_itself(void **state)
{
    static const char *const families[] = {"127.0.0.1:0", "[::1]:0"};
    static const uint8_t marks[] = {0, 0xb8, 0, 0x01, 0xff};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        const struct udp_options options = {.local = pair_addr(families[i]), .ask_tos = true};
        struct udp_port port;
        struct udp_port far;
        pair_open(&port, &options);
        pair_open(&far, &options);
        for (uint8_t k = 0; k < COUNT_OF(marks); k++) {
            struct pkt *pkt = make(&port, &far.local, k);
            pkt->tos = marks[k];
            udp_tx_queue(batch, pkt);
        }
        udp_tx_flush(batch);
        const struct pkt *pkt = expect(&far, COUNT_OF(marks));
        for (uint8_t k = 0; k < COUNT_OF(marks); k++) {
            assert_int_equal(pkt[k].data[0], k);
            assert_int_equal(pkt[k].tos, marks[k]);
        }
        udp_tx_flush(far_batch);
        udp_close(&port);
        udp_close(&far);
    }
}

/* An ICMP error that an earlier packet met must not cost a later one its way. */
static void tx__survives_a_pending_error(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0"), .ask_errors = true};
    struct udp_port port;
    struct udp_port far;
    struct udp_port closed;

    (void)state;
    pair_open(&port, &options);
    pair_open(&far, &options);
    pair_open(&closed, &options);
    udp_close(&closed);
    udp_tx_queue(batch, make(&port, &closed.local, 1));
    udp_tx_flush(batch);
    pair_wait(port.fd, POLLERR);
    udp_tx_queue(batch, make(&port, &far.local, 2));
    udp_tx_queue(batch, make(&port, &far.local, 3));
    udp_tx_flush(batch);
    assert_int_equal(expect(&far, 2)[1].data[0], 3);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->tx_errors), 0);
    udp_close(&port);
    udp_close(&far);
}

/* A destination that cannot be reached costs its own packet only. */
static void tx__drops_and_counts_what_cannot_go(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0")};
    const struct net_addr nowhere = pair_addr("127.0.0.1:0"); /* port 0 cannot be sent to */
    struct udp_port port;
    struct udp_port far;

    (void)state;
    pair_open(&port, &options);
    pair_open(&far, &options);
    udp_tx_queue(batch, make(&port, &far.local, 1));
    udp_tx_queue(batch, make(&port, &nowhere, 2));
    udp_tx_queue(batch, make(&port, &far.local, 3));
    udp_tx_flush(batch);
    const struct pkt *pkt = expect(&far, 2);
    assert_int_equal(pkt[0].data[0], 1);
    assert_int_equal(pkt[1].data[0], 3);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->tx_packets), 2);
    assert_int_equal(stats_read(&udp_batch_counters(batch)->tx_errors), 1);
    udp_close(&port);
    udp_close(&far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tx__sends_by_socket_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(tx__leaves_from_the_address_named, setup, teardown),
        cmocka_unit_test_setup_teardown(tx__marks_each_packet_for_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(tx__survives_a_pending_error, setup, teardown),
        cmocka_unit_test_setup_teardown(tx__drops_and_counts_what_cannot_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
