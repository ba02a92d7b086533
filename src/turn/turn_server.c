/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/turn_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/secret.h"
#include "turn/turn_int.h"
#include "wire/demux.h"

enum { LIMITER_SLOTS = 16384 };

/* The limiters follow the configuration. */
static void limiters_configure(struct turn_server *s)
{
    const struct turn_config *config = s->config;
    uint32_t per_s;
    uint32_t burst;

    rate_set(s->unauth, config->unauth_per_s, config->unauth_burst);
    rate_set(s->proven, config->unauth_per_s, config->unauth_burst);
    rate_set(s->lookups, config->unauth_per_s, config->unauth_burst);
    turn_redirect_limit(config, &per_s, &burst);
    rate_set(s->redirects, per_s, burst);
}

static void limiters_free(struct turn_server *s)
{
    rate_free(s->unauth);
    rate_free(s->proven);
    rate_free(s->lookups);
    rate_free(s->redirects);
}

static int limiters_new(struct turn_server *s, struct hash_key key)
{
    const struct turn_config *config = s->config;

    s->unauth = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    s->proven = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    s->lookups = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    s->redirects = rate_new(0, 1, LIMITER_SLOTS, key);
    if (s->unauth == NULL || s->proven == NULL || s->lookups == NULL || s->redirects == NULL) {
        limiters_free(s);
        return -ENOMEM;
    }
    limiters_configure(s);
    return 0;
}

bool turn_may_answer(struct turn_server *s, const struct pkt *pkt, uint64_t now_ms)
{
    const bool proven = net_is_stream(pkt->transport) || pkt->transport == NET_DTLS;

    return s->config->unauth_per_s == 0 ||
           rate_take(proven ? s->proven : s->unauth, &pkt->remote.ip, now_ms);
}

