/* SPDX-License-Identifier: Apache-2.0 */
/* Two connections that are one (RFC 6062; streams.md K3, K18, K39). */
#include <errno.h>
#include <openssl/evp.h>

#include "stream_stage.h"

enum { BIG = 4 << 20, IDLE_MS = 7200000 };

/* A stage with two clients, spliced. */
struct pair {
    struct stage stage;
    struct peer *a;
    struct peer *b;
    struct stream *sa;
    struct stream *sb;
};

static void pair_join(struct pair *pair, const struct stage_options *options)
{
    stage_open(&pair->stage, options);
    pair->a = peer_join(&pair->stage, 0, &pair->sa);
    pair->b = peer_join(&pair->stage, 0, &pair->sb);
}

static void pair_open(struct pair *pair, const struct stage_options *options)
{
    pair_join(pair, options);
    stream_splice(pair->sa, pair->sb, IDLE_MS);
}

/* Ends when both have been told. */
static void pair_close(struct pair *pair)
{
    assert_int_equal(pair->stage.inputs, 0); /* nothing is handed over any more */
    assert_int_equal(pair->stage.ended, 0);
    peer_free(pair->a);
    peer_free(pair->b);
    stage_close(&pair->stage);
}

/* Both have been told `why`, each once. */
static void check_both_closed(struct pair *pair, enum stream_close why)
{
    struct stage *stage = &pair->stage;

    STAGE_UNTIL(stage, stage->closed == 2);
    const bool a_first = stage->closed_seen[0] == pair->sa;
    assert_ptr_equal(stage->closed_seen[a_first ? 0 : 1], pair->sa);
    assert_ptr_equal(stage->closed_seen[a_first ? 1 : 0], pair->sb);
    assert_int_equal(stage->why, why);
    assert_int_equal(STAGE_COUNT(stage, established), 0);
    assert_int_equal(STAGE_COUNT(stage, queued_bytes), 0);
}

static void digest(const uint8_t *data, size_t len, uint8_t out[32])
{
    assert_int_equal(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL), 1);
}

static void check_same(const struct stage_bytes *got, const uint8_t *data, size_t len)
{
    uint8_t one[32];
    uint8_t other[32];

    assert_int_equal(got->len, len);
    digest(got->data, got->len, one);
    digest(data, len, other);
    assert_memory_equal(one, other, 32);
}

/* --- data ---------------------------------------------------------------------------------------
 */

/* Proves K3 and T-6062-3-01: both ways at once, whoever stops reading for a while, nothing is lost
 * and little is held. */
static void splice__loses_nothing_while_either_side_stalls(void **state)
{
    static uint8_t to_b[BIG];
    static uint8_t to_a[BIG];
    struct pair pair;
    uint64_t most = 0;

    (void)state;
    pattern_fill(to_b, 0, BIG);
    pattern_fill(to_a, 77, BIG);
    pair_open(&pair, NULL);
    peer_send(pair.a, to_b, BIG);
    peer_send(pair.b, to_a, BIG);
    for (int i = 0; pair.a->got.len < BIG || pair.b->got.len < BIG; i++) {
        assert_true(i < 1000000);
        pair.a->deaf = i % 200 < 70;
        pair.b->deaf = i % 300 > 200;
        pair.a->budget = 100000;
        pair.b->budget = 60000;
        (void)peer_pump(pair.a);
        (void)peer_pump(pair.b);
        (void)stage_turn(&pair.stage);
        const uint64_t held = STAGE_COUNT(&pair.stage, queued_bytes);
        most = held > most ? held : most;
    }
    assert_true(most <= 2 * (256 + 256 + 8) * 1024);
    check_same(&pair.b->got, to_b, BIG);
    check_same(&pair.a->got, to_a, BIG);
    assert_int_equal(stream_spliced_from(pair.sa), BIG);
    assert_int_equal(stream_spliced_from(pair.sb), BIG);
    assert_int_equal(stream_spliced_to(pair.sa), BIG);
    assert_int_equal(stream_spliced_to(pair.sb), BIG);
    assert_int_equal(STAGE_COUNT(&pair.stage, spliced_bytes), 2 * BIG);
    assert_int_equal(STAGE_COUNT(&pair.stage, dropped), 0);
    pair_close(&pair);
}

/* Proves T-6062-3-01: one that does not read makes the other's window close; the engine holds no
 * more than the high mark and what one read brings, however much is sent. */
