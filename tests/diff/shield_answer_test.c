/* SPDX-License-Identifier: Apache-2.0 */
/* The shield against user space: it says what user space would say, and drops nothing that user
 * space would have done anything with. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "diff/shield_rig.h"
#include "io/dtls_record.h"

enum {
    CASES = 4000,
    SOFTWARE_MAX = 128,
    TTL = 64,
};

static struct world world;

static void serve(const char *software, bool auth)
{
    world_init(&world, 1);
    world.config.require_auth = auth;
    (void)snprintf(world.config.software, sizeof(world.config.software), "%s", software);
    assert_int_equal(world_start(&world), 0);
}

static struct net_addr host(struct dice *dice, uint8_t family)
{
    struct net_addr addr = world_addr(family == NET_V4 ? "203.0.113.1:1" : "[2001:db8:9::1]:1");

    be32_put(addr.ip.b + 12, family == NET_V4 ? 0x0b000000 + dice_below(dice, 0x70000000)
                                              : (uint32_t)dice_next(dice));
    addr.port = (uint16_t)(1 + dice_below(dice, 65535));
    return addr;
}

static struct rig_packet binding(struct dice *dice, uint8_t family)
{
    struct rig_packet p =
        rig_stun("198.51.100.5:1", family == NET_V4 ? RIG_V4 : RIG_V6, STUN_BINDING, "", 0);

    p.from = host(dice, family);
    dice_fill(dice, p.data + 8, STUN_TID);
    return p;
}

/* The answer is the frame turned round, and its payload what user space says. */
static void check_answer(const struct rig_packet *p, const struct frame *answer)
{
    static const uint8_t sender[FRAME_MAC] = {2, 0, 0, 0, 0, 0x77};

    assert_memory_equal(answer->to, sender, FRAME_MAC);
    assert_memory_equal(answer->from, stage_mac(STAGE_A), FRAME_MAC);
    assert_true(net_addr_equal(&answer->src, &p->to));
    assert_true(net_addr_equal(&answer->dst, &p->from));
    assert_int_equal(answer->ttl, TTL);
    assert_int_equal(answer->tos, 0);
    assert_int_equal(answer->label, 0);
    assert_false(answer->no_sum);
    assert_int_equal(answer->sum_error, 0);
    assert_int_equal(world_from_client(&world, &p->from, p->data, p->n), TURN_TO_CLIENT);
    assert_int_equal(answer->n, world.pkt.len);
    assert_memory_equal(answer->data, world.pkt.data, answer->n);
}

static void check_binding(const struct rig_packet *p, enum kernel_program program, size_t pad)
{
    static uint8_t in[FRAME_MAX];
    static uint8_t out[FRAME_MAX];
    struct frame answer;
    size_t n = rig_write(p, in);
    size_t out_n;

    memset(in + n, 0xee, pad); /* frames may go on behind the datagram */
    n += pad;
    assert_int_equal(rig_run(program, in, n, out, &out_n), KERNEL_OUT);
    assert_true(frame_read(out, out_n, &answer));
    assert_int_equal(out_n, frame_size(&answer));
    check_answer(p, &answer);
}

static void check_bindings(const char *software, bool auth, uint32_t count)
{
    struct dice dice = {.state = 1 + strlen(software)};

    serve(software, auth);
    assert_int_equal(shield_set_answer(rig.shield, auth ? "" : software), 0);
    for (uint32_t i = 0; i < count; i++) {
        const struct rig_packet p = binding(&dice, i % 2 == 0 ? NET_V4 : NET_V6);
        check_binding(&p, i / 2 % 2 == 0 ? KERNEL_XDP : KERNEL_TC, dice_below(&dice, 3) * 17);
    }
    world_stop(&world);
}

static void binding__is_answered_as_user_space_does(void **state)
{
    (void)state;
    check_bindings("", false, CASES);
    check_bindings("sterna", true, CASES);
    assert_int_equal(rig_counted(OFFLOAD_shield_binding), 2 * CASES);
}

/* With a SOFTWARE of any length, one after the other. */
static void binding__tells_the_software(void **state)
{
    char software[SOFTWARE_MAX];

    (void)state;
    for (size_t n = 1; n < sizeof(software); n++) {
        memset(software, 'a' + (int)(n % 26), n);
        software[n] = '\0';
        check_bindings(software, false, 8);
    }
}

