/* SPDX-License-Identifier: Apache-2.0 */
/* Who is where.  Clients on a shared socket differ in their addresses, which are those of a range,
 * one after the other:
 *
 *   first address + 1 + (number among the clients of the socket) + round * (how many they are) */
#include "cmd/bench_int.h"

static bool is_range(const struct bench_plan *plan)
{
    return plan->has_source && plan->source_bits < (net_ip_is_v4(&plan->source) ? 32U : 128U);
}

bool bench_place_shared(const struct bench_engine *e)
{
    return !bench_is_stream(e) && is_range(e->plan);
}

uint32_t bench_place_addresses(const struct bench_engine *e)
{
    const uint32_t width = net_ip_is_v4(&e->source) ? 32 : 128;
    const uint32_t host_bits = width - e->plan->source_bits;

    if (host_bits < 2) {
        return 1;
    }
    return host_bits >= 32 ? UINT32_MAX - 2 : (UINT32_C(1) << host_bits) - 2;
}

/* Address number `n` of the range, over and over. */
static struct net_ip nth_source(const struct bench_engine *e, uint32_t n)
{
    struct net_ip ip = e->source;

    be32_put(ip.b + 12, be32(ip.b + 12) + 1 + n % bench_place_addresses(e));
    return ip;
}

struct net_addr bench_place_source_of(const struct bench_engine *e, uint32_t i)
{
    if (!e->plan->has_source) {
        return (struct net_addr){.family = NET_NONE};
    }
    const uint32_t n = i + e->clients[i].life * e->setup->clients; /* over and over */
    const struct net_ip ip = is_range(e->plan) ? nth_source(e, n) : e->plan->source;
    return net_addr_make(&ip, 0);
}

/* The socket among `count` that serves client `i`: neighbours share one, so that what they send in
 * turn leaves together. */
static uint32_t place_of(const struct bench_engine *e, uint32_t i, uint32_t count)
{
    return (uint32_t)((uint64_t)i * count / e->setup->clients);
}

/* The first client of place `k`. */
static uint32_t first_at(const struct bench_engine *e, uint32_t k, uint32_t count)
{
    return (uint32_t)(((uint64_t)k * e->setup->clients + count - 1) / count);
}

struct bench_socket *bench_place_socket_of(const struct bench_engine *e, uint32_t i)
{
    return &e->sockets[e->sockets[0].sourced ? place_of(e, i, e->socket_count) : i];
}

struct bench_socket *bench_place_peer_of(const struct bench_engine *e, uint32_t i)
{
    return &e->peers[place_of(e, i, e->setup->peer_sockets)];
}

/* How many clients share socket `k`. */
static uint32_t clients_of(const struct bench_engine *e, uint32_t k)
{
    return first_at(e, k + 1, e->socket_count) - first_at(e, k, e->socket_count);
}

struct net_addr bench_place_peer_address(const struct bench_engine *e, uint32_t i)
{
    const struct net_addr *local = &bench_place_peer_of(e, i)->local;

    if (e->setup->pairs) {
        return e->clients[i ^ 1].relayed;
    }
    /* An address that was given is the one that the server sees; our own may be another. */
    return e->plan->has_peer ? net_addr_make(&e->plan->peer, local->port) : *local;
}

uint32_t bench_place_client_at(const struct bench_engine *e, const struct bench_socket *socket,
                               const struct net_ip *to)
{
    if (!socket->sourced) {
        return socket->number;
    }
    if (to == NULL) {
        return UINT32_MAX;
    }
    const uint32_t n = be32(to->b + 12) - be32(e->source.b + 12) - 1;
    const uint32_t i =
        first_at(e, socket->number, e->socket_count) + n % clients_of(e, socket->number);
    return net_ip_equal(&e->clients[i].source, to) ? i : UINT32_MAX;
}

void bench_place_settle(struct bench_engine *e, uint32_t i)
{
    const uint32_t k = place_of(e, i, e->socket_count);
    const uint32_t clients = clients_of(e, k);
    const uint32_t rounds = bench_place_addresses(e) / clients;
    const uint32_t round = rounds == 0 ? 0 : e->clients[i].life % rounds;

    e->clients[i].source = nth_source(e, i - first_at(e, k, e->socket_count) + round * clients);
}

struct net_ip bench_place_network(const struct bench_plan *plan)
{
    struct net_ip ip = plan->source;
    const uint32_t bits = plan->source_bits + (net_ip_is_v4(&ip) ? 96 : 0);

    for (uint32_t k = bits; k < 128; k++) {
        ip.b[k / 8] = (uint8_t)(ip.b[k / 8] & ~(0x80U >> k % 8));
    }
    return ip;
}

bool bench_place_turn(struct bench_engine *e, uint32_t i)
{
    e->clients[i].life++;
    if (bench_is_stream(e) || !e->sockets[0].sourced) {
        return false;
    }
    bench_place_settle(e, i);
    return true;
}
