/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/port_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PARITIES = 2, FIRST_ROOM = 4 };

#define WORD_BITS 64U
#define EVEN_BITS 0x5555555555555555U
#define NONE      UINT32_MAX /* no port number */

enum port_state { PORT_OUTSIDE = 0, PORT_FREE, PORT_USED, PORT_RESTING };

/* A port at rest is a link in the queue of its parity. */
struct port {
    uint64_t given_ms;
    uint32_t next;
    uint32_t prev;
    enum port_state state;
};

/* The ports of one parity at rest, in the order in which they came back. */
struct queue {
    uint32_t oldest;
    uint32_t newest;
};

/* Ports are numbered from pool->base, which is a multiple of 64: the low bit of a number is the low
 * bit of its port, and an even port and the next one always lie in one word. */
struct address {
    struct net_ip ip;
    uint64_t *free_bits;
    struct port *ports;
    struct queue resting[PARITIES];
    uint32_t free_count[PORT_EVEN_PAIR + 1]; /* choices by enum port_want */
    uint32_t used;
};

struct port_pool {
    struct port_pool_options options;
    uint32_t base;
    uint32_t words;
    struct address *addresses;
    size_t count;
    size_t room;
};

/* One choice: a port number of an address. */
struct choice {
    struct address *address;
    uint32_t number;
};

struct port_pool *port_pool_new(const struct port_pool_options *options)
{
    struct port_pool *pool = mem_new(1, sizeof(*pool));

    assert(options->port_min > 0 && options->port_min <= options->port_max);
    if (pool == NULL) {
        return NULL;
    }
    pool->options = *options;
    pool->base = options->port_min / WORD_BITS * WORD_BITS;
    pool->words = (options->port_max - pool->base) / WORD_BITS + 1;
    return pool;
}

void port_pool_free(struct port_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t i = 0; i < pool->count; i++) {
        free(pool->addresses[i].free_bits);
        free(pool->addresses[i].ports);
    }
    free(pool->addresses);
    free(pool);
}

static bool is_free(const struct address *a, uint32_t number)
{
    return (a->free_bits[number / WORD_BITS] >> number % WORD_BITS & 1) != 0;
}

/* What the free counts gain or lose with `number`, whose own bit does not matter. */
static void counts_of(const struct address *a, uint32_t number, uint32_t out[PORT_EVEN_PAIR + 1])
{
    out[PORT_ANY] = 1;
    out[PORT_EVEN] = number % 2 == 0;
    out[PORT_EVEN_PAIR] = is_free(a, number ^ 1);
}

static void free_set(struct address *a, uint32_t number)
{
    uint32_t counts[PORT_EVEN_PAIR + 1];

    counts_of(a, number, counts);
    for (size_t want = 0; want <= PORT_EVEN_PAIR; want++) {
        a->free_count[want] += counts[want];
    }
    a->free_bits[number / WORD_BITS] |= UINT64_C(1) << number % WORD_BITS;
    a->ports[number].state = PORT_FREE;
}

static void free_clear(struct address *a, uint32_t number)
{
    uint32_t counts[PORT_EVEN_PAIR + 1];

    counts_of(a, number, counts);
    for (size_t want = 0; want <= PORT_EVEN_PAIR; want++) {
        a->free_count[want] -= counts[want];
    }
    a->free_bits[number / WORD_BITS] &= ~(UINT64_C(1) << number % WORD_BITS);
}

static void rest_append(struct address *a, uint32_t number, uint64_t now_ms)
{
    struct queue *q = &a->resting[number % PARITIES];

    a->ports[number] = (struct port){
        .given_ms = now_ms,
        .next = NONE,
        .prev = q->newest,
        .state = PORT_RESTING,
    };
    if (q->newest == NONE) {
        q->oldest = number;
    } else {
        a->ports[q->newest].next = number;
    }
    q->newest = number;
}

static void rest_remove(struct address *a, uint32_t number)
{
    struct queue *q = &a->resting[number % PARITIES];
    const struct port *port = &a->ports[number];

    if (port->prev == NONE) {
        q->oldest = port->next;
    } else {
        a->ports[port->prev].next = port->next;
    }
    if (port->next == NONE) {
        q->newest = port->prev;
    } else {
        a->ports[port->next].prev = port->prev;
    }
}

/* Free the ports that have rested long enough. */
static void rest_end(struct port_pool *pool, struct address *a, uint64_t now_ms)
{
    for (size_t parity = 0; parity < PARITIES; parity++) {
        for (;;) {
            const uint32_t number = a->resting[parity].oldest;
            if (number == NONE || now_ms < a->ports[number].given_ms ||
                now_ms - a->ports[number].given_ms < pool->options.quarantine_ms) {
                break;
            }
            rest_remove(a, number);
            free_set(a, number);
        }
    }
}

