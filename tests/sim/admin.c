/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators do: reload, move sessions between cores, end them. */
#include <errno.h>
#include <string.h>

#include "sim.h"

static void config_change(struct sim *sim, struct turn_config *c)
{
    struct prng *r = &sim->random;
    bool *const switches[] = {
        &c->stun_enabled, &c->always_fingerprint, &c->channels_5766, &c->main.username_anonymity,
        &c->udp_relay,    &c->draining,           &c->ipv6_relay,    &c->additional_family,
        &c->copy_dscp,    &c->tcp_relay,          &c->mobility};

    if (prng_chance(r, 500)) {
        bool *one = switches[prng_below(r, ARRAY_SIZE(switches))];
        *one = !*one;
    }
    if (prng_chance(r, 200)) {
        c->main.algorithms = (enum turn_algorithms)prng_below(r, 3);
    }
    if (prng_chance(r, 200)) {
        c->max_permissions = 2 + prng_below(r, 7);
        c->max_channels = 1 + prng_below(r, 6);
        c->max_connections = 1 + prng_below(r, 4);
    }
    if (prng_chance(r, 200)) {
        struct turn_alternates *list = &c->alternates[prng_below(r, TURN_ALTERNATE_KINDS)];
        list->items[0].addr = peers_listener(1, NET_V4);
        list->items[1].addr = peers_listener(2, NET_V6);
        list->count = 1 + prng_below(r, 2);
        for (uint32_t i = 0; i < 2 && prng_chance(r, 700); i++) {
            memcpy(list->items[i].domain, SIM_DOMAIN, sizeof(SIM_DOMAIN));
        }
    }
    if (prng_chance(r, 300)) { /* new nonce keys: the newest two are known */
        memcpy(c->nonce_keys[1], c->nonce_keys[0], sizeof(c->nonce_keys[0]));
        crypto_random_fill(sim->site.random, c->nonce_keys[0], sizeof(c->nonce_keys[0]));
        sim->model.nonce_generation++;
    }
}

void admin_reconfigure(struct sim *sim)
{
    struct site *s = &sim->site;
    struct turn_config *old = &s->config[s->config_now];
    struct turn_config *c = &s->config[s->config_now ^ 1];
    struct prng *r = &sim->random;

    s->config_now ^= 1;
    *c = s->config_first; /* each time something else is different from the beginning */
    memcpy(c->nonce_keys, old->nonce_keys, sizeof(c->nonce_keys));
    c->main.gate = old->main.gate;
    config_change(sim, c);
    if (prng_chance(r, 600)) {
        sim->model.rules = (uint8_t)prng_below(r, PEER_RULE_SETS);
        c->main.gate = sim->options.gates[sim->model.rules];
    }
    if (prng_chance(r, 200)) {
        sim->model.user_quota = prng_chance(r, 300) ? prng_below(r, 4) : 0;
        sim->model.total_quota = prng_chance(r, 300) ? prng_below(r, 8) : 0;
        quota_set_limits(s->quota, sim->model.user_quota, sim->model.total_quota);
    }
    site_put_realm(s, s->config_now);
    sim->model.config = c;
    trace_say(&sim->trace, sim->now_ms, "reload: rules %u, draining %d, relay %d, user quota %u",
              sim->model.rules, c->draining, c->udp_relay, sim->model.user_quota);
    below_halt(sim);
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        turn_server_configure(s->core[i].server, c);
    }
    memset(old, 0xa5, sizeof(*old)); /* it is not borrowed any more */
    memset(&s->other[s->config_now ^ 1], 0xa5, sizeof(s->other[0]));
    model_recheck(&sim->model, sim->now_ms);
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        const uint32_t budget = 1 + prng_below(r, 3);
        uint32_t turns = 0;
        while (!turn_server_recheck(s->core[i].server, budget, sim->now_ms)) {
            if (++turns > 2 * MODEL_ALLOCS) {
                sim_fail(sim, "the recheck does not end");
                return;
            }
        }
    }
}

/* Move the relay sockets of `a` to core `to` and fill in their handles. */
static void move_sockets(struct sim *sim, const struct model_alloc *a, uint8_t to, void *ports[2])
{
    for (int i = 0; i < 2; i++) {
        ports[i] = NULL;
        if (a->relay[i].open) {
            struct sim_socket *socket = effects_socket_at(sim, &a->relay[i].bound);
            socket->core = to;
            ports[i] = socket;
        }
    }
}

static void set_relays(const struct model_alloc *a, void *const ports[2],
                       struct turn_relay *const relays[2], struct sim *sim)
{
    for (int i = 0; i < 2; i++) {
        struct sim_socket *socket = ports[i];
        if ((socket != NULL) != (relays[i] != NULL) || (socket != NULL) != a->relay[i].open) {
            sim_fail(sim, "a parcel's relays do not match");
        } else if (socket != NULL) {
            socket->relay = relays[i];
        }
    }
}

/* Pack at one core, unpack at the other, and see whether that changed anything.  0; -ENOSPC when
 * the other core is full; another error has ended the scenario. */
