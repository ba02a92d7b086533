/* SPDX-License-Identifier: Apache-2.0 */
/* Allocate and Refresh (RFC 8656 sections 6 to 8): allocate.c, refresh.c, alloc.c. */
#include <stdio.h>
#include <string.h>

#include "stage.h"

/* Begin a signed-to-be Allocate that has REQUESTED-TRANSPORT already. */
static void begin_allocate(struct client *c)
{
    if (c->nonce[0] == '\0') {
        assert_true(client_challenge(c));
    }
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
}

static struct reply submit(struct client *c)
{
    client_sign(c);
    return client_submit(c);
}

static void put_u8x4(struct client *c, uint16_t type, uint8_t first, uint8_t rest)
{
    const uint8_t value[4] = {first, rest, rest, rest};
    stun_out_attr(&c->out, type, (struct bytes){value, sizeof(value)});
}

static void put_family(struct client *c, uint8_t family)
{
    put_u8x4(c, STUN_REQUESTED_ADDRESS_FAMILY, family, 0);
}

static void put_additional(struct client *c, uint8_t family)
{
    put_u8x4(c, STUN_ADDITIONAL_ADDRESS_FAMILY, family, 0);
}

static void put_even(struct client *c, uint8_t value)
{
    stun_out_attr(&c->out, STUN_EVEN_PORT, (struct bytes){&value, 1});
}

static void put_token(struct client *c, uint64_t token)
{
    uint8_t value[8];
    be64_put(value, token);
    stun_out_attr(&c->out, STUN_RESERVATION_TOKEN, (struct bytes){value, sizeof(value)});
}

static void client_at(struct client *c, struct world *w, unsigned port)
{
    char addr[64];
    (void)snprintf(addr, sizeof(addr), "203.0.113.50:%u", port);
    client_init(c, w, addr, "user", "pass");
}

static void use_ports(struct stage *s, uint16_t min, uint16_t max)
{
    world_stop(&s->w);
    world_init(&s->w, 7);
    s->w.pool_options.port_min = min;
    s->w.pool_options.port_max = max;
    s->w.gate_options.relay_port_min = min;
    s->w.gate_options.relay_port_max = max;
    s->w.user_count = 0;
    assert_int_equal(world_start(&s->w), 0);
    (void)world_add_user(&s->w, "user", "pass");
    client_init(&s->c, &s->w, "203.0.113.5:4000", "user", "pass");
}

/* Proves T-8656-7.2-31, T-8656-7.2-33, T-8656-7.2-34, T-8489-6.3.1.1-04, T-8489-5-05,
 * T-8656-5-11, T-8489-14.14-01, T-8656-7.2-32 */
static void allocate__succeeds(void **state)
{
    struct stage *s = *state;
    const struct reply r = client_allocate(&s->c);

    assert_int_equal(r.verdict, TURN_TO_CLIENT);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.msg.method, STUN_ALLOCATE);
    assert_memory_equal(r.msg.tid, s->c.tid, STUN_TID);
    assert_int_equal(r.relayed_count, 1);
    assert_int_equal(r.relayed[0].family, NET_V4);
    assert_int_equal(r.lifetime_s, 600);
    assert_true(net_addr_equal(&r.mapped, &s->c.addr));
    assert_true(r.integrity_ok);
    assert_false(r.has_token);
    assert_true(bytes_equal(r.software, bytes_of("sterna test")));
    assert_true(net_addr_equal(&s->w.pkt.remote, &s->c.addr));
    assert_true(net_addr_equal(&s->w.pkt.local, &s->w.server_addr[0]));
    assert_int_equal(s->w.events.count[TURN_EVENT_ALLOCATED], 1);
}

/* Proves T-8656-7.2-02, T-8656-7.2-18 */
static void allocate__twice_is_a_mismatch(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    assert_int_equal(client_allocate(&s->c).code, STUN_ALLOCATION_MISMATCH);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST); /* 437 precedes 400 */
    assert_int_equal(submit(&s->c).code, STUN_ALLOCATION_MISMATCH);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST); /* and 442 */
    put_u8x4(&s->c, STUN_REQUESTED_TRANSPORT, 6, 0);
    assert_int_equal(submit(&s->c).code, STUN_ALLOCATION_MISMATCH);
}

/* Proves T-8656-6-02 */
static void allocation__is_keyed_by_the_whole_5_tuple(void **state)
{
    struct stage *s = *state;
    struct client c;

    (void)stage_allocate(&s->c);
    client_init(&c, &s->w, "203.0.113.5:4001", "user", "pass");
    (void)stage_allocate(&c);
    s->w.server_addr[0] = world_addr("192.0.2.77:3478"); /* another address of the server */
    client_init(&c, &s->w, "203.0.113.5:4000", "user", "pass");
    (void)stage_allocate(&c);
    assert_int_equal(turn_server_allocation_count(s->w.server), 3);
}

