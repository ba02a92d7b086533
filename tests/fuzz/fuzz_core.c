/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of the whole protocol core: turn_server_client_packet(), turn_server_peer_packet(),
 * turn_server_peer_icmp(), turn_server_tick(), turn_server_configure(), turn_server_recheck(),
 * turn_server_close_session(), turn_server_pack(), turn_server_client_closed(),
 * turn_server_connected(), turn_server_peer_accepted(), turn_server_conn_closed(),
 * turn_connection_owner(), turn_server_collect().
 *
 * Input: events, each a byte that says what happens and the bytes it needs.  Cheap truths are
 * checked after every event; the simulation (tests/sim) checks all the others. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/client.h"
#include "lib/world.h"
#include "turn/turn_int.h"
#include "wire/stun_addr.h"

enum {
    CLIENTS = 4,
    EVENTS_MOST = 400,
    RAW_MOST = 1500,
    STRANGER_MAX = 548, /* the largest refusal to one who has proven nothing */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static struct turn_realm other_realm;
static const struct turn_origin origins[] = {{"https://other.example", 1}};
static struct client clients[CLIENTS];
static struct net_addr relayed[CLIENTS][2];
static uint8_t parcel[TURN_PARCEL_HEAD + 64 * TURN_PARCEL_PERM + 64 * TURN_PARCEL_CHAN];

/* --- input --------------------------------------------------------------------------------------
 */

struct input {
    struct bytes rest;
};

static uint8_t take(struct input *in)
{
    struct bytes one;

    return bytes_take(&in->rest, 1, &one) < 0 ? 0 : one.p[0];
}

static uint32_t take32(struct input *in)
{
    struct bytes four;

    return bytes_take(&in->rest, 4, &four) < 0 ? 0 : be32(four.p);
}

/* A number of any size. */
static uint32_t take_scaled(struct input *in)
{
    const uint32_t number = take32(in);

    return number >> take(in) % 32;
}

static struct bytes take_some(struct input *in, size_t most)
{
    struct bytes some;
    const size_t n = most < in->rest.n ? most : in->rest.n;

    return bytes_take(&in->rest, n, &some) < 0 ? (struct bytes){NULL, 0} : some;
}

static struct net_addr take_peer(struct input *in)
{
    static const char *const peers[] = {
        "198.51.100.1:9",     "198.51.100.2:9",    "[2001:db8:1::1]:9", "[2001:db8:1::2]:9",
        "127.0.0.1:80",       "10.0.0.1:80",       "[::1]:80",          "[64:ff9b::7f00:1]:80",
        "169.254.169.254:80", "192.0.2.1:3478",    "192.0.2.1:49160",   "[2001:db8::1]:49160",
        "0.0.0.0:1",          "[2002:7f00:1::]:1", "203.0.113.1:4000",  "11.22.33.44:0",
    };
    const uint8_t which = take(in);
    struct net_addr peer = world_addr(peers[which % ARRAY_SIZE(peers)]);

    if ((which & 0x40) != 0) {
        peer.port = take(in);
    }
    if ((which & 0x80) != 0) {
        peer.family = NET_V6; /* an IPv4 address in IPv6 dress, perhaps */
    }
    return peer;
}

/* --- truths -------------------------------------------------------------------------------------
 */

static uint64_t sum(const uint64_t *counters, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        total += counters[i];
    }
    return total;
}

/* Every packet is counted once: dropped, answered or relayed. */
static uint64_t fates(void)
{
    const struct turn_counters *c = turn_server_counters(world.server);

    return sum(c->drops, DROP_COUNT) + sum(c->successes, ARRAY_SIZE(c->successes)) +
           sum(c->refused_300_to_599, ARRAY_SIZE(c->refused_300_to_599)) + c->to_peer_packets +
           c->to_client_packets;
}

/* --- a path below the core, which never relays anything ----------------------------------------
 */

enum { BELOW = 8 * 4 }; /* all the channels that there can be */

