/* SPDX-License-Identifier: Apache-2.0 */
/* TCP allocations: what makes them and what they are (RFC 6062 section 5.1). */
#include <errno.h>
#include <string.h>

#include "tcp_stage.h"

static struct reply allocate_with(struct client *c, uint8_t transport, uint16_t type,
                                  struct bytes value)
{
    if (c->nonce[0] == '\0') {
        assert_true(client_challenge(c));
    }
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_REQUESTED_TRANSPORT, (uint32_t)transport << 24);
    if (type != 0) {
        stun_out_attr(&c->out, type, value);
    }
    client_sign(c);
    return client_submit(c);
}

/* Proves T-6062-5.1-01, T-6062-5.1-06, T-6062-5.1-07 */
static void allocate__over_a_stream_opens_a_tcp_relay(void **state)
{
    static const uint8_t streams[] = {NET_TCP, NET_TLS};
    struct tcp_stage *t = *state;

    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        t->s.c.transport = streams[i];
        const struct reply r = client_allocate_tcp(&t->s.c);
        assert_int_equal(r.code, 0);
        assert_true(r.integrity_ok && !r.has_token);
        assert_int_equal(r.relayed_count, 1);
        assert_int_equal(r.relayed[0].family, NET_V4);
        assert_int_equal(t->s.w.pkt.transport, streams[i]);
        assert_ptr_equal(t->s.w.pkt.port, &t->s.c);
        uint32_t tcp = 0;
        for (uint32_t k = 0; k < WORLD_MAX_SOCKETS; k++) {
            tcp += t->s.w.sockets[k].open && t->s.w.sockets[k].protocol == NET_TCP;
        }
        assert_int_equal(tcp, i + 1);
    }
}

/* Proves T-6062-5.1-02 */
static void transport__neither_udp_nor_tcp_is_not_supported(void **state)
{
    static const uint8_t others[] = {1, 33, 132, 253, 254};
    struct tcp_stage *t = *state;

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct reply r = allocate_with(&t->s.c, others[i], 0, bytes_of(""));
        assert_int_equal(r.code, STUN_UNSUPPORTED_TRANSPORT);
        assert_true(r.integrity_ok);
    }
}

/* Proves T-6062-5.1-03 */
static void policy__udp_and_tcp_relays_are_forbidden_each_for_itself(void **state)
{
    struct tcp_stage *t = *state;

    t->s.w.config.udp_relay = false;
    assert_int_equal(client_allocate(&t->s.c).code, STUN_FORBIDDEN);
    t->s.w.config.tcp_relay = false;
    assert_int_equal(client_allocate_tcp(&t->s.c).code, STUN_FORBIDDEN);
    t->s.w.config.udp_relay = true;
    const struct reply r = client_allocate(&t->s.c);
    assert_int_equal(r.code, 0);
    t->s.w.config.tcp_relay = true;
    assert_int_equal(client_allocate_tcp(&t->data).code, 0);
}

/* Proves T-6062-5.1-04, T-7350-4.6-01 */
static void allocate__over_datagrams_is_a_bad_request(void **state)
{
    static const uint8_t datagrams[] = {NET_UDP, NET_DTLS};
    struct tcp_stage *t = *state;

    for (size_t i = 0; i < COUNT_OF(datagrams); i++) {
        t->s.c.transport = datagrams[i];
        const struct reply r = client_allocate_tcp(&t->s.c);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
    }
    assert_int_equal(t->s.w.open_sockets, 0);
}

/* Proves T-6062-5.1-05 */
static void allocate__with_what_only_datagrams_have_is_a_bad_request(void **state)
{
    static const uint8_t bytes[8] = {0x80, 1, 2, 3, 4, 5, 6, 7};
    static const uint8_t two[4] = {2};

    static const struct {
        uint16_t type;
        struct bytes value;
    } probes[] = {
        {STUN_DONT_FRAGMENT, {bytes, 0}},           {STUN_EVEN_PORT, {bytes, 1}},
        {STUN_EVEN_PORT, {bytes + 1, 1}},           {STUN_RESERVATION_TOKEN, {bytes, 8}},
        {STUN_ADDITIONAL_ADDRESS_FAMILY, {two, 4}}, /* */
    };
    struct tcp_stage *t = *state;

    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        const struct reply r = allocate_with(&t->s.c, 6, probes[i].type, probes[i].value);
        assert_int_equal(r.code, STUN_BAD_REQUEST);
        assert_true(r.integrity_ok);
    }
    assert_int_equal(t->s.w.open_sockets, 0);
}

/* Syntax before policy. */
static void allocate__is_judged_by_its_form_first(void **state)
{
    struct tcp_stage *t = *state;

    t->s.w.config.tcp_relay = false;
    assert_int_equal(allocate_with(&t->s.c, 6, STUN_DONT_FRAGMENT, bytes_of("")).code,
                     STUN_BAD_REQUEST);
    t->s.w.config.ipv4_relay = false;
    assert_int_equal(client_allocate_tcp(&t->s.c).code, STUN_FAMILY_NOT_SUPPORTED);
}

