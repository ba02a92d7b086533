/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/paths.h"

#include <string.h>

#include "check.h"

enum { DSCP = 0xfc, ECN = 0x03 };

/* --- what the core asks of the path below ------------------------------------------------------
 */

static bool is_own(const struct world *w, const struct net_addr *addr)
{
    return net_ip_equal(&addr->ip, &w->server_addr[0].ip) ||
           net_ip_equal(&addr->ip, &w->server_addr[1].ip);
}

static uint32_t on_flow_open(void *arg, const struct turn_flow *flow)
{
    struct paths *p = arg;
    uint32_t i = 0;

    while (p->flows[i].open) {
        i++;
        assert_true(i < PATHS_CHANNELS);
    }
    const struct flow_spec spec = {
        .client = flow->client,
        .server = flow->server,
        .relay = flow->relay,
        .peer = flow->peer,
        .number = flow->number,
        .to_relay = is_own(&p->world, &flow->peer),
        .limit = flow->limit,
        .to_peer_until_ms = flow->to_peer_until_ms,
        .to_client_until_ms = flow->to_client_until_ms,
    };
    p->flows[i] = (struct paths_flow){.open = true, .is = *flow};
    p->high = i >= p->high ? i + 1 : p->high;
    assert_int_equal(flow_open(p->kernel->flows, &spec, &p->flows[i].handle), 0);
    p->opened++;
    return i + 1;
}

static struct paths_flow *flow_at(struct paths *p, uint32_t handle)
{
    assert_true(handle > 0 && handle <= PATHS_CHANNELS && p->flows[handle - 1].open);
    return &p->flows[handle - 1];
}

static void on_flow_renew(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                          uint64_t to_client_until_ms)
{
    struct paths *p = arg;
    struct paths_flow *flow = flow_at(p, handle);

    flow_renew(p->kernel->flows, flow->handle, to_peer_until_ms, to_client_until_ms);
    flow->is.to_peer_until_ms = to_peer_until_ms;
    flow->is.to_client_until_ms = to_client_until_ms;
    flow->halted = false;
    p->renewed++;
}

/* The kernel has counted what the test has seen; `out`: what the core does not know yet. */
static void tell(struct paths_flow *flow, const struct flow_traffic *now, struct turn_traffic *out)
{
    assert_memory_equal(now, &flow->made, sizeof(*now));
    *out = (struct turn_traffic){
        .to_peer_packets = now->packets[OFFLOAD_TO_PEER] - flow->told.packets[OFFLOAD_TO_PEER],
        .to_peer_bytes = now->bytes[OFFLOAD_TO_PEER] - flow->told.bytes[OFFLOAD_TO_PEER],
        .to_client_packets =
            now->packets[OFFLOAD_TO_CLIENT] - flow->told.packets[OFFLOAD_TO_CLIENT],
        .to_client_bytes = now->bytes[OFFLOAD_TO_CLIENT] - flow->told.bytes[OFFLOAD_TO_CLIENT],
    };
    flow->told = *now;
}

static void on_flow_usage(void *arg, uint32_t handle, struct turn_traffic *out)
{
    struct paths *p = arg;
    struct paths_flow *flow = flow_at(p, handle);
    struct flow_traffic now;

    flow_usage(p->kernel->flows, flow->handle, &now);
    tell(flow, &now, out);
}

static void on_flow_close(void *arg, uint32_t handle, struct turn_traffic *out)
{
    struct paths *p = arg;
    struct paths_flow *flow = flow_at(p, handle);
    struct flow_traffic now;

    flow_close(p->kernel->flows, flow->handle, &now);
    tell(flow, &now, out);
    flow->open = false;
}

static uint32_t on_limit_open(void *arg, const struct bucket from[2], struct bucket **out)
{
    struct paths *p = arg;
    uint32_t i = 0;

    while (p->limits[i].number != 0) {
        i++;
        assert_true(i < PATHS_CHANNELS);
    }
    p->limits[i].number = flow_limit_open(p->kernel->flows, from, out);
    assert_true(p->limits[i].number != 0);
    p->limits[i].buckets = *out;
    return p->limits[i].number;
}

static void on_limit_close(void *arg, uint32_t handle)
{
    struct paths *p = arg;
    uint32_t i = 0;

    while (p->limits[i].number != handle) {
        i++;
        assert_true(i < PATHS_CHANNELS);
    }
    p->limits[i].number = 0;
    flow_limit_close(p->kernel->flows, handle);
}

