/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/kernel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

/* With a virtual clock both programs are loaded; what every kernel can attach is one of them. */
static void name_interfaces(struct forward_interface at[STAGE_INTERFACES])
{
    for (int i = 0; i < STAGE_INTERFACES; i++) {
        at[i] = (struct forward_interface){.index = stage_index((enum stage_interface)i),
                                           .mode = FORWARD_XDP_GENERIC};
        (void)snprintf(at[i].name, sizeof(at[i].name), "%s", stage_name((enum stage_interface)i));
    }
}

/* A lack of rights is a reason to skip a test; all others are failures. */
static const char *excuse(int err, const char *why)
{
    if (err != -EPERM) {
        (void)printf("Bail out! %s: %s\n", strerror(-err), why);
        exit(1);
    }
    return why;
}

const char *kernel_open(struct kernel *k, uint32_t max_channels)
{
    static struct forward_interface at[STAGE_INTERFACES];
    static char why[FORWARD_NAME + 2 + FORWARD_WHY];
    const struct forward_options options = {
        .max_channels = max_channels,
        .max_sessions = max_channels,
        .max_clients = max_channels,
        .shield = true, /* it is there, and off */
        .virtual_clock = true,
        .interfaces = at,
        .interface_count = STAGE_INTERFACES,
    };

    name_interfaces(at);
    const int err = forward_new(&options, &k->forward, why, sizeof(why));
    if (err < 0) {
        return excuse(err, why);
    }
    k->flows = forward_flows(k->forward);
    k->control = forward_control(k->forward);
    k->fd[KERNEL_XDP] = forward_xdp_fd(k->forward);
    k->fd[KERNEL_TC] = forward_tc_fd(k->forward);
    for (int i = 0; i < STAGE_INTERFACES; i++) {
        if (k->fd[i] < 0) {
            (void)snprintf(why, sizeof(why), "%.15s: %.159s", at[i].name, at[i].why);
            kernel_close(k);
            return excuse(-ENOTSUP, why);
        }
    }
    return NULL;
}

void kernel_close(struct kernel *k)
{
    forward_free(k->forward);
    *k = (struct kernel){.forward = NULL};
}

void kernel_set_now(struct kernel *k, uint64_t now_ns)
{
    __atomic_store_n(&k->control->virtual_ns, now_ns, __ATOMIC_RELAXED);
}

int kernel_map(const struct kernel *k, const char *name)
{
    enum { MAPS = 32 };

    uint32_t ids[MAPS];
    struct bpf_prog_info program = {.nr_map_ids = MAPS, .map_ids = (uintptr_t)ids};
    uint32_t len = sizeof(program);

    assert_int_equal(bpf_obj_get_info_by_fd(k->fd[KERNEL_XDP], &program, &len), 0);
    for (uint32_t i = 0; i < program.nr_map_ids && i < MAPS; i++) {
        struct bpf_map_info map = {.id = 0};
        const int fd = bpf_map_get_fd_by_id(ids[i]);
        len = sizeof(map);
        assert_true(fd >= 0);
        assert_int_equal(bpf_obj_get_info_by_fd(fd, &map, &len), 0);
        if (strcmp(map.name, name) == 0) {
            return fd;
        }
        (void)close(fd);
    }
    fail_msg("the programs have no map %s", name);
    return -1;
}

static enum kernel_verdict xdp_verdict(uint32_t code)
{
    assert_true(code == XDP_PASS || code == XDP_TX || code == XDP_REDIRECT || code == XDP_DROP);
    return code == XDP_PASS ? KERNEL_UP : code == XDP_DROP ? KERNEL_DROP : KERNEL_OUT;
}

static enum kernel_verdict tc_verdict(uint32_t code)
{
    assert_true(code == (uint32_t)TC_ACT_UNSPEC || code == TC_ACT_REDIRECT || code == TC_ACT_SHOT);
    return code == TC_ACT_REDIRECT ? KERNEL_OUT : code == TC_ACT_SHOT ? KERNEL_DROP : KERNEL_UP;
}

bool kernel_can_run(enum kernel_program program, const uint8_t *in, size_t n)
{
    return program == KERNEL_XDP || n >= FRAME_ETHER + (in[12] == 8 ? FRAME_IPV4 : FRAME_IPV6);
}

enum kernel_verdict kernel_run(const struct kernel *k, enum kernel_program program,
                               enum stage_interface at, const uint8_t *in, size_t n,
                               uint8_t out[FRAME_MAX], size_t *out_n)
{
    struct xdp_md xdp = {.data_end = (uint32_t)n, .ingress_ifindex = stage_index(at)};
    struct __sk_buff skb = {.ingress_ifindex = stage_index(at), .ifindex = stage_index(at)};
    const bool is_xdp = program == KERNEL_XDP;
    struct bpf_test_run_opts run = {
        .sz = sizeof(run),
        .data_in = in,
        .data_size_in = (uint32_t)n,
        .data_out = out,
        .data_size_out = FRAME_MAX,
        .ctx_in = is_xdp ? (void *)&xdp : (void *)&skb,
        .ctx_size_in = is_xdp ? sizeof(xdp) : sizeof(skb),
        .repeat = 1,
    };

    const int err = bpf_prog_test_run_opts(k->fd[program], &run);
    if (err < 0) {
        fail_msg("the kernel does not run %zu bytes: %s", n, strerror(-err));
    }
    *out_n = run.data_size_out;
    return is_xdp ? xdp_verdict(run.retval) : tc_verdict(run.retval);
}
