/* SPDX-License-Identifier: Apache-2.0 */
/* What the cores' effects ask for, shared by all cores as in the real server: ports, reservations,
 * quotas, users; and what their events say, judged at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conns.h"

enum { RESERVATION_MS = 30 * 1000, LEASE_BYTES = 4096 };

static void on_random(void *arg, uint8_t *out, size_t n)
{
    const struct sim_core *core = arg;

    crypto_random_fill(core->sim->site.random, out, n);
}

static int on_key_find(void *arg, const struct credential_query *query, struct credential_keys *out)
{
    const struct sim_core *core = arg;
    const struct model *m = &core->sim->model;

    if (m->key_answer != 0) {
        return m->key_answer;
    }
    for (uint8_t i = 0; i < MODEL_USERS; i++) {
        const struct bytes name = bytes_of(users_name(i));
        if (m->user_removed[i] || !bytes_equal(query->realm, bytes_of(users_realm(i))) ||
            !(query->username.p != NULL ? bytes_equal(query->username, name)
                                        : bytes_equal(query->userhash, users_hash(i)))) {
            continue;
        }
        out->count = 1;
        out->key[0] = *users_key(i);
        out->name_len = (uint16_t)name.n;
        out->quota_from = users_quota_from(i);
        out->quota_len = (uint16_t)(name.n - out->quota_from);
        memcpy(out->name, name.p, name.n);
        return 0;
    }
    return -ENOENT;
}

static struct sim_socket *socket_open(struct sim *sim, const struct net_addr *bound,
                                      struct turn_relay *relay, uint8_t core, uint8_t protocol)
{
    for (uint32_t i = 0; i < SIM_SOCKETS; i++) {
        struct sim_socket *socket = &sim->site.socket[i];
        if (!socket->open) {
            *socket = (struct sim_socket){true, core, protocol, *bound, relay};
            sim->site.open_sockets++;
            return socket;
        }
    }
    abort(); /* there are more than the cores can ask for */
}

static void socket_shut(struct sim *sim, struct sim_socket *socket)
{
    port_pool_give(sim->site.pool, &socket->bound, sim->now_ms);
    socket->open = false;
    sim->site.open_sockets--;
}

struct sim_socket *effects_socket_at(struct sim *sim, const struct net_addr *bound)
{
    for (uint32_t i = 0; i < SIM_SOCKETS; i++) {
        struct sim_socket *socket = &sim->site.socket[i];
        if (socket->open && net_addr_equal(&socket->bound, bound)) {
            return socket;
        }
    }
    return NULL;
}

void effects_sweep(struct sim *sim)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(sim->model.reservation); i++) {
        struct model_reservation *r = &sim->model.reservation[i];
        if (r->token != 0 && r->expires_ms <= sim->now_ms) {
            socket_shut(sim, effects_socket_at(sim, &r->bound));
            *r = (struct model_reservation){.token = 0};
        }
    }
}

static int redeem(struct sim *sim, const struct sim_core *core, const struct turn_relay_want *want,
                  struct turn_relay_grant *out)
{
    struct model_reservation *r = model_reservation(&sim->model, want->token, sim->now_ms);
    if (r == NULL) {
        return -ENOENT;
    }
    struct sim_socket *socket = effects_socket_at(sim, &r->bound);
    socket->relay = want->relay;
    socket->core = core->index;
    sim->site.redeemed = true;
    sim->site.opened[sim->site.opened_count++] = r->bound;
    *r = (struct model_reservation){.token = 0};
    *out = (struct turn_relay_grant){socket, socket->bound, socket->bound};
    return 0;
}

static struct model_reservation *reservation_room(struct sim *sim)
{
    uint32_t used = 0;
    struct model_reservation *room = NULL;

    for (uint32_t i = 0; i < ARRAY_SIZE(sim->model.reservation); i++) {
        struct model_reservation *r = &sim->model.reservation[i];
        used += r->token != 0;
        room = r->token == 0 ? r : room;
    }
    return used < sim->model.max_reservations ? room : NULL;
}

static int on_relay_open(void *arg, const struct turn_relay_want *want,
                         struct turn_relay_grant *out)
{
    static const enum port_want kinds[] = {
        [TURN_PORT_ANY] = PORT_ANY,
        [TURN_PORT_EVEN] = PORT_EVEN,
        [TURN_PORT_EVEN_RESERVE] = PORT_EVEN_PAIR,
    };
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;
    struct model_reservation *room = reservation_room(sim);
    struct net_addr addr;

