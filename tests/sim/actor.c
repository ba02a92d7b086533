/* SPDX-License-Identifier: Apache-2.0 */
/* A client: wants something at random, writes it down as an intent, and turns that into bytes. */
#include <assert.h>
#include <string.h>

#include "crypto/longterm.h"
#include "message.h"
#include "sim.h"
#include "wire/channel_data.h"
#include "wire/stun_addr.h"

enum {
    FLOOD = 60,
    ANSWERS_MOST = 3,
    MAPPING_MS = 120 * 1000,
    FIRST_PORT = 10000,
    PORTS_EACH = 4000
};

void actor_payload(uint32_t seed, uint8_t *out, size_t n)
{
    struct prng r = {seed};

    for (size_t i = 0; i < n; i += 8) {
        const uint64_t word = prng_next(&r);
        memcpy(out + i, &word, n - i < 8 ? n - i : 8);
    }
}

/* --- addresses ----------------------------------------------------------------------------------
 */

/* Three clients each share an IPv4 address, as behind one NAT; the last ones have IPv6, and the
 * very last a tunnel. */
static struct net_addr address_of(const struct actor *a)
{
    static const char *const v6[] = {"2001:db8:c::9", "2001:db8:d::10", "2002:cb00:7101::1"};
    const uint8_t v4[4] = {203, 0, 113, (uint8_t)(1 + a->index / 3)};
    struct net_ip ip = net_ip_v4(v4);

    if (a->index >= SIM_ACTORS - ARRAY_SIZE(v6)) {
        const int err = net_ip_parse(v6[a->index - (SIM_ACTORS - ARRAY_SIZE(v6))], &ip);
        assert(err == 0);
        (void)err;
    }
    return net_addr_make(
        &ip, (uint16_t)(FIRST_PORT + (uint32_t)a->index * PORTS_EACH + a->rebindings % PORTS_EACH));
}

uint8_t actor_transport(const struct sim *sim, const struct net_addr *client)
{
    const uint32_t index = (client->port - (uint32_t)FIRST_PORT) / PORTS_EACH;

    return client->port >= FIRST_PORT && index < SIM_ACTORS ? sim->transport[index] : NET_UDP;
}

static void forget_all(struct sim *sim, struct actor *a)
{
    struct prng *r = &sim->random;

    a->user = (uint8_t)prng_below(r, prng_chance(r, 100) ? MODEL_USERS + 1 : MODEL_USERS);
    a->auth = prng_chance(r, 300)   ? CLIENT_LEGACY
              : prng_chance(r, 300) ? CLIENT_MD5
                                    : CLIENT_SHA256;
    a->userhash = prng_chance(r, 150);
    a->nonce.known = false;
    a->retries = 0;
    a->ticket[0].known = a->ticket[1].known = false;
    a->roaming = false;
    a->left.family = NET_NONE;
}

void actor_init(struct sim *sim, struct actor *a, uint8_t index)
{
    static const uint8_t transports[] = {NET_UDP, NET_UDP, NET_TCP, NET_TLS, NET_DTLS};

    a->index = index;
    a->home = (uint8_t)prng_below(&sim->random, SIM_CORES);
    sim->transport[index] = transports[prng_below(&sim->random, ARRAY_SIZE(transports))];
    a->natted = prng_chance(&sim->random, 500) && sim->transport[index] == NET_UDP;
    a->rebindings = 0;
    a->next_tid = 1;
    a->sent_ms = sim->now_ms;
    a->kept_count = 0;
    a->addr = address_of(a);
    forget_all(sim, a);
}

void actor_rebind(struct actor *a)
{
    a->rebindings++;
    a->addr = address_of(a);
}

/* The connection closes, and the next one comes from another port. */
static void hang_up(struct sim *sim, struct actor *a)
{
    if (sim->transport[a->index] != NET_UDP) {
        for (uint8_t i = 0; i < SIM_CORES; i++) {
            const struct net_addr server = peers_listener(i, a->addr.family);
            admin_close_client(sim, &a->addr, &server);
        }
    }
    actor_rebind(a);
    a->roaming = a->ticket[0].known;
    trace_say(&sim->trace, sim->now_ms, "client %u is now seen at port %u", a->index, a->addr.port);
}

/* --- sending ------------------------------------------------------------------------------------
 */

