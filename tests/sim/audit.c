/* SPDX-License-Identifier: Apache-2.0 */
/* Looks into the cores: every deadline to the millisecond, every table against every other. */
#include <string.h>

#include "conns.h"
#include "turn/turn_int.h"

static struct turn_tables *tables_of(struct sim *sim, uint8_t core)
{
    return &sim->site.core[core].server->tables;
}

static void audit_relays(struct sim *sim, const struct model_alloc *a, struct turn_alloc *alloc)
{
    for (int i = 0; i < 2; i++) {
        const struct turn_relay *relay = &alloc->relay[i];
        const struct sim_socket *socket = relay->port;
        if ((relay->port != NULL) != a->relay[i].open) {
            sim_fail(sim, "relay %d is %sopen", i, relay->port != NULL ? "" : "not ");
        } else if (relay->port != NULL &&
                   (relay->expires_ms != a->relay[i].expires_ms || !socket->open ||
                    socket->relay != relay || socket->core != a->core || relay->alloc != alloc ||
                    socket->protocol != a->protocol ||
                    !net_addr_equal(&relay->bound, &a->relay[i].bound))) {
            sim_fail(sim, "relay %d ends at %llu ms, not at %llu ms", i,
                     (unsigned long long)relay->expires_ms,
                     (unsigned long long)a->relay[i].expires_ms);
        }
        if (relay->port != NULL && alloc->timer.deadline_ms > relay->expires_ms) {
            sim_fail(sim, "no timer for the end of relay %d", i);
        }
    }
}

static uint32_t live_perms(struct sim *sim, const struct model_alloc *a, struct turn_alloc *alloc)
{
    uint32_t live = 0;
    uint32_t all = 0;

    LIST_EACH (node, &alloc->perms) {
        const struct turn_perm *perm = CONTAINER_OF(node, struct turn_perm, node);
        all++;
        if (perm->expires_ms <= sim->now_ms) {
            continue;
        }
        live++;
        bool found = false;
        for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
            found = found || (a->perm[i].expires_ms == perm->expires_ms &&
                              net_ip_equal(&a->perm[i].ip, &perm->key.ip));
        }
        if (!found || alloc->timer.deadline_ms > perm->expires_ms) {
            sim_fail(sim, "a permission that ends at %llu ms is not right",
                     (unsigned long long)perm->expires_ms);
        }
    }
    if (all != alloc->perm_count) {
        sim_fail(sim, "perm_count is %u of %u", alloc->perm_count, all);
    }
    return live;
}

static uint32_t live_chans(struct sim *sim, const struct model_alloc *a, struct turn_alloc *alloc)
{
    uint32_t live = 0;
    uint32_t all = 0;

    LIST_EACH (node, &alloc->chans) {
        const struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        all++;
        if (chan->expires_ms <= sim->now_ms) {
            continue;
        }
        live++;
        bool found = false;
        for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
            found = found || (a->chan[i].expires_ms == chan->expires_ms &&
                              a->chan[i].number == chan->number.number &&
                              net_addr_equal(&a->chan[i].peer, &chan->peer.addr));
        }
        if (!found || alloc->timer.deadline_ms > chan->expires_ms) {
            sim_fail(sim, "channel %04x that ends at %llu ms is not right",
                     (unsigned)chan->number.number, (unsigned long long)chan->expires_ms);
        }
    }
    if (all != alloc->chan_count) {
        sim_fail(sim, "chan_count is %u of %u", alloc->chan_count, all);
    }
    return live;
}

static void audit_mobile(struct sim *sim, const struct model_alloc *a,
                         const struct turn_alloc *alloc)
{
    const struct turn_mobile *mobile = alloc->mobile;
    const struct five_tuple coming = {a->coming_client, a->coming_server, a->transport};

    if ((mobile != NULL) != a->mobile) {
        sim_fail(sim, "the allocation is %smobile", a->mobile ? "not " : "");
    } else if (mobile != NULL && (mobile->serial != a->ticket.serial || mobile->alloc != alloc ||
                                  mobile->moving != a->moving)) {
        sim_fail(sim, "ticket %u, moving %d", mobile->serial, mobile->moving);
    } else if (a->moving && (memcmp(&mobile->coming, &coming, sizeof(coming)) != 0 ||
                             turn_alloc_find(tables_of(sim, a->core), &coming) != alloc ||
                             mobile->listener != site_listener(sim, &a->coming_server))) {
        sim_fail(sim, "it is coming from another place");
    }
}

void audit_allocation(struct sim *sim, const struct model_alloc *a)
{
    const struct five_tuple tuple = model_tuple(a);

    if (!a->used || sim->failed) {
        return;
    }
    struct turn_alloc *alloc = turn_alloc_find(tables_of(sim, a->core), &tuple);
    if (alloc == NULL) {
        sim_fail(sim, "the allocation of client port %u is gone", a->client.port);
        return;
    }
    audit_relays(sim, a, alloc);
    if (live_perms(sim, a, alloc) != model_perm_count(a, sim->now_ms) ||
        live_chans(sim, a, alloc) != model_chan_count(a, sim->now_ms)) {
        sim_fail(sim, "permissions or channels are missing");
    }
    conns_audit(sim, a);
    below_audit_allocation(sim, a);
    audit_mobile(sim, a, alloc);
    if (alloc->perm_count > MODEL_ENTRIES || alloc->chan_count > MODEL_ENTRIES) {
        sim_fail(sim, "%u permissions, %u channels", alloc->perm_count, alloc->chan_count);
    }
}

