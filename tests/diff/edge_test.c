/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path at its edges: deadlines to the nanosecond, ends that hold at once, every length.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "diff/judge.h"
#include "diff/line.h"

enum {
    CHANNELS = 1024,
    EARLY_NS = 10 * PATHS_NS_PER_MS, /* deadlines are told to the programs with a tick to spare */
    DATA_MAX = STAGE_MTU - FRAME_IPV6 - FRAME_UDP, /* what fits in any packet that comes in */
    PATTERNS = 4,
};

static struct kernel kernel;
static struct paths paths;
static struct client client;

static void begin(void)
{
    const struct paths_options options = {.seed = 7, .copy_dscp = true, .copy_ecn = true};

    line_begin(&paths, &kernel, &options, &client);
}

/* What the program does with it; the channel knows what was forwarded. */
static enum kernel_verdict run(const struct line *line, enum kernel_program program, bool to_peer)
{
    static const uint8_t data[] = "application data";
    static struct traffic t;
    uint8_t out[FRAME_MAX];
    size_t n;

    line_make(&paths, line, to_peer, data, sizeof(data), &t);
    const enum kernel_verdict verdict = kernel_run(&kernel, program, t.at, t.bytes, t.n, out, &n);
    if (verdict == KERNEL_UP) {
        assert_int_equal(n, t.n);
        assert_memory_equal(out, t.bytes, n);
    } else {
        line_count(&paths, line, to_peer, sizeof(data));
    }
    return verdict;
}

/* Both programs do the same with both directions. */
static void check_both(const struct line *line, enum kernel_verdict to_peer,
                       enum kernel_verdict to_client)
{
    for (int program = KERNEL_XDP; program <= KERNEL_TC; program++) {
        assert_int_equal(run(line, (enum kernel_program)program, true), to_peer);
        assert_int_equal(run(line, (enum kernel_program)program, false), to_client);
    }
}

/* --- deadlines ----------------------------------------------------------------------------------
 */

/* A permission ends before its channel: no more to the client, but on to the peer. */
static void kernel_path__ends_to_the_nanosecond(void **state)
{
    (void)state;
    begin();
    const struct line line = line_bind(&client, NET_V4, NET_V4, 0);
    const uint64_t start_ms = paths.world.now_ms;
    const uint64_t permission_ns = (start_ms + 15000) * PATHS_NS_PER_MS - EARLY_NS;
    const uint64_t allocation_ns = (start_ms + 20000) * PATHS_NS_PER_MS - EARLY_NS;

    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel_set_now(&kernel, permission_ns - 1);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel_set_now(&kernel, permission_ns);
    check_both(&line, KERNEL_OUT, KERNEL_UP);
    kernel_set_now(&kernel, allocation_ns - 1);
    check_both(&line, KERNEL_OUT, KERNEL_UP);
    kernel_set_now(&kernel, allocation_ns);
    check_both(&line, KERNEL_UP, KERNEL_UP);
    kernel_set_now(&kernel, UINT64_MAX);
    check_both(&line, KERNEL_UP, KERNEL_UP);
    kernel_set_now(&kernel, start_ms * PATHS_NS_PER_MS);
    paths_stop(&paths);
}

static void kernel_path__goes_on_when_refreshed(void **state)
{
    (void)state;
    begin();
    const struct line line = line_bind(&client, NET_V6, NET_V4, 0);
    const uint64_t start_ms = paths.world.now_ms;

    paths_advance(&paths, 14000, false);
    assert_int_equal(client_permit(&client, &line.peer).code, 0);
    kernel_set_now(&kernel, (start_ms + 19990) * PATHS_NS_PER_MS - 1);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel_set_now(&kernel, (start_ms + 19990) * PATHS_NS_PER_MS);
    check_both(&line, KERNEL_UP, KERNEL_UP); /* the allocation */
    kernel_set_now(&kernel, paths.world.now_ms * PATHS_NS_PER_MS);
    assert_int_equal(client_refresh(&client, 60).code, 0);
    kernel_set_now(&kernel, (start_ms + 24990) * PATHS_NS_PER_MS - 1);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel_set_now(&kernel, (start_ms + 24990) * PATHS_NS_PER_MS);
    check_both(&line, KERNEL_UP, KERNEL_UP); /* the channel */
    kernel_set_now(&kernel, paths.world.now_ms * PATHS_NS_PER_MS);
    assert_int_equal(client_bind(&client, LINE_NUMBER, &line.peer).code, 0);
    kernel_set_now(&kernel, (start_ms + 14000 + 15000 - 10) * PATHS_NS_PER_MS - 1);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel_set_now(&kernel, paths.world.now_ms * PATHS_NS_PER_MS);
    paths_stop(&paths);
}