/* Change some bytes that mean something.  `end` is where the protected part ends. */
static void mutate(struct sim *sim, struct net_packet *packet, size_t end)
{
    struct prng *r = &sim->random;

    if (packet->len == 0) {
        return;
    }
    if (prng_chance(r, 100)) {
        packet->len = (uint16_t)prng_below(r, (uint32_t)(end < packet->len ? end : packet->len));
    } else {
        uint32_t at = prng_below(r, (uint32_t)end);
        const uint32_t count = 1 + prng_below(r, 4);
        for (uint32_t i = 0; i < count && at < end; i++) {
            packet->data[at] = (uint8_t)(packet->data[at] ^ (1 + prng_below(r, 255)));
            at += 1 + prng_below(r, 30);
        }
    }
    packet->intent.mutated = true;
}

static void dispatch(struct sim *sim, struct actor *a, struct net_packet *packet)
{
    if (a->natted && sim->now_ms - a->sent_ms >= MAPPING_MS) {
        actor_rebind(a); /* the NAT has forgotten the old mapping */
        a->roaming = a->ticket[0].known;
    }
    a->sent_ms = sim->now_ms;
    packet->from = roam_address(sim, a);
    packet->df = false;
    (void)net_send(&sim->net, packet, sim->now_ms);
}

static void keep(struct actor *a, const struct net_packet *packet)
{
    struct sim_kept *kept = &a->kept[a->kept_count++ % SIM_KEPT];

    kept->intent = packet->intent;
    kept->to = packet->to;
    kept->len = packet->len;
    memcpy(kept->data, packet->data, packet->len);
}

static void send_again(struct sim *sim, struct actor *a)
{
    struct net_packet *packet = a->kept_count == 0 ? NULL : net_take(&sim->net);
    if (packet == NULL) {
        return;
    }
    const uint32_t have = a->kept_count < SIM_KEPT ? a->kept_count : SIM_KEPT;
    const struct sim_kept *kept = &a->kept[prng_below(&sim->random, have)];
    packet->intent = kept->intent;
    packet->to = kept->to;
    packet->len = kept->len;
    memcpy(packet->data, kept->data, kept->len);
    dispatch(sim, a, packet);
}

static void send_intent(struct sim *sim, struct actor *a, struct intent *in)
{
    struct net_packet *packet = net_take(&sim->net);
    if (packet == NULL) {
        return;
    }
    const uint8_t server =
        prng_chance(&sim->random, 30) ? (uint8_t)prng_below(&sim->random, SIM_CORES) : a->home;
    packet->to = peers_listener(server, a->addr.family);
    packet->tos = (uint8_t)prng_below(&sim->random, 256);
    be16_put(in->tid, a->index);
    memset(in->tid + 2, 0x51, 2);
    be64_put(in->tid + 4, a->next_tid++);
    packet->intent = *in;
    packet->intent.actor = a->index;
    size_t end = 0;
    packet->len =
        (uint16_t)message_build(&packet->intent, a->nonce_text, packet->data, NET_PACKET_MAX, &end);
    const bool anonymous = !sim->model.config->require_auth && in->kind >= INTENT_ALLOCATE &&
                           in->kind <= INTENT_CONN_BIND;
    if (!anonymous && prng_chance(&sim->random, 50)) {
        mutate(sim, packet, end);
    }
    keep(a, packet);
    dispatch(sim, a, packet);
}

/* --- wishes -------------------------------------------------------------------------------------
 */

static bool is_offered(enum turn_algorithms offered, enum client_auth auth)
{
    return auth == CLIENT_LEGACY ||
           offered != (auth == CLIENT_SHA256 ? TURN_ALG_MD5 : TURN_ALG_SHA256);
}

/* Credentials, now and then wrong ones. */
static void wish_credentials(struct sim *sim, const struct actor *a, struct intent *in)
{
    struct prng *r = &sim->random;

    in->user = a->user;
    in->userhash = a->userhash;
    in->auth = a->auth;
    in->nonce = a->nonce;
    if (!a->nonce.known || prng_chance(r, 20) ||
        (!sim->model.config->require_auth && prng_chance(r, 900))) {
        in->auth = CLIENT_NO_AUTH;
        return;
    }
    if (!is_offered(a->nonce.offered, in->auth) && prng_chance(r, 900)) {
        in->auth = in->auth == CLIENT_SHA256 ? CLIENT_MD5 : CLIENT_SHA256;
    }
    if (prng_chance(r, 900)) {
        return;
    }
    switch (prng_below(r, 5)) {
    case 0:
        in->wrong_password = true;
        break;
    case 1:
        in->wrong_realm = true;
        break;
    case 2:
        in->missing = (enum intent_missing)prng_below(r, 4);
        break;
    case 3:
        in->nonce.forged = true;
        break;
    default:
        in->user = (uint8_t)prng_below(r, MODEL_USERS + 1);
        break;
    }
}

