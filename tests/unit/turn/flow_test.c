/* SPDX-License-Identifier: Apache-2.0 */
/* Channels that are handed over to a path below the core: which, until when, and that they are
 * taken back in time, with what was relayed. */
#include <stdio.h>
#include <string.h>

#include "stage.h"
#include "turn/turn_int.h"

enum { CHANNEL = 0x4000, FLOWS = 64, LIMITS = 8, TO_PEER = 0, TO_CLIENT = 1 };

static const char here[] = "203.0.113.5:4000";
static const char there[] = "203.0.113.77:7000";

/* What the path below knows of one channel. */
struct low {
    bool open;
    struct turn_flow is;
    uint64_t until_ms[2];
    struct turn_traffic more; /* relayed, and not told yet */
    uint32_t renewed;
    uint32_t asked;
};

struct fixture {
    struct stage stage; /* the first member: its world is the effects' argument */
    void (*relay_close)(void *arg, void *port);
    struct low low[FLOWS]; /* handles are indices + 1, and used once */
    uint32_t opened;
    uint32_t open;
    uint32_t offered;
    bool full;
    struct bucket limit[LIMITS][2]; /* handles are indices + 1, and used once */
    uint32_t limits_opened;
    uint32_t limits_open;
    bool no_limits;
};

/* --- the path below -----------------------------------------------------------------------------
 */

static uint32_t on_open(void *arg, const struct turn_flow *flow)
{
    struct fixture *f = arg;

    f->offered++;
    assert_true(flow->limit == 0 || flow->limit == f->limits_opened);
    if (f->full) {
        return 0;
    }
    assert_true(f->opened < FLOWS);
    f->low[f->opened++] =
        (struct low){true, *flow, {flow->to_peer_until_ms, flow->to_client_until_ms}, {0}, 0, 0};
    f->open++;
    return f->opened;
}

static struct low *low_of(struct fixture *f, uint32_t handle)
{
    assert_in_range(handle, 1, f->opened);
    assert_true(f->low[handle - 1].open);
    return &f->low[handle - 1];
}

static void on_renew(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                     uint64_t to_client_until_ms)
{
    struct low *low = low_of(arg, handle);

    low->until_ms[TO_PEER] = to_peer_until_ms;
    low->until_ms[TO_CLIENT] = to_client_until_ms;
    low->renewed++;
}

static void on_usage(void *arg, uint32_t handle, struct turn_traffic *out)
{
    struct low *low = low_of(arg, handle);

    *out = low->more;
    low->more = (struct turn_traffic){0};
    low->asked++;
}

static void on_close(void *arg, uint32_t handle, struct turn_traffic *out)
{
    struct fixture *f = arg;

    on_usage(arg, handle, out);
    low_of(f, handle)->open = false;
    f->open--;
}

static uint32_t on_limit_open(void *arg, const struct bucket from[2], struct bucket **out)
{
    struct fixture *f = arg;

    if (f->no_limits) {
        return 0;
    }
    assert_true(f->limits_opened < LIMITS);
    memcpy(f->limit[f->limits_opened], from, sizeof(f->limit[0]));
    *out = f->limit[f->limits_opened++];
    f->limits_open++;
    return f->limits_opened;
}

static void on_limit_close(void *arg, uint32_t handle)
{
    struct fixture *f = arg;

    assert_in_range(handle, 1, f->limits_opened);
    for (uint32_t i = 0; i < f->opened; i++) { /* nobody takes from it any more */
        assert_false(f->low[i].open && f->low[i].is.limit == handle);
    }
    memset(f->limit[handle - 1], 0xff, sizeof(f->limit[0])); /* its memory is another's */
    f->limits_open--;
}

/* A relay's port may be another's at once: nothing may be relayed for it below any more. */
static void on_relay_close(void *arg, void *port)
{
    struct fixture *f = arg;
    const struct world_socket *socket = port;

    for (uint32_t i = 0; i < f->opened; i++) {
        assert_false(f->low[i].open && net_addr_equal(&f->low[i].is.relay, &socket->bound));
    }
    f->relay_close(arg, port);
}

static void put_path_below(struct turn_effects *effects)
{
    struct fixture *f = effects->arg;

    f->relay_close = effects->relay_close;
    effects->relay_close = on_relay_close;
    effects->flow_open = on_open;
    effects->flow_renew = on_renew;
    effects->flow_usage = on_usage;
    effects->flow_close = on_close;
    effects->limit_open = on_limit_open;
    effects->limit_close = on_limit_close;
}

/* --- the stage ----------------------------------------------------------------------------------
 */

