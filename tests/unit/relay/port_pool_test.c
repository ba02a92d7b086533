/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/port_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "dice.h"

#define REST_MS 60000

static struct dice dice;

static struct port_pool *pool_make(uint16_t min, uint16_t max, uint64_t quarantine_ms,
                                   size_t addresses)
{
    const struct port_pool_options options = {
        .port_min = min,
        .port_max = max,
        .quarantine_ms = quarantine_ms,
        .random_fill = dice_fill,
        .random_arg = &dice,
    };
    struct port_pool *pool = port_pool_new(&options);

    assert_non_null(pool);
    dice.state = 6056;
    for (size_t i = 0; i < addresses; i++) {
        const uint8_t v4[4] = {192, 0, 2, (uint8_t)(i + 1)};
        const struct net_ip ip = net_ip_v4(v4);
        assert_int_equal(port_pool_add(pool, &ip), 0);
        assert_int_equal(port_pool_add(pool, &ip), -EEXIST);
    }
    return pool;
}

static struct net_ip v6_of(uint8_t last)
{
    return (struct net_ip){{0x20, 0x01, 0x0d, 0xb8, [15] = last}};
}

/* Take one of any IPv4 address; it must be there. */
static uint16_t take(struct port_pool *pool, enum port_want want, uint64_t now_ms)
{
    struct net_addr out;

    assert_int_equal(port_pool_take(pool, NULL, NET_V4, want, now_ms, &out), 0);
    assert_int_equal(out.family, NET_V4);
    return out.port;
}

static int try_take(struct port_pool *pool, enum port_want want, uint64_t now_ms)
{
    struct net_addr out;

    return port_pool_take(pool, NULL, NET_V4, want, now_ms, &out);
}

/* Give back a port of the first IPv4 address. */
static void give(struct port_pool *pool, uint16_t port, uint64_t now_ms)
{
    const uint8_t v4[4] = {192, 0, 2, 1};
    const struct net_ip ip = net_ip_v4(v4);
    const struct net_addr addr = net_addr_make(&ip, port);

    port_pool_give(pool, &addr, now_ms);
}

/* ---- the whole range, and nothing else ---- */

/* Proves T-8656-7.2-21 */
static void take__hands_out_each_port_once_then_none(void **state)
{
    static const uint16_t ranges[][2] = {
        {49152, 65535}, {1024, 1024},   {65535, 65535}, {1025, 1088}, {50000, 50063},
        {50001, 50064}, {49999, 50128}, {65534, 65535}, {63, 64},     {1, 65535},
    };
    static bool seen[65536];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        const uint32_t size = (uint32_t)ranges[i][1] - ranges[i][0] + 1;
        struct port_pool *pool = pool_make(ranges[i][0], ranges[i][1], REST_MS, 1);

        memset(seen, 0, sizeof(seen));
        assert_int_equal(port_pool_size(pool, NET_V4), size);
        for (uint32_t n = 0; n < size; n++) {
            const uint16_t port = take(pool, PORT_ANY, 0);
            assert_in_range(port, ranges[i][0], ranges[i][1]);
            assert_false(seen[port]);
            seen[port] = true;
            assert_int_equal(port_pool_used(pool, NET_V4), n + 1);
        }
        assert_int_equal(try_take(pool, PORT_ANY, 0), -ENOSPC);
        assert_int_equal(try_take(pool, PORT_EVEN, 0), -ENOSPC);
        assert_int_equal(try_take(pool, PORT_EVEN_PAIR, 0), -ENOSPC);
        port_pool_free(pool);
    }
}

/* A range of one port: the check that answers 508 (EVEN-PORT with R set). */
static void take__a_range_of_one_port_holds_no_pair(void **state)
{
    struct port_pool *even = pool_make(50000, 50000, REST_MS, 1);
    struct port_pool *odd = pool_make(50001, 50001, REST_MS, 1);

    (void)state;
    assert_int_equal(try_take(even, PORT_EVEN_PAIR, 0), -ENOSPC);
    assert_int_equal(take(even, PORT_EVEN, 0), 50000);
    assert_int_equal(try_take(odd, PORT_EVEN_PAIR, 0), -ENOSPC);
    assert_int_equal(try_take(odd, PORT_EVEN, 0), -ENOSPC);
    assert_int_equal(take(odd, PORT_ANY, 0), 50001);
    port_pool_free(even);
    port_pool_free(odd);
}

