/* SPDX-License-Identifier: Apache-2.0 */
/* Peer data connections: Connect and ConnectionAttempt (RFC 6062 sections 5.2 and 5.3), and their
 * ends (section 5.5). */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "tcp_stage.h"

static void no_tables_grow(const struct tcp_stage *t)
{
    assert_int_equal(t->s.w.server->tables.perms.count, 0);
}

/* Proves T-6062-5.2-01 */
static void connect__without_an_allocation_is_a_mismatch(void **state)
{
    struct tcp_stage *t = *state;

    const struct reply r = client_connect(&t->s.c, &t->peer);
    assert_int_equal(r.code, STUN_ALLOCATION_MISMATCH);
    assert_true(r.integrity_ok);
}

static void connect__of_another_user_is_refused(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    t->s.c.user = "other";
    t->s.c.password = "word";
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_WRONG_CREDENTIALS);
}

/* Proves T-6062-5.2-04 */
static void connect__without_a_right_peer_is_a_bad_request(void **state)
{
    static const uint8_t seven[7] = {0, 1};
    const struct net_addr no_port = world_addr("198.51.100.7:0");
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    client_begin(&t->s.c, STUN_CONNECT, STUN_REQUEST);
    client_sign(&t->s.c);
    assert_int_equal(client_submit(&t->s.c).code, STUN_BAD_REQUEST);
    client_begin(&t->s.c, STUN_CONNECT, STUN_REQUEST);
    stun_out_attr(&t->s.c.out, STUN_XOR_PEER_ADDRESS, (struct bytes){seven, sizeof(seven)});
    client_sign(&t->s.c);
    assert_int_equal(client_submit(&t->s.c).code, STUN_BAD_REQUEST);
    assert_int_equal(client_connect(&t->s.c, &no_port).code, STUN_BAD_REQUEST);
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.2-05 */
static void connect__to_a_peer_that_policy_refuses_is_forbidden(void **state)
{
    static const char *const refused[] = {"127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80",
                                          "224.0.0.1:80", "0.0.0.0:80",  WORLD_SERVER_V4 ":3478"};
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        const struct net_addr peer = world_addr(refused[i]);
        const struct reply r = client_connect(&t->s.c, &peer);
        assert_int_equal(r.code, STUN_FORBIDDEN);
        assert_true(r.integrity_ok);
        assert_int_not_equal(t->s.w.events.last_gate, GATE_OPEN);
    }
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.2-06 (the core's part), T-6062-5.2-08 */
static void connect__succeeds_later_with_a_connection_id(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    struct world_conn *conn = tcp_stage_begin(t, &t->peer);
    assert_true(net_addr_equal(&conn->socket->bound, &t->relayed));
    uint8_t tid[STUN_TID];
    memcpy(tid, t->s.c.tid, sizeof(tid));
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTED], 0);

    const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, true));
    assert_int_equal(r.verdict, TURN_TO_CLIENT);
    assert_int_equal(r.msg.class, STUN_SUCCESS);
    assert_int_equal(r.msg.method, STUN_CONNECT);
    assert_memory_equal(r.msg.tid, tid, sizeof(tid));
    assert_true(r.integrity_ok && r.has_mi256);
    assert_int_not_equal(r.connection_id, 0);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &t->s.c.addr));
    assert_true(net_addr_equal(&t->s.w.pkt.local, &t->s.w.server_addr[0]));
    assert_int_equal(t->s.w.pkt.transport, NET_TCP);
    assert_ptr_equal(t->s.w.pkt.port, &t->s.c);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTED], 1);
    assert_true(net_addr_equal(&t->s.w.events.last_peer, &t->peer));
    const struct turn_counters *count = turn_server_counters(t->s.w.server);
    assert_int_equal(count->requests[STUN_CONNECT], 1);
    assert_int_equal(count->successes[STUN_CONNECT], 1);
}

