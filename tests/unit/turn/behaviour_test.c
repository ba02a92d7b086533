/* SPDX-License-Identifier: Apache-2.0 */
/* NAT behaviour discovery (RFC 5780 sections 6 and 7). */
#include <string.h>

#include "behaviour_stage.h"

enum { IP = 4, PORT = 2 };

static void begin(struct stage *s)
{
    client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
}

/* The server's address `at` of `family` is where the client sends from now on. */
static void send_to(struct stage *s, int family, int at)
{
    s->w.server_addr[family] = behaviour_addr(family, at);
}

static struct reply submit(struct stage *s)
{
    client_end(&s->c);
    return client_submit(&s->c);
}

static struct reply ask(struct stage *s, uint32_t flags)
{
    begin(s);
    stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, flags);
    return submit(s);
}

/* 420 that lists exactly `type`. */
static void assert_unknown(const struct reply *r, uint16_t type)
{
    assert_int_equal(r->code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(r->unknown.n, 2);
    assert_int_equal(be16(r->unknown.p), type);
}

/* RFC 5780 section 6.1, table 1, from each of the four addresses.
 * Proves T-5780-6.1-03, T-5780-6.1-04, T-5780-6.1-05, T-5780-6.1-06, T-5780-6.1-07, T-5780-6.1-08,
 * T-5780-6-01, T-5780-7.1-01 */
static void answer__leaves_from_where_the_flags_say(void **state)
{
    static const uint32_t flags[] = {0, PORT, IP, IP | PORT};
    struct stage *s = *state;

    for (int family = 0; family < 2; family++) {
        client_init(&s->c, &s->w, family == 0 ? "203.0.113.5:4000" : "[2001:db8::5]:4000", NULL,
                    NULL);
        for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
            send_to(s, family, at);
            const struct net_addr other = behaviour_addr(family, at ^ 3);
            for (int i = 0; i < 4; i++) {
                const struct net_addr from = behaviour_addr(family, at ^ i);
                const struct reply r = ask(s, flags[i]);
                assert_int_equal(r.verdict, TURN_TO_CLIENT);
                assert_int_equal(r.code, 0);
                assert_true(net_addr_equal(&s->w.pkt.local, &from));
                assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
                assert_true(behaviour_tells(s, STUN_RESPONSE_ORIGIN, &from));
                assert_true(behaviour_tells(s, STUN_OTHER_ADDRESS, &other));
                assert_true(s->w.pkt.port == (i == 0 ? (void *)&s->w.server_addr
                                                     : (void *)&behaviour_ports[family][at ^ i]));
            }
        }
    }
}

/* Proves T-5780-6.1-01, T-5780-6.1-02, T-5780-6.1-11, T-8489-14.1-02 */
static void plain_binding__tells_all_addresses(void **state)
{
    struct stage *s = *state;
    const struct net_addr here = behaviour_addr(0, 0);
    const struct net_addr other = behaviour_addr(0, 3);

    begin(s);
    const struct reply r = submit(s);
    assert_int_equal(r.code, 0);
    assert_true(net_addr_equal(&r.mapped, &s->c.addr));
    assert_true(behaviour_tells(s, STUN_MAPPED_ADDRESS, &s->c.addr));
    assert_true(behaviour_tells(s, STUN_RESPONSE_ORIGIN, &here));
    assert_true(behaviour_tells(s, STUN_OTHER_ADDRESS, &other));
    assert_int_equal(r.alternate_count, 0);
    assert_true(behaviour_lacks(s, STUN_PADDING));
}

/* Behind a NAT, clients know the public addresses. */
static void told__are_the_public_addresses(void **state)
{
    struct stage *s = *state;
    struct net_addr public_addr[2];

    assert_int_equal(net_addr_parse("198.51.100.1:3479", 0, &public_addr[0]), 0);
    assert_int_equal(net_addr_parse("198.51.100.2:3479", 0, &public_addr[1]), 0);
    s->w.config.behaviour.sets[0].told[1] = public_addr[0];
    s->w.config.behaviour.sets[0].told[3] = public_addr[1];
    assert_int_equal(ask(s, PORT).code, 0);
    const struct net_addr from = behaviour_addr(0, 1);
    assert_true(net_addr_equal(&s->w.pkt.local, &from));
    assert_true(behaviour_tells(s, STUN_RESPONSE_ORIGIN, &public_addr[0]));
    assert_true(behaviour_tells(s, STUN_OTHER_ADDRESS, &public_addr[1]));
}

