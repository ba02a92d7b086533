/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/stash.h"

#include <string.h>

#include "check.h"

struct place {
    struct pkt pkt;
    uint8_t buf[PKT_HEADROOM + STASH_BYTES + 1];
};

static struct pkt *load(struct place *place, uint32_t value, uint32_t len)
{
    place->pkt = (struct pkt){
        .data = place->buf + PKT_HEADROOM,
        .len = len,
        .cap = STASH_BYTES + 1,
        .buf = place->buf,
        .remote = {.port = (uint16_t)value, .family = NET_V4},
        .port = place,
        .tos = 3,
    };
    memcpy(place->pkt.data, &value, sizeof(value));
    return &place->pkt;
}

static void stash__gives_back_what_it_took(void **state)
{
    struct stash *stash = stash_new();
    struct place in;
    struct place out;
    uint32_t dropped = 9;

    (void)state;
    assert_non_null(stash);
    assert_int_equal(stash_put(stash, load(&in, 7, STASH_BYTES), 100), 0);
    assert_int_equal(stash_put(stash, load(&in, 8, 20), 100), 0);
    assert_int_equal(stash_count(stash), 2);
    struct pkt *pkt = load(&out, 0, 0);
    pkt->data += 3; /* a place that was used before */
    assert_true(stash_take(stash, pkt, 200, &dropped));
    assert_int_equal(dropped, 0);
    assert_int_equal(pkt->len, STASH_BYTES);
    assert_int_equal(pkt->remote.port, 7);
    assert_ptr_equal(pkt->port, &in);
    assert_int_equal(pkt->tos, 3);
    assert_ptr_equal(pkt->data, out.buf + PKT_HEADROOM);
    assert_int_equal(pkt->data[0], 7);
    assert_true(stash_take(stash, pkt, 200, &dropped));
    assert_int_equal(pkt->len, 20);
    assert_false(stash_take(stash, pkt, 200, &dropped));
    stash_free(stash);
    stash_free(NULL);
}

static void stash__is_bounded(void **state)
{
    struct stash *stash = stash_new();
    struct place place;
    uint32_t dropped;

    (void)state;
    assert_int_equal(stash_put(stash, load(&place, 1, STASH_BYTES + 1), 0), 1);
    assert_int_equal(stash_count(stash), 0);
    for (uint32_t i = 0; i < STASH_PACKETS + 10; i++) {
        assert_int_equal(stash_put(stash, load(&place, i, 20), 0), i < STASH_PACKETS ? 0 : 1);
    }
    assert_int_equal(stash_count(stash), STASH_PACKETS);
    assert_true(stash_take(stash, load(&place, 0, 0), 0, &dropped));
    assert_int_equal(place.pkt.remote.port, 10); /* the oldest had to go */
    stash_free(stash);
}

static void stash__forgets_the_old(void **state)
{
    struct stash *stash = stash_new();
    struct place place;
    uint32_t dropped;

    (void)state;
    assert_int_equal(stash_put(stash, load(&place, 1, 20), 1000), 0);
    assert_int_equal(stash_put(stash, load(&place, 2, 20), 2000), 0);
    assert_int_equal(stash_put(stash, load(&place, 3, 20), 9000), 0);
    assert_true(stash_take(stash, load(&place, 0, 0), 2001 + STASH_MS, &dropped));
    assert_int_equal(dropped, 2);
    assert_int_equal(place.pkt.remote.port, 3);
    stash_free(stash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stash__gives_back_what_it_took),
        cmocka_unit_test(stash__is_bounded),
        cmocka_unit_test(stash__forgets_the_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
