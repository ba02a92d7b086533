/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side as a whole: how it is set up, and which core a client's packets go to. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "sim.h"

enum { WALL_START_S = 1800000000 };

/* Each throw of the dice is a statement of its own: the order in which an initializer's parts are
 * computed is the compiler's choice, and a seed must mean the same everywhere. */
static void config_switches(struct prng *r, struct turn_config *c)
{
    c->require_auth = !prng_chance(r, 60);
    c->stun_enabled = !prng_chance(r, 20);
    c->turn_enabled = true;
    c->auth_binding = prng_chance(r, 50);
    c->always_fingerprint = prng_chance(r, 100);
    c->mapped_address = prng_chance(r, 100);
    c->channels_5766 = prng_chance(r, 200);
    c->main.username_anonymity = !prng_chance(r, 200);
    c->udp_relay = true;
    c->tcp_relay = !prng_chance(r, 50);
    c->mobility = !prng_chance(r, 200);
    c->ipv4_relay = !prng_chance(r, 50);
    c->ipv6_relay = !prng_chance(r, 100);
    c->additional_family = !prng_chance(r, 100);
    c->copy_dscp = prng_chance(r, 500);
    c->copy_ecn = prng_chance(r, 500);
    c->limit_capacity = prng_chance(r, 100);
    if (prng_chance(r, 200)) {
        c->main.algorithms = (enum turn_algorithms)prng_below(r, 3);
    }
    if (prng_chance(r, 100)) {
        c->default_family = (enum turn_family_default)prng_below(r, 3);
    }
}

static void config_first(struct sim *sim, struct turn_config *c)
{
    struct prng *r = &sim->random;

    *c = (struct turn_config){
        .main.name = SIM_REALM,
        .default_lifetime_s = 600,
        .permission_s = 300,
        .channel_s = 600,
        .nonce_s = 3600,
        .nonce_key_count = 2,
    };
    config_switches(r, c);
    c->max_lifetime_s = prng_chance(r, 500) ? 3600 : 1200;
    c->max_permissions = 2 + prng_below(r, 7);
    c->max_channels = 1 + prng_below(r, 6);
    c->max_connections = 1 + prng_below(r, 4); /* so few that the shared pool lasts */
    if (prng_chance(r, 300)) {
        c->nonce_s = 5 + prng_below(r, 300);
    }
    if (prng_chance(r, 200)) {
        c->main.max_bps = 1000 + prng_below(r, 100000);
    }
    if (prng_chance(r, 200)) {
        c->unauth_per_s = 1 + prng_below(r, 5);
    }
    c->unauth_burst = 1 + prng_below(r, 10);
    if (prng_chance(r, 800)) {
        memcpy(c->software, "sterna simulation", sizeof("sterna simulation"));
    }
    crypto_random_fill(sim->site.random, c->nonce_keys[0], sizeof(c->nonce_keys));
}

void site_put_realm(struct site *site, uint32_t which)
{
    static const uint32_t order[] = {1};
    struct turn_config *c = &site->config[which];
    struct turn_realm *other = &site->other[which];

    *other = c->main;
    memcpy(other->name, SIM_OTHER, sizeof(SIM_OTHER));
    c->realms = other;
    c->realm_count = 1;
    c->realm_order = order;
}

static void model_first(struct sim *sim, struct turn_config *c)
{
    struct model *m = &sim->model;
    struct prng *r = &sim->random;

    memset(m, 0, sizeof(*m));
    m->rules = (uint8_t)(prng_chance(r, 700) ? 0 : prng_below(r, PEER_RULE_SETS));
    m->config = c;
    c->main.gate = sim->options.gates[m->rules];
    const uint32_t tight = sim->options.dense ? 50 : 200; /* limits that leave little to do */
    m->user_quota = prng_chance(r, tight) ? 1 + prng_below(r, 3) : 0;
    m->total_quota = prng_chance(r, tight) ? 1 + prng_below(r, 6) : 0;
    m->max_allocations = prng_chance(r, tight) ? 1 + prng_below(r, 4) : 24;
    m->max_reservations = 1 + prng_below(r, ARRAY_SIZE(m->reservation));
    m->start_ms = sim->now_ms;
    m->nonce_generation = 1;
    m->port_min = (uint16_t)(PEER_RELAY_PORT_MIN + prng_below(r, 3));
    m->port_max = (uint16_t)(m->port_min + (prng_chance(r, tight) ? prng_below(r, 6) : 100));
}

