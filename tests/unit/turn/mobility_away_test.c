/* SPDX-License-Identifier: Apache-2.0 */
/* Clients whose connection has ended, and who may come back with their ticket (RFC 8016); TCP
 * allocations that move; and how little who moves too often can use up. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tcp_stage.h"

enum { CHANNEL = 0x4000, FLOOD = 2000 };

static const char here[] = "203.0.113.5:4000";
static const char there[] = "203.0.113.77:7000";
static const char elsewhere[] = "[2001:db8:7::9]:9";

static struct five_tuple tuple_of(const struct client *c)
{
    const struct net_addr server = c->world->server_addr[c->addr.family == NET_V4 ? 0 : 1];

    return (struct five_tuple){c->addr, server, c->transport};
}

static uint64_t told(const struct stage *s, enum turn_event_kind kind)
{
    return s->w.events.count[kind];
}

/* The connection of `c` ends. */
static void hang_up(const struct client *c)
{
    const struct five_tuple tuple = tuple_of(c);

    turn_server_client_closed(c->world->server, &tuple, c, c->world->now_ms);
}

static struct net_addr settle(struct stage *s, uint8_t transport)
{
    const struct net_addr peer = world_addr("198.51.100.1:9");

    s->c.transport = transport;
    const struct reply r = client_allocate_mobile(&s->c);
    assert_int_equal(r.code, 0);
    const struct net_addr relayed = r.relayed[0];
    assert_int_equal(client_bind(&s->c, CHANNEL, &peer).code, 0);
    return relayed;
}

static struct reply come_back(struct client *c, uint8_t transport, const char *addr)
{
    c->transport = transport;
    c->nonce[0] = '\0';
    client_readdress(c, addr);
    return client_move(c, 600);
}

static enum turn_verdict from_peer(struct stage *s, const struct net_addr *relayed)
{
    const struct net_addr peer = world_addr("198.51.100.1:9");

    return world_from_peer(&s->w, relayed, &peer, (const uint8_t *)"hi", 2);
}

static void nothing_is_left(const struct stage *s)
{
    const struct turn_tables *t = &s->w.server->tables;

    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    assert_int_equal(slab_count(t->mobile_slab) + slab_count(t->alloc_slab), 0);
    assert_int_equal(t->coming.count + t->by_session.count, 0);
    assert_int_equal(s->w.open_sockets, 0);
    assert_int_equal(quota_total(s->w.quota), 0);
}

/* --- the control connection ends ----------------------------------------------------------------
 */

/* Proves T-8016-3.2.2-17 */
static void lost__allocation_with_a_ticket_lives_on(void **state)
{
    static const uint8_t transports[] = {NET_TCP, NET_TLS, NET_DTLS};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        client_init(&s->c, &s->w, here, "user", "pass");
        const struct net_addr relayed = settle(s, transports[i]);
        const struct five_tuple was = tuple_of(&s->c);
        hang_up(&s->c);
        assert_false(turn_server_has_allocation(s->w.server, &was));
        assert_int_equal(turn_server_allocation_count(s->w.server), 1);
        assert_int_equal(told(s, TURN_EVENT_LEFT), 2 * i + 1);
        assert_memory_equal(&s->w.events.last_was, &was, sizeof(was));
        assert_int_equal(from_peer(s, &relayed), TURN_DROP);
        assert_int_equal(world_drops(&s->w, DROP_CLIENT_AWAY), i + 1);
        world_advance(&s->w, 300 * 1000);
        assert_int_equal(come_back(&s->c, NET_UDP, there).code, 0);
        assert_int_equal(from_peer(s, &relayed), TURN_DROP); /* the permission was for so long */
        assert_int_equal(world_drops(&s->w, DROP_NO_PERMISSION), i + 1);
        assert_int_equal(client_refresh(&s->c, 0).code, 0);
        nothing_is_left(s);
    }
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 0);
}

/* There is no old address that packets could go to: they go to the new one at once.
 * Proves T-8016-3.2.2-17, T-8016-3.2.2-13 */
