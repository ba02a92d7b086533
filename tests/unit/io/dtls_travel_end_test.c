/* SPDX-License-Identifier: Apache-2.0 */
/* Associations that come to another engine where there is no place for them, or another in it. */

#include "base/mem.h"
#include "dtls_travel.h"

/* --- two of one address -------------------------------------------------------------------------
 */

/* RFC 6347 section 4.2.8: a handshake beside an established association goes along. */
static void rival__goes_along(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *old = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_open(&here, "192.0.2.1:4000");

    walked = 0;
    assert_ptr_equal(begin(new), client);
    assert_int_equal(walked, 1); /* the rival is not met */
    client = travel(client);
    assert_non_null(client);
    assert_int_equal(dtls_next_deadline(here.dtls), UINT64_MAX);
    steer(old, &there);
    steer(new, &there);
    assert_true(dtls_stage_send(&there, client, "still", 5));
    dtls_stage_run(&there);
    assert_true(new->connected);
    assert_int_equal(there.closed[DTLS_CLOSE_REPLACED], 1);
    assert_ptr_equal(there.closed_last, client);
    assert_int_equal(COUNT(there, established), 1);
    dtls_peer_free(old); /* or it would listen in */
    assert_talks(&there, new);
}

/* The client has begun anew where the association comes to. */
static void traveller__meets_a_handshake(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *old = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_open(&there, "192.0.2.1:4000");

    (void)begin(new);
    client = travel(client);
    assert_non_null(client);
    steer(old, &there);
    assert_true(dtls_peer_write(old, "old", 3));
    struct dtls_datagram *d = dtls_line_take(&old->out);
    dtls_stage_input(&there, &old->addr, d->data, d->len);
    free(d);
    assert_ptr_equal(there.client_last, client);
    dtls_stage_run(&there);
    assert_true(new->connected);
    assert_int_equal(there.closed[DTLS_CLOSE_REPLACED], 1);
    assert_int_equal(COUNT(there, established), 1);
    dtls_peer_free(old);
    assert_talks(&there, new);
}

static void traveller__gives_way_to_an_association(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *old = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_connected(&there, "192.0.2.1:4000");
    const uint32_t sent = there.sent;

    assert_null(travel(client));
    assert_int_equal(there.sent, sent); /* the client could not read it any more */
    assert_nothing_closed(&there);
    assert_int_equal(COUNT(here, established), 0);
    assert_int_equal(COUNT(there, established), 1);
    dtls_peer_free(old);
    assert_talks(&there, new);
}

static void traveller__that_is_half_open_gives_way_to_a_handshake(void **state)
{
    (void)state;
    struct dtls_peer *old = dtls_peer_open(&here, "192.0.2.1:4000");
    struct dtls_peer *new = dtls_peer_open(&there, "192.0.2.1:4000");
    struct dtls_client *client = begin(old);

    (void)begin(new);
    assert_null(travel(client));
    dtls_peer_free(old);
    dtls_stage_run(&there);
    assert_true(new->connected);
    assert_talks(&there, new);
}

/* --- no room ------------------------------------------------------------------------------------
 */

static void traveller__without_room_ends(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();
    struct dtls_client *client = NULL;
    struct dtls_peer *first = dtls_peer_connected(&there, "192.0.2.2:4000");
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);

    limits.max_clients = 1;
    dtls_set_limits(there.dtls, &limits);
    both_pass(15 * 1000); /* parked, too */
    steer(peer, &there);
    assert_null(travel(client));
    dtls_peer_step(peer);
    assert_true(peer->closed);
    dtls_peer_shutdown(first); /* there was no hook: nobody knew it there */
    dtls_stage_run(&there);
    assert_int_equal(COUNT(here, established), 0);
    assert_int_equal(COUNT(there, established), 0);
    assert_int_equal(there.closed[DTLS_CLOSE_LOCAL], 0);
    assert_int_equal(dtls_next_deadline(there.dtls), UINT64_MAX);
}

/* Half-open ones count where they are, and for their sources. */
static void bounds__are_those_of_where_it_is(void **state)
{
    (void)state;
    struct dtls_limits limits = dtls_stage_limits();
    struct dtls_peer *peers[3];
    struct dtls_client *clients[3];

    limits.max_half_open = 2;
    limits.source_half_open = 1;
    dtls_set_limits(there.dtls, &limits);
    for (size_t i = 0; i < COUNT_OF(peers); i++) {
        peers[i] = dtls_peer_open(&here, i < 2 ? "192.0.2.1:4000" : "192.0.2.9:4000");
        peers[i]->addr.port = (uint16_t)(4000 + i);
        clients[i] = begin(peers[i]);
    }
    assert_non_null(travel(clients[0]));
    assert_null(travel(clients[1])); /* the source has its part */
    clients[2] = travel(clients[2]);
    assert_non_null(clients[2]);
    dtls_set_limits(here.dtls, &limits); /* here there is room again */
    (void)begin(dtls_peer_open(&here, "192.0.2.1:4007"));
    assert_int_equal(COUNT(here, refused), 0);
    dtls_close(there.dtls, clients[2]);
    struct dtls_peer *last = dtls_peer_open(&there, "192.0.2.9:4009");
    (void)begin(last);
    assert_int_equal(COUNT(there, refused), 0);
    steer(peers[0], &there);
    dtls_stage_run(&there);
    assert_true(peers[0]->connected && last->connected);
}