/* Proves T-8656-7.2-03, T-8656-7.2-04, T-8656-18.8-01 */
static void transport__missing_malformed_or_unsupported(void **state)
{
    static const uint8_t three[3] = {17, 0, 0};
    static const uint8_t others[] = {1, 132, 0, 255};
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    assert_int_equal(submit(&s->c).code, STUN_BAD_REQUEST);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    stun_out_attr(&s->c.out, STUN_REQUESTED_TRANSPORT, (struct bytes){three, 3});
    assert_int_equal(submit(&s->c).code, STUN_BAD_REQUEST);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        put_u8x4(&s->c, STUN_REQUESTED_TRANSPORT, others[i], 0);
        assert_int_equal(submit(&s->c).code, STUN_UNSUPPORTED_TRANSPORT);
    }
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    put_u8x4(&s->c, STUN_REQUESTED_TRANSPORT, 17, 0xff);
    assert_int_equal(submit(&s->c).code, 0);
}

/* Proves T-8656-7.2-05 */
static void dont_fragment__is_taken_where_it_can_be_done(void **state)
{
    struct stage *s = *state;

    begin_allocate(&s->c);
    stun_out_attr(&s->c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    assert_int_equal(submit(&s->c).code, 0);
}

/* Proves T-8656-3.7-01 */
static void dont_fragment__from_ipv4_to_an_ipv6_relay_is_unknown(void **state)
{
    struct stage *s = *state;

    begin_allocate(&s->c);
    put_family(&s->c, NET_V6);
    stun_out_attr(&s->c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    struct reply r = submit(&s->c);
    assert_int_equal(r.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(r.unknown.n, 2);
    assert_int_equal(be16(r.unknown.p), STUN_DONT_FRAGMENT);

    /* in a dual allocation only the IPv6 half cannot be had */
    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    stun_out_attr(&s->c.out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    r = submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
    assert_int_equal(r.relayed[0].family, NET_V4);
}

/* Proves T-8656-7.2-06, T-8656-7.2-08, T-8656-7.2-12, T-8656-7.2-14, T-8656-7.2-18 */
static void combinations__forbidden(void **state)
{
    struct stage *s = *state;
    struct client *c = &s->c;

    begin_allocate(c); /* 400 precedes the 508 of an unknown token */
    put_token(c, 5);
    put_even(c, 0);
    assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
    begin_allocate(c);
    put_token(c, 5);
    put_family(c, NET_V4);
    assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
    begin_allocate(c);
    put_token(c, 5);
    put_additional(c, NET_V6);
    assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
    begin_allocate(c);
    put_family(c, NET_V4);
    put_additional(c, NET_V6);
    assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
    begin_allocate(c);
    put_even(c, 0x80);
    put_additional(c, NET_V6);
    assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
    for (unsigned family = 0; family < 256; family++) {
        if (family != NET_V6) {
            begin_allocate(c);
            put_additional(c, (uint8_t)family);
            assert_int_equal(submit(c).code, STUN_BAD_REQUEST);
        }
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

/* Proves T-8656-7.2-09, T-8656-7.2-10, T-8656-7.2-11, T-8656-18.6-01, T-6156-4.2-01 */
static void family__asked_for_or_not(void **state)
{
    struct stage *s = *state;
    struct client c6;
    struct reply r;

    begin_allocate(&s->c);
    put_family(&s->c, 3);
    assert_int_equal(submit(&s->c).code, STUN_FAMILY_NOT_SUPPORTED);
    s->w.config.ipv6_relay = false;
    begin_allocate(&s->c);
    put_family(&s->c, NET_V6);
    assert_int_equal(submit(&s->c).code, STUN_FAMILY_NOT_SUPPORTED);
    s->w.config.ipv6_relay = true;
    s->w.config.ipv4_relay = false;
    begin_allocate(&s->c);
    assert_int_equal(submit(&s->c).code, STUN_FAMILY_NOT_SUPPORTED);
    s->w.config.ipv4_relay = true;

    begin_allocate(&s->c);
    put_u8x4(&s->c, STUN_REQUESTED_ADDRESS_FAMILY, NET_V6, 0xff);
    r = submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed[0].family, NET_V6);

    client_init(&c6, &s->w, "[2001:db8::50]:4000", "user", "pass");
    r = client_allocate(&c6); /* IPv4 even for an IPv6 client */
    assert_int_equal(r.relayed[0].family, NET_V4);
}

static void family__default_can_be_set(void **state)
{
    struct stage *s = *state;
    struct client c;

    s->w.config.default_family = TURN_DEFAULT_KEEP;
    client_init(&c, &s->w, "[2001:db8::50]:4000", "user", "pass");
    assert_int_equal(client_allocate(&c).relayed[0].family, NET_V6);
    assert_int_equal(client_allocate(&s->c).relayed[0].family, NET_V4);
    s->w.config.default_family = TURN_DEFAULT_IPV6;
    client_init(&c, &s->w, "203.0.113.5:4444", "user", "pass");
    assert_int_equal(client_allocate(&c).relayed[0].family, NET_V6);
}

/* Proves T-8656-7.2-24, T-8656-18.7-01 */
static void even_port__is_even(void **state)
{
    struct stage *s = *state;

    for (unsigned i = 0; i < 200; i++) {
        struct client c;
        client_at(&c, &s->w, 1000 + i);
        begin_allocate(&c);
        put_even(&c, 0x7f); /* RFFU bits are no R */
        const struct reply r = submit(&c);
        assert_int_equal(r.code, 0);
        assert_int_equal(r.relayed[0].port % 2, 0);
        assert_false(r.has_token);
    }
}

/* Proves T-8656-7.2-25, T-8656-7.2-26, T-8656-7.2-27, T-8656-18.10-01 */
static void reservation__is_redeemed_from_another_5_tuple(void **state)
{
    struct stage *s = *state;
    struct client c;

    begin_allocate(&s->c);
    put_even(&s->c, 0x80);
    const struct reply first = submit(&s->c);
    assert_int_equal(first.code, 0);
    assert_true(first.has_token && first.token != 0);
    assert_int_equal(first.relayed[0].port % 2, 0);

    world_advance(&s->w, 29 * 1000);
    client_init(&c, &s->w, "[2001:db8::60]:999", "user", "pass");
    begin_allocate(&c);
    put_token(&c, first.token);
    struct reply r = submit(&c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed[0].port, first.relayed[0].port + 1);
    assert_true(net_ip_equal(&r.relayed[0].ip, &first.relayed[0].ip));
    assert_false(r.has_token);

    client_at(&c, &s->w, 5); /* a token is used once */
    begin_allocate(&c);
    put_token(&c, first.token);
    assert_int_equal(submit(&c).code, STUN_INSUFFICIENT_CAPACITY);
}

static void reservation__works_for_ipv6(void **state)
{
    struct stage *s = *state;
    struct client c;

    begin_allocate(&s->c);
    put_family(&s->c, NET_V6);
    put_even(&s->c, 0x80);
    const struct reply first = submit(&s->c);
    assert_int_equal(first.relayed[0].family, NET_V6);
    client_at(&c, &s->w, 5);
    begin_allocate(&c);
    put_token(&c, first.token);
    const struct reply r = submit(&c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed[0].family, NET_V6);
    assert_int_equal(r.relayed[0].port, first.relayed[0].port + 1);
}

/* Proves T-8656-7.2-07, T-8656-18.10-01 */
static void token__unknown_or_malformed(void **state)
{
    static const uint8_t seven[7] = {1};
    struct stage *s = *state;

    begin_allocate(&s->c);
    put_token(&s->c, 0x1122334455667788);
    assert_int_equal(submit(&s->c).code, STUN_INSUFFICIENT_CAPACITY);
    begin_allocate(&s->c);
    stun_out_attr(&s->c.out, STUN_RESERVATION_TOKEN, (struct bytes){seven, 7});
    assert_int_equal(submit(&s->c).code, STUN_BAD_REQUEST);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

/* Proves T-8656-7.2-07, T-8656-7.2-28 */
static void reservation__keeps_its_port_until_it_expires(void **state)
{
    struct stage *s = *state;
    struct client c;

    use_ports(s, 50000, 50001);
    begin_allocate(&s->c);
    put_even(&s->c, 0x80);
    const struct reply first = submit(&s->c);
    assert_int_equal(first.relayed[0].port, 50000);
    client_at(&c, &s->w, 5);
    assert_int_equal(client_allocate(&c).code, STUN_INSUFFICIENT_CAPACITY);
    world_advance(&s->w, 61 * 1000);
    begin_allocate(&c);
    put_token(&c, first.token);
    assert_int_equal(submit(&c).code, STUN_INSUFFICIENT_CAPACITY);
    const struct reply r = client_allocate(&c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed[0].port, 50001); /* the last port of the range is usable */
}

/* Proves T-8656-7.2-13, T-8656-7.2-19 */
static void ports__exhausted(void **state)
{
    struct stage *s = *state;
    struct client c;

    use_ports(s, 50000, 50000);
    begin_allocate(&s->c);
    put_even(&s->c, 0x80);
    assert_int_equal(submit(&s->c).code, STUN_INSUFFICIENT_CAPACITY);
    (void)stage_allocate(&s->c);
    client_at(&c, &s->w, 5);
    const struct reply r = client_allocate(&c);
    assert_int_equal(r.code, STUN_INSUFFICIENT_CAPACITY);
    assert_true(r.integrity_ok);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(client_allocate(&c).code, 0);
}

/* Proves T-8656-7.2-40, T-8656-7.2-42, T-8656-10.2-05 */
static void dual__gives_both_families(void **state)
{
    struct stage *s = *state;

    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    put_even(&s->c, 0);
    const struct reply r = submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 2);
    assert_int_equal(r.relayed[0].family, NET_V4);
    assert_int_equal(r.relayed[1].family, NET_V6);
    assert_int_equal(r.relayed[0].port % 2, 0);
    assert_int_equal(r.relayed[1].port % 2, 0);
    assert_int_equal(r.address_error.n, 0);

    const struct net_addr v4 = world_addr("198.51.100.1:0");
    const struct net_addr v6 = world_addr("[2001:db8::99]:0");
    client_begin(&s->c, STUN_CREATE_PERMISSION, STUN_REQUEST);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &v4);
    stun_out_xor_addr(&s->c.out, STUN_XOR_PEER_ADDRESS, &v6);
    assert_int_equal(submit(&s->c).code, 0);
}

/* Proves T-8656-7.2-41, T-8656-18.12-01, T-8656-7.2-35 */
static void dual__partial_is_a_success(void **state)
{
    static const uint8_t v6_440[] = {2, 0, 4, 40};
    struct stage *s = *state;

    s->w.config.ipv6_relay = false;
    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    struct reply r = submit(&s->c);
    for (int i = 0; i < 2; i++) { /* the same again for the retransmission */
        assert_int_equal(r.code, 0);
        assert_int_equal(r.relayed_count, 1);
        assert_int_equal(r.relayed[0].family, NET_V4);
        assert_true(r.address_error.n > 4);
        assert_memory_equal(r.address_error.p, v6_440, 4);
        r = client_submit(&s->c);
    }
}

/* Proves T-8656-7.2-41, T-8656-7.2-15 */
static void dual__capacity(void **state)
{
    static const uint8_t v6_508[] = {2, 0, 5, 8};
    struct stage *s = *state;
    struct client c;

    use_ports(s, 50000, 50000);
    client_at(&c, &s->w, 5);
    begin_allocate(&c);
    put_family(&c, NET_V6);
    assert_int_equal(submit(&c).code, 0);
    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    const struct reply r = submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_memory_equal(r.address_error.p, v6_508, 4);

    client_at(&c, &s->w, 6);
    begin_allocate(&c);
    put_additional(&c, NET_V6);
    assert_int_equal(submit(&c).code, STUN_INSUFFICIENT_CAPACITY);
    assert_int_equal(turn_server_allocation_count(s->w.server), 2);
}

/* Proves T-8656-18.11-01, T-IANA-01 */
static void dual__switched_off_or_of_a_draft_is_ignored(void **state)
{
    struct stage *s = *state;
    struct client c;

    s->w.config.additional_family = false;
    begin_allocate(&s->c);
    put_additional(&s->c, 1);
    struct reply r = submit(&s->c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
    assert_int_equal(r.address_error.n, 0);

    s->w.config.additional_family = true;
    client_at(&c, &s->w, 5);
    begin_allocate(&c);
    put_u8x4(&c, 0x8032, NET_V6, 0);
    r = submit(&c);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.relayed_count, 1);
}

/* Proves T-8656-7.2-29, T-8656-7.2-30, T-8656-18.2-01 */
static void lifetime__granted(void **state)
{
    static const struct {
        uint32_t asked, granted;
    } cases[] = {{0, 600},     {60, 600},    {600, 600},    {601, 601},         {900, 900},
                 {3600, 3600}, {3601, 3600}, {86400, 3600}, {4000000000, 3600}, {0xffffffff, 3600}};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct client c;
        client_at(&c, &s->w, 10 + (unsigned)i);
        begin_allocate(&c);
        stun_out_u32(&c.out, STUN_LIFETIME, cases[i].asked);
        assert_int_equal(submit(&c).lifetime_s, cases[i].granted);
    }
}

/* Proves T-8656-7.2-35, T-8656-7.2-36, T-8656-7.2-37, T-8489-6.3.1-03, T-8489-6.3.1-04,
 * T-8489-6.3.1-06, T-7982-3.1-02 */
static void retransmission__repeats_the_success(void **state)
{
    struct stage *s = *state;

    quota_set_limits(s->w.quota, 1, 0);
    begin_allocate(&s->c);
    put_even(&s->c, 0x80);
    const struct reply first = submit(&s->c);
    const struct net_addr relayed = first.relayed[0];
    const uint64_t token = first.token;
    for (int i = 1; i <= 5; i++) {
        world_advance(&s->w, 7800); /* up to 39 s */
        client_begin_again(&s->c, STUN_ALLOCATE, STUN_REQUEST);
        client_put_transport(&s->c);
        put_even(&s->c, 0x80);
        stun_out_u32(&s->c.out, STUN_TRANSACTION_TRANSMIT_COUNTER, (uint32_t)i << 8);
        const struct reply r = submit(&s->c);
        assert_int_equal(r.code, 0);
        assert_true(net_addr_equal(&r.relayed[0], &relayed));
        assert_int_equal(r.token, token);
        assert_int_equal(r.lifetime_s, 600 - (uint32_t)(i * 7800 + 999) / 1000);
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 1);
    world_advance(&s->w, 561 * 1000 + 1);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

/* Proves T-8656-7.2-38 */
static void retransmission__of_a_failure_may_succeed(void **state)
{
    struct stage *s = *state;
    struct client c;

    use_ports(s, 50000, 50000);
    (void)stage_allocate(&s->c);
    client_at(&c, &s->w, 5);
    begin_allocate(&c);
    assert_int_equal(submit(&c).code, STUN_INSUFFICIENT_CAPACITY);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(client_submit(&c).code, 0); /* the same bytes once more */
}

/* Proves T-8656-8.2-10 */
static void late_duplicate__does_not_allocate_again(void **state)
{
    struct stage *s = *state;
    uint8_t old[2048];

    assert_true(client_challenge(&s->c));
    begin_allocate(&s->c);
    assert_int_equal(submit(&s->c).code, 0);
    const size_t n = s->c.len;
    memcpy(old, s->c.buf, n);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);

    (void)world_from_client(&s->w, &s->c.addr, old, n);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    assert_int_equal(client_allocate(&s->c).code, 0); /* a new transaction may, at once */
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    world_advance(&s->w, 39 * 1000);
    (void)world_from_client(&s->w, &s->c.addr, old, n);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

/* Proves T-8656-7.2-16, T-8656-5-14, T-8656-21.3.1-01 */
static void quota__is_per_user_and_total(void **state)
{
    struct stage *s = *state;
    struct client c[4];

    (void)world_add_user(&s->w, "second", "word");
    quota_set_limits(s->w.quota, 2, 3);
    for (unsigned i = 0; i < 4; i++) {
        client_at(&c[i], &s->w, 5 + i);
    }
    assert_int_equal(client_allocate(&c[0]).code, 0);
    assert_int_equal(client_allocate(&c[1]).code, 0);
    struct reply r = client_allocate(&c[2]);
    assert_int_equal(r.code, STUN_QUOTA_REACHED);
    assert_true(r.integrity_ok);
    c[3].user = "second";
    c[3].password = "word";
    assert_int_equal(client_allocate(&c[3]).code, 0);
    c[2].user = "second";
    c[2].password = "word";
    assert_int_equal(client_allocate(&c[2]).code, STUN_INSUFFICIENT_CAPACITY); /* the total */
    assert_int_equal(client_refresh(&c[0], 0).code, 0);
    assert_int_equal(client_allocate(&c[2]).code, 0);
    assert_int_equal(quota_total(s->w.quota), 3);
}

/* Proves T-8656-7.2-17, T-8489-10-01, T-8489-10-02, T-8489-14.8-04, T-8489-14.8-05, T-8489-10-04,
 * T-8489-14.15-01 */
static void redirect__is_signed_and_of_the_clients_family(void **state)
{
    struct stage *s = *state;
    struct client c6;

    struct turn_alternates *alternates = &s->w.config.alternates[TURN_ALTERNATE_UDP];
    alternates->items[0].addr = world_addr("[2001:db8::a]:3478");
    alternates->items[1].addr = world_addr("198.51.100.10:3478");
    alternates->count = 2;
    struct reply r;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_UNAUTHENTICATED);
    r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_TRY_ALTERNATE);
    assert_true(r.integrity_ok);
    assert_int_equal(r.alternate_count, 2);
    assert_true(net_addr_equal(&r.alternate[0], &alternates->items[1].addr));
    assert_true(net_addr_equal(&r.alternate[1], &alternates->items[0].addr));
    client_init(&c6, &s->w, "[2001:db8::50]:4000", "user", "pass");
    r = client_allocate(&c6);
    assert_int_equal(r.alternate[0].family, NET_V6);
    for (uint32_t i = 0; i < r.attr_count; i++) {
        assert_int_not_equal(r.order[i], STUN_ALTERNATE_DOMAIN);
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

static void redirect__spreads_over_all_alternates(void **state)
{
    struct stage *s = *state;
    uint32_t seen[3] = {0, 0, 0};

    for (unsigned i = 0; i < 3; i++) {
        char addr[64];
        (void)snprintf(addr, sizeof(addr), "198.51.100.%u:3478", 10 + i);
        s->w.config.alternates[TURN_ALTERNATE_UDP].items[i].addr = world_addr(addr);
    }
    s->w.config.alternates[TURN_ALTERNATE_UDP].count = 3;
    for (int i = 0; i < 30; i++) {
        const struct reply r = client_allocate(&s->c);
        assert_int_equal(r.code, STUN_TRY_ALTERNATE);
        seen[net_ip_v4_bytes(&r.alternate[0].ip)[3] - 10]++;
    }
    assert_true(seen[0] == 10 && seen[1] == 10 && seen[2] == 10);
}

static void policy__refuses_new_allocations_only(void **state)
{
    struct stage *s = *state;
    struct client c;

    (void)stage_allocate(&s->c);
    s->w.config.draining = true;
    client_at(&c, &s->w, 5);
    assert_int_equal(client_allocate(&c).code, STUN_FORBIDDEN);
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    s->w.config.draining = false;
    s->w.config.udp_relay = false;
    assert_int_equal(client_allocate(&c).code, STUN_FORBIDDEN);
}

/* Proves T-8656-6-01, T-8656-7.2-21, T-8656-7.2-22, T-8656-7.2-23 */
static void relay_ports__are_unique_and_in_range(void **state)
{
    static uint8_t seen[65536];
    struct stage *s = *state;
    uint32_t high = 0;

    memset(seen, 0, sizeof(seen));
    for (unsigned i = 0; i < 1000; i++) {
        struct client c;
        client_at(&c, &s->w, 1000 + i);
        const struct net_addr relayed = stage_allocate(&c);
        assert_true(relayed.port >= 49152);
        assert_int_equal(seen[relayed.port]++, 0);
        high += relayed.port >= 57344;
    }
    assert_true(high > 400 && high < 600); /* both halves of the range alike */
}

static void max_allocations__is_a_capacity_limit(void **state)
{
    struct stage *s = *state;
    struct client c;

    world_stop(&s->w);
    world_init(&s->w, 3);
    s->w.max_allocations = 2;
    s->w.user_count = 0;
    assert_int_equal(world_start(&s->w), 0);
    (void)world_add_user(&s->w, "user", "pass");
    for (unsigned i = 0; i < 3; i++) {
        client_at(&c, &s->w, 5 + i);
        assert_int_equal(client_allocate(&c).code, i < 2 ? 0 : STUN_INSUFFICIENT_CAPACITY);
    }
    assert_int_equal(s->w.open_sockets, 2);
}

/* --- Refresh ------------------------------------------------------------------------------------
 */

/* Proves T-8656-8.2-03, T-8656-8.2-06, T-8656-5-08 */
static void refresh__of_zero_deletes(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");

    (void)stage_allocate(&s->c);
    const struct reply r = client_refresh(&s->c, 0);
    assert_int_equal(r.code, 0);
    assert_true(r.has_lifetime);
    assert_int_equal(r.lifetime_s, 0);
    assert_int_equal(s->w.open_sockets, 0);
    assert_int_equal(client_submit(&s->c).code, STUN_ALLOCATION_MISMATCH); /* the same bytes */
    assert_int_equal(client_permit(&s->c, &peer).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(s->w.events.count[TURN_EVENT_DELETED], 1);
}

/* Proves T-8656-8.2-04, T-8656-8.2-05, T-8656-8.2-06 */
static void refresh__grants_a_lifetime(void **state)
{
    static const struct {
        uint32_t asked, granted;
    } cases[] = {{1, 600}, {599, 600}, {601, 601}, {1000000000, 3600}};
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(client_refresh(&s->c, cases[i].asked).lifetime_s, cases[i].granted);
        assert_int_equal(client_submit(&s->c).lifetime_s, cases[i].granted); /* again */
    }
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST);
    assert_int_equal(submit(&s->c).lifetime_s, 600);
}

/* Proves T-8656-8.2-09, T-8656-6-04, T-8656-6-05 */
static void allocation__expires_whatever_flows(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr relayed = stage_allocate(&s->c);

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    for (int i = 0; i < 59; i++) {
        world_advance(&s->w, 10 * 1000);
        assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_TO_PEER);
        (void)world_from_peer(&s->w, &relayed, &peer, (const uint8_t *)"y", 1);
    }
    world_advance(&s->w, 9999);
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_TO_PEER);
    world_advance(&s->w, 1);
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_DROP);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, (const uint8_t *)"y", 1), TURN_DROP);
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(s->w.open_sockets, 0);
    assert_int_equal(s->w.events.count[TURN_EVENT_EXPIRED], 1);
}