static void lost__client_that_comes_back_is_served_at_once(void **state)
{
    static const uint8_t transports[] = {NET_UDP, NET_DTLS, NET_TLS, NET_TCP};
    struct stage *s = *state;
    const struct net_addr relayed = settle(s, NET_TCP);
    const struct net_addr peer = world_addr("198.51.100.1:9");

    hang_up(&s->c);
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        assert_int_equal(come_back(&s->c, transports[i], i % 2 == 0 ? there : elsewhere).code, 0);
        assert_int_equal(from_peer(s, &relayed), TURN_TO_CLIENT);
        assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
        assert_int_equal(s->w.pkt.transport, transports[i]);
        assert_ptr_equal(s->w.pkt.port, transports[i] == NET_UDP ? s->w.pkt.port : &s->c);
        assert_int_equal(client_channel(&s->c, CHANNEL, "up", 2), TURN_TO_PEER);
        assert_int_equal(client_bind(&s->c, CHANNEL, &peer).code, 0);
        assert_int_equal(s->w.server->tables.coming.count, 0);
        if (transports[i] == NET_UDP) { /* this one cannot hang up */
            assert_int_equal(come_back(&s->c, NET_TCP, here).code, 0);
            assert_int_equal(client_channel(&s->c, CHANNEL, "up", 2), TURN_TO_PEER);
        }
        hang_up(&s->c);
    }
    assert_int_equal(told(s, TURN_EVENT_MOVED), COUNT_OF(transports) + 1);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 0);
}

/* */
static void lost__allocation_without_a_ticket_ends(void **state)
{
    struct stage *s = *state;

    s->c.transport = NET_TCP;
    (void)stage_allocate(&s->c);
    hang_up(&s->c);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 1);
    nothing_is_left(s);
}

static void lost__ends_where_mobility_is_no_more(void **state)
{
    struct stage *s = *state;

    (void)settle(s, NET_TLS);
    s->w.config.mobility = false;
    hang_up(&s->c);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 1);
    nothing_is_left(s);
}

/* Nobody comes back.  Proves T-8016-3.2.2-17 */
static void lost__lives_no_longer_than_its_lifetime(void **state)
{
    struct stage *s = *state;

    (void)settle(s, NET_TLS);
    hang_up(&s->c);
    world_advance(&s->w, 600 * 1000 - 1);
    assert_int_equal(turn_server_allocation_count(s->w.server), 1);
    world_advance(&s->w, 1);
    assert_int_equal(told(s, TURN_EVENT_EXPIRED), 1);
    nothing_is_left(s);
    assert_int_equal(come_back(&s->c, NET_TLS, there).code, STUN_ALLOCATION_MISMATCH);
}

static void lost__may_be_closed_or_deleted(void **state)
{
    struct stage *s = *state;

    (void)settle(s, NET_TCP);
    const struct five_tuple tuple = tuple_of(&s->c);
    const uint64_t session = turn_server_session(s->w.server, &tuple);
    hang_up(&s->c);
    assert_int_equal(turn_server_close_session(s->w.server, session, s->w.now_ms), 0);
    nothing_is_left(s);
    s->c.nonce[0] = '\0';
    (void)settle(s, NET_TCP);
    hang_up(&s->c);
    s->c.nonce[0] = '\0';
    client_readdress(&s->c, there);
    assert_int_equal(client_move(&s->c, 0).code, 0);
    assert_int_equal(told(s, TURN_EVENT_DELETED), 1);
    nothing_is_left(s);
}

/* Make before break, and both connections break.  Proves T-8016-3.2.2-17 */
static void lost__both_of_a_client_that_moves(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s, NET_TCP);
    const struct client old = s->c;
    struct five_tuple was = tuple_of(&old);
    struct turn_way ways[2];

    assert_int_equal(come_back(&s->c, NET_TLS, there).code, 0);
    const struct five_tuple new = tuple_of(&s->c);
    assert_int_equal(turn_server_ways(s->w.server, &new, ways), 2);
    assert_memory_equal(&ways[0].tuple, &was, sizeof(was));
    assert_memory_equal(&ways[1].tuple, &new, sizeof(new));
    assert_ptr_equal(ways[1].listener, &s->c);
    turn_server_client_closed(s->w.server, &was, NULL, s->w.now_ms);
    assert_int_equal(from_peer(s, &relayed), TURN_TO_CLIENT);
    assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
    hang_up(&s->c);
    assert_int_equal(from_peer(s, &relayed), TURN_DROP);
    assert_int_equal(come_back(&s->c, NET_DTLS, elsewhere).code, 0);
    assert_int_equal(from_peer(s, &relayed), TURN_TO_CLIENT);
    assert_int_equal(told(s, TURN_EVENT_CLOSED), 0);
}