static struct {
    bool open;
    struct turn_flow is;
} below[BELOW];

static struct bucket limits[BELOW][2];
static uint32_t limits_open; /* one bit each */

static uint32_t on_flow_open(void *arg, const struct turn_flow *flow)
{
    uint32_t room = BELOW;

    (void)arg;
    for (uint32_t i = 0; i < BELOW; i++) {
        if (!below[i].open) {
            room = i;
            continue;
        }
        assert(below[i].is.number != flow->number || below[i].is.session != flow->session);
        assert(!net_addr_equal(&below[i].is.peer, &flow->peer) ||
               !net_addr_equal(&below[i].is.relay, &flow->relay));
    }
    assert(room < BELOW && (flow->limit != 0 || world.config.main.max_bps == 0));
    below[room].open = (flow->number & 7) != 0; /* some are not taken */
    below[room].is = *flow;
    return below[room].open ? room + 1 : 0;
}

static void on_flow_renew(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                          uint64_t to_client_until_ms)
{
    (void)arg;
    assert(below[handle - 1].open && to_peer_until_ms > world.now_ms);
    assert(to_client_until_ms <= to_peer_until_ms);
    below[handle - 1].is.to_peer_until_ms = to_peer_until_ms;
    (void)to_client_until_ms;
}

static void on_flow_usage(void *arg, uint32_t handle, struct turn_traffic *out)
{
    (void)arg;
    assert(below[handle - 1].open);
    (void)handle;
    *out = (struct turn_traffic){0};
}

static void on_flow_close(void *arg, uint32_t handle, struct turn_traffic *out)
{
    on_flow_usage(arg, handle, out);
    below[handle - 1].open = false;
}

static uint32_t on_limit_open(void *arg, const struct bucket from[2], struct bucket **out)
{
    const uint32_t i = (uint32_t)__builtin_ctz(~limits_open);

    (void)arg;
    limits_open |= 1U << i;
    limits[i][0] = from[0];
    limits[i][1] = from[1];
    *out = limits[i];
    return i + 1;
}

static void on_limit_close(void *arg, uint32_t handle)
{
    (void)arg;
    assert((limits_open & 1U << (handle - 1)) != 0);
    limits_open &= ~(1U << (handle - 1));
}

static void put_path_below(struct turn_effects *effects)
{
    effects->flow_open = on_flow_open;
    effects->flow_renew = on_flow_renew;
    effects->flow_usage = on_flow_usage;
    effects->flow_close = on_flow_close;
    effects->limit_open = on_limit_open;
    effects->limit_close = on_limit_close;
}

/* What it has is alive, and is at the one place where its client is. */
static void check_below(void)
{
    const struct turn_tables *t = &world.server->tables;
    uint32_t open = 0;

    for (size_t i = 0; i < BELOW; i++) {
        if (!below[i].open) {
            continue;
        }
        const struct turn_alloc *alloc = turn_alloc_numbered(t, below[i].is.session);
        const uint16_t number = below[i].is.number;
        open++;
        assert(alloc != NULL && net_addr_equal(&alloc->tuple.client, &below[i].is.client));
        assert(alloc->mobile == NULL || !alloc->mobile->moving);
        assert(turn_chan_by_number(t, alloc, number, world.now_ms) != NULL);
        assert(below[i].is.to_peer_until_ms > world.now_ms && !world.config.draining);
        assert(alloc->limit == below[i].is.limit);
        (void)alloc;
        (void)number;
    }
    assert(open == t->flow_count && open == turn_server_collect(world.server, BELOW));
    assert(open > 0 || limits_open == 0);
    (void)open;
}

