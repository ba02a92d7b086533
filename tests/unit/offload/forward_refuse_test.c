/* SPDX-License-Identifier: Apache-2.0 */
/* Where the kernel path can't be, it says why; and what it needs is no more than it says. */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "forward_net.h"
#include "offload/flow.h"

/* No interface of `name` for `wish`: `what` says why. */
static int refuse(const char *name, enum forward_mode wish, const char *what)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, name, wish);
    EXPECT(net_load(&it, &forward) == -ENODEV && forward == NULL);
    EXPECT(it.interfaces[0].mode == FORWARD_OFF);
    EXPECT(net_says(it.interfaces[0].why, what));
    EXPECT(net_says(it.why, name) && net_says(it.why, what));
    EXPECT(net_until(net_untouched));
    return 0;
}

static int refuse_interfaces(void)
{
    EXPECT(refuse("lo", FORWARD_AUTO, "never leaves this host") == 0);
    EXPECT(refuse("lo", FORWARD_XDP_GENERIC, "never leaves this host") == 0);
    EXPECT(refuse("nosuch", FORWARD_AUTO, "no such interface") == 0);
    EXPECT(refuse("v1", FORWARD_OFF, "not wished") == 0);
    return 0;
}

static void forward__says_why_it_is_not_on_an_interface(void **state)
{
    (void)state;
    net_run(refuse_interfaces);
}

static int serve_bridge(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    if (!net_shell("ip link add br0 type bridge && ip link set v1 master br0 &&"
                   " ip link set br0 up")) {
        STEP_SKIP("no bridges");
    }
    EXPECT(refuse("br0", FORWARD_XDP, "choose tc") == 0);
    EXPECT(refuse("br0", FORWARD_XDP_GENERIC, "choose tc") == 0);
    EXPECT(refuse("v1", FORWARD_TC, "belongs to br0") == 0);
    net_wish(&it, "br0", FORWARD_AUTO);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == FORWARD_TC && net_programs("br0") == 1);
    forward_free(forward);
    EXPECT(net_programs("br0") == 0);
    return 0;
}

static void forward__serves_a_bridge_but_not_its_ports(void **state)
{
    (void)state;
    net_run(serve_bridge);
}

/* A tag lies in a field of the packet that generic XDP is not shown: what came with one would leave
 * with it, wherever it goes. */
static int serve_vlans(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    if (!net_shell("ip link add link v1 name v1.7 type vlan id 7 && ip link set v1.7 up")) {
        STEP_SKIP("no VLANs");
    }
    EXPECT(refuse("v1", FORWARD_XDP_GENERIC, "choose tc") == 0);
    net_wish(&it, "v1.7", FORWARD_XDP_GENERIC); /* the tag is off there */
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == FORWARD_XDP_GENERIC);
    forward_free(forward);
    return 0;
}

static void forward__sees_the_tags_of_vlans(void **state)
{
    (void)state;
    net_run(serve_vlans);
}

/* Packets that don't begin with link addresses. */
static int refuse_no_ethernet(void)
{
    if (!net_shell("ip tuntap add t0 mode tun && ip link set t0 up")) {
        STEP_SKIP("no tun devices");
    }
    return refuse("t0", FORWARD_AUTO, "no Ethernet");
}

static void forward__does_ethernet_only(void **state)
{
    (void)state;
    net_run(refuse_no_ethernet);
}

/* One interface that can't be does not take the others with it. */
static int serve_the_rest(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, "nosuch", FORWARD_TC);
    net_add(&it, "v1", FORWARD_TC);
    net_add(&it, "lo", FORWARD_XDP_GENERIC);
    net_add(&it, "v2", FORWARD_XDP_GENERIC);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == FORWARD_OFF && it.interfaces[2].mode == FORWARD_OFF);
    EXPECT(it.interfaces[1].mode == FORWARD_TC);
    EXPECT(it.interfaces[3].mode == FORWARD_XDP_GENERIC);
    EXPECT(net_programs("v1") == 1 && net_programs("v2") == 1);
    forward_free(forward);
    EXPECT(net_until(net_untouched));
    return 0;
}

static void forward__serves_the_rest(void **state)
{
    (void)state;
    net_run(serve_the_rest);
}

/* An interface that is down may come up later. */
static int serve_down(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    EXPECT(net_shell("ip link set v1 down"));
    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(net_load(&it, &forward) == 0 && it.interfaces[0].mode == FORWARD_TC);
    forward_free(forward);
    return 0;
}

static void forward__serves_what_is_down(void **state)
{
    (void)state;
    net_run(serve_down);
}

