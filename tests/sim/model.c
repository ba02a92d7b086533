/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <string.h>

#include "peers.h"

enum { REMEMBERED_MS = 40 * 1000, TOKEN = 1000 };

bool expect_has(const struct expect *e, int code)
{
    for (uint32_t i = 0; i < e->code_count; i++) {
        if (e->code[i] == code) {
            return true;
        }
    }
    return false;
}

/* Users 2 and 3 are "1700000000:carol" and "1700000001:carol". */
uint8_t model_quota_user(uint8_t user)
{
    return user == 3 ? 2 : user;
}

/* --- allocations --------------------------------------------------------------------------------
 */

bool model_relay_alive(const struct model_alloc *a, uint8_t family, uint64_t now_ms)
{
    if (family != NET_V4 && family != NET_V6) {
        return false;
    }
    const struct model_relay *relay = &a->relay[family - NET_V4];
    return relay->open && now_ms < relay->expires_ms;
}

bool model_alive(const struct model_alloc *a, uint64_t now_ms)
{
    return model_relay_alive(a, NET_V4, now_ms) || model_relay_alive(a, NET_V6, now_ms);
}

struct model_alloc *model_record(struct model *m, const struct net_addr *client,
                                 const struct net_addr *server)
{
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        struct model_alloc *a = &m->alloc[i];
        if (a->used &&
            ((net_addr_equal(&a->client, client) && net_addr_equal(&a->server, server)) ||
             model_is_coming(a, client, server))) {
            return a;
        }
    }
    return NULL;
}

struct model_alloc *model_find(struct model *m, const struct net_addr *client,
                               const struct net_addr *server, uint64_t now_ms)
{
    struct model_alloc *a = model_record(m, client, server);

    return a != NULL && model_alive(a, now_ms) ? a : NULL;
}

struct model_alloc *model_of_relay(struct model *m, const struct net_addr *relayed, int *out_index)
{
    for (uint32_t i = 0; i < MODEL_ALLOCS * 2; i++) {
        struct model_alloc *a = &m->alloc[i / 2];
        const struct model_relay *relay = &a->relay[i % 2];
        if (a->used && relay->open && net_addr_equal(&relay->bound, relayed)) {
            *out_index = (int)(i % 2);
            return a;
        }
    }
    return NULL;
}

static bool counts(const struct model_alloc *a, uint64_t alive_ms)
{
    return a->used && (alive_ms == 0 || model_alive(a, alive_ms));
}

uint32_t model_count_core(const struct model *m, uint8_t core, uint64_t alive_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        n += counts(&m->alloc[i], alive_ms) && m->alloc[i].core == core;
    }
    return n;
}

uint32_t model_count_user(const struct model *m, uint8_t user, uint64_t alive_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        n += counts(&m->alloc[i], alive_ms) &&
             model_quota_user(m->alloc[i].user) == model_quota_user(user);
    }
    return n;
}

uint32_t model_count_all(const struct model *m, uint64_t alive_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        n += counts(&m->alloc[i], alive_ms);
    }
    return n;
}

struct model_alloc *model_new(struct model *m)
{
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        if (!m->alloc[i].used) {
            memset(&m->alloc[i], 0, sizeof(m->alloc[i]));
            return &m->alloc[i];
        }
    }
    return NULL;
}

void model_end(struct model *m, struct model_alloc *a, uint64_t now_ms)
{
    if (now_ms - a->created_ms < REMEMBERED_MS) {
        struct model_dead *d = &m->dead[m->next_dead++ % MODEL_DEAD];
        d->client = a->client;
        d->server = a->server;
        memcpy(d->tid, a->tid, STUN_TID);
        d->until_ms = now_ms + REMEMBERED_MS;
    }
    model_stay(m, a);
    a->used = false;
}

bool model_dead(const struct model *m, const struct net_addr *client, const struct net_addr *server,
                const uint8_t tid[STUN_TID], uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_DEAD; i++) {
        const struct model_dead *d = &m->dead[i];
        if (now_ms < d->until_ms && memcmp(d->tid, tid, STUN_TID) == 0 &&
            net_addr_equal(&d->client, client) && net_addr_equal(&d->server, server)) {
            return true;
        }
    }
    return false;
}