static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return -1;
    }
    world_init(&f->stage.w, 77);
    f->stage.w.edit_effects = put_path_below;
    if (world_start(&f->stage.w) < 0) {
        return -1;
    }
    (void)world_add_user(&f->stage.w, "user", "pass");
    client_init(&f->stage.c, &f->stage.w, here, "user", "pass");
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    world_stop(&f->stage.w);
    const bool left = f->open > 0 || f->limits_open > 0;
    return stage_close(state) < 0 || left ? -1 : 0;
}

#define FLOW_TEST(f) cmocka_unit_test_setup_teardown(f, open_fixture, close_fixture)

static struct net_addr peer_of_stage(void)
{
    return world_addr("198.51.100.1:9");
}

static uint64_t now(const struct fixture *f)
{
    return f->stage.w.now_ms;
}

static struct turn_server *server_of(const struct fixture *f)
{
    return f->stage.w.server;
}

static void pass_ms(struct fixture *f, uint64_t ms)
{
    world_advance(&f->stage.w, ms);
}

static void bind_peer(struct fixture *f, uint16_t number, const char *peer)
{
    const struct net_addr addr = world_addr(peer);

    assert_int_equal(client_bind(&f->stage.c, number, &addr).code, 0);
}

/* An allocation with one channel, which the path below has. */
static struct low *settle(struct fixture *f)
{
    (void)stage_allocate(&f->stage.c);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->open, 1);
    return &f->low[f->opened - 1];
}

static struct low *settle_mobile(struct fixture *f)
{
    assert_int_equal(client_allocate_mobile(&f->stage.c).code, 0);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->open, 1);
    return &f->low[f->opened - 1];
}

static struct five_tuple tuple_at(const struct fixture *f, const char *addr)
{
    return (struct five_tuple){world_addr(addr), f->stage.w.server_addr[0], NET_UDP};
}

static struct turn_alloc *alloc_of(const struct fixture *f)
{
    return CONTAINER_OF(server_of(f)->tables.allocs.next, struct turn_alloc, node);
}

/* The path below has relayed that much more. */
static void relays(struct low *low, uint64_t n)
{
    low->more.to_peer_packets += n;
    low->more.to_peer_bytes += 100 * n;
    low->more.to_client_packets += 2 * n;
    low->more.to_client_bytes += 300 * n;
}

static void assert_traffic(const struct turn_traffic *t, uint64_t n)
{
    assert_int_equal(t->to_peer_packets, n);
    assert_int_equal(t->to_peer_bytes, 100 * n);
    assert_int_equal(t->to_client_packets, 2 * n);
    assert_int_equal(t->to_client_bytes, 300 * n);
}

/* An end was told, `n` packets the one way and twice as many the other were counted, and the path
 * below has nothing. */
static void assert_ended(const struct fixture *f, enum turn_event_kind kind, uint64_t n)
{
    const struct turn_counters *count = turn_server_counters(server_of(f));

    assert_int_equal(f->open, 0);
    assert_int_equal(f->stage.w.events.count[kind], 1);
    assert_traffic(&f->stage.w.events.last_traffic, n);
    assert_int_equal(count->to_peer_packets, n);
    assert_int_equal(count->to_peer_bytes, 100 * n);
    assert_int_equal(count->to_client_packets, 2 * n);
    assert_int_equal(count->to_client_bytes, 300 * n);
}

/* --- which channels -----------------------------------------------------------------------------
 */

static void open__a_bound_channel_is_handed_over(void **state)
{
    struct fixture *f = *state;
    const struct net_addr relayed = stage_allocate(&f->stage.c);
    const struct net_addr peer = peer_of_stage();
    const struct five_tuple tuple = tuple_at(f, here);

    assert_int_equal(client_permit(&f->stage.c, &peer).code, 0);
    assert_int_equal(f->offered, 0); /* a permission is none */
    bind_peer(f, CHANNEL + 5, "198.51.100.1:9");
    assert_int_equal(f->open, 1);
    const struct turn_flow *flow = &f->low[0].is;
    assert_int_equal(flow->session, turn_server_session(server_of(f), &tuple));
    assert_int_equal(flow->number, CHANNEL + 5);
    assert_true(net_addr_equal(&flow->client, &tuple.client));
    assert_true(net_addr_equal(&flow->server, &tuple.server));
    assert_true(net_addr_equal(&flow->relay, &relayed));
    assert_true(net_addr_equal(&flow->peer, &peer));
    assert_int_equal(flow->limit, 0);
    assert_int_equal(flow->to_peer_until_ms, now(f) + 600 * 1000);
    assert_int_equal(flow->to_client_until_ms, now(f) + 300 * 1000);
}