/* The answer is signed as the request was, whatever happens to the key meanwhile. */
static void connect__is_answered_as_it_was_asked(void **state)
{
    static const enum client_auth kinds[] = {CLIENT_LEGACY, CLIENT_MD5, CLIENT_SHA256};
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    for (size_t i = 0; i < COUNT_OF(kinds) * 2; i++) {
        const struct net_addr peer = net_addr_make(&t->peer.ip, (uint16_t)(100 + i));
        t->s.c.auth = kinds[i / 2];
        t->s.c.fingerprint = i % 2 == 1;
        struct world_conn *conn = tcp_stage_begin(t, &peer);
        struct turn_alloc *alloc = conn->socket->relay->alloc;
        const struct credential_key key = alloc->key;
        memset(&alloc->key, 0x11, sizeof(alloc->key)); /* a new password */
        const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, i % 4 < 2));
        alloc->key = key;
        assert_int_equal(r.code, i % 4 < 2 ? 0 : STUN_CONNECTION_FAILED);
        assert_true(r.integrity_ok);
        assert_true(kinds[i / 2] == CLIENT_LEGACY ? r.has_mi : r.has_mi256);
        assert_int_equal(r.has_fingerprint, t->s.c.fingerprint);
    }
}

/* The key is not kept longer than it is needed. */
static void connect__keeps_no_key_after_its_answer(void **state)
{
    static const struct turn_conn_request nothing;
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    struct world_conn *conn = tcp_stage_begin(t, &t->peer);
    assert_int_equal(conn->conn->request.key_len, CRYPTO_SHA256_LEN);
    (void)world_connected(&t->s.w, conn, true);
    assert_memory_equal(conn->conn->request.key, nothing.key, sizeof(nothing.key));
}

/* Proves T-6062-5.2-02, T-6062-5.2-03, T-6062-3-02 */
static void connect__to_a_peer_that_has_a_connection_is_refused(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    struct world_conn *conn = tcp_stage_begin(t, &t->peer);
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_CONNECTION_EXISTS); /* pending */
    const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, true));
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_CONNECTION_EXISTS); /* waiting */
    assert_int_equal(r.code, 0);
    const uint32_t id = conn->conn->id;
    assert_true(client_challenge(&t->data));
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_CONNECTION_EXISTS); /* bound */
    const struct net_addr other_port = net_addr_make(&t->peer.ip, 81);
    (void)tcp_stage_begin(t, &other_port);
    world_conn_closed(&t->s.w, conn);
    (void)tcp_stage_begin(t, &t->peer);
}

static void connect__to_a_peer_that_has_connected_is_refused(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_TO_CLIENT);
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_CONNECTION_EXISTS);
}

/* Proves T-6062-5.2-07 (the core's part) */
static void connect__that_fails_is_told_and_may_be_tried_again(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    for (int i = 0; i < 3; i++) {
        struct world_conn *conn = tcp_stage_begin(t, &t->peer);
        world_advance(&t->s.w, 31000); /* the core has no time-out of its own */
        const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, false));
        assert_int_equal(r.code, STUN_CONNECTION_FAILED);
        assert_true(r.integrity_ok);
        assert_int_equal(r.connection_id, 0);
        assert_false(conn->closed);
        tcp_stage_no_conns(t);
    }
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTION_CLOSED], 0);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_REFUSED], 3 + 1 /* the challenge */);
    assert_string_equal(t->s.w.events.last_user, "user");
}

/* Proves T-6062-5.2-07 (the core's part) */
static void connect__that_cannot_even_begin_is_answered_at_once(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    t->s.w.connect_answer = -ECONNREFUSED;
    const struct reply failed = client_connect(&t->s.c, &t->peer);
    assert_int_equal(failed.code, STUN_CONNECTION_FAILED);
    assert_true(failed.integrity_ok);
    t->s.w.connect_answer = -ENOSPC;
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_INSUFFICIENT_CAPACITY);
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.2-11 */
static void connect__needs_no_permission_and_makes_none(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    const struct net_addr again = net_addr_make(&t->peer.ip, 81);

    tcp_stage_allocate(t);
    (void)tcp_stage_connect(t, &t->peer, &conn);
    no_tables_grow(t);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &again, &conn), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_NO_PERMISSION), 1);
}

/* Proves T-6062-5.2-12 */
static void connect__leaves_the_control_connection_free(void **state)
{
    struct tcp_stage *t = *state;
    const struct net_addr second = net_addr_make(&t->peer.ip, 81);

    tcp_stage_allocate(t);
    struct world_conn *first = tcp_stage_begin(t, &t->peer);
    assert_int_equal(client_refresh(&t->s.c, 1200).code, 0);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    struct world_conn *other = tcp_stage_begin(t, &second);
    assert_int_equal(tcp_stage_read(&t->s.c, world_connected(&t->s.w, other, true)).code, 0);
    assert_int_equal(tcp_stage_read(&t->s.c, world_connected(&t->s.w, first, true)).code, 0);
}