/* --- permissions and channels -------------------------------------------------------------------
 */

struct model_perm *model_perm(struct model_alloc *a, const struct net_ip *ip, uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        if (now_ms < a->perm[i].expires_ms && net_ip_equal(&a->perm[i].ip, ip)) {
            return &a->perm[i];
        }
    }
    return NULL;
}

struct model_chan *model_chan_number(struct model_alloc *a, uint16_t number, uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        if (now_ms < a->chan[i].expires_ms && a->chan[i].number == number) {
            return &a->chan[i];
        }
    }
    return NULL;
}

struct model_chan *model_chan_peer(struct model_alloc *a, const struct net_addr *peer,
                                   uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        if (now_ms < a->chan[i].expires_ms && net_addr_equal(&a->chan[i].peer, peer)) {
            return &a->chan[i];
        }
    }
    return NULL;
}

uint32_t model_perm_count(const struct model_alloc *a, uint64_t now_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        n += now_ms < a->perm[i].expires_ms;
    }
    return n;
}

uint32_t model_chan_count(const struct model_alloc *a, uint64_t now_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
        n += now_ms < a->chan[i].expires_ms;
    }
    return n;
}

void model_permit(struct model_alloc *a, const struct intent_peer *peer, uint64_t expires_ms,
                  uint64_t now_ms)
{
    struct model_perm *perm = model_perm(a, &peer->addr.ip, now_ms);

    for (uint32_t i = 0; perm == NULL; i++) {
        perm = a->perm[i].expires_ms <= now_ms ? &a->perm[i] : NULL;
    }
    *perm = (struct model_perm){peer->addr.ip, peer->row, expires_ms};
}

void model_bind(struct model_alloc *a, const struct intent *in, uint64_t expires_ms,
                uint64_t now_ms)
{
    struct model_chan *chan = model_chan_number(a, in->channel, now_ms);

    for (uint32_t i = 0; chan == NULL; i++) {
        chan = a->chan[i].expires_ms <= now_ms ? &a->chan[i] : NULL;
    }
    *chan = (struct model_chan){in->channel, in->peer[0].row, in->peer[0].addr, expires_ms};
}

static bool conn_alive(const struct model_conn *c, uint64_t now_ms)
{
    return c->used && (c->connecting || c->bound || now_ms < c->expires_ms) &&
           model_alive(c->alloc, now_ms);
}

struct model_conn *model_conn_peer(struct model *m, const struct model_alloc *a,
                                   const struct net_addr *peer, uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        struct model_conn *c = &m->conn[i];
        if (conn_alive(c, now_ms) && c->alloc == a && net_addr_equal(&c->peer, peer)) {
            return c;
        }
    }
    return NULL;
}

struct model_conn *model_conn_id(struct model *m, uint32_t id, uint64_t now_ms)
{
    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        if (conn_alive(&m->conn[i], now_ms) && id != 0 && m->conn[i].id == id) {
            return &m->conn[i];
        }
    }
    return NULL;
}

uint32_t model_conn_count(const struct model *m, const struct model_alloc *a, uint64_t now_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_CONNS; i++) {
        n += conn_alive(&m->conn[i], now_ms) && m->conn[i].alloc == a;
    }
    return n;
}

bool model_accept(struct model *m, struct model_alloc *a, const struct net_addr *peer,
                  uint64_t now_ms)
{
    /* T-6062-5.3-01, T-6062-3-02 */
    return !a->away && model_relay_alive(a, peer->family, now_ms) &&
           model_perm(a, &peer->ip, now_ms) != NULL &&
           peers_addr_open(peers_row_of(peer), peer->port, m->rules) &&
           model_conn_peer(m, a, peer, now_ms) == NULL &&
           model_conn_count(m, a, now_ms) < m->config->max_connections;
}

