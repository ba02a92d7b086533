/* SPDX-License-Identifier: Apache-2.0 */
/* Who passes the shield, and how many: what is to be shielded, live clients, limits. */
#include <errno.h>

#include "base/mem.h"
#include "diff/shield_rig.h"
#include "offload/flow.h"

enum { PER_S = 10 };

/* --- whom it looks at ----------------------------------------------------------------------------
 */

/* DNS answers, QUIC, relay ports: whatever is for no listener passes. */
static void shield__leaves_others_alone(void **state)
{
    static const char *const others[] = {
        WORLD_SERVER_V4 ":3479",      WORLD_SERVER_V4 ":53", "192.0.2.2:3478",
        "[" WORLD_SERVER_V6 "]:5349", "[2001:db8::3]:3478",
    };

    (void)state;
    rig_limit(1, 1);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct rig_packet p =
            rig_packet(others[i][0] == '[' ? "[2001:db8:1::5]:53" : "198.51.100.5:53", others[i],
                       "anything", 8);
        assert_int_equal(rig_passing(&p, 20), 20);
    }
    assert_int_equal(rig_counted(OFFLOAD_unknown), 20 * COUNT_OF(others));
}

static void shield__switched_off_lets_all_pass(void **state)
{
    const struct rig_packet p = rig_packet("198.51.100.5:53", RIG_V4, "anything", 8);

    (void)state;
    assert_int_equal(rig_passing(&p, 2), 0);
    shield_set_on(rig.shield, false);
    assert_int_equal(rig_passing(&p, 2), 2);
}

static void shield__follows_the_listeners(void **state)
{
    const struct shield_listener other = {.addr = world_addr(WORLD_SERVER_V4 ":99"), .plain = true};
    const struct rig_packet old = rig_packet("198.51.100.5:53", RIG_V4, "anything", 8);
    const struct rig_packet new =
        rig_packet("198.51.100.5:53", WORLD_SERVER_V4 ":99", "anything", 8);

    (void)state;
    assert_int_equal(rig_passing(&old, 2), 0);
    assert_int_equal(rig_passing(&new, 2), 2);
    assert_int_equal(shield_set_listeners(rig.shield, &other, 1), 0);
    assert_int_equal(rig_passing(&old, 2), 2);
    assert_int_equal(rig_passing(&new, 2), 0);
    assert_int_equal(shield_set_listeners(rig.shield, NULL, 0), 0);
    assert_int_equal(rig_passing(&new, 2), 2);
}

/* Give the IP packet of the frame `more` bytes behind its datagram, which then says it had `says`.
 */
static size_t write_odd(const struct rig_packet *p, size_t more, size_t says,
                        uint8_t out[FRAME_MAX])
{
    const size_t n = rig_write(p, out);
    uint8_t *ip = out + FRAME_ETHER;
    const bool v4 = p->from.family == NET_V4;
    const size_t head = v4 ? FRAME_IPV4 : FRAME_IPV6;

    memset(out + n, 0x5a, more);
    be16_put(ip + (v4 ? 2 : 4), (uint16_t)(n + more - FRAME_ETHER - (v4 ? 0 : FRAME_IPV6)));
    if (v4) {
        frame_ip_sum(ip, FRAME_IPV4 / 4);
    }
    be16_put(ip + head + 4, (uint16_t)says);
    return n + more;
}

static uint32_t passing_odd(const struct rig_packet *p, size_t more, size_t says, uint32_t count)
{
    uint8_t in[FRAME_MAX];
    uint8_t out[FRAME_MAX];
    const size_t n = write_odd(p, more, says, in);
    uint32_t passing = 0;
    size_t out_n;

    for (uint32_t i = 0; i < count; i++) {
        const enum kernel_program program = i % 2 == 0 ? KERNEL_XDP : KERNEL_TC;
        passing += rig_run(program, in, n, out, &out_n) != KERNEL_DROP ? 1U : 0U;
    }
    return passing;
}

/* The stack cuts off what is behind a datagram, and over IPv6 takes a length of 0 for all there is
 * (RFC 2675 section 4): no way past the shield. */
