/* SPDX-License-Identifier: Apache-2.0 */
#include "conns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "referee.h"
#include "turn/turn_int.h"
#include "wire/stun_code.h"

enum { BIND_MS = 30 * 1000, CONNECT_MOST_MS = 40 * 1000, DROPPED = -1 };

static struct model_conn *record_new(struct sim *sim, struct model_alloc *a,
                                     const struct net_addr *peer)
{
    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        struct model_conn *c = &sim->model.conn[i];
        if (!c->used) {
            *c = (struct model_conn){
                .used = true,
                .alloc = a,
                .peer = *peer,
                .row = peers_row_of(peer),
                .serial = ++sim->model.conn_serial,
            };
            return c;
        }
    }
    abort(); /* there are more than the cores may have */
}

/* --- effects ------------------------------------------------------------------------------------
 */

int conns_connect(void *arg, void *port, const struct net_addr *peer, struct turn_conn *conn,
                  void **out)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;
    const struct sim_socket *socket = port;
    int relay = 0;
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &relay);

    if (!socket->open || socket->protocol != NET_TCP || a == NULL || a->core != core->index ||
        peer->family != socket->bound.family) {
        sim_fail(sim, "a connection from a port that is no TCP relay of core %u", core->index);
        return -EIO;
    }
    if (sim->model.connect_answer < 0) {
        return sim->model.connect_answer;
    }
    struct model_conn *c = record_new(sim, a, peer);
    c->connecting = true;
    c->conn = conn;
    sim->site.connecting = c;
    *out = c;
    return 0;
}

/* A connection may be closed when it, or its allocation, is over, or its peer is not granted. */
void conns_close(void *arg, void *handle)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;
    const struct site *s = &sim->site;
    struct model_conn *c = handle;

    if (!c->used || c->alloc->core != core->index) {
        sim_fail(sim, "core %u closes a connection that it does not have", core->index);
        return;
    }
    const bool over = !c->connecting && !c->bound && c->expires_ms <= sim->now_ms;
    const bool denied = !peers_addr_open(c->row, c->peer.port, sim->model.rules);
    const bool unheard = c->connecting && c->alloc->away; /* nobody would learn its id */
    const bool ending =
        !model_alive(c->alloc, sim->now_ms) || unheard || s->deleting || s->closing || s->stopping;
    if (!over && !denied && !ending) {
        sim_fail(sim, "the connection to peer port %u is closed without a reason", c->peer.port);
    }
    if (over && !ending && !s->late_ticks && c->expires_ms != sim->now_ms) {
        sim_fail(sim, "a connection was closed %llu ms after its time",
                 (unsigned long long)(sim->now_ms - c->expires_ms));
    }
    sim->seen.conn_expired += over && !ending;
    sim->seen.conn_revoked += denied && !over && !ending;
    c->used = false;
}

void conns_bind(void *arg, void *handle, void *listener)
{
    const struct sim_core *core = arg;
    struct model_conn *c = handle;

    if (!c->used || c->connecting || c->bound || listener != core->sim->pkt.port) {
        sim_fail(core->sim, "a connection is bound that does not wait for it");
    }
    c->bound = true;
}

/* --- Connect ------------------------------------------------------------------------------------
 */

void conns_begin(struct sim *sim, const struct expect *e, struct net_packet *packet)
{
    struct model_conn *c = sim->site.connecting;

    sim->site.connecting = NULL;
    if (c == NULL || !e->later) {
        sim_fail(sim, "an answer is due later, but nothing is under way");
        net_put(&sim->net, packet);
        return;
    }
    c->integrity = (uint8_t)e->integrity;
    packet->conn = (uint16_t)(c - sim->model.conn);
    packet->serial = c->serial;
    packet->len = 0;
    net_schedule(&sim->net, sim->now_ms + 1 + prng_below(&sim->random, CONNECT_MOST_MS),
                 NET_CONNECT, packet);
}

/* The code that is due; DROPPED when there is to be no answer. */
static int code_due(struct sim *sim, const struct model_conn *c, bool success)
{
    const struct model_alloc *a = c->alloc;

    if (!model_alive(a, sim->now_ms) || a->away) {
        return DROPPED;
    }
    const int code = !success ? STUN_CONNECTION_FAILED
                     : peers_addr_open(c->row, c->peer.port, sim->model.rules) ? STUN_OK
                                                                               : STUN_FORBIDDEN;
    if (code != STUN_OK && c->integrity == MODEL_UNSIGNED &&
        !model_may_challenge(&sim->model, a->core, a->transport, &a->client, sim->now_ms)) {
        return DROPPED;
    }
    return code;
}

static void check_id(struct sim *sim, const struct model_conn *c, uint32_t id)
{
    bool fresh = id != 0 && id % SIM_CORES == c->alloc->core;

    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        const struct model_conn *other = &sim->model.conn[i];
        fresh = fresh && !(other->used && other != c && other->id == id);
    }
    if (!fresh) {
        sim_fail(sim, "CONNECTION-ID %08x is not new, or not of core %u", id, c->alloc->core);
    }
}