static void take__even_ports_are_even_and_all_of_them(void **state)
{
    struct port_pool *pool = pool_make(50001, 50131, REST_MS, 1);

    (void)state;
    for (size_t i = 0; i < 65; i++) {
        assert_int_equal(take(pool, PORT_EVEN, 0) % 2, 0);
    }
    assert_int_equal(try_take(pool, PORT_EVEN, 0), -ENOSPC);
    for (size_t i = 0; i < 66; i++) {
        assert_int_equal(take(pool, PORT_ANY, 0) % 2, 1);
    }
    port_pool_free(pool);
}

/* A pair is an even port and the next: an odd first port and an even last one are in none. */
static void take__pairs_never_overlap_and_use_every_pair(void **state)
{
    static bool seen[65536];
    struct port_pool *pool = pool_make(50001, 50130, REST_MS, 1);

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        const uint16_t port = take(pool, PORT_EVEN_PAIR, 0);
        assert_int_equal(port % 2, 0);
        assert_in_range(port, 50002, 50128);
        assert_false(seen[port] || seen[port + 1]);
        seen[port] = true;
        seen[port + 1] = true;
    }
    assert_int_equal(port_pool_used(pool, NET_V4), 128);
    assert_int_equal(try_take(pool, PORT_EVEN_PAIR, 0), -ENOSPC);
    assert_int_equal(take(pool, PORT_EVEN, 0), 50130);
    assert_int_equal(take(pool, PORT_ANY, 0), 50001);
    port_pool_free(pool);
}

/* coturn lost a port with every EVEN-PORT request without R (4adbd82e). */
static void take__even_port_loops_lose_no_port(void **state)
{
    struct port_pool *pool = pool_make(50000, 50099, 10, 1);

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        const enum port_want want = (enum port_want)(i % 3);
        const uint16_t port = take(pool, want, i);
        give(pool, port, i);
        if (want == PORT_EVEN_PAIR) {
            give(pool, (uint16_t)(port + 1), i);
        }
        assert_int_equal(port_pool_used(pool, NET_V4), 0);
    }
    for (size_t i = 0; i < 50; i++) {
        (void)take(pool, PORT_EVEN_PAIR, 200000);
    }
    assert_int_equal(port_pool_used(pool, NET_V4), 100);
    port_pool_free(pool);
}

/* ---- chance ---- */

/* Pearson's statistic over `n` equally likely cells. */
static double chi_square(const uint32_t *counts, size_t n, double draws)
{
    const double expected = draws / (double)n;
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double off = (double)counts[i] - expected;
        sum += off * off / expected;
    }
    return sum;
}

/* A fair pool stays within five standard deviations of the degrees of freedom.  The seed is fixed:
 * the test always gives the same. */
/* Proves T-8656-7.2-23 */
static void take__is_uniform_over_what_is_free(void **state)
{
    enum { MIN = 50000, PORTS = 1024, DRAWS = 200000 };

    static const enum port_want wants[] = {PORT_ANY, PORT_EVEN, PORT_EVEN_PAIR};

    (void)state;
    for (size_t w = 0; w < COUNT_OF(wants); w++) {
        static uint32_t counts[PORTS];
        struct port_pool *pool = pool_make(MIN, MIN + PORTS - 1, 0, 1);
        const int step = wants[w] == PORT_ANY ? 1 : 2;

        memset(counts, 0, sizeof(counts));
        for (uint64_t i = 0; i < DRAWS; i++) {
            const uint16_t port = take(pool, wants[w], i);
            counts[(port - MIN) / step]++;
            give(pool, port, i);
            if (wants[w] == PORT_EVEN_PAIR) {
                give(pool, (uint16_t)(port + 1), i);
            }
        }
        const size_t cells = (size_t)(PORTS / step);
        const double freedom = (double)cells - 1;
        const double off = chi_square(counts, cells, DRAWS) - freedom;
        assert_true(off * off < 25 * 2 * freedom);
        port_pool_free(pool);
    }
}