static struct address *address_find(const struct port_pool *pool, const struct net_ip *ip)
{
    for (size_t i = 0; i < pool->count; i++) {
        if (net_ip_equal(&pool->addresses[i].ip, ip)) {
            return &pool->addresses[i];
        }
    }
    return NULL;
}

static int addresses_grow(struct port_pool *pool)
{
    const size_t room = pool->room == 0 ? FIRST_ROOM : pool->room * 2;
    struct address *addresses = mem_new(room, sizeof(*addresses));

    if (addresses == NULL) {
        return -ENOMEM;
    }
    if (pool->count > 0) {
        memcpy(addresses, pool->addresses, pool->count * sizeof(*addresses));
    }
    free(pool->addresses);
    pool->addresses = addresses;
    pool->room = room;
    return 0;
}

int port_pool_add(struct port_pool *pool, const struct net_ip *ip)
{
    if (address_find(pool, ip) != NULL) {
        return -EEXIST;
    }
    if (pool->count == pool->room) {
        const int err = addresses_grow(pool);
        if (err < 0) {
            return err;
        }
    }
    struct address a = {
        .ip = *ip,
        .free_bits = mem_new(pool->words, sizeof(*a.free_bits)),
        .ports = mem_new((size_t)pool->words * WORD_BITS, sizeof(*a.ports)),
        .resting = {{NONE, NONE}, {NONE, NONE}},
    };
    if (a.free_bits == NULL || a.ports == NULL) {
        free(a.free_bits);
        free(a.ports);
        return -ENOMEM;
    }
    for (uint32_t port = pool->options.port_min; port <= pool->options.port_max; port++) {
        free_set(&a, port - pool->base);
    }
    pool->addresses[pool->count++] = a;
    return 0;
}

/* The bits of `word` at which a choice of the kind `want` starts. */
static uint64_t choices_in(uint64_t word, enum port_want want)
{
    switch (want) {
    case PORT_EVEN:
        return word & EVEN_BITS;
    case PORT_EVEN_PAIR:
        return word & word >> 1 & EVEN_BITS;
    case PORT_ANY:
        break;
    }
    return word;
}

/* The `k`-th free choice of `a`, from 0; there are more than `k`. */
static uint32_t choice_number(const struct address *a, enum port_want want, uint32_t k)
{
    uint32_t at = 0;
    uint64_t choices = choices_in(a->free_bits[0], want);

    for (;;) {
        const uint32_t here = (uint32_t)__builtin_popcountll(choices);
        if (k < here) {
            break;
        }
        k -= here;
        choices = choices_in(a->free_bits[++at], want);
    }
    for (; k > 0; k--) {
        choices &= choices - 1;
    }
    return at * WORD_BITS + (uint32_t)__builtin_ctzll(choices);
}

/* 0..n-1.  64 random bits: the bias of the remainder is below n / 2^64. */
static uint32_t random_below(const struct port_pool *pool, uint32_t n)
{
    uint8_t raw[sizeof(uint64_t)];
    uint64_t number;

    pool->options.random_fill(pool->options.random_arg, raw, sizeof(raw));
    memcpy(&number, raw, sizeof(number));
    return (uint32_t)(number % n);
}

/* When both ports of the pair at `number` have come back: 0 for one that never rested; false when
 * one of them is in use or outside. */
static bool pair_rested_since(const struct address *a, uint32_t number, uint64_t *since)
{
    *since = 0;
    for (uint32_t i = number; i <= number + 1; i++) {
        const struct port *port = &a->ports[i];
        if (port->state == PORT_RESTING) {
            *since = port->given_ms > *since ? port->given_ms : *since;
        } else if (port->state != PORT_FREE) {
            return false;
        }
    }
    return true;
}

/* The pair that has rested longest, or NONE.  Linear in the ports, and only asked when no free pair
 * is left. */
static uint32_t pair_rested_longest(const struct port_pool *pool, const struct address *a)
{
    uint32_t best = NONE;
    uint64_t best_since = UINT64_MAX;

    for (uint32_t number = 0; number < pool->words * WORD_BITS; number += 2) {
        uint64_t since;
        if (pair_rested_since(a, number, &since) && (best == NONE || since < best_since)) {
            best = number;
            best_since = since;
        }
    }
    return best;
}