/* Proves T-5780-7.2-01 */
static void other_flags__mean_nothing(void **state)
{
    struct stage *s = *state;
    const struct net_addr both = behaviour_addr(0, 3);
    const struct net_addr none = behaviour_addr(0, 0);

    assert_int_equal(ask(s, 0xFFFFFFFF).code, 0);
    assert_true(net_addr_equal(&s->w.pkt.local, &both));
    assert_int_equal(ask(s, ~(uint32_t)(IP | PORT)).code, 0);
    assert_true(net_addr_equal(&s->w.pkt.local, &none));
}

static void change_request__of_a_wrong_length_is_a_bad_request(void **state)
{
    static const uint8_t zeros[8];
    struct stage *s = *state;

    for (size_t n = 0; n <= 8; n++) {
        begin(s);
        stun_out_attr(&s->c.out, STUN_CHANGE_REQUEST, (struct bytes){zeros, n});
        assert_int_equal(submit(s).code, n == 4 ? 0 : STUN_BAD_REQUEST);
    }
}

/* Proves T-5780-6-02, T-5780-6-03, T-5389-12.2-03 */
static void without_a_second_address__the_attributes_are_unknown(void **state)
{
    static const uint32_t flags[] = {0, PORT, IP, IP | PORT};
    struct stage *s = *state;

    s->w.config.behaviour.count = 0;
    for (int i = 0; i < 4; i++) {
        const struct reply r = ask(s, flags[i]);
        assert_unknown(&r, STUN_CHANGE_REQUEST);
        assert_true(behaviour_lacks(s, STUN_OTHER_ADDRESS));
    }
    begin(s);
    const struct reply r = submit(s);
    assert_int_equal(r.code, 0);
    assert_false(r.has_mapped_plain);
    assert_true(behaviour_lacks(s, STUN_RESPONSE_ORIGIN));
    assert_true(behaviour_lacks(s, STUN_OTHER_ADDRESS));
}

/* An address of ours that is none of the four. */
static void elsewhere__the_attributes_are_unknown(void **state)
{
    struct stage *s = *state;

    s->w.server_addr[0].port = 3480;
    const struct reply r = ask(s, IP);
    assert_unknown(&r, STUN_CHANGE_REQUEST);
    begin(s);
    assert_int_equal(submit(s).code, 0);
    assert_true(behaviour_lacks(s, STUN_OTHER_ADDRESS));
}

/* Proves T-5780-6.1-12 */
static void connections__tell_the_other_address_and_refuse_a_change(void **state)
{
    static const uint8_t transports[] = {NET_TCP, NET_TLS, NET_DTLS};
    struct stage *s = *state;
    const struct net_addr here = behaviour_addr(0, 0);
    const struct net_addr other = behaviour_addr(0, 3);

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        s->c.transport = transports[i];
        for (uint32_t flags = PORT; flags <= (IP | PORT); flags += PORT) {
            const struct reply r = ask(s, flags);
            assert_unknown(&r, STUN_CHANGE_REQUEST);
        }
        assert_int_equal(ask(s, 0).code, 0);
        assert_true(behaviour_tells(s, STUN_RESPONSE_ORIGIN, &here));
        assert_true(behaviour_tells(s, STUN_OTHER_ADDRESS, &other));
        begin(s);
        stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 5000U << 16);
        struct reply r = submit(s);
        assert_unknown(&r, STUN_RESPONSE_PORT);
        begin(s);
        stun_out_u32(&s->c.out, STUN_PADDING, 0);
        r = submit(s);
        assert_unknown(&r, STUN_PADDING);
    }
}

/* What balancers bring comes from their addresses, and only they can answer from there. */
static void balancers__are_no_second_address(void **state)
{
    struct stage *s = *state;

    s->c.transport = NET_PROXIED;
    const struct reply r = ask(s, PORT);
    assert_unknown(&r, STUN_CHANGE_REQUEST);
}

