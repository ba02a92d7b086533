/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of RFC 3489 (RFC 5389 section 12.2): no magic cookie, a 128-bit transaction ID. */
#include <string.h>

#include "behaviour_stage.h"

enum { IP = 4, PORT = 2, RESPONSE_ADDRESS = 0x0002, PASSWORD = 0x0007 };

static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static int open_classic(void **state)
{
    const int err = behaviour_open(state);
    struct stage *s = *state;

    if (err == 0) {
        s->w.config.rfc3489 = true;
    }
    return err;
}

/* A message whose attributes are written between begin() and submit(). */
static void begin(struct stage *s, uint16_t type)
{
    stun_out_begin(&s->c.out, s->c.buf, sizeof(s->c.buf), type, id + 4);
}

static enum turn_verdict submit_over(struct stage *s, uint8_t transport)
{
    const int len = stun_out_end(&s->c.out);

    assert_true(len > 0);
    s->c.len = (size_t)len;
    memcpy(s->c.buf + 4, id, 4);
    return world_from_client_over(&s->w, &s->c.addr, transport, &s->w.server_addr, s->c.buf,
                                  s->c.len);
}

/* The error code of the answer; 0 for a success. */
static int submit(struct stage *s)
{
    assert_int_equal(submit_over(s, NET_UDP), TURN_TO_CLIENT);
    const uint8_t *p = s->w.pkt.data;
    assert_memory_equal(p + 4, id, sizeof(id));
    assert_int_equal(be16(p + 2) + 20, s->w.pkt.len);
    if (be16(p) == 0x0101) {
        return 0;
    }
    assert_int_equal(be16(p), 0x0111);
    return (int)stun_code_decode(behaviour_attr(s, STUN_ERROR_CODE));
}

static int ask(struct stage *s, uint32_t flags)
{
    begin(s, 0x0001);
    stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, flags);
    return submit(s);
}

/* Proves T-5389-12.2-01, T-5389-12.2-02, T-8489-12-05, T-8489-5-03 */
static void binding__echoes_the_whole_id(void **state)
{
    struct stage *s = *state;

    s->w.config.behaviour.count = 0;
    begin(s, 0x0001);
    assert_int_equal(submit(s), 0);
    assert_true(behaviour_tells(s, STUN_MAPPED_ADDRESS, &s->c.addr));
    assert_int_equal(s->w.pkt.len, 20 + 12); /* and nothing that RFC 3489 does not know */
    assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
}

/* Proves T-3489-8.1-01 */
static void two_addresses__are_told_and_used(void **state)
{
    static const uint32_t flags[] = {0, PORT, IP, IP | PORT};
    struct stage *s = *state;
    const struct net_addr other = behaviour_addr(0, 3);

    for (int i = 0; i < 4; i++) {
        const struct net_addr from = behaviour_addr(0, i);
        assert_int_equal(ask(s, flags[i]), 0);
        assert_true(net_addr_equal(&s->w.pkt.local, &from));
        assert_true(behaviour_tells(s, STUN_SOURCE_ADDRESS, &from));
        assert_true(behaviour_tells(s, STUN_CHANGED_ADDRESS, &other));
        assert_true(behaviour_lacks(s, STUN_RESPONSE_ORIGIN));
        assert_true(behaviour_lacks(s, STUN_OTHER_ADDRESS));
        assert_true(behaviour_lacks(s, STUN_XOR_MAPPED_ADDRESS));
    }
}

/* Proves T-5389-12.2-03, T-3489-11.2.10-01 */
static void unknown__are_listed_in_pairs(void **state)
{
    static const uint16_t types[] = {RESPONSE_ADDRESS, PASSWORD, 0x000B};
    struct stage *s = *state;
    struct net_addr victim;

    assert_int_equal(net_addr_parse("198.51.100.66:53", 0, &victim), 0);
    for (size_t n = 1; n <= COUNT_OF(types); n++) {
        begin(s, 0x0001);
        for (size_t i = 0; i < n; i++) {
            stun_out_addr(&s->c.out, types[i], &victim);
        }
        assert_int_equal(submit(s), STUN_UNKNOWN_ATTRIBUTE);
        assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr)); /* nobody else is answered */
        const struct bytes list = behaviour_attr(s, STUN_UNKNOWN_ATTRIBUTES);
        assert_int_equal(list.n, (n + 1) / 2 * 4);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(be16(list.p + 2 * i), types[i]);
        }
        if (n % 2 != 0) {
            assert_int_equal(be16(list.p + 2 * n), types[0]);
        }
    }
    s->w.config.behaviour.count = 0;
    assert_int_equal(ask(s, 0), STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(be16(behaviour_attr(s, STUN_UNKNOWN_ATTRIBUTES).p), STUN_CHANGE_REQUEST);
}