static int core_open(struct sim *sim, uint8_t index)
{
    struct sim_core *core = &sim->site.core[index];

    core->sim = sim;
    core->index = index;
    const uint64_t k0 = prng_next(&sim->random);
    const uint64_t k1 = prng_next(&sim->random);
    const struct turn_server_options options = {
        .config = sim->model.config,
        .effects = effects_of(core),
        .hash_key = {k0, k1},
        .max_allocations = sim->model.max_allocations,
        .instance = index,
        .instances = SIM_CORES,
        .session_base = (uint64_t)index << 48,
        .now_ms = sim->now_ms,
        .wall_s = sim_wall_s(sim),
    };
    return turn_server_new(&options, &core->server);
}

int site_open(struct sim *sim)
{
    struct site *s = &sim->site;

    memset(s, 0, sizeof(*s));
    s->random = crypto_random_new_seeded(prng_next(&sim->random));
    if (s->random == NULL) {
        return -ENOMEM;
    }
    config_first(sim, &s->config[0]);
    model_first(sim, &s->config[0]);
    site_put_realm(s, 0);
    s->config_first = s->config[0];
    s->late_ticks = prng_chance(&sim->random, 300);
    s->capacity_left[0] = prng_chance(&sim->random, 500) ? UINT64_MAX : 20000;
    s->capacity_left[1] = s->capacity_left[0];
    below_init(&s->below, sim->options.seed);
    const struct port_pool_options options = {
        .port_min = sim->model.port_min,
        .port_max = sim->model.port_max,
        .quarantine_ms = prng_chance(&sim->random, 500) ? 60 * 1000 : 0,
        .random_fill = crypto_random_fill,
        .random_arg = s->random,
    };
    s->pool = port_pool_new(&options);
    s->quota = quota_new(sim->model.user_quota, sim->model.total_quota, 100);
    if (s->pool == NULL || s->quota == NULL) {
        return -ENOMEM;
    }
    for (uint8_t family = NET_V4; family <= NET_V6; family++) {
        const struct net_addr own = peers_addr(peers_own(family), 0);
        if (port_pool_add(s->pool, &own.ip) < 0) {
            return -ENOMEM;
        }
    }
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        const int err = core_open(sim, i);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

void site_close(struct sim *sim)
{
    struct site *s = &sim->site;

    s->stopping = true;
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        turn_server_free(s->core[i].server);
        s->core[i].server = NULL;
    }
    port_pool_free(s->pool);
    quota_free(s->quota);
    crypto_random_free(s->random);
}

uint64_t sim_wall_s(const struct sim *sim)
{
    return WALL_START_S + (sim->now_ms - sim->start_ms) / 1000;
}

/* --- steering -----------------------------------------------------------------------------------
 */

struct sim_flow *site_flow(struct sim *sim, const struct net_addr *client,
                           const struct net_addr *server)
{
    for (uint32_t i = 0; i < sim->site.flow_count; i++) {
        struct sim_flow *f = &sim->site.flow[i];
        if (net_addr_equal(&f->client, client) && net_addr_equal(&f->server, server)) {
            return f;
        }
    }
    return NULL;
}

/* The core whose listener has that address. */
static uint8_t core_at(const struct net_addr *server)
{
    uint8_t i = 0;

    while (i < SIM_CORES) {
        const struct net_addr at = peers_listener(i, server->family);
        if (net_addr_equal(&at, server)) {
            break;
        }
        i++;
    }
    return i;
}

void *site_listener(struct sim *sim, const struct net_addr *server)
{
    return &sim->site.core[core_at(server)].listener[server->family - NET_V4];
}

void site_steer(struct sim *sim, const struct net_addr *client, const struct net_addr *server,
                uint8_t core)
{
    struct sim_flow *flow = site_flow(sim, client, server);

    if (flow == NULL) {
        assert(sim->site.flow_count < SIM_FLOWS);
        flow = &sim->site.flow[sim->site.flow_count++];
        *flow = (struct sim_flow){*client, *server, core};
    }
    flow->core = core;
}

uint8_t site_core_for(struct sim *sim, const struct net_addr *client, const struct net_addr *server)
{
    const struct sim_flow *flow = site_flow(sim, client, server);

    return flow != NULL ? flow->core : core_at(server);
}