static void open__only_for_clients_on_udp(void **state)
{
    static const uint8_t transports[] = {NET_TCP, NET_TLS, NET_DTLS, NET_PROXIED};
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        f->stage.c.transport = transports[i];
        f->stage.c.addr.port++;
        f->stage.c.nonce[0] = '\0';
        (void)stage_allocate(&f->stage.c);
        bind_peer(f, CHANNEL, "198.51.100.1:9");
        assert_int_equal(client_channel(&f->stage.c, CHANNEL, "x", 1), TURN_TO_PEER);
    }
    assert_int_equal(f->offered, 0);
}

/* An allocation with relays of both families. */
static void allocate_both(struct fixture *f)
{
    struct client *c = &f->stage.c;

    assert_true(client_challenge(c));
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_u32(&c->out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
    client_sign(c);
    assert_int_equal(client_submit(c).relayed_count, 2);
}

static void open__of_the_relay_of_its_family(void **state)
{
    struct fixture *f = *state;

    allocate_both(f);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    bind_peer(f, CHANNEL + 1, "[2001:db8:9::1]:9");
    assert_int_equal(f->open, 2);
    assert_true(net_addr_equal(&f->low[0].is.relay, &alloc_of(f)->relay[0].bound));
    assert_true(net_addr_equal(&f->low[1].is.relay, &alloc_of(f)->relay[1].bound));
    assert_int_equal(f->low[1].is.relay.family, NET_V6);
}

static void open__what_is_refused_stays_here(void **state)
{
    struct fixture *f = *state;
    const struct net_addr peer = peer_of_stage();

    f->full = true;
    (void)stage_allocate(&f->stage.c);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->offered, 1);
    assert_int_equal(client_channel(&f->stage.c, CHANNEL, "hello", 5), TURN_TO_PEER);
    bind_peer(f, CHANNEL, "198.51.100.1:9"); /* as it was: it is not asked again */
    assert_int_equal(f->offered, 1);
    pass_ms(f, 1000);
    assert_int_equal(client_permit(&f->stage.c, &peer).code, 0);
    assert_int_equal(f->offered, 2);
    f->full = false;
    pass_ms(f, 1000);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->open, 1);
    assert_int_equal(turn_server_counters(server_of(f))->to_peer_packets, 1);
}

/* --- until when ---------------------------------------------------------------------------------
 */

static void until__permissions_count_towards_the_client(void **state)
{
    struct fixture *f = *state;
    const struct net_addr other = world_addr("198.51.100.2:9");
    const struct net_addr port = world_addr("198.51.100.1:77");
    const struct low *low = settle(f);
    const uint64_t bound_ms = now(f);

    pass_ms(f, 100 * 1000);
    assert_int_equal(client_permit(&f->stage.c, &other).code, 0);
    assert_int_equal(low->renewed, 0); /* another address */
    assert_int_equal(client_permit(&f->stage.c, &port).code, 0);
    assert_int_equal(low->renewed, 1); /* the address counts, no port */
    assert_int_equal(low->until_ms[TO_CLIENT], now(f) + 300 * 1000);
    assert_int_equal(low->until_ms[TO_PEER], bound_ms + 600 * 1000);
    pass_ms(f, 300 * 1000); /* over: the deadline has said so */
    assert_int_equal(low->renewed, 1);
    assert_int_equal(client_refresh(&f->stage.c, 3600).code, 0);
    assert_int_equal(low->until_ms[TO_CLIENT], 0);
    assert_int_equal(low->until_ms[TO_PEER], bound_ms + 600 * 1000);
    assert_int_equal(client_permit(&f->stage.c, &port).code, 0);
    assert_int_equal(low->until_ms[TO_CLIENT], bound_ms + 600 * 1000); /* no longer than it */
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(low->until_ms[TO_PEER], now(f) + 600 * 1000);
    assert_int_equal(f->opened, 1); /* in place */
}