static void binding__is_for_user_space_unless_told(void **state)
{
    struct dice dice = {.state = 5};
    const struct rig_packet p = binding(&dice, NET_V4);
    char software[SOFTWARE_MAX + 2];

    (void)state;
    memset(software, 'a', sizeof(software));
    software[SOFTWARE_MAX + 1] = '\0';
    assert_int_equal(rig_passing(&p, 2), 2);
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    assert_int_equal(rig_judge(&p), KERNEL_OUT);
    assert_int_equal(rig_judge(&p), KERNEL_OUT);
    assert_int_equal(shield_set_answer(rig.shield, software), -EINVAL);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
    software[SOFTWARE_MAX] = '\0';
    assert_int_equal(shield_set_answer(rig.shield, software), 0);
    assert_int_equal(rig_judge(&p), KERNEL_OUT);
    assert_int_equal(rig_judge(&p), KERNEL_OUT);
    assert_int_equal(shield_set_answer(rig.shield, NULL), 0);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
    assert_int_equal(rig_judge(&p), KERNEL_UP);
}

/* Attributes want a look by user space; indications and responses want no answer. */
static void binding__with_more_to_it_is_not_answered(void **state)
{
    static const uint8_t unknown[] = {0x7f, 0xff, 0, 0};
    const struct rig_packet with =
        rig_stun("198.51.100.5:1", RIG_V4, STUN_BINDING, unknown, sizeof(unknown));
    const struct rig_packet indication = rig_stun("198.51.100.5:1", RIG_V4, 0x0011, "", 0);
    const struct rig_packet success = rig_stun("198.51.100.5:1", RIG_V4, 0x0101, "", 0);
    const struct rig_packet error = rig_stun("198.51.100.5:1", RIG_V4, 0x0111, "", 0);
    const struct rig_packet at_dtls = rig_stun("198.51.100.5:1", RIG_DTLS, STUN_BINDING, "", 0);

    (void)state;
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    assert_int_equal(rig_passing(&with, 2), 2);
    assert_int_equal(rig_counted(OFFLOAD_shield_passed), 2);
    assert_int_equal(rig_passing(&indication, 2), 0);
    assert_int_equal(rig_passing(&success, 2), 0);
    assert_int_equal(rig_passing(&error, 2), 0);
    assert_int_equal(rig_passing(&at_dtls, 2), 0);
    assert_int_equal(rig_counted(OFFLOAD_shield_binding), 0);
}

/* Nobody else is sent what somebody has asked for in a name that cannot be one, nor is a client
 * behind a tunnel served (RFC 8656 section 21.4): user space and the stack have the say. */
static void binding__of_no_host_is_not_answered(void **state)
{
    static const char *const sources[] = {
        "0.0.0.0:9",
        "0.1.2.3:9",
        "127.0.0.1:9",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "240.0.0.1:9",
        "192.0.2.1:9",
        "198.51.100.5:0",
        "[::1]:9",
        "[ff02::1]:9",
        "[::]:9",
        "[2001:0:1::1]:9",
        "[2002:c633:6405::1]:9",
        "[2001:db8:1::5]:0",
    };

    (void)state;
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const struct rig_packet p =
            rig_stun(sources[i], sources[i][0] == '[' ? RIG_V6 : RIG_V4, STUN_BINDING, "", 0);
        assert_int_equal(rig_passing(&p, 2), 2);
    }
    assert_int_equal(rig_counted(OFFLOAD_shield_binding), 0);
}

static enum kernel_verdict run_summed(enum kernel_program program, const struct rig_packet *p,
                                      uint16_t error, bool none)
{
    static uint8_t in[FRAME_MAX];
    static uint8_t out[FRAME_MAX];
    struct frame f = {
        .src = p->from,
        .dst = p->to,
        .ttl = 9,
        .data = p->data,
        .n = p->n,
        .sum_error = error,
        .no_sum = none,
    };
    size_t out_n;

    memcpy(f.to, stage_mac(STAGE_A), FRAME_MAC);
    const size_t n = frame_write(&f, in);
    return rig_run(program, in, n, out, &out_n);
}