static void wish_extras(struct sim *sim, struct intent *in)
{
    struct prng *r = &sim->random;

    in->fingerprint = prng_chance(r, 300);
    in->counter = prng_chance(r, 50);
    in->count = (uint8_t)prng_below(r, 8);
    in->unknown_attr = prng_chance(r, 15);
}

static void wish_lifetime(struct sim *sim, struct intent *in)
{
    static const uint32_t usual[] = {0, 1, 60, 599, 600, 601, 900, 1200, 3600, 3601, UINT32_MAX};
    struct prng *r = &sim->random;

    in->has_lifetime = prng_chance(r, 500);
    in->lifetime_s =
        prng_chance(r, 700) ? usual[prng_below(r, ARRAY_SIZE(usual))] : prng_below(r, 5000);
}

static void wish_allocate(struct sim *sim, struct intent *in, bool stream)
{
    static const uint8_t transports[] = {0, 6, 17, 255};
    struct prng *r = &sim->random;

    in->kind = INTENT_ALLOCATE;
    in->transport = prng_chance(r, 40) ? transports[prng_below(r, 4)] : 17;
    if (stream && prng_chance(r, 450)) {
        in->transport = 6;
    }
    wish_lifetime(sim, in);
    if (prng_chance(r, in->transport == 6 ? 800 : 400)) {
        return;
    }
    in->even = prng_chance(r, 400) ? (enum intent_even)prng_below(r, 3) : EVEN_NO;
    in->requested_family = prng_chance(r, 200) ? (uint8_t)(1 + prng_below(r, 3)) : 0;
    in->additional_family = prng_chance(r, 300) ? (prng_chance(r, 900) ? 2 : 1) : 0;
    in->dont_fragment = prng_chance(r, 100);
    const bool reserved = model_reservation(&sim->model, sim->last_token, sim->now_ms) != NULL;
    if (sim->last_token != 0 && prng_chance(r, reserved ? 700 : 100)) {
        in->has_token = true;
        in->token = sim->last_token ^ (prng_chance(r, 100) ? 1 + prng_below(r, 3) : 0);
        if (prng_chance(r, 800)) {
            in->even = EVEN_NO;
            in->requested_family = 0;
            in->additional_family = 0;
        }
    }
}

/* The port of some relay of ours, so that relays talk to each other. */
static uint16_t some_relay_port(struct sim *sim)
{
    const uint32_t at = prng_below(&sim->random, SIM_SOCKETS);

    for (uint32_t i = 0; i < SIM_SOCKETS; i++) {
        const struct sim_socket *socket = &sim->site.socket[(at + i) % SIM_SOCKETS];
        if (socket->open) {
            return socket->bound.port;
        }
    }
    return (uint16_t)prng_below(&sim->random, 65536);
}

/* A peer, mostly one that the allocation `known` could reach. */
static struct intent_peer wish_peer(struct sim *sim, const struct model_alloc *known)
{
    static const uint16_t ports[] = {9, 1000, 1001, 65535};
    struct prng *r = &sim->random;
    struct intent_peer peer;

    const bool matching = known != NULL && prng_chance(r, 850);
    const uint32_t among = prng_chance(r, 700) ? peers_friendly() : peers_count();
    do {
        peer.row = (uint8_t)prng_below(r, among);
        peer.addr =
            peers_addr(peer.row, prng_chance(r, 990) ? ports[prng_below(r, ARRAY_SIZE(ports))] : 0);
    } while (matching && !model_relay_alive(known, peer.addr.family, sim->now_ms));
    if (prng_chance(r, 100)) {
        peer.row = peers_own(prng_chance(r, 700) ? NET_V4 : NET_V6);
        peer.addr =
            peers_addr(peer.row, prng_chance(r, 900) ? some_relay_port(sim) : PEER_LISTENER_PORT);
    }
    return peer;
}

static void wish_peers(struct sim *sim, const struct model_alloc *known, struct intent *in,
                       uint32_t most)
{
    in->peer_count =
        (uint8_t)(prng_chance(&sim->random, 980) ? 1 + prng_below(&sim->random, most) : 0);
    for (uint32_t i = 0; i < in->peer_count; i++) {
        in->peer[i] = wish_peer(sim, known);
        if (i > 0 && prng_chance(&sim->random, 100)) {
            in->peer[i] = in->peer[0];
        }
    }
}

