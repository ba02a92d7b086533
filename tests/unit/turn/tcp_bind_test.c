/* SPDX-License-Identifier: Apache-2.0 */
/* ConnectionBind (RFC 6062 section 5.4), and which instance it belongs to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcp_stage.h"

static uint32_t waiting(struct tcp_stage *t, struct world_conn **out_conn)
{
    tcp_stage_allocate(t);
    return tcp_stage_connect(t, &t->peer, out_conn);
}

/* Proves T-6062-5.4-03 (the core's part) */
static void bind__joins_the_two_connections(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    const struct reply r = client_bind_connection(&t->data, id);
    assert_int_equal(r.verdict, TURN_TO_CLIENT);
    assert_int_equal(r.msg.class, STUN_SUCCESS);
    assert_int_equal(r.msg.method, STUN_CONNECTION_BIND);
    assert_true(r.integrity_ok);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &t->data.addr));
    assert_int_equal(t->s.w.pkt.transport, NET_TCP);
    assert_ptr_equal(t->s.w.pkt.port, &t->data);
    assert_ptr_equal(conn->bound_to, &t->data);
    world_advance(&t->s.w, 31000); /* it is bound: no deadline any more */
    assert_false(conn->closed);
}

static void bind__may_come_over_tls_for_a_tcp_control_connection(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    t->data.transport = NET_TLS;
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_ptr_equal(conn->bound_to, &t->data);
}

/* Proves T-6062-5.4-01 */
static void bind__over_datagrams_is_a_bad_request(void **state)
{
    static const uint8_t datagrams[] = {NET_UDP, NET_DTLS};
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    for (size_t i = 0; i < COUNT_OF(datagrams); i++) {
        t->data.transport = datagrams[i];
        const struct reply r = client_bind_connection(&t->data, id);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
    }
    assert_null(conn->bound_to);
}

static struct reply bind_with(struct client *c, const uint8_t *id, size_t n)
{
    client_begin(c, STUN_CONNECTION_BIND, STUN_REQUEST);
    if (id != NULL) {
        stun_out_attr(&c->out, STUN_CONNECTION_ID, (struct bytes){id, n});
    }
    client_sign(c);
    return client_submit(c);
}

/* Proves T-6062-5.4-02, T-6062-5.4-06 */
static void bind__that_fails_may_be_tried_again(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    uint8_t bytes[8] = {0};

    const uint32_t id = waiting(t, &conn);
    be32_put(bytes, id);
    assert_true(client_challenge(&t->data));
    assert_int_equal(bind_with(&t->data, NULL, 0).code, STUN_BAD_REQUEST);
    for (size_t n = 0; n < 8; n++) {
        if (n != 4) {
            assert_int_equal(bind_with(&t->data, bytes, n).code, STUN_BAD_REQUEST);
        }
    }
    assert_int_equal(client_bind_connection(&t->data, id + 1).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind_connection(&t->data, 0).code, STUN_BAD_REQUEST);
    assert_null(conn->bound_to);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_BAD_REQUEST); /* once */
    struct client third;
    client_init(&third, &t->s.w, "203.0.113.5:4002", "user", "pass");
    third.transport = NET_TCP;
    assert_int_equal(client_bind_connection(&third, id).code, STUN_BAD_REQUEST);
    assert_ptr_equal(conn->bound_to, &t->data);
}

/* One that is still being connected has no id that anybody could know; guessed, it is not there. */
static void bind__before_the_connection_is_made_is_a_bad_request(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    struct world_conn *conn = tcp_stage_begin(t, &t->peer);
    assert_int_equal(client_bind_connection(&t->data, conn->conn->id).code, STUN_BAD_REQUEST);
    assert_int_equal(tcp_stage_read(&t->s.c, world_connected(&t->s.w, conn, true)).code, 0);
}