int turn_server_new(const struct turn_server_options *options, struct turn_server **out)
{
    struct turn_server *s = mem_new(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->config = options->config;
    s->fx = options->effects;
    s->now_ms = options->now_ms;
    s->wall_s = options->wall_s;
    s->instance = options->instance;
    s->instances = options->instances > 0 ? options->instances : 1;
    wheel_init(&s->wheel, options->now_ms);
    int err = turn_tables_init(&s->tables, &s->wheel, options->hash_key, options->max_allocations);
    if (err < 0) {
        goto free_server;
    }
    s->tables.next_session = options->session_base + 1;
    err = -EIO;
    s->mac = crypto_mac_new();
    if (s->mac == NULL) {
        goto fini_tables;
    }
    err = limiters_new(s, options->hash_key);
    if (err < 0) {
        goto free_mac;
    }
    *out = s;
    return 0;

free_mac:
    crypto_mac_free(s->mac);
fini_tables:
    turn_tables_fini(&s->tables);
free_server:
    free(s);
    return err;
}

void turn_server_free(struct turn_server *s)
{
    if (s == NULL) {
        return;
    }
    while (!list_empty(&s->tables.allocs)) {
        struct turn_alloc *alloc = CONTAINER_OF(s->tables.allocs.next, struct turn_alloc, node);
        turn_end_allocation(s, alloc, TURN_EVENT_CLOSED, s->now_ms);
    }
    limiters_free(s);
    crypto_mac_free(s->mac);
    turn_tables_fini(&s->tables);
    secret_wipe(s, sizeof(*s));
    free(s);
}

struct five_tuple turn_tuple_of(const struct pkt *pkt)
{
    return (struct five_tuple){
        .client = pkt->remote,
        .server = pkt->local,
        .protocol = pkt->transport,
    };
}

struct turn_event turn_event_about(const struct turn_server *s, const struct turn_alloc *alloc,
                                   enum turn_event_kind kind)
{
    const struct turn_relay *relay = alloc->relay;
    uint64_t expires_ms = 0;

    for (int i = 0; i < 2; i++) {
        if (relay[i].port != NULL && relay[i].expires_ms > expires_ms) {
            expires_ms = relay[i].expires_ms;
        }
    }
    return (struct turn_event){
        .kind = kind,
        .session = alloc->session,
        .client = &alloc->tuple.client,
        .server = &alloc->tuple.server,
        .relayed = {relay[0].port != NULL ? &relay[0].relayed : NULL,
                    relay[1].port != NULL ? &relay[1].relayed : NULL},
        .listener = alloc->listener,
        .transport = (uint8_t)alloc->tuple.protocol,
        .user = turn_alloc_told_user(alloc),
        .realm = turn_alloc_realm(s, alloc)->name,
        .lifetime_s = expires_ms > s->now_ms ? (uint32_t)((expires_ms - s->now_ms) / 1000) : 0,
        .traffic = &alloc->traffic,
    };
}

void turn_tell(struct turn_server *s, const struct turn_alloc *alloc, enum turn_event_kind kind,
               const struct net_addr *peer)
{
    struct turn_event event = turn_event_about(s, alloc, kind);

    event.peer = peer;
    s->fx.event(s->fx.arg, &event);
}

static void close_relay(struct turn_server *s, struct turn_relay *relay)
{
    if (relay->port != NULL) {
        turn_flow_end(s, relay->alloc, relay);
        s->fx.relay_close(s->fx.arg, relay->port);
        relay->port = NULL;
    }
}

void turn_end_allocation(struct turn_server *s, struct turn_alloc *alloc, enum turn_event_kind kind,
                         uint64_t now_ms)
{
    turn_end_conns(s, alloc);
    turn_mobility_stay(s, alloc);
    turn_flow_end(s, alloc, NULL);
    turn_tell(s, alloc, kind, NULL);
    close_relay(s, &alloc->relay[0]);
    close_relay(s, &alloc->relay[1]);
    s->fx.quota_give(s->fx.arg, alloc->realm, turn_alloc_quota_user(alloc));
    turn_tombstone_keep(&s->tables, alloc, false, now_ms);
    turn_alloc_free(&s->tables, alloc);
}

void turn_end_relay(struct turn_server *s, struct turn_alloc *alloc, struct turn_relay *relay,
                    enum turn_event_kind kind, uint64_t now_ms)
{
    const struct turn_relay *other =
        relay == &alloc->relay[0] ? &alloc->relay[1] : &alloc->relay[0];

    if (other->port == NULL) {
        turn_end_allocation(s, alloc, kind, now_ms);
        return;
    }
    close_relay(s, relay);
}

/* RFC 8656 section 21.4: no service for clients behind Teredo (2001::/32) and 6to4 (2002::/16). */
static bool is_tunnelled(const struct net_addr *client)
{
    const uint32_t head = be32(client->ip.b);

    return client->family == NET_V6 && (head == 0x20010000 || head >> 16 == 0x2002);
}

enum turn_verdict turn_server_client_packet(struct turn_server *s, struct pkt *pkt, uint64_t now_ms)
{
    s->now_ms = now_ms;
    if (pkt->len == 0) {
        return turn_drop(s, DROP_NOT_STUN);
    }
    switch (demux_first_byte(pkt->data[0])) {
    case DEMUX_CHANNEL:
        return s->config->turn_enabled ? turn_channel_data(s, pkt, now_ms)
                                       : turn_drop(s, DROP_DISABLED);
    case DEMUX_STUN:
        break;
    case DEMUX_DTLS:
    case DEMUX_OTHER:
    default:
        /* RFC 5766 clients may have bound channels up to 0x7FFF. */
        if (s->config->channels_5766 && s->config->turn_enabled && pkt->data[0] >= 0x50 &&
            pkt->data[0] < 0x80) {
            return turn_channel_data(s, pkt, now_ms);
        }
        return turn_drop(s, DROP_NOT_STUN);
    }
    if (is_tunnelled(&pkt->remote)) {
        return turn_drop(s, DROP_TUNNEL_CLIENT);
    }
    return turn_stun_message(s, pkt, now_ms);
}

void turn_server_client_closed(struct turn_server *s, const struct five_tuple *tuple,
                               const void *listener, uint64_t now_ms)
{
    struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    s->now_ms = now_ms;
    if (alloc == NULL) {
        return;
    }
    struct turn_mobile *mobile = alloc->mobile;
    const bool moving = mobile != NULL && mobile->moving;
    const bool coming = moving && memcmp(&mobile->coming, tuple, sizeof(*tuple)) == 0;
    if (listener != NULL && listener != (coming ? mobile->listener : alloc->listener)) {
        return;
    }
    if (coming) {
        turn_mobility_stay(s, alloc);
        turn_flow_update(s, alloc, NULL, now_ms);
    } else if (moving) { /* RFC 8016 section 3.2.2: the client closes its old connection */
        turn_mobility_arrive(s, alloc, now_ms);
    } else if (mobile != NULL && s->config->mobility) { /* it may come back */
        turn_mobility_lose(s, alloc, now_ms);
    } else {
        turn_end_allocation(s, alloc, TURN_EVENT_CLOSED, now_ms);
    }
}

bool turn_server_has_allocation(const struct turn_server *s, const struct five_tuple *tuple)
{
    return turn_alloc_find(&s->tables, tuple) != NULL;
}

uint64_t turn_server_session(const struct turn_server *s, const struct five_tuple *tuple)
{
    const struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    return alloc != NULL ? alloc->session : 0;
}

bool turn_server_moving(const struct turn_server *s, const struct five_tuple *tuple,
                        struct five_tuple tuples[2], void *listeners[2])
{
    const struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    if (alloc == NULL || alloc->mobile == NULL || !alloc->mobile->moving) {
        return false;
    }
    tuples[0] = alloc->tuple;
    listeners[0] = alloc->listener;
    tuples[1] = alloc->mobile->coming;
    listeners[1] = alloc->mobile->listener;
    return true;
}

uint32_t turn_server_ways(const struct turn_server *s, const struct five_tuple *tuple,
                          struct turn_way out[2])
{
    const struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    if (alloc == NULL) {
        return 0;
    }
    out[0] = (struct turn_way){alloc->tuple, alloc->listener};
    if (alloc->mobile == NULL || !alloc->mobile->moving) {
        return 1;
    }
    out[1] = (struct turn_way){alloc->mobile->coming, alloc->mobile->listener};
    return 2;
}

bool turn_server_find_session(const struct turn_server *s, uint64_t session, struct five_tuple *out)
{
    const struct turn_alloc *alloc = turn_alloc_numbered(&s->tables, session);

    if (alloc == NULL) {
        return false;
    }
    *out = alloc->tuple;
    return true;
}

void turn_server_each(struct turn_server *s, turn_server_each_fn each, void *arg)
{
    LIST_EACH_SAFE (node, &s->tables.allocs) {
        const struct turn_alloc *alloc = CONTAINER_OF(node, struct turn_alloc, node);
        const struct five_tuple tuple = alloc->tuple; /* it may be gone during a call */
        const uint64_t session = alloc->session;
        if (alloc->mobile != NULL && alloc->mobile->moving) {
            const struct five_tuple coming = alloc->mobile->coming;
            each(arg, &coming, alloc->mobile->listener);
        }
        if (turn_alloc_numbered(&s->tables, session) == alloc && !turn_client_away(alloc)) {
            each(arg, &tuple, alloc->listener);
        }
    }
}

void turn_server_set_listener(struct turn_server *s, const struct five_tuple *tuple, void *listener)
{
    struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    if (alloc == NULL) {
        return;
    }
    if (memcmp(&alloc->tuple, tuple, sizeof(*tuple)) == 0) {
        alloc->listener = listener;
    } else {
        alloc->mobile->listener = listener;
    }
}

struct turn_alloc *turn_expire(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    bool alive = false;

    for (int i = 0; i < 2; i++) {
        alive = alive || (alloc->relay[i].port != NULL && alloc->relay[i].expires_ms > now_ms);
    }
    if (!alive) {
        turn_end_allocation(s, alloc, TURN_EVENT_EXPIRED, now_ms);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        if (alloc->relay[i].port != NULL && alloc->relay[i].expires_ms <= now_ms) {
            close_relay(s, &alloc->relay[i]);
        }
    }
    turn_expire_conns(s, alloc, now_ms);
    turn_alloc_sweep(&s->tables, alloc, now_ms);
    return alloc;
}

struct turn_alloc *turn_current(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    return alloc != NULL && alloc->timer.deadline_ms <= now_ms ? turn_expire(s, alloc, now_ms)
                                                               : alloc;
}

uint32_t turn_server_tick(struct turn_server *s, uint64_t now_ms, uint32_t budget)
{
    uint32_t done = 0;

    s->now_ms = now_ms;
    while (done < budget) {
        struct wheel_timer *timer = wheel_expired(&s->wheel, now_ms);
        if (timer == NULL) {
            break;
        }
        (void)turn_expire(s, CONTAINER_OF(timer, struct turn_alloc, timer), now_ms);
        done++;
    }
    return done;
}

uint64_t turn_server_next_deadline(const struct turn_server *s)
{
    return wheel_next_deadline(&s->wheel);
}

void turn_server_set_wall(struct turn_server *s, uint64_t wall_s)
{
    s->wall_s = wall_s;
}

void turn_server_configure(struct turn_server *s, const struct turn_config *config)
{
    s->config = config;
    s->tables.generation++;
    secret_wipe(s->nonce_keys, sizeof(s->nonce_keys)); /* to be made from the new secrets */
    secret_wipe(s->ticket_keys, sizeof(s->ticket_keys));
    s->lease[0] = 0;
    s->lease[1] = 0;
    limiters_configure(s);
}

void turn_recheck(struct turn_server *s, struct turn_alloc *alloc, uint64_t now_ms)
{
    const struct gate *gate = turn_alloc_realm(s, alloc)->gate;

    LIST_EACH_SAFE (node, &alloc->chans) {
        struct turn_chan *chan = CONTAINER_OF(node, struct turn_chan, node);
        if (gate_check_addr(gate, &chan->peer.addr) != GATE_OPEN) {
            turn_tell(s, alloc, TURN_EVENT_REVOKED, &chan->peer.addr);
            turn_chan_remove(&s->tables, alloc, chan);
        }
    }
    LIST_EACH_SAFE (node, &alloc->perms) {
        struct turn_perm *perm = CONTAINER_OF(node, struct turn_perm, node);
        if (gate_check_ip(gate, &perm->key.ip) != GATE_OPEN) {
            const struct net_addr peer = net_addr_make(&perm->key.ip, 0);
            turn_tell(s, alloc, TURN_EVENT_REVOKED, &peer);
            turn_perm_remove(&s->tables, alloc, perm);
        }
    }
    turn_recheck_conns(s, alloc);
    alloc->gate_generation = s->tables.generation;
    turn_flow_judged(s, alloc, now_ms);
}

bool turn_server_recheck(struct turn_server *s, uint32_t budget, uint64_t now_ms)
{
    for (uint32_t i = 0; i < budget && !list_empty(&s->tables.allocs); i++) {
        struct turn_alloc *alloc = CONTAINER_OF(s->tables.allocs.next, struct turn_alloc, node);
        if (alloc->gate_generation == s->tables.generation) {
            return true; /* the list keeps those judged last at its end */
        }
        turn_recheck(s, alloc, now_ms);
        list_remove(&alloc->node);
        list_push(&s->tables.allocs, &alloc->node);
    }
    return list_empty(&s->tables.allocs);
}

int turn_server_close_session(struct turn_server *s, uint64_t session, uint64_t now_ms)
{
    struct turn_alloc *alloc = turn_alloc_numbered(&s->tables, session);
    if (alloc == NULL) {
        return -ENOENT;
    }
    s->now_ms = now_ms;
    turn_end_allocation(s, alloc, TURN_EVENT_CLOSED, now_ms);
    return 0;
}

uint32_t turn_server_elsewhere(const struct turn_server *s)
{
    return s->elsewhere;
}

enum drop turn_server_last_drop(const struct turn_server *s)
{
    return s->last_drop;
}

const struct turn_counters *turn_server_counters(const struct turn_server *s)
{
    return &s->count;
}

int turn_server_ports(const struct turn_server *s, const struct five_tuple *tuple, void *ports[2],
                      struct bytes *quota_user)
{
    const struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);
    if (alloc == NULL) {
        return -ENOENT;
    }
    ports[0] = alloc->relay[0].port;
    ports[1] = alloc->relay[1].port;
    *quota_user = turn_alloc_quota_user(alloc);
    return 0;
}

uint32_t turn_server_realm(const struct turn_server *s, const struct five_tuple *tuple)
{
    const struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    return alloc != NULL ? alloc->realm : 0;
}

void turn_server_set_realm(struct turn_server *s, const struct five_tuple *tuple, uint32_t realm)
{
    struct turn_alloc *alloc = turn_alloc_find(&s->tables, tuple);

    if (alloc != NULL) {
        alloc->realm = realm;
    }
}

uint32_t turn_server_allocation_count(const struct turn_server *s)
{
    return s->tables.by_tuple.count;
}
