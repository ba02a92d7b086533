/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers can do with datagrams: nothing that is kept, nothing that hurts. */
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "io/dtls.h"
#include "io/dtls_cookie.h"
#include "lib/dtls_stage.h"
#include "seeded.h"

enum { RECORD_HEAD = 13, MESSAGE_HEAD = 12, RANDOM_AT = RECORD_HEAD + MESSAGE_HEAD + 2 };

/* The session id is empty: its length, then the cookie's. */
enum { COOKIE_LEN_AT = RANDOM_AT + 32 + 1, COOKIE_AT = COOKIE_LEN_AT + 1 };

static struct dtls_stage stage;

#define COUNT(name) stats_read(&dtls_counters(stage.dtls)->name)

static int stage_up(void **state)
{
    (void)state;
    dtls_stage_open(&stage, NULL, NULL);
    return 0;
}

static int stage_down(void **state)
{
    (void)state;
    dtls_stage_close(&stage);
    return 0;
}

static void input(const struct dtls_peer *from, const struct dtls_datagram *d)
{
    dtls_stage_input(&stage, &from->addr, d->data, d->len);
}

static void input_addr(const char *from, const void *data, uint32_t len)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(from, 0, &addr), 0);
    dtls_stage_input(&stage, &addr, data, len);
}

static void assert_nothing_kept(void)
{
    assert_int_equal(COUNT(handshakes), 0);
    assert_int_equal(COUNT(established), 0);
    assert_int_equal(COUNT(refused), 0);
    assert_int_equal(dtls_next_deadline(stage.dtls), UINT64_MAX);
}

/* --- cookies ------------------------------------------------------------------------------------
 */

/* Proves T-7350-4.6-02 and T-7350-4.1-01. */
static void hello__without_a_cookie_gets_one_and_nothing_is_kept(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_next(peer);

    for (uint32_t i = 1; i <= 10; i++) {
        input(peer, hello);
        assert_int_equal(stage.sent, i);
        assert_true(stage.sent_last <= hello->len);
    }
    assert_int_equal(COUNT(cookies_sent), 10);
    assert_nothing_kept();
    assert_int_equal(peer->in.first->data[RECORD_HEAD], 3); /* HelloVerifyRequest */
    free(hello);
}

static void hello__with_a_corrupt_cookie_is_one_without(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);
    const uint32_t before = stage.sent;

    for (uint32_t i = 0; i < DTLS_COOKIE_BYTES; i++) {
        hello->data[COOKIE_AT + i] ^= 0x10;
        input(peer, hello);
        assert_int_equal(stage.sent, before + i + 1);
        assert_true(stage.sent_last <= hello->len);
        hello->data[COOKIE_AT + i] ^= 0x10;
    }
    assert_nothing_kept();
    input(peer, hello); /* and untouched it is right */
    assert_int_equal(COUNT(handshakes), 1);
    free(hello);
}

static void cookie__is_worth_nothing_at_another_address(void **state)
{
    (void)state;
    static const char *const others[] = {"192.0.2.1:4001", "192.0.2.2:4000", "[2001:db8::1]:4000"};
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        input_addr(others[i], hello->data, hello->len);
        assert_true(stage.sent_last <= hello->len);
    }
    assert_nothing_kept();
    stage.local.port++; /* nor at another of our own */
    input(peer, hello);
    stage.local.port--;
    assert_nothing_kept();
    free(hello);
}

static void cookie__is_good_for_a_minute_or_two(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");

    stage.now_ms = UINT64_C(100) * DTLS_COOKIE_PERIOD_MS + DTLS_COOKIE_PERIOD_MS - 1;
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);
    stage.now_ms += DTLS_COOKIE_PERIOD_MS + 1;
    input(peer, hello); /* two periods on */
    assert_nothing_kept();
    stage.now_ms -= 1;
    input(peer, hello); /* one period on */
    assert_int_equal(COUNT(handshakes), 1);
    free(hello);
}

static void cookie__is_good_at_any_worker(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);
    const struct net_addr local = stage.local;

    assert_nothing_kept();
    dtls_free(stage.dtls); /* another in its place, at the same port */
    dtls_stage_restart(&stage);
    stage.local = local;
    input(peer, hello);
    assert_int_equal(COUNT(handshakes), 1);
    free(hello);
}

/* --- garbage ------------------------------------------------------------------------------------
 */

/* The lengths of record, message and fragment made to fit a hello cut off at `n`. */
static void mend_lengths(uint8_t *hello, uint32_t n)
{
    const uint32_t record = n - RECORD_HEAD;

    hello[11] = (uint8_t)(record >> 8);
    hello[12] = (uint8_t)record;
    if (record >= MESSAGE_HEAD) {
        const uint32_t message = record - MESSAGE_HEAD;
        hello[14] = hello[22] = 0;
        hello[15] = hello[23] = (uint8_t)(message >> 8);
        hello[16] = hello[24] = (uint8_t)message;
    }
}

