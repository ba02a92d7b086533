/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/pace.h"

static bool is_moderate(const struct pace *p)
{
    return p->per_ms >= PACE_MIN_PER_MS && p->per_ms <= PACE_MAX_PER_MS;
}

/* How the next window is to be. */
static bool choose(struct pace *p)
{
    if (!is_moderate(p)) {
        p->windows = 0;
        p->per_turn[false] = 0;
        p->per_turn[true] = 0;
        return false;
    }
    p->windows++;
    if (p->per_turn[false] == 0 || p->per_turn[true] == 0) {
        return p->per_turn[false] != 0; /* first without, then with pauses */
    }
    const bool better = p->per_turn[true] >= PACE_GAIN * p->per_turn[false];
    return p->windows % PACE_PROBE == 0 ? !better : better;
}

static void window_end(struct pace *p, uint64_t now_ms, uint64_t packets)
{
    const uint64_t came = packets - p->window_packets;
    const uint64_t per_ms = came / (now_ms - p->window_ms);

    p->per_ms = per_ms < UINT32_MAX ? (uint32_t)per_ms : UINT32_MAX;
    if (is_moderate(p) && p->window_turns > 0) {
        p->per_turn[p->pausing] = (uint32_t)(16 * came / p->window_turns);
    }
    p->pausing = choose(p);
    p->window_ms = now_ms;
    p->window_packets = packets;
    p->window_turns = 0;
}

uint32_t pace_pause_us(struct pace *p, uint64_t now_ms, uint64_t packets)
{
    const uint64_t found = packets - p->packets;

    p->packets = packets;
    p->window_turns += found > 0;
    if (now_ms - p->window_ms >= PACE_WINDOW_MS) {
        window_end(p, now_ms, packets);
    }
    if (!p->pausing || found == 0 || found > PACE_FEW) {
        return 0;
    }
    const uint32_t us = PACE_GATHER * 1000 / p->per_ms;
    return us < PACE_MIN_US ? PACE_MIN_US : us > PACE_MAX_US ? PACE_MAX_US : us;
}
