/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of turn_ticket_open(), turn_mobility_find() and turn_mobility_move(), through
 * turn_server_client_packet(): a signed request with a MOBILITY-TICKET (RFC 8016) that is the
 * input.
 *
 * Input: a byte that says who shows the ticket, where and how; then the ticket itself, or what the
 * one that was issued is changed by (exclusive or; what is longer is cut off or added). */
#include <assert.h>
#include <string.h>

#include "lib/client.h"
#include "lib/world.h"
#include "turn/turn_int.h"
#include "wire/stun_code.h"

enum {
    FROM_ISSUED = 0x80, /* else the ticket is the input */
    OF_ANOTHER = 0x40,  /* what is changed is the ticket of another allocation of his */
    TO_STREAM = 0x20,   /* he comes over TCP */
    AWAY = 0x10,        /* his connection has ended */
    IN_ALLOCATE = 0x08,
    BY_THIEF = 0x04,
    AUTH = 0x03,
    TICKET_MOST = 1000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static struct client owner;
static struct client second;
static struct client thief;

static void must(bool what)
{
    assert(what);
    (void)what;
}

static void open_world(uint8_t how)
{
    world_init(&world, 8016);
    world.pool_options.port_max = world.pool_options.port_min + 15;
    must(world_start(&world) == 0);
    (void)world_add_user(&world, "user", "pass");
    (void)world_add_user(&world, "thief", "stolen");
    client_init(&owner, &world, "203.0.113.5:4000", "user", "pass");
    client_init(&second, &world, "203.0.113.6:4000", "user", "pass");
    client_init(&thief, &world, "203.0.113.7:4000", "thief", "stolen");
    owner.transport = (how & AWAY) != 0 ? NET_TCP : NET_UDP;
    must(client_allocate_mobile(&owner).code == 0);
    must(client_allocate_mobile(&second).code == 0);
    if ((how & AWAY) != 0) {
        const struct five_tuple tuple = {owner.addr, world.server_addr[0], NET_TCP};
        turn_server_client_closed(world.server, &tuple, &owner, world.now_ms);
    }
}

/* The ticket to be shown, in `out`; its length. */
static size_t make_ticket(uint8_t how, struct bytes rest, uint8_t out[TICKET_MOST])
{
    const struct client *of = (how & OF_ANOTHER) != 0 ? &second : &owner;
    size_t n = rest.n < TICKET_MOST ? rest.n : TICKET_MOST;

    memset(out, 0, TICKET_MOST);
    if (n > 0) {
        memcpy(out, rest.p, n);
    }
    if ((how & FROM_ISSUED) != 0) {
        n = n < of->ticket_len ? of->ticket_len : n; /* a change of nothing is the ticket itself */
        for (size_t i = 0; i < of->ticket_len; i++) {
            out[i] = (uint8_t)(out[i] ^ of->ticket[i]);
        }
    }
    return n;
}

static bool is(const struct client *c, const uint8_t *ticket, size_t n)
{
    return n == c->ticket_len && memcmp(ticket, c->ticket, n) == 0;
}

/* Only what was issued, to the last bit, to whom it was issued, is worth anything. */
static int code_due(uint8_t how, const uint8_t *ticket, size_t n)
{
    if ((how & IN_ALLOCATE) != 0) {
        return n > 0 ? STUN_BAD_REQUEST : STUN_OK;
    }
    if (!is(&owner, ticket, n) && !is(&second, ticket, n)) {
        return STUN_BAD_REQUEST;
    }
    return (how & BY_THIEF) != 0 ? STUN_WRONG_CREDENTIALS : STUN_OK;
}

static struct reply show(struct client *c, uint8_t how, struct bytes ticket)
{
    const bool allocate = (how & IN_ALLOCATE) != 0;

    c->auth = (enum client_auth)(1 + (how & AUTH) % 3);
    must(client_challenge(c));
    client_begin(c, allocate ? STUN_ALLOCATE : STUN_REFRESH, STUN_REQUEST);
    if (allocate) {
        client_put_transport(c);
    }
    stun_out_attr(&c->out, STUN_MOBILITY_TICKET, ticket);
    client_sign(c);
    return client_submit(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t ticket[TICKET_MOST];

    if (size == 0) {
        return 0;
    }
    const uint8_t how = data[0];
    open_world(how);
    const size_t n = make_ticket(how, (struct bytes){data + 1, size - 1}, ticket);
    const int due = code_due(how, ticket, n);
    const bool allocates = due == STUN_OK && (how & IN_ALLOCATE) != 0;
    struct client *who = (how & BY_THIEF) != 0 ? &thief : &owner;

    client_readdress(who, "203.0.113.77:7000");
    who->nonce[0] = '\0';
    who->transport = (how & TO_STREAM) != 0 ? NET_TCP : NET_UDP;
    const struct reply r = show(who, how, (struct bytes){ticket, n});
    must(r.verdict == TURN_TO_CLIENT && r.integrity_ok && r.code == due);
    must((r.ticket.p != NULL) == (due == STUN_OK));
    must(r.ticket.p == NULL || r.ticket.n == TURN_TICKET_LEN);
    must(world.events.count[TURN_EVENT_MOVED] == (due == STUN_OK && !allocates ? 1 : 0));
    must(turn_server_allocation_count(world.server) == (allocates ? 3 : 2));
    must(world.server->tables.coming.count <= 1);
    (void)r;
    world_stop(&world);
    return 0;
}