void model_recheck(struct model *m, uint64_t now_ms)
{
    (void)now_ms;
    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        struct model_alloc *a = &m->alloc[i];
        for (uint32_t k = 0; a->used && k < MODEL_ENTRIES; k++) {
            if (!peers_ip_open(a->perm[k].row, m->rules)) {
                a->perm[k].expires_ms = 0;
            }
            if (!peers_addr_open(a->chan[k].row, a->chan[k].peer.port, m->rules)) {
                a->chan[k].expires_ms = 0;
            }
        }
    }
}

uint64_t model_deadline(const struct model *m, uint32_t pick, uint64_t now_ms)
{
    uint64_t found = 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < MODEL_ALLOCS; i++) {
        const struct model_alloc *a = &m->alloc[i];
        if (!a->used) {
            continue;
        }
        for (uint32_t k = 0; k < 2 + 2 * MODEL_ENTRIES; k++) {
            const uint64_t at = k < 2        ? (a->relay[k].open ? a->relay[k].expires_ms : 0)
                                : k % 2 == 0 ? a->perm[k / 2 - 1].expires_ms
                                             : a->chan[k / 2 - 1].expires_ms;
            if (at > now_ms && n++ <= pick) {
                found = at;
            }
        }
    }
    return found;
}

/* --- reservations and challenges ----------------------------------------------------------------
 */

struct model_reservation *model_reservation(struct model *m, uint64_t token, uint64_t now_ms)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(m->reservation); i++) {
        if (m->reservation[i].token == token && now_ms < m->reservation[i].expires_ms) {
            return &m->reservation[i];
        }
    }
    return NULL;
}

uint32_t model_reservation_count(const struct model *m, uint64_t now_ms)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ARRAY_SIZE(m->reservation); i++) {
        n += now_ms < m->reservation[i].expires_ms;
    }
    return n;
}

/* The bucket of the client's /32 or /56, refilled; NULL when the model has no room for it. */
static struct model_prefix *prefix_of(struct model *m, uint8_t core, uint8_t transport,
                                      const struct net_addr *client, uint64_t now_ms)
{
    const uint64_t full = (uint64_t)m->config->unauth_burst * TOKEN;
    uint8_t bytes[9] = {(uint8_t)(core << 4 | (transport != NET_UDP) << 3 | client->family)};
    uint32_t i = 0;

    memcpy(bytes + 1, client->ip.b + (client->family == NET_V4 ? 12 : 0),
           client->family == NET_V4 ? 4 : 7);
    while (i < m->prefix_count && memcmp(m->prefix[i].bytes, bytes, sizeof(bytes)) != 0) {
        i++;
    }
    if (i == MODEL_PREFIXES) {
        return NULL;
    }
    struct model_prefix *p = &m->prefix[i];
    if (i == m->prefix_count) {
        m->prefix_count++;
        memcpy(p->bytes, bytes, sizeof(bytes));
        p->tokens = full;
        p->last_ms = now_ms;
    }
    return p;
}

static uint64_t tokens_at(const struct model *m, const struct model_prefix *p, uint64_t now_ms)
{
    const uint64_t full = (uint64_t)m->config->unauth_burst * TOKEN;
    const uint64_t tokens = p->tokens + (now_ms - p->last_ms) * m->config->unauth_per_s;

    return tokens < full ? tokens : full;
}

bool model_may_challenge(struct model *m, uint8_t core, uint8_t transport,
                         const struct net_addr *client, uint64_t now_ms)
{
    if (m->config->unauth_per_s == 0) {
        return true;
    }
    const struct model_prefix *p = prefix_of(m, core, transport, client, now_ms);
    return p == NULL || tokens_at(m, p, now_ms) >= TOKEN;
}

void model_charge(struct model *m, uint8_t core, uint8_t transport, const struct net_addr *client,
                  uint64_t now_ms)
{
    struct model_prefix *p =
        m->config->unauth_per_s == 0 ? NULL : prefix_of(m, core, transport, client, now_ms);

    if (p != NULL) {
        const uint64_t tokens = tokens_at(m, p, now_ms);
        p->tokens = tokens >= TOKEN ? tokens - TOKEN : 0;
        p->last_ms = now_ms;
    }
}