static void check_tables(void)
{
    const struct turn_tables *t = &world.server->tables;
    uint32_t relays = 0;
    uint32_t perms = 0;
    uint32_t chans = 0;
    uint32_t conns = 0;
    uint32_t mobile = 0;
    uint32_t moving = 0;
    uint32_t open = 0;
    uint32_t kept = 0;

    LIST_EACH (node, &t->allocs) {
        const struct turn_alloc *alloc = CONTAINER_OF(node, struct turn_alloc, node);
        relays +=
            (alloc->relay[0].port != NULL ? 1U : 0U) + (alloc->relay[1].port != NULL ? 1U : 0U);
        perms += alloc->perm_count;
        chans += alloc->chan_count;
        conns += alloc->conn_count;
        mobile += alloc->mobile != NULL;
        moving += alloc->mobile != NULL && alloc->mobile->moving;
    }
    for (size_t i = 0; i < WORLD_MAX_CONNS; i++) {
        open += world.conns[i].conn != NULL;
    }
    for (size_t i = 0; i < WORLD_MAX_RESERVATIONS; i++) {
        kept += world.reservations[i].token != 0;
    }
    assert(t->by_tuple.count == slab_count(t->alloc_slab));
    assert(t->by_session.count == slab_count(t->alloc_slab));
    assert(mobile == slab_count(t->mobile_slab) && moving == t->coming.count);
    assert(quota_total(world.quota) == t->by_tuple.count);
    assert(perms == t->perms.count && perms == slab_count(t->perm_slab));
    assert(chans == t->by_number.count && chans == t->by_peer.count &&
           chans == slab_count(t->chan_slab));
    assert(conns == open && conns == t->conns.count && conns == t->conn_peers.count &&
           conns == slab_count(t->conn_slab));
    assert(world.open_sockets == relays + kept);
    check_below();
    (void)conns;
    (void)mobile;
    (void)moving;
    (void)open;
    (void)relays;
    (void)kept;
}

static const struct world_socket *socket_of(const void *port)
{
    const struct world_socket *socket = port;

    assert(socket >= world.sockets && socket < world.sockets + WORLD_MAX_SOCKETS && socket->open);
    return socket;
}

static void check_output(enum turn_verdict verdict, struct client *c)
{
    const struct pkt *pkt = &world.pkt;

    if (verdict == TURN_TO_PEER) {
        assert(net_addr_equal(&socket_of(pkt->port)->bound, &pkt->local));
        assert(gate_check_addr(world.config.main.gate, &pkt->remote) == GATE_OPEN);
        assert(pkt->transport == NET_UDP && socket_of(pkt->port)->protocol == NET_UDP);
        assert(pkt->data >= world.buf && pkt->data + pkt->len <= world.buf + sizeof(world.buf));
    } else if (verdict == TURN_TO_CLIENT) {
        assert(net_addr_equal(&pkt->remote, &c->addr));
        assert(pkt->transport == c->transport);
        assert(pkt->port == (c->transport == NET_UDP ? (void *)&world.server_addr : (void *)c));
    }
    (void)socket_of;
    (void)c;
    (void)pkt;
}

/* --- events -------------------------------------------------------------------------------------
 */

/* Hand the bytes in `c->buf` to the server. */
static void submit(struct client *c, size_t n)
{
    const uint64_t before = fates();
    void *port = c->transport == NET_UDP ? (void *)&world.server_addr : (void *)c;
    uint32_t owner = 0;

    (void)turn_connection_owner((struct bytes){c->buf, n}, 3, &owner);
    assert(owner < 3);
    const enum turn_verdict verdict =
        world_from_client_over(&world, &c->addr, c->transport, port, c->buf, n);

    assert(fates() == before + (verdict != TURN_WAIT && verdict != TURN_LATER));
    assert(verdict != TURN_WAIT || world.key_answer == -EAGAIN);
    check_output(verdict, c);
    (void)before;
    (void)owner;
    if (verdict != TURN_TO_CLIENT) {
        return;
    }
    const struct reply r = client_read(c, verdict, world.pkt.data, world.pkt.len);
    if (r.msg.tid == NULL) { /* classic STUN has another cookie */
        assert(c->transport == NET_DTLS && world.pkt.len <= STRANGER_MAX);
        return;
    }
    assert(r.msg.class == STUN_SUCCESS || r.has_mi || r.has_mi256 || world.pkt.len <= STRANGER_MAX);
    (void)client_learn(c, &r);
    if (r.ticket.n > 0) {
        assert(r.ticket.n == TURN_TICKET_LEN && r.msg.class == STUN_SUCCESS);
        memcpy(c->ticket, r.ticket.p, r.ticket.n);
        c->ticket_len = r.ticket.n;
    }
    for (uint32_t i = 0; i < r.relayed_count; i++) {
        relayed[c - clients][r.relayed[i].family - 1] = r.relayed[i];
    }
}

