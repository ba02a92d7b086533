/* SPDX-License-Identifier: Apache-2.0 */
/* A connection begins, and has input. */
#include "io/stream.h"

#include <arpa/inet.h>

#include "stream_stage.h"

/* --- beginning ----------------------------------------------------------------------------------
 */

static void accept__tells_who_has_come(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, &(struct stage_options){.owner_bytes = 40});
    struct peer *peer = peer_join(&stage, 0, &s);
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    assert_int_equal(getsockname(peer->fd, (struct sockaddr *)&sin, &len), 0);
    assert_int_equal(stream_remote(s)->port, ntohs(sin.sin_port));
    assert_true(net_addr_equal(stream_local(s), &stage.address));
    assert_ptr_equal(stream_listener_of(s), &stage.listener);
    assert_null(stream_ssl(s));
    assert_int_equal(stream_queued_bytes(s), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(((uint8_t *)stream_owner(s))[i], 0);
    }
    assert_int_equal((uintptr_t)stream_owner(s) % 16, 0);
    assert_int_equal(STAGE_COUNT(&stage, established), 1);
    assert_int_equal(STAGE_COUNT(&stage, passive_open), 1);
    peer_free(peer);
    stage_close(&stage);
}

static void addresses__can_be_those_that_a_balancer_tells(void **state)
{
    struct stage stage;
    struct stream *s;
    struct net_addr remote;
    struct net_addr local;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    assert_int_equal(net_addr_parse("192.0.2.1:1000", 0, &remote), 0);
    assert_int_equal(net_addr_parse("[2001:db8::1]:2000", 0, &local), 0);
    assert_true(stream_set_addresses(s, &remote, &local));
    assert_true(net_addr_equal(stream_remote(s), &remote));
    assert_true(net_addr_equal(stream_local(s), &local));
    peer_free(peer);
    stage_close(&stage);
}

/* --- input --------------------------------------------------------------------------------------
 */

/* Messages of one byte that says how long the rest is. */
static size_t take_messages(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    size_t at = 0;

    (void)s;
    while (at < len && len - at > data[at]) {
        stage_bytes_add(&stage->got, data + at, 1U + data[at]);
        at += 1U + data[at];
    }
    return at;
}

/* A run of such messages, of all lengths up to 255. */
static size_t make_messages(uint8_t *out, size_t cap)
{
    size_t at = 0;

    for (unsigned i = 0; at + 1 + i % 256 <= cap; i += 7) {
        out[at] = (uint8_t)(i % 256);
        pattern_fill(out + at + 1, at, i % 256);
        at += 1 + i % 256;
    }
    return at;
}

/* Proves T-8489-6.2.2-05 for the engine: any segmentation gives the same messages. */
static void input__is_the_same_however_it_is_cut(void **state)
{
    static uint8_t all[8000];
    static const size_t steps[] = {1, 2, 3, 255, 256, 257, 1000, sizeof(all)};
    const size_t len = make_messages(all, sizeof(all));

    (void)state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct stage stage;
        stage_open(&stage, NULL);
        stage.input = take_messages;
        struct peer *peer = peer_join(&stage, 0, NULL);
        for (size_t at = 0; at < len; at += steps[i]) {
            const size_t n = len - at < steps[i] ? len - at : steps[i];
            const unsigned before = stage.inputs;
            peer_send(peer, all + at, n);
            STAGE_UNTIL(&stage, stage.inputs > before);
        }
        STAGE_UNTIL(&stage, stage.got.len == len);
        assert_memory_equal(stage.got.data, all, len);
        assert_int_equal(STAGE_COUNT(&stage, rx_bytes), len);
        assert_in_range(STAGE_COUNT(&stage, rx_calls), len / sizeof(all), 2 * len + 10);
        stage_settle(&stage);
        assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0); /* nothing is kept */
        peer_free(peer);
        stage_close(&stage);
    }
}

enum { LONG_MESSAGE = 65539 };

static size_t take_long(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)s;
    if (len < LONG_MESSAGE) {
        return 0;
    }
    stage_bytes_add(&stage->got, data, LONG_MESSAGE);
    return LONG_MESSAGE;
}

/* Proves K15: the longest message is put together, and nothing of it stays. */
static void input__takes_the_longest_message(void **state)
{
    static uint8_t all[2 * LONG_MESSAGE];
    struct stage stage;
    unsigned seed = 12345;

    (void)state;
    pattern_fill(all, 0, sizeof(all));
    stage_open(&stage, NULL);
    stage.input = take_long;
    struct peer *peer = peer_join(&stage, 0, NULL);
    for (size_t at = 0; at < sizeof(all);) {
        seed = seed * 1103515245U + 12345U;
        const size_t want = 1 + (seed >> 16) % 3000;
        const size_t n = sizeof(all) - at < want ? sizeof(all) - at : want;
        const unsigned before = stage.inputs;
        peer_send(peer, all + at, n);
        STAGE_UNTIL(&stage, stage.inputs > before);
        at += n;
        assert_true(STAGE_COUNT(&stage, queued_bytes) <= 80 * 1024);
    }
    assert_int_equal(stage.got.len, sizeof(all));
    pattern_check(stage.got.data, 0, sizeof(all));
    stage_settle(&stage);
    assert_int_equal(STAGE_COUNT(&stage, queued_bytes), 0);
    peer_free(peer);
    stage_close(&stage);
}

