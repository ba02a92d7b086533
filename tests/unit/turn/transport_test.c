/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that do not come over UDP: what differs for TCP, TLS and DTLS. */
#include <string.h>

#include "stage.h"

static const uint8_t transports[] = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS};
static const uint8_t others[] = {NET_TCP, NET_TLS, NET_DTLS};

/* Come over another transport, without a NONCE: one belongs to a transport's address. */
static void switch_to(struct client *c, uint8_t transport)
{
    c->transport = transport;
    c->nonce[0] = '\0';
}

static const uint8_t *client_data(const struct world *w, uint32_t *out_n)
{
    *out_n = w->pkt.len;
    return w->pkt.data;
}

/* The same addresses over another transport are another client. */
static void tuple__holds_the_transport(void **state)
{
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        switch_to(&s->c, transports[i]);
        (void)stage_allocate(&s->c);
        assert_int_equal(s->w.pkt.transport, transports[i]);
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), COUNT_OF(transports));
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const struct five_tuple tuple = {s->c.addr, s->w.server_addr[0], transports[i]};
        assert_true(turn_server_has_allocation(s->w.server, &tuple));
        switch_to(&s->c, transports[i]);
        assert_int_equal(client_refresh(&s->c, 0).code, 0);
        assert_false(turn_server_has_allocation(s->w.server, &tuple));
    }
}

static void answers__go_back_the_way_they_came(void **state)
{
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        switch_to(&s->c, others[i]);
        client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
        client_end(&s->c);
        assert_int_equal(client_submit(&s->c).code, 0);
        assert_int_equal(s->w.pkt.transport, others[i]);
        assert_ptr_equal(s->w.pkt.port, &s->c);
    }
}

/* Data of each length in both directions; `padded` is what the client sees on a stream.
 * Proves T-8656-12.5-03, T-7350-3-05 (the core's part) */
static void channel_data__is_padded_on_streams_only(void **state)
{
    static const uint8_t data[9] = "12345678";
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const bool stream = net_is_stream(transports[i]);
        switch_to(&s->c, transports[i]);
        const struct net_addr relayed = stage_allocate(&s->c);
        assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
        for (uint32_t n = 0; n <= 8; n++) {
            assert_int_equal(client_channel(&s->c, 0x4000, data, n), TURN_TO_PEER);
            assert_int_equal(s->w.pkt.len, n);
            assert_int_equal(s->w.pkt.transport, NET_UDP);
            assert_memory_equal(s->w.pkt.data, data, n);
            memset(s->w.buf, 0xee, 64 + PKT_HEADROOM); /* the padding must not show old bytes */
            assert_int_equal(world_from_peer(&s->w, &relayed, &peer, data, n), TURN_TO_CLIENT);
            uint32_t len;
            const uint8_t *p = client_data(&s->w, &len);
            const uint32_t padding = stream ? -n & 3U : 0;
            assert_int_equal(len, CHANNEL_HEAD + n + padding);
            assert_int_equal(be16(p), 0x4000);
            assert_int_equal(be16(p + 2), n);
            assert_memory_equal(p + CHANNEL_HEAD, data, n);
            for (uint32_t k = 0; k < padding; k++) {
                assert_int_equal(p[CHANNEL_HEAD + n + k], 0);
            }
            assert_int_equal(s->w.pkt.transport, transports[i]);
        }
    }
}

/* Where there is no room for the padding the message is dropped, not cut. */
static void channel_data__without_room_for_padding_is_dropped(void **state)
{
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    struct stage *s = *state;
    struct turn_relay *relay = NULL;

    switch_to(&s->c, NET_TCP);
    (void)stage_allocate(&s->c);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (uint32_t i = 0; i < WORLD_MAX_SOCKETS; i++) {
        relay = s->w.sockets[i].open ? s->w.sockets[i].relay : relay;
    }
    assert_non_null(relay);
    for (uint32_t cap = 5; cap <= 8; cap++) {
        struct pkt pkt = {
            .data = s->w.buf + PKT_HEADROOM,
            .len = 5,
            .cap = cap,
            .buf = s->w.buf,
            .remote = peer,
            .transport = NET_UDP,
        };
        const enum turn_verdict v = turn_server_peer_packet(s->w.server, relay, &pkt, s->w.now_ms);
        assert_int_equal(v, cap == 8 ? TURN_TO_CLIENT : TURN_DROP);
    }
    assert_int_equal(world_drops(&s->w, DROP_TOO_BIG), 3);
}