static void raw_packet(struct input *in, struct client *c)
{
    const struct bytes raw = take_some(in, (size_t)take(in) * 6);

    if (raw.n > 0) {
        memcpy(c->buf, raw.p, raw.n);
    }
    submit(c, raw.n);
}

/* Attributes as the input wants them: usual ones with fields from the input, or any bytes. */
static void put_attributes(struct input *in, struct client *c)
{
    const uint32_t n = take(in) % 8;

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t what = take(in);
        const struct net_addr peer = what % 8 == 0 ? take_peer(in) : c->addr;
        switch (what % 8) {
        case 0:
            stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, &peer);
            break;
        case 1:
            client_put_transport(c);
            break;
        case 2:
            stun_out_u32(&c->out, STUN_CHANNEL_NUMBER, (UINT32_C(0x4000) | take(in)) << 16);
            break;
        case 3:
            stun_out_u32(&c->out, STUN_LIFETIME, take_scaled(in));
            break;
        case 4:
            stun_out_attr(&c->out, STUN_DATA_ATTR, take_some(in, take(in)));
            break;
        case 5:
            stun_out_u32(&c->out,
                         what < 128 ? STUN_REQUESTED_ADDRESS_FAMILY
                                    : STUN_ADDITIONAL_ADDRESS_FAMILY,
                         (uint32_t)take(in) << 24);
            break;
        case 6:
            stun_out_attr(&c->out, STUN_EVEN_PORT, take_some(in, 1));
            break;
        default: {
            const uint16_t type = (uint16_t)(take32(in) >> 16);
            stun_out_attr(&c->out, type, take_some(in, take(in)));
            break;
        }
        }
    }
}

/* A message with a method, attributes and, when wanted, right credentials. */
static void message(struct input *in, struct client *c)
{
    static const uint16_t methods[] = {STUN_BINDING,           STUN_ALLOCATE,     STUN_REFRESH,
                                       STUN_CREATE_PERMISSION, STUN_CHANNEL_BIND, STUN_SEND};
    const uint8_t what = take(in);
    const uint16_t method = methods[what % ARRAY_SIZE(methods)];
    const bool again = (what & 0x80) != 0;

    if (again && be64(c->tid + 4) != 0) {
        client_begin_again(c, method, STUN_REQUEST);
    } else {
        client_begin(c, method, method == STUN_SEND ? STUN_INDICATION : STUN_REQUEST);
    }
    c->auth = (enum client_auth)(what >> 4 & 3);
    c->fingerprint = (what & 0x40) != 0 && take(in) < 64;
    put_attributes(in, c);
    if (method == STUN_SEND || c->nonce[0] == '\0' || c->out.w.full) {
        client_end(c);
    } else {
        client_sign(c);
    }
    submit(c, c->len);
}

/* The last message once more, with a byte changed. */
static void changed_message(struct input *in, struct client *c)
{
    const uint32_t at = take32(in);
    const uint8_t change = take(in);

    if (c->len == 0) {
        return;
    }
    c->buf[at % c->len] = (uint8_t)(c->buf[at % c->len] ^ change);
    submit(c, c->len);
}