static int load_pass(void)
{
    static const struct bpf_insn pass[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT},
    };

    return bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, COUNT_OF(pass), NULL);
}

static int meet_another_program(void)
{
    const struct bpf_link_create_opts generic = {.sz = sizeof(generic),
                                                 .flags = XDP_FLAGS_SKB_MODE};
    const int program = load_pass();
    struct forward *forward = NULL;
    struct net_wish it;

    if (program < 0) {
        STEP_SKIP("loading BPF programs takes CAP_BPF");
    }
    const int link = bpf_link_create(program, (int)if_nametoindex("v1"), BPF_XDP, &generic);
    EXPECT(link >= 0);
    net_wish(&it, "v1", FORWARD_XDP_GENERIC);
    EXPECT(net_load(&it, &forward) == -ENODEV);
    EXPECT(net_says(it.interfaces[0].why, "another XDP program"));
    EXPECT(net_programs("v1") == 1);
    net_wish(&it, "v1", FORWARD_XDP);
    EXPECT(net_load(&it, &forward) == -ENODEV);
    EXPECT(net_says(it.interfaces[0].why, "another XDP program"));
    net_wish(&it, "v1", FORWARD_TC); /* both of them have their place */
    EXPECT(net_load(&it, &forward) == 0 && net_programs("v1") == 2);
    forward_free(forward);
    EXPECT(net_programs("v1") == 1);
    (void)close(link);
    (void)close(program);
    return 0;
}

static void forward__leaves_programs_of_others_alone(void **state)
{
    (void)state;
    net_run(meet_another_program);
}

static void forward__has_a_limit_of_interfaces(void **state)
{
    static struct forward_interface many[FORWARD_INTERFACES + 1];
    const struct forward_options options = {
        .max_channels = 1,
        .max_sessions = 1,
        .interfaces = many,
        .interface_count = COUNT_OF(many),
    };
    struct forward *forward = NULL;
    char why[256] = "";

    (void)state;
    assert_int_equal(forward_new(&options, &forward, why, sizeof(why)), -ENOSPC);
    assert_null(forward);
    assert_non_null(strstr(why, "more than 32"));
}

/* --- rights --------------------------------------------------------------------------------------
 */

static int start_without(uint64_t rights)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(net_keep_rights(rights));
    EXPECT(net_load(&it, &forward) == -EPERM && forward == NULL);
    EXPECT(net_says(it.why, "CAP_BPF, CAP_NET_ADMIN") && net_says(it.why, "CAP_PERFMON"));
    return 0;
}

static int start_without_rights(void)
{
    return start_without(0);
}

static int start_without_cap_bpf(void)
{
    EXPECT(start_without(1ULL << CAP_NET_ADMIN) == 0);
    EXPECT(net_until(net_untouched));
    return 0;
}

static int start_without_cap_net_admin(void)
{
    return start_without(1ULL << CAP_BPF);
}

static int start_without_cap_perfmon(void)
{
    return start_without(1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN);
}

static void forward__tells_which_rights_are_missing(void **state)
{
    (void)state;
    net_run(start_without_rights);
    net_run(start_without_cap_bpf);
    net_run(start_without_cap_net_admin);
    net_run(start_without_cap_perfmon);
}

static int start_with_three_rights(void)
{
    static const enum forward_mode modes[] = {FORWARD_TC, FORWARD_XDP_GENERIC};
    struct net_wish it;

    EXPECT(net_keep_rights(1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_PERFMON));
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct forward *forward = NULL;
        net_wish(&it, "v1", modes[i]);
        EXPECT(net_load(&it, &forward) == 0);
        forward_free(forward);
        EXPECT(net_until(net_untouched));
    }
    return 0;
}

static void forward__takes_three_rights(void **state)
{
    (void)state;
    net_run(start_with_three_rights);
}

static struct net_addr addr(const char *text)
{
    struct net_addr out;

    if (net_addr_parse(text, 0, &out) < 0) {
        abort();
    }
    return out;
}

/* Channels come and go, and all of it goes in the end, the setting of the host included. */
static int work_without_rights(void)
{
    const struct flow_spec spec = {
        .client = addr("10.0.0.2:1000"),
        .server = addr("10.0.0.1:3478"),
        .relay = addr("10.0.1.1:50000"),
        .peer = addr("10.0.1.2:2000"),
        .number = 0x4000,
        .to_peer_until_ms = UINT32_MAX,
    };
    uint64_t counts[OFFLOAD_COUNT_MAX];
    struct forward *forward = NULL;
    struct net_wish it;
    uint32_t handle = 0;

    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(net_keep_rights(0));
    EXPECT(flow_open(forward_flows(forward), &spec, &handle) == 0);
    EXPECT(forward_counts(forward, counts) == 0);
    flow_close(forward_flows(forward), handle, NULL);
    forward_free(forward);
    EXPECT(net_lo_forwards("ipv4") == 0 && net_lo_forwards("ipv6") <= 0);
    return 0;
}