/* The 5-tuple is free: who connects from there next is a stranger. */
static void lost__address_is_free_for_others(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s, NET_TCP);
    const struct net_addr peer = world_addr("198.51.100.1:9");
    struct client next;

    hang_up(&s->c);
    (void)world_add_user(&s->w, "next", "word");
    client_init(&next, &s->w, here, "next", "word");
    next.transport = NET_TCP;
    assert_int_equal(client_channel(&next, CHANNEL, "up", 2), TURN_DROP);
    assert_int_equal(client_send(&next, &peer, "up", 2), TURN_DROP);
    assert_int_equal(client_refresh(&next, 600).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(client_allocate(&next).code, 0);
    assert_int_equal(from_peer(s, &relayed), TURN_DROP);
    assert_int_equal(client_allocate(&next).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(come_back(&s->c, NET_TCP, there).code, 0);
    assert_int_equal(from_peer(s, &relayed), TURN_TO_CLIENT);
    assert_int_equal(turn_server_allocation_count(s->w.server), 2);
}

static void count(void *arg, const struct five_tuple *tuple, void *listener)
{
    (void)tuple;
    assert_non_null(listener);
    (*(uint32_t *)arg)++;
}

static void lost__client_is_nowhere(void **state)
{
    struct stage *s = *state;
    struct turn_way ways[2];
    uint32_t seen = 0;
    const struct net_addr relayed = settle(s, NET_TCP);
    const struct five_tuple tuple = tuple_of(&s->c);

    assert_int_equal(turn_server_ways(s->w.server, &tuple, ways), 1);
    assert_ptr_equal(ways[0].listener, &s->c);
    hang_up(&s->c);
    assert_int_equal(turn_server_ways(s->w.server, &tuple, ways), 0);
    turn_server_each(s->w.server, count, &seen);
    assert_int_equal(seen, 0);
    const struct turn_icmp icmp = {world_addr("198.51.100.1:9"), 3, 3, 0};
    assert_int_equal(world_icmp(&s->w, &relayed, &icmp), TURN_DROP);
    assert_int_equal(turn_server_last_drop(s->w.server), DROP_CLIENT_AWAY);
    assert_true(turn_server_recheck(s->w.server, 10, s->w.now_ms));
    assert_int_equal(come_back(&s->c, NET_UDP, there).code, 0);
    turn_server_each(s->w.server, count, &seen);
    assert_int_equal(seen, 1);
}

/* --- bounds -------------------------------------------------------------------------------------
 */

/* Whoever moves, or lets his connections break, has no more allocations than others. */
static void quota__counts_who_has_moved_or_is_away(void **state)
{
    struct stage *s = *state;

    quota_set_limits(s->w.quota, 1, 0);
    (void)settle(s, NET_TCP);
    hang_up(&s->c);
    struct client second;
    client_init(&second, &s->w, elsewhere, "user", "pass");
    assert_int_equal(client_allocate(&second).code, STUN_QUOTA_REACHED);
    assert_int_equal(come_back(&s->c, NET_UDP, there).code, 0);
    assert_int_equal(come_back(&s->c, NET_UDP, here).code, 0);
    assert_int_equal(client_channel(&s->c, CHANNEL, "up", 2), TURN_TO_PEER);
    client_init(&second, &s->w, there, "user", "pass"); /* which he has left */
    assert_int_equal(client_allocate_mobile(&second).code, STUN_QUOTA_REACHED);
    assert_int_equal(quota_total(s->w.quota), 1);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    nothing_is_left(s);
    assert_int_equal(client_allocate_mobile(&second).code, 0);
}

/* From ever new addresses: at most two 5-tuples a session, and nothing else grows. */
static void flood__of_moves_uses_up_nothing(void **state)
{
    struct stage *s = *state;
    const struct net_addr relayed = settle(s, NET_TCP);
    const struct turn_tables *t = &s->w.server->tables;
    const uint64_t socks = s->w.open_sockets;

    world_advance(&s->w, TURN_TRANSACTION_MS); /* its Allocate does not come again */
    for (uint32_t i = 0; i < FLOOD; i++) {
        static const uint8_t transports[] = {NET_UDP, NET_TCP, NET_DTLS, NET_TLS};
        char addr[32];
        (void)snprintf(addr, sizeof(addr), "203.0.%u.%u:%u", 113 + i % 2, 1 + i % 250, 1024 + i);
        assert_int_equal(come_back(&s->c, transports[i % COUNT_OF(transports)], addr).code, 0);
        if (i % 5 == 0) {
            assert_int_equal(client_channel(&s->c, CHANNEL, "up", 2), TURN_TO_PEER);
        }
        if (i % 7 == 0 && s->c.transport != NET_UDP) {
            hang_up(&s->c);
        }
        assert_in_range(t->coming.count, 0, 1);
        assert_int_equal(t->by_tuple.count + t->by_session.count, 2);
        assert_int_equal(slab_count(t->mobile_slab) + slab_count(t->alloc_slab), 2);
        assert_int_equal(slab_count(t->tomb_slab), 0);
    }
    assert_int_equal(s->w.open_sockets, socks);
    assert_int_equal(quota_total(s->w.quota), 1);
    assert_int_equal(come_back(&s->c, NET_UDP, there).code, 0);
    assert_int_equal(client_channel(&s->c, CHANNEL, "up", 2), TURN_TO_PEER);
    (void)relayed;
}

/* --- TCP allocations (RFC 6062) -----------------------------------------------------------------
 */

static void allocate_tcp(struct tcp_stage *t)
{
    assert_true(client_challenge(&t->s.c));
    client_begin(&t->s.c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_u32(&t->s.c.out, STUN_REQUESTED_TRANSPORT, UINT32_C(6) << 24);
    stun_out_attr(&t->s.c.out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    client_sign(&t->s.c);
    const struct reply r = client_submit(&t->s.c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.ticket.n, TURN_TICKET_LEN);
    memcpy(t->s.c.ticket, r.ticket.p, TURN_TICKET_LEN);
    t->s.c.ticket_len = TURN_TICKET_LEN;
    t->relayed = r.relayed[0];
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
}

/* The control connection is replaced; what it controls stays as it is. */
static void tcp__keeps_its_connections(void **state)
{
    struct tcp_stage *t = *state;
    struct client *c = &t->s.c;
    const struct net_addr second = world_addr("198.51.100.7:81");
    struct world_conn *conn;
    struct world_conn *attempt;

    allocate_tcp(t);
    const uint32_t id = tcp_stage_connect(t, &t->peer, &conn);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    assert_ptr_equal(conn->bound_to, &t->data);
    const struct net_addr old = c->addr;
    assert_int_equal(come_back(c, NET_TLS, there).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &second, &attempt), TURN_TO_CLIENT);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &old)); /* he has said nothing yet */
    assert_int_equal(client_refresh(c, 600).code, 0);
    assert_int_equal(told(&t->s, TURN_EVENT_LEFT), 1);
    world_conn_closed(&t->s.w, attempt);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &second, &attempt), TURN_TO_CLIENT);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &c->addr));
    assert_int_equal(t->s.w.pkt.transport, NET_TLS);
    assert_false(conn->closed || attempt->closed);
    assert_int_equal(told(&t->s, TURN_EVENT_CLOSED), 0);
}

