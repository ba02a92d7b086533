/* SPDX-License-Identifier: Apache-2.0 */
#include "below.h"

#include <stdlib.h>
#include <string.h>

#include "referee.h"

static struct below *below_of(struct sim *sim)
{
    return &sim->site.below;
}

void below_init(struct below *b, uint64_t seed)
{
    *b = (struct below){.random = {seed ^ UINT64_C(0xbe10bef0)}};
    b->no_limits = prng_chance(&b->random, 100);
}

static struct below_flow *flow_of(const struct sim_core *core, uint32_t handle)
{
    struct below_flow *f = &core->sim->site.below.flow[handle - 1];

    if (handle == 0 || handle > BELOW_FLOWS || !f->open || f->core != core->index) {
        sim_fail(core->sim, "core %u has no channel %u below", core->index, handle);
        abort();
    }
    return f;
}

/* --- what the cores say -------------------------------------------------------------------------
 */

static bool is_twin(const struct turn_flow *a, const struct turn_flow *b)
{
    const bool clients = a->number == b->number && net_addr_equal(&a->client, &b->client) &&
                         net_addr_equal(&a->server, &b->server);

    return clients || (net_addr_equal(&a->peer, &b->peer) && net_addr_equal(&a->relay, &b->relay));
}

/* Room for it, not used or with the same one that was refused before; NULL when it is there. */
static struct below_flow *place_of(struct below *b, const struct turn_flow *flow)
{
    struct below_flow *room = NULL;

    for (uint32_t i = 0; i < b->top; i++) {
        struct below_flow *f = &b->flow[i];
        const bool twin = (f->open || f->refused) && is_twin(&f->is, flow);
        if (twin && f->open) {
            return NULL; /* a session that travels is at both ends for a moment */
        }
        f->refused = f->refused && !twin;
        room = room == NULL && !f->open && !f->refused ? f : room;
    }
    if (room == NULL && b->top == BELOW_FLOWS) {
        abort(); /* there are more than there can be channels */
    }
    return room != NULL ? room : &b->flow[b->top++];
}

static void check_offer(struct sim *sim, const struct sim_core *core, const struct turn_flow *flow)
{
    const struct below *b = &sim->site.below;
    const struct sim_socket *socket = effects_socket_at(sim, &flow->relay);
    const uint64_t max_bps = sim->model.config->main.max_bps;

    if (socket == NULL || socket->protocol != NET_UDP || flow->session == 0) {
        sim_fail(sim, "channel %04x is handed over without a relay", (unsigned)flow->number);
    }
    if ((max_bps != 0) != (flow->limit != 0) ||
        (flow->limit != 0 &&
         (!b->limit[flow->limit - 1].open || b->limit[flow->limit - 1].core != core->index))) {
        sim_fail(sim, "channel %04x is handed over with limit %u", (unsigned)flow->number,
                 flow->limit);
    }
}

static uint32_t on_open(void *arg, const struct turn_flow *flow)
{
    const struct sim_core *core = arg;
    struct sim *sim = core->sim;
    struct below *b = below_of(sim);
    struct below_flow *f = place_of(b, flow);

    check_offer(sim, core, flow);
    if (f == NULL) {
        f = &b->flow[b->top < BELOW_FLOWS ? b->top++ : BELOW_FLOWS - 1];
        *f = (struct below_flow){.refused = true, .is = *flow};
        return 0;
    }
    *f = (struct below_flow){
        .open = !prng_chance(&b->random, 80),
        .core = core->index,
        .is = *flow,
        .until_ms = {flow->to_peer_until_ms, flow->to_client_until_ms},
    };
    f->refused = !f->open;
    b->open += f->open;
    sim->seen.below_opened += f->open;
    sim->seen.below_refused += f->refused;
    return f->open ? (uint32_t)(f - b->flow) + 1 : 0;
}

static void on_renew(void *arg, uint32_t handle, uint64_t to_peer_until_ms,
                     uint64_t to_client_until_ms)
{
    const struct sim_core *core = arg;
    struct below_flow *f = flow_of(core, handle);

    f->until_ms[TO_PEER] = to_peer_until_ms;
    f->until_ms[TO_CLIENT] = to_client_until_ms;
    f->halted = false;
    core->sim->seen.below_renewed++;
}

static void on_usage(void *arg, uint32_t handle, struct turn_traffic *out)
{
    const struct sim_core *core = arg;
    struct below_flow *f = flow_of(core, handle);
    uint64_t *told = core->sim->site.below.told[core->index];

    *out = f->more;
    told[TO_PEER] += f->more.to_peer_packets;
    told[TO_CLIENT] += f->more.to_client_packets;
    f->more = (struct turn_traffic){0};
}

static void on_close(void *arg, uint32_t handle, struct turn_traffic *out)
{
    const struct sim_core *core = arg;

    on_usage(arg, handle, out);
    flow_of(core, handle)->open = false;
    core->sim->site.below.open--;
}

