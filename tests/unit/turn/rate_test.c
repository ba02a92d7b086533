/* SPDX-License-Identifier: Apache-2.0 */
#include "turn/rate.h"

#include <malloc.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "check.h"
#include "dice.h"

#define SLOTS 4096

static const struct hash_key key = {0x0123456789abcdefU, 0xfedcba9876543210U};

static struct rate *rate_make(uint32_t per_s, uint32_t burst)
{
    struct rate *rate = rate_new(per_s, burst, SLOTS, key);

    assert_non_null(rate);
    return rate;
}

static struct net_ip ip_of(const char *text)
{
    struct net_ip ip;

    assert_int_equal(net_ip_parse(text, &ip), 0);
    return ip;
}

static bool take(struct rate *rate, const char *text, uint64_t now_ms)
{
    const struct net_ip ip = ip_of(text);

    return rate_take(rate, &ip, now_ms);
}

/* How many of `tries` pass at one moment. */
static uint32_t passes(struct rate *rate, const char *text, uint32_t tries, uint64_t now_ms)
{
    uint32_t passed = 0;

    for (uint32_t i = 0; i < tries; i++) {
        passed += take(rate, text, now_ms);
    }
    return passed;
}

/* The `n`-th of many distinct IPv4 addresses in 0.0.0.0 .. 63.255.255.255. */
static struct net_ip source(uint32_t n)
{
    uint8_t v4[4];

    be32_put(v4, n * 2654435761U >> 2); /* odd factor: distinct for n below 2^30 */
    return net_ip_v4(v4);
}

static void take__burst_then_the_rate(void **state)
{
    struct rate *rate = rate_make(10, 20);

    (void)state;
    assert_int_equal(passes(rate, "192.0.2.1", 100, 5000), 20);
    assert_false(take(rate, "192.0.2.1", 5099));
    assert_true(take(rate, "192.0.2.1", 5100)); /* one each 100 ms, to the millisecond */
    assert_false(take(rate, "192.0.2.1", 5199));
    assert_true(take(rate, "192.0.2.1", 5200));
    assert_int_equal(passes(rate, "192.0.2.1", 100, 6200), 10);
    assert_int_equal(passes(rate, "192.0.2.1", 100, 1000000), 20); /* never more than the burst */
    rate_free(rate);
    rate_free(NULL);
}

static void take__is_exact_over_days_at_odd_moments(void **state)
{
    enum { PER_S = 7, BURST = 1000 };
    struct rate *rate = rate_make(PER_S, BURST);
    struct dice dice = {7};
    uint64_t now_ms = 1000;
    uint64_t passed = passes(rate, "192.0.2.1", BURST + 1, now_ms);

    (void)state;
    assert_int_equal(passed, BURST);
    while (now_ms < UINT64_C(3) * 86400 * 1000) {
        now_ms += dice_below(&dice, 9999);
        passed += passes(rate, "192.0.2.1", 100, now_ms);
        assert_int_equal(passed, BURST + (now_ms - 1000) * PER_S / 1000);
    }
    rate_free(rate);
}

static void prefix__ipv4_counts_by_address(void **state)
{
    struct rate *rate = rate_make(1, 5);

    (void)state;
    assert_int_equal(passes(rate, "192.0.2.1", 10, 0), 5);
    assert_int_equal(passes(rate, "::ffff:192.0.2.1", 10, 0), 0); /* the same host */
    assert_int_equal(passes(rate, "192.0.2.0", 10, 0), 5);
    assert_int_equal(passes(rate, "192.0.2.2", 10, 0), 5);
    assert_int_equal(passes(rate, "0.0.0.0", 10, 0), 5);
    assert_int_equal(passes(rate, "0.0.0.0", 10, 0), 0);
    rate_free(rate);
}

static void prefix__ipv6_counts_by_56_bits(void **state)
{
    struct rate *rate = rate_make(1, 5);

    (void)state;
    assert_int_equal(passes(rate, "2001:db8:0:1200::1", 3, 0), 3);
    assert_int_equal(passes(rate, "2001:db8:0:1201::1", 1, 0), 1);
    assert_int_equal(passes(rate, "2001:db8:0:12ff:ffff:ffff:ffff:ffff", 10, 0), 1);
    assert_int_equal(passes(rate, "2001:db8:0:1300::1", 10, 0), 5);
    assert_int_equal(passes(rate, "2001:db8:0:11ff::1", 10, 0), 5);
    assert_int_equal(passes(rate, "c000:201::", 10, 0), 5); /* not 192.0.2.1 */
    assert_int_equal(passes(rate, "192.0.2.1", 10, 0), 5);
    assert_int_equal(passes(rate, "::", 10, 0), 5);
    rate_free(rate);
}