static void splice__stops_reading_at_the_high_mark(void **state)
{
    static uint8_t flood[8 << 20];
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pattern_fill(flood, 0, sizeof(flood));
    pair_open(&pair, &(struct stage_options){.sndbuf = 4096});
    pair.b->deaf = true;
    peer_send(pair.a, flood, sizeof(flood));
    for (int i = 0; i < 300; i++) {
        stage_wait(stage);
        peer_drip(pair.a, SIZE_MAX);
        assert_true(stream_queued_bytes(pair.sb) <= (256 + 256) * 1024);
        assert_true(STAGE_COUNT(stage, queued_bytes) <= (256 + 256 + 8) * 1024);
    }
    assert_true(stream_queued_bytes(pair.sb) > 0);
    assert_true(pair.a->unsent.len > 0); /* the sender is made to wait */
    const uint64_t before = stream_spliced_from(pair.sa);
    stage_settle(stage);
    assert_int_equal(stream_spliced_from(pair.sa), before);
    pair.b->deaf = false;
    STAGE_UNTIL(stage, (peer_drip(pair.a, SIZE_MAX), peer_pump(pair.b) == sizeof(flood)));
    check_same(&pair.b->got, flood, sizeof(flood));
    pair_close(&pair);
}

/* Proves T-6062-5.4-07: whatever the bytes look like. */
static void splice__interprets_nothing(void **state)
{
    static const uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    struct pair pair;

    (void)state;
    pair_open(&pair, NULL);
    for (size_t i = 0; i < sizeof(stun); i++) {
        peer_send(pair.a, stun + i, 1);
        STAGE_UNTIL(&pair.stage, peer_pump(pair.b) == i + 1);
    }
    assert_memory_equal(pair.b->got.data, stun, sizeof(stun));
    pair_close(&pair);
}

/* Proves T-6062-5.2-09: what came before, though it was not read, comes first and in order. */
static void splice__begins_with_what_was_held_back(void **state)
{
    static uint8_t early[10 << 20];
    struct pair pair;

    (void)state;
    pattern_fill(early, 0, sizeof(early));
    pair_join(&pair, NULL);
    stream_pause(pair.sb); /* the peer's side, before ConnectionBind */
    peer_send(pair.b, early, sizeof(early));
    for (int i = 0; i < 50; i++) {
        stage_wait(&pair.stage);
        peer_drip(pair.b, SIZE_MAX);
    }
    assert_true(pair.b->unsent.len > 0);
    assert_true(STAGE_COUNT(&pair.stage, queued_bytes) <= 80 * 1024);
    stream_splice(pair.sa, pair.sb, IDLE_MS);
    STAGE_UNTIL(&pair.stage, (peer_drip(pair.b, SIZE_MAX), peer_pump(pair.a) == sizeof(early)));
    check_same(&pair.a->got, early, sizeof(early));
    pair_close(&pair);
}

/* Of 8 bytes, "BIND" and data, the first four are a request: it is answered, then all is raw. */
static size_t bind_inside(struct stage *stage, struct stream *s, uint8_t *data, size_t len)
{
    struct pair *pair = stage->test;

    if (len < 4) {
        return 0;
    }
    assert_memory_equal(data, "BIND", 4);
    assert_true(stream_send(s, STREAM_CONTROL, (const uint8_t *)"BOUND", 5));
    stream_splice(s, pair->sb, IDLE_MS);
    return 4;
}

/* Proves T-6062-5.4-04, T-6062-5.4-05 for the engine: the answer, then what the peer sent before;
 * what stood behind the request goes to the peer. */
static void splice__from_inside_the_handler(void **state)
{
    for (size_t cut = 0; cut <= 8; cut++) {
        struct pair pair;
        struct stage *stage = &pair.stage;
        (void)state;
        pair_join(&pair, NULL);
        stage->input = bind_inside;
        stage->test = &pair;
        stream_pause(pair.sb);
        peer_text(pair.b, "early");
        stage_settle(stage);
        peer_send(pair.a, "BINDdata", cut);
        stage_settle(stage);
        peer_send(pair.a, &"BINDdata"[cut], 8 - cut);
        STAGE_UNTIL(stage, peer_pump(pair.b) == 4 && peer_pump(pair.a) == 10);
        stage_bytes_are(&pair.b->got, "data");
        stage_bytes_are(&pair.a->got, "BOUNDearly");
        stage->inputs = 0;
        pair_close(&pair);
    }
}

/* --- pace ---------------------------------------------------------------------------------------
 */

static const struct stream *slow;

/* `slow` waits 1000 ms whenever something has come from it. */
static uint32_t pace(void *arg, struct stream *s, struct stream *twin, size_t bytes)
{
    (void)arg;
    assert_ptr_not_equal(s, twin);
    return s == slow && bytes > 0 ? 1000 : 0;
}

