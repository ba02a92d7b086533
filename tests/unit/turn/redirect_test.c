/* SPDX-License-Identifier: Apache-2.0 */
/* Who is sent elsewhere, where to, and how often (redirect.c).  That a redirect is signed, of the
 * client's family and transport, stands in allocate_test.c and transport_test.c. */
#include <stdio.h>

#include "stage.h"

static void client_at(struct client *c, struct world *w, unsigned host, unsigned port)
{
    char addr[64];

    (void)snprintf(addr, sizeof(addr), "203.0.113.%u:%u", host, port);
    client_init(c, w, addr, "user", "pass");
}

static void list_put(struct turn_alternates *list, const char *addr)
{
    list->items[list->count].domain[0] = '\0';
    list->items[list->count++].addr = world_addr(addr);
}

static void put_udp_alternate(struct stage *s, const char *addr)
{
    list_put(&s->w.config.alternates[TURN_ALTERNATE_UDP], addr);
}

static void reconfigure(struct stage *s)
{
    turn_server_configure(s->w.server, &s->w.config);
}

static void expect_sent_to(const struct reply *r, const char *addr)
{
    const struct net_addr want = world_addr(addr);

    assert_int_equal(r->code, STUN_TRY_ALTERNATE);
    assert_true(r->integrity_ok);
    assert_true(r->alternate_count > 0);
    assert_true(net_addr_equal(&r->alternate[0], &want));
}

static struct reply allocate_with_token(struct client *c, uint64_t token)
{
    uint8_t value[8];

    be64_put(value, token);
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_RESERVATION_TOKEN, (struct bytes){value, sizeof(value)});
    client_sign(c);
    return client_submit(c);
}

/* Without a family of its own a client is not helped: it is served here.  T-8489-10-01 */
static void redirect__is_not_to_another_family_alone(void **state)
{
    struct stage *s = *state;

    put_udp_alternate(s, "[2001:db8::a]:3478");
    (void)stage_allocate(&s->c);
}

/* Proves T-5780-6.1-11: none of RFC 5780's attributes is in a redirect. */
static void redirect__has_no_behaviour_attributes(void **state)
{
    struct stage *s = *state;

    put_udp_alternate(s, "198.51.100.10:3478");
    const struct reply r = client_allocate(&s->c);
    assert_int_equal(r.code, STUN_TRY_ALTERNATE);
    for (uint32_t i = 0; i < r.attr_count; i++) {
        assert_int_not_equal(r.order[i], STUN_OTHER_ADDRESS);
        assert_int_not_equal(r.order[i], STUN_RESPONSE_ORIGIN);
    }
}

/* Proves T-8489-14.8-04: neither a request without credentials, nor one with wrong ones. */
static void redirect__is_for_proven_users_only(void **state)
{
    struct stage *s = *state;
    struct client c;

    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.redirect_only = true;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_UNAUTHENTICATED);
    client_at(&c, &s->w, 6, 4000);
    c.password = "wrong";
    assert_int_equal(client_allocate(&c).code, STUN_UNAUTHENTICATED);
}

/* T-8489-14.8-04: 400 is what the RFC suggests in place of 300. */
static void redirect__without_authentication_is_a_bad_request(void **state)
{
    struct stage *s = *state;

    s->w.config.require_auth = false;
    put_udp_alternate(s, "198.51.100.10:3478");
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0); /* served here */
    s->w.config.redirect_only = true;
    client_init(&s->c, &s->w, "203.0.113.7:4000", "user", "pass");
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
}

/* Only Allocate is ever answered so: what is here already goes on. */
static void redirect__leaves_sessions_alone(void **state)
{
    struct stage *s = *state;
    const struct net_addr peer = world_addr("198.51.100.77:7000");

    (void)stage_allocate(&s->c);
    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.redirect_only = true;
    s->w.config.draining = true;
    reconfigure(s);
    assert_int_equal(client_refresh(&s->c, 600).code, 0);
    assert_int_equal(client_permit(&s->c, &peer).code, 0);
    assert_int_equal(client_bind(&s->c, 0x4000, &peer).code, 0);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    assert_int_equal(client_refresh(&s->c, 600).code, STUN_ALLOCATION_MISMATCH);
}

static void redirect__not_of_whom_a_reservation_binds(void **state)
{
    struct stage *s = *state;
    struct client c;

    client_challenge(&s->c);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    stun_out_attr(&s->c.out, STUN_EVEN_PORT, (struct bytes){(const uint8_t *)"\x80", 1});
    client_sign(&s->c);
    const struct reply first = client_submit(&s->c);
    assert_int_equal(first.code, 0);
    assert_true(first.has_token);
    put_udp_alternate(s, "198.51.100.10:3478");
    client_at(&c, &s->w, 5, 4001);
    client_challenge(&c);
    assert_int_equal(allocate_with_token(&c, first.token).code, 0);
    client_at(&c, &s->w, 5, 4002);
    client_challenge(&c);
    assert_int_equal(allocate_with_token(&c, first.token ^ 2).code, STUN_INSUFFICIENT_CAPACITY);
    s->w.config.redirect_only = true;
    assert_int_equal(allocate_with_token(&c, first.token).code, STUN_INSUFFICIENT_CAPACITY);
}

