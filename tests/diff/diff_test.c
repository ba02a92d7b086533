/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path against user space: random histories of sessions, random frames.
 *
 *     STERNA_DIFF_FRAMES   how many frames (60,000)
 *     STERNA_DIFF_SEED     where the dice begin (1) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "diff/judge.h"

enum {
    FRAMES = 60000,
    CHANNELS = 65536,  /* in the kernel: with those whose slots must rest */
    RUN_FRAMES = 5000, /* with the same settings */
    BURST = 12,        /* frames between two events */
    RATE = 2000,       /* bytes/s, where there is a limit */
};

static struct kernel kernel;
static struct paths paths;
static struct history history;

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

/* Some of all settings in every eight runs. */
static struct paths_options options_of(uint64_t run, uint64_t seed)
{
    return (struct paths_options){
        .seed = seed + run,
        .max_bps = run % 8 == 1 ? RATE : 0,
        .copy_dscp = run % 8 != 2,
        .copy_ecn = run % 8 != 3,
        .auth = run % 4 == 3,
        .wide = run % 2 == 0,
    };
}

static void run_one(struct judge *j, const struct paths_options *options, uint64_t frames)
{
    static struct traffic t;

    paths_start(&paths, &kernel, options);
    history_start(&history, &paths, options);
    judge_start(j, &paths);
    for (uint64_t n = 0; n < frames; n++) {
        if (n % BURST == 0) {
            history_step(&history);
        }
        if (history_any(&history) != NULL) {
            traffic_make(&history, &t);
            judge_frame(j, &t, n % 2 == 0 ? KERNEL_XDP : KERNEL_TC);
        }
    }
    paths_stop(&paths);
    judge_counts(j);
}

static void tell(const struct judge *j, uint64_t sessions, uint64_t channels)
{
    print_message("# %" PRIu64 " frames, %" PRIu64 " sessions, %" PRIu64 " channels: up %" PRIu64
                  ", out %" PRIu64 ", dropped %" PRIu64 "; 4-4 %" PRIu64 ", 4-6 %" PRIu64
                  ", 6-4 %" PRIu64 ", 6-6 %" PRIu64 ", relay to relay %" PRIu64 "\n",
                  j->frames, sessions, channels, j->verdicts[KERNEL_UP], j->verdicts[KERNEL_OUT],
                  j->verdicts[KERNEL_DROP], j->ways[NET_V4][NET_V4], j->ways[NET_V4][NET_V6],
                  j->ways[NET_V6][NET_V4], j->ways[NET_V6][NET_V6],
                  j->counts[OFFLOAD_forwarded_relay_to_relay]);
    for (int i = 0; i < TRAFFIC_ODDITY_COUNT; i++) {
        print_message("#   %-12s out %" PRIu64 "\n", traffic_name((enum traffic_oddity)i),
                      j->odd[i]);
    }
}

/* Everything that a test of this kind could miss by accident was there. */
static void check_share(const struct judge *j)
{
    assert_true(j->verdicts[KERNEL_OUT] * 5 > j->frames);
    assert_true(j->verdicts[KERNEL_UP] > 0 && j->verdicts[KERNEL_DROP] > 0);
    for (int from = NET_V4; from <= NET_V6; from++) {
        assert_true(j->ways[from][NET_V4] > 0 && j->ways[from][NET_V6] > 0);
    }
    assert_true(j->counts[OFFLOAD_forwarded_to_peer] > 0);
    assert_true(j->counts[OFFLOAD_forwarded_to_client] > 0);
    assert_true(j->counts[OFFLOAD_forwarded_relay_to_relay] > 0);
}

static void kernel_path__does_what_user_space_does(void **state)
{
    const uint64_t frames = setting("STERNA_DIFF_FRAMES", FRAMES);
    const uint64_t seed = setting("STERNA_DIFF_SEED", 1);
    static struct judge j;
    uint64_t sessions = 0;
    uint64_t channels = 0;

    (void)state;
    for (uint64_t run = 0; j.frames < frames; run++) {
        const struct paths_options options = options_of(run, seed);
        print_message("# seed %" PRIu64 "\n", options.seed);
        run_one(&j, &options, RUN_FRAMES);
        sessions += history.sessions;
        channels += paths.opened;
    }
    tell(&j, sessions, channels);
    check_share(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_path__does_what_user_space_does),
    };
    const char *why = stage_enter();

    if (why == NULL) {
        why = kernel_open(&kernel, CHANNELS);
    }
    if (why != NULL) {
        (void)printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_close(&kernel);
    return failed;
}
