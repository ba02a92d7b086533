/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/history.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

enum {
    STEP_MS = 200,
    LEAP_MS = 4000,
    NEAR_MS = 3000,
    EDGE_MS = 13, /* deadlines are told to the programs a bit early */
    LIFETIME_MAX_S = 80,
};

static bool chance(struct history *h, uint32_t one_in)
{
    return dice_below(&h->dice, one_in) == 0;
}

static uint8_t any_family(struct history *h)
{
    return chance(h, 2) ? NET_V4 : NET_V6;
}

static struct party *any_slot(struct history *h, bool used)
{
    const uint32_t from = dice_below(&h->dice, h->party_count);

    for (uint32_t i = 0; i < h->party_count; i++) {
        struct party *party = &h->parties[(from + i) % h->party_count];
        if (party->used == used) {
            return party;
        }
    }
    return NULL;
}

struct party *history_any(struct history *h)
{
    return any_slot(h, true);
}

/* Ports at the ends of their range, and such that their bytes look like ChannelData. */
static uint16_t any_port(struct history *h)
{
    static const uint16_t odd[] = {1, 0xffff, 0x4000, 0x4fff, 0xff00, 0x00ff};

    return chance(h, 8) ? odd[dice_below(&h->dice, COUNT_OF(odd))]
                        : (uint16_t)(1024 + dice_below(&h->dice, 60000));
}

static struct net_addr any_host(struct history *h, uint8_t family)
{
    struct net_addr host = stage_host(&h->dice, family);

    host.port = any_port(h);
    return host;
}

/* Speak as that client. */
static struct client *speak(struct history *h, const struct party *party)
{
    struct client *c = &h->client;

    c->addr = party->addr;
    c->nonce[0] = '\0';
    c->ticket_len = party->ticket_len;
    memcpy(c->ticket, party->ticket, party->ticket_len);
    h->requests++;
    return c;
}

/* A client that hears that it has no allocation forgets what it had. */
static void hear(struct party *party, const struct reply *r)
{
    if (r->code == STUN_ALLOCATION_MISMATCH) {
        party->used = false;
    }
}

/* --- what clients do ----------------------------------------------------------------------------
 */

static void put_families(struct history *h, struct client *c)
{
    const uint32_t roll = dice_below(&h->dice, 3);

    if (roll == 0) {
        stun_out_u32(&c->out, STUN_REQUESTED_ADDRESS_FAMILY, UINT32_C(2) << 24);
    } else if (roll == 1) {
        stun_out_u32(&c->out, STUN_ADDITIONAL_ADDRESS_FAMILY, UINT32_C(2) << 24);
    }
}

static void keep_relays(struct party *party, const struct reply *r)
{
    for (uint32_t i = 0; i < r->relayed_count; i++) {
        party->relay[r->relayed[i].family == NET_V4 ? 0 : 1] = r->relayed[i];
    }
}

static void do_allocate(struct history *h)
{
    struct party *party = any_slot(h, false);

    if (party == NULL) {
        return;
    }
    *party = (struct party){.addr = any_host(h, any_family(h))};
    struct client *c = speak(h, party);
    if (h->auth) {
        (void)client_challenge(c);
    }
    client_begin(c, STUN_ALLOCATE, STUN_REQUEST);
    client_put_transport(c);
    put_families(h, c);
    if (h->auth) {
        stun_out_attr(&c->out, STUN_MOBILITY_TICKET, (struct bytes){NULL, 0});
    }
    client_sign(c);
    const struct reply r = client_submit(c);
    if (r.verdict != TURN_TO_CLIENT || r.code != 0) {
        return; /* that client has one already */
    }
    party->used = true;
    keep_relays(party, &r);
    party->ticket_len = r.ticket.n <= sizeof(party->ticket) ? r.ticket.n : 0;
    if (party->ticket_len > 0) {
        memcpy(party->ticket, r.ticket.p, party->ticket_len);
    }
    party->session = h->paths->world.events.last_session;
    h->sessions++;
}

static void bind_to(struct history *h, struct party *party, const struct net_addr *peer)
{
    const uint32_t numbers = h->paths->world.config.channels_5766 ? 0x4000 : 0x1000;
    const uint16_t number = (uint16_t)(0x4000 + dice_below(&h->dice, chance(h, 2) ? 3 : numbers));
    const struct reply r = client_bind(speak(h, party), number, peer);

    hear(party, &r);
    if (r.verdict == TURN_TO_CLIENT && r.code == 0) {
        const uint32_t at = party->channels < PARTY_CHANNELS ? party->channels++
                                                             : dice_below(&h->dice, PARTY_CHANNELS);
        party->number[at] = number;
        party->peer[at] = *peer;
    }
}

/* One of its peers again, or a new one; of either family, whether it has a relay for it or not. */
static struct net_addr any_peer(struct history *h, const struct party *party)
{
    const struct party *other = history_any(h);

    if (party->channels > 0 && chance(h, 3)) {
        return party->peer[dice_below(&h->dice, party->channels)];
    }
    if (chance(h, 6)) { /* another client itself */
        return other->addr;
    }
    return any_host(h, party->relay[1].family == NET_NONE   ? NET_V4
                       : party->relay[0].family == NET_NONE ? NET_V6
                                                            : any_family(h));
}

static void do_bind(struct history *h, struct party *party)
{
    const struct net_addr peer = any_peer(h, party);

    bind_to(h, party, &peer);
}