static void wish_channel(struct sim *sim, struct intent *in)
{
    static const uint16_t odd[] = {0x3fff, 0x4fff, 0x5000, 0x7fff, 0x8000, 0xffff};
    struct prng *r = &sim->random;

    in->channel = prng_chance(r, 930) ? (uint16_t)(0x4000 + prng_below(r, 8))
                                      : odd[prng_below(r, ARRAY_SIZE(odd))];
}

static void wish_payload(struct sim *sim, struct intent *in)
{
    struct prng *r = &sim->random;

    in->payload_seed = (uint32_t)prng_next(r);
    in->payload_len = (uint16_t)prng_below(r, prng_chance(r, 800) ? 200 : 1500);
    in->dont_fragment = in->kind == INTENT_SEND && prng_chance(r, 200);
}

/* Data, mostly for a peer that may be reached. */
static void wish_data(struct sim *sim, struct model_alloc *known, struct intent *in)
{
    struct prng *r = &sim->random;

    wish_peers(sim, known, in, 1);
    wish_channel(sim, in);
    if (known != NULL && prng_chance(r, 800)) {
        const uint32_t at = prng_below(r, MODEL_ENTRIES);
        for (uint32_t i = 0; i < MODEL_ENTRIES; i++) {
            const struct model_perm *perm = &known->perm[(at + i) % MODEL_ENTRIES];
            const struct model_chan *chan = &known->chan[(at + i) % MODEL_ENTRIES];
            if (perm->expires_ms != 0 && in->kind == INTENT_SEND) {
                const bool own = perm->row >= peers_own(NET_V4);
                in->peer_count = 1;
                in->peer[0].row = perm->row;
                in->peer[0].addr = peers_addr(perm->row, own ? some_relay_port(sim) : 9);
                break;
            }
            if (chan->expires_ms != 0 && in->kind == INTENT_CHANNEL) {
                in->channel = chan->number;
                break;
            }
        }
    }
    wish_payload(sim, in);
    if (in->kind == INTENT_CHANNEL) {
        in->padding = (uint8_t)(prng_chance(r, 200) ? prng_below(r, 4) : 0);
        in->short_length = prng_chance(r, 20);
        in->unknown_attr = false;
    }
}

/* A connection to be bound, mostly one that waits for it, by its user. */
static void wish_conn_bind(struct sim *sim, struct intent *in)
{
    struct prng *r = &sim->random;
    const uint32_t at = prng_below(r, MODEL_CONNS);

    in->kind = INTENT_CONN_BIND;
    in->connection_id = prng_chance(r, 500) ? (uint32_t)prng_next(r) : 0;
    for (uint32_t i = 0; i < MODEL_CONNS && prng_chance(r, 999); i++) {
        const struct model_conn *c = &sim->model.conn[(at + i) % MODEL_CONNS];
        if (c->used && c->id != 0) {
            in->connection_id = c->id;
            in->user =
                c->alloc->user <= MODEL_NOBODY && prng_chance(r, 800) ? c->alloc->user : in->user;
            return;
        }
    }
}

static struct model_alloc *allocation_of(struct sim *sim, const struct actor *a)
{
    const struct net_addr home = peers_listener(a->home, a->addr.family);

    return model_find(&sim->model, &a->addr, &home, sim->now_ms);
}

static void act(struct sim *sim, struct actor *a, uint32_t what)
{
    struct model_alloc *known = allocation_of(sim, a);
    const bool tcp = known != NULL && known->protocol == NET_TCP;
    struct intent in;

    memset(&in, 0, sizeof(in));
    wish_credentials(sim, a, &in);
    wish_extras(sim, &in);
    if (roam_wishes(sim, a)) {
        roam_wish(sim, a, &in);
    } else if (what < 30) {
        in.kind = prng_chance(&sim->random, 700) ? INTENT_BINDING : INTENT_KEEPALIVE;
    } else if (known == NULL ? what < 850 : what < 70) {
        wish_allocate(sim, &in, net_is_stream(sim->transport[a->index]));
        roam_wish_ticket(sim, a, &in);
    } else if (known == NULL ? what < 920 : false) {
        wish_conn_bind(sim, &in);
    } else if (what >= 320 && prng_chance(&sim->random, tcp ? 700 : 20)) {
        in.kind = INTENT_CONNECT;
        wish_peers(sim, known, &in, 1);
    } else if (what < 180) {
        in.kind = INTENT_REFRESH;
        wish_lifetime(sim, &in);
        in.requested_family =
            prng_chance(&sim->random, 200) ? (uint8_t)(1 + prng_below(&sim->random, 3)) : 0;
    } else if (what < 320) {
        in.kind = INTENT_PERMIT;
        wish_peers(sim, known, &in, INTENT_PEERS);
    } else if (what < 500) {
        in.kind = INTENT_BIND;
        wish_peers(sim, known, &in, 1);
        wish_channel(sim, &in);
    } else {
        in.kind = what < 750 ? INTENT_SEND : INTENT_CHANNEL;
        wish_data(sim, known, &in);
    }
    trace_say(&sim->trace, sim->now_ms, "client %u (port %u) sends %s: auth %d, user %u", a->index,
              a->addr.port, message_name(in.kind), (int)in.auth, in.user);
    send_intent(sim, a, &in);
}

