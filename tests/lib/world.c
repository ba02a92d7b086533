/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/world.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/longterm.h"

enum { RESERVATION_MS = 60 * 1000, LEASE_BYTES = 4096 };

/* --- effects ------------------------------------------------------------------------------------
 */

static void on_random(void *arg, uint8_t *out, size_t n)
{
    struct world *w = arg;

    crypto_random_fill(w->random, out, n);
}

static bool user_matches(const struct world_user *user, const struct credential_query *query)
{
    uint8_t hash[CRYPTO_SHA256_LEN];

    if (user->removed || (user->token != NULL) != (query->token.p != NULL)) {
        return false;
    }
    if (user->token != NULL) {
        return bytes_equal(query->token, bytes_of(user->token)) &&
               bytes_equal(query->username, bytes_of(user->name));
    }
    if (!bytes_equal(query->realm, bytes_of(user->realm))) {
        return false;
    }
    if (query->username.p != NULL) {
        return bytes_equal(query->username, bytes_of(user->name));
    }
    return crypto_longterm_userhash(bytes_of(user->name), bytes_of(user->realm), hash) == 0 &&
           bytes_equal(query->userhash, (struct bytes){hash, sizeof(hash)});
}

static void put_identity(const struct world_user *user, struct credential_keys *out)
{
    out->name_len = (uint16_t)strlen(user->name);
    out->quota_from = 0;
    out->quota_len = out->name_len;
    memcpy(out->name, user->name, out->name_len);
    if (user->token != NULL) { /* the account stands behind the name */
        out->quota_from = out->name_len;
        out->quota_len = (uint16_t)strlen(user->token);
        memcpy(out->name + out->name_len, user->token, out->quota_len);
        out->lifetime_s = user->lifetime_s;
    }
    if (user->own_realm) {
        out->realm_len = (uint16_t)strlen(user->realm);
        memcpy(out->realm, user->realm, out->realm_len);
    }
}

static int on_key_find(void *arg, const struct credential_query *query, struct credential_keys *out)
{
    struct world *w = arg;

    w->key_lookups++;
    if (w->key_answer != 0) {
        return w->key_answer;
    }
    for (uint32_t i = 0; i < w->user_count; i++) {
        const struct world_user *user = &w->users[i];
        if (user_matches(user, query)) {
            out->count = 1;
            out->key[0] = user->key;
            put_identity(user, out);
            return 0;
        }
    }
    return -ENOENT;
}

static struct world_socket *socket_take(struct world *w, const struct net_addr *bound,
                                        uint8_t protocol, struct turn_relay *relay)
{
    for (uint32_t i = 0; i < WORLD_MAX_SOCKETS; i++) {
        if (!w->sockets[i].open) {
            w->sockets[i] = (struct world_socket){true, protocol, *bound, relay};
            w->open_sockets++;
            return &w->sockets[i];
        }
    }
    return NULL;
}

static void socket_close(struct world *w, struct world_socket *socket)
{
    port_pool_give(w->pool, &socket->bound, w->now_ms);
    socket->open = false;
    w->open_sockets--;
}

static void reservations_sweep(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_MAX_RESERVATIONS; i++) {
        struct world_reservation *r = &w->reservations[i];
        if (r->token != 0 && r->expires_ms <= w->now_ms) {
            socket_close(w, r->socket);
            r->token = 0;
        }
    }
}

static void grant(struct turn_relay_grant *out, struct world_socket *socket)
{
    *out = (struct turn_relay_grant){socket, socket->bound, socket->bound};
}

static int redeem(struct world *w, const struct turn_relay_want *want, struct turn_relay_grant *out)
{
    for (uint32_t i = 0; i < WORLD_MAX_RESERVATIONS; i++) {
        struct world_reservation *r = &w->reservations[i];
        if (r->token != 0 && r->token == want->token) {
            r->token = 0;
            r->socket->relay = want->relay;
            grant(out, r->socket);
            return 0;
        }
    }
    return -ENOENT;
}

static struct world_reservation *reservation_slot(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_MAX_RESERVATIONS; i++) {
        if (w->reservations[i].token == 0) {
            return &w->reservations[i];
        }
    }
    return NULL;
}

/* A slot that was never used, or whose connection has ended. */
static struct world_conn *conn_slot(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        if (!w->conns[i].used) {
            return &w->conns[i];
        }
    }
    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        if (w->conns[i].conn == NULL) {
            return &w->conns[i];
        }
    }
    return NULL;
}