/* RFC 8016 section 3.2: a Refresh with a ticket comes to the server that gave it. */
static void redirect__not_of_whom_a_ticket_binds(void **state)
{
    struct stage *s = *state;

    s->w.config.mobility = true;
    assert_int_equal(client_allocate_mobile(&s->c).code, 0);
    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.redirect_only = true;
    client_readdress(&s->c, "203.0.113.9:4100");
    assert_int_equal(client_move(&s->c, 600).code, 0);
}

/* --- drain and the role of a balancer ----------------------------------------------------------
 */

static void drain__sends_away_where_it_can(void **state)
{
    struct stage *s = *state;
    struct client c6;
    struct reply r;

    s->w.config.draining = true;
    assert_int_equal(client_allocate(&s->c).code, STUN_FORBIDDEN);
    put_udp_alternate(s, "198.51.100.10:3478");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.10:3478");
    client_init(&c6, &s->w, "[2001:db8::50]:4000", "user", "pass");
    assert_int_equal(client_allocate(&c6).code, STUN_FORBIDDEN);
}

static void balancer__never_allocates(void **state)
{
    struct stage *s = *state;
    struct client c6;
    struct reply r;

    s->w.config.redirect_only = true;
    put_udp_alternate(s, "198.51.100.10:3478");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.10:3478");
    client_init(&c6, &s->w, "[2001:db8::50]:4000", "user", "pass");
    r = client_allocate(&c6);
    assert_int_equal(r.code, STUN_INSUFFICIENT_CAPACITY);
    assert_true(r.integrity_ok);
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* --- spreading clients over our own addresses --------------------------------------------------
 */

static void put_balance(struct stage *s, const char *told, const char *bound)
{
    struct turn_config *c = &s->w.config;

    list_put(&c->balance, told);
    c->balance_bound[c->balance.count - 1] = world_addr(bound);
}

static void self_balance__goes_round(void **state)
{
    struct stage *s = *state;
    struct reply r;

    put_udp_alternate(s, "198.51.100.10:3478"); /* not for UDP clients any more */
    put_balance(s, "198.51.100.1:3479", "192.0.2.1:3479");
    put_balance(s, "198.51.100.1:3480", "192.0.2.1:3480");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.1:3479");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.1:3480");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.1:3479");
}

/* The bound address counts, not the one behind a NAT that the client was told. */
static void self_balance__serves_who_has_come_there(void **state)
{
    struct stage *s = *state;

    put_udp_alternate(s, "198.51.100.10:3478");
    put_balance(s, "198.51.100.1:3479", "192.0.2.1:3479");
    put_balance(s, "198.51.100.1:3478", WORLD_SERVER_V4 ":3478");
    (void)stage_allocate(&s->c);
}

/* Clients of other transports, of a family that no aux-server has, and of a server that drains. */
static void self_balance__concerns_udp_clients_only(void **state)
{
    struct stage *s = *state;
    struct client c;
    struct reply r;

    put_balance(s, "198.51.100.1:3479", "192.0.2.1:3479");
    client_init(&c, &s->w, "[2001:db8::50]:4000", "user", "pass");
    (void)stage_allocate(&c);
    client_at(&c, &s->w, 8, 4000);
    c.transport = NET_TCP;
    (void)stage_allocate(&c);
    s->w.config.draining = true;
    put_udp_alternate(s, "198.51.100.10:3478");
    r = client_allocate(&s->c);
    expect_sent_to(&r, "198.51.100.10:3478");
}

/* --- never a loop ------------------------------------------------------------------------------
 */

static void loop__ends_after_three(void **state)
{
    struct stage *s = *state;

    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.max_redirects = 3;
    reconfigure(s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_allocate(&s->c).code, STUN_TRY_ALTERNATE);
    }
    (void)stage_allocate(&s->c);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    world_advance(&s->w, 9000);
    (void)stage_allocate(&s->c);
    assert_int_equal(client_refresh(&s->c, 0).code, 0);
    world_advance(&s->w, 1000);
    assert_int_equal(client_allocate(&s->c).code, STUN_TRY_ALTERNATE);
    (void)stage_allocate(&s->c);
}