/* Proves T-6062-5.1-08 */
static void lifetime__refresh_and_permissions_are_those_of_udp(void **state)
{
    static const uint8_t long_life[4] = {0, 0, 0x0e, 0x10};
    struct tcp_stage *t = *state;

    const struct reply made =
        allocate_with(&t->s.c, 6, STUN_LIFETIME, (struct bytes){long_life, 4});
    assert_int_equal(made.code, 0);
    assert_int_equal(made.lifetime_s, 3600);
    assert_true(net_addr_equal(&made.mapped, &t->s.c.addr));
    assert_int_equal(client_allocate_tcp(&t->s.c).code, STUN_ALLOCATION_MISMATCH);
    const struct reply refreshed = client_refresh(&t->s.c, 0);
    assert_int_equal(refreshed.code, 0);
    assert_int_equal(t->s.w.open_sockets, 0);
    assert_int_equal(client_refresh(&t->s.c, 600).code, STUN_ALLOCATION_MISMATCH);

    tcp_stage_allocate(t);
    struct world_conn *conn;
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_TO_CLIENT);
    world_conn_closed(&t->s.w, conn);
    world_advance(&t->s.w, 299999);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_TO_CLIENT);
    world_conn_closed(&t->s.w, conn);
    world_advance(&t->s.w, 1);
    assert_int_equal(world_accept(&t->s.w, &t->relayed, &t->peer, &conn), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_NO_PERMISSION), 1);
    world_advance(&t->s.w, 300000);
    assert_int_equal(t->s.w.events.count[TURN_EVENT_EXPIRED], 1);
    assert_int_equal(t->s.w.open_sockets, 0);
}

/* Proves T-6062-5.1-09 */
static void tcp_allocation__has_neither_indications_nor_channels(void **state)
{
    struct tcp_stage *t = *state;

    tcp_stage_allocate(t);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    assert_int_equal(client_send(&t->s.c, &t->peer, "hello", 5), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_TCP_ALLOCATION), 1);
    assert_int_equal(client_bind(&t->s.c, 0x4000, &t->peer).code, STUN_BAD_REQUEST);
    assert_int_equal(client_channel(&t->s.c, 0x4000, "hello", 5), TURN_DROP);
    assert_int_equal(world_drops(&t->s.w, DROP_NO_CHANNEL), 1);
}

/* Proves T-6062-5.1-09 */
static void udp_allocation__has_no_connections(void **state)
{
    struct tcp_stage *t = *state;

    (void)stage_allocate(&t->s.c);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, 0);
    const struct reply r = client_connect(&t->s.c, &t->peer);
    assert_int_equal(r.code, STUN_BAD_REQUEST);
    assert_true(r.integrity_ok);
    assert_int_equal(client_send(&t->s.c, &t->peer, "hello", 5), TURN_TO_PEER);
    assert_int_equal(t->s.w.pkt.transport, NET_UDP);
}

/* Proves T-6062-5.1-10 */
static void family__is_honoured(void **state)
{
    static const uint8_t six[4] = {NET_V6};
    static const uint8_t none[4] = {3};
    const struct net_addr peer6 = world_addr("[2001:db8::7]:80");
    struct tcp_stage *t = *state;

    assert_int_equal(
        allocate_with(&t->s.c, 6, STUN_REQUESTED_ADDRESS_FAMILY, (struct bytes){none, 4}).code,
        STUN_FAMILY_NOT_SUPPORTED);
    const struct reply r =
        allocate_with(&t->s.c, 6, STUN_REQUESTED_ADDRESS_FAMILY, (struct bytes){six, 4});
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed[0].family, NET_V6);
    assert_int_equal(client_connect(&t->s.c, &t->peer).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(client_permit(&t->s.c, &t->peer).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(client_permit(&t->s.c, &peer6).code, 0);
    struct world_conn *conn;
    (void)tcp_stage_connect(t, &peer6, &conn);
    assert_true(net_addr_equal(&conn->socket->bound, &r.relayed[0]));
}

/* Its connections cannot travel. */
static void parcel__takes_no_tcp_allocation(void **state)
{
    struct tcp_stage *t = *state;
    uint8_t parcel[TURN_PARCEL_HEAD];
    struct writer w = writer_over(parcel, sizeof(parcel));

    tcp_stage_allocate(t);
    const struct five_tuple tuple = {t->s.c.addr, t->s.w.server_addr[0], NET_TCP};
    assert_int_equal(turn_server_pack(t->s.w.server, &tuple, t->s.w.now_ms, &w), -EOPNOTSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TCP_TEST(allocate__over_a_stream_opens_a_tcp_relay),
        TCP_TEST(transport__neither_udp_nor_tcp_is_not_supported),
        TCP_TEST(policy__udp_and_tcp_relays_are_forbidden_each_for_itself),
        TCP_TEST(allocate__over_datagrams_is_a_bad_request),
        TCP_TEST(allocate__with_what_only_datagrams_have_is_a_bad_request),
        TCP_TEST(allocate__is_judged_by_its_form_first),
        TCP_TEST(lifetime__refresh_and_permissions_are_those_of_udp),
        TCP_TEST(tcp_allocation__has_neither_indications_nor_channels),
        TCP_TEST(udp_allocation__has_no_connections),
        TCP_TEST(family__is_honoured),
        TCP_TEST(parcel__takes_no_tcp_allocation),
    };
    return cmocka_run_group_tests_name("tcp_allocate", tests, NULL, NULL);
}
