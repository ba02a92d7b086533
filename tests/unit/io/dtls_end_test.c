/* SPDX-License-Identifier: Apache-2.0 */
/* How associations end, and how one takes the place of another. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "io/dtls.h"
#include "lib/dtls_stage.h"

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

static struct dtls_datagram *record_of(struct dtls_peer *peer, const char *text)
{
    assert_true(dtls_peer_write(peer, text, (uint32_t)strlen(text)));
    return dtls_line_take(&peer->out);
}

/* --- ends ---------------------------------------------------------------------------------------
 */

/* Proves T-7350-3-03. */
static void association__ends_when_the_client_says_so(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");

    dtls_peer_shutdown(peer);
    dtls_stage_run(&stage);
    assert_int_equal(stage.closed[DTLS_CLOSE_NOTIFY], 1);
    assert_int_equal(COUNT(established), 0);
    assert_true(peer->closed); /* answered */
    assert_int_equal(dtls_next_deadline(stage.dtls), UINT64_MAX);
    dtls_peer_restart(peer);
    dtls_stage_run(&stage);
    assert_true(peer->connected);
}

static void association__ends_when_we_say_so(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_peer *other = dtls_peer_connected(&stage, "192.0.2.1:4001");

    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    dtls_close(stage.dtls, stage.client_last);
    dtls_stage_run(&stage);
    assert_true(peer->closed);
    assert_int_equal(stage.closed[DTLS_CLOSE_LOCAL], 0); /* who closes knows it */
    assert_int_equal(COUNT(established), 1);
    dtls_free(stage.dtls);
    stage.dtls = NULL;
    dtls_peer_step(other);
    assert_true(other->closed);
    assert_int_equal(stage.closed[DTLS_CLOSE_LOCAL], 1);
}

static void association__ends_after_silence(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_peer *mute = dtls_peer_connected(&stage, "192.0.2.1:4001");

    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    dtls_set_idle(stage.dtls, stage.client_last, 60 * 1000, stage.now_ms);
    dtls_stage_pass(&stage, 29 * 1000, false);
    assert_int_equal(COUNT(established), 2);
    dtls_stage_pass(&stage, 2 * 1000, false); /* a new one has 30 s */
    assert_int_equal(COUNT(established), 1);
    dtls_peer_step(mute);
    assert_true(mute->closed);
    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    dtls_stage_pass(&stage, 59 * 1000, false); /* counted from the last message */
    assert_int_equal(COUNT(established), 1);
    dtls_stage_pass(&stage, 2 * 1000, false);
    assert_int_equal(COUNT(established), 0);
    assert_int_equal(stage.closed[DTLS_CLOSE_IDLE], 2);
    dtls_peer_step(peer);
    assert_true(peer->closed);
}

static void association__without_an_idle_time_stays(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_connected(&stage, "192.0.2.1:4000");

    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    dtls_set_idle(stage.dtls, stage.client_last, 0, stage.now_ms);
    dtls_stage_pass(&stage, 3600 * 1000, false);
    assert_int_equal(COUNT(established), 1);
    assert_int_equal(dtls_next_deadline(stage.dtls), UINT64_MAX); /* no wake-up for nothing */
    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_count, 2);
}

static void handshake__that_takes_too_long_ends(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    input(peer, hello);
    const uint32_t flight = stage.sent;
    dtls_stage_pass(&stage, 9900, false);
    assert_int_equal(stage.closed[DTLS_CLOSE_HANDSHAKE], 0);
    assert_true(stage.sent > flight); /* sent again after 1, 3 and 7 s */
    dtls_stage_pass(&stage, 200, false);
    assert_int_equal(stage.closed[DTLS_CLOSE_HANDSHAKE], 1);
    assert_int_equal(COUNT(failed), 1);
    assert_int_equal(COUNT(established), 0);
    assert_int_equal(dtls_next_deadline(stage.dtls), UINT64_MAX);
    free(hello);
}

/* --- a second association from one address ------------------------------------------------------
 */