/* Proves T-6062-5.2-08 */
static void connection_ids__are_unique_and_tell_the_instance(void **state)
{
    struct tcp_stage *t = *state;
    uint32_t seen[64];

    world_stop(&t->s.w);
    world_init(&t->s.w, 7);
    t->s.w.config.max_connections = COUNT_OF(seen);
    t->s.w.instance = 4;
    t->s.w.instances = 7;
    assert_int_equal(world_start(&t->s.w), 0);
    (void)world_add_user(&t->s.w, "user", "pass");
    tcp_stage_allocate(t);
    for (uint32_t i = 0; i < COUNT_OF(seen); i++) {
        struct world_conn *conn;
        const struct net_addr peer = net_addr_make(&t->peer.ip, (uint16_t)(1000 + i));
        seen[i] = tcp_stage_connect(t, &peer, &conn);
        assert_int_equal(seen[i] % 7, 4);
        for (uint32_t k = 0; k < i; k++) {
            assert_int_not_equal(seen[i], seen[k]);
        }
    }
}

static void no_randomness(void *arg, uint8_t *out, size_t n)
{
    (void)arg;
    memset(out, 0xff, n);
}

/* With nothing but 0xffffffff to choose from there is no id of instance 1 of 2^31, and the second
 * connection of instance 0 finds it in use: never a wrong or repeated id. */
static void connection_ids__that_cannot_be_had_are_a_want_of_capacity(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    const struct net_addr second = net_addr_make(&t->peer.ip, 81);

    tcp_stage_allocate(t);
    t->s.w.server->fx.random_fill = no_randomness;
    (void)tcp_stage_connect(t, &t->peer, &conn);
    assert_int_equal(client_connect(&t->s.c, &second).code, STUN_INSUFFICIENT_CAPACITY);
    world_conn_closed(&t->s.w, conn);
    t->s.w.server->instances = UINT32_C(1) << 31;
    t->s.w.server->instance = UINT32_C(1) << 31;
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_INSUFFICIENT_CAPACITY);
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.2-10 */
static void connection__that_is_not_bound_in_30_seconds_is_closed(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    world_advance(&t->s.w, 25000);
    const uint32_t id = tcp_stage_connect(t, &t->peer, &conn);
    world_advance(&t->s.w, 29999);
    assert_false(conn->closed);
    world_advance(&t->s.w, 1);
    assert_true(conn->closed);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTION_CLOSED], 1);
    tcp_stage_no_conns(t);
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_BAD_REQUEST);
    assert_int_equal(client_refresh(&t->s.c, 600).code, 0); /* the allocation lives on */
}

/* An expired one that no timer has come to yet is gone all the same. */
static void connection__late_timers_make_no_difference(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_true(client_challenge(&t->data));
    const uint32_t id = tcp_stage_connect(t, &t->peer, &conn);
    t->s.w.now_ms += 30000;
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_BAD_REQUEST);
    assert_true(conn->closed);

    (void)tcp_stage_connect(t, &t->peer, &conn);
    t->s.w.now_ms += 30000;
    struct world_conn *fresh = tcp_stage_begin(t, &t->peer);
    assert_true(conn->closed || conn == fresh);

    (void)world_connected(&t->s.w, fresh, true);
    t->s.w.now_ms += 30000;
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_TO_CLIENT);
    assert_int_equal(turn_server_counters(t->s.w.server)->successes[STUN_CONNECT], 3);
}

