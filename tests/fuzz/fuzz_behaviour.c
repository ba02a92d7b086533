/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target of turn/behaviour.c and turn/classic.c: a Binding request whose answer may come from
 * elsewhere, or go to another port.
 *
 * Input: a byte that says what is served (1 padding, 2 RESPONSE-PORT, 4 RFC 3489, 8 discovery) and,
 * in its upper half, over what transport and at which address; then a datagram, whose length is put
 * right, and whose cookie is, unless the next byte is odd. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/world.h"
#include "wire/stun_msg.h"
#include "wire/turn_req.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 4096, GROWTH_MAX = 200 };

static struct world world;
static struct net_addr local[TURN_BEHAVIOUR_ADDRS];
static uint8_t ports[TURN_BEHAVIOUR_SETS][TURN_BEHAVIOUR_ADDRS];

static void *port_of(void *arg, uint32_t set, uint32_t at)
{
    (void)arg;
    assert(set < world.config.behaviour.count && at < TURN_BEHAVIOUR_ADDRS);
    return &ports[set][at];
}

static void put_ports(struct turn_effects *effects)
{
    effects->behaviour_port = port_of;
}

static void parse(const char *text, struct net_addr *out)
{
    if (net_addr_parse(text, 0, out) < 0) {
        abort();
    }
}

/* One server for all inputs: nothing of a Binding request stays. */
static void open_world(void)
{
    static const char *const texts[TURN_BEHAVIOUR_ADDRS] = {"192.0.2.1:3478", "192.0.2.1:3479",
                                                            "192.0.2.2:3478", "192.0.2.2:3479"};
    struct turn_behaviour *behaviour = &world.config.behaviour;

    world_init(&world, 1);
    world.edit_effects = put_ports;
    for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
        parse(texts[at], &local[at]);
        for (int i = 0; i < 2; i++) {
            behaviour->sets[i].stream = i == 1;
            behaviour->sets[i].local[at] = local[at];
            behaviour->sets[i].told[at] = local[at];
        }
    }
    if (world_start(&world) < 0) {
        abort();
    }
}

static void serve(uint8_t what)
{
    struct turn_behaviour *behaviour = &world.config.behaviour;

    if (world.server == NULL) {
        open_world();
    }
    behaviour->count = (what & 8) != 0 ? 2 : 0;
    behaviour->padding = (what & 1) != 0;
    behaviour->response_port = (what & 2) != 0;
    world.config.rfc3489 = (what & 4) != 0;
    world.server_addr[0] = local[what >> 6];
}

static bool is_ours(const struct net_addr *addr)
{
    bool found = false;

    for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
        found = found || net_addr_equal(addr, &local[at]);
    }
    return found;
}

/* Whoever has sent the request, it is answered at its address, from one of ours, and is not worth
 * forging: the answer is hardly longer. */
static void check_answer(const struct net_addr *client, uint8_t transport, size_t asked)
{
    const struct pkt *pkt = &world.pkt;
    const bool moved = !net_addr_equal(&pkt->local, &world.server_addr[0]);

    assert(net_ip_equal(&pkt->remote.ip, &client->ip));
    assert(pkt->remote.port == client->port ||
           (world.config.behaviour.response_port && transport == NET_UDP));
    assert(pkt->remote.port != 0);
    assert(is_ours(&pkt->local));
    assert(!moved || (transport == NET_UDP && world.config.behaviour.count > 0));
    assert(!moved || pkt->port != (void *)&world.server_addr);
    assert(pkt->len <= asked + GROWTH_MAX);
    (void)is_ours;
    (void)client;
    (void)transport;
    (void)asked;
    (void)moved;
    (void)pkt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t transports[] = {NET_UDP, NET_TCP, NET_DTLS, NET_PROXIED};
    uint8_t message[MESSAGE_MAX];
    struct net_addr client;

    if (size < 2 + STUN_HEADER || size - 2 > sizeof(message)) {
        return 0;
    }
    const size_t n = (size - 2) & ~(size_t)3;
    const uint8_t transport = transports[data[0] >> 4 & 3];
    memcpy(message, data + 2, n);
    be16_put(message + 2, (uint16_t)(n - STUN_HEADER));
    if ((data[1] & 1) == 0) {
        be32_put(message + 4, STUN_COOKIE);
    }
    parse("203.0.113.5:4000", &client);
    serve(data[0]);
    if (world_from_client_over(&world, &client, transport, &world.server_addr, message, n) ==
        TURN_TO_CLIENT) {
        check_answer(&client, transport, n);
    }
    return 0;
}