/* Two clients of this server are peers of one another. */
static void do_pair(struct history *h, struct party *one)
{
    struct party *other = history_any(h);
    const int family = chance(h, 2) ? 0 : 1;

    if (other == one || one->relay[family].family == NET_NONE ||
        other->relay[family].family == NET_NONE) {
        return;
    }
    const struct net_addr relays[2] = {one->relay[family], other->relay[family]};
    bind_to(h, one, &relays[1]);
    if (!chance(h, 4)) {
        bind_to(h, other, &relays[0]);
    }
}

static void do_permit(struct history *h, struct party *party)
{
    const struct net_addr peer = any_peer(h, party);
    const struct reply r = client_permit(speak(h, party), &peer);

    hear(party, &r);
}

static void do_refresh(struct history *h, struct party *party)
{
    const uint32_t lifetime_s = chance(h, 5) ? 0 : 1 + dice_below(&h->dice, LIFETIME_MAX_S);
    const struct reply r = client_refresh(speak(h, party), lifetime_s);

    hear(party, &r); /* packets of a session that was ended go on */
}

/* RFC 8016: from the next packet from there it is the new address's. */
static void do_move(struct history *h, struct party *party)
{
    if (!h->auth || party->ticket_len == 0) {
        return;
    }
    party->was = party->addr;
    party->addr = any_host(h, party->addr.family);
    struct client *c = speak(h, party);
    c->addr = party->was;
    (void)client_challenge(c);
    c->addr = party->addr;
    const struct reply r = client_move(c, LIFETIME_MAX_S);
    if (r.verdict != TURN_TO_CLIENT || r.code != 0) {
        party->addr = party->was;
        return;
    }
    party->ticket_len = c->ticket_len;
    memcpy(party->ticket, c->ticket, c->ticket_len);
}

/* --- what the server does -----------------------------------------------------------------------
 */

/* Other rules: none of the packets before and after may be judged by the wrong ones. */
static void do_reload(struct history *h)
{
    /* The networks of the stage are special-purpose: what isn't opened is closed. */
    static const char *const some[] = {
        "192.0.2.0-192.0.2.255",           "198.51.100.20-198.51.100.255",
        "203.0.113.20-203.0.113.255",      "2001:db8::-2001:db8:1::110",
        "2001:db8:2::108-2001:db8:ffff::", NULL};

    struct turn_config *config = &h->paths->world.config;

    config->copy_dscp = !chance(h, 4);
    config->copy_ecn = !chance(h, 4);
    config->channels_5766 = h->wide && !chance(h, 4);
    config->turn_enabled = !chance(h, 8);
    config->draining = chance(h, 8);
    config->main.max_bps = h->max_bps > 0 && !chance(h, 4) ? h->max_bps : 0;
    paths_reconfigure(h->paths, chance(h, 2) ? some : NULL);
}

/* What was switched off does not stay off for long. */
static bool is_dull(const struct history *h)
{
    const struct turn_config *config = &h->paths->world.config;

    return !config->turn_enabled || config->draining;
}

static void do_close(struct history *h, struct party *party)
{
    (void)!turn_server_close_session(h->paths->world.server, party->session,
                                     h->paths->world.now_ms);
}

/* Straight to a deadline, a little before it, or past it. */
static void to_edge(struct history *h)
{
    struct paths *p = h->paths;
    const struct paths_flow *flow = &p->flows[dice_below(&h->dice, PATHS_CHANNELS / 4)];
    const uint64_t until_ms =
        chance(h, 2) ? flow->is.to_peer_until_ms : flow->is.to_client_until_ms;
    const uint64_t before_ms = dice_below(&h->dice, EDGE_MS);

    if (flow->open && until_ms > p->world.now_ms + before_ms &&
        until_ms < p->world.now_ms + NEAR_MS) {
        paths_advance(p, until_ms - before_ms - p->world.now_ms, chance(h, 2));
    }
}

static void pass_time(struct history *h)
{
    const uint32_t roll = dice_below(&h->dice, 100);
    const bool late = chance(h, 2);

    if (roll < 20) {
        to_edge(h);
    } else if (roll < 50) {
        paths_advance(h->paths, dice_below(&h->dice, STEP_MS), late);
    } else if (roll == 99) {
        paths_advance(h->paths, dice_below(&h->dice, LEAP_MS), late);
    }
}

/* --- all of it ----------------------------------------------------------------------------------
 */

void history_start(struct history *h, struct paths *paths, const struct paths_options *options)
{
    memset(h, 0, sizeof(*h));
    h->paths = paths;
    h->dice.state = options->seed;
    h->auth = options->auth;
    h->wide = options->wide;
    h->max_bps = options->max_bps;
    h->party_count = options->max_bps == 0 ? HISTORY_PARTIES : HISTORY_FEW;
    client_init(&h->client, &paths->world, "192.0.2.99:1", "user", "password");
    h->client.auth = options->auth ? CLIENT_MD5 : CLIENT_NO_AUTH;
}

void history_step(struct history *h)
{
    const uint32_t roll = dice_below(&h->dice, 1000);
    struct party *party = history_any(h);

    if (h->halted || (is_dull(h) && chance(h, 8))) {
        h->halted = false;
        do_reload(h);
    }
    pass_time(h);
    if (party == NULL || roll < 200) {
        do_allocate(h);
    } else if (roll < 550) {
        do_bind(h, party);
    } else if (roll < 690) {
        do_pair(h, party);
    } else if (roll < 810) {
        do_permit(h, party);
    } else if (roll < 940) {
        do_refresh(h, party);
    } else if (roll < 970) {
        do_move(h, party);
    } else if (roll < 980) {
        do_close(h, party);
    } else if (roll < 983) {
        paths_halt(h->paths);
        h->halted = true;
    } else if (roll < 990) {
        do_reload(h);
    }
}