/* Proves T-6062-5.3-02, T-6062-5.3-03 */
static void accept__with_a_permission_is_told_to_the_client(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    const struct net_addr other_port = net_addr_make(&t->peer.ip, 9);
    assert_int_equal(client_permit(&t->s.c, &other_port).code, 0); /* the port does not count */
    const struct reply r =
        tcp_stage_read(&t->s.c, world_accept(&t->s.w, &t->relayed, &t->peer, &conn));
    assert_int_equal(r.msg.class, STUN_INDICATION);
    assert_int_equal(r.msg.method, STUN_CONNECTION_ATTEMPT);
    assert_true(net_addr_equal(&r.peer, &t->peer));
    assert_int_not_equal(r.connection_id, 0);
    assert_int_equal(r.attr_count, 2);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &t->s.c.addr));
    assert_int_equal(t->s.w.pkt.transport, NET_TCP);
    assert_ptr_equal(t->s.w.pkt.port, &t->s.c);
    assert_int_equal(t->s.w.pkt.tos, 0);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTED], 1);
    assert_int_equal(client_bind_connection(&t->data, r.connection_id).code, 0);
    assert_ptr_equal(conn->bound_to, &t->data);
}

/* Proves T-6062-5.3-01 (the core's part) */
static void accept__without_a_permission_says_nothing(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    const struct net_addr stranger = world_addr("198.51.100.8:80");

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &stranger, &conn), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_NO_PERMISSION), 1);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTED], 0);
    tcp_stage_no_conns(t);
}

/* The port decides on our own addresses: permissions do not know it, the gate does. */
static void accept__asks_the_gate(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    const struct net_addr own = world_addr(WORLD_SERVER_V4 ":1000");

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &own).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &own, &conn), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_PEER_DENIED), 1);
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.3-05 */
static void accepted__that_is_not_bound_in_30_seconds_is_closed(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_TO_CLIENT);
    world_advance(&t->s.w, 29999);
    assert_false(conn->closed);
    world_advance(&t->s.w, 1);
    assert_true(conn->closed);
    tcp_stage_no_conns(t);
}

static void accept__after_the_allocation_has_expired_is_refused(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    t->s.w.now_ms += 600000; /* no timer has run */
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_NO_ALLOCATION), 1);
}

/* --- ends ---------------------------------------------------------------------------------------
 */

enum { PENDING, WAITING, BOUND, ACCEPTED, STATES };

static void one_of_each(struct tcp_stage *t, struct world_conn *conn[STATES])
{
    struct net_addr peer[STATES];

    for (uint16_t i = 0; i < STATES; i++) {
        peer[i] = net_addr_make(&t->peer.ip, (uint16_t)(80 + i));
    }
    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    conn[PENDING] = tcp_stage_begin(t, &peer[PENDING]);
    (void)tcp_stage_connect(t, &peer[WAITING], &conn[WAITING]);
    const uint32_t id = tcp_stage_connect(t, &peer[BOUND], &conn[BOUND]);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &peer[ACCEPTED], &conn[ACCEPTED]),
                     TURN_TO_CLIENT);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
}

static void all_are_closed(const struct tcp_stage *t, struct world_conn *const conn[STATES])
{
    for (int i = 0; i < STATES; i++) {
        assert_true(conn[i]->closed);
    }
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTED], 3);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTION_CLOSED], 3);
    assert_int_equal(t->s.w.open_sockets, 0);
    tcp_stage_no_conns(t);
}

/* Proves T-6062-5.5-01 */
static void allocation__that_is_deleted_takes_its_connections_along(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn[STATES];

    one_of_each(t, conn);
    assert_int_equal(client_refresh(&t->s.c, 0).code, 0);
    all_are_closed(t, conn);
}

/* Proves T-6062-5.5-01 */
static void allocation__that_expires_takes_its_connections_along(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn[STATES];

    one_of_each(t, conn);
    world_advance(&t->s.w, 599999);
    assert_false(conn[PENDING]->closed || conn[BOUND]->closed);
    assert_true(conn[WAITING]->closed && conn[ACCEPTED]->closed);
    world_advance(&t->s.w, 1);
    all_are_closed(t, conn);
}

/* Proves T-6062-5.5-01 */
static void allocation__ends_with_its_control_connection(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn[STATES];

    one_of_each(t, conn);
    struct five_tuple tuple = {t->s.c.addr, t->s.w.server_addr[0], NET_TLS};
    assert_false(turn_server_has_allocation(t->s.w.server, &tuple));
    turn_server_client_closed(t->s.w.server, &tuple, NULL, t->s.w.now_ms); /* another transport's */
    tuple.protocol = NET_TCP;
    assert_true(turn_server_has_allocation(t->s.w.server, &tuple));
    turn_server_client_closed(t->s.w.server, &tuple, NULL, t->s.w.now_ms);
    assert_false(turn_server_has_allocation(t->s.w.server, &tuple));
    all_are_closed(t, conn);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CLOSED], 1);
    turn_server_client_closed(t->s.w.server, &tuple, NULL, t->s.w.now_ms); /* harmless */
}