static void shield__judges_what_the_stack_would_take(void **state)
{
    const struct rig_packet junk4 = rig_packet("198.51.100.5:53", RIG_V4, "anything", 8);
    const struct rig_packet junk6 = rig_packet("[2001:db8:1::5]:53", RIG_V6, "anything", 8);
    const struct rig_packet ask4 = rig_allocate("198.51.100.5:4000");
    const struct rig_packet ask6 = rig_allocate("[2001:db8:1::5]:4000");
    const size_t whole = FRAME_UDP + ask4.n;

    (void)state;
    for (size_t more = 1; more < 40; more += 6) {
        assert_int_equal(passing_odd(&junk4, more, 16, 2), 0);
        assert_int_equal(passing_odd(&junk6, more, 16, 2), 0);
        assert_int_equal(passing_odd(&ask4, more, whole, 2), 2);
        assert_int_equal(passing_odd(&ask6, more, whole, 2), 2);
    }
    assert_int_equal(passing_odd(&junk6, 0, 0, 2), 0);
    assert_int_equal(passing_odd(&ask6, 0, 0, 2), 2);
    rig_limit(PER_S, 0);
    assert_int_equal(passing_odd(&ask4, 1, whole, 2 * PER_S), PER_S);
    assert_int_equal(passing_odd(&ask6, 0, 0, 2 * PER_S), PER_S);
    /* The stack drops these: longer than the packet, shorter than a header, no length at all. */
    assert_int_equal(passing_odd(&junk4, 0, 17, 2), 2);
    assert_int_equal(passing_odd(&junk4, 0, 7, 2), 2);
    assert_int_equal(passing_odd(&junk4, 0, 0, 2), 2);
}

/* An address that is named twice takes what both take. */
static void listeners__of_one_address_are_one(void **state)
{
    const struct shield_listener twice[] = {
        {.addr = world_addr(RIG_V4), .plain = true},
        {.addr = world_addr(RIG_V4), .dtls = true},
    };
    static const uint8_t hello[] = {22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    const struct rig_packet dtls = rig_packet("198.51.100.5:9", RIG_V4, hello, sizeof(hello));
    const struct rig_packet plain = rig_allocate("198.51.100.5:9");

    (void)state;
    assert_int_equal(rig_judge(&dtls), KERNEL_DROP);
    assert_int_equal(shield_set_listeners(rig.shield, twice, COUNT_OF(twice)), 0);
    assert_int_equal(rig_judge(&dtls), KERNEL_UP);
    assert_int_equal(rig_judge(&plain), KERNEL_UP);
}

static void listeners__that_cannot_be_change_nothing(void **state)
{
    static struct shield_listener many[SHIELD_LISTENERS + 1];
    static const char *const wrong[] = {"0.0.0.0:3478", "[::]:3478", WORLD_SERVER_V4 ":0"};
    const struct rig_packet p = rig_packet("198.51.100.5:53", RIG_V4, "anything", 8);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const struct shield_listener list[] = {
            {.addr = world_addr(WORLD_SERVER_V4 ":99"), .plain = true},
            {.addr = world_addr(wrong[i]), .plain = true},
        };
        assert_int_equal(shield_set_listeners(rig.shield, list, COUNT_OF(list)), -EINVAL);
    }
    assert_int_equal(shield_set_listeners(rig.shield, many, COUNT_OF(many)), -ENOSPC);
#ifdef STERNA_FAULT_INJECTION
    mem_fail_at(0);
    assert_int_equal(shield_set_listeners(rig.shield, NULL, 0), -ENOMEM);
    mem_fail_at(-1);
#endif
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
}

static void shield__without_memory_is_none(void **state)
{
    struct shield_rules rules = {.answer = 7};
    struct offload_control control = {.shield = 0};
    const struct shield_parts parts = {-1, &rules, &control};
    struct shield *shield = NULL;

    (void)state;
#ifdef STERNA_FAULT_INJECTION
    mem_fail_at(0);
    assert_int_equal(shield_new(&parts, &shield), -ENOMEM);
    mem_fail_at(-1);
    assert_null(shield);
#endif
    assert_int_equal(shield_new(&parts, &shield), 0);
    assert_int_equal(rules.answer, SHIELD_NO_ANSWER);
    assert_true((rules.key[0] | rules.key[1]) != 0);
    shield_set_on(shield, true);
    assert_int_equal(control.shield, 1);
    shield_free(shield);
    assert_int_equal(control.shield, 0);
    shield_free(NULL);
}