/* --- ends ---------------------------------------------------------------------------------------
 */

static void kernel_path__ends_with_its_session(void **state)
{
    (void)state;
    begin();
    const struct line one = line_bind(&client, NET_V4, NET_V6, 0);
    const struct line other = line_bind(&client, NET_V4, NET_V6, 1);

    check_both(&one, KERNEL_OUT, KERNEL_OUT);
    client.addr = one.client;
    assert_int_equal(client_refresh(&client, 0).code, 0);
    check_both(&one, KERNEL_UP, KERNEL_UP);
    check_both(&other, KERNEL_OUT, KERNEL_OUT);
    assert_int_equal(turn_server_close_session(paths.world.server,
                                               paths.world.events.last_session + 1,
                                               paths.world.now_ms),
                     0);
    check_both(&other, KERNEL_UP, KERNEL_UP);
    paths_stop(&paths);
}

/* Rules change: nothing until each was asked for again, and then only what they grant. */
static void kernel_path__obeys_new_rules(void **state)
{
    static const char *const allow[] = {"2001:db8::-2001:db8:ffff::", NULL};

    (void)state;
    begin();
    const struct line one = line_bind(&client, NET_V4, NET_V4, 0);
    const struct line other = line_bind(&client, NET_V4, NET_V6, 1);
    paths_halt(&paths);
    check_both(&one, KERNEL_UP, KERNEL_UP);
    check_both(&other, KERNEL_UP, KERNEL_UP);
    paths_reconfigure(&paths, allow);
    check_both(&one, KERNEL_UP, KERNEL_UP);
    check_both(&other, KERNEL_OUT, KERNEL_OUT);
    paths_reconfigure(&paths, NULL);
    check_both(&one, KERNEL_UP, KERNEL_UP);
    check_both(&other, KERNEL_OUT, KERNEL_OUT);
    paths_stop(&paths);
}

static void kernel_path__can_be_switched_off(void **state)
{
    (void)state;
    begin();
    const struct line line = line_bind(&client, NET_V6, NET_V6, 0);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    kernel.control->forward = 0;
    check_both(&line, KERNEL_UP, KERNEL_UP);
    kernel.control->forward = 1;
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    paths_stop(&paths);
}

/* Slots go from channel to channel. */
static void kernel_path__goes_on_for_the_next_channel(void **state)
{
    (void)state;
    begin();
    for (uint16_t i = 0; i < 3 * CHANNELS; i++) {
        const struct line line = line_bind(&client, NET_V4, NET_V4, i % 2);
        check_both(&line, KERNEL_OUT, KERNEL_OUT);
        assert_int_equal(client_refresh(&client, 0).code, 0);
        check_both(&line, KERNEL_UP, KERNEL_UP);
        paths_advance(&paths, 1000, false); /* slots rest for a while */
    }
    paths_stop(&paths);
}

/* The only entry of a hash map. */
static void read_only_entry(int map, struct offload_key4 *key, struct offload_flow *flow)
{
    struct offload_key4 none;

    assert_int_equal(bpf_map_get_next_key(map, NULL, key), 0);
    assert_int_equal(bpf_map_lookup_elem(map, key, flow), 0);
    assert_int_equal(bpf_map_get_next_key(map, key, &none), -ENOENT);
}