static void until__the_relay_counts_both_ways(void **state)
{
    struct fixture *f = *state;
    const struct low *low = settle(f);

    assert_int_equal(client_refresh(&f->stage.c, 3000).code, 0); /* later than its channel */
    assert_int_equal(low->renewed, 0);
    f->stage.w.config.max_lifetime_s = 100;
    f->stage.w.config.default_lifetime_s = 100;
    assert_int_equal(client_refresh(&f->stage.c, 100).code, 0);
    assert_int_equal(low->until_ms[TO_PEER], now(f) + 100 * 1000);
    assert_int_equal(low->until_ms[TO_CLIENT], now(f) + 100 * 1000);
    pass_ms(f, 50 * 1000);
    assert_int_equal(client_refresh(&f->stage.c, 100).code, 0);
    assert_int_equal(low->until_ms[TO_PEER], now(f) + 100 * 1000);
    assert_int_equal(low->renewed, 2);
    assert_int_equal(client_refresh(&f->stage.c, 100).code, 0); /* nothing differs */
    assert_int_equal(low->renewed, 2);
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void end__refresh_zero(void **state)
{
    struct fixture *f = *state;

    relays(settle(f), 7);
    assert_int_equal(client_refresh(&f->stage.c, 0).code, 0);
    assert_ended(f, TURN_EVENT_DELETED, 7);
}

static void end__expiry(void **state)
{
    struct fixture *f = *state;
    struct low *low = settle(f);

    relays(low, 2);
    f->stage.w.config.channel_s = 3600;
    bind_peer(f, CHANNEL, "198.51.100.1:9"); /* outlives its allocation */
    pass_ms(f, 600 * 1000 - 1);
    assert_int_equal(f->open, 1);
    relays(low, 3);
    pass_ms(f, 1);
    assert_ended(f, TURN_EVENT_EXPIRED, 5);
}

static void end__by_the_administrator(void **state)
{
    struct fixture *f = *state;
    const struct five_tuple tuple = tuple_at(f, here);

    relays(settle(f), 9);
    assert_int_equal(
        turn_server_close_session(server_of(f), turn_server_session(server_of(f), &tuple), now(f)),
        0);
    assert_ended(f, TURN_EVENT_CLOSED, 9);
}

static void end__of_the_server(void **state)
{
    struct fixture *f = *state;

    relays(settle(f), 4);
    bind_peer(f, CHANNEL + 1, "198.51.100.1:10");
    relays(&f->low[1], 5);
    turn_server_free(server_of(f));
    f->stage.w.server = NULL;
    assert_int_equal(f->open, 0);
    assert_traffic(&f->stage.w.events.last_traffic, 9);
}

static void end__of_a_channel(void **state)
{
    struct fixture *f = *state;

    (void)settle(f);
    pass_ms(f, 60 * 1000);
    bind_peer(f, CHANNEL + 1, "198.51.100.2:9");
    assert_int_equal(client_refresh(&f->stage.c, 3600).code, 0);
    relays(&f->low[0], 3);
    pass_ms(f, 540 * 1000);
    assert_int_equal(f->open, 1);
    assert_false(f->low[0].open);
    assert_traffic(&alloc_of(f)->traffic, 3);
    assert_int_equal(server_of(f)->tables.flow_count, 1);
}

/* The tick is late, and number and peer are bound to others meanwhile. */
static void end__of_a_channel_whose_number_is_used_again(void **state)
{
    struct fixture *f = *state;

    (void)settle(f);
    assert_int_equal(client_refresh(&f->stage.c, 3600).code, 0);
    relays(&f->low[0], 3);
    f->stage.w.now_ms += 600 * 1000;
    bind_peer(f, CHANNEL, "198.51.100.2:9");
    assert_int_equal(f->open, 1);
    assert_false(f->low[0].open);
    assert_int_equal(f->low[1].is.number, CHANNEL);
    bind_peer(f, CHANNEL + 1, "198.51.100.1:9");
    assert_int_equal(f->open, 2);
    assert_traffic(&alloc_of(f)->traffic, 3);
}

static void refresh_one(struct fixture *f, uint8_t family, uint32_t lifetime_s)
{
    struct client *c = &f->stage.c;

    client_begin(c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_LIFETIME, lifetime_s);
    stun_out_u32(&c->out, STUN_REQUESTED_ADDRESS_FAMILY, (uint32_t)family << 24);
    client_sign(c);
    assert_int_equal(client_submit(c).code, 0);
}

static void end__of_one_relay_of_two(void **state)
{
    struct fixture *f = *state;

    for (int by_time = 0; by_time < 2; by_time++) {
        f->stage.c.addr.port++;
        f->stage.c.nonce[0] = '\0';
        allocate_both(f);
        bind_peer(f, CHANNEL, "198.51.100.1:9");
        bind_peer(f, CHANNEL + 1, "[2001:db8:9::1]:9");
        assert_int_equal(f->open, 2);
        const struct low *v4 = &f->low[f->opened - 2];
        const struct low *v6 = &f->low[f->opened - 1];
        if (by_time) {
            refresh_one(f, 1, 3600);
            f->stage.w.config.channel_s = 3600;
            bind_peer(f, CHANNEL, "198.51.100.1:9");
            bind_peer(f, CHANNEL + 1, "[2001:db8:9::1]:9");
            pass_ms(f, 600 * 1000);
        } else {
            refresh_one(f, 2, 0);
        }
        assert_true(v4->open);
        assert_false(v6->open);
        bind_peer(f, CHANNEL, "198.51.100.1:9"); /* the other one is not offered again */
        assert_int_equal(f->open, 1);
        assert_int_equal(client_refresh(&f->stage.c, 0).code, 0);
        assert_int_equal(f->open, 0);
    }
}

/* --- clients that move --------------------------------------------------------------------------
 */

static void move__the_core_sees_to_it_alone(void **state)
{
    struct fixture *f = *state;
    const struct low *low = settle_mobile(f);
    struct client *c = &f->stage.c;

    relays(&f->low[0], 1);
    client_readdress(c, there);
    assert_int_equal(client_move(c, 600).code, 0);
    assert_false(low->open);
    assert_traffic(&alloc_of(f)->traffic, 1);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    client_readdress(c, here);
    assert_int_equal(client_channel(c, CHANNEL, "old", 3), TURN_TO_PEER);
    assert_int_equal(f->offered, 1); /* two addresses: not at all */
    client_readdress(c, there);
    assert_int_equal(client_channel(c, CHANNEL, "new", 3), TURN_TO_PEER);
    assert_int_equal(f->open, 1);
    const struct net_addr now_at = world_addr(there);
    assert_true(net_addr_equal(&f->low[1].is.client, &now_at));
    assert_int_equal(f->low[1].until_ms[TO_PEER], now(f) + 600 * 1000);
}

static void move__back_to_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    (void)settle_mobile(f);
    client_readdress(c, there);
    assert_int_equal(client_move(c, 600).code, 0);
    assert_int_equal(f->open, 0);
    client_readdress(c, here);
    assert_int_equal(client_move(c, 600).code, 0);
    assert_int_equal(f->open, 1);
    assert_true(net_addr_equal(&f->low[1].is.client, &c->addr));
}