/* --- live clients --------------------------------------------------------------------------------
 */

static void check_live(const char *client, const char *neighbour, const char *server)
{
    const struct net_addr at = world_addr(client);
    const struct net_addr to = world_addr(server);
    static const uint8_t channel[] = {0x40, 1, 0, 1, 'x'};
    const struct rig_packet ours = rig_packet(client, server, channel, sizeof(channel));
    const struct rig_packet junk = rig_packet(neighbour, server, channel, sizeof(channel));
    const struct rig_packet flood = rig_stun(neighbour, server, STUN_ALLOCATE, "", 0);
    const struct rig_packet refresh = rig_stun(client, server, STUN_REFRESH, "", 0);

    rig_limit(PER_S, PER_S);
    rig_pass_ns(100ULL * RIG_NS_PER_S);
    assert_int_equal(rig_judge(&ours), KERNEL_DROP);
    assert_int_equal(flow_client_put(rig.kernel.flows, &at, &to), 0);
    assert_int_equal(rig_passing(&junk, 10), 0);
    assert_int_equal(rig_passing(&flood, 100), PER_S);
    assert_int_equal(rig_passing(&ours, 100), 100);
    assert_int_equal(rig_passing(&refresh, 100), 100);
    flow_client_del(rig.kernel.flows, &at, &to);
    assert_int_equal(rig_judge(&ours), KERNEL_DROP);
    assert_int_equal(rig_passing(&refresh, 100), 0); /* its prefix has had its share */
}

/* Whoever sends in the name of its neighbours, or of other ports of its own, cannot cut it off. */
static void live_client__cannot_be_cut_off(void **state)
{
    (void)state;
    check_live("198.51.100.5:4000", "198.51.100.6:4000", RIG_V4);
    check_live("198.51.100.5:4000", "198.51.100.5:4001", RIG_V4);
}

static void live_client__cannot_be_cut_off_over_v6(void **state)
{
    (void)state;
    check_live("[2001:db8:1::5]:4000", "[2001:db8:1:7::9]:4000", RIG_V6);
}

/* Binding requests are answered for clients as for all; beyond the limit user space does it. */
static void live_client__is_answered_one_way_or_the_other(void **state)
{
    const struct net_addr at = world_addr("198.51.100.5:4000");
    const struct net_addr to = world_addr(RIG_V4);
    const struct rig_packet ours = rig_stun("198.51.100.5:4000", RIG_V4, STUN_BINDING, "", 0);
    const struct rig_packet flood = rig_stun("198.51.100.6:4000", RIG_V4, STUN_BINDING, "", 0);

    (void)state;
    rig_limit(PER_S, PER_S);
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    assert_int_equal(flow_client_put(rig.kernel.flows, &at, &to), 0);
    assert_int_equal(rig_judge(&ours), KERNEL_OUT);
    assert_int_equal(rig_passing(&flood, 100), PER_S - 1);
    assert_int_equal(rig_judge(&ours), KERNEL_UP);
    assert_int_equal(rig_passing(&ours, 100), 100);
    assert_int_equal(rig_counted(OFFLOAD_shield_passed_client), 101);
    flow_client_del(rig.kernel.flows, &at, &to);
    assert_int_equal(rig_judge(&ours), KERNEL_DROP);
}