static void edit_effects(struct turn_effects *effects)
{
    effects->flow_open = on_flow_open;
    effects->flow_renew = on_flow_renew;
    effects->flow_usage = on_flow_usage;
    effects->flow_close = on_flow_close;
    effects->limit_open = on_limit_open;
    effects->limit_close = on_limit_close;
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* Short lives, so that a history has many ends in it. */
static void configure(struct turn_config *config, const struct paths_options *options)
{
    config->require_auth = options->auth;
    config->mobility = options->auth;
    config->copy_dscp = options->copy_dscp;
    config->copy_ecn = options->copy_ecn;
    config->channels_5766 = options->wide;
    config->main.max_bps = options->max_bps;
    config->default_lifetime_s = 20;
    config->max_lifetime_s = 60;
    config->permission_s = 15;
    config->channel_s = 25;
}

/* What the programs know of the configuration. */
static void tell_programs(const struct paths *p)
{
    const struct turn_config *config = &p->world.config;
    struct offload_control *control = p->kernel->control;

    control->forward = 1;
    control->max_bps = config->main.max_bps;
    control->tos_mask = (config->copy_dscp ? DSCP : 0U) | (config->copy_ecn ? ECN : 0U);
}

void paths_start(struct paths *p, struct kernel *kernel, const struct paths_options *options)
{
    struct offload_control *control = kernel->control;

    memset(p, 0, sizeof(*p));
    p->kernel = kernel;
    world_init(&p->world, options->seed);
    configure(&p->world.config, options);
    p->world.edit_effects = edit_effects;
    assert_int_equal(world_start(&p->world), 0);
    (void)world_add_user(&p->world, "user", "password");
    /* The clocks of the programs and of their table never go back. */
    const uint64_t before_ms = control->virtual_ns / PATHS_NS_PER_MS + 1;
    if (p->world.now_ms < before_ms) {
        paths_advance(p, before_ms - p->world.now_ms, false);
    }
    tell_programs(p);
    paths_advance(p, 0, false);
}

void paths_stop(struct paths *p)
{
    world_stop(&p->world);
    for (uint32_t i = 0; i < PATHS_CHANNELS; i++) {
        assert_false(p->flows[i].open);
        assert_int_equal(p->limits[i].number, 0);
    }
    assert_int_equal(flow_count(p->kernel->flows), 0);
}

void paths_advance(struct paths *p, uint64_t ms, bool late)
{
    /* The kernel's clock first: closing a channel must find its own time. */
    kernel_set_now(p->kernel, (p->world.now_ms + ms) * PATHS_NS_PER_MS);
    if (late) {
        p->world.now_ms += ms;
    } else {
        world_advance(&p->world, ms);
    }
}

void paths_halt(struct paths *p)
{
    flow_halt(p->kernel->flows);
    for (uint32_t i = 0; i < PATHS_CHANNELS; i++) {
        p->flows[i].halted = true;
    }
}

void paths_reconfigure(struct paths *p, const char *const *allow)
{
    paths_halt(p);
    tell_programs(p);
    assert_int_equal(world_reconfigure(&p->world, allow, NULL), 0);
}

struct paths_flow *paths_of_client(struct paths *p, const struct net_addr *client,
                                   const struct net_addr *server, uint16_t number)
{
    for (uint32_t i = 0; i < p->high; i++) {
        struct paths_flow *flow = &p->flows[i];
        if (flow->open && flow->is.number == number && net_addr_equal(&flow->is.client, client) &&
            net_addr_equal(&flow->is.server, server)) {
            return flow;
        }
    }
    return NULL;
}

struct paths_flow *paths_of_peer(struct paths *p, const struct net_addr *peer,
                                 const struct net_addr *relay)
{
    for (uint32_t i = 0; i < p->high; i++) {
        struct paths_flow *flow = &p->flows[i];
        if (flow->open && net_addr_equal(&flow->is.peer, peer) &&
            net_addr_equal(&flow->is.relay, relay)) {
            return flow;
        }
    }
    return NULL;
}

/* --- user space ---------------------------------------------------------------------------------
 */

static const struct world_socket *socket_at(const struct paths *p, const struct net_addr *addr)
{
    for (uint32_t i = 0; i < WORLD_MAX_SOCKETS; i++) {
        const struct world_socket *socket = &p->world.sockets[i];
        if (socket->open && socket->relay != NULL && net_addr_equal(&socket->bound, addr)) {
            return socket;
        }
    }
    return NULL;
}

bool paths_is_relay(const struct paths *p, const struct net_addr *addr)
{
    return is_own(&p->world, addr) && socket_at(p, addr) != NULL;
}

bool paths_is_martian(const struct paths *p, const struct net_addr *src)
{
    return is_own(&p->world, src);
}

enum turn_verdict paths_ask(struct paths *p, const struct frame *f)
{
    struct world *w = &p->world;
    struct pkt *pkt = &w->pkt;
    const bool listener = net_addr_equal(&f->dst, &w->server_addr[f->dst.family == NET_V4 ? 0 : 1]);
    const struct world_socket *socket = listener ? NULL : socket_at(p, &f->dst);

    *pkt = (struct pkt){
        .data = w->buf + PKT_HEADROOM,
        .len = (uint32_t)f->n,
        .cap = WORLD_PKT_CAP,
        .buf = w->buf,
        .remote = f->src,
        .local = f->dst,
        .port = w->server_addr,
        .tos = f->tos,
        .transport = NET_UDP,
    };
    if (f->n > 0) {
        memmove(pkt->data, f->data, f->n);
    }
    if (listener) {
        return turn_server_client_packet(w->server, pkt, w->now_ms);
    }
    return socket == NULL ? TURN_DROP
                          : turn_server_peer_packet(w->server, socket->relay, pkt, w->now_ms);
}

/* --- bandwidth ----------------------------------------------------------------------------------
 */

void paths_save(const struct paths *p, struct paths_buckets *out)
{
    for (uint32_t i = 0; i < PATHS_CHANNELS; i++) {
        if (p->limits[i].number != 0) {
            memcpy(out->of[i], p->limits[i].buckets, sizeof(out->of[i]));
        }
    }
}

void paths_restore(struct paths *p, const struct paths_buckets *in)
{
    for (uint32_t i = 0; i < PATHS_CHANNELS; i++) {
        if (p->limits[i].number != 0) {
            memcpy(p->limits[i].buckets, in->of[i], sizeof(in->of[i]));
        }
    }
}

bool paths_same(const struct paths *p, const struct paths_buckets *as)
{
    for (uint32_t i = 0; i < PATHS_CHANNELS; i++) {
        if (p->limits[i].number != 0 &&
            memcmp(p->limits[i].buckets, as->of[i], sizeof(as->of[i])) != 0) {
            return false;
        }
    }
    return true;
}