/* Proves T-7350-3-07. */
static void rival__replaces_the_first_when_it_is_complete(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_connected(&stage, "192.0.2.1:4000");

    assert_true(dtls_peer_write(old, "old", 3));
    dtls_stage_run(&stage);
    struct dtls_client *first = stage.client_last;
    struct dtls_peer *new = dtls_peer_open(&stage, "192.0.2.1:4000"); /* the same: both hear all */
    struct dtls_datagram *hello = dtls_peer_second_hello(new);
    input(new, hello);
    assert_int_equal(COUNT(handshakes), 2);
    assert_int_equal(COUNT(established), 1);

    struct dtls_datagram *d = record_of(old, "still here");
    input(old, d);
    assert_string_equal(stage.log[1].text, "still here");
    assert_ptr_equal(stage.client_last, first);
    assert_true(dtls_stage_send(&stage, first, "back", 4));
    free(d);

    dtls_stage_run(&stage);
    assert_true(new->connected);
    assert_int_equal(stage.closed[DTLS_CLOSE_REPLACED], 1);
    assert_ptr_equal(stage.closed_last, first);
    assert_int_equal(COUNT(established), 1);
    d = record_of(old, "too late");
    input(old, d);
    assert_int_equal(stage.messages, 2);
    assert_true(dtls_peer_write(new, "new", 3));
    dtls_stage_run(&stage);
    assert_string_equal(stage.log[2].text, "new");
    assert_int_equal(COUNT(established), 1);
    free(d);
    free(hello);
}

static void rival__that_never_finishes_changes_nothing(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_peer *new = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(new);

    input(new, hello);
    dtls_peer_free(new);
    dtls_stage_pass(&stage, 11 * 1000, false);
    assert_int_equal(stage.closed[DTLS_CLOSE_HANDSHAKE], 1);
    assert_int_equal(COUNT(established), 1);
    assert_true(dtls_peer_write(old, "old", 3));
    dtls_stage_run(&stage);
    assert_int_equal(stage.messages, 1);
    free(hello);
}

static void rival__stays_when_the_first_ends(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_peer *new = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(new);

    input(new, hello);
    dtls_peer_shutdown(old);
    struct dtls_datagram *bye = dtls_line_take(&old->out);
    input(old, bye);
    assert_int_equal(stage.closed[DTLS_CLOSE_NOTIFY], 1);
    dtls_peer_free(old);
    dtls_stage_run(&stage);
    assert_true(new->connected);
    assert_int_equal(COUNT(established), 1);
    free(hello);
    free(bye);
}

static void rival__needs_the_cookie(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_connected(&stage, "192.0.2.1:4000");
    struct dtls_peer *new = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_next(new);

    input(new, hello);
    assert_int_equal(COUNT(cookies_sent), 2);
    assert_int_equal(COUNT(handshakes), 1);
    dtls_peer_free(new);
    assert_true(dtls_peer_write(old, "old", 3));
    dtls_stage_run(&stage);
    assert_int_equal(old->got_count, 1);
    free(hello);
}

static void handshake__that_is_begun_anew_forgets_the_first(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&stage, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    input(peer, hello);
    input(peer, hello); /* repeated: the same handshake */
    assert_int_equal(COUNT(handshakes), 1);
    dtls_peer_restart(peer);
    dtls_stage_run(&stage);
    assert_true(peer->connected);
    assert_int_equal(COUNT(handshakes), 2);
    assert_int_equal(COUNT(established), 1);
    assert_int_equal(stage.closed[DTLS_CLOSE_REPLACED], 1);
    input(peer, hello); /* a late one of the first is a third handshake, and does no harm */
    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&stage);
    assert_int_equal(peer->got_count, 1);
    free(hello);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stage_up, stage_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(association__ends_when_the_client_says_so),
        STAGED(association__ends_when_we_say_so),
        STAGED(association__ends_after_silence),
        STAGED(association__without_an_idle_time_stays),
        STAGED(handshake__that_takes_too_long_ends),
        STAGED(rival__replaces_the_first_when_it_is_complete),
        STAGED(rival__that_never_finishes_changes_nothing),
        STAGED(rival__stays_when_the_first_ends),
        STAGED(rival__needs_the_cookie),
        STAGED(handshake__that_is_begun_anew_forgets_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