static void audit_core(struct sim *sim, uint8_t core)
{
    const struct turn_tables *t = tables_of(sim, core);
    uint32_t allocs = 0;
    uint32_t perms = 0;
    uint32_t chans = 0;
    uint32_t tombs = 0;
    uint32_t mobile = 0;
    uint32_t moving = 0;

    LIST_EACH (node, &t->allocs) {
        const struct turn_alloc *alloc = CONTAINER_OF(node, struct turn_alloc, node);
        mobile += alloc->mobile != NULL;
        moving += alloc->mobile != NULL && alloc->mobile->moving;
        allocs++;
        perms += alloc->perm_count;
        chans += alloc->chan_count;
    }
    LIST_EACH (node, &t->tombs) {
        tombs++;
    }
    if (allocs != model_count_core(&sim->model, core, 0) || allocs != t->by_tuple.count ||
        allocs != slab_count(t->alloc_slab) || allocs != t->by_session.count ||
        mobile != slab_count(t->mobile_slab) || moving != t->coming.count ||
        allocs != slab_count(t->name_slab) + slab_count(t->long_name_slab) ||
        allocs != turn_server_allocation_count(sim->site.core[core].server)) {
        sim_fail(sim, "core %u holds %u allocations instead of %u", core, allocs,
                 model_count_core(&sim->model, core, 0));
    }
    if (perms != t->perms.count || perms != slab_count(t->perm_slab) ||
        chans != t->by_number.count || chans != t->by_peer.count ||
        chans != slab_count(t->chan_slab) || tombs != t->by_tid.count ||
        tombs != slab_count(t->tomb_slab)) {
        sim_fail(sim, "core %u: tables of %u permissions, %u channels, %u tombstones differ", core,
                 perms, chans, tombs);
    }
}

/* Each connection is told of when it is made, and when it ends. */
static void audit_events(struct sim *sim)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        n += sim->model.conn[i].used && !sim->model.conn[i].connecting;
    }
    if (n != sim->site.connected) {
        sim_fail(sim, "%u connections, but events say %u", n, sim->site.connected);
    }
    if (sim->site.moves != sim->model.moves || sim->site.lefts != sim->model.lefts) {
        sim_fail(sim, "%u moves and %u places left, but events say %u and %u", sim->model.moves,
                 sim->model.lefts, sim->site.moves, sim->site.lefts);
    }
}

static void audit_quota(struct sim *sim)
{
    const struct site *s = &sim->site;

    if (quota_total(s->quota) != model_count_all(&sim->model, 0)) {
        sim_fail(sim, "quotas count %u allocations of %u", quota_total(s->quota),
                 model_count_all(&sim->model, 0));
    }
    for (uint8_t user = 0; user < 3; user++) {
        const char *name = user == 2 ? "carol" : users_name(user);
        if (quota_of(s->quota, bytes_of(name)) != model_count_user(&sim->model, user, 0)) {
            sim_fail(sim, "quota of %s is %u", name, quota_of(s->quota, bytes_of(name)));
        }
    }
}

static void audit_sockets(struct sim *sim)
{
    const struct site *s = &sim->site;
    uint32_t relays = 0;

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        const struct model_alloc *a = &sim->model.alloc[i];
        relays += a->used ? (uint32_t)a->relay[0].open + a->relay[1].open : 0;
        /* Late timers are the one reason for which something may be there after its time. */
        if (a->used && !s->late_ticks && !model_alive(a, sim->now_ms)) {
            sim_fail(sim, "the allocation of client port %u has outlived its time", a->client.port);
        }
    }
    const uint32_t reserved = model_reservation_count(&sim->model, sim->now_ms);
    const uint32_t used = port_pool_used(s->pool, NET_V4) + port_pool_used(s->pool, NET_V6);
    if (s->open_sockets != relays + reserved || used != s->open_sockets) {
        sim_fail(sim, "%u sockets and %u ports for %u relays and %u reservations", s->open_sockets,
                 used, relays, reserved);
    }
}

void audit_all(struct sim *sim)
{
    if (sim->failed) {
        return;
    }
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        audit_core(sim, i);
        conns_audit_core(sim, i);
    }
    audit_events(sim);
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        audit_allocation(sim, &sim->model.alloc[i]);
    }
    audit_quota(sim);
    audit_sockets(sim);
}

void audit_empty(struct sim *sim)
{
    if (sim->failed) {
        return;
    }
    audit_all(sim);
    for (uint8_t i = 0; i < SIM_CORES; i++) {
        const struct turn_server *server = sim->site.core[i].server;
        if (turn_server_allocation_count(server) != 0 ||
            turn_server_next_deadline(server) != UINT64_MAX) {
            sim_fail(sim, "core %u: %u allocations left, next deadline %llu", i,
                     turn_server_allocation_count(server),
                     (unsigned long long)turn_server_next_deadline(server));
        }
    }
    below_audit_empty(sim);
    if (sim->site.open_sockets != 0 || quota_total(sim->site.quota) != 0) {
        sim_fail(sim, "%u sockets and %u of the quota left", sim->site.open_sockets,
                 quota_total(sim->site.quota));
    }
}