/* Much data at once, so that limits of bandwidth are reached. */
static void flood(struct sim *sim, struct actor *a)
{
    struct model_alloc *known = allocation_of(sim, a);
    struct intent in;

    memset(&in, 0, sizeof(in));
    in.kind = prng_chance(&sim->random, 500) ? INTENT_SEND : INTENT_CHANNEL;
    wish_data(sim, known, &in);
    in.payload_len = 1400;
    in.padding = 0;
    for (int i = 0; known != NULL && i < FLOOD; i++) {
        send_intent(sim, a, &in);
    }
}

static void send_noise(struct sim *sim, struct actor *a)
{
    struct net_packet *packet = net_take(&sim->net);
    if (packet == NULL) {
        return;
    }
    packet->to = peers_listener(a->home, a->addr.family);
    packet->len = (uint16_t)prng_below(&sim->random, 80);
    actor_payload((uint32_t)prng_next(&sim->random), packet->data, packet->len);
    if (prng_chance(&sim->random, 500)) {
        packet->data[0] = (uint8_t)(packet->data[0] & 0x43);
    }
    packet->intent.kind = INTENT_NOISE;
    packet->intent.mutated = true;
    dispatch(sim, a, packet);
}

void actor_act(struct sim *sim, struct actor *a)
{
    const uint32_t what = prng_below(&sim->random, 1000);

    a->retries = 0;
    if (what < 850) {
        act(sim, a, prng_below(&sim->random, 1000));
    } else if (what < 930) {
        send_again(sim, a);
    } else if (what < 955) {
        send_noise(sim, a);
    } else if (what < 970) {
        trace_say(&sim->trace, sim->now_ms, "client %u starts again", a->index);
        forget_all(sim, a);
    } else if (what < 980 && sim->model.config->main.max_bps != 0) {
        flood(sim, a);
    } else if (what < 990) {
        hang_up(sim, a);
    } else {
        roam_away(sim, a);
    }
}

/* Another connection, if there is one, is to carry the data. */
static void bind_somewhere(struct sim *sim, uint32_t id)
{
    const uint32_t at = prng_below(&sim->random, sim->actor_count);
    const struct model_conn *c = model_conn_id(&sim->model, id, sim->now_ms);

    for (uint32_t i = 0; c != NULL && i < sim->actor_count; i++) {
        struct actor *a = &sim->actor[(at + i) % sim->actor_count];
        struct intent in = {.kind = INTENT_CONN_BIND, .connection_id = id};
        if (net_is_stream(sim->transport[a->index]) && allocation_of(sim, a) == NULL) {
            wish_credentials(sim, a, &in);
            if (c->alloc->user <= MODEL_NOBODY && prng_chance(&sim->random, 900)) {
                in.user = c->alloc->user;
            }
            wish_extras(sim, &in);
            send_intent(sim, a, &in);
            return;
        }
    }
}

void actor_receive(struct sim *sim, struct actor *a, const struct net_packet *packet)
{
    const struct reply r = client_read(&sim->reader, TURN_TO_CLIENT, packet->data, packet->len);
    const bool challenged = r.nonce.n > 0 && r.nonce.n < sizeof(a->nonce_text);

    if (challenged) {
        memcpy(a->nonce_text, r.nonce.p, r.nonce.n);
        a->nonce_text[r.nonce.n] = '\0';
        a->nonce = packet->nonce;
    }
    roam_keep(a, &packet->ticket);
    /* A challenge is answered at once, and an allocation put to use, most of the time. */
    const bool allocated = r.msg.class == STUN_SUCCESS && r.msg.method == STUN_ALLOCATE;
    if (r.connection_id != 0 && !sim->closing_down && prng_chance(&sim->random, 800)) {
        bind_somewhere(sim, r.connection_id);
    }
    if ((challenged || allocated) && !sim->closing_down && a->retries < ANSWERS_MOST &&
        prng_chance(&sim->random, 800)) {
        a->retries++;
        act(sim, a, allocated ? 180 + prng_below(&sim->random, 320) : 100);
    }
}