/* Moved, and one of its relays deleted, in one request. */
static void move__with_the_end_of_a_relay(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    assert_true(client_challenge(c));
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    stun_out_u32(&c->out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
    stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    client_sign(c);
    const struct reply r = client_submit(c);
    assert_int_equal(r.relayed_count, 2);
    memcpy(c->ticket, r.ticket.p, r.ticket.n);
    c->ticket_len = r.ticket.n;
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    bind_peer(f, CHANNEL + 1, "[2001:db8:9::1]:9");
    assert_int_equal(f->open, 2);
    client_readdress(c, there);
    c->nonce[0] = '\0';
    assert_true(client_challenge(c));
    client_begin(c, STUN_REFRESH, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_LIFETIME, 0);
    stun_out_u32(&c->out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){c->ticket, c->ticket_len});
    client_sign(c);
    assert_int_equal(client_submit(c).code, 0);
    assert_int_equal(f->open, 0);
    assert_int_equal(client_channel(c, CHANNEL, "new", 3), TURN_TO_PEER);
    assert_int_equal(f->open, 1);
}

static void move__one_of_the_two_is_closed(void **state)
{
    static const char *const closed[] = {here, there};
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    for (size_t i = 0; i < COUNT_OF(closed); i++) {
        client_readdress(c, here);
        c->nonce[0] = '\0';
        (void)settle_mobile(f);
        client_readdress(c, there);
        assert_int_equal(client_move(c, 600).code, 0);
        assert_int_equal(f->open, 0);
        const struct five_tuple tuple = tuple_at(f, closed[i]);
        turn_server_client_closed(server_of(f), &tuple, NULL, now(f));
        assert_int_equal(f->open, 1);
        const struct net_addr left = world_addr(closed[1 - i]);
        assert_true(net_addr_equal(&f->low[f->opened - 1].is.client, &left));
        client_readdress(c, closed[1 - i]);
        c->nonce[0] = '\0';
        assert_int_equal(client_refresh(c, 0).code, 0);
        assert_int_equal(f->open, 0);
    }
}

/* --- another configuration ----------------------------------------------------------------------
 */

/* NULL: every peer of the stage. */
static void reconfigure(struct fixture *f, const char *const *allow)
{
    assert_int_equal(world_reconfigure(&f->stage.w, allow, NULL), 0);
}

/* The rules were other ones when it was told: all that still holds is told again. */
static void reload__every_channel_is_told_again(void **state)
{
    static const char *const allow[] = {"198.51.100.1", NULL};
    struct fixture *f = *state;
    struct client other;

    (void)settle(f);
    bind_peer(f, CHANNEL + 1, "198.51.100.2:9");
    client_init(&other, &f->stage.w, "203.0.113.6:4000", "user", "pass");
    (void)stage_allocate(&other);
    const struct net_addr peer = peer_of_stage();
    assert_int_equal(client_bind(&other, CHANNEL, &peer).code, 0);
    relays(&f->low[1], 6);
    reconfigure(f, allow);
    assert_int_equal(f->open, 2);
    assert_int_equal(f->low[0].renewed, 1);
    assert_false(f->low[1].open);
    assert_int_equal(f->low[2].renewed, 1);
    assert_int_equal(turn_server_counters(server_of(f))->to_peer_packets, 6);
    assert_int_equal(f->stage.w.events.count[TURN_EVENT_REVOKED], 2);
}

