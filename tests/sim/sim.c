/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop, and what happens by itself: peers, administrators, databases, time. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "conns.h"

enum { START_MS = 1000000, LONGEST_LIFE_MS = 3700 * 1000, ACTOR_STRIDE = 5 };

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->failed) {
        return;
    }
    sim->failed = true;
    va_start(args, format);
    (void)vsnprintf(sim->why, sizeof(sim->why), format, args);
    va_end(args);
    trace_say(&sim->trace, sim->now_ms, "*** %s", sim->why);
}

/* --- time ---------------------------------------------------------------------------------------
 */

static void set_now(struct sim *sim, uint64_t now_ms)
{
    sim->now_ms = now_ms;
    effects_sweep(sim);
}

static uint64_t next_deadline(const struct sim *sim)
{
    uint64_t next = UINT64_MAX;

    for (uint8_t i = 0; i < SIM_CORES; i++) {
        const uint64_t at = turn_server_next_deadline(sim->site.core[i].server);
        next = at < next ? at : next;
    }
    return next;
}

static void tick_all(struct sim *sim)
{
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        while (turn_server_tick(sim->site.core[i].server, sim->now_ms, 2) == 2) {
        }
    }
}

void sim_advance(struct sim *sim, uint64_t until_ms)
{
    while (!sim->site.late_ticks && !sim->failed) {
        const uint64_t next = next_deadline(sim);
        if (next > until_ms) {
            break;
        }
        set_now(sim, next > sim->now_ms ? next : sim->now_ms);
        tick_all(sim);
    }
    set_now(sim, until_ms);
    if (!sim->site.late_ticks || prng_chance(&sim->random, 50)) {
        tick_all(sim);
    }
}

/* --- what happens by itself ---------------------------------------------------------------------
 */

/* A datagram to a relay: from a peer, wanted or not. */
static void peer_sends(struct sim *sim)
{
    struct prng *r = &sim->random;
    const uint32_t at = prng_below(r, MODEL_ALLOCS);
    struct net_packet *packet = net_take(&sim->net);

    for (uint32_t i = 0; packet != NULL && i < MODEL_ALLOCS; i++) {
        const struct model_alloc *a = &sim->model.alloc[(at + i) % MODEL_ALLOCS];
        const struct model_relay *relay = &a->relay[prng_below(r, 2)];
        if (!a->used || !relay->open || a->protocol != NET_UDP) {
            continue;
        }
        const struct model_perm *perm = &a->perm[prng_below(r, 4)];
        const struct model_chan *chan = &a->chan[prng_below(r, 2)];
        const uint8_t row = perm->expires_ms != 0 && prng_chance(r, 700)
                                ? perm->row
                                : (uint8_t)prng_below(r, peers_count());
        packet->from = chan->expires_ms != 0 && prng_chance(r, 400)
                           ? chan->peer
                           : peers_addr(row, (uint16_t)(prng_chance(r, 500) ? 9 : 1000));
        packet->to = relay->bound;
        packet->tos = (uint8_t)prng_below(r, 256);
        packet->len = (uint16_t)prng_below(r, 300);
        actor_payload((uint32_t)prng_next(r), packet->data, packet->len);
        if (packet->from.family != packet->to.family) {
            break; /* the network has no such packet */
        }
        (void)net_send(&sim->net, packet, sim->now_ms);
        return;
    }
    if (packet != NULL) {
        net_put(&sim->net, packet);
    }
}

static void icmp_arrives(struct sim *sim)
{
    struct prng *r = &sim->random;
    const struct sim_socket *socket = &sim->site.socket[prng_below(r, 8)];
    struct net_packet *packet =
        socket->open && socket->protocol == NET_UDP ? net_take(&sim->net) : NULL;

    if (packet == NULL) {
        return;
    }
    const uint8_t row = (uint8_t)prng_below(r, peers_friendly());
    struct net_addr about = peers_addr(row, prng_chance(r, 800) ? 9 : 0);
    if (about.family != socket->bound.family) {
        about = peers_addr(socket->bound.family == NET_V4 ? 2 : 6, 9);
    }
    packet->is_icmp = true;
    packet->to = socket->bound;
    packet->icmp.peer = about;
    packet->icmp.type = (uint8_t)prng_below(r, 14);
    packet->icmp.code = (uint8_t)prng_below(r, 6);
    packet->icmp.mtu = 1280 + prng_below(r, 200);
    net_schedule(&sim->net, sim->now_ms + prng_below(r, 50), NET_ARRIVE, packet);
}