/* Also when most ports are taken: the last few free ones are equally likely. */
static void take__is_uniform_in_a_nearly_full_range(void **state)
{
    enum { MIN = 49152, MAX = 65535, FREE = 16, DRAWS = 16000 };

    static const uint16_t kept[FREE] = {49152, 49153, 49215, 49216, 50000, 52001, 54321, 55555,
                                        56000, 57345, 60000, 61111, 62222, 65472, 65534, 65535};
    struct port_pool *pool = pool_make(MIN, MAX, 0, 1);
    uint32_t counts[FREE] = {0};

    (void)state;
    for (size_t i = 0; i <= MAX - MIN; i++) {
        (void)take(pool, PORT_ANY, 0);
    }
    for (size_t i = 0; i < FREE; i++) {
        give(pool, kept[i], 0);
    }
    for (size_t i = 0; i < DRAWS; i++) {
        const uint16_t port = take(pool, PORT_ANY, 1);
        size_t cell = 0;
        while (cell < FREE && kept[cell] != port) {
            cell++;
        }
        assert_true(cell < FREE);
        counts[cell]++;
        give(pool, port, 1);
    }
    const double off = chi_square(counts, FREE, DRAWS) - (FREE - 1);
    assert_true(off * off < 25 * 2 * (FREE - 1));
    port_pool_free(pool);
}

static void take__the_next_port_does_not_follow_from_the_last(void **state)
{
    enum { DRAWS = 10000 };
    struct port_pool *pool = pool_make(49152, 65535, REST_MS, 1);
    uint32_t ascending = 0;
    uint32_t neighbours = 0;
    int last = take(pool, PORT_ANY, 0);

    (void)state;
    for (size_t i = 0; i < DRAWS; i++) {
        const int port = take(pool, PORT_ANY, 0);
        ascending += port > last;
        neighbours += abs(port - last) == 1;
        last = port;
    }
    assert_in_range(ascending, DRAWS / 2 - 250, DRAWS / 2 + 250);
    assert_true(neighbours < 20);
    port_pool_free(pool);
}

static void take__spreads_over_the_addresses(void **state)
{
    enum { ADDRESSES = 4, DRAWS = 8000 };
    struct port_pool *pool = pool_make(50000, 53999, REST_MS, ADDRESSES);
    uint32_t counts[ADDRESSES] = {0};
    struct net_addr out;

    (void)state;
    assert_int_equal(port_pool_size(pool, NET_V4), ADDRESSES * 4000);
    for (size_t i = 0; i < DRAWS; i++) {
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_ANY, 0, &out), 0);
        counts[out.ip.b[15] - 1]++;
    }
    for (size_t i = 0; i < ADDRESSES; i++) {
        assert_in_range(counts[i], DRAWS / ADDRESSES - 200, DRAWS / ADDRESSES + 200);
    }
    for (size_t i = DRAWS; i < (size_t)ADDRESSES * 4000;
         i++) { /* to the last port of the last one */
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_ANY, 0, &out), 0);
    }
    assert_int_equal(try_take(pool, PORT_ANY, 0), -ENOSPC);
    port_pool_free(pool);
}

/* ---- addresses and families ---- */

static void take__finds_the_address_and_the_family_asked_for(void **state)
{
    struct port_pool *pool = pool_make(50000, 50009, REST_MS, 1);
    const struct net_ip v6[] = {v6_of(1), v6_of(2), v6_of(3)};
    struct net_addr out = {.port = 7};

    (void)state;
    assert_int_equal(port_pool_take(pool, NULL, NET_V6, PORT_ANY, 0, &out), -ENOENT);
    assert_int_equal(port_pool_size(pool, NET_V6), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(port_pool_add(pool, &v6[i]), 0);
    }
    assert_int_equal(port_pool_add(pool, &v6[0]), -EEXIST);
    assert_int_equal(port_pool_take(pool, &v6[2], NET_V6, PORT_ANY, 0, &out), -ENOENT);
    assert_int_equal(out.port, 7); /* untouched by failures */
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(port_pool_take(pool, &v6[1], NET_V6, PORT_ANY, 0, &out), 0);
        assert_true(net_ip_equal(&out.ip, &v6[1]));
        assert_int_equal(out.family, NET_V6);
    }
    assert_int_equal(port_pool_take(pool, &v6[1], NET_V6, PORT_ANY, 0, &out), -ENOSPC);
    assert_int_equal(port_pool_take(pool, NULL, NET_V6, PORT_ANY, 0, &out), 0);
    assert_true(net_ip_equal(&out.ip, &v6[0]));
    assert_int_equal(port_pool_used(pool, NET_V6), 11);
    assert_int_equal(port_pool_size(pool, NET_V6), 20);
    assert_int_equal(port_pool_used(pool, NET_V4), 0);
    port_pool_free(pool);
}

