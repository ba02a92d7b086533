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
    FACT_TICKET = 1 << 7,    /* side A has a ticket to move with */
    FACT_MOVED = 1 << 8,     /* it has moved with it */
    FACT_FOLLOWED = 1 << 9,  /* data goes both ways at the new place */
};

enum {
    SIDE_A,
    SIDE_B,
    SIDES,
    PROBE_CHANNEL = 0x4000,
    PROBE_TICKET_MAX = 500, /* RFC 8016 section 3.1.2 wants it below */
};

struct probe_ticket {
    uint8_t p[PROBE_TICKET_MAX];
    size_t n;
};

struct probe {
    const struct probe_plan *plan;
    uint32_t facts;          /* achieved so far, for the steps to read */
    const struct gate *gate; /* with the default rules: tells public addresses from others */
    struct probe_client *side[SIDES];
    struct probe_client *stranger; /* never has credentials */
    struct net_addr relay[SIDES];
    struct probe_client *left;       /* side A where it was before it moved; may be NULL */
    struct probe_ticket ticket;      /* of side A; n is 0 without one */
    struct probe_ticket used_ticket; /* the one that it moved with */
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

/* Moving to another address (RFC 8016): probe_mobility.c */
uint32_t probe_mobility_allocate(struct probe *p, struct probe_note *note);
uint32_t probe_mobility_move(struct probe *p, struct probe_note *note);
uint32_t probe_mobility_echo(struct probe *p, struct probe_note *note);
uint32_t probe_mobility_again(struct probe *p, struct probe_note *note);
uint32_t probe_mobility_old(struct probe *p, struct probe_note *note);
uint32_t probe_mobility_verdict(struct probe *p, struct probe_note *note);

/* Keep the ticket of a response, or none when there is none. */
void probe_mobility_keep(struct probe *p, const struct probe_reply *reply);

/* Tell of a call that ended in `err` (negative), or in an error response. */
void probe_steps_tell(struct probe_note *note, int err, const struct probe_result *result);