/* The database stops or begins to answer. */
static void database_changes(struct sim *sim)
{
    static const int answers[] = {0, 0, -EAGAIN, -EAGAIN, -EBUSY};
    struct model *m = &sim->model;

    const uint32_t user = prng_below(&sim->random, MODEL_USERS);
    if (m->key_answer == 0 && prng_chance(&sim->random, 300)) {
        const bool removed = !m->user_removed[user];
        memset(m->user_removed, 0, sizeof(m->user_removed)); /* one at a time */
        m->user_removed[user] = removed;
    } else {
        m->key_answer =
            m->key_answer != 0 ? 0 : answers[prng_below(&sim->random, ARRAY_SIZE(answers))];
    }
    trace_say(&sim->trace, sim->now_ms, "database: answers %d", m->key_answer);
    for (; m->key_answer != -EAGAIN && sim->site.waiting_count > 0; sim->site.waiting_count--) {
        net_schedule(&sim->net, sim->now_ms, NET_RETRY,
                     sim->site.waiting[sim->site.waiting_count - 1]);
    }
}

static struct model_alloc *some_session(struct sim *sim)
{
    const uint32_t at = prng_below(&sim->random, MODEL_ALLOCS);

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        struct model_alloc *a = &sim->model.alloc[(at + i) % MODEL_ALLOCS];
        if (a->used) {
            return a;
        }
    }
    return NULL;
}

static void something_happens(struct sim *sim)
{
    const uint32_t what = prng_below(&sim->random, 1000);
    struct model_alloc *session = some_session(sim);

    if (what < 700) {
        actor_act(sim, &sim->actor[prng_below(&sim->random, sim->actor_count)]);
    } else if (what < 760) {
        conns_accept(sim);
    } else if (what < 785) {
        conns_end(sim);
    } else if (what < 860) {
        peer_sends(sim);
    } else if (what < 880) {
        icmp_arrives(sim);
    } else if (what < 920) {
        database_changes(sim);
    } else if (what < 945) {
        admin_reconfigure(sim);
    } else if (what < 960) {
        sim->site.capacity_left[0] += 3000;
        sim->site.capacity_left[1] += 3000;
    } else if (session != NULL && what < 990) {
        admin_move_session(sim, session, (uint8_t)prng_below(&sim->random, SIM_CORES));
    } else if (session != NULL) {
        admin_close_session(sim, session);
    }
}

/* How long until the next thing happens: mostly at once, now and then right at a deadline. */
static uint64_t next_step_at(struct sim *sim)
{
    static const struct {
        uint32_t chance;
        uint32_t within_ms;
    } waits[2][3] = {
        {{650, 100}, {200, 3000}, {100, 60000}}, /* few steps: a whole life in them */
        {{850, 100}, {120, 3000}, {22, 30000}},  /* many */
    };
    struct prng *r = &sim->random;
    uint32_t what = prng_below(r, 1000);

    for (size_t i = 0; i < 3; i++) {
        const uint32_t chance = waits[sim->options.dense][i].chance;
        if (what < chance) {
            return sim->now_ms + prng_below(r, waits[sim->options.dense][i].within_ms);
        }
        what -= chance;
    }
    const uint64_t deadline = model_deadline(&sim->model, prng_below(r, 12), sim->now_ms);
    if (deadline == 0) {
        return sim->now_ms + prng_below(r, 600 * 1000);
    }
    if (prng_chance(r, 500)) {
        return deadline - 1 + prng_below(r, 3);
    }
    const uint64_t before = deadline - prng_below(r, 200); /* and the next steps are around it */
    return before > sim->now_ms ? before : sim->now_ms;
}

static void step(struct sim *sim)
{
    something_happens(sim);
    if (sim->model.key_answer != 0 && prng_chance(&sim->random, 150)) {
        database_changes(sim);
    }
    if (--sim->steps_left > 0) {
        net_schedule(&sim->net, next_step_at(sim), NET_STEP, NULL);
    } else {
        sim->closing_down = true;
    }
}

/* --- arrivals -----------------------------------------------------------------------------------
 */

/* A packet has reached a peer: it may answer, or nobody may be there. */
static void peer_receives(struct sim *sim, struct net_packet *packet)
{
    struct prng *r = &sim->random;
    const struct net_addr from = packet->to;

    packet->to = packet->from;
    if (prng_chance(r, 500)) {
        packet->from = from;
        packet->df = false;
        packet->tos = (uint8_t)(packet->tos ^ 3);
        (void)net_send(&sim->net, packet, sim->now_ms);
        return;
    }
    if (prng_chance(r, 300)) {
        packet->is_icmp = true;
        packet->icmp = (struct turn_icmp){from, from.family == NET_V4 ? 3 : 1, 3, 0};
        net_schedule(&sim->net, sim->now_ms + 1, NET_ARRIVE, packet);
        return;
    }
    net_put(&sim->net, packet);
}