static uint32_t on_limit_open(void *arg, const struct bucket from[2], struct bucket **out)
{
    const struct sim_core *core = arg;
    struct below *b = below_of(core->sim);

    for (uint32_t i = 0; i < BELOW_LIMITS && !b->no_limits; i++) {
        if (!b->limit[i].open) {
            b->limit[i] = (struct below_limit){true, core->index, {from[0], from[1]}};
            *out = b->limit[i].of;
            return i + 1;
        }
    }
    return 0;
}

static void on_limit_close(void *arg, uint32_t handle)
{
    const struct sim_core *core = arg;
    struct below_limit *limit = &core->sim->site.below.limit[handle - 1];

    if (!limit->open || limit->core != core->index) {
        sim_fail(core->sim, "core %u has no limit %u", core->index, handle);
    }
    *limit = (struct below_limit){.open = false};
}

void below_join(struct turn_effects *effects)
{
    effects->flow_open = on_open;
    effects->flow_renew = on_renew;
    effects->flow_usage = on_usage;
    effects->flow_close = on_close;
    effects->limit_open = on_limit_open;
    effects->limit_close = on_limit_close;
}

/* --- what it does -------------------------------------------------------------------------------
 */

void below_halt(struct sim *sim)
{
    struct below *b = below_of(sim);

    for (uint32_t i = 0; i < b->top; i++) {
        b->flow[i].halted = true;
    }
}

static void relay_one(struct sim *sim, struct below_flow *f)
{
    struct below *b = below_of(sim);
    const int way = (int)prng_below(&b->random, 2);
    const uint32_t bytes = prng_below(&b->random, 300);
    struct model_alloc *a = model_record(&sim->model, &f->is.client, &f->is.server);

    if (!f->open || sim->now_ms >= f->until_ms[way] || a == NULL) {
        return;
    }
    if (f->is.limit != 0 &&
        !bucket_take_shared(&b->limit[f->is.limit - 1].of[way], sim->model.config->main.max_bps,
                            bytes + CHANNEL_HEAD_LEN, sim->now_ms)) {
        a->refused[way] += bytes + CHANNEL_HEAD_LEN;
        sim->seen.below_limited++;
        return;
    }
    if (!model_bandwidth_may(&sim->model, a, way, bytes + CHANNEL_HEAD_LEN, sim->now_ms)) {
        sim_fail(sim, "more than max-bps went the way below");
    }
    *(way == TO_PEER ? &f->more.to_peer_packets : &f->more.to_client_packets) += 1;
    *(way == TO_PEER ? &f->more.to_peer_bytes : &f->more.to_client_bytes) += bytes;
    referee_passed(sim, a, way, bytes + CHANNEL_HEAD_LEN);
    sim->seen.below_relayed++;
}

static uint32_t open_of(const struct below *b, uint8_t core)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->top; i++) {
        n += b->flow[i].open && b->flow[i].core == core;
    }
    return n;
}

void below_act(struct sim *sim)
{
    struct below *b = below_of(sim);

    if (b->top > 0 && prng_chance(&b->random, 400)) {
        relay_one(sim, &b->flow[prng_below(&b->random, b->top)]);
    }
    if (prng_chance(&b->random, 100)) {
        const uint8_t core = (uint8_t)prng_below(&b->random, SIM_CORES);
        const uint32_t budget = prng_below(&b->random, 6);
        const uint32_t open = open_of(b, core);
        const uint32_t asked = turn_server_collect(sim->site.core[core].server, budget);
        if (asked != (open < budget ? open : budget)) {
            sim_fail(sim, "core %u asked about %u channels of %u", core, asked, open);
        }
    }
}

void below_packed(struct sim *sim, const struct model_alloc *a)
{
    struct below *b = below_of(sim);

    for (uint32_t i = 0; i < MODEL_ENTRIES && b->top < BELOW_FLOWS; i++) {
        const struct turn_flow flow = {
            .number = a->chan[i].number,
            .client = a->client,
            .server = a->server,
            .peer = a->chan[i].peer,
        };
        struct below_flow *f = a->chan[i].expires_ms > sim->now_ms ? place_of(b, &flow) : NULL;
        if (f != NULL) {
            *f = (struct below_flow){.refused = true, .is = flow};
        }
    }
}

/* --- what must hold -----------------------------------------------------------------------------
 */

/* Until when that address may be heard from; 0: it may not. */
static uint64_t permitted_ms(const struct model_alloc *a, const struct net_ip *ip, uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        if (a->perm[i].expires_ms > now_ms && net_ip_equal(&a->perm[i].ip, ip)) {
            return a->perm[i].expires_ms;
        }
    }
    return 0;
}