static int on_relay_open(void *arg, const struct turn_relay_want *want,
                         struct turn_relay_grant *out)
{
    static const enum port_want kinds[] = {
        [TURN_PORT_ANY] = PORT_ANY,
        [TURN_PORT_EVEN] = PORT_EVEN,
        [TURN_PORT_EVEN_RESERVE] = PORT_EVEN_PAIR,
    };
    struct world *w = arg;
    struct world_reservation *slot = NULL;
    struct net_addr addr;

    assert(want->protocol == NET_UDP || (want->protocol == NET_TCP && want->want == TURN_PORT_ANY));
    reservations_sweep(w);
    if (want->want == TURN_PORT_RESERVED) {
        return redeem(w, want, out);
    }
    if (want->want == TURN_PORT_EVEN_RESERVE) {
        slot = reservation_slot(w);
        if (slot == NULL) {
            return -ENOSPC;
        }
    }
    const int err =
        port_pool_take(w->pool, NULL, want->family, kinds[want->want], w->now_ms, &addr);
    if (err < 0) {
        return err == -ENOENT ? -EAFNOSUPPORT : err;
    }
    struct world_socket *socket = socket_take(w, &addr, want->protocol, want->relay);
    assert(socket != NULL);
    if (slot != NULL) {
        struct net_addr next = addr;
        next.port++;
        *slot = (struct world_reservation){want->new_token, w->now_ms + RESERVATION_MS,
                                           socket_take(w, &next, NET_UDP, NULL)};
        assert(slot->socket != NULL);
    }
    grant(out, socket);
    return 0;
}

static void on_relay_close(void *arg, void *port)
{
    struct world *w = arg;
    struct world_socket *socket = port;

    assert(socket->open);
    socket_close(w, socket);
}

static int on_peer_connect(void *arg, void *port, const struct net_addr *peer,
                           struct turn_conn *conn, void **out)
{
    struct world *w = arg;
    struct world_socket *socket = port;

    assert(socket->open && socket->protocol == NET_TCP && socket->bound.family == peer->family);
    if (w->connect_answer < 0) {
        return w->connect_answer;
    }
    struct world_conn *slot = conn_slot(w);
    if (slot == NULL) {
        return -ENOSPC;
    }
    *slot = (struct world_conn){
        .used = true, .connecting = true, .conn = conn, .socket = socket, .peer = *peer};
    *out = slot;
    return 0;
}

static void on_peer_close(void *arg, void *handle)
{
    struct world_conn *conn = handle;

    (void)arg;
    assert(conn->used && !conn->closed && conn->conn != NULL && conn->socket->open);
    conn->closed = true;
    conn->conn = NULL;
}

static void on_peer_bind(void *arg, void *handle, void *listener)
{
    struct world_conn *conn = handle;

    (void)arg;
    assert(conn->conn != NULL && !conn->connecting && conn->bound_to == NULL);
    conn->bound_to = listener;
}

static int on_quota_take(void *arg, uint32_t realm, struct bytes user)
{
    struct world *w = arg;

    w->quota_realm = realm;
    return quota_take(w->quota, user);
}

static void on_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    struct world *w = arg;

    w->quota_realm = realm;
    quota_give(w->quota, user);
}

static uint64_t on_capacity(void *arg, int direction, uint32_t bytes, uint64_t now_ms)
{
    struct world *w = arg;
    uint64_t lease = bytes > LEASE_BYTES ? bytes : LEASE_BYTES;

    (void)now_ms;
    if (lease > w->capacity_left[direction]) {
        lease = bytes <= w->capacity_left[direction] ? bytes : 0;
    }
    w->capacity_left[direction] -= lease;
    return lease;
}

static int on_session_owner(void *arg, uint64_t session)
{
    const struct world *w = arg;

    (void)session;
    return w->session_owner;
}