    if (want->want == TURN_PORT_RESERVED) {
        return redeem(sim, core, want, out);
    }
    if (want->want == TURN_PORT_EVEN_RESERVE && room == NULL) {
        return -ENOSPC;
    }
    const int err =
        port_pool_take(sim->site.pool, NULL, want->family, kinds[want->want], sim->now_ms, &addr);
    if (err < 0) {
        return err == -ENOENT ? -EAFNOSUPPORT : err;
    }
    struct sim_socket *socket = socket_open(sim, &addr, want->relay, core->index, want->protocol);
    if (want->want == TURN_PORT_EVEN_RESERVE) {
        struct net_addr next = addr;
        next.port++;
        (void)socket_open(sim, &next, NULL, core->index, NET_UDP);
        *room = (struct model_reservation){want->new_token, next, sim->now_ms + RESERVATION_MS};
        sim->site.new_token = want->new_token;
        sim->last_token = want->new_token;
    }
    sim->site.opened[sim->site.opened_count++] = addr;
    *out = (struct turn_relay_grant){socket, socket->bound, socket->bound};
    return 0;
}

/* A relay may be closed when its time is over, when its client said so, or at the end of all. */
static void on_relay_close(void *arg, void *port)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;
    struct sim_socket *socket = port;
    int i = 0;

    if (!socket->open || socket->core != core->index) {
        sim_fail(sim, "core %u closes a relay socket that it does not have", core->index);
        return;
    }
    struct model_alloc *a = model_of_relay(&sim->model, &socket->bound, &i);
    if (a != NULL) {
        if (a->relay[i].expires_ms > sim->now_ms && !sim->site.deleting && !sim->site.closing &&
            !sim->site.stopping) {
            sim_fail(sim, "relay port %u closed %llu ms before its time", socket->bound.port,
                     (unsigned long long)(a->relay[i].expires_ms - sim->now_ms));
        }
        a->relay[i].open = false;
    }
    socket_shut(sim, socket);
}

static int on_quota_take(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    const struct sim_core *core = arg;

    return quota_take(core->sim->site.quota, user);
}

static void on_quota_give(void *arg, uint32_t realm, struct bytes user)
{
    (void)realm;
    const struct sim_core *core = arg;

    quota_give(core->sim->site.quota, user);
}

static uint64_t on_capacity(void *arg, int direction, uint32_t bytes, uint64_t now_ms)
{
    const struct sim_core *core = arg;
    uint64_t *left = &core->sim->site.capacity_left[direction];
    uint64_t lease = bytes > LEASE_BYTES ? bytes : LEASE_BYTES;

    (void)now_ms;
    lease = lease <= *left ? lease : bytes <= *left ? bytes : 0;
    core->sim->site.lease_refused = core->sim->site.lease_refused || lease == 0;
    *left -= lease;
    return lease;
}

static void on_end(struct sim *sim, struct model_alloc *a, const struct turn_event *event)
{
    const struct site *s = &sim->site;
    const bool right = (event->kind == TURN_EVENT_EXPIRED && !model_alive(a, sim->now_ms)) ||
                       (event->kind == TURN_EVENT_DELETED && s->deleting) ||
                       (event->kind == TURN_EVENT_CLOSED && (s->closing || s->stopping));
    uint64_t expires_ms = 0;

    if (!right) {
        sim_fail(sim, "session of client port %u ended by event %d without a reason",
                 a->client.port, (int)event->kind);
    }
    for (int i = 0; i < 2; i++) {
        if (a->relay[i].open && a->relay[i].expires_ms > expires_ms) {
            expires_ms = a->relay[i].expires_ms;
        }
    }
    if (event->kind == TURN_EVENT_EXPIRED && !s->late_ticks && expires_ms != sim->now_ms) {
        sim_fail(sim, "allocation ended %llu ms after its time",
                 (unsigned long long)(sim->now_ms - expires_ms));
    }
    sim->seen.expired += event->kind == TURN_EVENT_EXPIRED;
    if (event->traffic == NULL || event->traffic->to_peer_packets != a->passed[0] ||
        event->traffic->to_client_packets != a->passed[1]) {
        sim_fail(sim, "an end without its traffic");
    }
    model_end(&sim->model, a, sim->now_ms);
}