static void wait_for_bind(struct sim *sim, struct model_conn *c, uint32_t id)
{
    check_id(sim, c, id);
    c->connecting = false;
    c->id = id;
    c->expires_ms = sim->now_ms + BIND_MS;
}

/* What is on its way to the client is addressed to the control connection. */
static void check_way(struct sim *sim, const struct model_alloc *a)
{
    if (!net_addr_equal(&sim->pkt.remote, &a->client) ||
        !net_addr_equal(&sim->pkt.local, &a->server) || sim->pkt.transport != a->transport ||
        sim->pkt.port != site_listener(sim, &a->server) || sim->pkt.tos != 0 || sim->pkt.df) {
        sim_fail(sim, "what concerns a connection goes another way");
    }
}

static void judge_connected(struct sim *sim, struct model_conn *c, const struct intent *in,
                            int code)
{
    const struct expect e = {
        .code = {code},
        .code_count = 1,
        .integrity = (enum model_integrity)c->integrity,
    };
    struct client *reader = &sim->reader;

    reader->auth = in->auth;
    reader->user = users_name(in->user);
    reader->password = users_password(in->user);
    reader->realm = users_realm(in->user);
    const struct reply r = client_read(reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);
    check_way(sim, c->alloc);
    if (r.code != code) {
        sim_fail(sim, "a Connect was answered %d, the model says %d", r.code, code);
        return;
    }
    reply_check(sim, in, &e, &r, sim->pkt.len);
    sim->seen.answer[INTENT_CONNECT][code]++;
    if (code == STUN_OK) {
        wait_for_bind(sim, c, r.connection_id);
    } else if (c->integrity == MODEL_UNSIGNED) {
        model_charge(&sim->model, c->alloc->core, c->alloc->transport, &c->alloc->client,
                     sim->now_ms);
    }
    referee_send(sim, NULL);
}

void conns_connected(struct sim *sim, struct net_packet *packet)
{
    struct model_conn *c = &sim->model.conn[packet->conn];
    const struct intent in = packet->intent;
    const bool success = prng_chance(&sim->random, 700);

    if (!c->used || c->serial != packet->serial) {
        net_put(&sim->net, packet);
        return;
    }
    struct turn_server *server = sim->site.core[c->alloc->core].server;
    const int code = code_due(sim, c, success);
    referee_load(sim, packet, NULL);
    net_put(&sim->net, packet);
    c->used = success; /* after a failure it is gone, without a word */
    const struct tally before = referee_tally(sim, server);
    const enum turn_verdict verdict =
        turn_server_connected(server, c->conn, success, &sim->pkt, sim->now_ms);
    const struct tally after = referee_tally(sim, server);
    const struct tally expected = {.drops = verdict == TURN_DROP,
                                   .answers = verdict == TURN_TO_CLIENT};
    trace_say(&sim->trace, sim->now_ms, "  connection to peer port %u: %d -> %s", c->peer.port,
              success, referee_word(verdict));
    referee_check_tally(sim, &before, &after, &expected);
    referee_note(sim, verdict);
    if (verdict != (code == DROPPED ? TURN_DROP : TURN_TO_CLIENT)) {
        sim_fail(sim, "a Connect came to verdict %d, the model says %d", (int)verdict, code);
    } else if (verdict == TURN_TO_CLIENT) {
        judge_connected(sim, c, &in, code);
    }
    if (code != STUN_OK && c->used) {
        sim_fail(sim, "a connection that nobody knows of stays open");
    }
}

/* --- what peers do ------------------------------------------------------------------------------
 */

static struct model_alloc *some_tcp_allocation(struct sim *sim)
{
    const uint32_t at = prng_below(&sim->random, MODEL_ALLOCS);

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        struct model_alloc *a = &sim->model.alloc[(at + i) % MODEL_ALLOCS];
        if (a->used && a->protocol == NET_TCP) {
            return a;
        }
    }
    return NULL;
}

static struct net_addr some_peer(struct sim *sim, const struct model_alloc *a)
{
    struct prng *r = &sim->random;
    const struct model_perm *perm = &a->perm[prng_below(r, 3)];
    const uint8_t row = perm->expires_ms != 0 && prng_chance(r, 800)
                            ? perm->row
                            : (uint8_t)prng_below(r, peers_count());

    return peers_addr(row, (uint16_t)(9 + prng_below(r, 4)));
}

static void check_attempt(struct sim *sim, struct model_conn *c)
{
    const struct reply r = client_read(&sim->reader, TURN_TO_CLIENT, sim->pkt.data, sim->pkt.len);

    check_way(sim, c->alloc);
    if (r.msg.tid == NULL || r.msg.method != STUN_CONNECTION_ATTEMPT ||
        r.msg.class != STUN_INDICATION || r.attr_count != 2 || !net_addr_equal(&r.peer, &c->peer)) {
        sim_fail(sim, "not a right ConnectionAttempt");
        return;
    }
    wait_for_bind(sim, c, r.connection_id);
    referee_send(sim, NULL);
}

