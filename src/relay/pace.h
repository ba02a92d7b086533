/* SPDX-License-Identifier: Apache-2.0 */
/* How long a worker lets packets gather before it looks for them again.
 *
 * At a moderate rate each packet may wake the worker by itself, and waking up costs more than the
 * packet.  So, in between idle and busy, a turn that has found few packets is followed by a pause
 * of some tens of microseconds: if that pays.  Where the worker shares its CPU, packets gather
 * while others run, and a worker that sleeps would be woken all the more often; so both ways are
 * tried in turns, and the one whose turns find more packets is kept.  An idle worker answers at
 * once, and a busy one finds enough to do.
 *
 * Owner   the worker.  Thread  that worker.  Clock  milliseconds, passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Zeroed is a beginning. */
struct pace {
    uint64_t packets;        /* at the last call */
    uint64_t window_ms;      /* when the window under way began */
    uint64_t window_packets; /* the count then */
    uint32_t window_turns;   /* that have found something since */
    uint32_t per_ms;         /* the rate in the last window */
    uint32_t per_turn[2];    /* packets that 16 turns find, without and with pauses; 0: not known */
    uint32_t windows;        /* of a moderate rate, one after another */
    bool pausing;            /* in the window under way */
};

enum {
    PACE_WINDOW_MS = 32,   /* a window lasts no less */
    PACE_PROBE = 32,       /* of so many windows one tries the other way */
    PACE_GAIN = 2,         /* times as many packets a turn that make up for the timer */
    PACE_MIN_PER_MS = 15,  /* below: too few would gather */
    PACE_MAX_PER_MS = 120, /* above: turns find enough without a pause */
    PACE_FEW = 12,         /* a turn that has found more needs no pause */
    PACE_GATHER = 5,       /* packets that a pause is meant to gather */
    PACE_MIN_US = 40,
    PACE_MAX_US = 100,
};

/* A turn has ended at `now_ms`; `packets` have been received since the beginning.  Returns how many
 * microseconds to pause: 0, or PACE_MIN_US to PACE_MAX_US. */
uint32_t pace_pause_us(struct pace *pace, uint64_t now_ms, uint64_t packets);