/* What fits a datagram of a peer fits a stream; a DTLS record holds less. */
static void longest_data__fits_a_stream_and_no_dtls_record(void **state)
{
    static uint8_t data[65507];
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    const struct net_addr plain = world_addr("198.51.100.8:1000");
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const bool stream = net_is_stream(others[i]);
        switch_to(&s->c, others[i]);
        const struct net_addr relayed = stage_allocate(&s->c);
        assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
        assert_int_equal(client_permit(&s->c, &plain).code, 0);
        assert_int_equal(world_from_peer(&s->w, &relayed, &peer, data, sizeof(data)),
                         stream ? TURN_TO_CLIENT : TURN_DROP);
        assert_int_equal(world_from_peer(&s->w, &relayed, &plain, data, 65480),
                         stream ? TURN_TO_CLIENT : TURN_DROP);
        assert_int_equal(world_from_peer(&s->w, &relayed, &peer, data, 16380), TURN_TO_CLIENT);
        assert_int_equal(world_from_peer(&s->w, &relayed, &plain, data, 16348), TURN_TO_CLIENT);
        assert_int_equal(world_from_peer(&s->w, &relayed, &plain, data, 16349),
                         stream ? TURN_TO_CLIENT : TURN_DROP);
    }
}

static uint8_t peer_tos(struct stage *s, uint8_t transport, uint8_t tos)
{
    struct pkt pkt = {
        .data = s->w.buf + PKT_HEADROOM,
        .cap = WORLD_PKT_CAP,
        .buf = s->w.buf,
        .len = 8,
        .remote = s->c.addr,
        .local = s->w.server_addr[0],
        .transport = transport,
        .tos = tos,
    };
    memcpy(pkt.data, "\x40\x00\x00\x04toes", 8);
    assert_int_equal(turn_server_client_packet(s->w.server, &pkt, s->w.now_ms), TURN_TO_PEER);
    return pkt.tos;
}

/* Proves T-8656-15-01, T-8656-16-01 (the core's part) */
static void tos__of_a_stream_has_no_ecn_and_takes_nothing_from_peers(void **state)
{
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        const bool stream = net_is_stream(transports[i]);
        switch_to(&s->c, transports[i]);
        const struct net_addr relayed = stage_allocate(&s->c);
        assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
        assert_int_equal(peer_tos(s, transports[i], 0xbb), stream ? 0xb8 : 0xbb);
        s->w.config.copy_dscp = false;
        assert_int_equal(peer_tos(s, transports[i], 0xbb), stream ? 0 : 3);
        s->w.config.copy_dscp = true;
        struct world_socket *socket = NULL;
        for (uint32_t k = 0; k < WORLD_MAX_SOCKETS; k++) {
            if (s->w.sockets[k].open && net_addr_equal(&s->w.sockets[k].bound, &relayed)) {
                socket = &s->w.sockets[k];
            }
        }
        assert_non_null(socket);
        struct pkt pkt = {
            .data = s->w.buf + PKT_HEADROOM,
            .len = 4,
            .cap = 100,
            .buf = s->w.buf,
            .remote = peer,
            .tos = 0xbb,
        };
        assert_int_equal(turn_server_peer_packet(s->w.server, socket->relay, &pkt, s->w.now_ms),
                         TURN_TO_CLIENT);
        assert_int_equal(pkt.tos, stream ? 0 : 0xbb);
        assert_false(pkt.df);
    }
}