static void splice__reads_no_faster_than_it_may(void **state)
{
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_join(&pair, NULL);
    stage->handler.pace = pace;
    slow = pair.sa;
    stream_splice(pair.sa, pair.sb, IDLE_MS);
    peer_text(pair.a, "one");
    STAGE_UNTIL(stage, peer_pump(pair.b) == 3);
    peer_text(pair.a, "two");
    peer_fin(pair.a); /* its end waits, too */
    stage_pass(stage, 999);
    stage_settle(stage);
    assert_int_equal(peer_pump(pair.b), 3);
    peer_text(pair.b, "free"); /* the other way is another matter */
    stage_settle(stage);
    stage_pass(stage, 1);
    STAGE_UNTIL(stage, peer_pump(pair.b) == 6);
    assert_false(pair.b->eof);
    stage_pass(stage, 1000);
    STAGE_UNTIL(stage, (peer_pump(pair.b), pair.b->eof));
    stage_bytes_are(&pair.b->got, "onetwo");
    pair_close(&pair);
}

/* --- ends ---------------------------------------------------------------------------------------
 */

/* Proves K18 and T-6062-5.5-03: FIN follows the data to the other side; its answer still comes. */
static void splice__half_closes_both_ways(void **state)
{
    static uint8_t question[1 << 20];
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pattern_fill(question, 0, sizeof(question));
    for (int way = 0; way < 2; way++) {
        pair_open(&pair, NULL);
        struct peer *from = way == 0 ? pair.a : pair.b;
        struct peer *to = way == 0 ? pair.b : pair.a;
        to->deaf = true;
        peer_send(from, question, sizeof(question));
        STAGE_UNTIL(stage, (peer_drip(from, SIZE_MAX), from->unsent.len == 0));
        peer_fin(from);
        stage_settle(stage);
        to->deaf = false;
        STAGE_UNTIL(stage, (peer_pump(to), to->eof));
        check_same(&to->got, question, sizeof(question));
        assert_int_equal(stage->closed, 0);
        peer_text(to, "answer");
        STAGE_UNTIL(stage, peer_pump(from) == 6);
        assert_false(from->eof);
        peer_fin(to);
        STAGE_UNTIL(stage, (peer_pump(from), from->eof));
        check_both_closed(&pair, STREAM_CLOSE_EOF);
        pair_close(&pair);
    }
}

/* Proves K18 and T-6062-5.5-02: RST becomes RST. */
static void splice__passes_a_reset_on(void **state)
{
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    for (int way = 0; way < 2; way++) {
        pair_open(&pair, NULL);
        struct peer *other = way == 0 ? pair.b : pair.a;
        peer_reset(way == 0 ? pair.a : pair.b);
        STAGE_UNTIL(stage, (peer_pump(other), other->reset));
        STAGE_UNTIL(stage, stage->closed == 2);
        assert_int_equal(stage->why, STREAM_CLOSE_RESET);
        assert_int_equal(STAGE_COUNT(stage, established), 0);
        pair_close(&pair);
    }
}

static void splice__passes_a_reset_on_while_stalled(void **state)
{
    static uint8_t flood[4 << 20];
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_open(&pair, &(struct stage_options){.sndbuf = 4096});
    peer_send(pair.a, flood, sizeof(flood));
    STAGE_UNTIL(stage, stream_queued_bytes(pair.sb) >= 256 * 1024);
    peer_reset(pair.b);
    STAGE_UNTIL(stage, (pair.a->unsent.len = 0, peer_pump(pair.a), pair.a->reset));
    STAGE_UNTIL(stage, stage->closed == 2);
    assert_int_equal(stage->why, STREAM_CLOSE_RESET);
    assert_int_equal(STAGE_COUNT(stage, blocked), 0);
    stage_settle(stage);
    assert_int_equal(STAGE_COUNT(stage, queued_bytes), 0);
    pair_close(&pair);
}

/* One side that is read no more, as the other stalls, may be reset all the same. */
static void splice__sees_a_reset_behind_held_data(void **state)
{
    static uint8_t flood[4 << 20];
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_open(&pair, &(struct stage_options){.sndbuf = 4096});
    peer_send(pair.a, flood, sizeof(flood));
    STAGE_UNTIL(stage, stream_queued_bytes(pair.sb) >= 256 * 1024);
    peer_reset(pair.a);
    STAGE_UNTIL(stage, stage->closed == 2);
    assert_int_equal(stage->why, STREAM_CLOSE_RESET);
    STAGE_UNTIL(stage, (peer_pump(pair.b), pair.b->reset));
    pair_close(&pair);
}