static void add__many_addresses(void **state)
{
    enum { MANY = 100 };
    struct port_pool *pool = pool_make(1024, 1025, REST_MS, MANY);
    struct net_addr out;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_EVEN_PAIR, 0, &out), 0);
    }
    assert_int_equal(try_take(pool, PORT_ANY, 0), -ENOSPC);
    port_pool_free(pool);
}

/* ---- quarantine ---- */

static void rest__a_port_is_not_handed_out_before_its_time(void **state)
{
    struct port_pool *pool = pool_make(50000, 50063, REST_MS, 1);
    const uint16_t resting = take(pool, PORT_ANY, 0);

    (void)state;
    give(pool, resting, 1000);
    assert_int_equal(port_pool_used(pool, NET_V4), 0);
    for (size_t i = 0; i < 63; i++) { /* while others are free it rests */
        assert_int_not_equal(take(pool, PORT_ANY, 1000 + REST_MS - 1), resting);
    }
    assert_int_equal(take(pool, PORT_ANY, 1000 + REST_MS), resting);
    assert_int_equal(try_take(pool, PORT_ANY, 1000 + REST_MS), -ENOSPC);
    port_pool_free(pool);
}

static void rest__the_port_that_rested_longest_goes_first_when_none_is_free(void **state)
{
    static const uint16_t order[] = {50003, 50000, 50002, 50001};
    struct port_pool *pool = pool_make(50000, 50003, REST_MS, 1);

    (void)state;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            (void)take(pool, PORT_ANY, round * 10);
        }
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            give(pool, order[i], round * 10 + i);
        }
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            assert_int_equal(take(pool, PORT_ANY, round * 10 + 9), order[i]);
        }
        assert_int_equal(try_take(pool, PORT_ANY, round * 10 + 9), -ENOSPC);
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            give(pool, order[i], round * 10 + 9);
        }
    }
    port_pool_free(pool);
}

static void rest__even_and_pairs_fall_back_to_the_oldest_too(void **state)
{
    struct port_pool *pool = pool_make(50000, 50005, REST_MS, 1);

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        (void)take(pool, PORT_ANY, 0);
    }
    give(pool, 50003, 1);
    give(pool, 50004, 2);
    give(pool, 50005, 3);
    give(pool, 50002, 4);
    /* The pair 50002, 50003 is whole since 4, the pair 50004, 50005 since 3. */
    assert_int_equal(take(pool, PORT_EVEN_PAIR, 5), 50004);
    assert_int_equal(take(pool, PORT_EVEN_PAIR, 5), 50002);
    assert_int_equal(try_take(pool, PORT_EVEN_PAIR, 5), -ENOSPC);
    give(pool, 50001, 6);
    give(pool, 50004, 7);
    give(pool, 50002, 8);
    assert_int_equal(take(pool, PORT_EVEN, 9), 50004);
    assert_int_equal(take(pool, PORT_EVEN, 9), 50002);
    assert_int_equal(try_take(pool, PORT_EVEN, 9), -ENOSPC);
    assert_int_equal(take(pool, PORT_ANY, 9), 50001);
    port_pool_free(pool);
}

/* A pair of which one port is free and one rests is worth more than none. */
static void rest__a_pair_may_be_half_free(void **state)
{
    struct port_pool *pool = pool_make(50000, 50001, REST_MS, 1);

    (void)state;
    give(pool, take(pool, PORT_EVEN, 0), 0);
    assert_int_equal(take(pool, PORT_EVEN_PAIR, 1), 50000);
    assert_int_equal(port_pool_used(pool, NET_V4), 2);
    give(pool, 50001, 2);
    assert_int_equal(try_take(pool, PORT_EVEN_PAIR, 3), -ENOSPC);
    port_pool_free(pool);
}

static void rest__the_oldest_of_all_addresses_is_found(void **state)
{
    struct port_pool *pool = pool_make(50000, 50000, REST_MS, 3);
    struct net_addr addrs[3];
    struct net_addr out;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_ANY, 0, &addrs[i]), 0);
    }
    port_pool_give(pool, &addrs[1], 1);
    port_pool_give(pool, &addrs[2], 2);
    port_pool_give(pool, &addrs[0], 3);
    static const size_t order[] = {1, 2, 0};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_ANY, 4, &out), 0);
        assert_true(net_addr_equal(&out, &addrs[order[i]]));
    }
    port_pool_free(pool);
}

