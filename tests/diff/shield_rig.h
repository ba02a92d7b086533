/* SPDX-License-Identifier: Apache-2.0 */
/* The shield on frames of strangers: both programs, a clock of the test's, no socket.
 *
 * Owner   the test program.  Thread  one. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/bytes.h"
#include "check.h"
#include "dice.h"
#include "diff/kernel.h"
#include "lib/world.h"
#include "offload/shield.h"
#include "wire/stun_msg.h"

#define RIG_V4   WORLD_SERVER_V4 ":3478"
#define RIG_V6   "[" WORLD_SERVER_V6 "]:3478"
#define RIG_DTLS WORLD_SERVER_V4 ":5349"

enum {
    RIG_NS_PER_MS = 1000000,
    RIG_NS_PER_S = 1000000000,
    RIG_START_S = 100000,
    RIG_DATA_MAX = 1400,
};

struct rig {
    struct kernel kernel;
    struct shield *shield;
    uint64_t now_ns;
    uint64_t before[OFFLOAD_COUNT_MAX];
};

static struct rig rig;

/* One datagram of a stranger. */
struct rig_packet {
    struct net_addr from;
    struct net_addr to;
    uint8_t data[RIG_DATA_MAX];
    size_t n;
};

static inline void rig_listen(void)
{
    const struct shield_listener list[] = {
        {.addr = world_addr(RIG_V4), .plain = true},
        {.addr = world_addr(RIG_V6), .plain = true, .dtls = true},
        {.addr = world_addr(RIG_DTLS), .dtls = true},
    };

    assert_int_equal(shield_set_listeners(rig.shield, list, COUNT_OF(list)), 0);
}

static inline void rig_limit(uint32_t prefix_per_s, uint32_t newcomers_per_s)
{
    const struct shield_limits limits = {prefix_per_s, newcomers_per_s};

    shield_set_limits(rig.shield, &limits);
}

static inline void rig_count(uint64_t out[OFFLOAD_COUNT_MAX])
{
    assert_int_equal(forward_counts(rig.kernel.forward, out), 0);
}

static inline void rig_pass_ns(uint64_t ns)
{
    rig.now_ns += ns;
    kernel_set_now(&rig.kernel, rig.now_ns);
}

/* Before each test: switched on, no limits, user space answers, all buckets are full again. */
static inline int rig_setup(void **state)
{
    (void)state;
    rig_pass_ns(3600ULL * 1000 * RIG_NS_PER_MS);
    rig_listen();
    rig_limit(0, 0);
    assert_int_equal(shield_set_answer(rig.shield, NULL), 0);
    shield_set_on(rig.shield, true);
    rig_count(rig.before);
    return 0;
}

/* How often it was counted in this test. */
static inline uint64_t rig_counted(enum offload_count what)
{
    uint64_t now[OFFLOAD_COUNT_MAX];

    rig_count(now);
    return now[what] - rig.before[what];
}

static inline struct rig_packet rig_packet(const char *from, const char *to, const void *data,
                                           size_t n)
{
    struct rig_packet p = {.from = world_addr(from), .to = world_addr(to), .n = n};

    assert_true(n <= sizeof(p.data));
    memcpy(p.data, data, n);
    return p;
}

/* A STUN message of the given type, with `n` bytes of attributes. */
static inline struct rig_packet rig_stun(const char *from, const char *to, uint16_t type,
                                         const void *attributes, size_t n)
{
    struct rig_packet p = {.from = world_addr(from), .to = world_addr(to), .n = STUN_HEADER + n};

    assert_true(p.n <= sizeof(p.data));
    be16_put(p.data, type);
    be16_put(p.data + 2, (uint16_t)n);
    be32_put(p.data + 4, STUN_COOKIE);
    memcpy(p.data + 8, "transaction!", STUN_TID);
    if (n > 0) {
        memcpy(p.data + STUN_HEADER, attributes, n);
    }
    return p;
}

static inline struct rig_packet rig_allocate(const char *from)
{
    static const uint8_t transport[] = {0, 0x19, 0, 4, 17, 0, 0, 0};

    return rig_stun(from, strchr(from, '[') != NULL ? RIG_V6 : RIG_V4, STUN_ALLOCATE, transport,
                    sizeof(transport));
}

static inline struct rig_packet rig_allocate_signed(const char *from)
{
    static const uint8_t integrity[24] = {0, 0x08, 0, 20};

    return rig_stun(from, strchr(from, '[') != NULL ? RIG_V6 : RIG_V4, STUN_ALLOCATE, integrity,
                    sizeof(integrity));
}

static inline size_t rig_write(const struct rig_packet *p, uint8_t out[FRAME_MAX])
{
    struct frame f = {
        .from = {2, 0, 0, 0, 0, 0x77},
        .src = p->from,
        .dst = p->to,
        .ttl = 9,
        .tos = 0xb8,
        .data = p->data,
        .n = p->n,
    };

    memcpy(f.to, stage_mac(STAGE_A), FRAME_MAC);
    return frame_write(&f, out);
}

/* What a program does with a frame.  Unless it is answered, it stays as it was. */
static inline enum kernel_verdict rig_run(enum kernel_program program, const uint8_t *in, size_t n,
                                          uint8_t out[FRAME_MAX], size_t *out_n)
{
    const enum kernel_verdict verdict =
        kernel_run(&rig.kernel, program, STAGE_A, in, n, out, out_n);

    if (verdict != KERNEL_OUT) {
        assert_int_equal(*out_n, n);
        assert_memory_equal(out, in, n);
    }
    return verdict;
}

/* What both programs in turn do with a datagram: every second one is the other's. */
static inline enum kernel_verdict rig_judge(const struct rig_packet *p)
{
    static uint32_t turn;
    uint8_t in[FRAME_MAX];
    uint8_t out[FRAME_MAX];
    const size_t n = rig_write(p, in);
    size_t out_n;

    turn++;
    return rig_run((turn & 1) != 0 ? KERNEL_XDP : KERNEL_TC, in, n, out, &out_n);
}

/* How many of `count` like it pass, one right after the other. */
static inline uint32_t rig_passing(const struct rig_packet *p, uint32_t count)
{
    uint32_t passing = 0;

    for (uint32_t i = 0; i < count; i++) {
        passing += rig_judge(p) != KERNEL_DROP ? 1U : 0U;
    }
    return passing;
}

/* Run the tests where there is a kernel that can. */
static inline int rig_main(const struct CMUnitTest *tests, size_t count)
{
    const char *why = stage_enter();

    if (why == NULL) {
        why = kernel_open(&rig.kernel, 64);
    }
    if (why != NULL) {
        (void)printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    rig.shield = forward_shield(rig.kernel.forward);
    assert_non_null(rig.shield);
    rig.now_ns = (uint64_t)RIG_START_S * 1000 * RIG_NS_PER_MS;
    const int failed = _cmocka_run_group_tests("shield", tests, count, NULL, NULL);
    kernel_close(&rig.kernel);
    return failed;
}