/* Even when the tick is late, an expired allocation serves nobody. */
/* Proves T-8656-8.2-09 */
static void allocation__expired_but_not_swept_is_gone(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr relayed = stage_allocate(&s->c);

    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    s->w.now_ms += 600 * 1000; /* the clock moves, nobody ticks */
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_DROP);
    assert_int_equal(client_send(&s->c, &peer, "x", 1), TURN_DROP);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, (const uint8_t *)"y", 1), TURN_DROP);
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
}

/* Proves T-8656-8.2-08 */
static void refresh__leaves_permissions_alone(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct net_addr relayed = stage_allocate(&s->c);

    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    world_advance(&s->w, 299 * 1000);
    assert_int_equal(client_refresh(&s->c, 3600).code, 0);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, (const uint8_t *)"y", 1),
                     TURN_TO_CLIENT);
    world_advance(&s->w, 1000);
    assert_int_equal(world_from_peer(&s->w, &relayed, &peer, (const uint8_t *)"y", 1), TURN_DROP);
}

static struct reply refresh_family(struct client *c, uint8_t family, uint32_t lifetime_s)
{
    client_begin(c, STUN_REFRESH, STUN_REQUEST);
    put_family(c, family);
    stun_out_u32(&c->out, STUN_LIFETIME, lifetime_s);
    return submit(c);
}

