/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_run.h"

#include <errno.h>

#include "cmd/probe_int.h"
#include "turn/gate.h"

struct step {
    const char *name;
    uint32_t needs; /* enum probe_fact */
    probe_step_fn run;
};

static const struct step all_steps[] = {
    {"binding", 0, probe_steps_binding},
    {"challenge", FACT_WITH_TURN | FACT_ANSWER, probe_steps_challenge},
    {"allocate", FACT_ADMITTED, probe_steps_allocate_a},
    {"relayed address", FACT_RELAY_A, probe_steps_address},
    {"second allocate", FACT_RELAY_A, probe_steps_allocate_b},
    {"permissions", FACT_RELAY_A | FACT_RELAY_B, probe_steps_permission},
    {"send and data", FACT_PERMITTED, probe_echo_indication},
    {"channels", FACT_PERMITTED, probe_steps_channel},
    {"echo", FACT_CHANNELS, probe_echo_channel},
    {"forbidden peers", FACT_RELAY_A, probe_steps_forbidden},
    {"refresh 0", FACT_RELAY_A, probe_steps_refresh},
};

static const struct step mobility_steps[] = {
    {"binding", 0, probe_steps_binding},
    {"challenge", FACT_WITH_TURN | FACT_ANSWER, probe_steps_challenge},
    {"allocate", FACT_ADMITTED, probe_mobility_allocate},
    {"second allocate", FACT_TICKET, probe_steps_allocate_b},
    {"permissions", FACT_TICKET | FACT_RELAY_B, probe_steps_permission},
    {"channels", FACT_PERMITTED, probe_steps_channel},
    {"echo", FACT_CHANNELS, probe_echo_channel},
    {"move", FACT_TICKET, probe_mobility_move},
    {"echo after", FACT_MOVED | FACT_CHANNELS, probe_mobility_echo},
    {"old ticket", FACT_MOVED, probe_mobility_old},
    {"move again", FACT_MOVED, probe_mobility_again},
    {"refresh 0", FACT_RELAY_A, probe_steps_refresh},
    {"mobility", FACT_TICKET, probe_mobility_verdict},
};

static const struct {
    const struct step *steps;
    size_t count;
} kinds[] = {
    [PROBE_ALL] = {all_steps, ARRAY_SIZE(all_steps)},
    [PROBE_MOBILITY] = {mobility_steps, ARRAY_SIZE(mobility_steps)},
};

/* Why a step is left out, by the first thing that it lacks. */
static const char *lack_of(uint32_t missing)
{
    static const struct {
        uint32_t fact;
        const char *text;
    } reasons[] = {
        {FACT_WITH_TURN, "only STUN was to be probed (stun:)"},
        {FACT_ANSWER, "the server did not answer"},
        {FACT_ADMITTED, "no credentials that the server accepts"},
        {FACT_RELAY_A, "no allocation"},
        {FACT_TICKET, "no ticket to move with"},
        {FACT_MOVED, "the client could not move"},
        {FACT_RELAY_B, "only one allocation"},
        {FACT_PERMITTED, "no permissions"},
        {FACT_CHANNELS, "no channels"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        if ((missing & reasons[i].fact) != 0) {
            return reasons[i].text;
        }
    }
    return "";
}

static void run_steps(struct probe *p, struct probe_report *report)
{
    const struct step *steps = kinds[p->plan->kind].steps;
    uint32_t facts = p->plan->stun_only ? 0 : FACT_WITH_TURN;

    for (size_t i = 0; i < kinds[p->plan->kind].count; i++) {
        struct probe_note note;
        probe_note_init(&note);
        const uint32_t missing = steps[i].needs & ~facts;
        if (missing != 0) {
            probe_note_say(&note, PROBE_SKIPPED, NULL, "%s", lack_of(missing));
        } else {
            const uint64_t start = probe_client_now_us();
            p->facts = facts;
            facts |= steps[i].run(p, &note);
            note.took_us = probe_client_now_us() - start;
        }
        probe_report_add(report, steps[i].name, &note);
        probe_note_fini(&note);
    }
}

static struct gate *default_gate(void)
{
    struct gate *gate = gate_new(&(const struct gate_options){.relay_port_max = UINT16_MAX});

    if (gate != NULL && gate_build(gate) < 0) {
        gate_free(gate);
        gate = NULL;
    }
    return gate;
}

int probe_run(const struct probe_plan *plan, struct probe_report *report)
{
    struct gate *gate = default_gate();
    struct probe p = {.plan = plan, .gate = gate};
    int err = gate == NULL ? -ENOMEM : 0;

    if (err == 0) {
        err = probe_client_new(&plan->server, NULL, NULL, plan->timeout_ms, &p.stranger);
    }
    for (int i = 0; i < SIDES && err == 0; i++) {
        err = probe_client_new(&plan->server, plan->user, plan->password, plan->timeout_ms,
                               &p.side[i]);
    }
    if (err == 0) {
        run_steps(&p, report);
    }
    for (int i = 0; i < SIDES; i++) {
        probe_client_free(p.side[i]);
    }
    probe_client_free(p.left);
    probe_client_free(p.stranger);
    gate_free(gate);
    return err;
}
