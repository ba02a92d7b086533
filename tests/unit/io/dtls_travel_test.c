/* SPDX-License-Identifier: Apache-2.0 */
/* Associations that go from one engine to another go on there. */
#include "dtls_travel.h"

#include <string.h>

#include "base/pkt.h"

/* --- what goes on -------------------------------------------------------------------------------
 */

static void association__goes_on_elsewhere(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *other = dtls_peer_connected(&here, "192.0.2.1:4001");
    const uint32_t sent = here.sent;

    assert_ptr_equal(dtls_port(client), &here);
    client = travel(client);
    assert_non_null(client);
    assert_ptr_equal(dtls_port(client), &there);
    assert_true(net_addr_equal(dtls_remote(client), &peer->addr));
    assert_true(net_addr_equal(dtls_local(client), &there.local));
    assert_int_equal(COUNT(here, established), 1);
    assert_int_equal(COUNT(there, established), 1);
    assert_int_equal(COUNT(there, handshakes), 0);
    assert_int_equal(COUNT(here, failed), 0);
    assert_int_equal(here.sent, sent); /* its client is not told */
    assert_int_equal(there.sent, 0);

    steer(peer, &there);
    assert_talks(&there, peer);
    assert_ptr_equal(there.client_last, client);
    assert_true(dtls_stage_send(&there, client, "unasked", 7));
    dtls_peer_step(peer);
    assert_memory_equal(peer->got, "unasked", 7);
    assert_talks(&here, other);
    assert_nothing_closed(&here);

    dtls_peer_shutdown(peer);
    dtls_stage_run(&there);
    assert_int_equal(there.closed[DTLS_CLOSE_NOTIFY], 1);
    assert_int_equal(COUNT(there, established), 0);
}

/* What was on its way in either direction arrives, in order. */
static void records__in_flight_arrive(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "two", "three", "four"};
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
    const uint32_t got = peer->got_count;

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_true(dtls_peer_write(peer, texts[i], (uint32_t)strlen(texts[i])));
        assert_true(dtls_stage_send(&here, client, texts[i], (uint32_t)strlen(texts[i])));
    }
    assert_non_null(travel(client));
    steer(peer, &there);
    dtls_stage_run(&there);
    assert_int_equal(there.messages, COUNT_OF(texts));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_string_equal(there.log[i].text, texts[i]);
    }
    assert_int_equal(peer->got_count, got + 2 * COUNT_OF(texts)); /* the echoes, too */
    assert_int_equal(COUNT(there, bad_records), 0);
}

/* A datagram that has come twice, here and there, is one message. */
static void records__are_not_taken_twice(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    assert_true(dtls_peer_write(peer, "once", 4));
    struct dtls_datagram *d = dtls_line_take(&peer->out);
    dtls_stage_input(&here, &peer->addr, d->data, d->len);
    assert_non_null(travel(client));
    dtls_stage_input(&there, &peer->addr, d->data, d->len);
    assert_int_equal(there.messages, 0);
    assert_int_equal(COUNT(there, bad_records), 1);
    free(d);
}

static void association__may_come_back(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    for (int i = 0; i < 3; i++) {
        client = travel(client);
        assert_non_null(client);
        steer(peer, &there);
        assert_talks(&there, peer);
        struct dtls_parcel *parcel = dtls_detach(there.dtls, client);
        assert_non_null(parcel);
        client = dtls_attach(here.dtls, parcel, &here, here.now_ms);
        assert_non_null(client);
        steer(peer, &here);
        assert_talks(&here, peer);
    }
    assert_int_equal(COUNT(here, established), 1);
    assert_int_equal(COUNT(there, established), 0);
    assert_int_equal(dtls_next_deadline(there.dtls), UINT64_MAX);
}

/* The hook that was called with a message may send its association away. */
static void message__may_send_it_away(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    here.detach_on_message = true;
    assert_true(dtls_peer_write(peer, "allocate", 8));
    dtls_stage_run(&here);
    assert_non_null(here.detached);
    assert_int_equal(COUNT(here, established), 0);
    client = dtls_attach(there.dtls, here.detached, &there, there.now_ms);
    assert_non_null(client);
    steer(peer, &there);
    assert_talks(&there, peer);
    assert_nothing_closed(&here);
}

/* --- times --------------------------------------------------------------------------------------
 */

static void idle_time__goes_along(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    dtls_set_idle(here.dtls, client, 60 * 1000, here.now_ms);
    both_pass(40 * 1000);
    assert_non_null(travel(client));
    assert_int_equal(dtls_next_deadline(here.dtls), UINT64_MAX);
    steer(peer, &there);
    both_pass(19 * 1000);
    assert_int_equal(COUNT(there, established), 1);
    both_pass(2 * 1000);
    assert_int_equal(there.closed[DTLS_CLOSE_IDLE], 1);
    assert_int_equal(COUNT(there, established), 0);
    dtls_peer_step(peer);
    assert_true(peer->closed);
}

