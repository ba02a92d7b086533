/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel path comes, serves and goes, whatever way it goes. */
#include "offload/forward.h"

#include <linux/bpf.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "forward_net.h"
#include "offload/device.h"

static int serve_as(const char *name, enum forward_mode wish, enum forward_mode got)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, name, wish);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == got);
    EXPECT(it.interfaces[0].index == if_nametoindex(name));
    EXPECT(it.interfaces[0].why[0] == '\0' && it.why[0] == '\0');
    EXPECT(net_programs(name) == 1);
    EXPECT(net_lo_forwards("ipv4") == 1 && net_lo_forwards("ipv6") != 0);
    EXPECT((forward_tc_fd(forward) >= 0) == (got == FORWARD_TC));
    EXPECT((forward_xdp_fd(forward) >= 0) == (got != FORWARD_TC));
    EXPECT(forward_control(forward)->forward == 1 && forward_flows(forward) != NULL);
    forward_free(forward);
    EXPECT(net_until(net_untouched));
    return 0;
}

static int serve_tc(void)
{
    return serve_as("v1", FORWARD_TC, FORWARD_TC);
}

static int serve_generic(void)
{
    return serve_as("v1", FORWARD_XDP_GENERIC, FORWARD_XDP_GENERIC);
}

/* A pair takes XDP frames where the far end polls. */
static int serve_native(void)
{
    uint32_t features = 0;

    if (!net_shell("ethtool -K v2 gro on")) {
        STEP_SKIP("no ethtool");
    }
    if (device_xdp(if_nametoindex("v1"), &features) == -ENOENT) {
        STEP_SKIP("whether a pair can send is not told before Linux 6.3");
    }
    EXPECT(serve_as("v1", FORWARD_XDP_NATIVE, FORWARD_XDP_NATIVE) == 0);
    return serve_as("v1", FORWARD_XDP, FORWARD_XDP_NATIVE);
}

static int serve_auto(void)
{
    return serve_as("v1", FORWARD_AUTO, FORWARD_TC);
}

static void forward__serves_by_tc(void **state)
{
    (void)state;
    net_run(serve_tc);
}

static void forward__serves_by_generic_xdp(void **state)
{
    (void)state;
    net_run(serve_generic);
}

static void forward__serves_by_native_xdp(void **state)
{
    (void)state;
    net_run(serve_native);
}

static void forward__chooses_tc_for_a_pair(void **state)
{
    (void)state;
    net_run(serve_auto);
}

/* Native XDP alone would swallow each packet that leaves by this interface. */
static int serve_where_nothing_leaves(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, "v1", FORWARD_XDP_NATIVE);
    EXPECT(net_load(&it, &forward) == -ENODEV && forward == NULL);
    EXPECT(net_says(it.interfaces[0].why, "far end") && net_says(it.why, "v1"));
    EXPECT(net_until(net_untouched));
    net_wish(&it, "v1", FORWARD_XDP);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == FORWARD_XDP_GENERIC);
    EXPECT(net_says(it.interfaces[0].why, "far end"));
    forward_free(forward);
    return 0;
}

static void forward__does_not_swallow_packets(void **state)
{
    (void)state;
    net_run(serve_where_nothing_leaves);
}

