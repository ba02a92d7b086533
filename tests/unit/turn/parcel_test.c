/* SPDX-License-Identifier: Apache-2.0 */
/* The session parcel (parcel.c): a session that is packed here and unpacked there is the same one.
 *
 * The far end is a server with another clock.  The session stays at the near end as well, and both
 * are asked the same: whatever one answers, the other must. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stage.h"
#include "turn/turn_int.h"

enum {
    SESSIONS = 2000,
    PEERS = 6,
    CHANNELS = 4,
    PARCEL_ROOM = TURN_PARCEL_HEAD + 64 * TURN_PARCEL_PERM + 16 * TURN_PARCEL_CHAN,
    FAR_AHEAD_MS = 987654321, /* by how much the far clock is ahead */
};

/* A server that has no more than what it is given. */
struct far_end {
    struct turn_server *server;
    struct world *near;
    struct turn_relay *relay[2];
    uint32_t closed;
    uint32_t given;
    uint32_t events;
    struct pkt pkt;
    uint8_t buf[PKT_HEADROOM + WORLD_PKT_CAP];
};

struct fixture {
    struct stage stage;
    struct far_end far_end;
    uint64_t dice;
    uint8_t parcel[PARCEL_ROOM];
    size_t len;
    struct client client;
    struct net_addr relayed[2]; /* by family; NET_NONE: there is none */
};

static char listener[1];
static char ports[2][1];

/* --- the far end --------------------------------------------------------------------------------
 */

static void far_random(void *arg, uint8_t *out, size_t n)
{
    (void)arg;
    memset(out, 0x42, n);
}

/* An established session must not need to ask anybody. */
static int far_key_find(void *arg, const struct credential_query *query,
                        struct credential_keys *out)
{
    (void)arg;
    (void)query;
    (void)out;
    return -ENOENT;
}

static int far_relay_open(void *arg, const struct turn_relay_want *want,
                          struct turn_relay_grant *out)
{
    (void)arg;
    (void)want;
    (void)out;
    return -ENOSPC;
}

static void far_relay_close(void *arg, void *port)
{
    struct far_end *far_end = arg;

    assert_true(port == ports[0] || port == ports[1]);
    far_end->closed++;
}

static int far_quota_take(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    (void)arg;
    (void)user;
    return -ENOSPC;
}

static void far_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    struct far_end *far_end = arg;

    (void)user;
    far_end->given++;
}

static uint64_t far_capacity(void *arg, int direction, uint32_t bytes, uint64_t now_ms)
{
    (void)arg;
    (void)direction;
    (void)now_ms;
    return bytes;
}

static void far_event(void *arg, const struct turn_event *event)
{
    struct far_end *far_end = arg;

    (void)event;
    far_end->events++;
}

static uint64_t far_now(const struct far_end *far_end)
{
    return far_end->near->now_ms + FAR_AHEAD_MS;
}

static void far_open(struct far_end *far_end, struct world *near, uint32_t max_allocations)
{
    const struct turn_server_options options = {
        .config = &near->config,
        .effects =
            {
                .arg = far_end,
                .random_fill = far_random,
                .key_find = far_key_find,
                .relay_open = far_relay_open,
                .relay_close = far_relay_close,
                .quota_take = far_quota_take,
                .quota_give = far_quota_give,
                .capacity_lease = far_capacity,
                .event = far_event,
            },
        .hash_key = {3, 4},
        .max_allocations = max_allocations,
        .now_ms = near->now_ms + FAR_AHEAD_MS,
        .wall_s = near->wall_s,
    };

    far_end->near = near;
    assert_int_equal(turn_server_new(&options, &far_end->server), 0);
}

