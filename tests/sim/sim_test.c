/* SPDX-License-Identifier: Apache-2.0 */
/* Plays scenarios and tells which seed failed, how, and what led to it.
 *
 *     STERNA_SIM_SEED=n ./sim    play one small scenario and print its last steps
 *     STERNA_SIM_COUNT=n ./sim   play n small scenarios instead of the usual number
 *     STERNA_SIM_FIRST=n ./sim   begin with seed n */
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "unit/check.h"

enum {
    SMALL_COUNT = 3000,
    SMALL_STEPS = 40,
    LONG_COUNT = 8,
    LONG_STEPS = 6000,
    SAME_COUNT = 60,
    FAULT_COUNT = 12,
    FAULT_MOST = 5000,
};

static struct gate *gates[PEER_RULE_SETS];
static struct sim *sim;

/* Printed by whatever ends the program: an assertion of the core, a sanitizer. */
static void tell_seed(void)
{
    (void)fprintf(stderr, "# the seed that was being played: %llu\n",
                  (unsigned long long)sim->options.seed);
}

__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static struct sim_options options_small(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed,
        .steps = SMALL_STEPS,
        .actors = 2 + (uint32_t)(seed % 3),
        .gates = gates,
    };
}

static struct sim_options options_long(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed,
        .steps = LONG_STEPS,
        .actors = SIM_ACTORS,
        .dense = true,
        .gates = gates,
    };
}

/* Play it again in words. */
static void tell_failure(const struct sim_options *options)
{
    struct sim_options again = *options;

    again.words = true;
    (void)sim_play(sim, &again);
    trace_print(&sim->trace, stdout, "# ");
    print_message("# seed %llu (%u steps): %s\n", (unsigned long long)options->seed, options->steps,
                  sim->why);
}

static void play(const struct sim_options *options)
{
    if (sim_play(sim, options) < 0) {
        tell_failure(options);
        fail();
    }
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *const kind_name[] = {
    [INTENT_BINDING] = "Binding",          [INTENT_ALLOCATE] = "Allocate",
    [INTENT_REFRESH] = "Refresh",          [INTENT_PERMIT] = "CreatePermission",
    [INTENT_BIND] = "ChannelBind",         [INTENT_CONNECT] = "Connect",
    [INTENT_CONN_BIND] = "ConnectionBind",
};

static void print_seen(const struct sim_seen *s)
{
    char line[1000];

    for (size_t kind = 0; kind < ARRAY_SIZE(kind_name); kind++) {
        int n = 0;
        for (size_t code = 0; kind_name[kind] != NULL && code < ARRAY_SIZE(s->answer[0]); code++) {
            if (s->answer[kind][code] > 0) {
                n += snprintf(line + n, sizeof(line) - (size_t)n, ", %zu: %llu", code,
                              (unsigned long long)s->answer[kind][code]);
            }
        }
        if (n > 0) {
            print_message("# answers to %s%s\n", kind_name[kind], line);
        }
    }
    print_message(
        "# %llu repeated, %llu dual, %llu redeemed, %llu waited, %llu moved, %llu closed, "
        "%llu expired, %llu revoked\n",
        (unsigned long long)s->repeated, (unsigned long long)s->dual,
        (unsigned long long)s->redeemed, (unsigned long long)s->waited,
        (unsigned long long)s->moved, (unsigned long long)s->closed, (unsigned long long)s->expired,
        (unsigned long long)s->revoked);
    print_message(
        "# relayed/dropped: Send %llu/%llu, ChannelData %llu/%llu, peer data %llu+%llu/%llu, "
        "ICMP %llu/%llu; noise %llu, between relays %llu, over a limit %llu\n",
        (unsigned long long)s->send_relayed, (unsigned long long)s->send_dropped,
        (unsigned long long)s->channel_relayed, (unsigned long long)s->channel_dropped,
        (unsigned long long)s->peer_as_data, (unsigned long long)s->peer_as_channel,
        (unsigned long long)s->peer_dropped, (unsigned long long)s->icmp_told,
        (unsigned long long)s->icmp_dropped, (unsigned long long)s->noise_relayed,
        (unsigned long long)s->between_relays, (unsigned long long)s->limited);
    print_message(
        "# connections: %llu accepted, %llu refused, %llu ended, %llu expired, %llu revoked; "
        "%llu clients hung up\n",
        (unsigned long long)s->conn_accepted, (unsigned long long)s->conn_refused,
        (unsigned long long)s->conn_ended, (unsigned long long)s->conn_expired,
        (unsigned long long)s->conn_revoked, (unsigned long long)s->hung_up);
    print_message(
        "# below: %llu channels taken, %llu refused, %llu times renewed; %llu packets, %llu "
        "over a limit\n",
        (unsigned long long)s->below_opened, (unsigned long long)s->below_refused,
        (unsigned long long)s->below_renewed, (unsigned long long)s->below_relayed,
        (unsigned long long)s->below_limited);
    print_message("# tickets: %llu moved their client, %llu came again, %llu were forwarded; "
                  "%llu sessions travelled meanwhile\n",
                  (unsigned long long)s->shown, (unsigned long long)s->shown_again,
                  (unsigned long long)s->forwarded, (unsigned long long)s->travelled);
}

/* Each of these rows is a line of the model; the server was changed against it, and the change
 * found. Proves T-8656-9-01, T-8656-9-02, T-8656-9-05, T-8656-9-06, T-8656-9-07, T-8656-10.2-08,
 * T-8656-11.3-05, T-8656-12-02, T-8656-12-03, T-8656-12.2-03, T-8656-12.2-04, T-8656-12.2-10,
 * T-8656-12.2-11, T-8656-12.2-12, T-8656-12.6-04, T-8656-12.6-07, T-8656-6-01, T-8656-6-04,
 * T-8656-6-05, T-8656-7.2-35, T-8656-7.2-37, T-8656-7.2-28, T-8656-8.1-02, T-8656-8.1-04,
 * T-8656-8.2-08, T-8656-8.2-09, T-8656-8.2-10 */
static void scenarios__agree_with_the_model(void **state)
{
    const uint64_t first = number_from("STERNA_SIM_FIRST", 1);
    const uint64_t count = number_from("STERNA_SIM_COUNT", SMALL_COUNT);
    const double start = seconds();
    uint64_t packets = 0;

    (void)state;
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = options_small(seed);
        play(&options);
        packets += sim->packets;
    }
    const double took = seconds() - start;
    print_message("# %llu scenarios, %llu packets, %.0f scenarios a second\n",
                  (unsigned long long)count, (unsigned long long)packets, (double)count / took);
    print_seen(&sim->seen);
}