static size_t take_three(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)s;
    stage_bytes_add(&stage->got, data, len < 3 ? 0 : 3);
    return len < 3 ? 0 : 3;
}

/* What the handler leaves over comes again with more behind it, not before. */
static void input__keeps_what_is_left_over(void **state)
{
    struct stage stage;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = take_three;
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_text(peer, "abcdefgh");
    STAGE_UNTIL(&stage, stage.got.len == 3);
    stage_settle(&stage);
    assert_int_equal(stage.inputs, 1);
    peer_text(peer, "i");
    STAGE_UNTIL(&stage, stage.got.len == 6);
    stage_bytes_are(&stage.got, "abcdef");
    peer_free(peer);
    stage_close(&stage);
}

static size_t echo(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    (void)stage;
    (void)stream_send(s, STREAM_CONTROL, data, (uint32_t)(len / 2));
    (void)stream_send(s, STREAM_CONTROL, data + len / 2, (uint32_t)(len - len / 2));
    return len;
}

/* What is sent from inside the handler may lie in what it was given. */
static void input__may_be_sent_back(void **state)
{
    static uint8_t sent[300000];
    struct stage stage;

    (void)state;
    pattern_fill(sent, 0, sizeof(sent));
    stage_open(&stage, NULL);
    stage.input = echo;
    struct peer *peer = peer_join(&stage, 0, NULL);
    peer_send(peer, sent, sizeof(sent));
    STAGE_UNTIL(&stage, peer_pump(peer) == sizeof(sent));
    pattern_check(peer->got.data, 0, sizeof(sent));
    assert_true(STAGE_COUNT(&stage, tx_messages) >= 2);
    assert_int_equal(STAGE_COUNT(&stage, tx_bytes), sizeof(sent));
    assert_true(STAGE_COUNT(&stage, tx_calls) > 0);
    peer_free(peer);
    stage_close(&stage);
}

/* One busy connection does not keep the others waiting: each once a turn, within a budget. */
static void input__has_a_budget_for_everybody(void **state)
{
    static uint8_t flood[4 << 20];
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *loud = peer_join(&stage, 0, NULL);
    struct peer *calm = peer_join(&stage, 0, &s);
    peer_send(loud, flood, sizeof(flood));
    peer_text(calm, "x");
    STAGE_UNTIL(&stage, (peer_drip(loud, SIZE_MAX), stage.got.len > 0));
    for (int i = 0; i < 3; i++) {
        const size_t before = stage.got.len;
        (void)stage_turn(&stage);
        assert_true(stage.got.len - before <= 512 * 1024);
    }
    STAGE_UNTIL(&stage, (peer_drip(loud, SIZE_MAX), stage.got.len == sizeof(flood) + 1));
    peer_free(loud);
    peer_free(calm);
    stage_close(&stage);
}

static void pause__holds_input_back(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    stage.input = take_three;
    struct peer *peer = peer_join(&stage, 0, &s);
    peer_text(peer, "abcde");
    STAGE_UNTIL(&stage, stage.inputs == 1);
    stream_pause(s);
    peer_text(peer, "fgh");
    stage_settle(&stage);
    assert_int_equal(stage.inputs, 1);
    stream_resume(s);
    STAGE_UNTIL(&stage, stage.inputs >= 2 && stage.got.len >= 6);
    stage_settle(&stage);
    peer_text(peer, "i");
    STAGE_UNTIL(&stage, stage.got.len == 9);
    stage_bytes_are(&stage.got, "abcdefghi");
    peer_free(peer);
    stage_close(&stage);
}

/* The end, too, waits behind a pause; so do bytes that came before it. */
static void pause__holds_the_end_back(void **state)
{
    struct stage stage;
    struct stream *s;

    (void)state;
    stage_open(&stage, NULL);
    struct peer *peer = peer_join(&stage, 0, &s);
    stream_pause(s);
    peer_text(peer, "last words");
    peer_fin(peer);
    stage_settle(&stage);
    assert_int_equal(stage.inputs + stage.ended + stage.closed, 0);
    stream_resume(s);
    STAGE_UNTIL(&stage, stage.ended == 1);
    stage_bytes_are(&stage.got, "last words");
    peer_free(peer);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept__tells_who_has_come),
        cmocka_unit_test(addresses__can_be_those_that_a_balancer_tells),
        cmocka_unit_test(input__is_the_same_however_it_is_cut),
        cmocka_unit_test(input__takes_the_longest_message),
        cmocka_unit_test(input__keeps_what_is_left_over),
        cmocka_unit_test(input__may_be_sent_back),
        cmocka_unit_test(input__has_a_budget_for_everybody),
        cmocka_unit_test(pause__holds_input_back),
        cmocka_unit_test(pause__holds_the_end_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
