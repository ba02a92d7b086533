/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulation or a fuzz target has found in the core, each with the smallest way to it. */
#include <string.h>

#include "stage.h"
#include "turn/turn_int.h"

/* ChannelBind: a number bound to another peer is a bad request (400) also when there is no room for
 * one more permission (508): syntax and conflicts before capacity.
 * Proves T-8656-12.2-03, T-8656-12.2-04 */
static void channel_bind__conflict_before_capacity(void **state)
{
    struct stage *s = *state;
    const struct net_addr first = world_addr("198.51.100.1:9");
    const struct net_addr second = world_addr("198.51.100.2:9");

    s->w.config.max_permissions = 1;
    (void)stage_allocate(&s->c);
    assert_int_equal(client_bind(&s->c, 0x4000, &first).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4000, &second).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4001, &first).code, STUN_BAD_REQUEST);
    assert_int_equal(client_bind(&s->c, 0x4001, &second).code, STUN_INSUFFICIENT_CAPACITY);
}

static struct reply allocate_reserved(struct client *c, uint64_t token, bool dont_fragment)
{
    uint8_t value[8];

    be64_put(value, token);
    assert_true(client_challenge(c));
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_RESERVATION_TOKEN, (struct bytes){value, sizeof(value)});
    if (dont_fragment) {
        stun_out_attr(&c->out, STUN_DONT_FRAGMENT, (struct bytes){NULL, 0});
    }
    client_sign(c);
    return client_submit(c);
}

/* An IPv6 relay that was reserved cannot honour DONT-FRAGMENT for an IPv4 client either.
 * Proves T-8656-3.7-01 */
static void reservation__of_ipv6_with_dont_fragment(void **state)
{
    static const uint8_t reserve = 0x80;
    struct stage *s = *state;
    struct client other;

    assert_true(client_challenge(&s->c));
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_u32(&s->c.out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    stun_out_attr(&s->c.out, STUN_EVEN_PORT, (struct bytes){&reserve, 1});
    client_sign(&s->c);
    const struct reply made = client_submit(&s->c);
    assert_int_equal(made.code, 0);
    assert_true(made.has_token);
    const uint64_t token = made.token;
    client_init(&other, &s->w, "203.0.113.6:4000", "user", "pass");
    const struct reply refused = allocate_reserved(&other, token, true);
    assert_int_equal(refused.code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(refused.unknown.n, 2);
    assert_int_equal(be16(refused.unknown.p), STUN_DONT_FRAGMENT);
    const struct reply granted = allocate_reserved(&other, token, false); /* it is still there */
    assert_int_equal(granted.code, 0);
    assert_int_equal(granted.relayed[0].family, NET_V6);
}

/* The NONCE is of an address that the client's NAT has given up, and the algorithms offered have
 * changed since: it gets a new NONCE (438), not a 400 that it would never learn from.
 * Proves T-8489-9.2.4-28 */
static void nonce__of_another_address_and_another_offer(void **state)
{
    struct stage *s = *state;

    assert_true(client_challenge(&s->c));
    s->w.config.main.algorithms = TURN_ALG_SHA256;
    s->c.addr.port++;
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_STALE_NONCE);
    (void)client_learn(&s->c, &r);
    assert_int_equal(client_allocate(&s->c).code, 0);
}

/* An allocation without a user has no key: not one made of whatever the stack held. */
static void anonymous_allocation__has_no_key(void **state)
{
    struct stage *s = *state;

    s->w.config.require_auth = false;
    s->c.auth = CLIENT_NO_AUTH;
    (void)stage_allocate(&s->c);
    const struct turn_alloc *alloc =
        CONTAINER_OF(s->w.server->tables.allocs.next, struct turn_alloc, node);
    static const struct credential_key none;
    assert_memory_equal(&alloc->key, &none, sizeof(none));
}

/* A session that moves in is judged by the rules of its new place, not of the one it came from. */
static void unpacked_session__is_judged_here(void **state)
{
    static const char *const deny[] = {"198.51.100.1", NULL};
    static const char *const allow[] = {"198.51.100.2", NULL};
    struct stage *s = *state;
    struct stage *there = NULL;
    uint8_t parcel[4096];
    struct writer w = writer_over(parcel, sizeof(parcel));
    void *ports[2] = {&w, NULL};
    struct turn_relay *relays[2];
    const struct net_addr denied = world_addr("198.51.100.1:9");
    const struct net_addr allowed = world_addr("198.51.100.2:9");

    (void)stage_allocate(&s->c);
    assert_int_equal(client_bind(&s->c, 0x4000, &denied).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4001, &allowed).code, 0);
    const struct five_tuple tuple = {s->c.addr, s->w.server_addr[0], 17};
    assert_int_equal(turn_server_pack(s->w.server, &tuple, s->w.now_ms, &w), 0);

    assert_int_equal(stage_open((void **)&there), 0);
    assert_int_equal(world_reconfigure(&there->w, allow, deny), 0);
    assert_int_equal(turn_server_unpack(there->w.server, (struct bytes){parcel, w.len},
                                        &there->w.server_addr, ports, relays, there->w.now_ms),
                     0);
    assert_int_equal(client_channel(&there->c, 0x4000, "x", 1), TURN_DROP);
    assert_int_equal(client_channel(&there->c, 0x4001, "x", 1), TURN_TO_PEER);
    assert_int_equal(turn_server_forget(there->w.server, &tuple), 0);
    assert_int_equal(stage_close((void **)&there), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(channel_bind__conflict_before_capacity),
        STAGE_TEST(reservation__of_ipv6_with_dont_fragment),
        STAGE_TEST(nonce__of_another_address_and_another_offer),
        STAGE_TEST(unpacked_session__is_judged_here),
        STAGE_TEST(anonymous_allocation__has_no_key),
    };
    return cmocka_run_group_tests_name("regression", tests, NULL, NULL);
}