/* Proves T-5780-7-01 */
static void other_methods__do_not_know_the_attributes(void **state)
{
    static const uint16_t types[] = {STUN_CHANGE_REQUEST, STUN_PADDING, STUN_RESPONSE_PORT};
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        stun_out_u32(&s->c.out, types[i], 0);
        client_sign(&s->c);
        const struct reply r = client_submit(&s->c);
        assert_unknown(&r, types[i]);
    }
    /* An indication with one of them is not understood, and means nothing. */
    (void)stage_allocate(&s->c);
    struct net_addr peer;
    assert_int_equal(net_addr_parse("198.51.100.7:9", 0, &peer), 0);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    client_begin(&s->c, STUN_SEND, STUN_INDICATION);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &peer);
    stun_out_attr(&s->c.out, STUN_DATA_ATTR, bytes_of("x"));
    stun_out_u32(&s->c.out, STUN_PADDING, 0);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_UNKNOWN_ATTRIBUTE), 1);
}

static struct reply pad(struct stage *s, size_t n)
{
    static const uint8_t filler[4096];

    begin(s);
    stun_out_attr(&s->c.out, STUN_PADDING, (struct bytes){filler, n});
    return submit(s);
}

/* Proves T-5780-6.1-09, T-5780-7.6-01, T-8489-12-07 */
static void padding__is_as_long_as_the_mtu_and_no_longer_than_asked(void **state)
{
    static const size_t asked[] = {0, 1, 3, 4, 5, 1000, 1499, 1500, 1501, 4096};
    static const size_t given[] = {0, 4, 4, 4, 8, 1000, 1500, 1500, 1500, 1500};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        assert_int_equal(pad(s, asked[i]).code, 0);
        const struct bytes padding = behaviour_attr(s, STUN_PADDING);
        assert_non_null(padding.p);
        assert_int_equal(padding.n, given[i]);
        assert_true(s->w.pkt.len <= s->c.len + 64); /* nothing to be had by forging */
        assert_false(s->w.pkt.df);                  /* it is there to be fragmented */
    }
}

/* Proves T-5780-5.1-01, T-5780-7.5-02 */
static void padding_and_response_port__are_unknown_unless_allowed(void **state)
{
    struct stage *s = *state;

    s->w.config.behaviour.padding = false;
    s->w.config.behaviour.response_port = false;
    struct reply r = pad(s, 1500);
    assert_unknown(&r, STUN_PADDING);
    begin(s);
    stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 5000U << 16);
    r = submit(s);
    assert_unknown(&r, STUN_RESPONSE_PORT);
    assert_int_equal(s->w.pkt.remote.port, 4000);
}

/* Proves T-5780-7.5-01, T-5780-7.5-03; A-12: with and without the two bytes that follow */
static void response_port__changes_nothing_but_the_port(void **state)
{
    static const uint8_t value[] = {0x13, 0x88, 0xff, 0xff};
    struct stage *s = *state;
    const struct net_addr from[] = {behaviour_addr(0, 0), behaviour_addr(0, 2)};

    for (size_t n = 2; n <= 4; n += 2) {
        for (uint32_t flags = 0; flags <= IP; flags += IP) {
            begin(s);
            stun_out_attr(&s->c.out, STUN_RESPONSE_PORT, (struct bytes){value, n});
            stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, flags);
            const struct reply r = submit(s);
            assert_int_equal(r.code, 0);
            assert_true(net_ip_equal(&s->w.pkt.remote.ip, &s->c.addr.ip));
            assert_int_equal(s->w.pkt.remote.port, 5000);
            assert_true(net_addr_equal(&r.mapped, &s->c.addr));
            assert_true(net_addr_equal(&s->w.pkt.local, &from[flags / IP]));
            /* never by a socket that may be connected to the other port */
            assert_true(s->w.pkt.port == &behaviour_ports[0][flags / 2]);
        }
    }
}

/* Proves T-5780-6.1-10, T-5780-7.5-03 */
static void response_port__refusals_go_to_the_source(void **state)
{
    static const uint8_t value[] = {0x13, 0x88, 0, 0, 0, 0};
    struct stage *s = *state;

    for (size_t n = 0; n <= 6; n++) {
        begin(s);
        stun_out_attr(&s->c.out, STUN_RESPONSE_PORT, (struct bytes){value, n});
        assert_int_equal(submit(s).code, n == 2 || n == 4 ? 0 : STUN_BAD_REQUEST);
        assert_int_equal(s->w.pkt.remote.port, n == 2 || n == 4 ? 5000 : 4000);
    }
    begin(s);
    stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 0);
    assert_int_equal(submit(s).code, STUN_BAD_REQUEST);
    begin(s);
    stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 5000U << 16);
    stun_out_u32(&s->c.out, STUN_PADDING, 0);
    assert_int_equal(submit(s).code, STUN_BAD_REQUEST);
    assert_int_equal(s->w.pkt.remote.port, 4000);
}