static void hello__that_is_cut_off_leaves_nothing(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hellos[2] = {dtls_peer_next(peer), NULL};

    input(peer, hellos[0]);
    hellos[1] = dtls_peer_next(peer);
    const uint64_t asked = COUNT(cookies_sent);
    for (size_t k = 0; k < 2; k++) {
        for (uint32_t n = 0; n < hellos[k]->len; n++) {
            dtls_stage_input(&stage, &peer->addr, hellos[k]->data, n);
        }
    }
    assert_nothing_kept();
    assert_int_equal(COUNT(cookies_sent), asked);
    for (uint32_t n = RECORD_HEAD; n < hellos[0]->len; n++) {
        uint8_t copy[512];
        memcpy(copy, hellos[0]->data, n);
        mend_lengths(copy, n);
        const uint64_t sent = stage.sent_bytes;
        dtls_stage_input(&stage, &peer->addr, copy, n);
        assert_true(stage.sent_bytes - sent <= n);
    }
    assert_nothing_kept();
    /* With its cookie in place, what is cut off begins a handshake that ends at once. */
    for (uint32_t n = COOKIE_AT + DTLS_COOKIE_BYTES; n < hellos[1]->len; n++) {
        uint8_t copy[512];
        memcpy(copy, hellos[1]->data, n);
        copy[RANDOM_AT] = (uint8_t)n; /* each a new one */
        mend_lengths(copy, n);
        dtls_stage_input(&stage, &peer->addr, copy, n);
    }
    assert_int_equal(COUNT(established), 0);
    dtls_stage_pass(&stage, 11 * 1000, false);
    assert_int_equal(dtls_next_deadline(stage.dtls), UINT64_MAX);
    assert_int_equal(COUNT(failed), COUNT(handshakes));
    free(hellos[0]);
    free(hellos[1]);
}

static void garbage__is_counted_and_forgotten(void **state)
{
    (void)state;
    struct seeded dice = {42};
    uint8_t bytes[200];

    for (int i = 0; i < 5000; i++) {
        const uint32_t n = seeded_below(&dice, sizeof(bytes)) + 1;
        seeded_fill(&dice, bytes, n);
        if (i % 2 == 0 && n > RECORD_HEAD) { /* records, at least */
            bytes[0] = (uint8_t)(20 + i % 5);
            bytes[1] = 0xfe;
            bytes[2] = 0xfd;
            bytes[3] = bytes[4] = 0;
            bytes[11] = 0;
            bytes[12] = (uint8_t)(n - RECORD_HEAD);
            bytes[13] = 1;
        }
        input_addr("192.0.2.1:4000", bytes, n);
    }
    assert_nothing_kept();
    assert_int_equal(stage.sent, 0);
    assert_int_equal(COUNT(bad_records), 5000);
}

static void hello__sent_ten_thousand_times_costs_nothing(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_next(peer);
    struct net_addr from = peer->addr;

    input(peer, hello); /* what is made but once */
    const size_t before = mallinfo2().uordblks;
    for (uint32_t i = 0; i < 10000; i++) {
        from.ip.b[15] = (uint8_t)i;
        from.port = (uint16_t)(1024 + i);
        dtls_stage_input(&stage, &from, hello->data, hello->len);
    }
    dtls_line_clear(&peer->in);
    assert_true(mallinfo2().uordblks <= before + 1024);
    assert_int_equal(COUNT(cookies_sent), 10001);
    assert_true(stage.sent_bytes <= 10001 * (uint64_t)hello->len);
    assert_nothing_kept();
    free(hello);
}

static void hello__is_looked_at_once_a_datagram(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_next(peer);
    uint8_t twice[1024];

    memcpy(twice, hello->data, hello->len);
    memcpy(twice + hello->len, hello->data, hello->len);
    input_addr("192.0.2.1:4000", twice, 2 * hello->len);
    assert_int_equal(stage.sent, 1);
    free(hello);
}

static void hello__without_a_context_is_dropped(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_next(peer);

    dtls_set_context(stage.dtls, NULL);
    input(peer, hello);
    assert_int_equal(stage.sent, 0);
    dtls_set_context(stage.dtls, stage.server);
    input(peer, hello);
    assert_int_equal(stage.sent, 1);
    free(hello);
}

/* --- records ------------------------------------------------------------------------------------
 */

static struct dtls_datagram *record_of(struct dtls_peer *peer, const char *text)
{
    assert_true(dtls_peer_write(peer, text, (uint32_t)strlen(text)));
    return dtls_line_take(&peer->out);
}