static void accept_from(struct sim *sim, struct model_alloc *a, struct sim_socket *socket,
                        const struct net_addr *peer)
{
    const bool granted = model_accept(&sim->model, a, peer, sim->now_ms);
    struct turn_server *server = sim->site.core[a->core].server;
    struct model_conn *c = record_new(sim, a, peer);
    struct net_packet nothing = {.len = 0};

    referee_load(sim, &nothing, NULL);
    const struct tally before = referee_tally(sim, server);
    const enum turn_verdict verdict =
        turn_server_peer_accepted(server, socket->relay, peer, c, &sim->pkt, &c->conn, sim->now_ms);
    const struct tally after = referee_tally(sim, server);
    const struct tally expected = {.drops = verdict == TURN_DROP};
    trace_say(&sim->trace, sim->now_ms, "  peer port %u connects to relay port %u -> %s",
              peer->port, socket->bound.port, referee_word(verdict));
    referee_check_tally(sim, &before, &after, &expected);
    referee_note(sim, verdict);
    if (verdict == TURN_TO_CLIENT && granted) {
        sim->seen.conn_accepted++;
        check_attempt(sim, c);
        return;
    }
    c->used = false;
    sim->seen.conn_refused++;
    if (verdict != TURN_DROP || (granted && !sim->options.faults)) {
        sim_fail(sim, "a peer's connection: verdict %d, granted %d", (int)verdict, granted);
    }
}

void conns_accept(struct sim *sim)
{
    struct model_alloc *a = some_tcp_allocation(sim);
    if (a == NULL) {
        return;
    }
    const struct net_addr peer = some_peer(sim, a);
    const struct model_relay *relay = &a->relay[peer.family - NET_V4];
    if (!relay->open || net_ip_is_v4(&peer.ip) != (peer.family == NET_V4)) {
        return; /* the network has no such connection */
    }
    accept_from(sim, a, effects_socket_at(sim, &relay->bound), &peer);
}

void conns_end(struct sim *sim)
{
    const uint32_t at = prng_below(&sim->random, MODEL_CONNS);

    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        struct model_conn *c = &sim->model.conn[(at + i) % MODEL_CONNS];
        if (c->used && !c->connecting) {
            struct turn_server *server = sim->site.core[c->alloc->core].server;
            turn_server_conn_traffic(server, c->conn, 1, 1);
            turn_server_conn_closed(server, c->conn);
            c->used = false;
            sim->seen.conn_ended++;
            return;
        }
    }
}

uint8_t conns_core(struct sim *sim, const struct net_packet *packet, uint8_t otherwise)
{
    uint32_t core;

    /* A connection with an allocation stays where it is. */
    if (model_record(&sim->model, &packet->from, &packet->to) != NULL ||
        !turn_connection_owner((struct bytes){packet->data, packet->len}, SIM_CORES, &core)) {
        return otherwise;
    }
    return (uint8_t)core;
}

/* --- audit --------------------------------------------------------------------------------------
 */

static bool record_right(const struct sim *sim, const struct model_conn *c,
                         const struct turn_alloc *alloc)
{
    const struct turn_conn *conn = c->conn;

    if (conn->handle != c || conn->alloc != alloc || !net_addr_equal(&conn->peer.addr, &c->peer)) {
        return false;
    }
    if (c->connecting || c->bound) {
        return conn->state == (c->bound ? TURN_CONN_BOUND : TURN_CONN_CONNECTING);
    }
    return conn->state == TURN_CONN_WAITING && conn->id == c->id &&
           conn->expires_ms == c->expires_ms && alloc->timer.deadline_ms <= c->expires_ms &&
           peers_addr_open(c->row, c->peer.port, sim->model.rules);
}

void conns_audit(struct sim *sim, const struct model_alloc *a)
{
    const struct five_tuple tuple = model_tuple(a);
    const struct turn_alloc *alloc =
        turn_alloc_find(&sim->site.core[a->core].server->tables, &tuple);
    uint32_t n = 0;

    if (alloc->protocol != a->protocol) {
        sim_fail(sim, "an allocation of another protocol");
    }
    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        const struct model_conn *c = &sim->model.conn[i];
        if (c->used && c->alloc == a) {
            n++;
            if (!record_right(sim, c, alloc)) {
                sim_fail(sim, "the connection to peer port %u is not right", c->peer.port);
                return;
            }
        }
    }
    if (n != alloc->conn_count) {
        sim_fail(sim, "%u connections instead of %u", alloc->conn_count, n);
    }
}

void conns_audit_core(struct sim *sim, uint8_t core)
{
    const struct turn_tables *t = &sim->site.core[core].server->tables;
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        const struct model_conn *c = &sim->model.conn[i];
        n += c->used && c->alloc->core == core;
    }
    if (n != t->conns.count || n != t->conn_peers.count || n != slab_count(t->conn_slab)) {
        sim_fail(sim, "core %u: %u connections, in its tables %u and %u", core, n, t->conns.count,
                 t->conn_peers.count);
    }
}