/* Whoever comes with a new socket every time is counted by user and host. */
static void loop__ends_for_new_sockets_too(void **state)
{
    struct stage *s = *state;
    unsigned sent = 0;
    struct client c;

    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.max_redirects = 3;
    reconfigure(s);
    for (unsigned i = 0; i < 60; i++) {
        client_at(&c, &s->w, 5, 5000 + i);
        sent += client_allocate(&c).code == STUN_TRY_ALTERNATE;
    }
    assert_int_equal(sent, 30);
    client_at(&c, &s->w, 6, 5000); /* nobody else is concerned: another host, another user */
    assert_int_equal(client_allocate(&c).code, STUN_TRY_ALTERNATE);
    (void)world_add_user(&s->w, "second", "word");
    client_at(&c, &s->w, 5, 5000);
    c.user = "second";
    c.password = "word";
    assert_int_equal(client_allocate(&c).code, STUN_TRY_ALTERNATE);
}

static void loop__is_refused_where_nothing_is_allocated(void **state)
{
    struct stage *s = *state;

    put_udp_alternate(s, "198.51.100.10:3478");
    s->w.config.max_redirects = 3;
    s->w.config.redirect_only = true;
    reconfigure(s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(client_allocate(&s->c).code, STUN_TRY_ALTERNATE);
    }
    assert_int_equal(client_allocate(&s->c).code, STUN_INSUFFICIENT_CAPACITY);
    s->w.config.redirect_only = false;
    s->w.config.draining = true;
    assert_int_equal(client_allocate(&s->c).code, STUN_FORBIDDEN);
}

/* --- anycast (RFC 8155) ------------------------------------------------------------------------
 */

static void put_anycast(struct stage *s, const char *ip)
{
    const struct net_addr addr = world_addr(ip);

    s->w.config.anycast[s->w.config.anycast_count++] = addr.ip;
}

/* Proves T-8155-6-01 */
static void anycast__is_left_for_a_unicast_address(void **state)
{
    struct stage *s = *state;
    struct turn_alternates *to = &s->w.config.anycast_to[TURN_ALTERNATE_UDP];
    struct client c6;
    struct reply r;

    put_anycast(s, WORLD_SERVER_V4 ":0");
    put_anycast(s, "[" WORLD_SERVER_V6 "]:0");
    list_put(to, "198.51.100.1:443");
    list_put(to, "[2001:db8::77]:3479");
    list_put(to, "198.51.100.1:3478");
    put_udp_alternate(s, "198.51.100.10:3478"); /* the unicast address may tell of that one */
    s->w.config.max_redirects = 3;
    reconfigure(s);
    for (int i = 0; i < 40; i++) { /* as often as somebody asks */
        r = client_allocate(&s->c);
        expect_sent_to(&r, "198.51.100.1:3478"); /* the port where it came */
        assert_int_equal(r.alternate_count, 1);
    }
    client_init(&c6, &s->w, "[2001:db8::50]:4000", "user", "pass");
    r = client_allocate(&c6);
    expect_sent_to(&r, "[2001:db8::77]:3479");
    assert_int_equal(turn_server_allocation_count(s->w.server), 0);
    client_begin(&s->c, STUN_BINDING, STUN_REQUEST);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, 0);
}

/* T-8155-6-01: the checks before it go on, and its response needs credentials. */
static void anycast__comes_after_the_checks(void **state)
{
    struct stage *s = *state;

    put_anycast(s, WORLD_SERVER_V4 ":0");
    client_challenge(&s->c);
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_sign(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST); /* no REQUESTED-TRANSPORT */
    assert_int_equal(client_allocate(&s->c).code, STUN_INSUFFICIENT_CAPACITY); /* none is known */
    s->w.config.require_auth = false;
    client_begin(&s->c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(&s->c);
    client_end(&s->c);
    assert_int_equal(client_submit(&s->c).code, STUN_BAD_REQUEST);
}

static void anycast__concerns_its_address_only(void **state)
{
    struct stage *s = *state;

    put_anycast(s, "192.0.2.200:0");
    list_put(&s->w.config.anycast_to[TURN_ALTERNATE_UDP], "198.51.100.1:3478");
    (void)stage_allocate(&s->c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(redirect__is_not_to_another_family_alone),
        STAGE_TEST(redirect__has_no_behaviour_attributes),
        STAGE_TEST(redirect__is_for_proven_users_only),
        STAGE_TEST(redirect__without_authentication_is_a_bad_request),
        STAGE_TEST(redirect__leaves_sessions_alone),
        STAGE_TEST(redirect__not_of_whom_a_reservation_binds),
        STAGE_TEST(redirect__not_of_whom_a_ticket_binds),
        STAGE_TEST(drain__sends_away_where_it_can),
        STAGE_TEST(balancer__never_allocates),
        STAGE_TEST(self_balance__goes_round),
        STAGE_TEST(self_balance__serves_who_has_come_there),
        STAGE_TEST(self_balance__concerns_udp_clients_only),
        STAGE_TEST(loop__ends_after_three),
        STAGE_TEST(loop__ends_for_new_sockets_too),
        STAGE_TEST(loop__is_refused_where_nothing_is_allocated),
        STAGE_TEST(anycast__is_left_for_a_unicast_address),
        STAGE_TEST(anycast__comes_after_the_checks),
        STAGE_TEST(anycast__concerns_its_address_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