static void peer_packet(struct input *in, uint32_t client)
{
    const struct net_addr peer = take_peer(in);
    const struct bytes payload = take_some(in, take(in));
    const struct net_addr *to = &relayed[client][peer.family == NET_V4 ? 0 : 1];
    const uint64_t before = fates();

    if (to->family == NET_NONE || world.server->tables.by_tuple.count == 0) {
        return;
    }
    const enum turn_verdict verdict = world_from_peer(&world, to, &peer, payload.p, payload.n);
    assert(fates() <= before + 1);
    assert(verdict != TURN_TO_PEER && verdict != TURN_WAIT);
    if (verdict == TURN_TO_CLIENT) {
        assert(gate_check_addr(world.config.main.gate, &peer) == GATE_OPEN);
    }
    (void)before;
}

static void icmp(struct input *in, uint32_t client)
{
    struct turn_icmp error = {.peer = take_peer(in)};

    error.type = take(in);
    error.code = take(in);
    error.mtu = take32(in);
    (void)world_icmp(&world, &relayed[client][error.peer.family == NET_V4 ? 0 : 1], &error);
}

static void reload(struct input *in)
{
    static const char *const allow[] = {"198.51.100.2", "2001:db8:1::1", NULL};
    static const char *const deny[] = {"198.51.100.1", NULL};
    struct turn_config *c = &world.config;
    const uint8_t what = take(in);

    c->main.algorithms = (enum turn_algorithms)(what % 3);
    c->channels_5766 = (what & 0x08) != 0;
    c->draining = (what & 0x70) == 0x70;
    c->main.username_anonymity = (what & 0x80) != 0;
    c->alternates[TURN_ALTERNATE_UDP].items[0].addr = world_addr("198.51.100.200:3478");
    c->alternates[TURN_ALTERNATE_UDP].count = (what & 0x61) == 0x61;
    c->redirect_only = (what & 0x63) == 0x63;
    c->max_redirects = what & 3;
    c->main.max_bps = (what & 0x10) != 0 ? 1000 : 0;
    c->max_permissions = 1 + (what >> 2 & 7);
    c->max_channels = 1 + (what >> 3 & 3);
    const int err = world_reconfigure(&world, (what & 4) != 0 ? allow : NULL, deny);
    assert(err == 0);
    other_realm.gate = world.config.main.gate; /* and its sessions are judged by that, too */
    turn_server_configure(world.server, &world.config);
    while (!turn_server_recheck(world.server, 8, world.now_ms)) {
    }
    (void)err;
}

static void administer(struct input *in)
{
    static const int answers[] = {0, 0, -EAGAIN, -EBUSY};
    const uint8_t what = take(in);
    struct list *allocs = &world.server->tables.allocs;

    world.key_answer = answers[what & 3];
    if ((what & 0x10) != 0) {
        world.users[0].removed = !world.users[0].removed;
    }
    if ((what & 0x20) != 0 && !list_empty(allocs)) {
        const struct turn_alloc *alloc = CONTAINER_OF(allocs->next, struct turn_alloc, node);
        const struct five_tuple tuple = alloc->tuple;
        struct writer w = writer_over(parcel, sizeof(parcel));
        int err = turn_server_pack(world.server, &tuple, world.now_ms, &w);
        assert(err == (alloc->protocol == NET_UDP ? 0 : -EOPNOTSUPP));
        if ((what & 0x40) != 0) {
            err = turn_server_close_session(world.server, alloc->session, world.now_ms);
            assert(err == 0);
        }
        (void)err;
    }
}

/* --- connections --------------------------------------------------------------------------------
 */

/* A connection of the effects that the core knows, or NULL. */
static struct world_conn *take_conn(struct input *in)
{
    const uint32_t at = take(in);

    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        struct world_conn *conn = &world.conns[(at + i) % WORLD_MAX_CONNS];
        if (conn->conn != NULL) {
            return conn;
        }
    }
    return NULL;
}

static void submit_signed(struct client *c)
{
    if (c->nonce[0] == '\0') {
        client_end(c);
    } else {
        client_sign(c);
    }
    submit(c, c->len);
}