/* Generic XDP sees what the stack has merged, and not that it has: all of it has to get through. */
static void live_client__sends_bursts(void **state)
{
    static const uint8_t more[] = {0, 0x16, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,  2,
                                   3, 4,    5, 6, 7,    8,    9,    10,   11, 12};
    const struct net_addr at = world_addr("198.51.100.5:4000");
    const struct net_addr to = world_addr(RIG_V4);
    struct rig_packet p = rig_stun("198.51.100.5:4000", RIG_V4, 0x0016, "", 0);

    (void)state;
    memcpy(p.data + p.n, more, sizeof(more));
    p.n += sizeof(more);
    assert_int_equal(rig_passing(&p, 2), 0);
    assert_int_equal(flow_client_put(rig.kernel.flows, &at, &to), 0);
    assert_int_equal(rig_passing(&p, 2), 2);
    flow_client_del(rig.kernel.flows, &at, &to);
}

/* It is one 5-tuple: the same client is a stranger to another listener. */
static void live_client__is_one_at_its_listener(void **state)
{
    const struct net_addr at = world_addr("198.51.100.5:4000");
    const struct net_addr to = world_addr(RIG_DTLS);
    static const uint8_t record[] = {23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 1};
    const struct rig_packet here =
        rig_packet("198.51.100.5:4000", RIG_DTLS, record, sizeof(record));
    const struct rig_packet there = rig_packet("198.51.100.5:4000", RIG_V4, "junk", 4);

    (void)state;
    assert_int_equal(flow_client_put(rig.kernel.flows, &at, &to), 0);
    assert_int_equal(rig_judge(&here), KERNEL_UP);
    assert_int_equal(rig_judge(&there), KERNEL_DROP);
    assert_int_equal(rig_counted(OFFLOAD_shield_passed_client), 1);
    assert_int_equal(rig_counted(OFFLOAD_shield_junk), 1);
    flow_client_del(rig.kernel.flows, &at, &to);
}

/* --- limits --------------------------------------------------------------------------------------
 */

/* A burst of one second's worth, then the rate, to the nanosecond. */
static void prefix__has_a_rate_and_a_burst(void **state)
{
    const struct rig_packet p = rig_allocate("198.51.100.5:4000");

    (void)state;
    rig_limit(PER_S, 0);
    assert_int_equal(rig_passing(&p, 100), PER_S);
    rig_pass_ns(RIG_NS_PER_S / PER_S - 1);
    assert_int_equal(rig_judge(&p), KERNEL_DROP);
    rig_pass_ns(1);
    assert_int_equal(rig_passing(&p, 100), 1);
    rig_pass_ns(3 * (RIG_NS_PER_S / PER_S));
    assert_int_equal(rig_passing(&p, 100), 3);
    rig_pass_ns(100ULL * RIG_NS_PER_S);
    assert_int_equal(rig_passing(&p, 100), PER_S);
    assert_int_equal(rig_counted(OFFLOAD_shield_passed), 2 * PER_S + 4);
    assert_int_equal(rig_counted(OFFLOAD_shield_prefix), 401 - 2 * PER_S - 4);
}

static void check_prefix(const char *in, const char *near, const char *far)
{
    const struct rig_packet a = rig_allocate(in);
    const struct rig_packet b = rig_allocate(near);
    const struct rig_packet c = rig_allocate(far);

    rig_limit(PER_S, 0);
    assert_int_equal(rig_passing(&a, 2 * PER_S), PER_S);
    assert_int_equal(rig_judge(&b), KERNEL_DROP);
    assert_int_equal(rig_passing(&c, 2 * PER_S), PER_S);
}

static void prefix__is_a_24_or_a_48(void **state)
{
    (void)state;
    check_prefix("198.51.100.0:1", "198.51.100.255:2", "198.51.101.0:1");
    check_prefix("203.0.112.255:1", "203.0.112.0:1", "203.0.113.255:1");
    check_prefix("[2001:db8:5::]:1", "[2001:db8:5:ffff::1]:2", "[2001:db8:6::]:1");
}