/* A hash entry that outlived its channel, which must never be: its slot is of another generation by
 * then, whoever has it. */
static void kernel_path__does_not_revive_a_channel(void **state)
{
    struct offload_key4 key;
    struct offload_flow flow;
    const int map = kernel_map(&kernel, "flow4");

    (void)state;
    begin();
    const struct line old = line_bind(&client, NET_V4, NET_V6, 0);
    read_only_entry(map, &key, &flow);
    assert_int_equal(client_refresh(&client, 0).code, 0);
    for (uint32_t i = 0; i < 3 * CHANNELS; i++) {
        const struct line line = line_bind(&client, NET_V6, NET_V6, 1);
        assert_int_equal(bpf_map_update_elem(map, &key, &flow, BPF_NOEXIST), 0);
        assert_int_equal(run(&old, KERNEL_XDP, true), KERNEL_UP);
        assert_int_equal(run(&old, KERNEL_TC, true), KERNEL_UP);
        assert_int_equal(bpf_map_delete_elem(map, &key), 0);
        check_both(&line, KERNEL_OUT, KERNEL_OUT);
        assert_int_equal(client_refresh(&client, 0).code, 0);
        paths_advance(&paths, 1000, false);
    }
    (void)close(map);
    paths_stop(&paths);
}

/* The memory of an entry may become another channel's while it is read: the packet goes up, and not
 * to the other's peer. */
static void kernel_path__knows_an_entry_that_became_anothers(void **state)
{
    struct offload_key4 key;
    struct offload_flow flow;
    const int map = kernel_map(&kernel, "flow4");

    (void)state;
    begin();
    const struct line line = line_bind(&client, NET_V4, NET_V6, 0);
    read_only_entry(map, &key, &flow);
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    flow.ports ^= 1; /* as it would be with the other's in its place, whose slot is live */
    assert_int_equal(bpf_map_update_elem(map, &key, &flow, BPF_EXIST), 0);
    assert_int_equal(run(&line, KERNEL_XDP, true), KERNEL_UP);
    assert_int_equal(run(&line, KERNEL_TC, true), KERNEL_UP);
    (void)close(map);
    paths_stop(&paths);
}

/* --- where packets may not go -------------------------------------------------------------------
 */

static void set_flags(int map, enum stage_interface i, bool out)
{
    const uint32_t index = stage_index(i);
    struct offload_if at;

    assert_int_equal(bpf_map_lookup_elem(map, &index, &at), 0);
    at.flags &= ~(uint32_t)OFFLOAD_IF_OUT;
    at.flags |= out ? OFFLOAD_IF_OUT : 0U;
    assert_int_equal(bpf_map_update_elem(map, &index, &at, BPF_ANY), 0);
}

static void kernel_path__leaves_by_interfaces_of_its_own(void **state)
{
    const int map = kernel_map(&kernel, "interfaces");

    (void)state;
    begin();
    const struct line line =
        line_bind(&client, NET_V4, NET_V4, 0); /* client by STAGE_A, peer by STAGE_B */
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    set_flags(map, STAGE_B, false);
    check_both(&line, KERNEL_UP, KERNEL_OUT);
    set_flags(map, STAGE_B, true);
    set_flags(map, STAGE_A, false);
    check_both(&line, KERNEL_OUT, KERNEL_UP);
    set_flags(map, STAGE_A, true);
    (void)close(map);
    paths_stop(&paths);
}

/* --- bandwidth ----------------------------------------------------------------------------------
 */

/* A channel that came here before there was a limit has no bucket. */
static void kernel_path__forwards_nothing_without_its_bucket(void **state)
{
    (void)state;
    begin();
    const struct line line = line_bind(&client, NET_V4, NET_V4, 0);
    kernel.control->max_bps = 1000000;
    check_both(&line, KERNEL_UP, KERNEL_UP);
    kernel.control->max_bps = 0;
    check_both(&line, KERNEL_OUT, KERNEL_OUT);
    paths_stop(&paths);
}