static void reload__what_was_refused_is_offered_again(void **state)
{
    struct fixture *f = *state;

    f->full = true;
    (void)stage_allocate(&f->stage.c);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    f->full = false;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 1);
}

/* Between the new configuration and its judgement nothing is told that only the old one grants. */
static void reload__nothing_is_told_before_the_judgement(void **state)
{
    struct fixture *f = *state;
    const struct low *low = settle(f);

    pass_ms(f, 1000);
    turn_server_configure(server_of(f), &f->stage.w.config);
    assert_int_equal(client_refresh(&f->stage.c, 100).code, 0);
    assert_false(low->open); /* rather than with a deadline that is too late */
    bind_peer(f, CHANNEL + 1, "198.51.100.2:9");
    assert_int_equal(f->offered, 1);
    assert_true(turn_server_recheck(server_of(f), 16, now(f)) ||
                turn_server_recheck(server_of(f), 16, now(f)));
    assert_int_equal(f->open, 2);
    assert_int_equal(low->renewed, 0);
}

static void reload__what_user_space_does_alone(void **state)
{
    struct fixture *f = *state;
    struct turn_config *config = &f->stage.w.config;

    config->channels_5766 = true;
    (void)settle(f);
    bind_peer(f, 0x7ffe, "198.51.100.2:9");
    assert_int_equal(f->open, 2);
    config->channels_5766 = false;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 1);
    config->turn_enabled = false;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 0);
    config->turn_enabled = true;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 1);
    config->draining = true;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 0);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    bind_peer(f, CHANNEL + 1, "198.51.100.3:9");
    assert_int_equal(client_channel(&f->stage.c, CHANNEL, "hello", 5), TURN_TO_PEER);
    assert_int_equal(f->open, 0);
}

/* --- usage --------------------------------------------------------------------------------------
 */

static void collect__asks_one_after_the_other(void **state)
{
    enum { CHANNELS = 5 };
    struct fixture *f = *state;

    assert_int_equal(turn_server_collect(server_of(f), 100), 0);
    (void)stage_allocate(&f->stage.c);
    for (uint16_t i = 0; i < CHANNELS; i++) {
        char peer[32];
        (void)snprintf(peer, sizeof(peer), "198.51.100.1:%u", 100U + i);
        bind_peer(f, (uint16_t)(CHANNEL + i), peer);
        relays(&f->low[i], i);
    }
    assert_int_equal(turn_server_collect(server_of(f), 0), 0);
    assert_int_equal(turn_server_collect(server_of(f), 2), 2);
    assert_traffic(&alloc_of(f)->traffic, 0 + 1);
    assert_int_equal(turn_server_collect(server_of(f), 2), 2);
    assert_traffic(&alloc_of(f)->traffic, 0 + 1 + 2 + 3);
    assert_int_equal(turn_server_collect(server_of(f), 2), 2);
    assert_traffic(&alloc_of(f)->traffic, 0 + 1 + 2 + 3 + 4);
    assert_int_equal(f->low[0].asked, 2);
    assert_int_equal(turn_server_collect(server_of(f), 100), CHANNELS); /* each once */
    assert_int_equal(f->low[0].asked, 3);
    assert_int_equal(turn_server_counters(server_of(f))->to_client_packets, 2 * 10);
}

static void usage__is_added_to_what_user_space_relays(void **state)
{
    struct fixture *f = *state;

    relays(settle(f), 10);
    assert_int_equal(client_channel(&f->stage.c, CHANNEL, "hello", 5), TURN_TO_PEER);
    assert_int_equal(client_refresh(&f->stage.c, 0).code, 0);
    assert_int_equal(f->stage.w.events.last_traffic.to_peer_packets, 11);
    assert_int_equal(f->stage.w.events.last_traffic.to_peer_bytes, 1005);
}

/* --- max-bps ------------------------------------------------------------------------------------
 */

enum { RATE = 100000 };