static bool df_of_send(struct client *c, const struct net_addr *peer, bool dont_fragment)
{
    client_begin(c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, peer);
    if (dont_fragment) {
        stun_out_attr(&c->out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    }
    stun_out_attr(&c->out, STUN_DATA_ATTR, bytes_of("hello"));
    client_end(c);
    assert_int_equal(client_submit(c).verdict, TURN_TO_PEER);
    return c->world->pkt.df;
}

/* Proves T-8656-15-02, T-8656-15-03 (the core's part) */
static void dont_fragment__from_a_stream_is_honoured_for_both_families(void **state)
{
    static const char *const peers[] = {"198.51.100.7:1000", "[2001:db8::7]:1000"};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        for (uint8_t family = NET_V4; family <= NET_V6; family++) {
            const struct net_addr peer = world_addr(peers[family - NET_V4]);
            const bool stream = net_is_stream(transports[i]);
            switch_to(&s->c, transports[i]);
            assert_true(client_challenge(&s->c));
            client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
            client_put_transport(&s->c);
            stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)family << 24);
            client_sign(&s->c);
            assert_int_equal(client_submit(&s->c).code, 0);
            assert_int_equal(client_permit(&s->c, &peer).code, 0);
            assert_false(df_of_send(&s->c, &peer, false));
            assert_int_equal(df_of_send(&s->c, &peer, true), stream || family == NET_V4);
            assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
            assert_int_equal(client_channel(&s->c, 0x4000, "hello", 5), TURN_TO_PEER);
            assert_false(s->w.pkt.df);
            assert_int_equal(client_refresh(&s->c, 0).code, 0);
        }
    }
}

/* An IPv4 client's Allocate for IPv6 with DONT-FRAGMENT: a stream has no DF that could be seen. */
static void dont_fragment__in_an_allocate_over_a_stream_is_understood(void **state)
{
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        switch_to(&s->c, transports[i]);
        assert_true(client_challenge(&s->c));
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
        stun_out_attr(&s->c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
        client_sign(&s->c);
        assert_int_equal(client_submit(&s->c).code,
                         net_is_stream(transports[i]) ? 0 : STUN_UNKNOWN_ATTRIBUTE);
    }
}

/* The end of the connection, or association, is the allocation's. */
static void connection__that_closes_ends_its_allocation(void **state)
{
    const struct net_addr peer = world_addr("198.51.100.7:1000");
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct five_tuple tuple = {s->c.addr, s->w.server_addr[0], others[i]};
        switch_to(&s->c, others[i]);
        const struct net_addr relayed = stage_allocate(&s->c);
        assert_int_equal(client_permit(&s->c, &peer).code, 0);
        turn_server_client_closed(s->w.server, &tuple, s, s->w.now_ms); /* not its own */
        assert_true(turn_server_has_allocation(s->w.server, &tuple));
        turn_server_client_closed(s->w.server, &tuple, NULL, s->w.now_ms);
        assert_int_equal(s->w.open_sockets, 0);
        assert_int_equal(s->w.events.count[TURN_EVENT_CLOSED], i + 1);
        assert_int_equal(world_from_peer(&s->w, &relayed, &peer, NULL, 0), TURN_DROP);
        (void)stage_allocate(&s->c); /* a new connection from the same port */
        assert_int_equal(client_refresh(&s->c, 0).code, 0);
    }
}

/* --- redirection --------------------------------------------------------------------------------
 */

static void put_alternates(struct world *w)
{
    static const char *const addrs[TURN_ALTERNATE_KINDS] = {
        "198.51.100.10:3478", "198.51.100.11:3478", "198.51.100.12:5349"};

    for (int i = 0; i < TURN_ALTERNATE_KINDS; i++) {
        struct turn_alternates *list = &w->config.alternates[i];
        list->count = 1;
        list->items[0].addr = world_addr(addrs[i]);
        memcpy(list->items[0].domain, "turn.example.net", sizeof("turn.example.net"));
    }
}

static void redirect__is_that_of_the_transport(void **state)
{
    static const uint16_t ends[] = {10, 11, 12, 12}; /* TLS stands for DTLS, too */
    struct stage *s = *state;

    put_alternates(&s->w);
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        switch_to(&s->c, transports[i]);
        const struct reply r = client_allocate(&s->c);
        assert_int_equal(r.code, STUN_TRY_ALTERNATE);
        assert_int_equal(r.alternate_count, 1);
        assert_int_equal(net_ip_v4_bytes(&r.alternate[0].ip)[3], ends[i]);
    }
    s->w.config.alternates[TURN_ALTERNATE_TCP].count = 0;
    switch_to(&s->c, NET_TCP);
    (void)stage_allocate(&s->c);
}