/* A full bucket is 64 KiB of messages, towards the peer and towards the client alike. */
static void kernel_path__keeps_to_the_bandwidth(void **state)
{
    enum { SIZE = 1000, BURST = 65536, RATE = 1000 };

    static struct judge j;
    static struct traffic t;
    const struct paths_options options = {.seed = 7, .max_bps = RATE};
    const uint8_t data[SIZE] = {0};

    (void)state;
    line_begin(&paths, &kernel, &options, &client);
    const struct line line = line_bind(&client, NET_V4, NET_V4, 0);
    judge_start(&j, &paths);
    for (int way = 0; way < 2; way++) {
        j.verdicts[KERNEL_OUT] = 0;
        line_make(&paths, &line, way == 0, data, SIZE, &t);
        for (int i = 0; i < 100; i++) {
            judge_frame(&j, &t, i % 2 == 0 ? KERNEL_XDP : KERNEL_TC);
        }
        assert_int_equal(j.verdicts[KERNEL_OUT], BURST / (SIZE + 4));
    }
    j.verdicts[KERNEL_OUT] = 0;
    paths_advance(&paths, 10000, false);
    for (int i = 0; i < 20; i++) {
        judge_frame(&j, &t, KERNEL_XDP);
    }
    assert_int_equal(j.verdicts[KERNEL_OUT], (BURST % (SIZE + 4) + 10 * RATE) / (SIZE + 4));
    paths_stop(&paths);
}

/* --- checksums ----------------------------------------------------------------------------------
 */

static void fill(uint8_t *data, size_t n, int pattern, struct dice *dice)
{
    static const int bytes[PATTERNS] = {-1, 0, 0xff, 0x01};

    if (bytes[pattern] < 0) {
        dice_fill(dice, data, n);
    } else {
        memset(data, bytes[pattern], n);
    }
}

/* Of every length, in every family and direction, what comes out is what a full computation
 * gives. */
static void check_lengths(uint8_t family, uint8_t peer_family)
{
    static struct judge j;
    static struct traffic t;
    uint8_t data[FRAME_DATA_MAX];
    struct dice dice = {family * 2U + peer_family};

    begin();
    const struct line line = line_bind(&client, family, peer_family, 0);
    judge_start(&j, &paths);
    for (size_t n = 0; n <= DATA_MAX; n++) {
        for (int i = 0; i < 2 * PATTERNS; i++) {
            fill(data, n, i / 2, &dice);
            line_make(&paths, &line, i % 2 == 0, data, n, &t);
            judge_frame(&j, &t, n % 3 == 0 ? KERNEL_TC : KERNEL_XDP);
        }
    }
    paths_stop(&paths);
    assert_true(j.verdicts[KERNEL_OUT] * 100 > j.frames * 95); /* all but the longest ones */
}

static void kernel_path__sums_every_length(void **state)
{
    (void)state;
    for (uint8_t family = NET_V4; family <= NET_V6; family++) {
        check_lengths(family, NET_V4);
        check_lengths(family, NET_V6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_path__ends_to_the_nanosecond),
        cmocka_unit_test(kernel_path__goes_on_when_refreshed),
        cmocka_unit_test(kernel_path__ends_with_its_session),
        cmocka_unit_test(kernel_path__obeys_new_rules),
        cmocka_unit_test(kernel_path__can_be_switched_off),
        cmocka_unit_test(kernel_path__goes_on_for_the_next_channel),
        cmocka_unit_test(kernel_path__does_not_revive_a_channel),
        cmocka_unit_test(kernel_path__knows_an_entry_that_became_anothers),
        cmocka_unit_test(kernel_path__leaves_by_interfaces_of_its_own),
        cmocka_unit_test(kernel_path__forwards_nothing_without_its_bucket),
        cmocka_unit_test(kernel_path__keeps_to_the_bandwidth),
        cmocka_unit_test(kernel_path__sums_every_length),
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