/* Nothing of any session is left in the tables. */
static void far_is_empty(const struct far_end *far_end)
{
    const struct turn_tables *t = &far_end->server->tables;

    assert_int_equal(turn_server_allocation_count(far_end->server), 0);
    assert_int_equal(slab_count(t->alloc_slab), 0);
    assert_int_equal(slab_count(t->perm_slab), 0);
    assert_int_equal(slab_count(t->chan_slab), 0);
    assert_int_equal(slab_count(t->name_slab) + slab_count(t->long_name_slab), 0);
    assert_int_equal(t->perms.count + t->by_number.count + t->by_peer.count, 0);
    assert_true(turn_server_next_deadline(far_end->server) == UINT64_MAX);
}

static struct pkt *far_load(struct far_end *far_end, const void *data, size_t n)
{
    far_end->pkt = (struct pkt){
        .data = far_end->buf + PKT_HEADROOM,
        .len = (uint32_t)n,
        .cap = WORLD_PKT_CAP,
        .buf = far_end->buf,
        .port = listener,
        .transport = NET_UDP,
    };
    memcpy(far_end->pkt.data, data, n);
    turn_server_set_wall(far_end->server, far_end->near->wall_s);
    return &far_end->pkt;
}

static enum turn_verdict far_from_client(struct far_end *far_end, const struct net_addr *client,
                                         const void *data, size_t n)
{
    struct pkt *pkt = far_load(far_end, data, n);

    pkt->remote = *client;
    pkt->local = far_end->near->server_addr[client->family == NET_V4 ? 0 : 1];
    return turn_server_client_packet(far_end->server, pkt, far_now(far_end));
}

static void far_tick(struct far_end *far_end)
{
    while (turn_server_tick(far_end->server, far_now(far_end), 4) == 4) {
    }
}

/* --- random sessions ----------------------------------------------------------------------------
 */

static uint32_t below(struct fixture *f, uint32_t n)
{
    f->dice = f->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((f->dice >> 33) % n);
}

static struct net_addr peer_of(uint32_t i, uint16_t port)
{
    static const char *const peers[PEERS] = {
        "198.51.100.1:1",    "198.51.100.2:1",    "198.51.100.3:1",
        "[2001:db8:1::1]:1", "[2001:db8:1::2]:1", "[2001:db8:1::3]:1",
    };
    struct net_addr peer = world_addr(peers[i]);

    peer.port = port;
    return peer;
}

