/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, their numbers, and what is left of one that has gone to another instance. */
#include <errno.h>
#include <string.h>

#include "stage.h"
#include "turn/turn_int.h"

enum { CLIENTS = 20, BASE_SHIFT = 48, TRANSACTION_MS = 40000 };

static const uint64_t base = UINT64_C(7) << BASE_SHIFT;

struct fixture {
    struct stage stage; /* the first member: stage_close() ends it */
    struct turn_server *far_end;
    struct turn_relay *relays[2];
    uint8_t parcel[TURN_PARCEL_HEAD + 4 * TURN_PARCEL_PERM + 4 * TURN_PARCEL_CHAN];
    size_t len;
    void *ports[2];
    uint32_t events;
    struct five_tuple seen[2 * CLIENTS];
    void *seen_listener[2 * CLIENTS];
    uint32_t seen_count;
    bool let_go; /* every session that is seen */
};

static char place[2];

static struct five_tuple tuple_of(const struct client *c)
{
    return (struct five_tuple){c->addr, c->world->server_addr[c->addr.family == NET_V4 ? 0 : 1],
                               c->transport};
}

/* --- another instance --------------------------------------------------------------------------
 */

static void far_event(void *arg, const struct turn_event *event)
{
    struct fixture *f = arg;

    (void)event;
    f->events++;
}

static void far_relay_close(void *arg, void *port)
{
    struct fixture *f = arg;
    struct world_socket *socket = port;

    port_pool_give(f->stage.w.pool, &socket->bound, f->stage.w.now_ms);
    socket->open = false;
    f->stage.w.open_sockets--;
}

static void far_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    struct fixture *f = arg;

    quota_give(f->stage.w.quota, user);
}

static int far_key_find(void *arg, const struct credential_query *query,
                        struct credential_keys *out)
{
    (void)arg;
    (void)query;
    (void)out;
    return -ENOENT;
}

static void far_random(void *arg, uint8_t *out, size_t n)
{
    (void)arg;
    memset(out, 1, n);
}

static int open_far(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -1;
    }
    struct world *w = &f->stage.w;
    world_init(w, 5);
    w->session_base = base;
    if (world_start(w) < 0) {
        return -1;
    }
    (void)world_add_user(w, "user", "pass");
    client_init(&f->stage.c, w, "203.0.113.5:4000", "user", "pass");
    const struct turn_server_options options = {
        .config = &w->config,
        .effects = {.arg = f,
                    .random_fill = far_random,
                    .key_find = far_key_find,
                    .relay_close = far_relay_close,
                    .quota_give = far_quota_give,
                    .event = far_event},
        .hash_key = {5, 6},
        .max_allocations = CLIENTS,
        .now_ms = w->now_ms,
        .wall_s = w->wall_s,
        .session_base = UINT64_C(8) << BASE_SHIFT,
        .instance = 1,
        .instances = 2,
    };
    *state = f;
    return turn_server_new(&options, &f->far_end);
}

static int close_far(void **state)
{
    struct fixture *f = *state;

    turn_server_free(f->far_end);
    return stage_close(state);
}

/* The session of `tuple` goes from `from` to `to`. */
static void travel(struct fixture *f, struct turn_server *from, struct turn_server *to,
                   const struct five_tuple *tuple, void *listener)
{
    const struct turn_alloc *alloc = turn_alloc_find(&from->tables, tuple);
    struct writer w = writer_over(f->parcel, sizeof(f->parcel));

    assert_non_null(alloc);
    f->ports[0] = alloc->relay[0].port;
    f->ports[1] = alloc->relay[1].port;
    assert_int_equal(turn_server_pack(from, tuple, f->stage.w.now_ms, &w), 0);
    assert_int_equal(turn_server_forget(from, tuple), 0);
    f->len = w.len;
    assert_int_equal(turn_server_unpack(to, (struct bytes){f->parcel, f->len}, listener, f->ports,
                                        f->relays, f->stage.w.now_ms),
                     0);
}

/* The client says once more what it said last; what the verdict was. */
static enum turn_verdict say_again(struct client *c)
{
    return world_from_client(c->world, &c->addr, c->buf, c->len);
}

/* --- numbers ------------------------------------------------------------------------------------
 */