/* What is flooded with requests of one kind goes on with the others. */
static void kinds__have_their_own_limits(void **state)
{
    static const uint8_t hello[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    static const char from[] = "[2001:db8:5::5]:4000";
    const struct rig_packet kinds[] = {
        rig_allocate(from),
        rig_allocate_signed(from),
        rig_stun(from, RIG_V6, STUN_BINDING, "", 0),
        rig_packet(from, RIG_V6, hello, sizeof(hello)),
    };

    (void)state;
    for (int total = 0; total <= 1; total++) {
        rig_limit(total == 0 ? PER_S : 0, total == 0 ? 0 : PER_S);
        rig_pass_ns(100ULL * RIG_NS_PER_S);
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            assert_int_equal(rig_passing(&kinds[i], 3 * PER_S), PER_S);
        }
    }
    assert_int_equal(rig_counted(OFFLOAD_shield_prefix), 2 * PER_S * COUNT_OF(kinds));
    assert_int_equal(rig_counted(OFFLOAD_shield_total), 2 * PER_S * COUNT_OF(kinds));
}

/* Where credentials show: an integrity attribute at the end, or a FINGERPRINT behind it. */
static void kinds__are_told_by_the_end(void **state)
{
    static const struct {
        const char *attributes;
        size_t n;
        bool second;
    } cases[] = {
        {"\0\x08\0\x14"
         "12345678901234567890",
         24, true},
        {"\0\x1c\0\x20"
         "12345678901234567890123456789012",
         36, true},
        {"\0\x08\0\x14"
         "12345678901234567890\x80\x28\0\4abcd",
         32, true},
        {"\0\x1c\0\x20"
         "12345678901234567890123456789012\x80\x28\0\4abcd",
         44, true},
        {"\0\6\0\4user\0\x08\0\x14"
         "12345678901234567890",
         32, true},
        {"\x80\x28\0\4abcd", 8, false},
        {"\0\6\0\4user", 8, false},
        {"\0\x08\0\x14"
         "12345678901234567890\0\6\0\4user",
         32, false},
        {"\0\x08\0\x10"
         "12345678901234567890",
         24, false},
        {"\x80\x28\0\4abcd\x80\x28\0\4abcd", 16, false},
    };
    const struct rig_packet first = rig_allocate("198.51.100.5:4000");
    const struct rig_packet second = rig_allocate_signed("198.51.100.5:4000");

    (void)state;
    rig_limit(PER_S, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        rig_pass_ns(100ULL * RIG_NS_PER_S);
        const struct rig_packet p =
            rig_stun("198.51.100.5:4000", RIG_V4, STUN_ALLOCATE, cases[i].attributes, cases[i].n);
        assert_int_equal(rig_passing(&p, 2 * PER_S), PER_S);
        assert_int_equal(rig_passing(&first, 1), cases[i].second ? 1 : 0);
        assert_int_equal(rig_passing(&second, 1), cases[i].second ? 0 : 1);
    }
}

/* Rates at the ends of what can be told. */
static void limits__of_any_size_hold(void **state)
{
    static const uint32_t rates[] = {1, 3, 7, 999, 1000000000, UINT32_MAX};
    const struct rig_packet p = rig_allocate("198.51.100.5:4000");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        rig_limit(rates[i], 0);
        rig_pass_ns(100ULL * RIG_NS_PER_S);
        const uint32_t wanted = rates[i] < 2000 ? rates[i] : 2000;
        assert_int_equal(rig_passing(&p, 2000), wanted);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, rig_setup)
    const struct CMUnitTest tests[] = {
        TEST(shield__leaves_others_alone),
        TEST(shield__switched_off_lets_all_pass),
        TEST(shield__follows_the_listeners),
        TEST(shield__judges_what_the_stack_would_take),
        TEST(listeners__of_one_address_are_one),
        TEST(listeners__that_cannot_be_change_nothing),
        TEST(shield__without_memory_is_none),
        TEST(live_client__cannot_be_cut_off),
        TEST(live_client__cannot_be_cut_off_over_v6),
        TEST(live_client__is_answered_one_way_or_the_other),
        TEST(live_client__sends_bursts),
        TEST(live_client__is_one_at_its_listener),
        TEST(prefix__has_a_rate_and_a_burst),
        TEST(prefix__is_a_24_or_a_48),
        TEST(kinds__have_their_own_limits),
        TEST(kinds__are_told_by_the_end),
        TEST(limits__of_any_size_hold),
    };

    return rig_main(tests, COUNT_OF(tests));
}