static void long_scenarios__agree_with_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= LONG_COUNT; seed++) {
        const struct sim_options options = options_long(seed);
        play(&options);
        print_message("# seed %llu: %llu packets in %llu minutes of virtual time\n",
                      (unsigned long long)seed, (unsigned long long)sim->packets,
                      (unsigned long long)((sim->now_ms - sim->start_ms) / 60000));
    }
    print_seen(&sim->seen);
}

/* Played again, after others and in another order, a seed gives the same trace. */
static void same_seed__same_trace(void **state)
{
    uint64_t hash[SAME_COUNT];

    (void)state;
    for (uint64_t seed = 0; seed < SAME_COUNT; seed++) {
        const struct sim_options options = options_small(seed);
        play(&options);
        hash[seed] = sim->trace.hash;
        assert_true(seed == 0 || hash[seed] != hash[seed - 1]);
    }
    for (uint64_t seed = SAME_COUNT; seed-- > 0;) {
        const struct sim_options options = options_small(seed);
        play(&options);
        assert_true(sim->trace.hash == hash[seed]);
    }
}

/* What never happens is not proven: each of these must have come about in the tests before. */
static void everything__has_come_about(void **state)
{
    static const struct {
        enum intent_kind kind;
        int code;
    } answers[] = {
        {INTENT_BINDING, 0},     {INTENT_ALLOCATE, 0},    {INTENT_ALLOCATE, 300},
        {INTENT_ALLOCATE, 400},  {INTENT_ALLOCATE, 401},  {INTENT_ALLOCATE, 403},
        {INTENT_ALLOCATE, 420},  {INTENT_ALLOCATE, 437},  {INTENT_ALLOCATE, 438},
        {INTENT_ALLOCATE, 440},  {INTENT_ALLOCATE, 442},  {INTENT_ALLOCATE, 486},
        {INTENT_ALLOCATE, 508},  {INTENT_REFRESH, 0},     {INTENT_REFRESH, 437},
        {INTENT_ALLOCATE, 405},  {INTENT_REFRESH, 400},   {INTENT_REFRESH, 405},
        {INTENT_REFRESH, 441},   {INTENT_REFRESH, 443},   {INTENT_PERMIT, 0},
        {INTENT_PERMIT, 400},    {INTENT_PERMIT, 403},    {INTENT_PERMIT, 437},
        {INTENT_PERMIT, 441},    {INTENT_PERMIT, 443},    {INTENT_PERMIT, 508},
        {INTENT_BIND, 0},        {INTENT_BIND, 400},      {INTENT_BIND, 403},
        {INTENT_BIND, 437},      {INTENT_BIND, 441},      {INTENT_BIND, 443},
        {INTENT_BIND, 508},      {INTENT_CONNECT, 0},     {INTENT_CONNECT, 400},
        {INTENT_CONNECT, 403},   {INTENT_CONNECT, 437},   {INTENT_CONNECT, 441},
        {INTENT_CONNECT, 443},   {INTENT_CONNECT, 446},   {INTENT_CONNECT, 447},
        {INTENT_CONNECT, 508},   {INTENT_CONN_BIND, 0},   {INTENT_CONN_BIND, 400},
        {INTENT_CONN_BIND, 401}, {INTENT_CONN_BIND, 441},
    };
    const struct sim_seen *s = &sim->seen;

    (void)state;
    if (number_from("STERNA_SIM_COUNT", SMALL_COUNT) < SMALL_COUNT) {
        print_message("# not run here: STERNA_SIM_COUNT asks for fewer scenarios\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        assert_true(s->answer[answers[i].kind][answers[i].code] > 0);
    }
    assert_true(s->repeated > 0 && s->dual > 0 && s->redeemed > 0 && s->waited > 0);
    assert_true(s->moved > 0 && s->closed > 0 && s->expired > 0 && s->revoked > 0);
    assert_true(s->send_relayed > 0 && s->send_dropped > 0 && s->channel_relayed > 0);
    assert_true(s->channel_dropped > 0 && s->peer_as_data > 0 && s->peer_as_channel > 0);
    assert_true(s->peer_dropped > 0 && s->icmp_told > 0 && s->icmp_dropped > 0);
    assert_true(s->noise_relayed > 0 && s->limited > 0 && s->between_relays > 0);
    assert_true(s->conn_accepted > 0 && s->conn_refused > 0 && s->conn_ended > 0);
    assert_true(s->conn_expired > 0 && s->conn_revoked > 0);
    assert_true(s->shown > 0 && s->shown_again > 0 && s->forwarded > 0 && s->travelled > 0);
    assert_true(s->below_opened > 0 && s->below_refused > 0 && s->below_renewed > 0);
    assert_true(s->below_relayed > 0 && s->below_limited > 0);
    assert_true(s->hung_up > 0 && s->lost > 0 && s->padded > 0 && s->domain_told > 0);
}

/* True while the allocation that was to fail has not been reached. */
static bool failure_pending(long n)
{
    bool pending = false;

    for (long i = 0; i <= n && !pending; i++) {
        pending = mem_fails();
    }
    mem_fail_at(-1);
    return pending;
}

static void allocation_failures__leave_everything_right(void **state)
{
    (void)state;
    mem_fail_at(0);
    if (!mem_fails()) {
        print_message("# not run here: the build option fault_injection is off\n");
        return;
    }
    for (uint64_t seed = 1; seed <= FAULT_COUNT; seed++) {
        struct sim_options options = options_small(seed);
        options.faults = true;
        options.steps = 2 * SMALL_STEPS;
        bool pending = false;
        long n = 0;
        for (; !pending && n < FAULT_MOST; n++) {
            mem_fail_at(n);
            const int err = sim_play(sim, &options);
            pending = failure_pending(n);
            if (err == -EPROTO) {
                print_message("# seed %llu, allocation %ld failed: %s\n", (unsigned long long)seed,
                              n, sim->why);
                fail();
            }
        }
        assert_true(pending);
        print_message("# seed %llu: each of %ld allocations failed once\n",
                      (unsigned long long)seed, n - 1);
    }
}

static int open_all(void **state)
{
    (void)state;
    peers_init();
    users_init();
    sim = calloc(1, sizeof(*sim));
    for (uint8_t i = 0; i < PEER_RULE_SETS; i++) {
        gates[i] = peers_gate_new(i);
        if (gates[i] == NULL || sim == NULL) {
            return -1;
        }
    }
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(tell_seed);
    }
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < PEER_RULE_SETS; i++) {
        gate_free(gates[i]);
    }
    free(sim);
    return 0;
}