/* OpenSSL's buffers were given back before, or are given back after. */
static void association__may_be_parked(void **state)
{
    (void)state;
    struct dtls_client *early = NULL;
    struct dtls_client *late = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &early);

    both_pass(15 * 1000);
    struct dtls_peer *other = known_peer("192.0.2.1:4001", &late);
    early = travel(early);
    late = travel(late);
    assert_true(early != NULL && late != NULL);
    steer(peer, &there);
    steer(other, &there);
    assert_true(dtls_stage_send(&there, early, "awake", 5));
    dtls_stage_run(&there);
    assert_memory_equal(peer->got, "awake", 5);
    both_pass(12 * 1000);
    assert_talks(&there, peer);
    assert_talks(&there, other);
}

/* --- half-open ones -----------------------------------------------------------------------------
 */

static void handshake__is_finished_elsewhere(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&here, "192.0.2.1:4000");

    assert_non_null(travel(begin(peer)));
    assert_int_equal(COUNT(there, established), 0);
    steer(peer, &there);
    dtls_stage_run(&there);
    assert_true(peer->connected);
    assert_int_equal(COUNT(there, established), 1);
    assert_int_equal(COUNT(there, completed), 1);
    assert_int_equal(COUNT(here, handshakes), 1);
    assert_int_equal(COUNT(here, failed), 0);
    assert_talks(&there, peer);
}

/* Its flight was lost: it is sent again from there, and the deadline stays what it was. */
static void handshake__keeps_its_times(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&here, "192.0.2.1:4000");
    struct dtls_peer *mute = dtls_peer_open(&here, "192.0.2.1:4001");
    struct dtls_client *client = begin(peer);

    both_pass(300);
    assert_non_null(travel(client));
    assert_non_null(travel(begin(mute)));
    steer(peer, &there);
    dtls_line_clear(&peer->in);
    both_pass(800);
    assert_true(peer->in.count > 0); /* RFC 6347 section 4.2.4.1 */
    dtls_stage_run(&there);
    assert_true(peer->connected);
    both_pass(9100);
    assert_int_equal(there.closed[DTLS_CLOSE_HANDSHAKE], 0);
    both_pass(200);
    assert_int_equal(there.closed[DTLS_CLOSE_HANDSHAKE], 1);
}

static void cookie__of_another_engine_is_taken(void **state)
{
    (void)state;
    struct dtls_peer *peer = dtls_peer_open(&here, "192.0.2.1:4000");
    struct dtls_datagram *hello = dtls_peer_second_hello(peer);

    steer(peer, &there);
    dtls_stage_input(&there, &peer->addr, hello->data, hello->len);
    free(hello);
    dtls_stage_run(&there);
    assert_true(peer->connected);
    assert_int_equal(COUNT(there, cookies_sent), 0);
}

/* --- sockets ------------------------------------------------------------------------------------
 */

/* Several sockets have one address: the answer takes the one by which the client was heard last. */
static void association__is_answered_where_it_was_heard_last(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
    uint8_t buf[PKT_HEADROOM + 512];
    int other_socket;
    struct pkt pkt = {
        .data = buf + PKT_HEADROOM,
        .cap = 512,
        .buf = buf,
        .remote = peer->addr,
        .local = here.local,
        .port = &other_socket,
    };

    here.echo = false;
    assert_true(dtls_peer_write(peer, "elsewhere", 9));
    struct dtls_datagram *d = dtls_line_take(&peer->out);
    memcpy(pkt.data, d->data, d->len);
    pkt.len = d->len;
    free(d);
    dtls_input(here.dtls, &pkt, here.now_ms);
    assert_int_equal(here.messages, 2);
    assert_ptr_equal(here.client_last, client);
    assert_ptr_equal(dtls_port(client), &other_socket);
    pkt.data = buf + PKT_HEADROOM;
    pkt.len = 10;
    assert_true(dtls_output(here.dtls, client, &pkt, here.now_ms));
    assert_ptr_equal(pkt.port, &other_socket);
    dtls_stage_input(&here, &peer->addr, pkt.data, pkt.len); /* and back: a bad record */
    assert_ptr_equal(dtls_port(client), &here);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stages_up, stages_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(association__goes_on_elsewhere),
        STAGED(records__in_flight_arrive),
        STAGED(records__are_not_taken_twice),
        STAGED(association__may_come_back),
        STAGED(message__may_send_it_away),
        STAGED(idle_time__goes_along),
        STAGED(association__may_be_parked),
        STAGED(handshake__is_finished_elsewhere),
        STAGED(handshake__keeps_its_times),
        STAGED(cookie__of_another_engine_is_taken),
        STAGED(association__is_answered_where_it_was_heard_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