static void on_event(void *arg, const struct turn_event *event)
{
    struct world *w = arg;
    struct world_events *seen = &w->events;
    const size_t n =
        event->user.n < sizeof(seen->last_user) ? event->user.n : sizeof(seen->last_user) - 1;

    seen->count[event->kind]++;
    seen->last_client = *event->client;
    seen->last_listener = event->listener;
    seen->last_session = event->session;
    if (event->was != NULL) {
        seen->last_was = *event->was;
        seen->last_was_listener = event->was_listener;
    }
    if (event->peer != NULL) {
        seen->last_peer = *event->peer;
    }
    if (event->kind == TURN_EVENT_REFUSED) {
        seen->last_code = event->code;
        seen->last_gate = event->gate;
    }
    if (n > 0) {
        memcpy(seen->last_user, event->user.p, n);
    }
    seen->last_user[n] = '\0';
    if (event->traffic != NULL) {
        seen->last_traffic = *event->traffic;
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->random = crypto_random_new_seeded(seed);
    w->now_ms = w->start_ms = 1000000;
    w->wall_s = w->start_wall_s = 1800000000;
    w->max_allocations = 1000;
    w->session_owner = -ENOENT;
    w->server_addr[0] = world_addr(WORLD_SERVER_V4 ":3478");
    w->server_addr[1] = world_addr("[" WORLD_SERVER_V6 "]:3478");
    w->gate_options = (struct gate_options){.relay_port_min = 49152, .relay_port_max = 65535};
    w->pool_options = (struct port_pool_options){
        .port_min = 49152,
        .port_max = 65535,
        .quarantine_ms = 0,
        .random_fill = on_random,
        .random_arg = w,
    };
    w->capacity_left[0] = w->capacity_left[1] = UINT64_MAX;
    w->config = (struct turn_config){
        .main.name = WORLD_REALM,
        .software = "sterna test",
        .require_auth = true,
        .stun_enabled = true,
        .turn_enabled = true,
        .main.username_anonymity = true,
        .udp_relay = true,
        .tcp_relay = true,
        .ipv4_relay = true,
        .ipv6_relay = true,
        .additional_family = true,
        .copy_dscp = true,
        .copy_ecn = true,
        .main.algorithms = TURN_ALG_SHA256_MD5,
        .default_lifetime_s = 600,
        .max_lifetime_s = 3600,
        .permission_s = 300,
        .channel_s = 600,
        .mobility = true,
        .nonce_s = 3600,
        .max_permissions = 64,
        .max_channels = 32,
        .max_connections = 8,
        .nonce_key_count = 1,
    };
    memset(w->config.nonce_keys[0], 0x5a, TURN_NONCE_KEY_LEN);
}

static int gate_add(struct gate *gate, const char *text, bool allow)
{
    struct net_ip first;
    struct net_ip last;
    char from[NET_ADDR_TEXT];
    const char *dash = strchr(text, '-');

    (void)snprintf(from, sizeof(from), "%.*s", dash != NULL ? (int)(dash - text) : 79, text);
    if (net_ip_parse(from, &first) < 0 || net_ip_parse(dash != NULL ? dash + 1 : from, &last) < 0) {
        return -EINVAL;
    }
    return allow ? gate_allow(gate, &first, &last) : gate_deny(gate, &first, &last);
}

static int gate_make(struct world *w, const char *const *allow, const char *const *deny)
{
    /* The documentation networks, where the stage is set, are special-purpose: they must be opened.
     */
    static const char *const stage[] = {"192.0.2.0-192.0.2.255", "198.51.100.0-198.51.100.255",
                                        "203.0.113.0-203.0.113.255",
                                        "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"};
    struct gate *gate = gate_new(&w->gate_options);
    int err = gate == NULL ? -ENOMEM : 0;

    for (size_t i = 0; err == 0 && allow == NULL && i < ARRAY_SIZE(stage); i++) {
        err = gate_add(gate, stage[i], true);
    }
    for (size_t i = 0; err == 0 && allow != NULL && allow[i] != NULL; i++) {
        err = gate_add(gate, allow[i], true);
    }
    for (size_t i = 0; err == 0 && deny != NULL && deny[i] != NULL; i++) {
        err = gate_add(gate, deny[i], false);
    }
    for (int i = 0; err == 0 && i < 2; i++) {
        err = gate_own(gate, &w->server_addr[i].ip);
        err = err == 0 ? gate_protect(gate, &w->server_addr[i]) : err;
    }
    err = err == 0 ? gate_build(gate) : err;
    if (err < 0) {
        gate_free(gate);
        return err;
    }
    w->gate = gate;
    w->config.main.gate = gate;
    return 0;
}

int world_start(struct world *w)
{
    int err = gate_make(w, NULL, NULL);
    if (err < 0) {
        return err;
    }
    err = -ENOMEM;
    w->pool = port_pool_new(&w->pool_options);
    w->quota = quota_new(0, 0, 10000);
    if (w->pool == NULL || w->quota == NULL) {
        return err;
    }
    for (int i = 0; i < 2; i++) {
        err = port_pool_add(w->pool, &w->server_addr[i].ip);
        if (err < 0) {
            return err;
        }
    }
    struct turn_server_options options = {
        .config = &w->config,
        .effects =
            {
                .arg = w,
                .random_fill = on_random,
                .key_find = on_key_find,
                .relay_open = on_relay_open,
                .relay_close = on_relay_close,
                .peer_connect = on_peer_connect,
                .peer_close = on_peer_close,
                .peer_bind = on_peer_bind,
                .quota_take = on_quota_take,
                .quota_give = on_quota_give,
                .capacity_lease = on_capacity,
                .session_owner = on_session_owner,
                .event = on_event,
            },
        .instance = w->instance,
        .instances = w->instances,
        .session_base = w->session_base,
        .hash_key = {1, 2},
        .max_allocations = w->max_allocations,
        .now_ms = w->now_ms,
        .wall_s = w->wall_s,
    };
    if (w->edit_effects != NULL) {
        w->edit_effects(&options.effects);
    }
    return turn_server_new(&options, &w->server);
}

void world_stop(struct world *w)
{
    turn_server_free(w->server);
    port_pool_free(w->pool);
    quota_free(w->quota);
    gate_free(w->gate);
    crypto_random_free(w->random);
    w->server = NULL;
    w->pool = NULL;
    w->quota = NULL;
    w->gate = NULL;
    w->random = NULL;
}

int world_reconfigure(struct world *w, const char *const *allow, const char *const *deny)
{
    struct gate *old = w->gate;
    const int err = gate_make(w, allow, deny);
    if (err < 0) {
        return err;
    }
    turn_server_configure(w->server, &w->config);
    while (!turn_server_recheck(w->server, 16, w->now_ms)) {
    }
    gate_free(old);
    return 0;
}

struct world_user *world_add_user(struct world *w, const char *name, const char *password)
{
    return world_add_user_of(w, WORLD_REALM, name, password);
}

struct world_user *world_add_user_of(struct world *w, const char *realm_name, const char *name,
                                     const char *password)
{
    assert(w->user_count < WORLD_MAX_USERS && strlen(name) <= CREDENTIAL_NAME_MAX);
    struct world_user *user = &w->users[w->user_count++];
    const struct bytes realm = bytes_of(realm_name);

    user->realm = realm_name;
    memcpy(user->name, name, strlen(name) + 1);
    user->key.has_md5 =
        crypto_longterm_md5(bytes_of(name), realm, bytes_of(password), user->key.md5) == 0;
    user->key.has_sha256 =
        crypto_longterm_sha256(bytes_of(name), realm, bytes_of(password), user->key.sha256) == 0;
    return user;
}

struct world_user *world_add_token(struct world *w, const char *kid, const char *token,
                                   uint8_t fill)
{
    enum { MAC_KEY = 20, LONGEST = 128 };

    assert(w->user_count < WORLD_MAX_USERS && strlen(kid) <= CREDENTIAL_NAME_MAX &&
           strlen(token) <= LONGEST);
    struct world_user *user = &w->users[w->user_count++];
    memcpy(user->name, kid, strlen(kid) + 1);
    user->token = token;
    user->key.mac_len = MAC_KEY;
    memset(user->key.mac, fill, MAC_KEY);
    return user;
}

static void set_now(struct world *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    w->wall_s = w->start_wall_s + (now_ms - w->start_ms) / 1000;
    turn_server_set_wall(w->server, w->wall_s);
}

void world_advance(struct world *w, uint64_t ms)
{
    const uint64_t until = w->now_ms + ms;

    for (;;) {
        const uint64_t next = turn_server_next_deadline(w->server);
        if (next > until) {
            break;
        }
        set_now(w, next > w->now_ms ? next : w->now_ms);
        while (turn_server_tick(w->server, w->now_ms, 8) == 8) {
        }
    }
    set_now(w, until);
    (void)turn_server_tick(w->server, w->now_ms, 8);
}

struct net_addr world_addr(const char *text)
{
    struct net_addr addr;

    if (net_addr_parse(text, 0, &addr) < 0) {
        abort();
    }
    return addr;
}

/* --- packets ------------------------------------------------------------------------------------
 */

static struct pkt *pkt_load(struct world *w, const uint8_t *data, size_t n)
{
    assert(n <= WORLD_PKT_CAP);
    w->pkt = (struct pkt){
        .data = w->buf + PKT_HEADROOM,
        .len = (uint32_t)n,
        .cap = WORLD_PKT_CAP,
        .buf = w->buf,
    };
    if (n > 0) {
        memmove(w->pkt.data, data, n);
    }
    return &w->pkt;
}

enum turn_verdict world_from_client_over(struct world *w, const struct net_addr *client,
                                         uint8_t transport, void *connection, const uint8_t *data,
                                         size_t n)
{
    struct pkt *pkt = pkt_load(w, data, n);

    pkt->remote = *client;
    pkt->local = w->server_addr[client->family == NET_V4 ? 0 : 1];
    pkt->port = connection;
    pkt->transport = transport;
    return turn_server_client_packet(w->server, pkt, w->now_ms);
}

enum turn_verdict world_from_client(struct world *w, const struct net_addr *client,
                                    const uint8_t *data, size_t n)
{
    return world_from_client_over(w, client, NET_UDP, &w->server_addr, data, n);
}

static struct world_socket *socket_at(struct world *w, const struct net_addr *relayed)
{
    for (uint32_t i = 0; i < WORLD_MAX_SOCKETS; i++) {
        struct world_socket *socket = &w->sockets[i];
        if (socket->open && socket->relay != NULL && net_addr_equal(&socket->bound, relayed)) {
            return socket;
        }
    }
    return NULL;
}

enum turn_verdict world_from_peer(struct world *w, const struct net_addr *relayed,
                                  const struct net_addr *peer, const uint8_t *data, size_t n)
{
    struct world_socket *socket = socket_at(w, relayed);
    if (socket == NULL || socket->protocol != NET_UDP) {
        return TURN_DROP;
    }
    struct pkt *pkt = pkt_load(w, data, n);
    pkt->remote = *peer;
    pkt->local = *relayed;
    pkt->port = socket;
    pkt->transport = NET_UDP;
    return turn_server_peer_packet(w->server, socket->relay, pkt, w->now_ms);
}

enum turn_verdict world_icmp(struct world *w, const struct net_addr *relayed,
                             const struct turn_icmp *icmp)
{
    struct world_socket *socket = socket_at(w, relayed);
    if (socket == NULL) {
        return TURN_DROP;
    }
    struct pkt *pkt = pkt_load(w, NULL, 0);
    return turn_server_peer_icmp(w->server, socket->relay, icmp, pkt, w->now_ms);
}

/* --- peer data connections ----------------------------------------------------------------------
 */

struct world_conn *world_conn(struct world *w, const struct net_addr *peer)
{
    struct world_conn *found = NULL;

    for (uint32_t i = 0; i < WORLD_MAX_CONNS; i++) {
        struct world_conn *conn = &w->conns[i];
        if (conn->used && net_addr_equal(&conn->peer, peer) &&
            (found == NULL || conn->conn != NULL)) {
            found = conn;
        }
    }
    return found;
}

enum turn_verdict world_connected(struct world *w, struct world_conn *conn, bool success)
{
    struct turn_conn *of_core = conn->conn;

    assert(conn->connecting && !conn->closed);
    conn->connecting = false;
    if (!success) {
        conn->conn = NULL; /* gone after the call */
    }
    return turn_server_connected(w->server, of_core, success, pkt_load(w, NULL, 0), w->now_ms);
}

enum turn_verdict world_accept(struct world *w, const struct net_addr *relayed,
                               const struct net_addr *peer, struct world_conn **out_conn)
{
    struct world_socket *socket = socket_at(w, relayed);
    struct world_conn *slot = conn_slot(w);

    if (socket == NULL || socket->protocol != NET_TCP || slot == NULL) {
        return TURN_DROP;
    }
    *slot = (struct world_conn){.used = true, .socket = socket, .peer = *peer};
    const enum turn_verdict verdict = turn_server_peer_accepted(
        w->server, socket->relay, peer, slot, pkt_load(w, NULL, 0), &slot->conn, w->now_ms);
    slot->closed = verdict != TURN_TO_CLIENT;
    *out_conn = slot;
    return verdict;
}

void world_conn_closed(struct world *w, struct world_conn *conn)
{
    struct turn_conn *of_core = conn->conn;

    assert(of_core != NULL && !conn->closed);
    conn->conn = NULL;
    turn_server_conn_closed(w->server, of_core);
}

uint64_t world_drops(const struct world *w, enum drop why)
{
    return turn_server_counters(w->server)->drops[why];
}