/* One scenario, in words whether it fails or not. */
static int play_one(uint64_t seed)
{
    struct sim_options options = options_small(seed);
    void *state = NULL;

    options.steps = (uint32_t)number_from("STERNA_SIM_STEPS", SMALL_STEPS);
    options.actors = (uint32_t)number_from("STERNA_SIM_ACTORS", options.actors);
    options.words = true;
    if (open_all(&state) != 0) {
        return EXIT_FAILURE;
    }
    const int err = sim_play(sim, &options);
    trace_print(&sim->trace, stdout, "");
    (void)printf("seed %llu: %s, trace %016llx\n", (unsigned long long)seed,
                 err == 0 ? "passed" : sim->why, (unsigned long long)sim->trace.hash);
    (void)close_all(&state);
    return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenarios__agree_with_the_model),
        cmocka_unit_test(long_scenarios__agree_with_the_model),
        cmocka_unit_test(everything__has_come_about),
        cmocka_unit_test(same_seed__same_trace),
        cmocka_unit_test(allocation_failures__leave_everything_right),
    };

    if (getenv("STERNA_SIM_SEED") != NULL) {
        return play_one(number_from("STERNA_SIM_SEED", 1));
    }
    return cmocka_run_group_tests_name("sim", tests, open_all, close_all);
}