/* What has rested longest on `a`, and since when; NONE when nothing fits. */
static uint32_t rested_longest(const struct port_pool *pool, const struct address *a,
                               enum port_want want, uint64_t *since)
{
    uint32_t number = a->resting[0].oldest;
    const uint32_t odd = a->resting[1].oldest;

    if (want == PORT_EVEN_PAIR) {
        number = pair_rested_longest(pool, a);
        if (number != NONE) {
            (void)pair_rested_since(a, number, since);
        }
        return number;
    }
    if (want == PORT_ANY && odd != NONE &&
        (number == NONE || a->ports[odd].given_ms < a->ports[number].given_ms)) {
        number = odd;
    }
    if (number != NONE) {
        *since = a->ports[number].given_ms;
    }
    return number;
}

static bool is_asked(const struct address *a, const struct net_ip *ip, uint8_t family)
{
    return ip != NULL ? net_ip_equal(&a->ip, ip) : net_ip_is_v4(&a->ip) == (family == NET_V4);
}

/* One of the `total` free choices of the addresses asked for, each as likely as any other. */
static struct choice choose_free(const struct port_pool *pool, const struct net_ip *ip,
                                 uint8_t family, enum port_want want, uint32_t total)
{
    uint32_t k = random_below(pool, total);
    size_t i = 0;

    while (!is_asked(&pool->addresses[i], ip, family) || k >= pool->addresses[i].free_count[want]) {
        k -= is_asked(&pool->addresses[i], ip, family) ? pool->addresses[i].free_count[want] : 0;
        i++;
    }
    return (struct choice){&pool->addresses[i], choice_number(&pool->addresses[i], want, k)};
}

/* What has rested longest on all the addresses asked for; its number is NONE when nothing fits. */
static struct choice choose_rested(const struct port_pool *pool, const struct net_ip *ip,
                                   uint8_t family, enum port_want want)
{
    struct choice best = {NULL, NONE};
    uint64_t best_since = UINT64_MAX;

    for (size_t i = 0; i < pool->count; i++) {
        struct address *a = &pool->addresses[i];
        uint64_t since = 0;
        const uint32_t number =
            is_asked(a, ip, family) ? rested_longest(pool, a, want, &since) : NONE;
        if (number != NONE && (best.number == NONE || since < best_since)) {
            best = (struct choice){a, number};
            best_since = since;
        }
    }
    return best;
}

static void port_use(struct address *a, uint32_t number)
{
    if (a->ports[number].state == PORT_RESTING) {
        rest_remove(a, number);
    } else {
        free_clear(a, number);
    }
    a->ports[number].state = PORT_USED;
    a->used++;
}

int port_pool_take(struct port_pool *pool, const struct net_ip *ip, uint8_t family,
                   enum port_want want, uint64_t now_ms, struct net_addr *out)
{
    uint32_t total = 0;
    bool known = false;

    for (size_t i = 0; i < pool->count; i++) {
        struct address *a = &pool->addresses[i];
        if (is_asked(a, ip, family)) {
            known = true;
            rest_end(pool, a, now_ms);
            total += a->free_count[want];
        }
    }
    if (!known) {
        return -ENOENT;
    }
    const struct choice choice = total > 0 ? choose_free(pool, ip, family, want, total)
                                           : choose_rested(pool, ip, family, want);
    if (choice.number == NONE) {
        return -ENOSPC;
    }
    port_use(choice.address, choice.number);
    if (want == PORT_EVEN_PAIR) {
        port_use(choice.address, choice.number + 1);
    }
    *out = net_addr_make(&choice.address->ip, (uint16_t)(pool->base + choice.number));
    return 0;
}

void port_pool_give(struct port_pool *pool, const struct net_addr *addr, uint64_t now_ms)
{
    struct address *a = address_find(pool, &addr->ip);
    const uint32_t number = addr->port - pool->base;

    assert(a != NULL && number < pool->words * WORD_BITS && a->ports[number].state == PORT_USED);
    a->used--;
    rest_append(a, number, now_ms);
}

uint32_t port_pool_used(const struct port_pool *pool, uint8_t family)
{
    uint32_t used = 0;

    for (size_t i = 0; i < pool->count; i++) {
        used += is_asked(&pool->addresses[i], NULL, family) ? pool->addresses[i].used : 0;
    }
    return used;
}

uint32_t port_pool_size(const struct port_pool *pool, uint8_t family)
{
    const uint32_t each = (uint32_t)pool->options.port_max - pool->options.port_min + 1;
    uint32_t size = 0;

    for (size_t i = 0; i < pool->count; i++) {
        size += is_asked(&pool->addresses[i], NULL, family) ? each : 0;
    }
    return size;
}