static void accept_peer(struct input *in, uint32_t client)
{
    const struct net_addr peer = take_peer(in);
    const struct net_addr *to = &relayed[client][peer.family == NET_V4 ? 0 : 1];
    struct world_conn *conn;

    if (to->family == NET_NONE || net_ip_is_v4(&peer.ip) != (peer.family == NET_V4)) {
        return; /* the kernel knows no such address */
    }
    if (world_accept(&world, to, &peer, &conn) == TURN_TO_CLIENT) {
        assert(gate_check_addr(world.config.main.gate, &peer) == GATE_OPEN);
        assert(world.pkt.len <= STRANGER_MAX && net_is_stream(world.pkt.transport));
    }
}

static void bind_connection(struct input *in, struct client *c)
{
    const struct world_conn *conn = take_conn(in);
    const uint8_t change = take(in);

    client_begin(c, STUN_CONNECTION_BIND, STUN_REQUEST);
    stun_out_u32(&c->out, STUN_CONNECTION_ID,
                 conn == NULL ? change : conn->conn->id ^ (change < 32 ? change : 0));
    submit_signed(c);
}

static void conn_changes(struct input *in)
{
    struct world_conn *conn = take_conn(in);
    const uint8_t what = take(in);

    if (conn != NULL && conn->connecting) {
        (void)world_connected(&world, conn, (what & 3) != 0);
    } else if (conn != NULL && (what & 4) != 0) {
        turn_server_conn_traffic(world.server, conn->conn, what, what);
    } else if (conn != NULL) {
        world_conn_closed(&world, conn);
    }
}

/* RFC 8016: another address; a ticket; what comes of showing it. */
static void mobility_event(struct input *in, uint8_t what, struct client *c)
{
    if (what == 0) {
        c->addr.port = (uint16_t)(c->addr.port ^ 1U << (take(in) & 3));
        return;
    }
    client_begin(c, what == 1 ? STUN_ALLOCATE : STUN_REFRESH, STUN_REQUEST);
    if (what == 1) {
        client_put_transport(c);
        stun_out_attr(&c->out, STUN_MOBILITY_TICKET, take_some(in, take(in) & 1));
    } else {
        stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){c->ticket, c->ticket_len});
    }
    submit_signed(c);
}

static void connection_event(struct input *in, uint8_t what, struct client *c)
{
    static const uint8_t transports[] = {NET_UDP, NET_TCP, NET_TLS, NET_DTLS};
    const struct five_tuple tuple = {c->addr, world.server_addr[c->addr.family - NET_V4],
                                     c->transport};

    switch (what) {
    case 0:
        c->transport = transports[take(in) % ARRAY_SIZE(transports)];
        break;
    case 1:
        client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
        stun_out_u32(&c->out, STUN_REQUESTED_TRANSPORT, UINT32_C(6) << 24);
        submit_signed(c);
        break;
    case 2: {
        const struct net_addr peer = take_peer(in);
        client_begin(c, STUN_CONNECT, STUN_REQUEST);
        stun_out_xor_addr(&c->out, STUN_XOR_PEER_ADDRESS, &peer);
        submit_signed(c);
        break;
    }
    case 3:
        conn_changes(in);
        break;
    case 4:
        accept_peer(in, (uint32_t)(c - clients));
        break;
    case 5:
        bind_connection(in, c);
        break;
    case 6:
        turn_server_client_closed(world.server, &tuple, NULL, world.now_ms);
        assert(!turn_server_has_allocation(world.server, &tuple));
        break;
    default:
        world.connect_answer = (take(in) & 7) == 0 ? -ECONNREFUSED : 0;
        break;
    }
}