/* Proves T-8489-10-03, T-8489-10-04, T-8489-14.16-01 (the core's part) */
static void redirect__tells_the_domain_to_whom_it_concerns(void **state)
{
    static const enum client_auth auths[] = {CLIENT_LEGACY, CLIENT_MD5, CLIENT_SHA256};
    struct stage *s = *state;

    put_alternates(&s->w);
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        for (size_t k = 0; k < COUNT_OF(auths); k++) {
            const bool told = (transports[i] == NET_TLS || transports[i] == NET_DTLS) &&
                              auths[k] != CLIENT_LEGACY;
            switch_to(&s->c, transports[i]);
            s->c.auth = auths[k];
            const struct reply r = client_allocate(&s->c);
            assert_int_equal(r.code, STUN_TRY_ALTERNATE);
            assert_true(r.integrity_ok);
            assert_true(told ? bytes_equal(r.domain, bytes_of("turn.example.net"))
                             : r.domain.p == NULL);
        }
    }
    s->w.config.alternates[TURN_ALTERNATE_TLS].items[0].domain[0] = '\0';
    switch_to(&s->c, NET_TLS);
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_TRY_ALTERNATE);
    assert_null(r.domain.p);
}

/* --- classic STUN -------------------------------------------------------------------------------
 */

static enum turn_verdict submit_classic(struct stage *s, uint8_t transport, uint16_t type,
                                        const uint8_t id[16], size_t body)
{
    uint8_t m[64] = {0};

    be16_put(m, type);
    be16_put(m + 2, (uint16_t)body);
    memcpy(m + 4, id, 16);
    return world_from_client_over(&s->w, &s->c.addr, transport, s, m, 20 + body);
}

static const uint8_t classic_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* What a path of unknown MTU carries, less a record's head, nonce, MAC and padding under the suite
 * that needs the most of them.
 * Proves T-8489-6.1-02 */
static void longest_challenge__leaves_room_for_a_dtls_record(void **state)
{
    enum { PATH = 576 - 28, RECORD_HEAD = 13, CBC_IV = 16, SHA384 = 48, CBC_PADDING = 16 };
    struct stage *s = *state;

    memset(s->w.config.main.name, 'r', TURN_REALM_MAX);
    s->w.config.main.name[TURN_REALM_MAX] = '\0';
    s->c.fingerprint = true;
    switch_to(&s->c, NET_DTLS);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_UNAUTHENTICATED);
    assert_true(s->w.pkt.len <= PATH - RECORD_HEAD - CBC_IV - SHA384 - CBC_PADDING);
}

/* Proves T-7350-3-01, T-8489-6.3.1-03 */
static void retransmission__over_dtls_repeats_the_success(void **state)
{
    struct stage *s = *state;

    switch_to(&s->c, NET_DTLS);
    const struct net_addr relayed = stage_allocate(&s->c);
    for (int i = 0; i < 5; i++) {
        world_advance(&s->w, 7800); /* up to 39 s */
        client_begin_again(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        client_sign(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_int_equal(r.code, 0);
        assert_true(net_addr_equal(&r.relayed[0], &relayed));
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 1);
}

/* Proves T-8489-11-01, T-7350-3-04 */
static void classic_request__over_dtls_is_an_error(void **state)
{
    static const uint16_t types[] = {0x0001, 0x0003, 0x0002, 0x0004};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        for (size_t body = 0; body <= 8; body += 4) {
            assert_int_equal(submit_classic(s, NET_DTLS, types[i], classic_id, body),
                             TURN_TO_CLIENT);
            const uint8_t *p = s->w.pkt.data;
            assert_int_equal(be16(p), types[i] | 0x0110);
            assert_memory_equal(p + 4, classic_id, sizeof(classic_id));
            assert_int_equal(be16(p + 2) + 20, s->w.pkt.len);
            assert_int_equal(be16(p + 20), STUN_ERROR_CODE);
            assert_int_equal(stun_code_decode((struct bytes){p + 24, be16(p + 22)}),
                             STUN_SERVER_ERROR);
            assert_int_equal(s->w.pkt.transport, NET_DTLS);
            assert_ptr_equal(s->w.pkt.port, s);
        }
    }
}

/* Proves T-8489-11-02, T-8656-5-01 */
static void classic_others__get_no_answer(void **state)
{
    static const uint16_t types[] = {0x0011, 0x0101, 0x0111, 0x0013, 0x4001, 0x8001};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(types); i++) { /* indications, responses, none at all */
        assert_int_equal(submit_classic(s, NET_DTLS, types[i], classic_id, 0), TURN_DROP);
    }
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        if (transports[i] != NET_DTLS) {
            assert_int_equal(submit_classic(s, transports[i], 0x0001, classic_id, 0), TURN_DROP);
            assert_int_equal(submit_classic(s, transports[i], 0x0003, classic_id, 0), TURN_DROP);
        }
    }
    uint8_t m[24] = {0, 1, 0, 4};
    memcpy(m + 4, classic_id, 16);
    for (size_t n = 0; n < 24; n++) { /* every truncation, and a wrong length */
        assert_int_equal(world_from_client_over(&s->w, &s->c.addr, NET_DTLS, s, m, n), TURN_DROP);
    }
    m[3] = 3;
    assert_int_equal(world_from_client_over(&s->w, &s->c.addr, NET_DTLS, s, m, 23), TURN_DROP);
    assert_int_equal(turn_server_counters(s->w.server)->refused_300_to_599[200], 0);
}

