/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a probe that move side A to another address with a ticket (RFC 8016 section 3).  A
 * socket of its own stands for another network: the server sees a client at another 5-tuple. */
#include <errno.h>
#include <string.h>

#include "cmd/probe_advice.h"
#include "cmd/probe_int.h"
#include "wire/stun_code.h"

static const char lost_advice[] =
    "The server took the ticket, but data does not follow the client: a call would go silent when "
    "the client changes networks. The server's log tells of the move; with several workers or "
    "servers, both addresses of the client must reach the one that has the allocation.";

void probe_mobility_keep(struct probe *p, const struct probe_reply *reply)
{
    p->ticket.n = reply->ticket.n <= sizeof(p->ticket.p) ? reply->ticket.n : 0;
    if (p->ticket.n > 0) {
        memcpy(p->ticket.p, reply->ticket.p, p->ticket.n);
    }
}

uint32_t probe_mobility_allocate(struct probe *p, struct probe_note *note)
{
    char text[NET_ADDR_TEXT];

    if (probe_steps_allocate_a(p, note) == 0) {
        return 0;
    }
    if (p->ticket.n == 0) {
        probe_note_say(note, PROBE_FAILED,
                       "The server does not know mobility (RFC 8016): calls end when clients "
                       "change networks. With sterna or coturn, set mobility.",
                       "the server gives an allocation, but no ticket to move with");
        return FACT_RELAY_A;
    }
    probe_note_count(note, "ticket_bytes", p->ticket.n);
    probe_note_say(note, note->mark, note->advice, "relayed address %s, with a ticket of %zu bytes",
                   net_addr_text(&p->relay[SIDE_A], text), p->ticket.n);
    return FACT_RELAY_A | FACT_TICKET;
}

/* A client at an address of its own, not yet known to the server. */
static int newcomer(const struct probe *p, struct probe_client **out)
{
    const struct probe_plan *plan = p->plan;

    return probe_client_new(&plan->server, plan->user, plan->password, plan->timeout_ms, out);
}

/* Refresh with `ticket` from `client` (RFC 8016 section 3.2.1). */
static int redeem(struct probe_client *client, const struct probe_ticket *ticket,
                  struct probe_result *result)
{
    const struct probe_request request = {
        .method = STUN_REFRESH,
        .sign = true,
        .has_ticket = true,
        .ticket = {ticket->p, ticket->n},
    };

    return probe_client_call(client, &request, result);
}

/* Side A speaks from `client` from now on; takes it. */
static void settle(struct probe *p, struct probe_client *client, const struct probe_reply *reply)
{
    probe_client_free(p->left);
    p->left = p->side[SIDE_A];
    p->side[SIDE_A] = client;
    p->used_ticket = p->ticket;
    probe_mobility_keep(p, reply);
}

/* Move side A to a new socket.  True when the server went along; tells of all else. */
static bool move(struct probe *p, struct probe_note *note)
{
    struct probe_client *client = NULL;
    struct probe_result result = {.sent_count = 0};
    int err = newcomer(p, &client);

    if (err == 0) {
        err = redeem(client, &p->ticket, &result);
    }
    if (err < 0 || result.reply.code != 0) {
        probe_steps_tell(note, err, &result);
        if (err == 0 && result.reply.code == STUN_ALLOCATION_MISMATCH) {
            note->advice =
                "The server has forgotten the allocation, or the ticket came to a server or worker "
                "that does not know it: both addresses of a client must reach the same one.";
        }
        probe_client_free(client);
        return false;
    }
    settle(p, client, &result.reply);
    return true;
}