/* Of another realm, with an ORIGIN; with a token, or without. */
static void realm_event(struct input *in, struct client *c)
{
    const uint8_t what = take(in);

    c->realm = (what & 1) != 0 ? other_realm.name : WORLD_REALM;
    other_realm.gone = (what & 2) != 0;
    world.config.third_party = (what & 4) != 0;
    world.config.origin_consistency = (what & 8) != 0;
    if (c->auth == CLIENT_TOKEN) {
        c->token = (what & 16) != 0 ? "token" : NULL;
    }
    client_begin(c, (what & 32) != 0 ? STUN_ALLOCATE : STUN_REFRESH, STUN_REQUEST);
    client_put_transport(c);
    stun_out_attr(&c->out, STUN_ORIGIN,
                  (what & 64) != 0 ? bytes_of(origins[0].origin) : take_some(in, what & 31));
    submit_signed(c);
}

static void event(struct input *in)
{
    const uint8_t what = take(in);
    const uint32_t client = what >> 4 & (CLIENTS - 1);

    if ((what & 0xc0) == 0xc0) {
        if ((what & 15) >= 8 && (what & 15) < 11) {
            mobility_event(in, what & 7, &clients[client]);
        } else if ((what & 15) == 15) {
            realm_event(in, &clients[client]);
        } else {
            connection_event(in, what & 7, &clients[client]);
        }
        check_tables();
        return;
    }
    switch (what & 15) {
    case 0:
        raw_packet(in, &clients[client]);
        break;
    case 1:
        peer_packet(in, client);
        break;
    case 2:
        world_advance(&world, take_scaled(in) & 0xffffff);
        break;
    case 3:
        reload(in);
        break;
    case 4:
        icmp(in, client);
        break;
    case 5:
        administer(in);
        break;
    case 6:
        changed_message(in, &clients[client]);
        break;
    default:
        message(in, &clients[client]);
        break;
    }
    check_tables();
}

static void open_realms(void)
{
    static const uint32_t order[] = {1};

    other_realm = world.config.main;
    (void)strcpy(other_realm.name, "other");
    world.config.realms = &other_realm;
    world.config.realm_count = 1;
    world.config.realm_order = order;
    world.config.origins = origins;
    world.config.origin_count = ARRAY_SIZE(origins);
    world.config.third_party = true;
    (void)strcpy(world.config.server_name, "turn.example.org");
    (void)world_add_user_of(&world, other_realm.name, "alice", "wonderland");
    world_add_token(&world, "kid", "token", 7)->lifetime_s = 300;
    clients[2].auth = CLIENT_TOKEN;
    clients[2].user = "kid";
    clients[2].token = "token";
    clients[2].mac_key_len = 20;
    memset(clients[2].mac_key, 7, clients[2].mac_key_len);
}

static void open_world(void)
{
    static const char *const addrs[CLIENTS] = {"203.0.113.5:4000", "203.0.113.5:4001",
                                               "[2001:db8::5]:4000", "203.0.113.6:4000"};

    world_init(&world, 1);
    world.max_allocations = 8;
    world.edit_effects = put_path_below;
    world.pool_options.port_max = world.pool_options.port_min + 15;
    world.config.max_permissions = 8;
    world.config.max_channels = 4;
    world.config.max_connections = 3;
    const int err = world_start(&world);
    assert(err == 0);
    (void)err;
    (void)world_add_user(&world, "alice", "wonderland");
    (void)world_add_user(&world, "bob", "builder");
    for (uint32_t i = 0; i < CLIENTS; i++) {
        client_init(&clients[i], &world, addrs[i], i == 3 ? "bob" : "alice",
                    i == 3 ? "builder" : "wonderland");
        clients[i].len = 0;
    }
    memset(relayed, 0, sizeof(relayed));
    open_realms();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {{data, size}};

    open_world();
    for (int i = 0; i < EVENTS_MOST && in.rest.n > 0; i++) {
        event(&in);
    }
    /* Nobody refreshes any more: everything ends. */
    world_advance(&world, 3601 * 1000);
    assert(turn_server_allocation_count(world.server) == 0);
    assert(turn_server_next_deadline(world.server) == UINT64_MAX);
    check_tables();
    assert(take_conn(&in) == NULL);
    world_stop(&world);
    return 0;
}