/* A byte either way keeps both alive; then both end. */
static void splice__ends_when_idle(void **state)
{
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_open(&pair, NULL);
    for (size_t i = 1; i <= 4; i++) {
        stage_pass(stage, IDLE_MS - 1000);
        struct peer *from = i % 2 == 0 ? pair.a : pair.b;
        struct peer *to = i % 2 == 0 ? pair.b : pair.a;
        peer_text(from, "x");
        STAGE_UNTIL(stage, peer_pump(to) == (i + 1) / 2);
    }
    stage_pass(stage, IDLE_MS - 1);
    assert_int_equal(stage->closed, 0);
    stage_pass(stage, 1);
    STAGE_UNTIL(stage, stage->closed == 2);
    assert_int_equal(stage->why, STREAM_CLOSE_IDLE);
    assert_int_equal(stage->idle, 0); /* nobody is asked */
    STAGE_UNTIL(stage, (peer_pump(pair.a), pair.a->eof || pair.a->reset));
    STAGE_UNTIL(stage, (peer_pump(pair.b), pair.b->eof || pair.b->reset));
    pair_close(&pair);
}

/* A receiver that stalls is its sender's affair, whatever the send timeout; idleness is not. */
static void splice__has_no_send_timeout(void **state)
{
    static uint8_t flood[4 << 20];
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_open(&pair, &(struct stage_options){.sndbuf = 4096});
    peer_send(pair.a, flood, sizeof(flood));
    STAGE_UNTIL(stage, stream_queued_bytes(pair.sb) >= 256 * 1024);
    stage_settle(stage);
    stage_pass(stage, IDLE_MS - 1);
    assert_int_equal(stage->closed, 0);
    stage_pass(stage, 1);
    STAGE_UNTIL(stage, stage->closed == 2);
    assert_int_equal(stage->why, STREAM_CLOSE_IDLE);
    assert_int_equal(STAGE_COUNT(stage, send_timeout), 0);
    pair_close(&pair);
}

/* One half closed by its owner: the other ends, too, and is told. */
static void splice__ends_with_either_half(void **state)
{
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    for (int abort = 0; abort < 2; abort++) {
        pair_open(&pair, NULL);
        stream_close(pair.sa, abort != 0);
        STAGE_UNTIL(stage, stage->closed == 1);
        assert_ptr_equal(stage->closed_seen[0], pair.sb);
        STAGE_UNTIL(stage, (peer_pump(pair.b), abort != 0 ? pair.b->reset : pair.b->eof));
        STAGE_UNTIL(stage, (peer_pump(pair.a), abort != 0 ? pair.a->reset : pair.a->eof));
        stage_settle(stage);
        assert_int_equal(stage->closed, 1);
        assert_int_equal(STAGE_COUNT(stage, established), 0);
        pair_close(&pair);
    }
}

/* One that has ended in the same turn, and is not gone yet, takes the other with it. */
static void splice__with_one_that_has_ended_ends_the_other(void **state)
{
    struct pair pair;
    struct stage *stage = &pair.stage;

    (void)state;
    pair_join(&pair, NULL);
    stream_close(pair.sa, false);
    stream_splice(pair.sa, pair.sb, IDLE_MS);
    STAGE_UNTIL(stage, stage->closed == 1);
    assert_ptr_equal(stage->closed_seen[0], pair.sb);
    assert_int_equal(stage->why, STREAM_CLOSE_RESET);
    assert_int_equal(STAGE_COUNT(stage, established), 0);
    pair_close(&pair);
}

/* Both closed by their owner: nobody is told. */
static void splice__ends_with_both_halves(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, NULL);
    stream_close(pair.sa, false);
    stream_close(pair.sb, false);
    stage_settle(&pair.stage);
    assert_int_equal(pair.stage.closed, 0);
    assert_int_equal(STAGE_COUNT(&pair.stage, established), 0);
    pair_close(&pair);
}

/* The first byte is not waited for, nor the rest of a message. */
static void splice__knows_no_messages(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, NULL);
    stage_pass(&pair.stage, 60000);
    peer_text(pair.a, "x");
    STAGE_UNTIL(&pair.stage, peer_pump(pair.b) == 1);
    stage_pass(&pair.stage, 60000);
    assert_int_equal(pair.stage.closed, 0);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splice__loses_nothing_while_either_side_stalls),
        cmocka_unit_test(splice__stops_reading_at_the_high_mark),
        cmocka_unit_test(splice__interprets_nothing),
        cmocka_unit_test(splice__begins_with_what_was_held_back),
        cmocka_unit_test(splice__from_inside_the_handler),
        cmocka_unit_test(splice__reads_no_faster_than_it_may),
        cmocka_unit_test(splice__half_closes_both_ways),
        cmocka_unit_test(splice__passes_a_reset_on),
        cmocka_unit_test(splice__passes_a_reset_on_while_stalled),
        cmocka_unit_test(splice__sees_a_reset_behind_held_data),
        cmocka_unit_test(splice__ends_when_idle),
        cmocka_unit_test(splice__has_no_send_timeout),
        cmocka_unit_test(splice__ends_with_either_half),
        cmocka_unit_test(splice__ends_with_both_halves),
        cmocka_unit_test(splice__with_one_that_has_ended_ends_the_other),
        cmocka_unit_test(splice__knows_no_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
