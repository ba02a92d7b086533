/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/turn_server.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "turn/turn_int.h"
#include "wire/demux.h"

enum { LIMITER_SLOTS = 16384 };

/* The limiters follow the configuration. */
static void limiters_configure(struct turn_server *s)
{
    const struct turn_config *config = s->config;

    rate_set(s->unauth, config->unauth_per_s, config->unauth_burst);
    rate_set(s->proven, config->unauth_per_s, config->unauth_burst);
    rate_set(s->lookups, config->unauth_per_s, config->unauth_burst);
}

static int limiters_new(struct turn_server *s, struct hash_key key)
{
    const struct turn_config *config = s->config;

    s->unauth = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    s->proven = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    s->lookups = rate_new(config->unauth_per_s, config->unauth_burst, LIMITER_SLOTS, key);
    if (s->unauth == NULL || s->proven == NULL || s->lookups == NULL) {
        rate_free(s->unauth);
        rate_free(s->proven);
        rate_free(s->lookups);
        return -ENOMEM;
    }
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
    rate_free(s->unauth);
    rate_free(s->proven);
    rate_free(s->lookups);
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

void turn_tell(struct turn_server *s, const struct turn_alloc *alloc, enum turn_event_kind kind,
               const struct net_addr *peer)
{
    const struct turn_relay *relay = alloc->relay;
    uint64_t expires_ms = 0;

    for (int i = 0; i < 2; i++) {
        if (relay[i].port != NULL && relay[i].expires_ms > expires_ms) {
            expires_ms = relay[i].expires_ms;
        }
    }
    const struct turn_event event = {
        .kind = kind,
        .session = alloc->session,
        .client = &alloc->tuple.client,
        .server = &alloc->tuple.server,
        .relayed = {relay[0].port != NULL ? &relay[0].relayed : NULL,
                    relay[1].port != NULL ? &relay[1].relayed : NULL},
        .peer = peer,
        .user = turn_alloc_user(alloc),
        .lifetime_s = expires_ms > s->now_ms ? (uint32_t)((expires_ms - s->now_ms) / 1000) : 0,
        .traffic = &alloc->traffic,
    };
    s->fx.event(s->fx.arg, &event);
}

static void close_relay(struct turn_server *s, struct turn_relay *relay)
{
    if (relay->port != NULL) {
        s->fx.relay_close(s->fx.arg, relay->port);
        relay->port = NULL;
    }
}

void turn_end_allocation(struct turn_server *s, struct turn_alloc *alloc, enum turn_event_kind kind,
                         uint64_t now_ms)
{
    turn_end_conns(s, alloc);
    turn_tell(s, alloc, kind, NULL);
    close_relay(s, &alloc->relay[0]);
    close_relay(s, &alloc->relay[1]);
    s->fx.quota_give(s->fx.arg, turn_alloc_quota_user(alloc));
    turn_tombstone_keep(&s->tables, alloc, now_ms);
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
    if (alloc != NULL && (listener == NULL || alloc->listener == listener)) {
        turn_end_allocation(s, alloc, TURN_EVENT_CLOSED, now_ms);
    }
}

bool turn_server_has_allocation(const struct turn_server *s, const struct five_tuple *tuple)
{
    return turn_alloc_find(&s->tables, tuple) != NULL;
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
    s->lease[0] = 0;
    s->lease[1] = 0;
    limiters_configure(s);
}

void turn_recheck(struct turn_server *s, struct turn_alloc *alloc)
{
    const struct gate *gate = s->config->gate;

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
}

bool turn_server_recheck(struct turn_server *s, uint32_t budget, uint64_t now_ms)
{
    (void)now_ms;
    for (uint32_t i = 0; i < budget && !list_empty(&s->tables.allocs); i++) {
        struct turn_alloc *alloc = CONTAINER_OF(s->tables.allocs.next, struct turn_alloc, node);
        if (alloc->gate_generation == s->tables.generation) {
            return true; /* the list keeps those judged last at its end */
        }
        turn_recheck(s, alloc);
        list_remove(&alloc->node);
        list_push(&s->tables.allocs, &alloc->node);
    }
    return list_empty(&s->tables.allocs);
}

int turn_server_close_session(struct turn_server *s, uint64_t session, uint64_t now_ms)
{
    LIST_EACH (node, &s->tables.allocs) {
        struct turn_alloc *alloc = CONTAINER_OF(node, struct turn_alloc, node);
        if (alloc->session == session) {
            turn_end_allocation(s, alloc, TURN_EVENT_CLOSED, now_ms);
            return 0;
        }
    }
    return -ENOENT;
}

enum drop turn_server_last_drop(const struct turn_server *s)
{
    return s->last_drop;
}

const struct turn_counters *turn_server_counters(const struct turn_server *s)
{
    return &s->count;
}

uint32_t turn_server_allocation_count(const struct turn_server *s)
{
    return s->tables.by_tuple.count;
}