/* Proves T-8656-8.1-01, T-8656-8.1-02, T-8656-8.1-03, T-8656-8.2-01, T-8656-8.2-02 */
static void dual_refresh__by_family(void **state)
{
    struct stage *s = *state;
    const struct net_addr v4 = world_addr("198.51.100.1:7");
    const struct net_addr v6 = world_addr("[2001:db8::99]:7");

    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    assert_int_equal(submit(&s->c).relayed_count, 2);
    assert_int_equal(client_bind(&s->c, 0x4000, &v4).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &v6).code, 0);
    struct reply r = refresh_family(&s->c, NET_V6, 0);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.lifetime_s, 0);
    assert_int_equal(s->w.open_sockets, 1);
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_TO_PEER);
    assert_int_equal(client_channel(&s->c, 0x4001, "x", 1), TURN_DROP);
    assert_int_equal(refresh_family(&s->c, NET_V6, 600).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(client_permit(&s->c, &v6).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(refresh_family(&s->c, NET_V4, 0).code, 0);
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
    assert_int_equal(quota_total(s->w.quota), 0);

    struct client c;
    client_at(&c, &s->w, 5);
    begin_allocate(&c);
    put_additional(&c, NET_V6);
    assert_int_equal(submit(&c).relayed_count, 2);
    assert_int_equal(client_refresh(&c, 0).code, 0);
    assert_int_equal(s->w.open_sockets, 0);
}

/* Proves T-8656-8.1-04, T-8656-6-07 */
static void dual__families_expire_on_their_own(void **state)
{
    struct stage *s = *state;
    const struct net_addr v4 = world_addr("198.51.100.1:7");
    const struct net_addr v6 = world_addr("[2001:db8::99]:7");

    begin_allocate(&s->c);
    put_additional(&s->c, NET_V6);
    const struct reply first = submit(&s->c);
    assert_int_equal(refresh_family(&s->c, NET_V6, 1200).lifetime_s, 1200);
    world_advance(&s->w, 599 * 1000);
    assert_int_equal(client_bind(&s->c, 0x4000, &v4).code, 0);
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_TO_PEER);
    assert_true(net_addr_equal(&s->w.pkt.local, &first.relayed[0]));
    assert_int_equal(client_bind(&s->c, 0x4001, &v6).code, 0);
    assert_int_equal(client_channel(&s->c, 0x4001, "x", 1), TURN_TO_PEER);
    world_advance(&s->w, 1000);
    assert_int_equal(client_channel(&s->c, 0x4000, "x", 1), TURN_DROP);
    assert_int_equal(client_channel(&s->c, 0x4001, "x", 1), TURN_TO_PEER);
    assert_int_equal(refresh_family(&s->c, NET_V4, 600).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(s->w.open_sockets, 1);
    world_advance(&s->w, 600 * 1000);
    assert_int_equal(s->w.open_sockets, 0);
}

/* Proves T-6156-5.1-01, T-8656-8.2-07, T-8656-8.2-01 */
static void refresh__family_of_a_single_allocation(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_REFRESH, STUN_REQUEST); /* 437 before any look at attributes */
    put_family(&s->c, 9);
    assert_int_equal(submit(&s->c).code, STUN_ALLOCATION_MISMATCH);
    (void)stage_allocate(&s->c);
    assert_int_equal(refresh_family(&s->c, NET_V6, 600).code, STUN_PEER_FAMILY_MISMATCH);
    assert_int_equal(refresh_family(&s->c, NET_V4, 700).lifetime_s, 700);
    assert_int_equal(client_refresh(&s->c, 800).lifetime_s, 800);
}