static void on_revoked(struct sim *sim, const struct net_addr *peer)
{
    const uint8_t row = peers_row_of(peer);
    const uint8_t rules = sim->model.rules;

    if (row == peers_count() ||
        (peer->port == 0 ? peers_ip_open(row, rules) : peers_addr_open(row, peer->port, rules))) {
        sim_fail(sim, "a permission or channel that holds was revoked");
    }
}

static int on_session_owner(void *arg, uint64_t session)
{
    const struct sim_core *core = arg;
    struct five_tuple tuple;

    for (int i = 0; i < SIM_CORES; i++) {
        if (turn_server_find_session(core->sim->site.core[i].server, session, &tuple)) {
            return i;
        }
    }
    return -ENOENT;
}

/* The Refresh is judged at this core: its client's packets are to come here from now on. */
static void on_moved(struct sim *sim, const struct sim_core *core, const struct turn_event *event)
{
    struct model_alloc *a = model_record(&sim->model, &event->was->client, &event->was->server);

    sim->site.moves++;
    if (a == NULL || a->core != core->index || !net_addr_equal(&a->client, &event->was->client) ||
        event->transport != a->transport ||
        event->was_listener != (a->away ? NULL : site_listener(sim, &a->server)) ||
        event->listener != site_listener(sim, event->server)) {
        sim_fail(sim, "an event of a move tells of another");
        return;
    }
    site_steer(sim, event->client, event->server, core->index);
}

static void on_left(struct sim *sim, const struct turn_event *event)
{
    struct model_alloc *a = model_record(&sim->model, &event->was->client, &event->was->server);

    sim->site.lefts++;
    if (event->was_listener !=
        (event->was->protocol == 0 ? NULL : site_listener(sim, &event->was->server))) {
        sim_fail(sim, "an event of an address left tells of another listener");
    }
    if (a != NULL && event->was->protocol == 0) {
        model_return(&sim->model, a, event->client, event->server);
        return;
    }
    if (event->client->family == NET_NONE) {
        if (a == NULL || !a->away) {
            sim_fail(sim, "a client is away whose connection has not ended");
            return;
        }
        a->client = *event->client;
        a->server = *event->server;
        return;
    }
    /* The model has foreseen it unless it was noise that sounded like data. */
    if (a != NULL && net_addr_equal(&a->client, &event->was->client) &&
        net_addr_equal(&a->server, &event->was->server) && a->moving) {
        if (!sim->site.noise && !a->heard) {
            sim_fail(sim, "a client has arrived that has said nothing");
        }
        a->heard = false;
        model_arrive(&sim->model, a, sim->now_ms);
    }
}

static void on_event(void *arg, const struct turn_event *event)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;

    trace_mix_number(&sim->trace, (uint64_t)event->kind << 32 | (uint32_t)event->code);
    if (event->kind == TURN_EVENT_REFUSED) {
        return;
    }
    if (event->kind == TURN_EVENT_MOVED) {
        on_moved(sim, core, event);
        return;
    }
    if (event->kind == TURN_EVENT_LEFT) {
        on_left(sim, event);
        return;
    }
    sim->site.events++;
    struct model_alloc *a = model_record(&sim->model, event->client, event->server);
    if (event->kind == TURN_EVENT_ALLOCATED) {
        return; /* the referee makes the record */
    }
    if (a == NULL || a->core != core->index) {
        sim_fail(sim, "event %d of a session that is not there", (int)event->kind);
        return;
    }
    a->session = event->session;
    sim->site.connected += event->kind == TURN_EVENT_CONNECTED;
    sim->site.connected -= event->kind == TURN_EVENT_CONNECTION_CLOSED;
    if (event->kind == TURN_EVENT_DELETED || event->kind == TURN_EVENT_EXPIRED ||
        event->kind == TURN_EVENT_CLOSED) {
        on_end(sim, a, event);
    } else if (event->kind == TURN_EVENT_REVOKED) {
        sim->seen.revoked++;
        on_revoked(sim, event->peer);
    }
}

struct turn_effects effects_of(struct sim_core *core)
{
    struct turn_effects effects = {
        .arg = core,
        .random_fill = on_random,
        .key_find = on_key_find,
        .relay_open = on_relay_open,
        .relay_close = on_relay_close,
        .peer_connect = conns_connect,
        .peer_close = conns_close,
        .peer_bind = conns_bind,
        .quota_take = on_quota_take,
        .quota_give = on_quota_give,
        .capacity_lease = on_capacity,
        .session_owner = on_session_owner,
        .event = on_event,
    };

    below_join(&effects);
    return effects;
}
