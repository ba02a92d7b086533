/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of NAT behaviour discovery (RFC 5780 section 7) in a request, and what becomes of
 * those that mean nothing where it came to. */
#include "draft.h"

static struct draft draft;

/* Proves T-5780-7.2-01 */
static void change_request__has_two_flags(void **state)
{
    static const struct {
        uint32_t wire;
        uint32_t change;
    } cases[] = {
        {0, 0},
        {2, TURN_CHANGE_PORT},
        {4, TURN_CHANGE_IP},
        {6, TURN_CHANGE_PORT | TURN_CHANGE_IP},
        {0xFFFFFFFF, TURN_CHANGE_PORT | TURN_CHANGE_IP},
        {0xFFFFFFF9, 0},
        {0x04000000, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        draft_begin(&draft);
        stun_out_u32(&draft.out, STUN_CHANGE_REQUEST, cases[i].wire);
        const struct turn_req *req = draft_decode(&draft);
        assert_int_equal(req->has, HAS_CHANGE_REQUEST);
        assert_int_equal(req->change, cases[i].change);
    }
}

static void lengths__are_judged(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 8; n++) {
        draft_begin(&draft);
        draft_fill(&draft, STUN_CHANGE_REQUEST, n);
        draft_fill(&draft, STUN_RESPONSE_PORT, n);
        draft_fill(&draft, STUN_PADDING, n);
        const struct turn_req *req = draft_decode(&draft);
        const uint32_t all = HAS_CHANGE_REQUEST | HAS_RESPONSE_PORT | HAS_PADDING;
        uint32_t has = HAS_PADDING;
        has |= n == 4 ? HAS_CHANGE_REQUEST : 0;
        has |= n == 2 || n == 4 ? HAS_RESPONSE_PORT : 0; /* */
        assert_int_equal(req->has, has);
        assert_int_equal(req->bad, all & ~has);
        assert_int_equal(req->padding, n);
        if ((has & HAS_RESPONSE_PORT) != 0) {
            assert_int_equal(req->response_port, 0x1111);
        }
        assert_int_equal(req->unknown_count, 0);
    }
}

/* Proves T-5780-7.6-01 */
static void padding__may_fill_the_datagram(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_fill(&draft, STUN_PADDING, 65500);
    const struct turn_req *req = draft_decode(&draft);
    assert_int_equal(req->has, HAS_PADDING);
    assert_int_equal(req->padding, 65500);
}

static void disown__makes_unknown_what_is_there(void **state)
{
    (void)state;
    draft_begin(&draft);
    draft_fill(&draft, 0x0024, 0);
    draft_fill(&draft, STUN_RESPONSE_PORT, 1); /* malformed */
    stun_out_u32(&draft.out, STUN_CHANGE_REQUEST, 0);
    stun_out_u32(&draft.out, STUN_LIFETIME, 7);
    (void)draft_decode(&draft);
    turn_req_disown(&draft.req, HAS_CHANGE_REQUEST | HAS_RESPONSE_PORT | HAS_PADDING);
    assert_int_equal(draft.req.has, HAS_LIFETIME);
    assert_int_equal(draft.req.bad, 0);
    assert_int_equal(draft.req.unknown_count, 3);
    assert_int_equal(draft.req.unknown[0], 0x0024);
    assert_int_equal(draft.req.unknown[1], STUN_CHANGE_REQUEST);
    assert_int_equal(draft.req.unknown[2], STUN_RESPONSE_PORT);
}

static void disown__leaves_room_as_it_is(void **state)
{
    (void)state;
    draft_begin(&draft);
    for (uint16_t i = 0; i < TURN_REQ_MAX_UNKNOWN; i++) {
        draft_fill(&draft, (uint16_t)(0x7000 + i), 0);
    }
    stun_out_u32(&draft.out, STUN_CHANGE_REQUEST, 0);
    (void)draft_decode(&draft);
    turn_req_disown(&draft.req, HAS_CHANGE_REQUEST);
    assert_int_equal(draft.req.unknown_count, TURN_REQ_MAX_UNKNOWN);
    assert_int_equal(draft.req.has, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change_request__has_two_flags),
        cmocka_unit_test(lengths__are_judged),
        cmocka_unit_test(padding__may_fill_the_datagram),
        cmocka_unit_test(disown__makes_unknown_what_is_there),
        cmocka_unit_test(disown__leaves_room_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