/* A control connection is none for data. */
static void bind__on_a_connection_with_an_allocation_is_a_bad_request(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    assert_int_equal(client_bind_connection(&t->s.c, id).code, STUN_BAD_REQUEST);
    assert_int_equal(client_allocate(&t->data).code, 0);
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_BAD_REQUEST);
    assert_null(conn->bound_to);
}

/* Proves T-6062-4.3-01 */
static void bind__of_another_user_is_refused(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    t->data.user = "other";
    t->data.password = "word";
    const struct reply r = client_bind_connection(&t->data, id);
    assert_int_equal(r.code, STUN_WRONG_CREDENTIALS);
    assert_true(r.integrity_ok); /* under the asker's key */
    assert_null(conn->bound_to);
    t->data.user = "user";
    t->data.password = "pass";
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
}

/* Proves T-6062-4.3-01 */
static void bind__is_authenticated(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    t->data.auth = CLIENT_NO_AUTH;
    struct reply r = client_bind_connection(&t->data, id);
    assert_int_equal(r.code, STUN_UNAUTHENTICATED);
    assert_true(r.nonce.n > 0);
    (void)client_learn(&t->data, &r);
    t->data.auth = CLIENT_SHA256;
    t->data.password = "wrong";
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_UNAUTHENTICATED);
    t->data.password = "pass";
    assert_null(conn->bound_to);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
}

/* Over streams a NONCE is the host's: that of the control connection serves, too; another host's
 * does not, nor one that was given out over UDP. */
static void bind__with_the_nonce_of_the_control_connection(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;
    struct client udp;
    struct client far;

    const uint32_t id = waiting(t, &conn);
    client_init(&udp, &t->s.w, "203.0.113.5:4001", "user", "pass");
    assert_true(client_challenge(&udp));
    client_init(&far, &t->s.w, "203.0.113.6:4001", "user", "pass");
    far.transport = NET_TCP;
    assert_true(client_challenge(&far));
    assert_true(client_challenge(&t->data));
    memcpy(t->data.nonce, udp.nonce, sizeof(udp.nonce));
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_STALE_NONCE);
    memcpy(t->data.nonce, far.nonce, sizeof(far.nonce));
    assert_int_equal(client_bind_connection(&t->data, id).code, STUN_STALE_NONCE);
    memcpy(t->data.nonce, t->s.c.nonce, sizeof(t->s.c.nonce));
    assert_null(conn->bound_to);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
}

/* The session proves itself, also when its user is gone from the database. */
static void bind__asks_no_database(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    assert_true(client_challenge(&t->data));
    t->s.w.key_answer = -EBUSY;
    const uint32_t lookups = t->s.w.key_lookups;
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_int_equal(t->s.w.key_lookups, lookups);
    assert_ptr_equal(conn->bound_to, &t->data);
}

/* A look-up that takes its time changes nothing. */
static void bind__waits_for_a_key(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    const uint32_t id = waiting(t, &conn);
    assert_true(client_challenge(&t->data));
    t->s.w.key_answer = -EAGAIN;
    t->data.user = "other";
    t->data.password = "word";
    assert_int_equal(client_bind_connection(&t->data, id).verdict, TURN_WAIT);
    assert_null(conn->bound_to);
    t->s.w.key_answer = 0;
    assert_int_equal(client_submit(&t->data).code, STUN_WRONG_CREDENTIALS);
}

static void bind__without_authentication_is_for_everybody(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    t->s.w.config.require_auth = false;
    t->s.c.auth = CLIENT_NO_AUTH;
    t->data.auth = CLIENT_NO_AUTH;
    const uint32_t id = waiting(t, &conn);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_ptr_equal(conn->bound_to, &t->data);
}

/* --- whose is it? -------------------------------------------------------------------------------
 */