static void allocation__that_expires_while_connecting_gives_no_answer(void **state)
{
    struct tcp_stage *t = *state;

    for (int success = 0; success < 2; success++) {
        tcp_stage_allocate(t);
        struct world_conn *conn = tcp_stage_begin(t, &t->peer);
        t->s.w.now_ms += 600000; /* no timer has run */
        assert_int_equal(world_connected(&t->s.w, conn, success == 1), TURN_DROP);
        assert_int_equal(conn->closed, success == 1);
        assert_int_equal(t->s.w.events.count[TURN_EVENT_EXPIRED], success + 1);
        tcp_stage_no_conns(t);
    }
}

/* Proves T-6062-5.5-02, T-6062-5.5-03 (the core's part) */
static void connection__that_ends_is_forgotten(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn[STATES];

    one_of_each(t, conn);
    const uint32_t id = conn[BOUND]->conn->id;
    for (int i = WAITING; i < STATES; i++) {
        world_conn_closed(&t->s.w, conn[i]);
        assert_false(conn[i]->closed);
    }
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTION_CLOSED], 3);
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_BAD_REQUEST);
    assert_int_equal(t->s.w.server->tables.conns.count, 1);
}

static void reload__closes_what_the_gate_no_longer_grants(void **state)
{
    static const char *const allow[] = {"203.0.113.0-203.0.113.255", NULL};
    struct tcp_stage *t = *state;
    struct world_conn *conn[STATES];

    one_of_each(t, conn);
    assert_int_equal(world_reconfigure(&t->s.w, allow, NULL), 0);
    assert_false(conn[PENDING]->closed); /* its Connect wants an answer */
    for (int i = WAITING; i < STATES; i++) {
        assert_true(conn[i]->closed);
    }
    assert_int_equal(t->s.w.events.count[TURN_EVENT_REVOKED], 3 + 1 /* the permission */);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_CONNECTION_CLOSED], 3);
    const struct reply r = tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn[PENDING], true));
    assert_int_equal(r.code, STUN_FORBIDDEN);
    assert_true(r.integrity_ok);
    assert_true(conn[PENDING]->closed);
    tcp_stage_no_conns(t);
}

static void traffic__of_connections_counts_for_the_allocation(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    (void)tcp_stage_connect(t, &t->peer, &conn);
    turn_server_conn_traffic(t->s.w.server, conn->conn, 1000, 70000);
    turn_server_conn_traffic(t->s.w.server, conn->conn, 1, 2);
    const struct turn_counters *count = turn_server_counters(t->s.w.server);
    assert_int_equal(count->to_peer_bytes, 1001);
    assert_int_equal(count->to_client_bytes, 70002);
    assert_int_equal(client_refresh(&t->s.c, 0).code, 0);
    assert_int_equal(t->s.w.events.last_traffic.to_peer_bytes, 1001);
    assert_int_equal(t->s.w.events.last_traffic.to_client_bytes, 70002);
}

/* What may pass in `seconds` when every sender asks first, `chunk` bytes at a time. */
static uint64_t paced_bytes(struct tcp_stage *t, struct turn_conn *conn, bool to_peer,
                            uint32_t chunk, uint32_t seconds)
{
    const uint64_t end_ms = t->s.w.now_ms + seconds * UINT64_C(1000);
    uint64_t bytes = 0;

    while (t->s.w.now_ms < end_ms) {
        uint32_t wait_ms = turn_server_conn_pace(t->s.w.server, conn, to_peer, 0, t->s.w.now_ms);
        if (wait_ms == 0) {
            bytes += chunk;
            wait_ms = turn_server_conn_pace(t->s.w.server, conn, to_peer, chunk, t->s.w.now_ms);
        }
        world_advance(&t->s.w, wait_ms > 0 ? wait_ms : 1);
    }
    return bytes;
}