/* A wrong checksum is the stack's to drop; none is right over IPv4 alone. */
static void binding__with_a_wrong_checksum_is_not_answered(void **state)
{
    struct dice dice = {.state = 6};

    (void)state;
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    for (uint32_t i = 0; i < CASES; i++) {
        const enum kernel_program program = i % 2 == 0 ? KERNEL_XDP : KERNEL_TC;
        const struct rig_packet v4 = binding(&dice, NET_V4);
        const struct rig_packet v6 = binding(&dice, NET_V6);
        const uint16_t error = (uint16_t)(1 + dice_below(&dice, 65533));
        assert_int_equal(run_summed(program, &v4, error, false), KERNEL_UP);
        assert_int_equal(run_summed(program, &v6, error, false), KERNEL_UP);
        assert_int_equal(run_summed(program, &v4, 0, true), KERNEL_OUT);
        assert_int_equal(run_summed(program, &v6, 0, true), KERNEL_UP);
    }
}

/* An answer is no larger than user space's, and a prefix is sent no more than its share. */
static void binding__answers_are_limited_per_prefix(void **state)
{
    const struct rig_packet p = rig_stun("198.51.100.5:1", RIG_V4, STUN_BINDING, "", 0);
    const struct rig_packet other = rig_stun("203.0.113.5:1", RIG_V4, STUN_BINDING, "", 0);

    (void)state;
    assert_int_equal(shield_set_answer(rig.shield, ""), 0);
    rig_limit(10, 1);
    assert_int_equal(rig_passing(&p, 1000), 10);
    assert_int_equal(rig_passing(&other, 1000), 10);
    assert_int_equal(rig_counted(OFFLOAD_shield_binding), 20);
    assert_int_equal(rig_counted(OFFLOAD_shield_prefix), 1980);
}

/* --- junk ----------------------------------------------------------------------------------------
 */

/* A message that may be one, with a few bytes changed, cut or added. */
static struct rig_packet maybe_stun(struct dice *dice)
{
    static const uint16_t types[] = {0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016, 0x0011,
                                     0x0101, 0x0113, 0x0017, 0x0fff, 0x4001, 0x7fff};
    uint8_t body[64];
    const size_t n = dice_below(dice, 17) * 4;

    dice_fill(dice, body, n);
    struct rig_packet p =
        rig_stun("198.51.100.5:1", RIG_V4, types[dice_below(dice, COUNT_OF(types))], body, n);
    p.from = host(dice, NET_V4);
    for (uint32_t edits = dice_below(dice, 3); edits > 0; edits--) {
        p.data[dice_below(dice, (uint32_t)p.n)] = (uint8_t)dice_next(dice);
    }
    if (dice_below(dice, 4) == 0) {
        p.n = dice_below(dice, (uint32_t)p.n + 8);
    }
    return p;
}

/* Of what is dropped, user space would have dropped all; without a limit, nothing else is. */
static void junk__is_what_user_space_drops(void **state)
{
    struct dice dice = {.state = 9};
    uint32_t dropped = 0;

    (void)state;
    serve("", true);
    for (uint32_t i = 0; i < 5 * CASES; i++) {
        const struct rig_packet p = maybe_stun(&dice);
        if (rig_judge(&p) == KERNEL_DROP) {
            dropped++;
            assert_int_equal(world_from_client(&world, &p.from, p.data, p.n), TURN_DROP);
        }
    }
    world_stop(&world);
    assert_in_range(dropped, CASES / 2, 5 * CASES - CASES / 2);
    assert_int_equal(rig_counted(OFFLOAD_shield_junk), dropped);
}

static struct rig_packet maybe_dtls(struct dice *dice)
{
    uint8_t record[64] = {22, 0xfe, 0xfd};
    const uint32_t n = dice_below(dice, (uint32_t)sizeof(record) + 1);
    const uint32_t body = n > DTLS_RECORD_HEAD ? n - DTLS_RECORD_HEAD : 0;

