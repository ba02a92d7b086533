/* SPDX-License-Identifier: Apache-2.0 */
/* The server's surroundings: what the cores' effects ask for, shared by all cores as in the real
 * server: ports, quotas, reservations, users. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/longterm.h"
#include "sim.h"

enum { RESERVATION_MS = 30 * 1000, LEASE_BYTES = 4096, WALL_START_S = 1800000000 };

/* --- users --------------------------------------------------------------------------------------
 */

static struct {
    const char *name;
    const char *password;
    uint16_t quota_from;
    struct credential_key key;
    uint8_t userhash[CRYPTO_SHA256_LEN];
} users[MODEL_USERS + 1] = {
    {.name = "alice", .password = "wonderland"},
    {.name = "bob", .password = "builder"},
    {.name = "1700000000:carol", .password = "first", .quota_from = 11},
    {.name = "1700000001:carol", .password = "second", .quota_from = 11},
    {.name = "nobody", .password = "nothing"},
};

void site_users_init(void)
{
    const struct bytes realm = bytes_of(SIM_REALM);

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        const struct bytes name = bytes_of(users[i].name);
        const struct bytes password = bytes_of(users[i].password);
        struct credential_key *key = &users[i].key;
        key->has_md5 = crypto_longterm_md5(name, realm, password, key->md5) == 0;
        key->has_sha256 = crypto_longterm_sha256(name, realm, password, key->sha256) == 0;
        if (crypto_longterm_userhash(name, realm, users[i].userhash) < 0 || !key->has_md5 ||
            !key->has_sha256) {
            abort();
        }
    }
}

const char *site_user_name(uint8_t user)
{
    return users[user].name;
}

const char *site_user_password(uint8_t user)
{
    return users[user].password;
}

const struct credential_key *site_user_key(uint8_t user)
{
    return &users[user].key;
}

/* --- effects ------------------------------------------------------------------------------------
 */

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
        const struct bytes name = bytes_of(users[i].name);
        const struct bytes hash = {users[i].userhash, sizeof(users[i].userhash)};
        if (m->user_removed[i] ||
            !(query->username.p != NULL ? bytes_equal(query->username, name)
                                        : bytes_equal(query->userhash, hash))) {
            continue;
        }
        out->count = 1;
        out->key[0] = users[i].key;
        out->name_len = (uint16_t)name.n;
        out->quota_from = users[i].quota_from;
        out->quota_len = (uint16_t)(name.n - users[i].quota_from);
        memcpy(out->name, name.p, name.n);
        return 0;
    }
    return -ENOENT;
}