static void rest__a_clock_at_the_end_of_its_range_or_stepping_back_does_no_harm(void **state)
{
    struct port_pool *pool = pool_make(50000, 50001, REST_MS, 1);
    const uint16_t late = take(pool, PORT_ANY, 0);

    (void)state;
    give(pool, late, UINT64_MAX - 10);
    assert_int_not_equal(take(pool, PORT_ANY, 5), late); /* earlier than it was given back */
    assert_int_equal(take(pool, PORT_ANY, UINT64_MAX), late);
    give(pool, late, 5000000);
    give(pool, (uint16_t)(late ^ 1), 5000000 - 2 * REST_MS);
    assert_int_equal(take(pool, PORT_ANY, 5000000 - REST_MS), late ^ 1);
    port_pool_free(pool);
}

/* ---- a naive model ---- */

enum { MODEL_MIN = 1027, MODEL_PORTS = 200, MODEL_REST_MS = 50 };

struct model_port {
    bool used;
    bool resting;
    uint64_t given_ms;
};

static bool model_fits(const struct model_port *ports, size_t i, enum port_want want, bool rested)
{
    const bool pair = want == PORT_EVEN_PAIR;

    if (want != PORT_ANY && (i + MODEL_MIN) % 2 != 0) {
        return false;
    }
    for (size_t j = i; j <= i + pair; j++) {
        if (j >= MODEL_PORTS || ports[j].used || (ports[j].resting && !rested)) {
            return false;
        }
    }
    return true;
}

static uint64_t model_since(const struct model_port *ports, size_t i, enum port_want want)
{
    uint64_t since = ports[i].resting ? ports[i].given_ms : 0;

    if (want == PORT_EVEN_PAIR && ports[i + 1].resting && ports[i + 1].given_ms > since) {
        since = ports[i + 1].given_ms;
    }
    return since;
}

/* Check what the pool took, or that it took nothing, against the model; then follow it. */
static void model_take(struct model_port *ports, struct port_pool *pool, uint64_t now_ms)
{
    const enum port_want want = (enum port_want)dice_below(&dice, 3);
    struct net_addr out;
    size_t free_choices = 0;
    size_t rested_choices = 0;
    uint64_t oldest = UINT64_MAX;

    for (size_t i = 0; i < MODEL_PORTS; i++) {
        if (ports[i].resting && now_ms - ports[i].given_ms >= MODEL_REST_MS) {
            ports[i].resting = false;
        }
    }
    for (size_t i = 0; i < MODEL_PORTS; i++) {
        free_choices += model_fits(ports, i, want, false);
        if (model_fits(ports, i, want, true)) {
            const uint64_t since = model_since(ports, i, want);
            rested_choices++;
            oldest = since < oldest ? since : oldest;
        }
    }
    const int err = port_pool_take(pool, NULL, NET_V4, want, now_ms, &out);
    assert_int_equal(err, rested_choices > 0 ? 0 : -ENOSPC);
    if (err != 0) {
        return;
    }
    const size_t i = (size_t)(out.port - MODEL_MIN);
    assert_true(out.port >= MODEL_MIN && model_fits(ports, i, want, free_choices == 0));
    if (free_choices == 0) {
        assert_int_equal(model_since(ports, i, want), oldest);
    }
    for (size_t j = i; j <= i + (want == PORT_EVEN_PAIR); j++) {
        ports[j] = (struct model_port){.used = true};
    }
}

static void model_give(struct model_port *ports, struct port_pool *pool, uint64_t now_ms)
{
    const size_t start = dice_below(&dice, MODEL_PORTS);

    for (size_t n = 0; n < MODEL_PORTS; n++) {
        const size_t i = (start + n) % MODEL_PORTS;
        if (ports[i].used) {
            give(pool, (uint16_t)(i + MODEL_MIN), now_ms);
            ports[i] = (struct model_port){.resting = true, .given_ms = now_ms};
            return;
        }
    }
}