/* Make an allocation in the near world, of whatever kind; false when it did not work out. */
static bool allocate(struct fixture *f, uint32_t number)
{
    struct client *c = &f->client;
    char addr[64];

    (void)snprintf(addr, sizeof(addr), below(f, 4) == 0 ? "[2001:db8:7::9]:%u" : "203.0.113.9:%u",
                   1024 + number % 60000);
    client_init(c, &f->stage.w, addr, "user", "pass");
    c->auth = (enum client_auth)(1 + below(f, 3));
    c->userhash = below(f, 5) == 0;
    assert_true(client_challenge(c));
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    switch (below(f, 4)) {
    case 0:
        stun_out_u32(&c->out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
        break;
    case 1:
        stun_out_u32(&c->out, STUN_REQUESTED_ADDRESS_FAMILY, (1 + below(f, 2)) << 24);
        break;
    case 2:
        stun_out_attr(&c->out, STUN_EVEN_PORT, (struct bytes){(const uint8_t *)"\x80", 1});
        break;
    default:
        break;
    }
    stun_out_u32(&c->out, STUN_LIFETIME, 400 + below(f, 3600));
    client_sign(c);
    const struct reply r = client_submit(c);
    f->relayed[0].family = f->relayed[1].family = NET_NONE;
    for (uint32_t i = 0; i < r.relayed_count; i++) {
        f->relayed[r.relayed[i].family == NET_V4 ? 0 : 1] = r.relayed[i];
    }
    return r.code == 0 && r.verdict == TURN_TO_CLIENT;
}

/* What a client does with an allocation, at random, while time passes. */
static void live(struct fixture *f)
{
    static const uint8_t data[200];
    struct client *c = &f->client;

    for (uint32_t n = below(f, 20); n > 0; n--) {
        const struct net_addr peer = peer_of(below(f, PEERS), (uint16_t)(1 + below(f, 3)));
        const uint16_t channel = (uint16_t)(0x4000 + below(f, CHANNELS));
        switch (below(f, 6)) {
        case 0:
            (void)client_permit(c, &peer);
            break;
        case 1:
            (void)client_bind(c, channel, &peer);
            break;
        case 2:
            (void)client_channel(c, channel, data, below(f, sizeof(data)));
            break;
        case 3:
            (void)client_send(c, &peer, data, below(f, sizeof(data)));
            break;
        case 4:
            client_begin(c, STUN_REFRESH, STUN_REQUEST);
            stun_out_u32(&c->out, STUN_REQUESTED_ADDRESS_FAMILY, (1 + below(f, 2)) << 24);
            stun_out_u32(&c->out, STUN_LIFETIME, below(f, 3) * 900);
            client_sign(c);
            (void)client_submit(c);
            break;
        default:
            world_advance(&f->stage.w, below(f, below(f, 2) == 0 ? 1000 : 100000));
            break;
        }
    }
}

static struct five_tuple tuple_of(const struct fixture *f)
{
    const struct world *w = &f->stage.w;

    return (struct five_tuple){f->client.addr,
                               w->server_addr[f->client.addr.family == NET_V4 ? 0 : 1], 17};
}

static struct turn_alloc *near_alloc(const struct fixture *f)
{
    const struct five_tuple tuple = tuple_of(f);

    return turn_alloc_find(&f->stage.w.server->tables, &tuple);
}

/* Pack the near session into f->parcel with exactly the room that was promised to be enough. */
static bool pack(struct fixture *f)
{
    const struct turn_alloc *alloc = near_alloc(f);
    const struct five_tuple tuple = tuple_of(f);

    if (alloc == NULL) {
        return false;
    }
    struct writer w =
        writer_over(f->parcel, TURN_PARCEL_HEAD + alloc->perm_count * (size_t)TURN_PARCEL_PERM +
                                   alloc->chan_count * (size_t)TURN_PARCEL_CHAN);
    assert_int_equal(turn_server_pack(f->stage.w.server, &tuple, f->stage.w.now_ms, &w), 0);
    f->len = w.len;
    return true;
}

static int unpack(struct fixture *f, size_t n, void *const handles[2])
{
    struct far_end *far_end = &f->far_end;

    return turn_server_unpack(far_end->server, (struct bytes){f->parcel, n}, listener, handles,
                              far_end->relay, far_now(far_end));
}

/* The handles of the relays that the near session has. */
static void handles_of(const struct fixture *f, void *out[2])
{
    const struct turn_alloc *alloc = near_alloc(f);

    for (int i = 0; i < 2; i++) {
        out[i] = alloc->relay[i].port != NULL ? ports[i] : NULL;
    }
}

/* A session that can be packed.  There is none for some dice. */
static bool make_session(struct fixture *f, uint32_t number)
{
    f->stage.w.config.main.max_bps = below(f, 2) == 0 ? 0 : 1000;
    if (!allocate(f, number)) {
        return false;
    }
    live(f);
    return pack(f);
}

/* --- both ends are asked the same ---------------------------------------------------------------
 */

static void same_packet(const struct fixture *f, enum turn_verdict near, enum turn_verdict far_)
{
    const struct pkt *a = &f->stage.w.pkt;
    const struct pkt *b = &f->far_end.pkt;

    assert_int_equal(near, far_);
    if (near != TURN_TO_CLIENT && near != TURN_TO_PEER) {
        return;
    }
    assert_true(net_addr_equal(&a->remote, &b->remote) && net_addr_equal(&a->local, &b->local));
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->df, b->df);
    const bool indication = near == TURN_TO_CLIENT && a->len > 20 && be16(a->data) == 0x0017;
    const size_t skip = indication ? 20 : 0; /* its transaction ID is random... */
    if (!indication || be16(a->data + 20 + 4) == 0x0001) {
        assert_memory_equal(a->data + skip, b->data + skip, a->len < 32 ? a->len - skip : 8);
    }
    if (!indication) {
        assert_memory_equal(a->data, b->data, a->len);
    }
}