/* Proves T-8656-5-14 */
static void max_bps__holds_connections_back_by_direction(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    (void)tcp_stage_connect(t, &t->peer, &conn);
    assert_int_equal(turn_server_conn_pace(t->s.w.server, conn->conn, true, 1U << 30, 0), 0);
    t->s.w.config.main.max_bps = 100000;
    const uint64_t small = paced_bytes(t, conn->conn, true, 1000, 10);
    assert_true(small >= 1000000 && small <= 1101000);
    const uint64_t large = paced_bytes(t, conn->conn, false, 262144, 15); /* longer than a second */
    assert_true(large >= 1500000 && large <= 1600000 + 262144);
}

static void capacity__holds_connections_back(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    tcp_stage_allocate(t);
    (void)tcp_stage_connect(t, &t->peer, &conn);
    t->s.w.config.limit_capacity = true;
    t->s.w.capacity_left[0] = 50 * 1000;
    const uint64_t passed = paced_bytes(t, conn->conn, true, 4000, 10);
    assert_true(passed >= 48000 && passed <= 52000);
    t->s.w.capacity_left[0] = 4000 * 1000; /* what is owed goes first */
    assert_int_equal(turn_server_conn_pace(t->s.w.server, conn->conn, true, 0, t->s.w.now_ms), 0);
}

static void user_hash__tells_users_apart(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *mine[2];
    struct world_conn *others;
    const struct net_addr second = net_addr_make(&t->peer.ip, 81);

    tcp_stage_allocate(t);
    (void)tcp_stage_connect(t, &t->peer, &mine[0]);
    (void)tcp_stage_connect(t, &second, &mine[1]);
    t->data.user = "other";
    t->data.password = "word";
    assert_int_equal(client_allocate_tcp(&t->data).code, 0);
    assert_int_equal(client_connect(&t->data, &t->peer).verdict, TURN_LATER);
    others = NULL;
    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        others = t->s.w.conns[i].connecting ? &t->s.w.conns[i] : others;
    }
    assert_non_null(others);
    const uint64_t hash = turn_conn_user_hash(t->s.w.server, mine[0]->conn);
    assert_true(turn_conn_user_hash(t->s.w.server, mine[1]->conn) == hash);
    assert_true(turn_conn_user_hash(t->s.w.server, others->conn) != hash);
}

/* --- bounds -------------------------------------------------------------------------------------
 */

static void bound__of_an_allocation_is_a_want_of_capacity(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn = NULL;

    t->s.w.config.max_connections = 3;
    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    for (uint16_t port = 1; port <= 3; port++) {
        const struct net_addr peer = net_addr_make(&t->peer.ip, port);
        (void)tcp_stage_connect(t, &peer, &conn);
    }
    const struct net_addr fourth = net_addr_make(&t->peer.ip, 4);
    const struct net_addr third = net_addr_make(&t->peer.ip, 3);
    assert_int_equal(client_connect(&t->s.c, &fourth).code, STUN_INSUFFICIENT_CAPACITY);
    assert_int_equal(client_connect(&t->s.c, &third).code, STUN_CONNECTION_EXISTS);
    struct world_conn *refused;
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &fourth, &refused), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_CONNECTIONS), 1);
    world_conn_closed(&t->s.w, conn);
    (void)tcp_stage_begin(t, &fourth);
}

/* Every allocation is sure of its first connections, however many another has. */
static void bound__of_all_leaves_each_its_share(void **state)
{
    enum { ALLOCS = 2 };

    struct tcp_stage *t = *state;
    uint32_t made = 0;

    world_stop(&t->s.w);
    world_init(&t->s.w, 8);
    t->s.w.max_allocations = ALLOCS;
    t->s.w.config.max_connections = 100;
    assert_int_equal(world_start(&t->s.w), 0);
    (void)world_add_user(&t->s.w, "user", "pass");
    tcp_stage_allocate(t);
    for (uint16_t port = 1; port < 100; port++) {
        const struct net_addr peer = net_addr_make(&t->peer.ip, port);
        const struct reply r = client_connect(&t->s.c, &peer);
        assert_true(r.verdict == TURN_LATER || r.code == STUN_INSUFFICIENT_CAPACITY);
        made += r.verdict == TURN_LATER;
    }
    assert_int_equal(made, TURN_SURE_CONNS + ALLOCS * TURN_SURE_CONNS);
    assert_int_equal(client_allocate_tcp(&t->data).code, 0);
    for (uint16_t port = 1; port <= TURN_SURE_CONNS; port++) {
        const struct net_addr peer = net_addr_make(&t->peer.ip, port);
        assert_int_equal(client_connect(&t->data, &peer).verdict, TURN_LATER);
    }
    assert_int_equal(client_refresh(&t->s.c, 0).code, 0);
    const struct net_addr more = net_addr_make(&t->peer.ip, 1000);
    assert_int_equal(client_connect(&t->data, &more).verdict, TURN_LATER);
}

