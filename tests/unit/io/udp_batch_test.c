/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_batch.h"

#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch__has_a_place_for_each),
        cmocka_unit_test(batch__buffers_do_not_alias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
