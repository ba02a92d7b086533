/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pkt.h"

#include <string.h>

#include "check.h"

enum { CAP = 16 };

static void own__grows_in_its_buffer(void **state)
{
    uint8_t buf[PKT_HEADROOM + CAP];
    struct pkt pkt = {.data = buf + PKT_HEADROOM, .len = 5, .cap = CAP, .buf = buf};

    (void)state;
    memset(buf, 0xee, sizeof(buf));
    assert_true(pkt_append_zeros(&pkt, 3));
    assert_ptr_equal(pkt_prepend(&pkt, 4), buf + PKT_HEADROOM - 4);
    assert_ptr_equal(pkt.data, buf + PKT_HEADROOM - 4);
    assert_int_equal(pkt.len, 12);
    assert_int_equal(pkt_size(&pkt), 12);
    assert_memory_equal(buf + PKT_HEADROOM + 5, "\0\0\0\xee", 4);
    pkt_strip(&pkt, 4, 5);
    assert_ptr_equal(pkt.data, buf + PKT_HEADROOM);
    assert_int_equal(pkt_size(&pkt), 5);
}

static void own__does_not_grow_beyond_its_buffer(void **state)
{
    uint8_t buf[PKT_HEADROOM + CAP];

    (void)state;
    for (uint32_t n = 1; n <= PKT_TAIL; n++) {
        struct pkt pkt = {.data = buf + PKT_HEADROOM, .len = CAP - n, .cap = CAP, .buf = buf};
        assert_true(pkt_append_zeros(&pkt, n));
        assert_false(pkt_append_zeros(&pkt, 1));
        assert_int_equal(pkt.len, CAP);
    }
}

/* Whatever is put before and behind a view, the bytes around it are its neighbours'. */
static void view__leaves_its_neighbours_alone(void **state)
{
    uint8_t burst[30];
    uint8_t before[30];
    uint8_t side[PKT_HEADROOM];
    struct pkt pkt = {.data = burst + 10, .len = 10, .buf = side, .view = true};

    (void)state;
    memset(burst, 0xee, sizeof(burst));
    memcpy(before, burst, sizeof(burst));
    pkt_strip(&pkt, 4, 5);
    assert_ptr_equal(pkt.data, burst + 14);
    assert_true(pkt_append_zeros(&pkt, 3));
    uint8_t *head = pkt_prepend(&pkt, 48);
    assert_ptr_equal(head, side + PKT_HEADROOM - 48);
    assert_ptr_equal(pkt_head(&pkt), head);
    memset(head, 1, 48);
    assert_int_equal(pkt.len, 5);
    assert_int_equal(pkt_size(&pkt), 48 + 5 + 3);
    assert_memory_equal(burst, before, sizeof(burst));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own__grows_in_its_buffer),
        cmocka_unit_test(own__does_not_grow_beyond_its_buffer),
        cmocka_unit_test(view__leaves_its_neighbours_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