static void sessions__are_numbered_from_their_base(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    struct turn_server *server = f->stage.w.server;
    struct five_tuple found = tuple_of(c);

    for (uint64_t i = 1; i <= CLIENTS; i++) {
        c->addr.port = (uint16_t)(5000 + i);
        c->nonce[0] = '\0';
        const struct five_tuple tuple = tuple_of(c);
        assert_int_equal(turn_server_session(server, &tuple), 0);
        (void)stage_allocate(c);
        assert_true(f->stage.w.events.last_session == base + i);
        assert_true(turn_server_session(server, &tuple) == base + i);
        assert_true(turn_server_find_session(server, base + i, &found));
        assert_memory_equal(&found, &tuple, sizeof(tuple));
    }
    const struct five_tuple before = found;
    assert_false(turn_server_find_session(server, base + CLIENTS + 1, &found));
    assert_false(turn_server_find_session(server, 1, &found));
    assert_memory_equal(&found, &before, sizeof(found));
    assert_int_equal(turn_server_close_session(server, base + 3, f->stage.w.now_ms), 0);
    assert_int_equal(turn_server_close_session(server, base + 3, f->stage.w.now_ms), -ENOENT);
    assert_int_equal(turn_server_close_session(server, 3, f->stage.w.now_ms), -ENOENT);
    assert_int_equal(turn_server_allocation_count(server), CLIENTS - 1);
}

static void see(void *arg, const struct five_tuple *tuple, void *listener)
{
    struct fixture *f = arg;

    assert_true(f->seen_count < COUNT_OF(f->seen));
    f->seen[f->seen_count] = *tuple;
    f->seen_listener[f->seen_count++] = listener;
    if (f->let_go) {
        travel(f, f->stage.w.server, f->far_end, tuple, listener);
    }
}

static void each__sees_every_address_once(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    turn_server_each(f->stage.w.server, see, f);
    assert_int_equal(f->seen_count, 0);
    for (uint16_t i = 0; i < 4; i++) {
        c->addr.port = (uint16_t)(5000 + i);
        c->nonce[0] = '\0';
        assert_int_equal(client_allocate_mobile(c).code, 0);
        if (i % 2 == 1) {
            c->addr.port = (uint16_t)(6000 + i);
            assert_int_equal(client_move(c, 600).code, 0);
            const struct five_tuple tuple = tuple_of(c);
            turn_server_set_listener(f->stage.w.server, &tuple, &place[1]);
        }
    }
    turn_server_each(f->stage.w.server, see, f);
    assert_int_equal(f->seen_count, 6);
    uint32_t moving = 0;
    for (uint32_t i = 0; i < f->seen_count; i++) {
        assert_true(turn_server_session(f->stage.w.server, &f->seen[i]) != 0);
        const bool coming = f->seen[i].client.port >= 6000;
        assert_true(coming == (f->seen_listener[i] == &place[1]));
        moving += coming;
        for (uint32_t k = 0; k < i; k++) {
            assert_memory_not_equal(&f->seen[i], &f->seen[k], sizeof(f->seen[i]));
        }
    }
    assert_int_equal(moving, 2);
}

/* Whoever is called may let the session go, the one that is moving, too. */
static void each__may_let_go(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;

    for (uint16_t i = 0; i < CLIENTS; i++) {
        c->addr.port = (uint16_t)(5000 + i);
        c->nonce[0] = '\0';
        assert_int_equal(client_allocate_mobile(c).code, 0);
        if (i % 3 == 0) {
            c->addr.port = (uint16_t)(6000 + i);
            assert_int_equal(client_move(c, 600).code, 0);
        }
    }
    f->let_go = true;
    turn_server_each(f->stage.w.server, see, f);
    assert_int_equal(f->seen_count, CLIENTS);
    assert_int_equal(turn_server_allocation_count(f->stage.w.server), 0);
    assert_int_equal(turn_server_allocation_count(f->far_end), CLIENTS);
    assert_int_equal(f->stage.w.server->tables.coming.count, 0);
    assert_int_equal(f->far_end->tables.coming.count, (CLIENTS + 2) / 3);
}