static void ask_both_as_client(struct fixture *f, const void *data, size_t n)
{
    const struct net_addr client = f->client.addr;
    const enum turn_verdict near = world_from_client(&f->stage.w, &client, data, n);
    const enum turn_verdict far_ = far_from_client(&f->far_end, &client, data, n);

    same_packet(f, near, far_);
    if (near == TURN_TO_PEER) {
        assert_ptr_equal(f->far_end.pkt.port, ports[f->far_end.pkt.local.family - 1]);
    }
}

static void ask_both_as_peer(struct fixture *f, const struct net_addr *peer)
{
    static const uint8_t data[64];
    const int family = peer->family - 1;

    if (f->relayed[family].family == NET_NONE || f->far_end.relay[family] == NULL ||
        turn_server_allocation_count(f->far_end.server) == 0 ||
        f->far_end.relay[family]->port == NULL) {
        return;
    }
    const enum turn_verdict near =
        world_from_peer(&f->stage.w, &f->relayed[family], peer, data, sizeof(data));
    struct pkt *pkt = far_load(&f->far_end, data, sizeof(data));
    pkt->remote = *peer;
    const enum turn_verdict far_ = turn_server_peer_packet(
        f->far_end.server, f->far_end.relay[family], pkt, far_now(&f->far_end));
    same_packet(f, near, far_);
    if (far_ == TURN_TO_CLIENT) {
        assert_ptr_equal(pkt->port, listener);
    }
}

static void ask_both(struct fixture *f)
{
    static const uint8_t data[40];
    struct client *c = &f->client;
    uint8_t channel_data[4 + sizeof(data)];

    for (uint32_t i = 0; i < PEERS; i++) {
        const struct net_addr peer = peer_of(i, (uint16_t)(1 + below(f, 3)));
        ask_both_as_peer(f, &peer);
        client_begin(c, STUN_SEND, STUN_INDICATION);
        stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, &peer);
        stun_out_attr(&c->out, STUN_DATA_ATTR, (struct bytes){data, sizeof(data)});
        client_end(c);
        ask_both_as_client(f, c->buf, c->len);
    }
    for (uint16_t i = 0; i < CHANNELS; i++) {
        channel_data_head(channel_data, (uint16_t)(0x4000 + i), sizeof(data));
        memcpy(channel_data + 4, data, sizeof(data));
        ask_both_as_client(f, channel_data, sizeof(channel_data));
    }
}

/* Requests that change the session change it at both ends; the answers are the same, bytes and all.
 */
static void change_both(struct fixture *f)
{
    const struct net_addr peer = peer_of(below(f, PEERS), (uint16_t)(1 + below(f, 3)));
    struct client *c = &f->client;

    switch (below(f, 3)) {
    case 0:
        client_begin(c, STUN_CREATE_PERMISSION, STUN_REQUEST);
        break;
    case 1:
        client_begin(c, STUN_CHANNEL_BIND, STUN_REQUEST);
        stun_out_u32(&c->out, STUN_CHANNEL_NUMBER, (0x4000 + below(f, CHANNELS)) << 16);
        break;
    default:
        client_begin(c, STUN_REFRESH, STUN_REQUEST);
        stun_out_u32(&c->out, STUN_LIFETIME, 700);
        break;
    }
    stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, &peer);
    client_sign(c);
    ask_both_as_client(f, c->buf, c->len);
}

static void advance_both(struct fixture *f, uint64_t ms)
{
    world_advance(&f->stage.w, ms);
    far_tick(&f->far_end);
}

/* --- tests --------------------------------------------------------------------------------------
 */

static int open_both(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return -1;
    }
    world_init(&f->stage.w, 77);
    if (world_start(&f->stage.w) < 0) {
        return -1;
    }
    (void)world_add_user(&f->stage.w, "user", "pass");
    f->dice = 4711;
    *state = f;
    return 0;
}