static void record__that_is_damaged_is_dropped_alone(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_datagram *d = record_of(peer, "whole");
    uint64_t bad = 0;

    for (uint32_t n = 1; n < d->len; n++) { /* every truncation */
        dtls_stage_input(&stage, &peer->addr, d->data, n);
        assert_int_equal(COUNT(bad_records), ++bad);
    }
    for (uint32_t i = 0; i < d->len; i++) { /* every byte; the low version byte is not looked at
                                               unless it is another version's */
        d->data[i] ^= 0x81;
        input(peer, d);
        assert_int_equal(COUNT(bad_records), ++bad);
        d->data[i] ^= 0x81;
    }
    assert_int_equal(stage.messages, 0);
    input(peer, d);
    assert_int_equal(stage.messages, 1);
    input(peer, d); /* replayed */
    assert_int_equal(stage.messages, 1);
    assert_int_equal(COUNT(bad_records), ++bad);
    assert_int_equal(COUNT(established), 1);
    free(d);
}

static void record__after_a_damaged_one_is_still_read(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_datagram *bad = record_of(peer, "bad");
    struct dtls_datagram *good = record_of(peer, "good");
    uint8_t both[256];

    bad->data[bad->len - 1] ^= 1;
    memcpy(both, bad->data, bad->len);
    memcpy(both + bad->len, good->data, good->len);
    dtls_stage_input(&stage, &peer->addr, both, bad->len + good->len);
    assert_int_equal(stage.messages, 1);
    assert_string_equal(stage.log[0].text, "good");
    free(bad);
    free(good);
}

static void record__in_the_clear_does_not_touch_an_association(void **state)
{
    (void)state;
    static const uint8_t close_notify[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 9, 9, 0, 2, 1, 0};
    static const uint8_t fatal[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 9, 8, 0, 2, 2, 40};
    static const uint8_t data[] = {23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 9, 7, 0, 2, 'h', 'i'};
    static const uint8_t ccs[] = {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 9, 6, 0, 1, 1};
    static const uint8_t epoch2[] = {23, 0xfe, 0xfd, 0, 2, 0, 0, 0, 0, 0, 1, 0, 2, 'h', 'i'};
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");

    dtls_stage_input(&stage, &peer->addr, close_notify, sizeof(close_notify));
    dtls_stage_input(&stage, &peer->addr, fatal, sizeof(fatal));
    dtls_stage_input(&stage, &peer->addr, data, sizeof(data));
    dtls_stage_input(&stage, &peer->addr, ccs, sizeof(ccs));
    dtls_stage_input(&stage, &peer->addr, epoch2, sizeof(epoch2));
    assert_int_equal(COUNT(bad_records), 5);
    assert_int_equal(COUNT(established), 1);
    assert_int_equal(stage.messages, 0);
    assert_true(dtls_peer_write(peer, "alive", 5));
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_count, 1);
}

/* What comes early would be kept by OpenSSL, a whole buffer each time. */
static void record__that_is_early_is_not_kept(void **state)
{
    (void)state;
    uint8_t early[] = {22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4};
    uint8_t large[RECORD_HEAD + MESSAGE_HEAD + 1] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1};
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    input(peer, hello);
    assert_int_equal(COUNT(handshakes), 1);
    const size_t before = mallinfo2().uordblks;
    for (uint8_t i = 0; i < 100; i++) {
        early[10] = i;
        dtls_stage_input(&stage, &peer->addr, early, sizeof(early));
    }
    large[12] = MESSAGE_HEAD + 1;
    large[13] = 16; /* ClientKeyExchange */
    large[14] = 1;  /* of 65,536 bytes */
    large[24] = 1;  /* and this is one of them */
    for (uint8_t i = 2; i < 8; i++) {
        large[10] = i;
        large[18] = i;
        dtls_stage_input(&stage, &peer->addr, large, sizeof(large));
    }
    assert_true(mallinfo2().uordblks <= before + 4096);
    assert_int_equal(COUNT(bad_records), 106);
    dtls_stage_run(&stage);
    assert_true(peer->connected);
    free(hello);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(hello__without_a_cookie_gets_one_and_nothing_is_kept),
        STAGED(hello__with_a_corrupt_cookie_is_one_without),
        STAGED(cookie__is_worth_nothing_at_another_address),
        STAGED(cookie__is_good_for_a_minute_or_two),
        STAGED(cookie__is_good_at_any_worker),
        STAGED(hello__that_is_cut_off_leaves_nothing),
        STAGED(garbage__is_counted_and_forgotten),
        STAGED(hello__sent_ten_thousand_times_costs_nothing),
        STAGED(hello__is_looked_at_once_a_datagram),
        STAGED(hello__without_a_context_is_dropped),
        STAGED(record__that_is_damaged_is_dropped_alone),
        STAGED(record__after_a_damaged_one_is_still_read),
        STAGED(record__in_the_clear_does_not_touch_an_association),
        STAGED(record__that_is_early_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
