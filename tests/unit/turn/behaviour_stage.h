/* SPDX-License-Identifier: Apache-2.0 */
/* A stage whose server has two addresses and two ports of each family, and tells by which of them
 * its answer leaves. */
#pragma once

#include "stage.h"

/* A1:P1, A1:P2, A2:P1, A2:P2, of UDP and then of TCP; IPv4 and then IPv6. */
static const char *const behaviour_addrs[2][TURN_BEHAVIOUR_ADDRS] = {
    {"192.0.2.1:3478", "192.0.2.1:3479", "192.0.2.2:3478", "192.0.2.2:3479"},
    {"[2001:db8::1]:3478", "[2001:db8::1]:3479", "[2001:db8::2]:3478", "[2001:db8::2]:3479"},
};

/* What stands for the socket at each. */
static uint8_t behaviour_ports[TURN_BEHAVIOUR_SETS][TURN_BEHAVIOUR_ADDRS];
static bool behaviour_broken; /* no socket can be had */

static inline void *behaviour_port(void *arg, uint32_t set, uint32_t at)
{
    (void)arg;
    return behaviour_broken ? NULL : &behaviour_ports[set][at];
}

static inline void behaviour_effects(struct turn_effects *effects)
{
    effects->behaviour_port = behaviour_port;
}

static inline struct net_addr behaviour_addr(int family, int at)
{
    struct net_addr addr;

    assert_int_equal(net_addr_parse(behaviour_addrs[family][at], 0, &addr), 0);
    return addr;
}

static inline int behaviour_open(void **state)
{
    struct stage *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return -1;
    }
    world_init(&s->w, 42);
    behaviour_broken = false;
    s->w.edit_effects = behaviour_effects;
    s->w.config.behaviour.padding = true;
    s->w.config.behaviour.response_port = true;
    for (int i = 0; i < 4; i++) {
        struct turn_behaviour_set *set = &s->w.config.behaviour.sets[i];
        set->stream = i >= 2;
        for (int at = 0; at < TURN_BEHAVIOUR_ADDRS; at++) {
            set->local[at] = behaviour_addr(i % 2, at);
            set->told[at] = set->local[at];
        }
    }
    s->w.config.behaviour.count = 4;
    if (world_start(&s->w) < 0) {
        return -1;
    }
    (void)world_add_user(&s->w, "user", "pass");
    client_init(&s->c, &s->w, "203.0.113.5:4000", "user", "pass");
    *state = s;
    return 0;
}

/* The value of the first attribute `type` of what the server answers; p is NULL without one. */
static inline struct bytes behaviour_attr(const struct stage *s, uint16_t type)
{
    struct bytes rest = {s->w.pkt.data + STUN_HEADER, s->w.pkt.len - STUN_HEADER};
    struct stun_attr attr;

    while (stun_attr_next(&rest, &attr) > 0) {
        if (attr.type == type) {
            return attr.value;
        }
    }
    return (struct bytes){NULL, 0};
}

/* Is there an address in attribute `type`, and that one? */
static inline bool behaviour_tells(const struct stage *s, uint16_t type,
                                   const struct net_addr *addr)
{
    const struct bytes value = behaviour_attr(s, type);
    struct net_addr told;

    return value.p != NULL && stun_addr_decode(value, &told) == 0 && net_addr_equal(&told, addr);
}

static inline bool behaviour_lacks(const struct stage *s, uint16_t type)
{
    return behaviour_attr(s, type).p == NULL;
}

#define BEHAVIOUR_TEST(f) cmocka_unit_test_setup_teardown(f, behaviour_open, stage_close)