uint32_t probe_mobility_move(struct probe *p, struct probe_note *note)
{
    char text[2][NET_ADDR_TEXT];

    if (!move(p, note)) {
        return 0;
    }
    const char *from = net_addr_text(probe_client_local(p->left), text[0]);
    const char *to = net_addr_text(probe_client_local(p->side[SIDE_A]), text[1]);
    probe_note_text(note, "from", bytes_of(from));
    probe_note_text(note, "to", bytes_of(to));
    probe_note_flag(note, "new_ticket", p->ticket.n > 0);
    if (p->ticket.n == 0) {
        probe_note_say(note, PROBE_WARNING,
                       "RFC 8016 section 3.2.2 has a new ticket in each response: without one, "
                       "clients can move only once.",
                       "the allocation has moved from %s to %s, but no new ticket came", from, to);
        return FACT_MOVED;
    }
    probe_note_say(note, PROBE_OK, NULL, "the allocation has moved from %s to %s", from, to);
    return FACT_MOVED;
}

uint32_t probe_mobility_echo(struct probe *p, struct probe_note *note)
{
    probe_echo_channel(p, note);
    if (note->mark == PROBE_FAILED) {
        note->advice = lost_advice;
        return 0;
    }
    return FACT_FOLLOWED;
}

/* May the allocation still be refreshed from where side A was? */
static bool left_behind(struct probe *p, int *out_code)
{
    const struct probe_request request = {.method = STUN_REFRESH, .sign = true};
    struct probe_result result;
    const int err = probe_client_call(p->left, &request, &result);

    *out_code = err == 0 ? result.reply.code : 0;
    return err < 0 || result.reply.code != 0;
}

/* RFC 8016 section 3.2.2: a ticket that was used is good for a retransmission, not for another
 * client. */
uint32_t probe_mobility_old(struct probe *p, struct probe_note *note)
{
    struct probe_client *client = NULL;
    struct probe_result result = {.sent_count = 0};
    int code;
    int err = newcomer(p, &client);

    if (err == 0) {
        err = redeem(client, &p->used_ticket, &result);
    }
    if (err == 0 && result.reply.code == 0) {
        settle(p, client, &result.reply);
        probe_note_say(note, PROBE_FAILED,
                       "Whoever has seen one ticket on the way, and knows the password, can take "
                       "the call over later (RFC 8016 section 3.2.2).",
                       "the server takes a ticket that was used before");
        return 0;
    }
    probe_client_free(client);
    if (err < 0) {
        probe_steps_tell(note, err, &result);
        return 0;
    }
    probe_note_count(note, "code", (uint64_t)result.reply.code);
    if ((p->facts & FACT_FOLLOWED) != 0 && !left_behind(p, &code)) {
        probe_note_say(note, PROBE_WARNING,
                       "The old address still counts as the client's, although data has come from "
                       "the new one.",
                       "the used ticket is refused (%d), but the old address is still served",
                       (int)result.reply.code);
        return 0;
    }
    probe_note_say(note, PROBE_OK, NULL, "a ticket that was used before is refused (%d)",
                   result.reply.code);
    return 0;
}

uint32_t probe_mobility_again(struct probe *p, struct probe_note *note)
{
    if (p->ticket.n == 0) {
        probe_note_say(note, PROBE_SKIPPED, NULL, "no new ticket came");
        return 0;
    }
    if (!move(p, note)) {
        return 0;
    }
    if ((p->facts & FACT_CHANNELS) == 0) {
        probe_note_say(note, PROBE_OK, NULL, "the new ticket is good for another move");
        return 0;
    }
    probe_mobility_echo(p, note);
    if (note->mark == PROBE_OK) {
        probe_note_say(note, PROBE_OK, NULL,
                       "the new ticket is good for another move, and data follows");
    }
    return 0;
}

uint32_t probe_mobility_verdict(struct probe *p, struct probe_note *note)
{
    const bool follows = (p->facts & FACT_FOLLOWED) != 0;

    probe_note_flag(note, "mobility", follows);
    if (follows) {
        probe_note_say(note, PROBE_OK, NULL,
                       "clients keep their call when they change networks (over UDP)");
        return 0;
    }
    probe_note_say(note, PROBE_FAILED, "See the steps above that failed.",
                   (p->facts & FACT_MOVED) != 0
                       ? "clients can move, but not that their data follows was seen"
                       : "clients lose their call when they change networks");
    return 0;
}