static int close_both(void **state)
{
    struct fixture *f = *state;

    turn_server_free(f->far_end.server);
    world_stop(&f->stage.w);
    free(f);
    return 0;
}

/* Packed again at the same moment it is the same bytes, and whatever is asked gets the same answer
 * until both end in the same millisecond. */
static void parcel__is_the_same_session(void **state)
{
    struct fixture *f = *state;
    uint8_t again[PARCEL_ROOM];
    uint32_t packed = 0;

    far_open(&f->far_end, &f->stage.w, 100);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        void *handles[2];
        if (make_session(f, i)) {
            const struct five_tuple tuple = tuple_of(f);
            struct writer w = writer_over(again, sizeof(again));
            handles_of(f, handles);
            assert_int_equal(unpack(f, f->len, handles), 0);
            assert_int_equal(turn_server_pack(f->far_end.server, &tuple, far_now(&f->far_end), &w),
                             0);
            assert_int_equal(w.len, f->len);
            assert_memory_equal(again, f->parcel, w.len);
            for (int turn = 0; turn < 4; turn++) {
                ask_both(f);
                change_both(f);
                advance_both(f, below(f, 120000));
            }
            packed++;
        }
        for (int turn = 0; turn < 40; turn++) {
            advance_both(f, 100000);
            assert_int_equal(near_alloc(f) == NULL,
                             turn_server_allocation_count(f->far_end.server) == 0);
        }
        far_is_empty(&f->far_end);
    }
    assert_true(packed > SESSIONS / 2);
    assert_int_equal(f->far_end.given, packed); /* each gave back its quota, once */
}

/* A permission with 123456 ms to live has them at the other end, whatever time it is there. */
static void parcel__times_travel_as_what_is_left(void **state)
{
    struct fixture *f = *state;
    const struct net_addr peer = peer_of(0, 9);
    void *handles[2];

    far_open(&f->far_end, &f->stage.w, 100);
    client_init(&f->client, &f->stage.w, "203.0.113.9:9", "user", "pass");
    f->relayed[0] = stage_allocate(&f->client);
    assert_int_equal(client_bind(&f->client, 0x4000, &peer).code, 0);
    world_advance(&f->stage.w, 300000 - 123456);
    assert_true(pack(f));
    handles_of(f, handles);
    assert_int_equal(unpack(f, f->len, handles), 0);
    const struct turn_alloc *alloc = f->far_end.relay[0]->alloc;
    const struct turn_perm *perm = CONTAINER_OF(alloc->perms.next, struct turn_perm, node);
    const struct turn_chan *chan = CONTAINER_OF(alloc->chans.next, struct turn_chan, node);
    assert_true(perm->expires_ms == far_now(&f->far_end) + 123456);
    assert_true(chan->expires_ms == far_now(&f->far_end) + 123456 + 300000);
    assert_true(alloc->relay[0].expires_ms == far_now(&f->far_end) + 123456 + 300000);
    advance_both(f, 123455);
    ask_both_as_peer(f, &peer);
    assert_int_equal(f->far_end.pkt.len, 64 + 4); /* as ChannelData */
    advance_both(f, 1);
    const uint64_t drops = turn_server_counters(f->far_end.server)->drops[DROP_NO_PERMISSION];
    ask_both_as_peer(f, &peer);
    assert_true(turn_server_counters(f->far_end.server)->drops[DROP_NO_PERMISSION] == drops + 1);
}

/* The Allocate that made the session is answered by the far end as by the near one. */
static void parcel__knows_its_allocate(void **state)
{
    struct fixture *f = *state;
    void *handles[2];

    far_open(&f->far_end, &f->stage.w, 100);
    for (uint32_t i = 0; i < 200; i++) {
        if (allocate(f, i)) {
            static uint8_t request[CLIENT_BUF];
            const size_t n = f->client.len;
            memcpy(request, f->client.buf, n);
            assert_true(pack(f));
            handles_of(f, handles);
            assert_int_equal(unpack(f, f->len, handles), 0);
            ask_both_as_client(f, request, n);
        }
        advance_both(f, 3700 * 1000);
        far_is_empty(&f->far_end);
    }
}