static void set_listener__says_what_reaches_the_client(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct five_tuple old = tuple_of(c);

    assert_int_equal(client_allocate_mobile(c).code, 0);
    struct turn_server *server = f->stage.w.server;
    const struct net_addr relayed = turn_alloc_find(&server->tables, &old)->relay[0].relayed;
    assert_int_equal(client_permit(c, &peer).code, 0);
    turn_server_set_listener(server, &old, &place[0]);
    assert_int_equal(world_from_peer(&f->stage.w, &relayed, &peer, (const uint8_t *)"x", 1),
                     TURN_TO_CLIENT);
    assert_ptr_equal(f->stage.w.pkt.port, &place[0]);
    c->addr.port++;
    assert_int_equal(client_move(c, 600).code, 0);
    assert_ptr_equal(f->stage.w.events.last_was_listener, &place[0]);
    const struct five_tuple new = tuple_of(c);
    turn_server_set_listener(server, &new, &place[1]);
    (void)world_from_peer(&f->stage.w, &relayed, &peer, (const uint8_t *)"x", 1);
    assert_ptr_equal(f->stage.w.pkt.port, &place[0]);
    struct five_tuple tuples[2];
    void *listeners[2];
    for (int i = 0; i < 2; i++) { /* asked for either of them */
        assert_true(turn_server_moving(server, i == 0 ? &old : &new, tuples, listeners));
        assert_memory_equal(&tuples[0], &old, sizeof(old));
        assert_memory_equal(&tuples[1], &new, sizeof(new));
        assert_ptr_equal(listeners[0], &place[0]);
        assert_ptr_equal(listeners[1], &place[1]);
    }
    assert_int_equal(client_send(c, &peer, "x", 1), TURN_TO_PEER);
    assert_false(turn_server_moving(server, &old, tuples, listeners));
    assert_false(turn_server_moving(server, &new, tuples, listeners));
    (void)world_from_peer(&f->stage.w, &relayed, &peer, (const uint8_t *)"x", 1);
    assert_ptr_equal(f->stage.w.pkt.port, &place[1]);
    turn_server_set_listener(server, &old, &place[0]); /* nobody is there any more */
    (void)world_from_peer(&f->stage.w, &relayed, &peer, (const uint8_t *)"x", 1);
    assert_ptr_equal(f->stage.w.pkt.port, &place[1]);
}

/* --- travelling ---------------------------------------------------------------------------------
 */

static void session__keeps_its_number(void **state)
{
    struct fixture *f = *state;
    const struct five_tuple tuple = tuple_of(&f->stage.c);

    (void)stage_allocate(&f->stage.c);
    travel(f, f->stage.w.server, f->far_end, &tuple, place);
    assert_int_equal(turn_server_session(f->stage.w.server, &tuple), 0);
    assert_true(turn_server_session(f->far_end, &tuple) == base + 1);
    assert_int_equal(f->events, 0);
    /* its number is taken, whatever the address */
    f->parcel[1 + 1 + 16 + 4] ^= 1; /* the client's port */
    assert_int_equal(turn_server_unpack(f->far_end, (struct bytes){f->parcel, f->len}, place,
                                        f->ports, f->relays, f->stage.w.now_ms),
                     -EEXIST);
    assert_int_equal(turn_server_allocation_count(f->far_end), 1);
    travel(f, f->far_end, f->stage.w.server, &tuple, NULL);
    assert_true(turn_server_session(f->stage.w.server, &tuple) == base + 1);
    for (int i = 0; i < 2; i++) { /* the sockets tell their packets' relays */
        if (f->relays[i] != NULL) {
            ((struct world_socket *)f->ports[i])->relay = f->relays[i];
        }
    }
    assert_int_equal(client_refresh(&f->stage.c, 600).code, 0);
}

/* The Allocate was answered elsewhere: a late copy of it is not answered here, nor does it make
 * anything.  Another Allocate does. */
static void forget__late_allocate_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    const struct five_tuple tuple = tuple_of(c);

    (void)stage_allocate(c);
    travel(f, f->stage.w.server, f->far_end, &tuple, place);
    assert_int_equal(say_again(c), TURN_DROP);
    assert_int_equal(turn_server_last_drop(f->stage.w.server), DROP_ELSEWHERE);
    assert_int_equal(turn_server_allocation_count(f->stage.w.server), 0);
    assert_int_equal(turn_server_close_session(f->far_end, base + 1, f->stage.w.now_ms), 0);
    assert_int_equal(say_again(c), TURN_DROP);
    assert_int_equal(client_allocate(c).code, 0); /* the client begins anew */
    assert_int_equal(turn_server_allocation_count(f->stage.w.server), 1);
}

/* 40 s later no copy of it can be under way. */
static void forget__is_forgotten_at_last(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    const struct five_tuple tuple = tuple_of(c);

    (void)stage_allocate(c);
    travel(f, f->stage.w.server, f->far_end, &tuple, place);
    world_advance(&f->stage.w, TRANSACTION_MS - 1);
    assert_int_equal(say_again(c), TURN_DROP);
    assert_int_equal(turn_server_last_drop(f->stage.w.server), DROP_ELSEWHERE);
    world_advance(&f->stage.w, 1);
    assert_int_equal(say_again(c), TURN_TO_CLIENT);
}