static void owner__is_told_by_the_connection_id(void **state)
{
    struct tcp_stage *t = *state;
    uint32_t owner = 99;

    client_begin(&t->data, STUN_CONNECTION_BIND, STUN_REQUEST);
    stun_out_u32(&t->data.out, STUN_CONNECTION_ID, 1000003);
    client_sign(&t->data);
    const struct bytes message = {t->data.buf, t->data.len};
    assert_true(turn_connection_owner(message, 7, &owner));
    assert_int_equal(owner, 1000003 % 7);
    assert_true(turn_connection_owner(message, 1, &owner));
    assert_int_equal(owner, 0);
    assert_true(turn_connection_owner(message, 0, &owner));
    assert_int_equal(owner, 0);
    assert_true(turn_connection_owner(message, UINT32_MAX, &owner));
    assert_int_equal(owner, 1000003);
    owner = 99;
    for (size_t n = 0; n < t->data.len; n++) {
        uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read past the end */
        assert_non_null(exact);
        memcpy(exact, t->data.buf, n);
        assert_false(turn_connection_owner((struct bytes){exact, n}, 7, &owner));
        free(exact);
    }
    assert_int_equal(owner, 99);
}

static void owner__of_other_messages_is_nobody(void **state)
{
    struct tcp_stage *t = *state;
    uint32_t owner = 99;

    for (unsigned method = 0; method < 16; method++) {
        for (int class = STUN_REQUEST; class <= STUN_ERROR; class ++) {
            client_begin(&t->data, (uint16_t)method, (enum stun_class) class);
            stun_out_u32(&t->data.out, STUN_CONNECTION_ID, 8);
            client_end(&t->data);
            const bool is_bind = method == STUN_CONNECTION_BIND && class == STUN_REQUEST;
            assert_int_equal(
                turn_connection_owner((struct bytes){t->data.buf, t->data.len}, 7, &owner),
                is_bind);
        }
    }
    assert_int_equal(owner, 1);
    client_begin(&t->data, STUN_CONNECTION_BIND, STUN_REQUEST); /* the id behind the integrity */
    client_sign(&t->data);
    assert_false(turn_connection_owner((struct bytes){t->data.buf, t->data.len}, 7, &owner));
    client_begin(&t->data, STUN_CONNECTION_BIND, STUN_REQUEST);
    stun_out_attr(&t->data.out, STUN_CONNECTION_ID, bytes_of("long one"));
    client_end(&t->data);
    assert_false(turn_connection_owner((struct bytes){t->data.buf, t->data.len}, 7, &owner));
    client_begin(&t->data, STUN_CONNECTION_BIND, STUN_REQUEST); /* a length past the end */
    stun_out_u32(&t->data.out, STUN_CONNECTION_ID, 8);
    stun_out_u32(&t->data.out, STUN_LIFETIME, 8);
    client_end(&t->data);
    t->data.buf[t->data.len - 5] = 200;
    assert_false(turn_connection_owner((struct bytes){t->data.buf, t->data.len}, 7, &owner));
    t->data.buf[4] ^= 1; /* no cookie */
    assert_false(turn_connection_owner((struct bytes){t->data.buf, t->data.len}, 7, &owner));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(bind__joins_the_two_connections),
        TCP_TEST(bind__may_come_over_tls_for_a_tcp_control_connection),
        TCP_TEST(bind__over_datagrams_is_a_bad_request),
        TCP_TEST(bind__that_fails_may_be_tried_again),
        TCP_TEST(bind__before_the_connection_is_made_is_a_bad_request),
        TCP_TEST(bind__on_a_connection_with_an_allocation_is_a_bad_request),
        TCP_TEST(bind__of_another_user_is_refused),
        TCP_TEST(bind__is_authenticated),
        TCP_TEST(bind__with_the_nonce_of_the_control_connection),
        TCP_TEST(bind__asks_no_database),
        TCP_TEST(bind__waits_for_a_key),
        TCP_TEST(bind__without_authentication_is_for_everybody),
        TCP_TEST(owner__is_told_by_the_connection_id),
        TCP_TEST(owner__of_other_messages_is_nobody),
    };
    return cmocka_run_group_tests_name("tcp_bind", tests, NULL, NULL);
}