static void arrive(struct sim *sim, struct net_packet *packet)
{
    struct sim_socket *socket = effects_socket_at(sim, &packet->to);

    if (socket != NULL) {
        if (socket->relay == NULL || socket->protocol != NET_UDP) {
            net_put(&sim->net, packet); /* a reserved port: nobody reads it yet; or another's */
        } else if (packet->is_icmp) {
            referee_icmp(sim, socket, packet);
        } else {
            referee_peer_packet(sim, socket, packet);
        }
        return;
    }
    if (packet->to.port == PEER_LISTENER_PORT &&
        site_core_for(sim, &packet->from, &packet->to) < SIM_CORES) {
        referee_client_packet(sim, packet);
        return;
    }
    for (uint32_t i = 0; i < sim->actor_count; i++) {
        if (net_addr_equal(&sim->actor[i].addr, &packet->to)) {
            actor_receive(sim, &sim->actor[i], packet);
            net_put(&sim->net, packet);
            return;
        }
    }
    if (!packet->is_icmp && peers_row_of(&packet->to) < peers_friendly()) {
        peer_receives(sim, packet);
        return;
    }
    net_put(&sim->net, packet);
}

static void dispatch(struct sim *sim, const struct net_event *event)
{
    switch (event->kind) {
    case NET_STEP:
        step(sim);
        break;
    case NET_ARRIVE:
        arrive(sim, event->packet);
        break;
    case NET_RETRY:
        referee_client_packet(sim, event->packet);
        break;
    case NET_CONNECT:
        conns_connected(sim, event->packet);
        break;
    }
}

/* --- a scenario ---------------------------------------------------------------------------------
 */

static void run(struct sim *sim)
{
    uint32_t since_audit = 0;

    while (!sim->failed && net_next_at(&sim->net) != UINT64_MAX) {
        const struct net_event event = net_next(&sim->net);
        sim_advance(sim, event.at_ms > sim->now_ms ? event.at_ms : sim->now_ms);
        dispatch(sim, &event);
        below_audit(sim);
        below_act(sim);
        if (++since_audit == 8) {
            since_audit = 0;
            audit_all(sim);
        }
    }
}

/* Everything ends by itself: nobody refreshes, and time goes on. */
static void settle(struct sim *sim)
{
    tick_all(sim);
    sim->site.late_ticks = false;
    audit_all(sim);
    sim_advance(sim, sim->now_ms + LONGEST_LIFE_MS);
    audit_empty(sim);
    for (; sim->site.waiting_count > 0; sim->site.waiting_count--) {
        net_put(&sim->net, sim->site.waiting[sim->site.waiting_count - 1]);
    }
    if (!sim->failed && sim->net.free_count != NET_PACKETS) {
        sim_fail(sim, "the simulation has lost a packet"); /* its own mistake */
    }
}

static struct net_link some_link(struct prng *r)
{
    struct net_link link = {.mtu = prng_chance(r, 700) ? 1500 : 1280};

    if (prng_chance(r, 500)) {
        link.loss = prng_below(r, 150);
    }
    if (prng_chance(r, 500)) {
        link.duplicate = prng_below(r, 100);
    }
    link.delay_ms = prng_below(r, prng_chance(r, 700) ? 10 : 50);
    link.jitter_ms = 1 + prng_below(r, prng_chance(r, 800) ? 10 : 500);
    return link;
}

int sim_play(struct sim *sim, const struct sim_options *options)
{
    sim->options = *options;
    sim->random.state = options->seed;
    trace_init(&sim->trace, options->words);
    sim->failed = false;
    sim->packets = 0;
    sim->last_token = 0;
    sim->now_ms = sim->start_ms = START_MS + prng_below(&sim->random, 100000);
    sim->steps_left = options->steps;
    sim->closing_down = false;
    const struct net_link link = some_link(&sim->random);
    net_init(&sim->net, &sim->random, &link);
    const int err = site_open(sim);
    if (err < 0) {
        site_close(sim);
        return err;
    }
    client_init(&sim->reader, NULL, "192.0.2.99:1", "", "");
    sim->actor_count = options->actors;
    const uint32_t first = prng_below(&sim->random, SIM_ACTORS);
    for (uint32_t i = 0; i < sim->actor_count; i++) { /* any of them, each once */
        actor_init(sim, &sim->actor[i], (uint8_t)((first + i * ACTOR_STRIDE) % SIM_ACTORS));
    }
    net_schedule(&sim->net, sim->now_ms, NET_STEP, NULL);
    run(sim);
    if (!sim->failed) {
        settle(sim);
    }
    site_close(sim);
    return sim->failed ? -EPROTO : 0;
}
