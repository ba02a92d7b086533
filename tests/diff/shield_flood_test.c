/* SPDX-License-Identifier: Apache-2.0 */
/* Strangers from everywhere: how many get through the shield, and who. */
#include <pthread.h>

#include "diff/shield_rig.h"

enum { PER_S = 10, THREADS = 4, EACH = 2000, SHARED = 1000 };

/* Who asks too often takes nothing from the others. */
static void strangers__over_their_limit_cost_the_others_nothing(void **state)
{
    const struct rig_packet loud = rig_allocate("198.51.100.5:4000");
    const struct rig_packet quiet = rig_allocate("203.0.113.5:4000");

    (void)state;
    rig_limit(2, 4);
    assert_int_equal(rig_passing(&loud, 1000), 2);
    assert_int_equal(rig_passing(&quiet, 1), 1);
}

/* From any number of prefixes there are as many as the total says; the times are random. */
static void strangers__have_a_limit_in_total(void **state)
{
    struct dice dice = {.state = 3};
    uint64_t passed = 0;
    uint64_t ns = 0;

    (void)state;
    rig_limit(PER_S, 1000);
    for (uint32_t i = 0; i < 20000; i++) {
        struct rig_packet p = rig_allocate("198.51.100.5:4000");
        be32_put(p.from.ip.b + 12, 0x0b000000 + dice_below(&dice, 0x10000000));
        be32_put(p.data + 8, i);
        const uint64_t pause = dice_below(&dice, 400000);
        rig_pass_ns(pause);
        ns += pause;
        passed += rig_judge(&p) == KERNEL_UP ? 1U : 0U;
        assert_true(passed <= 1000 + ns / RIG_NS_PER_MS + 1);
    }
    assert_true(passed + 2 >= 1000 + ns / RIG_NS_PER_MS); /* and nothing is lost */
    assert_int_equal(rig_counted(OFFLOAD_shield_prefix), 0);
    assert_int_equal(rig_counted(OFFLOAD_shield_total), 20000 - passed);
}

static struct rig_packet transaction(const char *from, uint8_t mark)
{
    struct rig_packet p = rig_allocate(from);

    p.data[STUN_HEADER - 1] = mark;
    return p;
}

/* In a flood there is room for who asks again, as clients do and who forges does not: the same
 * transaction from the same address and port, not at once, not much later, and once. */
static void check_again(const char *from, const char *other)
{
    const struct rig_packet flood = transaction(from, 1);
    const struct rig_packet p = transaction(from, 2);
    const struct rig_packet stranger = transaction(other, 2);

    rig_pass_ns(100ULL * RIG_NS_PER_S);
    rig_limit(0, 1);
    assert_int_equal(rig_passing(&flood, 1), 1);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(99ULL * RIG_NS_PER_MS);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(1ULL * RIG_NS_PER_MS);
    assert_int_equal(rig_judge(&stranger), KERNEL_DROP);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(800ULL * RIG_NS_PER_MS); /* it has its rate, too */
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
}

static void strangers__who_ask_again_get_through(void **state)
{
    (void)state;
    check_again("198.51.100.5:4000", "198.51.100.5:4001");
    check_again("198.51.100.5:4000", "198.51.101.5:4000");
    check_again("[2001:db8:5::5]:4000", "[2001:db8:5::6]:4000");
    check_again("[2001:db8:5::5]:4000", "[2001:db8:7::5]:4000");
}

static void strangers__who_ask_again_too_late_begin_anew(void **state)
{
    const struct rig_packet flood = transaction("198.51.100.5:4000", 1);
    const struct rig_packet p = transaction("198.51.100.5:4000", 2);

    (void)state;
    rig_limit(0, 1);
    assert_int_equal(rig_judge(&flood), KERNEL_UP);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(10001ULL * RIG_NS_PER_MS);
    assert_int_equal(rig_judge(&flood), KERNEL_UP);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(100ULL * RIG_NS_PER_MS);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
}

/* Most newcomers are let in at their second try, whatever a flood from everywhere does between. */
static void strangers__get_in_through_a_flood(void **state)
{
    enum { NEWCOMERS = 100, FLOOD = 60000 };

    struct dice dice = {.state = 4};
    uint32_t in = 0;

    (void)state;
    rig_limit(10 * NEWCOMERS, NEWCOMERS);
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct rig_packet p = rig_allocate("198.51.100.5:4000");
        be32_put(p.from.ip.b + 12, 0x0b000000 + dice_below(&dice, 0x10000000));
        dice_fill(&dice, p.data + 8, STUN_TID);
        if (i == FLOOD / 2 + 1) {
            for (uint8_t n = 0; n < NEWCOMERS; n++) {
                const struct rig_packet newcomer = transaction("203.0.113.9:4000", n);
                assert_int_equal(rig_judge(&newcomer), KERNEL_DROP);
            }
        }
        (void)rig_judge(&p);
        rig_pass_ns(5000); /* 200,000 a second */
    }
    rig_limit(10 * NEWCOMERS, NEWCOMERS);
    for (uint8_t n = 0; n < NEWCOMERS; n++) {
        const struct rig_packet newcomer = transaction("203.0.113.9:4000", n);
        in += rig_judge(&newcomer) == KERNEL_UP ? 1U : 0U;
    }
    assert_in_range(in, NEWCOMERS * 3 / 4, NEWCOMERS);
}

/* Run from one thread: how many of EACH pass. */
static void *flood_alone(void *arg)
{
    const struct rig_packet p = rig_allocate("198.51.100.5:4000");
    uint32_t *passed = arg;
    uint8_t in[FRAME_MAX];
    uint8_t out[FRAME_MAX];
    const size_t n = rig_write(&p, in);

    for (int i = 0; i < EACH; i++) {
        size_t out_n;
        const enum kernel_program program = i % 2 == 0 ? KERNEL_XDP : KERNEL_TC;
        *passed += rig_run(program, in, n, out, &out_n) == KERNEL_UP ? 1U : 0U;
    }
    return NULL;
}

/* Several CPUs take from a bucket at the same time: not one packet more passes. */
static void strangers__at_many_cpus_share_the_limits(void **state)
{
    uint32_t passed[THREADS];
    pthread_t thread[THREADS];

    (void)state;
    for (int total = 0; total <= 1; total++) {
        uint32_t sum = 0;
        rig_pass_ns(100ULL * RIG_NS_PER_S);
        rig_limit(total == 0 ? SHARED : 0, total == 0 ? 0 : SHARED);
        for (int i = 0; i < THREADS; i++) {
            passed[i] = 0;
            assert_int_equal(pthread_create(&thread[i], NULL, flood_alone, &passed[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
            sum += passed[i];
        }
        assert_int_equal(sum, SHARED);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, rig_setup)
    const struct CMUnitTest tests[] = {
        TEST(strangers__over_their_limit_cost_the_others_nothing),
        TEST(strangers__have_a_limit_in_total),
        TEST(strangers__who_ask_again_get_through),
        TEST(strangers__who_ask_again_too_late_begin_anew),
        TEST(strangers__get_in_through_a_flood),
        TEST(strangers__at_many_cpus_share_the_limits),
    };

    return rig_main(tests, COUNT_OF(tests));
}