static void set__changes_the_limit_and_forgets_no_use(void **state)
{
    struct rate *rate = rate_make(0, 0);

    (void)state;
    assert_int_equal(passes(rate, "192.0.2.1", 1000, 0), 1000); /* 0: without limit */
    rate_set(rate, 10, 0);
    assert_int_equal(passes(rate, "192.0.2.1", 10, 0), 1); /* a burst of nothing would stop all */
    rate_set(rate, 10, 100);
    assert_int_equal(passes(rate, "192.0.2.1", 10, 0), 0);
    assert_int_equal(passes(rate, "192.0.2.2", 200, 0), 100);
    rate_set(rate, 10, 5);
    assert_int_equal(passes(rate, "192.0.2.2", 10, 10000), 5);
    rate_set(rate, UINT32_MAX, UINT32_MAX);
    assert_int_equal(passes(rate, "192.0.2.2", 1000, UINT64_MAX), 1000);
    rate_free(rate);
}

static void clock__a_step_back_adds_nothing_and_stops_nothing(void **state)
{
    struct rate *rate = rate_make(10, 5);

    (void)state;
    assert_int_equal(passes(rate, "192.0.2.1", 10, 1000000), 5);
    assert_int_equal(passes(rate, "192.0.2.1", 10, 500), 0);
    assert_int_equal(passes(rate, "192.0.2.1", 10, 600), 1);
    rate_free(rate);
}

static void slots__a_table_of_any_power_of_two_works(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= 16; slots *= 2) {
        struct rate *rate = rate_new(1, 5, slots, key);
        assert_non_null(rate);
        assert_int_equal(passes(rate, "192.0.2.1", 10, 0), 5);
        for (uint32_t n = 0; n < 100; n++) { /* full of others who use one token each */
            const struct net_ip ip = source(n);
            assert_true(rate_take(rate, &ip, 0));
        }
        assert_true(take(rate, "192.0.2.77", 0));
        rate_free(rate);
    }
}

/* When every bucket remembers something, the one that has refilled most is given up.  It is found
 * when one of the newcomer's two places is in its run: three times in four with two runs. */
static void slots__the_fullest_bucket_is_given_up(void **state)
{
    enum { RUNS_OF_TWO = 8, TRIALS = 400, BURST = 100 };

    uint32_t fullest_lost = 0;

    (void)state;
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        const struct hash_key other = {key.k0 + trial, key.k1};
        struct rate *rate = rate_new(1, BURST, RUNS_OF_TWO, other);
        assert_non_null(rate);
        for (uint32_t n = 0; n < RUNS_OF_TWO; n++) { /* the first one has the most left */
            const struct net_ip ip = source(n);
            for (uint32_t i = 0; i <= n * 2; i++) {
                assert_true(rate_take(rate, &ip, 0));
            }
        }
        assert_true(take(rate, "192.0.2.1", 0));
        fullest_lost += passes(rate, "0.0.0.0", BURST, 0) == BURST; /* source(0), as if new */
        rate_free(rate);
    }
    assert_in_range(fullest_lost, TRIALS * 65 / 100, TRIALS * 85 / 100);
}

/* With half as many live prefixes as slots nobody's record is lost: every count is exact. */
static void slots__half_full_is_exact(void **state)
{
    enum { PREFIXES = SLOTS / 2, PER_S = 3, BURST = 4, FULL = BURST * 1000, STEPS = 400000 };

    static uint64_t level[PREFIXES]; /* in thousandths of a token */
    static uint64_t last_ms[PREFIXES];
    struct rate *rate = rate_make(PER_S, BURST);
    struct dice dice = {11};
    uint64_t now_ms = 0;

    (void)state;
    for (size_t i = 0; i < PREFIXES; i++) {
        level[i] = FULL;
        last_ms[i] = 0;
    }
    for (size_t step = 0; step < STEPS; step++) {
        const uint32_t i = dice_below(&dice, PREFIXES);
        const struct net_ip ip = source(i);
        now_ms += dice_below(&dice, 10) == 0;
        level[i] += (now_ms - last_ms[i]) * PER_S;
        level[i] = level[i] < FULL ? level[i] : FULL;
        last_ms[i] = now_ms;
        const bool passes_model = level[i] >= 1000;
        level[i] -= passes_model ? 1000 : 0;
        assert_int_equal(rate_take(rate, &ip, now_ms), passes_model);
    }
    rate_free(rate);
}

/* A million distinct sources within ten seconds: memory stays as it is, each of them gets its first
 * answer, and a quiet prefix that stays within its rate is never refused. */