static void unpack__refuses_every_truncation(void **state)
{
    struct fixture *f = *state;

    far_open(&f->far_end, &f->stage.w, 4);
    for (uint32_t i = 0; i < 40; i++) {
        void *handles[2];
        if (!make_session(f, i)) {
            continue;
        }
        handles_of(f, handles);
        for (size_t n = 0; n < f->len; n++) {
            uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read past the end */
            assert_non_null(exact);
            memcpy(exact, f->parcel, n);
            assert_true(turn_server_unpack(f->far_end.server, (struct bytes){exact, n}, listener,
                                           handles, f->far_end.relay, far_now(&f->far_end)) < 0);
            free(exact);
            far_is_empty(&f->far_end);
        }
        f->parcel[f->len] = 0; /* nor may there be more */
        assert_int_equal(unpack(f, f->len + 1, handles), -EBADMSG);
        far_is_empty(&f->far_end);
    }
    assert_int_equal(f->far_end.closed + f->far_end.given + f->far_end.events, 0);
}

/* The session that was taken in, however strange, can be used and comes to its end. */
static void use_and_end(struct fixture *f)
{
    struct turn_tables *t = &f->far_end.server->tables;
    struct turn_alloc *alloc = CONTAINER_OF(t->allocs.next, struct turn_alloc, node);
    const struct five_tuple tuple = alloc->tuple;
    uint8_t again[PARCEL_ROOM];
    struct writer w = writer_over(again, sizeof(again));
    static const uint8_t data[8] = {0x40, 0, 0, 4};

    assert_int_equal(turn_server_allocation_count(f->far_end.server), 1);
    assert_int_equal(turn_server_pack(f->far_end.server, &tuple, far_now(&f->far_end), &w), 0);
    for (int i = 0; i < 2; i++) {
        const struct net_addr peer = peer_of(i == 0 ? 0 : 3, 1);
        if (f->far_end.relay[i] != NULL) {
            struct pkt *pkt = far_load(&f->far_end, data, sizeof(data));
            pkt->remote = peer;
            (void)turn_server_peer_packet(f->far_end.server, f->far_end.relay[i], pkt,
                                          far_now(&f->far_end));
        }
    }
    (void)far_from_client(&f->far_end, &tuple.client, data, sizeof(data));
    (void)far_from_client(&f->far_end, &tuple.client, f->client.buf, f->client.len);
    far_tick(&f->far_end); /* it may be over */
    if (turn_server_allocation_count(f->far_end.server) > 0) {
        assert_int_equal(
            turn_server_close_session(f->far_end.server, alloc->session, far_now(&f->far_end)), 0);
    }
    far_is_empty(&f->far_end);
}

static void unpack__survives_every_changed_byte(void **state)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xff};
    struct fixture *f = *state;
    uint32_t taken = 0;
    uint32_t refused = 0;

    far_open(&f->far_end, &f->stage.w, 4);
    for (uint32_t i = 0; i < 60; i++) {
        void *handles[2];
        if (!make_session(f, i)) {
            continue;
        }
        handles_of(f, handles);
        for (size_t at = 0; at < f->len * COUNT_OF(changes); at++) {
            const uint8_t change = changes[at % COUNT_OF(changes)];
            uint8_t *byte = &f->parcel[at / COUNT_OF(changes)];
            *byte = (uint8_t)(*byte ^ change);
            if (unpack(f, f->len, handles) == 0) {
                taken++;
                use_and_end(f);
            } else {
                refused++;
                far_is_empty(&f->far_end);
            }
            *byte = (uint8_t)(*byte ^ change);
        }
    }
    assert_true(taken > 0 && refused > 0);
}