/* Proves T-5780-5.2-01 */
static void secure_stun__signs_these_answers_too(void **state)
{
    struct stage *s = *state;
    const struct net_addr from = behaviour_addr(0, 3);

    s->w.config.auth_binding = true;
    assert_int_equal(ask(s, IP | PORT).code, STUN_UNAUTHENTICATED);
    assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[0])); /* refusals do not move */
    assert_true(client_challenge(&s->c));
    begin(s);
    stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, IP | PORT);
    client_sign(&s->c);
    const struct reply r = client_submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_true(r.integrity_ok);
    assert_true(net_addr_equal(&s->w.pkt.local, &from));
    assert_true(behaviour_tells(s, STUN_RESPONSE_ORIGIN, &from));
}

/* What cannot leave from where it should does not leave from elsewhere. */
static void no_socket__is_an_error(void **state)
{
    struct stage *s = *state;

    behaviour_broken = true;
    assert_int_equal(ask(s, PORT).code, STUN_SERVER_ERROR);
    assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[0]));
    assert_true(behaviour_lacks(s, STUN_RESPONSE_ORIGIN));
    assert_int_equal(ask(s, 0).code, 0);
}

/* What is more than a plain answer is rationed: who asks may be somebody else. */
static void padding_and_response_port__are_rationed(void **state)
{
    struct stage *s = *state;

    s->w.config.unauth_per_s = 1;
    s->w.config.unauth_burst = 2;
    assert_int_equal(world_reconfigure(&s->w, NULL, NULL), 0);
    assert_int_equal(pad(s, 1500).code, 0);
    begin(s);
    stun_out_u32(&s->c.out, STUN_RESPONSE_PORT, 5000U << 16);
    assert_int_equal(submit(s).code, 0);
    assert_int_equal(pad(s, 1500).verdict, TURN_DROP);
    assert_int_equal(world_drops(&s->w, DROP_UNAUTH_RATE), 1);
    assert_int_equal(ask(s, IP | PORT).code, 0);
}

/* RFC 8489 section 9: attributes behind the integrity attribute do not count. */
static void behind_integrity__nothing_counts(void **state)
{
    static const uint8_t mac[STUN_MI_LEN];
    struct stage *s = *state;

    begin(s);
    stun_out_attr(&s->c.out, STUN_MESSAGE_INTEGRITY, (struct bytes){mac, sizeof(mac)});
    stun_out_u32(&s->c.out, STUN_CHANGE_REQUEST, IP | PORT);
    assert_int_equal(submit(s).code, 0);
    assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BEHAVIOUR_TEST(answer__leaves_from_where_the_flags_say),
        BEHAVIOUR_TEST(plain_binding__tells_all_addresses),
        BEHAVIOUR_TEST(told__are_the_public_addresses),
        BEHAVIOUR_TEST(other_flags__mean_nothing),
        BEHAVIOUR_TEST(change_request__of_a_wrong_length_is_a_bad_request),
        BEHAVIOUR_TEST(without_a_second_address__the_attributes_are_unknown),
        BEHAVIOUR_TEST(elsewhere__the_attributes_are_unknown),
        BEHAVIOUR_TEST(connections__tell_the_other_address_and_refuse_a_change),
        BEHAVIOUR_TEST(balancers__are_no_second_address),
        BEHAVIOUR_TEST(other_methods__do_not_know_the_attributes),
        BEHAVIOUR_TEST(padding__is_as_long_as_the_mtu_and_no_longer_than_asked),
        BEHAVIOUR_TEST(padding_and_response_port__are_unknown_unless_allowed),
        BEHAVIOUR_TEST(response_port__changes_nothing_but_the_port),
        BEHAVIOUR_TEST(response_port__refusals_go_to_the_source),
        BEHAVIOUR_TEST(secure_stun__signs_these_answers_too),
        BEHAVIOUR_TEST(no_socket__is_an_error),
        BEHAVIOUR_TEST(padding_and_response_port__are_rationed),
        BEHAVIOUR_TEST(behind_integrity__nothing_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