/* Proves T-8016-3.2.2-17 */
static void tcp__keeps_its_connections_while_its_client_is_away(void **state)
{
    struct tcp_stage *t = *state;
    struct client *c = &t->s.c;
    const struct net_addr second = world_addr("198.51.100.7:81");
    struct world_conn *conn;
    struct world_conn *attempt = NULL;

    allocate_tcp(t);
    const uint32_t id = tcp_stage_connect(t, &t->peer, &conn);
    assert_int_equal(client_bind_connection(&t->data, id).code, 0);
    hang_up(c);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &second, &attempt), TURN_DROP);
    assert_int_equal(turn_server_last_drop(t->s.w.server), DROP_CLIENT_AWAY);
    assert_int_equal(come_back(c, NET_TCP, there).code, 0);
    assert_false(conn->closed);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &second, &attempt), TURN_TO_CLIENT);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &c->addr));
}

static void tcp__answers_nobody_who_is_away(void **state)
{
    struct tcp_stage *t = *state;

    for (int success = 0; success < 2; success++) {
        client_readdress(&t->s.c, success == 0 ? here : elsewhere);
        allocate_tcp(t);
        struct world_conn *conn = tcp_stage_begin(t, &t->peer);
        hang_up(&t->s.c);
        assert_int_equal(world_connected(&t->s.w, conn, success == 1), TURN_DROP);
        assert_int_equal(turn_server_last_drop(t->s.w.server), DROP_CLIENT_AWAY);
        assert_int_equal(conn->closed, success == 1);
        tcp_stage_no_conns(t);
        assert_int_equal(come_back(&t->s.c, NET_TCP, there).code, 0);
        assert_int_equal(client_refresh(&t->s.c, 0).code, 0);
    }
}