/* What RFC 5780 has added is unknown to a server of RFC 3489. */
static void later_attributes__are_unknown(void **state)
{
    struct stage *s = *state;

    begin(s, 0x0001);
    stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 5000U << 16);
    assert_int_equal(submit(s), STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(s->w.pkt.remote.port, 4000);
    begin(s, 0x0001);
    stun_out_u32(&s->c.out, STUN_PADDING, 0);
    assert_int_equal(submit(s), STUN_UNKNOWN_ATTRIBUTE);
}

static void credentials__are_ignored(void **state)
{
    static const uint8_t mac[STUN_MI_LEN];
    struct stage *s = *state;

    begin(s, 0x0001);
    stun_out_attr(&s->c.out, STUN_USERNAME, bytes_of("user"));
    stun_out_attr(&s->c.out, STUN_MESSAGE_INTEGRITY, (struct bytes){mac, sizeof(mac)});
    assert_int_equal(submit(s), 0);
    assert_true(behaviour_lacks(s, STUN_MESSAGE_INTEGRITY));
}

/* Proves T-8656-5-01, T-3489-8.2-01, T-5389-12.2-04 */
static void others__get_no_answer(void **state)
{
    static const uint16_t types[] = {0x0002, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x0011,
                                     0x0101, 0x0111, 0x0102, 0x0112, 0x4001, 0x8001};
    static const uint8_t transports[] = {NET_TCP, NET_TLS};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        begin(s, types[i]);
        assert_int_equal(submit_over(s, NET_UDP), TURN_DROP);
    }
    for (size_t i = 0; i < COUNT_OF(transports); i++) { /* RFC 3489 is for UDP */
        begin(s, 0x0001);
        assert_int_equal(submit_over(s, transports[i]), TURN_DROP);
    }
    begin(s, 0x0001);
    s->w.config.auth_binding = true;
    assert_int_equal(submit_over(s, NET_UDP), TURN_DROP);
    s->w.config.auth_binding = false;
    s->w.config.stun_enabled = false;
    assert_int_equal(submit_over(s, NET_UDP), TURN_DROP);
    s->w.config.stun_enabled = true;
    s->w.config.rfc3489 = false;
    assert_int_equal(submit_over(s, NET_UDP), TURN_DROP);
}

/* Over DTLS there is no classic STUN, whatever is switched on (RFC 8489 section 11). */
static void dtls__is_refused_all_the_same(void **state)
{
    struct stage *s = *state;

    begin(s, 0x0001);
    assert_int_equal(submit_over(s, NET_DTLS), TURN_TO_CLIENT);
    assert_int_equal(be16(s->w.pkt.data), 0x0111);
    assert_int_equal(stun_code_decode(behaviour_attr(s, STUN_ERROR_CODE)), STUN_SERVER_ERROR);
}

static void broken__is_dropped_or_refused(void **state)
{
    struct stage *s = *state;
    static const uint8_t zeros[12];

    begin(s, 0x0001);
    stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, IP);
    assert_int_equal(submit(s), 0);
    for (size_t n = 0; n < s->c.len; n++) { /* every truncation */
        assert_int_equal(world_from_client(&s->w, &s->c.addr, s->c.buf, n), TURN_DROP);
    }
    s->c.buf[20 + 3] = 8; /* the attribute runs past the end */
    assert_int_equal(world_from_client(&s->w, &s->c.addr, s->c.buf, s->c.len), TURN_TO_CLIENT);
    assert_int_equal(stun_code_decode(behaviour_attr(s, STUN_ERROR_CODE)), STUN_BAD_REQUEST);
    for (size_t n = 0; n <= 12; n += 4) {
        begin(s, 0x0001);
        stun_out_attr(&s->c.out, STUN_CHANGE_REQUEST, (struct bytes){zeros, n});
        assert_int_equal(submit(s), n == 4 ? 0 : STUN_BAD_REQUEST);
    }
}

/* Anybody may have sent it in another's name. */
static void answers__are_rationed(void **state)
{
    struct stage *s = *state;

    s->w.config.unauth_per_s = 1;
    s->w.config.unauth_burst = 2;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    assert_int_equal(ask(s, 0), 0);
    assert_int_equal(ask(s, PORT), 0);
    begin(s, 0x0001);
    assert_int_equal(submit_over(s, NET_UDP), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_UNAUTH_RATE), 1);
}

#define CLASSIC_TEST(f) cmocka_unit_test_setup_teardown(f, open_classic, stage_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLASSIC_TEST(binding__echoes_the_whole_id),  CLASSIC_TEST(two_addresses__are_told_and_used),
        CLASSIC_TEST(unknown__are_listed_in_pairs),  CLASSIC_TEST(later_attributes__are_unknown),
        CLASSIC_TEST(credentials__are_ignored),      CLASSIC_TEST(others__get_no_answer),
        CLASSIC_TEST(dtls__is_refused_all_the_same), CLASSIC_TEST(broken__is_dropped_or_refused),
        CLASSIC_TEST(answers__are_rationed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
