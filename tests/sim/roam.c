/* SPDX-License-Identifier: Apache-2.0 */
/* A client on its way from one address to another, with a ticket for its allocation (RFC 8016). */
#include "sim.h"

void roam_away(struct sim *sim, struct actor *a)
{
    struct prng *r = &sim->random;

    if (a->left.family != NET_NONE && sim->transport[a->index] != NET_UDP) {
        for (uint8_t i = 0; i < SIM_CORES; i++) { /* from there nobody will come any more */
            const struct net_addr server = peers_listener(i, a->left.family);
            admin_close_client(sim, &a->left, &server);
        }
    }
    a->left = a->addr;
    actor_rebind(a);
    a->roaming = a->ticket[0].known;
    if (prng_chance(r, 400)) {
        a->home = (uint8_t)prng_below(r, SIM_CORES);
    }
    trace_say(&sim->trace, sim->now_ms, "client %u goes to port %u", a->index, a->addr.port);
}

bool roam_wishes(struct sim *sim, const struct actor *a)
{
    return a->ticket[0].known && prng_chance(&sim->random, a->roaming ? 700 : 20);
}

void roam_wish(struct sim *sim, const struct actor *a, struct intent *in)
{
    struct prng *r = &sim->random;

    in->kind = INTENT_REFRESH;
    in->ticket_use = TICKET_SHOW;
    in->ticket = a->ticket[a->ticket[1].known && prng_chance(r, 60)];
    in->ticket.forged = prng_chance(r, 30);
    in->payload_seed = prng_below(r, INTENT_TICKET_LEN); /* which byte is forged */
    in->has_lifetime = prng_chance(r, 500);
    in->lifetime_s = prng_chance(r, 60) ? 0 : 600 + prng_below(r, 600);
    in->requested_family = prng_chance(r, 60) ? (uint8_t)(1 + prng_below(r, 2)) : 0;
}

void roam_wish_ticket(struct sim *sim, const struct actor *a, struct intent *in)
{
    struct prng *r = &sim->random;

    in->ticket_use = prng_chance(r, 600) ? TICKET_ASK : TICKET_NO;
    if (a->ticket[0].known && prng_chance(r, 20)) {
        in->ticket_use = TICKET_SHOW;
        in->ticket = a->ticket[0];
    }
}

void roam_keep(struct actor *a, const struct intent_ticket *ticket)
{
    if (ticket->known) {
        a->ticket[1] = a->ticket[0];
        a->ticket[0] = *ticket;
        a->roaming = false;
    }
}

struct net_addr roam_address(struct sim *sim, const struct actor *a)
{
    return a->left.family != NET_NONE && prng_chance(&sim->random, 100) ? a->left : a->addr;
}