/* A server that is killed, as it stands. */
static int hold_and_be_killed(enum forward_mode mode)
{
    struct forward *forward = NULL;
    struct net_wish it;
    char byte = 0;
    int ready[2];
    int status;

    EXPECT(pipe2(ready, O_CLOEXEC) == 0);
    const pid_t child = fork();
    if (child == 0) {
        net_wish(&it, "v1", mode);
        if (net_load(&it, &forward) < 0 || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            (void)pause();
        }
    }
    (void)close(ready[1]);
    EXPECT(child > 0);
    const ssize_t n = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    if (n == 0 && waitpid(child, &status, 0) == child && status == NET_SKIPPED << 8) {
        exit(NET_SKIPPED);
    }
    EXPECT(n == 1);
    EXPECT(net_programs("v1") == 1 && net_lo_forwards("ipv4") == 1);
    EXPECT(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    EXPECT(net_until(net_untouched));
    return 0;
}

static int be_killed(void)
{
    EXPECT(hold_and_be_killed(FORWARD_XDP_GENERIC) == 0);
    EXPECT(hold_and_be_killed(FORWARD_TC) == 0);
    if (net_shell("ethtool -K v2 gro on")) {
        EXPECT(hold_and_be_killed(FORWARD_XDP_NATIVE) == 0);
    }
    return 0;
}

static void forward__leaves_nothing_behind_when_killed(void **state)
{
    (void)state;
    net_run(be_killed);
}

/* A packet that is not for us goes up, and is counted. */
static int run_programs(void)
{
    uint64_t counts[OFFLOAD_COUNT_MAX];
    struct forward *forward = NULL;
    struct net_wish it;
    unsigned char frame[64] = {0xff};
    struct bpf_test_run_opts run = {
        .sz = sizeof(run),
        .data_in = frame,
        .data_size_in = sizeof(frame),
    };

    /* The far end would tell its IPv6 neighbours of itself meanwhile. */
    EXPECT(net_shell("ip link set v2 down"));
    net_wish(&it, "v1", FORWARD_TC);
    it.options.virtual_clock = true;
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(forward_xdp_fd(forward) >= 0 && forward_tc_fd(forward) >= 0);
    EXPECT(forward_counts(forward, counts) == 0 && counts[OFFLOAD_not_for_us] == 0);
    EXPECT(bpf_prog_test_run_opts(forward_xdp_fd(forward), &run) == 0 && run.retval == XDP_PASS);
    EXPECT(forward_counts(forward, counts) == 0 && counts[OFFLOAD_not_for_us] == 1);
    forward_free(forward);
    return 0;
}

static void forward__counts_what_its_programs_see(void **state)
{
    (void)state;
    net_run(run_programs);
}

static int walk_memory(void)
{
    struct forward *forward = NULL;
    struct net_wish it;
    int err = -ENOMEM;
    long at = 0;

    for (; err == -ENOMEM; at++) {
        net_wish(&it, "v1", FORWARD_TC);
        mem_fail_at(at);
        err = net_load(&it, &forward);
        mem_fail_at(-1);
        EXPECT(err == 0 || (err == -ENOMEM && it.why[0] != '\0' && forward == NULL));
        EXPECT(err == 0 || net_until(net_untouched));
    }
    forward_free(forward);
    if (at == 1) {
        STEP_SKIP("built without fault_injection");
    }
    EXPECT(at > 5);
    return 0;
}

static void forward__fails_without_memory(void **state)
{
    (void)state;
    net_run(walk_memory);
}

enum { DESCRIPTORS = 256 };

struct descriptors {
    int flags[DESCRIPTORS]; /* -1: not open */
};

static struct descriptors list_descriptors(void)
{
    struct descriptors list = {{0}};

    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        list.flags[fd] = fcntl(fd, F_GETFD);
    }
    return list;
}

static int count_descriptors(void)
{
    const struct descriptors list = list_descriptors();
    int count = 0;

    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        count += list.flags[fd] >= 0;
    }
    return count;
}

/* 0: it has worked; 2: it has not, and has said why. */
static int start_with_descriptors(int before, rlim_t room)
{
    const struct descriptors were = list_descriptors();
    struct rlimit limit = {.rlim_cur = room, .rlim_max = DESCRIPTORS};
    struct forward *forward = NULL;
    struct net_wish it;

    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    net_wish(&it, "v1", FORWARD_TC);
    const int err = net_load(&it, &forward);
    if (err < 0) {
        EXPECT(forward == NULL && it.why[0] != '\0' && count_descriptors() == before);
        return 2;
    }
    for (int fd = 0; fd < DESCRIPTORS; fd++) { /* nothing of it goes to programs that we start */
        const int flags = fcntl(fd, F_GETFD);
        EXPECT(flags < 0 || were.flags[fd] >= 0 || (flags & FD_CLOEXEC) != 0);
    }
    forward_free(forward);
    EXPECT(count_descriptors() == before);
    return 0;
}

/* One descriptor more each time, until there are enough; in a process of its own each, since libbpf
 * keeps in mind what it believes the kernel can't. */
static int walk_descriptors(void)
{
    const int before = count_descriptors();
    int status = 2;
    int more = 0;

    for (; status == 2 && more < 100; more += 4) {
        const pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            _exit(start_with_descriptors(before, (rlim_t)before + (rlim_t)more));
        }
        EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
        status = WEXITSTATUS(status);
        EXPECT(net_until(net_untouched));
    }
    EXPECT((status == 0 || status == NET_SKIPPED) && more > 8);
    return status;
}

static void forward__fails_without_descriptors(void **state)
{
    (void)state;
    net_run(walk_descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward__serves_by_tc),
        cmocka_unit_test(forward__serves_by_generic_xdp),
        cmocka_unit_test(forward__serves_by_native_xdp),
        cmocka_unit_test(forward__chooses_tc_for_a_pair),
        cmocka_unit_test(forward__does_not_swallow_packets),
        cmocka_unit_test(forward__leaves_nothing_behind_when_killed),
        cmocka_unit_test(forward__counts_what_its_programs_see),
        cmocka_unit_test(forward__fails_without_memory),
        cmocka_unit_test(forward__fails_without_descriptors),
    };
    forward_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