static void allocation_failure__is_a_want_of_capacity(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn = NULL;
    bool connected = false;
    bool accepted = false;

    mem_fail_at(0);
    if (!mem_fails()) {
        CHECK_SKIP("the build option fault_injection is off");
    }
    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_true(client_challenge(&t->s.c));
    const struct net_addr other = net_addr_make(&t->peer.ip, 81);
    for (long n = 0; !connected || !accepted; n++) {
        assert_true(n < 20);
        mem_fail_at(n);
        const struct reply r = client_connect(&t->s.c, &other);
        mem_fail_at(-1);
        connected = r.verdict == TURN_LATER;
        if (connected) {
            (void)world_connected(&t->s.w, world_conn(&t->s.w, &other), false);
        } else {
            assert_int_equal(r.code, STUN_INSUFFICIENT_CAPACITY);
        }
        tcp_stage_no_conns(t);
        mem_fail_at(n);
        accepted = world_accept(&t->s.w, &t->relayed, &t->peer, &conn) == TURN_TO_CLIENT;
        mem_fail_at(-1);
        if (accepted) {
            world_conn_closed(&t->s.w, conn);
        }
        tcp_stage_no_conns(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(connect__without_an_allocation_is_a_mismatch),
        TCP_TEST(connect__of_another_user_is_refused),
        TCP_TEST(connect__without_a_right_peer_is_a_bad_request),
        TCP_TEST(connect__to_a_peer_that_policy_refuses_is_forbidden),
        TCP_TEST(connect__succeeds_later_with_a_connection_id),
        TCP_TEST(connect__is_answered_as_it_was_asked),
        TCP_TEST(connect__keeps_no_key_after_its_answer),
        TCP_TEST(connect__to_a_peer_that_has_a_connection_is_refused),
        TCP_TEST(connect__to_a_peer_that_has_connected_is_refused),
        TCP_TEST(connect__that_fails_is_told_and_may_be_tried_again),
        TCP_TEST(connect__that_cannot_even_begin_is_answered_at_once),
        TCP_TEST(connect__needs_no_permission_and_makes_none),
        TCP_TEST(connect__leaves_the_control_connection_free),
        TCP_TEST(connection_ids__are_unique_and_tell_the_instance),
        TCP_TEST(connection_ids__that_cannot_be_had_are_a_want_of_capacity),
        TCP_TEST(connection__that_is_not_bound_in_30_seconds_is_closed),
        TCP_TEST(connection__late_timers_make_no_difference),
        TCP_TEST(accept__with_a_permission_is_told_to_the_client),
        TCP_TEST(accept__without_a_permission_says_nothing),
        TCP_TEST(accept__asks_the_gate),
        TCP_TEST(accepted__that_is_not_bound_in_30_seconds_is_closed),
        TCP_TEST(accept__after_the_allocation_has_expired_is_refused),
        TCP_TEST(allocation__that_is_deleted_takes_its_connections_along),
        TCP_TEST(allocation__that_expires_takes_its_connections_along),
        TCP_TEST(allocation__ends_with_its_control_connection),
        TCP_TEST(allocation__that_expires_while_connecting_gives_no_answer),
        TCP_TEST(connection__that_ends_is_forgotten),
        TCP_TEST(reload__closes_what_the_gate_no_longer_grants),
        TCP_TEST(traffic__of_connections_counts_for_the_allocation),
        TCP_TEST(max_bps__holds_connections_back_by_direction),
        TCP_TEST(capacity__holds_connections_back),
        TCP_TEST(user_hash__tells_users_apart),
        TCP_TEST(bound__of_an_allocation_is_a_want_of_capacity),
        TCP_TEST(bound__of_all_leaves_each_its_share),
        TCP_TEST(allocation_failure__is_a_want_of_capacity),
    };
    return cmocka_run_group_tests_name("tcp_connect", tests, NULL, NULL);
}