static void limit__both_paths_take_from_one(void **state)
{
    static const uint8_t data[996];
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    f->stage.w.config.main.max_bps = RATE;
    (void)stage_allocate(c);
    assert_int_equal(f->limits_opened, 0); /* only for those who have a channel below */
    const struct net_addr peer = peer_of_stage();
    assert_int_equal(client_permit(c, &peer).code, 0);
    assert_int_equal(client_send(c, &peer, data, 10), TURN_TO_PEER);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->limits_open, 1);
    assert_int_equal(f->low[0].is.limit, 1);
    bind_peer(f, CHANNEL + 1, "198.51.100.2:9");
    assert_int_equal(f->low[1].is.limit, 1);
    assert_int_equal(f->limits_opened, 1);
    /* What had passed before counts, and the path below takes the rest but for one packet. */
    const uint64_t left =
        bucket_idle_ns(&f->limit[0][TO_PEER], now(f)) < UINT64_C(1000000000) ? 1 : 0;
    assert_int_equal(left, 1);
    while (bucket_take_shared(&f->limit[0][TO_PEER], RATE, 1000, now(f))) {
    }
    pass_ms(f, 10);
    assert_int_equal(client_channel(c, CHANNEL, data, sizeof(data)), TURN_TO_PEER);
    assert_int_equal(client_channel(c, CHANNEL, data, sizeof(data)), TURN_DROP);
    assert_false(bucket_take_shared(&f->limit[0][TO_PEER], RATE, 1000, now(f)));
    assert_true(bucket_take_shared(&f->limit[0][TO_CLIENT], RATE, RATE, now(f)));
}

/* The buckets come back with the last channel. */
static void limit__comes_back_as_it_is(void **state)
{
    static const uint8_t data[996];
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    f->stage.w.config.main.max_bps = RATE;
    (void)settle_mobile(f);
    while (bucket_take_shared(&f->limit[0][TO_PEER], RATE, 100, now(f))) {
    }
    client_readdress(c, there);
    assert_int_equal(client_move(c, 600).code, 0);
    assert_int_equal(f->limits_open, 0);
    assert_int_equal(client_channel(c, CHANNEL, data, sizeof(data)), TURN_DROP); /* has arrived */
    assert_int_equal(world_drops(&f->stage.w, DROP_BANDWIDTH), 1);
    assert_int_equal(f->limits_open, 1);
    assert_int_equal(f->low[1].is.limit, 2);
    assert_false(bucket_take_shared(&f->limit[1][TO_PEER], RATE, 100, now(f)));
    pass_ms(f, 10);
    assert_int_equal(client_channel(c, CHANNEL, data, sizeof(data)), TURN_TO_PEER);
}

static void limit__without_one_nothing_is_handed_over(void **state)
{
    struct fixture *f = *state;

    f->stage.w.config.main.max_bps = RATE;
    f->no_limits = true;
    (void)stage_allocate(&f->stage.c);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->offered, 0);
    f->no_limits = false;
    f->full = true;
    pass_ms(f, 1);
    bind_peer(f, CHANNEL, "198.51.100.1:9");
    assert_int_equal(f->offered, 1);
    assert_int_equal(f->limits_opened, 1);
    assert_int_equal(f->limits_open, 0); /* not taken: the buckets are the core's */
    assert_int_equal(client_channel(&f->stage.c, CHANNEL, "hello", 5), TURN_TO_PEER);
}

static void limit__is_switched_on_and_off(void **state)
{
    struct fixture *f = *state;

    (void)settle(f);
    f->stage.w.config.main.max_bps = RATE;
    reconfigure(f, NULL);
    assert_false(f->low[0].open);
    assert_int_equal(f->open, 1);
    assert_int_equal(f->low[1].is.limit, 1);
    f->stage.w.config.main.max_bps = 0;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 1);
    assert_int_equal(client_channel(&f->stage.c, CHANNEL, "hello", 5), TURN_TO_PEER);
    f->stage.w.config.main.max_bps = RATE;
    f->no_limits = true;
    reconfigure(f, NULL);
    assert_int_equal(f->open, 1); /* it still has one */
    assert_int_equal(client_refresh(&f->stage.c, 0).code, 0);
    assert_int_equal(f->limits_open, 0);
}

/* Under the rules that there are. */
static void judge_again(struct fixture *f)
{
    turn_server_configure(server_of(f), &f->stage.w.config);
    assert_true(turn_server_recheck(server_of(f), 16, now(f)));
}