static void parcel__may_be_thrown_away(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_open(&here, "192.0.2.1:4000");

    (void)begin(new); /* with a rival */
    dtls_line_clear(&peer->in);
    dtls_parcel_free(dtls_detach(here.dtls, client));
    dtls_parcel_free(NULL);
    assert_int_equal(peer->in.count, 0);
    assert_nothing_closed(&here);
    assert_int_equal(COUNT(here, established), 0);
    dtls_peer_free(new);
    dtls_peer_restart(peer);
    dtls_stage_run(&here);
    assert_talks(&here, peer);
}

static bool has_fault_injection(void)
{
    mem_fail_at(0);
    const bool injected = mem_fails();

    mem_fail_at(-1);
    return injected;
}

static void detach__without_memory_changes_nothing(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_open(&here, "192.0.2.1:4000");

    if (!has_fault_injection()) {
        CHECK_SKIP("the build has no fault injection");
    }
    (void)begin(new);
    for (long n = 0; n < 2; n++) { /* its own, the rival's */
        mem_fail_at(n);
        assert_null(dtls_detach(here.dtls, client));
        mem_fail_at(-1);
        assert_int_equal(COUNT(here, established), 1);
        assert_true(dtls_stage_send(&here, client, "here", 4));
    }
    assert_true(dtls_peer_write(peer, "hello", 5));
    dtls_stage_run(&here);
    assert_true(new->connected);
    assert_int_equal(here.closed[DTLS_CLOSE_REPLACED], 1);
}

static void attach__without_memory_ends_that_one(void **state)
{
    (void)state;
    if (!has_fault_injection()) {
        CHECK_SKIP("the build has no fault injection");
    }
    bool attached = false;
    for (long n = 0; !attached; n++) {
        struct dtls_client *client = NULL;
        struct dtls_peer *peer = known_peer("192.0.2.1:4000", &client);
        struct dtls_parcel *parcel = dtls_detach(here.dtls, client);
        assert_non_null(parcel);
        dtls_free(there.dtls); /* a cold slab and a cold table */
        dtls_stage_restart(&there);
        steer(peer, &there);
        mem_fail_at(n);
        attached = dtls_attach(there.dtls, parcel, &there, there.now_ms) != NULL;
        mem_fail_at(-1);
        dtls_peer_step(peer);
        assert_int_equal(COUNT(there, established), attached ? 1 : 0);
        assert_int_equal(peer->closed, !attached);
        assert_true(attached || dtls_next_deadline(there.dtls) == UINT64_MAX);
        assert_true(attached || n < 10);
        dtls_peer_free(peer);
    }
}

static void attach__without_memory_leaves_the_handshake_there(void **state)
{
    (void)state;
    struct dtls_client *client = NULL;
    struct dtls_peer *old = known_peer("192.0.2.1:4000", &client);
    struct dtls_peer *new = dtls_peer_open(&there, "192.0.2.1:4000");

    if (!has_fault_injection()) {
        CHECK_SKIP("the build has no fault injection");
    }
    (void)begin(new);
    struct dtls_parcel *parcel = dtls_detach(here.dtls, client);
    assert_non_null(parcel);
    mem_fail_at(0);
    struct dtls_client *refused = dtls_attach(there.dtls, parcel, &there, there.now_ms);
    mem_fail_at(-1);
    dtls_peer_free(old);
    dtls_stage_run(&there);
    assert_true(new->connected);
    if (refused == NULL) { /* a warm slab asks nobody for memory */
        assert_int_equal(there.closed[DTLS_CLOSE_REPLACED], 0);
    }
    assert_talks(&there, new);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, stages_up, stages_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(rival__goes_along),
        STAGED(traveller__meets_a_handshake),
        STAGED(traveller__gives_way_to_an_association),
        STAGED(traveller__that_is_half_open_gives_way_to_a_handshake),
        STAGED(traveller__without_room_ends),
        STAGED(bounds__are_those_of_where_it_is),
        STAGED(parcel__may_be_thrown_away),
        STAGED(detach__without_memory_changes_nothing),
        STAGED(attach__without_memory_ends_that_one),
        STAGED(attach__without_memory_leaves_the_handshake_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