static void forward__works_on_when_rights_are_gone(void **state)
{
    (void)state;
    net_run(work_without_rights);
}

/* --- hosts that lack something -------------------------------------------------------------------
 */

static int start_without_btf(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    if (access("/sys/kernel/btf", F_OK) == 0) {
        EXPECT(mount("none", "/sys/kernel/btf", "tmpfs", 0, NULL) == 0);
    }
    EXPECT(access("/sys/kernel/btf/vmlinux", F_OK) < 0);
    net_wish(&it, "v1", FORWARD_TC);
    net_add(&it, "v2", FORWARD_XDP_GENERIC);
    EXPECT(net_load(&it, &forward) == 0);
    EXPECT(it.interfaces[0].mode == FORWARD_TC && it.interfaces[1].mode == FORWARD_XDP_GENERIC);
    forward_free(forward);
    return 0;
}

static void forward__needs_no_btf_of_the_kernel(void **state)
{
    (void)state;
    net_run(start_without_btf);
}

/* As in a container: the two settings can't be written. */
static int start_with_frozen_settings(void)
{
    struct forward *forward = NULL;
    struct net_wish it;

    EXPECT(net_freeze("/proc/sys"));
    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(net_load(&it, &forward) == -EROFS && forward == NULL);
    EXPECT(net_says(it.why, "net.ipv4.conf.lo.forwarding"));
    net_wish(&it, "v1", FORWARD_TC);
    it.options.shield = true; /* does its work all the same */
    EXPECT(net_load(&it, &forward) == 0 && forward_shield(forward) != NULL);
    EXPECT(net_says(it.why, "net.ipv4.conf.lo.forwarding"));
    forward_free(forward);
    forward = NULL;
    EXPECT(umount("/proc/sys") == 0);
    EXPECT(net_shell("echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding"));
    EXPECT(net_freeze("/proc/sys"));
    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(net_load(&it, &forward) == 0); /* IPv4 is forwarded */
    EXPECT(net_lo_forwards("ipv6") < 0 || net_says(it.why, "net.ipv6.conf.lo.forwarding"));
    forward_free(forward);
    EXPECT(net_lo_forwards("ipv4") == 1);
    return 0;
}

static void forward__tells_which_setting_is_missing(void **state)
{
    (void)state;
    net_run(start_with_frozen_settings);
}

/* From now on bpf(2) fails so, as in containers. */
static bool deny_bpf(uint32_t error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int start_in_a_container(uint32_t error, int want)
{
    struct forward *forward = NULL;
    struct net_wish it;

    net_wish(&it, "v1", FORWARD_TC);
    EXPECT(deny_bpf(error));
    EXPECT(net_load(&it, &forward) == want && forward == NULL);
    EXPECT(net_says(it.why, "bpf(2) allowed"));
    EXPECT(net_lo_forwards("ipv4") == 0 && net_lo_forwards("ipv6") <= 0);
    return 0;
}

static int start_where_bpf_is_denied(void)
{
    return start_in_a_container(EPERM, -EPERM);
}

static int start_where_bpf_is_unknown(void)
{
    return start_in_a_container(ENOSYS, -ENOTSUP);
}

static void forward__tells_that_bpf_is_not_allowed(void **state)
{
    (void)state;
    net_run(start_where_bpf_is_denied);
    net_run(start_where_bpf_is_unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward__says_why_it_is_not_on_an_interface),
        cmocka_unit_test(forward__serves_a_bridge_but_not_its_ports),
        cmocka_unit_test(forward__sees_the_tags_of_vlans),
        cmocka_unit_test(forward__does_ethernet_only),
        cmocka_unit_test(forward__serves_the_rest),
        cmocka_unit_test(forward__serves_what_is_down),
        cmocka_unit_test(forward__leaves_programs_of_others_alone),
        cmocka_unit_test(forward__has_a_limit_of_interfaces),
        cmocka_unit_test(forward__tells_which_rights_are_missing),
        cmocka_unit_test(forward__takes_three_rights),
        cmocka_unit_test(forward__works_on_when_rights_are_gone),
        cmocka_unit_test(forward__needs_no_btf_of_the_kernel),
        cmocka_unit_test(forward__tells_which_setting_is_missing),
        cmocka_unit_test(forward__tells_that_bpf_is_not_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