static void unpack__refuses_what_does_not_fit(void **state)
{
    struct fixture *f = *state;
    void *const none[2] = {NULL, NULL};
    void *const other[2] = {NULL, ports[1]};
    void *const both[2] = {ports[0], ports[1]};
    void *const right[2] = {ports[0], NULL};

    far_open(&f->far_end, &f->stage.w, 1);
    client_init(&f->client, &f->stage.w, "203.0.113.9:9", "user", "pass");
    f->relayed[0] = stage_allocate(&f->client);
    assert_true(pack(f));
    assert_int_equal(unpack(f, f->len, none), -EINVAL);
    assert_int_equal(unpack(f, f->len, other), -EINVAL);
    assert_int_equal(unpack(f, f->len, both), -EINVAL);
    f->parcel[0]++; /* a version that is not known */
    assert_int_equal(unpack(f, f->len, right), -EBADMSG);
    f->parcel[0]--;
    far_is_empty(&f->far_end);
    assert_int_equal(unpack(f, f->len, right), 0);
    assert_int_equal(unpack(f, f->len, right), -EEXIST);
    assert_int_equal(turn_server_allocation_count(f->far_end.server), 1);
    client_init(&f->client, &f->stage.w, "203.0.113.9:10", "user", "pass");
    f->relayed[0] = stage_allocate(&f->client);
    assert_true(pack(f));
    assert_int_equal(unpack(f, f->len, right), -ENOSPC); /* the far end serves one allocation */
    assert_int_equal(turn_server_allocation_count(f->far_end.server), 1);
}

static void pack__says_when_it_cannot(void **state)
{
    struct fixture *f = *state;
    struct turn_server *server = f->stage.w.server;
    struct five_tuple tuple;

    far_open(&f->far_end, &f->stage.w, 1);
    client_init(&f->client, &f->stage.w, "203.0.113.9:9", "user", "pass");
    tuple = tuple_of(f);
    struct writer w = writer_over(f->parcel, sizeof(f->parcel));
    assert_int_equal(turn_server_pack(server, &tuple, f->stage.w.now_ms, &w), -ENOENT);
    assert_int_equal(turn_server_forget(server, &tuple), -ENOENT);
    (void)stage_allocate(&f->client);
    assert_true(pack(f));
    for (size_t room = 0; room < f->len; room++) {
        struct writer small = writer_over(f->parcel, room);
        assert_int_equal(turn_server_pack(server, &tuple, f->stage.w.now_ms, &small), -ENOBUFS);
    }
}

/* What has left is gone without a word: its sockets and its quota are the far end's now. */
static void forget__tells_nobody(void **state)
{
    struct fixture *f = *state;
    struct world *w = &f->stage.w;
    const struct net_addr peer = peer_of(0, 9);

    far_open(&f->far_end, w, 1);
    client_init(&f->client, w, "203.0.113.9:9", "user", "pass");
    (void)stage_allocate(&f->client);
    assert_int_equal(client_bind(&f->client, 0x4000, &peer).code, 0);
    const struct five_tuple tuple = tuple_of(f);
    const struct world_events before = w->events;
    assert_int_equal(turn_server_forget(w->server, &tuple), 0);
    assert_memory_equal(&before, &w->events, sizeof(before));
    assert_int_equal(w->open_sockets, 1);
    assert_int_equal(quota_total(w->quota), 1);
    assert_int_equal(turn_server_allocation_count(w->server), 0);
    assert_true(turn_server_next_deadline(w->server) == UINT64_MAX);
    assert_int_equal(client_channel(&f->client, 0x4000, "x", 1), TURN_DROP);
}

#define BOTH_TEST(f) cmocka_unit_test_setup_teardown(f, open_both, close_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_TEST(parcel__is_the_same_session),
        BOTH_TEST(parcel__times_travel_as_what_is_left),
        BOTH_TEST(parcel__knows_its_allocate),
        BOTH_TEST(unpack__refuses_every_truncation),
        BOTH_TEST(unpack__survives_every_changed_byte),
        BOTH_TEST(unpack__refuses_what_does_not_fit),
        BOTH_TEST(pack__says_when_it_cannot),
        BOTH_TEST(forget__tells_nobody),
    };
    return cmocka_run_group_tests_name("parcel", tests, NULL, NULL);
}