/* Proves T-8489-6.3-13 */
static void malformed_attributes__are_bad_requests(void **state)
{
    static const uint8_t bytes[64];

    static const struct {
        uint16_t type;
        size_t good;
    } attrs[] = {{STUN_LIFETIME, 4},      {STUN_REQUESTED_ADDRESS_FAMILY, 4},
                 {STUN_EVEN_PORT, 1},     {STUN_RESERVATION_TOKEN, 8},
                 {STUN_DONT_FRAGMENT, 0}, {STUN_ADDITIONAL_ADDRESS_FAMILY, 4}};
    struct stage *s = *state;

    for (size_t i = 0; i < COUNT_OF(attrs); i++) {
        for (size_t n = 0; n < 24; n++) {
            if (n == attrs[i].good) {
                continue;
            }
            begin_allocate(&s->c);
            stun_out_attr(&s->c.out, attrs[i].type, (struct bytes){bytes, n});
            assert_int_equal(submit(&s->c).code, STUN_BAD_REQUEST);
        }
    }
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
}

static void close_session__ends_it(void **state)
{
    struct stage *s = *state;

    (void)stage_allocate(&s->c);
    assert_int_equal(turn_server_close_session(s->w.server, 1, s->w.now_ms), 0);
    assert_true(turn_server_close_session(s->w.server, 1, s->w.now_ms) < 0);
    assert_int_equal(s->w.open_sockets, 0);
    assert_int_equal(s->w.events.count[TURN_EVENT_CLOSED], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(allocate__succeeds),
        STAGE_TEST(allocate__twice_is_a_mismatch),
        STAGE_TEST(allocation__is_keyed_by_the_whole_5_tuple),
        STAGE_TEST(transport__missing_malformed_or_unsupported),
        STAGE_TEST(dont_fragment__is_taken_where_it_can_be_done),
        STAGE_TEST(dont_fragment__from_ipv4_to_an_ipv6_relay_is_unknown),
        STAGE_TEST(combinations__forbidden),
        STAGE_TEST(family__asked_for_or_not),
        STAGE_TEST(family__default_can_be_set),
        STAGE_TEST(even_port__is_even),
        STAGE_TEST(reservation__is_redeemed_from_another_5_tuple),
        STAGE_TEST(reservation__works_for_ipv6),
        STAGE_TEST(token__unknown_or_malformed),
        cmocka_unit_test_setup_teardown(reservation__keeps_its_port_until_it_expires, stage_open,
                                        stage_close_reserved),
        STAGE_TEST(ports__exhausted),
        STAGE_TEST(dual__gives_both_families),
        STAGE_TEST(dual__partial_is_a_success),
        STAGE_TEST(dual__capacity),
        STAGE_TEST(dual__switched_off_or_of_a_draft_is_ignored),
        STAGE_TEST(lifetime__granted),
        cmocka_unit_test_setup_teardown(retransmission__repeats_the_success, stage_open,
                                        stage_close_reserved),
        STAGE_TEST(retransmission__of_a_failure_may_succeed),
        STAGE_TEST(late_duplicate__does_not_allocate_again),
        STAGE_TEST(quota__is_per_user_and_total),
        STAGE_TEST(redirect__is_signed_and_of_the_clients_family),
        STAGE_TEST(redirect__spreads_over_all_alternates),
        STAGE_TEST(policy__refuses_new_allocations_only),
        STAGE_TEST(relay_ports__are_unique_and_in_range),
        STAGE_TEST(max_allocations__is_a_capacity_limit),
        STAGE_TEST(refresh__of_zero_deletes),
        STAGE_TEST(refresh__grants_a_lifetime),
        STAGE_TEST(allocation__expires_whatever_flows),
        STAGE_TEST(allocation__expired_but_not_swept_is_gone),
        STAGE_TEST(refresh__leaves_permissions_alone),
        STAGE_TEST(dual_refresh__by_family),
        STAGE_TEST(dual__families_expire_on_their_own),
        STAGE_TEST(refresh__family_of_a_single_allocation),
        STAGE_TEST(malformed_attributes__are_bad_requests),
        STAGE_TEST(close_session__ends_it),
    };
    return cmocka_run_group_tests_name("allocate", tests, NULL, NULL);
}
