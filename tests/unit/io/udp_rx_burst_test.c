/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving messages that hold several packets. */
#include "io/udp_batch_int.h"
#include "io/udp_rx.h"
#include "io/udp_tx.h"
#include "udp_burst.h"

struct stage {
    struct udp_batch *batch;
    struct udp_port port;
    struct udp_port from;
    uint8_t data[8000];
};

static void no_df(void *arg, struct pkt *pkt)
{
    (void)arg;
    (void)pkt;
    fail();
}

static int setup(void **state)
{
    const struct udp_options options = {.local = pair_addr("127.0.0.1:0"), .ask_tos = true};
    struct stage *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return -1;
    }
    s->batch = udp_batch_new(no_df, NULL);
    pair_open(&s->port, &options);
    pair_open(&s->from, &options);
    burst_ask(&s->port);
    for (size_t i = 0; i < sizeof(s->data); i++) {
        s->data[i] = (uint8_t)(i * 7 + i / 256);
    }
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    udp_close(&s->port);
    udp_close(&s->from);
    udp_batch_free(s->batch);
    free(s);
    return 0;
}

static uint64_t truncated(const struct stage *s)
{
    return stats_read(&s->batch->count.rx_truncated);
}

/* Lengths around whole segments, and the smallest segment there is. */
static void burst__is_cut_into_views(void **state)
{
    static const struct {
        uint32_t n;
        uint16_t segment;
    } cases[] = {{400, 100}, {437, 100}, {401, 100}, {7, 1}, {6000, 1200}};
    struct stage *s = *state;

    for (size_t c = 0; c < COUNT_OF(cases); c++) {
        const uint32_t segment = cases[c].segment;
        const uint32_t count = (cases[c].n + segment - 1) / segment;
        burst_send(s->from.fd, &s->port.local, s->data, cases[c].n, cases[c].segment);
        const struct pkt *pkt = burst_expect(s->batch, &s->port, count);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t left = cases[c].n - i * segment;
            assert_true(pkt[i].view);
            assert_int_equal(pkt[i].cap, 0);
            assert_int_equal(pkt[i].len, left < segment ? left : segment);
            assert_memory_equal(pkt[i].data, s->data + i * segment, pkt[i].len);
            assert_ptr_equal(pkt[i].port, &s->port);
            assert_true(net_addr_equal(&pkt[i].remote, &s->from.local));
            assert_int_equal(pkt_size(&pkt[i]), pkt[i].len);
        }
        assert_int_equal(stats_read(&s->batch->count.rx_bursts), c + 1);
        assert_int_equal(udp_batch_room(s->batch), UDP_BATCH - 1);
        udp_tx_flush(s->batch);
    }
    assert_true(s->port.gro); /* whoever asked for it */
    assert_int_equal(truncated(s), 0);
}

/* A single packet on such a socket has a buffer of its own. */
static void burst__of_one_is_no_view(void **state)
{
    struct stage *s = *state;

    pair_send(s->from.fd, &s->port.local, s->data, 100);
    const struct pkt *pkt = burst_expect(s->batch, &s->port, 1);
    assert_false(pkt->view);
    assert_int_equal(pkt->cap, UDP_PKT_CAP);
    assert_ptr_equal(pkt->data, pkt->buf + PKT_HEADROOM);
}

/* Single packets and bursts of several sockets in one batch, in the order in which they came. */
static void burst__among_others(void **state)
{
    struct stage *s = *state;

    pair_send(s->from.fd, &s->port.local, s->data, 1);
    burst_send(s->from.fd, &s->port.local, s->data + 1, 6, 2);
    pair_send(s->from.fd, &s->port.local, s->data + 7, 1);
    const struct pkt *pkt = burst_expect(s->batch, &s->port, 5);
    const uint8_t *expected = s->data;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pkt[i].view, i >= 1 && i <= 3);
        assert_memory_equal(pkt[i].data, expected, pkt[i].len);
        expected += pkt[i].len;
    }
    assert_int_equal(expected - s->data, 8);
    const struct pkt *taken = udp_batch_take(s->batch);
    assert_ptr_equal(taken, pkt + 5);
    assert_ptr_equal(taken->buf, udp_batch_buffer(s->batch, 3));
    assert_false(taken->view);
}

/* Where bursts come, so many messages are taken that all their packets fit. */
static void burst__waits_where_there_is_no_room(void **state)
{
    struct stage *s = *state;
    struct pkt *pkt = NULL;

    s->port.gro = true;
    s->batch->used = UDP_PACKETS - UDP_BURST - 1;
    for (int i = 0; i < 2; i++) {
        burst_send(s->from.fd, &s->port.local, s->data, 40, 10);
    }
    pair_wait(s->port.fd, POLLIN);
    s->port.readable = true;
    assert_int_equal(udp_rx(s->batch, &s->port, UDP_BATCH, &pkt), 4);
    assert_int_equal(udp_rx(s->batch, &s->port, UDP_BATCH, &pkt), 0);
    assert_true(s->port.readable);
    assert_int_equal(udp_batch_room(s->batch), 0);
    udp_tx_flush(s->batch);
    assert_int_equal(udp_rx(s->batch, &s->port, UDP_BATCH, &pkt), 4);
    assert_int_equal(truncated(s), 0);
}

/* A socket that somebody else has given UDP_GRO is only known by its first burst: what does not fit
 * is dropped and counted, and nothing is written beyond the last place. */
static void burst__that_does_not_fit_is_counted(void **state)
{
    struct stage *s = *state;
    struct pkt *pkt = NULL;

    s->batch->used = UDP_PACKETS - 3;
    burst_send(s->from.fd, &s->port.local, s->data, 100, 10);
    pair_send(s->from.fd, &s->port.local, s->data, 1);
    pair_wait(s->port.fd, POLLIN);
    assert_int_equal(udp_rx(s->batch, &s->port, 2, &pkt), 3);
    assert_int_equal(s->batch->used, UDP_PACKETS);
    assert_memory_equal(pkt[2].data, s->data + 20, 10);
    assert_int_equal(truncated(s), 7 + 1);
    assert_null(udp_batch_take(s->batch));
}

/* What lost its end is dropped, and the others around it come. */
static void truncated__is_dropped_and_counted(void **state)
{
    struct stage *s = *state;

    s->batch->rx_vec[1].iov_len = 50;
    s->batch->rx_vec[2].iov_len = 50;
    pair_send(s->from.fd, &s->port.local, "a", 1);
    pair_send(s->from.fd, &s->port.local, s->data, 51);
    burst_send(s->from.fd, &s->port.local, s->data, 60, 10);
    pair_send(s->from.fd, &s->port.local, "b", 1);
    const struct pkt *pkt = burst_expect(s->batch, &s->port, 2);
    assert_int_equal(pkt[0].data[0], 'a');
    assert_int_equal(pkt[1].data[0], 'b');
    assert_int_equal(truncated(s), 2);
    assert_int_equal(stats_read(&s->batch->count.rx_packets), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(burst__is_cut_into_views, setup, teardown),
        cmocka_unit_test_setup_teardown(burst__of_one_is_no_view, setup, teardown),
        cmocka_unit_test_setup_teardown(burst__among_others, setup, teardown),
        cmocka_unit_test_setup_teardown(burst__waits_where_there_is_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(burst__that_does_not_fit_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(truncated__is_dropped_and_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