static void classic_request__costs_a_challenge(void **state)
{
    struct stage *s = *state;

    s->w.config.unauth_per_s = 1;
    s->w.config.unauth_burst = 2;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    assert_int_equal(submit_classic(s, NET_DTLS, 1, classic_id, 0), TURN_TO_CLIENT);
    assert_int_equal(submit_classic(s, NET_DTLS, 1, classic_id, 0), TURN_TO_CLIENT);
    assert_int_equal(submit_classic(s, NET_DTLS, 1, classic_id, 0), TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_UNAUTH_RATE), 1);
}

/* A flood of datagrams in a client's name does not keep its connections from being answered. */
static void challenges__on_streams_have_an_account_of_their_own(void **state)
{
    struct stage *s = *state;

    s->w.config.unauth_per_s = 1;
    s->w.config.unauth_burst = 2;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    for (uint32_t before = 0; world_drops(&s->w, DROP_UNAUTH_RATE) == 0; before++) {
        assert_true(before < 10);
        switch_to(&s->c, NET_UDP);
        (void)client_challenge(&s->c);
    }
    for (size_t i = 0; i < 2; i++) {
        switch_to(&s->c, others[i]);
        assert_true(client_challenge(&s->c));
    }
    assert_false(client_challenge(&s->c)); /* but an account it is */
    assert_int_equal(world_drops(&s->w, DROP_UNAUTH_RATE), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(tuple__holds_the_transport),
        STAGE_TEST(answers__go_back_the_way_they_came),
        STAGE_TEST(channel_data__is_padded_on_streams_only),
        STAGE_TEST(channel_data__without_room_for_padding_is_dropped),
        STAGE_TEST(longest_data__fits_a_stream_and_no_dtls_record),
        STAGE_TEST(tos__of_a_stream_has_no_ecn_and_takes_nothing_from_peers),
        STAGE_TEST(dont_fragment__from_a_stream_is_honoured_for_both_families),
        STAGE_TEST(dont_fragment__in_an_allocate_over_a_stream_is_understood),
        STAGE_TEST(connection__that_closes_ends_its_allocation),
        STAGE_TEST(redirect__is_that_of_the_transport),
        STAGE_TEST(redirect__tells_the_domain_to_whom_it_concerns),
        STAGE_TEST(longest_challenge__leaves_room_for_a_dtls_record),
        STAGE_TEST(retransmission__over_dtls_repeats_the_success),
        STAGE_TEST(classic_request__over_dtls_is_an_error),
        STAGE_TEST(classic_others__get_no_answer),
        STAGE_TEST(classic_request__costs_a_challenge),
        STAGE_TEST(challenges__on_streams_have_an_account_of_their_own),
    };
    return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