static struct sim_socket *socket_open(struct sim *sim, const struct net_addr *bound,
                                      struct turn_relay *relay, uint8_t core)
{
    for (uint32_t i = 0; i < SIM_SOCKETS; i++) {
        struct sim_socket *socket = &sim->site.socket[i];
        if (!socket->open) {
            *socket = (struct sim_socket){true, core, *bound, relay};
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

struct sim_socket *site_socket_at(struct sim *sim, const struct net_addr *bound)
{
    for (uint32_t i = 0; i < SIM_SOCKETS; i++) {
        struct sim_socket *socket = &sim->site.socket[i];
        if (socket->open && net_addr_equal(&socket->bound, bound)) {
            return socket;
        }
    }
    return NULL;
}

void site_reservations_sweep(struct sim *sim)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(sim->model.reservation); i++) {
        struct model_reservation *r = &sim->model.reservation[i];
        if (r->token != 0 && r->expires_ms <= sim->now_ms) {
            socket_shut(sim, site_socket_at(sim, &r->bound));
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
    struct sim_socket *socket = site_socket_at(sim, &r->bound);
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
    struct sim_socket *socket = socket_open(sim, &addr, want->relay, core->index);
    if (want->want == TURN_PORT_EVEN_RESERVE) {
        struct net_addr next = addr;
        next.port++;
        (void)socket_open(sim, &next, NULL, core->index);
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

static int on_quota_take(void *arg, struct bytes user)
{
    const struct sim_core *core = arg;

    return quota_take(core->sim->site.quota, user);
}

static void on_quota_give(void *arg, struct bytes user)
{
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
    if (event->traffic == NULL) {
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

static void on_event(void *arg, const struct turn_event *event)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;

    trace_mix_number(&sim->trace, (uint64_t)event->kind << 32 | (uint32_t)event->code);
    if (event->kind == TURN_EVENT_REFUSED) {
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
    if (event->kind == TURN_EVENT_DELETED || event->kind == TURN_EVENT_EXPIRED ||
        event->kind == TURN_EVENT_CLOSED) {
        on_end(sim, a, event);
    } else if (event->kind == TURN_EVENT_REVOKED) {
        sim->seen.revoked++;
        on_revoked(sim, event->peer);
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

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
    c->username_anonymity = !prng_chance(r, 200);
    c->udp_relay = true;
    c->ipv4_relay = !prng_chance(r, 50);
    c->ipv6_relay = !prng_chance(r, 100);
    c->additional_family = !prng_chance(r, 100);
    c->copy_dscp = prng_chance(r, 500);
    c->copy_ecn = prng_chance(r, 500);
    c->limit_capacity = prng_chance(r, 100);
    if (prng_chance(r, 200)) {
        c->algorithms = (enum turn_algorithms)prng_below(r, 3);
    }
    if (prng_chance(r, 100)) {
        c->default_family = (enum turn_family_default)prng_below(r, 3);
    }
}

static void config_first(struct sim *sim, struct turn_config *c)
{
    struct prng *r = &sim->random;

    *c = (struct turn_config){
        .realm = SIM_REALM,
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
    if (prng_chance(r, 300)) {
        c->nonce_s = 5 + prng_below(r, 300);
    }
    if (prng_chance(r, 200)) {
        c->max_bps = 1000 + prng_below(r, 100000);
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

static void model_first(struct sim *sim, struct turn_config *c)
{
    struct model *m = &sim->model;
    struct prng *r = &sim->random;

    memset(m, 0, sizeof(*m));
    m->rules = (uint8_t)(prng_chance(r, 700) ? 0 : prng_below(r, PEER_RULE_SETS));
    m->config = c;
    c->gate = sim->options.gates[m->rules];
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
        .effects = {core, on_random, on_key_find, on_relay_open, on_relay_close, on_quota_take,
                    on_quota_give, on_capacity, on_event},
        .hash_key = {k0, k1},
        .max_allocations = sim->model.max_allocations,
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
    s->config_first = s->config[0];
    s->late_ticks = prng_chance(&sim->random, 300);
    s->capacity_left[0] = prng_chance(&sim->random, 500) ? UINT64_MAX : 20000;
    s->capacity_left[1] = s->capacity_left[0];
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

/* --- steering and administration ----------------------------------------------------------------
 */

static struct sim_flow *flow_of(struct sim *sim, const struct net_addr *client,
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

uint8_t site_core_for(const struct sim *sim, const struct net_addr *client,
                      const struct net_addr *server)
{
    for (uint32_t i = 0; i < sim->site.flow_count; i++) {
        const struct sim_flow *f = &sim->site.flow[i];
        if (net_addr_equal(&f->client, client) && net_addr_equal(&f->server, server)) {
            return f->core;
        }
    }
    return core_at(server);
}

static void config_change(struct sim *sim, struct turn_config *c)
{
    struct prng *r = &sim->random;
    bool *const switches[] = {&c->stun_enabled,       &c->always_fingerprint, &c->channels_5766,
                              &c->username_anonymity, &c->udp_relay,          &c->draining,
                              &c->ipv6_relay,         &c->additional_family,  &c->copy_dscp};

    if (prng_chance(r, 500)) {
        bool *one = switches[prng_below(r, ARRAY_SIZE(switches))];
        *one = !*one;
    }
    if (prng_chance(r, 200)) {
        c->algorithms = (enum turn_algorithms)prng_below(r, 3);
    }
    if (prng_chance(r, 200)) {
        c->max_permissions = 2 + prng_below(r, 7);
        c->max_channels = 1 + prng_below(r, 6);
    }
    if (prng_chance(r, 150)) {
        c->alternates[0] = peers_listener(1, NET_V4);
        c->alternates[1] = peers_listener(2, NET_V6);
        c->alternate_count = 1 + prng_below(r, 2);
    }
    if (prng_chance(r, 300)) { /* new nonce keys: the newest two are known */
        memcpy(c->nonce_keys[1], c->nonce_keys[0], sizeof(c->nonce_keys[0]));
        crypto_random_fill(sim->site.random, c->nonce_keys[0], sizeof(c->nonce_keys[0]));
        sim->model.nonce_generation++;
    }
}

void site_reconfigure(struct sim *sim)
{
    struct site *s = &sim->site;
    struct turn_config *old = &s->config[s->config_now];
    struct turn_config *c = &s->config[s->config_now ^ 1];
    struct prng *r = &sim->random;

    s->config_now ^= 1;
    *c = s->config_first; /* each time something else is different from the beginning */
    memcpy(c->nonce_keys, old->nonce_keys, sizeof(c->nonce_keys));
    c->gate = old->gate;
    config_change(sim, c);
    if (prng_chance(r, 600)) {
        sim->model.rules = (uint8_t)prng_below(r, PEER_RULE_SETS);
        c->gate = sim->options.gates[sim->model.rules];
    }
    if (prng_chance(r, 200)) {
        sim->model.user_quota = prng_chance(r, 300) ? prng_below(r, 4) : 0;
        sim->model.total_quota = prng_chance(r, 300) ? prng_below(r, 8) : 0;
        quota_set_limits(s->quota, sim->model.user_quota, sim->model.total_quota);
    }
    sim->model.config = c;
    trace_say(&sim->trace, sim->now_ms, "reload: rules %u, draining %d, relay %d, user quota %u",
              sim->model.rules, c->draining, c->udp_relay, sim->model.user_quota);
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        turn_server_configure(s->core[i].server, c);
    }
    memset(old, 0xa5, sizeof(*old)); /* it is not borrowed any more */
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
            struct sim_socket *socket = site_socket_at(sim, &a->relay[i].bound);
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

void site_move_session(struct sim *sim, struct model_alloc *a, uint8_t to)
{
    static uint8_t parcel[2]
                         [TURN_PARCEL_HEAD + MODEL_ENTRIES * (TURN_PARCEL_PERM + TURN_PARCEL_CHAN)];
    struct site *s = &sim->site;
    const struct five_tuple tuple = {a->client, a->server, 17};
    const size_t room = TURN_PARCEL_HEAD +
                        model_perm_count(a, sim->now_ms) * (size_t)TURN_PARCEL_PERM +
                        model_chan_count(a, sim->now_ms) * (size_t)TURN_PARCEL_CHAN;
    struct writer w = writer_over(parcel[0], s->late_ticks ? sizeof(parcel[0]) : room);
    struct writer again = writer_over(parcel[1], sizeof(parcel[1]));
    struct turn_relay *relays[2];
    void *ports[2];
    struct sim_flow *flow = flow_of(sim, &a->client, &a->server);
    const uint8_t from = a->core;

    if (from == to || (flow == NULL && s->flow_count == SIM_FLOWS)) {
        return;
    }
    if (turn_server_pack(s->core[from].server, &tuple, sim->now_ms, &w) < 0) {
        sim_fail(sim, "a live session cannot be packed");
        return;
    }
    move_sockets(sim, a, to, ports);
    const int err = turn_server_unpack(s->core[to].server, (struct bytes){parcel[0], w.len},
                                       site_listener(sim, &a->server), ports, relays, sim->now_ms);
    trace_say(&sim->trace, sim->now_ms, "session of client port %u: core %u -> %u: %d",
              a->client.port, from, to, err);
    if (err == -ENOSPC && (sim->options.faults ||
                           model_count_core(&sim->model, to, 0) >= sim->model.max_allocations)) {
        move_sockets(sim, a, from, ports);
        return;
    }
    if (err < 0 || turn_server_pack(s->core[to].server, &tuple, sim->now_ms, &again) < 0 ||
        again.len > w.len || turn_server_forget(s->core[from].server, &tuple) < 0) {
        sim_fail(sim, "unpack: %d", err);
        return;
    }
    if (!s->late_ticks && (again.len != w.len || memcmp(parcel[0], parcel[1], w.len) != 0)) {
        sim_fail(sim, "packed once more a session differs");
    }
    set_relays(a, ports, relays, sim);
    for (int i = 0; i < 2; i++) { /* nothing was left: so it is at the other end, too */
        if (a->relay[i].open && a->relay[i].expires_ms < sim->now_ms) {
            a->relay[i].expires_ms = sim->now_ms;
        }
    }
    a->core = to;
    a->session = 0;
    if (flow == NULL) {
        flow = &s->flow[s->flow_count++];
        *flow = (struct sim_flow){a->client, a->server, to};
    }
    flow->core = to;
    sim->seen.moved++;
}

void site_close_session(struct sim *sim, struct model_alloc *a)
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