    record[0] = (uint8_t)(18 + dice_below(dice, 8));
    record[1] = dice_below(dice, 8) == 0 ? (uint8_t)dice_next(dice) : 0xfe;
    be16_put(record + 11, (uint16_t)(body + dice_below(dice, 3) - dice_below(dice, 3)));
    struct rig_packet p = rig_packet("198.51.100.5:1", RIG_DTLS, record, n);
    p.from = host(dice, NET_V4);
    return p;
}

/* A datagram that begins with a record passes, and no other. */
static void junk__is_what_begins_with_no_record(void **state)
{
    struct dice dice = {.state = 10};
    uint32_t passed = 0;

    (void)state;
    for (uint32_t i = 0; i < 5 * CASES; i++) {
        const struct rig_packet p = maybe_dtls(&dice);
        struct dtls_record record;
        const bool is_record = dtls_record_next(p.data, (uint32_t)p.n, &record);
        assert_int_equal(rig_judge(&p), is_record ? KERNEL_UP : KERNEL_DROP);
        passed += is_record ? 1U : 0U;
    }
    assert_in_range(passed, CASES / 4, 5 * CASES - CASES);
}

/* --- bursts --------------------------------------------------------------------------------------
 */

enum { MERGED = 8 };

/* What becomes of a burst of MERGED datagrams as long as `first`, which is followed by `next`s. */
static uint32_t run_burst(const struct rig_packet *first, const struct rig_packet *next)
{
    struct rig_packet p = *first;
    struct __sk_buff skb = {.ifindex = stage_index(STAGE_A)};
    uint8_t in[FRAME_MAX];

    assert_int_equal(first->n, next->n);
    for (size_t i = 1; i < MERGED; i++) {
        memcpy(p.data + i * first->n, next->data, first->n);
    }
    p.n = MERGED * first->n;
    skb.gso_size = (uint32_t)first->n;
    skb.gso_segs = MERGED;
    struct bpf_test_run_opts run = {
        .sz = sizeof(run),
        .data_in = in,
        .data_size_in = (uint32_t)rig_write(&p, in),
        .ctx_in = &skb,
        .ctx_size_in = sizeof(skb),
    };
    assert_int_equal(bpf_prog_test_run_opts(rig.kernel.fd[KERNEL_TC], &run), 0);
    return run.retval;
}

/* Datagrams that the stack has merged count one by one, and are judged by the first. */
static void burst__counts_its_packets(void **state)
{
    const struct rig_packet p = rig_allocate("198.51.100.5:4000");

    (void)state;
    rig_limit(3 * MERGED, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run_burst(&p, &p),
                         i < 3 ? (uint32_t)TC_ACT_UNSPEC : (uint32_t)TC_ACT_SHOT);
    }
}

/* Who forges a live client's address gets his datagram merged with the client's own. */
static void burst__of_a_live_client_passes_whatever_comes_first(void **state)
{
    const struct net_addr at = world_addr("198.51.100.5:4000");
    const struct net_addr to = world_addr(RIG_V4);
    const struct rig_packet p = rig_allocate("198.51.100.5:4000");
    struct rig_packet junk = p;

    (void)state;
    memset(junk.data, 0xff, junk.n);
    assert_int_equal(run_burst(&junk, &p), TC_ACT_SHOT);
    assert_int_equal(rig_counted(OFFLOAD_shield_junk), 1);
    assert_int_equal(flow_client_put(rig.kernel.flows, &at, &to), 0);
    assert_int_equal(run_burst(&junk, &p), (uint32_t)TC_ACT_UNSPEC);
    flow_client_del(rig.kernel.flows, &at, &to);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, rig_setup)
    const struct CMUnitTest tests[] = {
        TEST(binding__is_answered_as_user_space_does),
        TEST(binding__tells_the_software),
        TEST(binding__is_for_user_space_unless_told),
        TEST(binding__with_more_to_it_is_not_answered),
        TEST(binding__of_no_host_is_not_answered),
        TEST(binding__with_a_wrong_checksum_is_not_answered),
        TEST(binding__answers_are_limited_per_prefix),
        TEST(junk__is_what_user_space_drops),
        TEST(junk__is_what_begins_with_no_record),
        TEST(burst__counts_its_packets),
        TEST(burst__of_a_live_client_passes_whatever_comes_first),
    };

    return rig_main(tests, COUNT_OF(tests));
}