/* The path below has one rate, and nothing to do with a realm that has another, or none. */
static void limit__of_others_is_not_the_realms(void **state)
{
    static const uint32_t order[] = {1};
    static struct turn_realm realm;
    struct fixture *f = *state;
    struct turn_config *config = &f->stage.w.config;

    (void)settle(f);
    const struct five_tuple tuple = tuple_at(f, here);
    config->main.max_bps = RATE;
    realm = config->main;
    (void)strcpy(realm.name, "north");
    config->realms = &realm;
    config->realm_count = 1;
    config->realm_order = order;
    judge_again(f);
    turn_server_set_realm(server_of(f), &tuple, 1);
    judge_again(f);
    assert_int_equal(f->open, 1);
    assert_int_equal(f->low[f->opened - 1].is.limit, 1);
    realm.max_bps = 0;
    judge_again(f);
    assert_int_equal(f->open + f->limits_open, 0);
    realm.max_bps = RATE;
    judge_again(f);
    assert_int_equal(f->open, 1);
    realm.max_bps = 2 * RATE;
    judge_again(f);
    assert_int_equal(f->open + f->limits_open, 0);
    realm.max_bps = 0;
    config->main.max_bps = 0;
    judge_again(f);
    assert_int_equal(f->open, 1);
    assert_int_equal(f->low[f->opened - 1].is.limit, 0);
    turn_server_set_realm(server_of(f), &tuple, 0);
}

/* --- parcels ------------------------------------------------------------------------------------
 */

static void parcel__takes_usage_along(void **state)
{
    static uint8_t record[TURN_PARCEL_HEAD + TURN_PARCEL_PERM + TURN_PARCEL_CHAN];
    struct fixture *f = *state;
    const struct five_tuple tuple = tuple_at(f, here);
    struct writer w = writer_over(record, sizeof(record));
    struct turn_relay *relays_out[2];
    void *ports[2];
    struct bytes user;

    f->stage.w.config.main.max_bps = RATE;
    relays(settle(f), 8);
    assert_true(bucket_take_shared(&f->limit[0][TO_PEER], RATE, RATE, now(f)));
    const uint64_t until_ms = f->low[0].until_ms[TO_PEER];
    assert_int_equal(turn_server_pack(server_of(f), &tuple, now(f), &w), 0);
    assert_int_equal(f->open + f->limits_open, 0); /* what it says is to remain true */
    assert_int_equal(turn_server_ports(server_of(f), &tuple, ports, &user), 0);
    const uint64_t told = f->stage.w.events.count[TURN_EVENT_CLOSED];
    assert_int_equal(turn_server_forget(server_of(f), &tuple), 0);
    assert_int_equal(f->open + f->limits_open, 0);
    assert_int_equal(f->stage.w.events.count[TURN_EVENT_CLOSED], told);
    /* It comes back: as from another worker. */
    assert_int_equal(turn_server_unpack(server_of(f), (struct bytes){record, w.len},
                                        &f->stage.w.server_addr, ports, relays_out, now(f)),
                     0);
    ((struct world_socket *)ports[0])->relay = relays_out[0];
    assert_int_equal(f->open, 1);
    assert_int_equal(f->low[1].until_ms[TO_PEER], until_ms);
    assert_int_equal(f->low[1].is.limit, 2);
    assert_false(bucket_take_shared(&f->limit[1][TO_PEER], RATE, 1, now(f)));
    assert_int_equal(client_refresh(&f->stage.c, 0).code, 0);
    assert_ended(f, TURN_EVENT_DELETED, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLOW_TEST(open__a_bound_channel_is_handed_over),
        FLOW_TEST(open__only_for_clients_on_udp),
        FLOW_TEST(open__of_the_relay_of_its_family),
        FLOW_TEST(open__what_is_refused_stays_here),
        FLOW_TEST(until__permissions_count_towards_the_client),
        FLOW_TEST(until__the_relay_counts_both_ways),
        FLOW_TEST(end__refresh_zero),
        FLOW_TEST(end__expiry),
        FLOW_TEST(end__by_the_administrator),
        FLOW_TEST(end__of_the_server),
        FLOW_TEST(end__of_a_channel),
        FLOW_TEST(end__of_a_channel_whose_number_is_used_again),
        FLOW_TEST(end__of_one_relay_of_two),
        FLOW_TEST(move__the_core_sees_to_it_alone),
        FLOW_TEST(move__back_to_where_it_was),
        FLOW_TEST(move__with_the_end_of_a_relay),
        FLOW_TEST(move__one_of_the_two_is_closed),
        FLOW_TEST(reload__every_channel_is_told_again),
        FLOW_TEST(reload__what_was_refused_is_offered_again),
        FLOW_TEST(reload__nothing_is_told_before_the_judgement),
        FLOW_TEST(reload__what_user_space_does_alone),
        FLOW_TEST(collect__asks_one_after_the_other),
        FLOW_TEST(usage__is_added_to_what_user_space_relays),
        FLOW_TEST(limit__both_paths_take_from_one),
        FLOW_TEST(limit__comes_back_as_it_is),
        FLOW_TEST(limit__without_one_nothing_is_handed_over),
        FLOW_TEST(limit__is_switched_on_and_off),
        FLOW_TEST(limit__of_others_is_not_the_realms),
        FLOW_TEST(parcel__takes_usage_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