static int carry(struct sim *sim, const struct model_alloc *a, uint8_t to, void *const ports[2],
                 struct turn_relay *relays[2])
{
    static uint8_t parcel[2]
                         [TURN_PARCEL_HEAD + MODEL_ENTRIES * (TURN_PARCEL_PERM + TURN_PARCEL_CHAN)];
    const struct five_tuple tuple = model_tuple(a);
    const struct five_tuple coming = {a->coming_client, a->coming_server, a->transport};
    struct turn_server *source = sim->site.core[a->core].server;
    struct turn_server *target = sim->site.core[to].server;
    struct writer w = writer_over(parcel[0], sizeof(parcel[0]));
    struct writer again = writer_over(parcel[1], sizeof(parcel[1]));

    int err = turn_server_pack(source, &tuple, sim->now_ms, &w);
    if (err == 0) {
        err = turn_server_unpack(target, (struct bytes){parcel[0], w.len},
                                 site_listener(sim, &a->server), ports, relays, sim->now_ms);
        if (err == -ENOSPC && (sim->options.faults || model_count_core(&sim->model, to, 0) >=
                                                          sim->model.max_allocations)) {
            return err;
        }
    }
    if (err < 0 || turn_server_pack(target, &tuple, sim->now_ms, &again) < 0 ||
        turn_server_forget(source, &tuple) < 0) {
        sim_fail(sim, "moving a session: %d", err);
        return -EPROTO;
    }
    /* With late timers the parcel also held what had expired, and the other core left it out. */
    if (sim->site.late_ticks ? again.len > w.len
                             : again.len != w.len || memcmp(parcel[0], parcel[1], w.len) != 0) {
        sim_fail(sim, "packed once more a session differs");
        return -EPROTO;
    }
    if (a->moving) {
        turn_server_set_listener(target, &coming, site_listener(sim, &a->coming_server));
        sim->seen.travelled++;
    }
    return 0;
}

/* The connections of a TCP allocation cannot travel. */
static void stay(struct sim *sim, const struct model_alloc *a)
{
    const struct five_tuple tuple = model_tuple(a);
    uint8_t parcel[TURN_PARCEL_HEAD];
    struct writer w = writer_over(parcel, sizeof(parcel));

    if (turn_server_pack(sim->site.core[a->core].server, &tuple, sim->now_ms, &w) != -EOPNOTSUPP) {
        sim_fail(sim, "a TCP allocation was packed");
    }
}

void admin_move_session(struct sim *sim, struct model_alloc *a, uint8_t to)
{
    const uint8_t from = a->core;
    struct turn_relay *relays[2];
    void *ports[2];

    if (a->protocol != NET_UDP) {
        stay(sim, a);
        return;
    }
    if (from == to || a->away) {
        return; /* nothing leads anywhere else */
    }
    move_sockets(sim, a, to, ports);
    const int err = carry(sim, a, to, ports, relays);
    trace_say(&sim->trace, sim->now_ms, "session of client port %u: core %u -> %u: %d",
              a->client.port, from, to, err);
    below_packed(sim, a);
    if (err < 0) {
        move_sockets(sim, a, from, ports);
        return;
    }
    set_relays(a, ports, relays, sim);
    for (int i = 0; i < 2; i++) { /* nothing was left: so it is at the other end, too */
        if (a->relay[i].open && a->relay[i].expires_ms < sim->now_ms) {
            a->relay[i].expires_ms = sim->now_ms;
        }
    }
    a->core = to;
    a->session = 0;
    site_steer(sim, &a->client, &a->server, to);
    if (a->moving) {
        site_steer(sim, &a->coming_client, &a->coming_server, to);
    }
    sim->seen.moved++;
}

void admin_close_session(struct sim *sim, struct model_alloc *a)
{
    struct turn_server *server = sim->site.core[a->core].server;
    const uint64_t session = a->session;

    if (session == 0) {
        return;
    }
    sim->seen.closed++;
    trace_say(&sim->trace, sim->now_ms, "close session of client port %u", a->client.port);
    sim->site.closing = true;
    const int err = turn_server_close_session(server, session, sim->now_ms);
    const int twice = turn_server_close_session(server, session, sim->now_ms);
    sim->site.closing = false;
    if (err != 0 || twice != -ENOENT || a->used) {
        sim_fail(sim, "close session: %d, then %d", err, twice);
    }
}

void admin_close_client(struct sim *sim, const struct net_addr *client,
                        const struct net_addr *server)
{
    const struct five_tuple tuple = {*client, *server, actor_transport(sim, client)};
    struct model_alloc *a = model_record(&sim->model, client, server);
    const bool moving = a != NULL && a->moving;
    const bool lost = a != NULL && !moving && a->mobile && sim->model.config->mobility;
    struct turn_server *core = sim->site.core[site_core_for(sim, client, server)].server;

    if (turn_server_has_allocation(core, &tuple) != (a != NULL)) {
        sim_fail(sim, "a connection is said to have %s allocation", a == NULL ? "an" : "no");
    }
    sim->seen.hung_up += a != NULL;
    if (moving && model_is_coming(a, client, server)) {
        model_stay(&sim->model, a);
    } else if (moving) {
        model_arrive(&sim->model, a, sim->now_ms);
    } else if (lost) {
        model_lose(&sim->model, a, sim->now_ms);
        sim->seen.lost++;
    }
    sim->site.closing = true;
    turn_server_client_closed(core, &tuple, NULL, sim->now_ms);
    sim->site.closing = false;
    if (model_record(&sim->model, client, server) != NULL || ((moving || lost) && !a->used)) {
        sim_fail(sim, "an allocation has outlived its connection, or not another");
    }
}