static void flood__many_sources_cost_no_memory_and_starve_nobody(void **state)
{
    enum { SOURCES = 1000000, PER_S = 10, BURST = 20 };
    struct rate *rate = rate_make(PER_S, BURST);
    const struct net_ip quiet = ip_of("198.51.100.1");
    const struct mallinfo2 before = mallinfo2();

    (void)state;
    for (uint32_t n = 0; n < SOURCES; n++) {
        const struct net_ip ip = source(n);
        const uint64_t now_ms = n / 100;
        assert_true(rate_take(rate, &ip, now_ms));
        if (n % (SOURCES / (10 * PER_S)) == 0) { /* 10 a second */
            assert_true(rate_take(rate, &quiet, now_ms));
        }
    }
    const struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks, before.uordblks);
    assert_int_equal(after.hblkhd, before.hblkhd);
    rate_free(rate);
}

/* The other way round: an attacker who names one victim as the source of every second request, and
 * a fresh address for each other, cannot wash the victim's bucket out of the table. */
static void flood__the_record_of_a_victim_stays_among_a_million_sources(void **state)
{
    enum { SOURCES = 1000000, PER_S = 10, BURST = 20 };
    struct rate *rate = rate_make(PER_S, BURST);
    const struct net_ip victim = ip_of("198.51.100.1");
    uint32_t to_victim = 0;
    uint64_t now_ms = 0;

    (void)state;
    for (uint32_t n = 0; n < SOURCES; n++) {
        const struct net_ip ip = source(n);
        now_ms = n / 100;
        assert_true(rate_take(rate, &ip, now_ms));
        to_victim += rate_take(rate, &victim, now_ms);
    }
    assert_int_equal(to_victim, BURST + now_ms * PER_S / 1000);
    rate_free(rate);
}

/* IPv6 gives an attacker prefixes without end; the victim's record stays all the same. */
static void flood__ipv6_prefixes_do_not_help(void **state)
{
    enum { SOURCES = 200000, PER_S = 10, BURST = 20 };
    struct rate *rate = rate_make(PER_S, BURST);
    struct dice dice = {56};
    const struct net_ip victim = ip_of("2001:db8:1:100::1");
    uint32_t to_victim = 0;

    (void)state;
    for (uint32_t n = 0; n < SOURCES; n++) {
        struct net_ip ip = ip_of("2a00::");
        be32_put(ip.b + 2, (uint32_t)dice_next(&dice));
        assert_true(rate_take(rate, &ip, 1000));
        to_victim += rate_take(rate, &victim, 1000);
    }
    assert_int_equal(to_victim, BURST);
    rate_free(rate);
}

/* Whoever is named by bytes has a bucket of his own, and pays what it costs. */
static void take_of__costs_what_is_said(void **state)
{
    struct rate *rate = rate_make(1, 30);
    const struct bytes ann = bytes_of("ann");
    const struct bytes bob = bytes_of("bob");

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(rate_take_of(rate, ann, 10, 1000));
    }
    assert_false(rate_take_of(rate, ann, 10, 1000));
    assert_false(rate_take_of(rate, ann, 10, 10999));
    assert_true(rate_take_of(rate, ann, 10, 11000)); /* what was refused has cost nothing */
    assert_false(rate_take_of(rate, ann, 1, 11000));
    assert_true(rate_take_of(rate, bob, 30, 11000));
    assert_false(rate_take_of(rate, bob, 1, 11000));
    rate_set(rate, 0, 1);
    assert_true(rate_take_of(rate, bob, 1000, 11000)); /* without limit */
    rate_free(rate);
}

static void memory__a_failed_allocation_is_told(void **state)
{
    (void)state;
    mem_fail_at(0);
    struct rate *rate = rate_new(1, 1, SLOTS, key);
    mem_fail_at(-1);
    rate_free(rate); /* NULL with the build option fault_injection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take__burst_then_the_rate),
        cmocka_unit_test(take__is_exact_over_days_at_odd_moments),
        cmocka_unit_test(prefix__ipv4_counts_by_address),
        cmocka_unit_test(prefix__ipv6_counts_by_56_bits),
        cmocka_unit_test(set__changes_the_limit_and_forgets_no_use),
        cmocka_unit_test(clock__a_step_back_adds_nothing_and_stops_nothing),
        cmocka_unit_test(slots__a_table_of_any_power_of_two_works),
        cmocka_unit_test(slots__the_fullest_bucket_is_given_up),
        cmocka_unit_test(slots__half_full_is_exact),
        cmocka_unit_test(flood__many_sources_cost_no_memory_and_starve_nobody),
        cmocka_unit_test(flood__the_record_of_a_victim_stays_among_a_million_sources),
        cmocka_unit_test(flood__ipv6_prefixes_do_not_help),
        cmocka_unit_test(take_of__costs_what_is_said),
        cmocka_unit_test(memory__a_failed_allocation_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
