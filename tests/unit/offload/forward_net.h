/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace for the tests of the kernel path: v1 and v2, the two ends of a pair, both up;
 * and what is attached to them. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "check.h"
#include "offload/forward.h"

enum { NET_SKIPPED = 77, NET_FAILED = 1, NET_TCX_INGRESS = 46, NET_PATIENCE_MS = 5000 };

/* In a step: leave it, failed, unless `cond` holds. */
#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_message("# %s:%d: not so: %s\n", __FILE__, __LINE__, #cond);                     \
            return NET_FAILED;                                                                     \
        }                                                                                          \
    } while (0)

/* Leave a step that cannot be run here. */
#define STEP_SKIP(why)                                                                             \
    do {                                                                                           \
        print_message("# not run here: %s\n", (why));                                              \
        return NET_SKIPPED;                                                                        \
    } while (0)

static inline bool net_shell(const char *command)
{
    return system(command) == 0;
}

/* 0, or NET_SKIPPED with the reason said. */
static inline int net_enter(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        STEP_SKIP("namespaces take CAP_SYS_ADMIN");
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        STEP_SKIP("mount namespaces are not allowed");
    }
    if (!net_shell("ip link set lo up && ip link add v1 type veth peer name v2 &&"
                   " ip link set v1 up && ip link set v2 up")) {
        STEP_SKIP("no pair of interfaces (ip link add type veth)");
    }
    return 0;
}

/* Run `step` in a process and namespaces of its own, which end with it; leaks are looked for. */
static inline void net_run(int (*step)(void))
{
    int status = 0;

    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int skipped = net_enter();
        exit(skipped != 0 ? skipped : step());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != NET_SKIPPED) {
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* What is asked for, with room for the answers. */
struct net_wish {
    struct forward_interface interfaces[4];
    struct forward_options options;
    char why[256];
};

static inline void net_add(struct net_wish *wish, const char *name, enum forward_mode mode)
{
    struct forward_interface *it = &wish->interfaces[wish->options.interface_count++];

    (void)snprintf(it->name, sizeof(it->name), "%s", name);
    it->mode = mode;
}

static inline void net_wish(struct net_wish *wish, const char *name, enum forward_mode mode)
{
    memset(wish, 0, sizeof(*wish));
    wish->options = (struct forward_options){
        .max_channels = 16,
        .max_sessions = 16,
        .max_clients = 16,
        .interfaces = wish->interfaces,
    };
    net_add(wish, name, mode);
}

/* Leaves the step, skipped, where the kernel is too old for tc. */
static inline int net_load(struct net_wish *wish, struct forward **out)
{
    const int err = forward_new(&wish->options, out, wish->why, sizeof(wish->why));

    if (err < 0) {
        print_message("# said: %s\n", wish->why);
    }
    for (size_t i = 0; i < wish->options.interface_count; i++) {
        if (strstr(wish->interfaces[i].why, "tc takes Linux 6.6") != NULL) {
            print_message("# not run here: %s\n", wish->interfaces[i].why);
            exit(NET_SKIPPED);
        }
    }
    return err;
}

static inline bool net_says(const char *why, const char *what)
{
    if (strstr(why, what) == NULL) {
        print_message("# \"%s\" does not say \"%s\"\n", why, what);
        return false;
    }
    return true;
}

/* How many programs of ours or others there are on an interface: XDP and tc. */
static inline unsigned net_programs(const char *name)
{
    struct bpf_xdp_query_opts xdp = {.sz = sizeof(xdp)};
    __u32 ids[8];
    __u32 count = COUNT_OF(ids);
    const int index = (int)if_nametoindex(name);

    if (bpf_xdp_query(index, 0, &xdp) < 0) {
        xdp.prog_id = 0;
    }
    if (bpf_prog_query(index, (enum bpf_attach_type)NET_TCX_INGRESS, 0, NULL, ids, &count) < 0) {
        count = 0;
    }
    return count + (xdp.prog_id != 0 || xdp.attach_mode != 0 ? 1U : 0U);
}

/* -1: there is none. */
static inline int net_lo_forwards(const char *family)
{
    char path[64];
    char digit = '?';

    (void)snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/lo/forwarding", family);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, &digit, 1);
    if (fd >= 0) {
        (void)close(fd);
    }
    return n == 1 ? digit - '0' : -1;
}

static inline bool net_untouched(void)
{
    return net_programs("v1") == 0 && net_programs("v2") == 0 && net_lo_forwards("ipv4") == 0 &&
           net_lo_forwards("ipv6") <= 0;
}

/* Ask until it is so, or for as long as patience lasts. */
static inline bool net_until(bool (*is_so)(void))
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < NET_PATIENCE_MS; i++) {
        if (is_so()) {
            return true;
        }
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

/* Hold the capabilities of `mask` only, from now on. */
static inline bool net_keep_rights(uint64_t mask)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};

    for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
        data[i].permitted = data[i].effective = (uint32_t)(mask >> (32 * i));
    }
    return syscall(SYS_capset, &header, data) == 0;
}

/* What is below `path` can't be written from now on. */
static inline bool net_freeze(const char *path)
{
    return mount(path, path, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0;
}
