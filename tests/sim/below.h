/* SPDX-License-Identifier: Apache-2.0 */
/* A path below all cores that relays the packets of bound channels by itself, for as long as it was
 * told: what it would relay must be what the model says, at every moment.
 *
 * It has a generator of its own, so that a seed's scenario is the same with it as without.
 *
 * Owner   the simulation.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model.h"
#include "peers.h"
#include "prng.h"
#include "turn/turn_server.h"

enum { BELOW_FLOWS = 1024, BELOW_LIMITS = 256 };

struct sim;
struct sim_core;

struct below_flow {
    bool open;
    bool refused; /* not taken: it may be missing */
    bool halted;  /* the rules have changed since it was told */
    uint8_t core;
    struct turn_flow is;
    uint64_t until_ms[2];
    struct turn_traffic more; /* relayed, and not told yet */
};

struct below_limit {
    bool open;
    uint8_t core;
    struct bucket of[2];
};

struct below {
    struct prng random;
    bool no_limits;
    struct below_flow flow[BELOW_FLOWS]; /* handles are indices + 1 */
    uint32_t top;                        /* beyond it there is none */
    uint32_t open;
    struct below_limit limit[BELOW_LIMITS];
    uint64_t told[PEER_LISTENERS][2]; /* packets, by core: they are in its counters */
};

void below_init(struct below *b, uint64_t seed);

/* Add this path to the effects of a core. */
void below_join(struct turn_effects *effects);

/* The rules change: every channel must be told of again, or taken back. */
void below_halt(struct sim *sim);

/* The session has been packed: its channels may be missing until it is told of them again. */
void below_packed(struct sim *sim, const struct model_alloc *a);

/* Now and then it relays something, and the cores ask about it. */
void below_act(struct sim *sim);

/* Would it relay what user space would not, or later? */
void below_audit(struct sim *sim);

/* Does it have all channels of `a` that it can have? */
void below_audit_allocation(struct sim *sim, const struct model_alloc *a);

/* Every session is over. */
void below_audit_empty(struct sim *sim);
