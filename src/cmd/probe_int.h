/* SPDX-License-Identifier: Apache-2.0 */
/* What the files with the steps of a probe share and nobody else sees.
 *
 * Owner   probe_run().  Thread  one. */
#pragma once

#include <stdint.h>

#include "base/net_addr.h"
#include "cmd/probe_client.h"
#include "cmd/probe_report.h"
#include "cmd/probe_run.h"

struct gate;

/* What steps achieve and others need. */
enum probe_fact {
    FACT_ANSWER = 1 << 0,    /* the server answers */
    FACT_ADMITTED = 1 << 1,  /* it asks for credentials and we have some, or it asks for none */
    FACT_RELAY_A = 1 << 2,   /* side A has an allocation */
    FACT_RELAY_B = 1 << 3,   /* side B likewise */
    FACT_PERMITTED = 1 << 4, /* each relay may reach the other */
    FACT_CHANNELS = 1 << 5,  /* each side has a channel to the other's relay */
    FACT_WITH_TURN = 1 << 6, /* more than STUN is to be probed */
};

enum { SIDE_A, SIDE_B, SIDES, PROBE_CHANNEL = 0x4000 };

struct probe {
    const struct probe_plan *plan;
    const struct gate *gate; /* with the default rules: tells public addresses from others */
    struct probe_client *side[SIDES];
    struct probe_client *stranger; /* never has credentials */
    struct net_addr relay[SIDES];
};

/* A step: fills `note`, which begins as an OK without text, and returns the facts achieved. */
typedef uint32_t (*probe_step_fn)(struct probe *p, struct probe_note *note);

/* Control: probe_steps.c */
uint32_t probe_steps_binding(struct probe *p, struct probe_note *note);
uint32_t probe_steps_challenge(struct probe *p, struct probe_note *note);
uint32_t probe_steps_allocate_a(struct probe *p, struct probe_note *note);
uint32_t probe_steps_allocate_b(struct probe *p, struct probe_note *note);
uint32_t probe_steps_address(struct probe *p, struct probe_note *note);
uint32_t probe_steps_permission(struct probe *p, struct probe_note *note);
uint32_t probe_steps_channel(struct probe *p, struct probe_note *note);
uint32_t probe_steps_forbidden(struct probe *p, struct probe_note *note);
uint32_t probe_steps_refresh(struct probe *p, struct probe_note *note);

/* Data: probe_echo.c */
uint32_t probe_echo_indication(struct probe *p, struct probe_note *note);
uint32_t probe_echo_channel(struct probe *p, struct probe_note *note);

/* Tell of a call that ended in `err` (negative), or in an error response. */
void probe_steps_tell(struct probe_note *note, int err, const struct probe_result *result);