/* Back again, and over: what counts then is that it has ended. */
static void forget__and_back_again(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    const struct five_tuple tuple = tuple_of(c);
    static uint8_t allocate[CLIENT_BUF];

    (void)stage_allocate(c);
    const size_t n = c->len;
    memcpy(allocate, c->buf, n);
    for (int i = 0; i < 3; i++) {
        travel(f, f->stage.w.server, f->far_end, &tuple, place);
        assert_int_equal(world_from_client(c->world, &c->addr, allocate, n), TURN_DROP);
        travel(f, f->far_end, f->stage.w.server, &tuple, NULL);
        assert_int_equal(world_from_client(c->world, &c->addr, allocate, n), TURN_TO_CLIENT);
        assert_int_equal(client_read(c, TURN_TO_CLIENT, c->world->pkt.data, c->world->pkt.len).code,
                         0);
    }
    assert_int_equal(client_refresh(c, 0).code, 0);
    assert_int_equal(world_from_client(c->world, &c->addr, allocate, n), TURN_TO_CLIENT);
    assert_int_equal(client_read(c, TURN_TO_CLIENT, c->world->pkt.data, c->world->pkt.len).code,
                     STUN_ALLOCATION_MISMATCH);
}

/* A client that is moving while its session travels arrives at the other end. */
static void session__travels_while_its_client_moves(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    struct world *w = &f->stage.w;
    const struct net_addr peer = world_addr("198.51.100.1:9");
    const struct five_tuple old = tuple_of(c);

    assert_int_equal(client_allocate_mobile(c).code, 0);
    assert_int_equal(client_permit(c, &peer).code, 0);
    c->addr.port++;
    assert_int_equal(client_move(c, 600).code, 0);
    static uint8_t refresh[CLIENT_BUF];
    const size_t n = c->len;
    memcpy(refresh, c->buf, n);
    const struct five_tuple new = tuple_of(c);
    travel(f, w->server, f->far_end, &new, &place[1]);
    turn_server_set_listener(f->far_end, &old, &place[0]);
    assert_true(turn_server_session(f->far_end, &old) == base + 1);
    assert_true(turn_server_session(f->far_end, &new) == base + 1);
    struct turn_server *near = w->server;
    w->server = f->far_end; /* the client's packets come in there now */
    assert_int_equal(world_from_client(w, &c->addr, refresh, n), TURN_TO_CLIENT);
    struct reply r = client_read(c, TURN_TO_CLIENT, w->pkt.data, w->pkt.len);
    assert_int_equal(r.code, 0); /* its Refresh came again: the same ticket */
    assert_int_equal(r.ticket.n, c->ticket_len);
    assert_memory_equal(r.ticket.p, c->ticket, c->ticket_len);
    assert_int_equal(client_send(c, &peer, "x", 1), TURN_TO_PEER);
    assert_int_equal(turn_server_session(w->server, &old), 0);
    c->addr.port++;
    assert_int_equal(client_move(c, 600).code, 0);
    w->server = near;
    assert_true(f->events > 0);
}

/* Nobody may be where it is moving to. */
static void unpack__refuses_an_address_that_is_taken(void **state)
{
    struct fixture *f = *state;
    struct client *c = &f->stage.c;
    struct world *w = &f->stage.w;

    (void)stage_allocate(c);
    const struct five_tuple taken = tuple_of(c);
    travel(f, w->server, f->far_end, &taken, place);
    c->addr.port++;
    c->nonce[0] = '\0';
    assert_int_equal(client_allocate_mobile(c).code, 0);
    const struct five_tuple tuple = tuple_of(c);
    c->addr = taken.client;
    assert_int_equal(client_move(c, 600).code, 0); /* nobody here knows better */
    struct writer parcel = writer_over(f->parcel, sizeof(f->parcel));
    assert_int_equal(turn_server_pack(w->server, &tuple, w->now_ms, &parcel), 0);
    assert_int_equal(turn_server_unpack(f->far_end, (struct bytes){f->parcel, parcel.len}, place,
                                        f->ports, f->relays, w->now_ms),
                     -EEXIST);
    assert_int_equal(turn_server_allocation_count(f->far_end), 1);
    assert_int_equal(slab_count(f->far_end->tables.mobile_slab), 0);
}

#define FAR_TEST(f) cmocka_unit_test_setup_teardown(f, open_far, close_far)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAR_TEST(sessions__are_numbered_from_their_base),
        FAR_TEST(each__sees_every_address_once),
        FAR_TEST(each__may_let_go),
        FAR_TEST(set_listener__says_what_reaches_the_client),
        FAR_TEST(session__keeps_its_number),
        FAR_TEST(forget__late_allocate_is_dropped),
        FAR_TEST(forget__is_forgotten_at_last),
        FAR_TEST(forget__and_back_again),
        FAR_TEST(session__travels_while_its_client_moves),
        FAR_TEST(unpack__refuses_an_address_that_is_taken),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