/* Until when user space would relay for that channel; 0: it would not, or it does so alone. */
static void due(const struct sim *sim, const struct model_alloc *a, const struct model_chan *chan,
                uint64_t out_ms[2])
{
    const struct turn_config *config = sim->model.config;
    const struct model_relay *relay = &a->relay[chan->peer.family - NET_V4];
    const uint64_t permit_ms = permitted_ms(a, &chan->peer.ip, sim->now_ms);
    const uint64_t end_ms =
        chan->expires_ms < relay->expires_ms ? chan->expires_ms : relay->expires_ms;

    out_ms[TO_PEER] = 0;
    out_ms[TO_CLIENT] = 0;
    if (a->protocol != NET_UDP || a->transport != NET_UDP || a->moving || config->draining ||
        !config->turn_enabled || !relay->open || end_ms <= sim->now_ms ||
        chan->number > (config->channels_5766 ? 0x7fff : 0x4fff)) {
        return;
    }
    out_ms[TO_PEER] = end_ms;
    out_ms[TO_CLIENT] = permit_ms < end_ms ? permit_ms : end_ms;
}

static void due_flow(struct sim *sim, const struct below_flow *f, uint64_t out_ms[2])
{
    struct model_alloc *a = model_record(&sim->model, &f->is.client, &f->is.server);
    const struct model_chan *chan =
        a != NULL ? model_chan_number(a, f->is.number, sim->now_ms) : NULL;

    out_ms[TO_PEER] = 0;
    out_ms[TO_CLIENT] = 0;
    /* A client that is moving is found at either address. */
    if (chan != NULL && net_addr_equal(&chan->peer, &f->is.peer) && a->core == f->core &&
        net_addr_equal(&a->relay[f->is.peer.family - NET_V4].bound, &f->is.relay)) {
        due(sim, a, chan, out_ms);
    }
}

void below_audit(struct sim *sim)
{
    const struct below *b = below_of(sim);
    uint64_t due_ms[2];

    for (uint32_t i = 0; i < b->top && !sim->failed; i++) {
        const struct below_flow *f = &b->flow[i];
        if (!f->open) {
            continue;
        }
        due_flow(sim, f, due_ms);
        for (int way = 0; way < 2; way++) {
            /* What is over for both may have been over for a while. */
            const bool right = f->until_ms[way] == due_ms[way] ||
                               (f->until_ms[way] <= sim->now_ms && due_ms[way] == 0);
            if (!right || f->halted) {
                sim_fail(sim,
                         "channel %04x of client port %u, way %d: below until %llu, not %llu%s",
                         (unsigned)f->is.number, f->is.client.port, way,
                         (unsigned long long)f->until_ms[way], (unsigned long long)due_ms[way],
                         f->halted ? ", and not judged again" : "");
                break;
            }
        }
    }
}

/* True when it is there, or was refused. */
static bool has_flow(const struct below *b, const struct model_alloc *a,
                     const struct model_chan *chan)
{
    for (uint32_t i = 0; i < b->top; i++) {
        const struct below_flow *f = &b->flow[i];
        if ((f->open || f->refused) && f->is.number == chan->number &&
            net_addr_equal(&f->is.client, &a->client) &&
            net_addr_equal(&f->is.server, &a->server) && net_addr_equal(&f->is.peer, &chan->peer)) {
            return true;
        }
    }
    return false;
}

void below_audit_allocation(struct sim *sim, const struct model_alloc *a)
{
    const struct below *b = below_of(sim);
    uint64_t due_ms[2];

    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        const struct model_chan *chan = &a->chan[i];
        if (chan->expires_ms <= sim->now_ms) {
            continue;
        }
        due(sim, a, chan, due_ms);
        if (due_ms[TO_PEER] != 0 && !has_flow(b, a, chan) &&
            !(b->no_limits && sim->model.config->main.max_bps != 0)) {
            sim_fail(sim, "channel %04x of client port %u was not handed over",
                     (unsigned)chan->number, a->client.port);
        }
    }
}

void below_audit_empty(struct sim *sim)
{
    const struct below *b = below_of(sim);
    uint64_t counted[2] = {0, 0};

    for (uint32_t i = 0; i < BELOW_LIMITS; i++) {
        if (b->limit[i].open) {
            sim_fail(sim, "limit %u is left", i + 1);
        }
    }
    if (b->open > 0) {
        sim_fail(sim, "%u channels are left below", b->open);
    }
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        const struct turn_counters *c = turn_server_counters(sim->site.core[i].server);
        counted[TO_PEER] += c->to_peer_packets;
        counted[TO_CLIENT] += c->to_client_packets;
    }
    for (int way = 0; way < 2; way++) {
        if (counted[way] != sim->model.passed[way]) {
            sim_fail(sim, "way %d: the cores count %llu packets of %llu", way,
                     (unsigned long long)counted[way], (unsigned long long)sim->model.passed[way]);
        }
    }
}