static void model__the_pool_agrees_over_many_random_steps(void **state)
{
    enum { STEPS = 60000, PHASE = 500 };
    static struct model_port ports[MODEL_PORTS];
    struct port_pool *pool = pool_make(MODEL_MIN, MODEL_MIN + MODEL_PORTS - 1, MODEL_REST_MS, 1);
    uint64_t now_ms = 1;

    (void)state;
    for (uint32_t step = 0; step < STEPS; step++) {
        /* Phases of mostly taking and mostly giving: from empty to full and back. */
        const bool filling = step / PHASE % 2 == 0;
        const uint32_t roll = dice_below(&dice, 10);
        now_ms += dice_below(&dice, 3);
        if (filling ? roll < 7 : roll < 3) {
            model_take(ports, pool, now_ms);
        } else {
            model_give(ports, pool, now_ms);
        }
        uint32_t used = 0;
        for (size_t i = 0; i < MODEL_PORTS; i++) {
            used += ports[i].used;
        }
        assert_int_equal(port_pool_used(pool, NET_V4), used);
    }
    port_pool_free(pool);
}

/* Counters neither wrap nor drift: two million turns on a few ports, then every port is there. */
static void model__long_runs_lose_nothing(void **state)
{
    enum { PORTS = 8, TURNS = 2000000 };
    struct port_pool *pool = pool_make(65528, 65535, 5, 1);
    uint64_t now_ms = UINT64_C(1) << 40; /* past 32 bits of milliseconds */
    uint16_t held = take(pool, PORT_ANY, now_ms);

    (void)state;
    for (size_t i = 0; i < TURNS; i++) {
        const uint16_t next = take(pool, PORT_ANY, now_ms);
        assert_int_not_equal(next, held);
        give(pool, held, now_ms);
        held = next;
        now_ms += i % 3;
    }
    give(pool, held, now_ms);
    assert_int_equal(port_pool_used(pool, NET_V4), 0);
    for (size_t i = 0; i < PORTS; i++) {
        (void)take(pool, PORT_ANY, now_ms);
    }
    assert_int_equal(try_take(pool, PORT_ANY, now_ms), -ENOSPC);
    port_pool_free(pool);
}

static void memory__a_failed_allocation_leaves_the_pool_as_it_was(void **state)
{
    int err = -ENOMEM;

    (void)state;
    for (long n = 0; err != 0; n++) {
        struct port_pool *pool = pool_make(50000, 50003, REST_MS, 4);
        const struct net_ip ip = v6_of(1);
        struct net_addr out;

        mem_fail_at(n);
        err = port_pool_add(pool, &ip);
        mem_fail_at(-1);
        assert_true(err == 0 || err == -ENOMEM);
        assert_int_equal(port_pool_size(pool, NET_V6), err == 0 ? 4 : 0);
        assert_int_equal(port_pool_take(pool, NULL, NET_V4, PORT_ANY, 0, &out), 0);
        port_pool_free(pool);
    }
    port_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__hands_out_each_port_once_then_none),
        cmocka_unit_test(take__a_range_of_one_port_holds_no_pair),
        cmocka_unit_test(take__even_ports_are_even_and_all_of_them),
        cmocka_unit_test(take__pairs_never_overlap_and_use_every_pair),
        cmocka_unit_test(take__even_port_loops_lose_no_port),
        cmocka_unit_test(take__is_uniform_over_what_is_free),
        cmocka_unit_test(take__is_uniform_in_a_nearly_full_range),
        cmocka_unit_test(take__the_next_port_does_not_follow_from_the_last),
        cmocka_unit_test(take__spreads_over_the_addresses),
        cmocka_unit_test(take__finds_the_address_and_the_family_asked_for),
        cmocka_unit_test(add__many_addresses),
        cmocka_unit_test(rest__a_port_is_not_handed_out_before_its_time),
        cmocka_unit_test(rest__the_port_that_rested_longest_goes_first_when_none_is_free),
        cmocka_unit_test(rest__even_and_pairs_fall_back_to_the_oldest_too),
        cmocka_unit_test(rest__a_pair_may_be_half_free),
        cmocka_unit_test(rest__the_oldest_of_all_addresses_is_found),
        cmocka_unit_test(rest__a_clock_at_the_end_of_its_range_or_stepping_back_does_no_harm),
        cmocka_unit_test(model__the_pool_agrees_over_many_random_steps),
        cmocka_unit_test(model__long_runs_lose_nothing),
        cmocka_unit_test(memory__a_failed_allocation_leaves_the_pool_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