/* A Connect from the new connection is answered there. */
static void tcp__arrives_with_its_first_request(void **state)
{
    struct tcp_stage *t = *state;
    struct world_conn *conn;

    allocate_tcp(t);
    assert_int_equal(come_back(&t->s.c, NET_TCP, there).code, 0);
    (void)tcp_stage_connect(t, &t->peer, &conn);
    assert_true(net_addr_equal(&t->s.w.pkt.remote, &t->s.c.addr));
    assert_int_equal(told(&t->s, TURN_EVENT_LEFT), 1);
    client_readdress(&t->s.c, here);
    t->s.c.nonce[0] = '\0';
    assert_int_equal(client_refresh(&t->s.c, 600).code, STUN_ALLOCATION_MISMATCH);
}

/* RFC 6062 section 4.1: its control connection is TCP or TLS. */
static void tcp__does_not_move_to_datagrams(void **state)
{
    static const uint8_t transports[] = {NET_UDP, NET_DTLS, NET_PROXIED};
    struct tcp_stage *t = *state;

    allocate_tcp(t);
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const struct reply r = come_back(&t->s.c, transports[i], there);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
        assert_null(r.ticket.p);
    }
    assert_int_equal(told(&t->s, TURN_EVENT_MOVED), 0);
    assert_int_equal(come_back(&t->s.c, NET_TLS, there).code, 0);
}

static void tcp__cannot_be_packed(void **state)
{
    struct tcp_stage *t = *state;
    uint8_t parcel[64];
    struct writer w = writer_over(parcel, sizeof(parcel));

    allocate_tcp(t);
    assert_int_equal(come_back(&t->s.c, NET_TLS, there).code, 0);
    const struct five_tuple tuple = tuple_of(&t->s.c);
    assert_int_equal(turn_server_pack(t->s.w.server, &tuple, t->s.w.now_ms, &w), -EOPNOTSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(lost__allocation_with_a_ticket_lives_on),
        STAGE_TEST(lost__client_that_comes_back_is_served_at_once),
        STAGE_TEST(lost__allocation_without_a_ticket_ends),
        STAGE_TEST(lost__ends_where_mobility_is_no_more),
        STAGE_TEST(lost__lives_no_longer_than_its_lifetime),
        STAGE_TEST(lost__may_be_closed_or_deleted),
        STAGE_TEST(lost__both_of_a_client_that_moves),
        STAGE_TEST(lost__address_is_free_for_others),
        STAGE_TEST(lost__client_is_nowhere),
        STAGE_TEST(quota__counts_who_has_moved_or_is_away),
        STAGE_TEST(flood__of_moves_uses_up_nothing),
        TCP_TEST(tcp__keeps_its_connections),
        TCP_TEST(tcp__keeps_its_connections_while_its_client_is_away),
        TCP_TEST(tcp__answers_nobody_who_is_away),
        TCP_TEST(tcp__arrives_with_its_first_request),
        TCP_TEST(tcp__does_not_move_to_datagrams),
        TCP_TEST(tcp__cannot_be_packed),
    };
    return cmocka_run_group_tests_name("mobility: clients that are away", tests, NULL, NULL);
}
