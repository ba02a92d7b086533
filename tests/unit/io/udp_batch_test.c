/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_batch.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "io/udp_tx.h"

static void no_df(void *arg, struct pkt *pkt)
{
    (void)arg;
    (void)pkt;
    fail();
}

static void batch__has_a_place_for_each(void **state)
{
    struct udp_batch *batch = udp_batch_new(no_df, NULL);
    struct pkt *pkt = NULL;

    (void)state;
    assert_non_null(batch);
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        assert_int_equal(udp_batch_room(batch), UDP_BATCH - i);
        pkt = udp_batch_take(batch);
        assert_non_null(pkt);
        assert_int_equal(pkt->len, 0);
        assert_ptr_equal(pkt->data, pkt->buf + PKT_HEADROOM);
        memset(pkt->buf, (int)i, PKT_HEADROOM + pkt->cap); /* ASan: all of it is there */
    }
    assert_null(udp_batch_take(batch));
    assert_int_equal(pkt->buf[0], UDP_BATCH - 1);
    udp_tx_flush(batch); /* nothing is queued, yet every place is free again */
    assert_int_equal(udp_batch_room(batch), UDP_BATCH);
    udp_batch_free(batch);
    udp_batch_free(NULL);
}

/* Neighbouring packets begin in different sets of the first-level cache. */
static void batch__buffers_do_not_alias(void **state)
{
    enum { SET_SPAN = 4096, LINE = 64 };

    bool used[SET_SPAN / LINE] = {false};
    struct udp_batch *batch = udp_batch_new(no_df, NULL);

    (void)state;
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        const struct pkt *pkt = udp_batch_take(batch);
        const size_t set = (uintptr_t)pkt->data % SET_SPAN / LINE;
        assert_false(used[set]);
        used[set] = true;
    }
    udp_batch_free(batch);
}

/* A view that gets a buffer of its own is the same message, in one piece. */
static void batch__gives_a_view_its_own_buffer(void **state)
{
    struct udp_batch *batch = udp_batch_new(no_df, NULL);
    uint8_t burst[32];
    uint8_t side[PKT_HEADROOM];
    struct pkt pkt = {.data = burst + 10, .len = 5, .buf = side, .view = true};

    (void)state;
    memset(burst, 0xee, sizeof(burst));
    memcpy(burst + 10, "abcde", 5);
    for (uint32_t i = 0; i < UDP_SPARES; i++) {
        struct pkt own = pkt;
        assert_true(pkt_append_zeros(&own, 3));
        memcpy(pkt_prepend(&own, 4), "head", 4);
        assert_int_equal(udp_batch_own(batch, &own), 0);
        assert_false(own.view);
        assert_int_equal(own.len, 12);
        assert_int_equal(pkt_size(&own), 12);
        assert_memory_equal(own.data, "headabcde\0\0\0", 12);
        assert_ptr_equal(own.data, own.buf + PKT_HEADROOM);
        memset(own.buf, 0x11, PKT_HEADROOM + own.cap);   /* ASan: all of it is there */
        assert_int_equal(udp_batch_own(batch, &own), 0); /* nothing to do */
    }
    const struct pkt before = pkt;
    assert_int_equal(udp_batch_own(batch, &pkt), -ENOSPC);
    assert_memory_equal(&pkt, &before, sizeof(pkt));
    udp_tx_send(batch);
    assert_int_equal(udp_batch_own(batch, &pkt), 0);
    assert_int_equal(burst[9], 0xee);
    assert_int_equal(burst[15], 0xee);
    assert_int_equal(udp_batch_room(batch), UDP_BATCH);
    udp_batch_free(batch);
}

static void batch__without_memory(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        mem_fail_at(n);
        struct udp_batch *batch = udp_batch_new(no_df, NULL);
        mem_fail_at(-1);
        if (batch != NULL) {
            udp_batch_free(batch);
            return;
        }
        assert_true(n < 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__gives_a_view_its_own_buffer),
        cmocka_unit_test(batch__without_memory),
        cmocka_unit_test(batch__has_a_place_for_each),
        cmocka_unit_test(batch__buffers_do_not_alias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
