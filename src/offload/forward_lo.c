/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/forward_lo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "offload/setting.h"

enum { V4, V6, FAMILIES };

static const char *const paths[FAMILIES] = {
    [V4] = "/proc/sys/net/ipv4/conf/lo/forwarding",
    [V6] = "/proc/sys/net/ipv6/conf/lo/forwarding",
};

/* What is to be put back in the end, by descriptors that hold the locks; -1: not this one. */
struct borrowed {
    int lock[FAMILIES];
};

/* --- the child -----------------------------------------------------------------------------------
 */

/* Keep the pipe and the locks, and nothing else of what the server has open. */
static void close_others(int end, const struct borrowed *borrowed)
{
    const int kept[] = {end, borrowed->lock[V4], borrowed->lock[V6]};
    unsigned from = 0;

    for (;;) {
        unsigned next = ~0U;
        for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
            const unsigned fd = (unsigned)kept[i]; /* one that is missing is as high as can be */
            next = fd >= from && fd < next ? fd : next;
        }
        if (next > from) {
            (void)syscall(SYS_close_range, from, next - 1, 0U);
        }
        if (next == ~0U) {
            return;
        }
        from = next + 1;
    }
}

static void drop_rights(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    data[0].permitted = data[0].effective = 1U << CAP_NET_ADMIN;
    (void)syscall(SYS_capset, &head, data);
}

/* The server's signals, which may reach its whole group, are not for the child. */
static void ignore_signals(void)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
}

static _Noreturn void wait_and_put_back(int end, const struct borrowed *borrowed)
{
    char byte;

    (void)prctl(PR_SET_NAME, "sterna-lo", 0, 0, 0);
    ignore_signals();
    close_others(end, borrowed);
    drop_rights();
    while (read(end, &byte, 1) < 0 && errno == EINTR) {
    }
    for (int i = 0; i < FAMILIES; i++) {
        /* Refused when others hold the lock, too; ours is then gone, so one of us is the last. */
        if (borrowed->lock[i] >= 0 && flock(borrowed->lock[i], LOCK_EX | LOCK_NB) == 0) {
            (void)setting_write(paths[i], 0);
        }
    }
    _exit(0);
}

/* --- the server ----------------------------------------------------------------------------------
 */

static int start_child(struct forward_lo *lo, const struct borrowed *borrowed)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    lo->child = fork();
    if (lo->child == 0) {
        wait_and_put_back(ends[0], borrowed);
    }
    const int err = lo->child < 0 ? -errno : 0;
    (void)close(ends[0]);
    if (err < 0) {
        (void)close(ends[1]);
        return err;
    }
    lo->pipe = ends[1];
    return 0;
}

/* Take the lock on a setting that is to be put back in the end: since it has to be changed, or
 * since others have changed it who may go before us.  0, `*out` -1 when it is not to be. */
static int borrow(const char *path, int *out)
{
    const int value = setting_read(path);
    const int fd = value < 0 ? value : open(path, O_RDONLY | O_CLOEXEC);

    *out = -1;
    if (fd < 0) {
        const int err = value < 0 ? value : -errno;
        return err == -ENOENT ? 0 : err; /* a kernel without IPv6 */
    }
    const bool others = flock(fd, LOCK_EX | LOCK_NB) < 0;
    if ((value != 0 && !others) || flock(fd, LOCK_SH) < 0) {
        (void)close(fd);
        return 0;
    }
    *out = fd;
    return 0;
}

/* Have somebody who puts back what is going to be changed. */
static int start_keeper(struct forward_lo *lo, char *why, size_t cap)
{
    struct borrowed borrowed = {{-1, -1}};
    int err = 0;

    *lo = (struct forward_lo){.pipe = -1};
    for (int i = 0; i < FAMILIES && err == 0; i++) {
        err = borrow(paths[i], &borrowed.lock[i]);
    }
    if (err == 0 && (borrowed.lock[V4] >= 0 || borrowed.lock[V6] >= 0)) {
        err = start_child(lo, &borrowed);
    }
    for (int i = 0; i < FAMILIES; i++) {
        if (borrowed.lock[i] >= 0) {
            (void)close(borrowed.lock[i]); /* the child holds it on */
        }
    }
    (void)snprintf(why, cap, "%s", err < 0 ? strerror(-err) : "");
    return err;
}

static int switch_on(int family, char *why, size_t cap)
{
    int err = setting_read(paths[family]);

    if (err == 0) {
        err = family == V6 ? setting_write_router(paths[family]) : setting_write(paths[family], 1);
    }
    if (err == -EROFS) { /* as in a container */
        (void)snprintf(why, cap, "net.%s.conf.lo.forwarding has to be 1, and is read-only here",
                       family == V6 ? "ipv6" : "ipv4");
    } else if (err < 0 && err != -ENOENT) { /* a kernel without IPv6 misses nothing */
        (void)snprintf(why, cap, "%s: %s: it takes CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON",
                       paths[family], strerror(-err));
    }
    return err < 0 ? err : 0;
}

int forward_lo_open(struct forward_lo *lo, char *why, size_t cap)
{
    int err = start_keeper(lo, why, cap);

    if (err < 0) {
        return err;
    }
    const int v6 = switch_on(V6, why, cap);
    err = switch_on(V4, why, cap);
    if (err < 0 && v6 < 0) {
        forward_lo_close(lo);
        return err == -EACCES ? -EPERM : err;
    }
    return 0;
}

void forward_lo_close(struct forward_lo *lo)
{
    if (lo->pipe < 0) {
        return;
    }
    (void)close(lo->pipe);
    lo->pipe = -1;
    while (waitpid(lo->child, NULL, 0) < 0 && errno == EINTR) {
    }
}
