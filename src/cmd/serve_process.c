/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/serve_process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/exit_code.h"

/* --- background ----------------------------------------------------------------------------------
 */

/* The parent's part: end as the child says, or fail when it dies without a word. */
static void wait_and_exit(int fd)
{
    uint8_t code = CMD_FAILED;
    ssize_t n;

    do {
        n = read(fd, &code, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 ? code : CMD_FAILED);
}

int serve_process_background(int *out_fd)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    const pid_t pid = fork();
    if (pid < 0) {
        const int err = -errno;
        (void)close(fds[0]);
        (void)close(fds[1]);
        return err;
    }
    if (pid > 0) {
        (void)close(fds[1]);
        wait_and_exit(fds[0]);
    }
    (void)close(fds[0]);
    (void)setsid();
    *out_fd = fds[1];
    return 0;
}

void serve_process_detach(int fd, int code)
{
    const uint8_t byte = (uint8_t)code;

    if (fd < 0) {
        return;
    }
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i <= 2; i++) {
        (void)dup2(null, i);
    }
    if (null > 2) {
        (void)close(null);
    }
    const ssize_t n = write(fd, &byte, 1); /* the parent may be gone: nobody waits then */
    (void)n;
    (void)close(fd);
}

/* --- limits and privileges -----------------------------------------------------------------------
 */

/* As many as Debian's systemd allows: relay sockets and connections take one each. */
enum { DESCRIPTORS = 524288 };

void serve_process_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return;
    }
    if (limit.rlim_max < DESCRIPTORS) { /* root may raise that, too */
        const struct rlimit more = {.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
            return;
        }
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* what we have in the end is in the plan */
    }
}

static int clear_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    const struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* --- staying root --------------------------------------------------------------------------------
 */

/* Ports below 1024 of listeners that a reload adds; log file, certificates and database, whoever
 * they belong to. */
static const uint64_t kept_by_root = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_DAC_OVERRIDE;

/* Nothing that this process might execute gets more either. */
static void bound_capabilities(uint64_t kept)
{
    for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if ((kept >> i & 1) == 0) {
            (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* takes CAP_SETPCAP, for now */
        }
    }
}

int serve_process_confine(char *why, size_t cap)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct sets[2];

    bound_capabilities(kept_by_root);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    int err = syscall(SYS_capget, &head, sets) < 0 ? -errno : 0;
    for (int i = 0; i < 2; i++) {
        sets[i].permitted &= (uint32_t)(kept_by_root >> 32 * i);
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    err = err == 0 && syscall(SYS_capset, &head, sets) < 0 ? -errno : err;
    if (err < 0) {
        (void)snprintf(why, cap, "cannot give up capabilities: %s", strerror(-err));
    }
    return err;
}

/* --- another user --------------------------------------------------------------------------------
 */

static int fail(const char *what, const char *name, int err, char *why, size_t cap)
{
    (void)snprintf(why, cap, "cannot become %s %s: %s", what, name, strerror(-err));
    return err;
}

/* Name or number to ids; `*gid` is the user's own group. */
static int find_user(const char *name, uid_t *uid, gid_t *gid)
{
    char *end;
    const struct passwd *entry = getpwnam(name);

    if (entry == NULL) {
        const unsigned long number = strtoul(name, &end, 10);
        entry = *name != '\0' && *end == '\0' ? getpwuid((uid_t)number) : NULL;
    }
    if (entry == NULL) {
        return -ENOENT;
    }
    *uid = entry->pw_uid;
    *gid = entry->pw_gid;
    return 0;
}

static int find_group(const char *name, gid_t *gid)
{
    char *end;
    const struct group *entry = getgrnam(name);

    if (entry == NULL) {
        const unsigned long number = strtoul(name, &end, 10);
        entry = *name != '\0' && *end == '\0' ? getgrgid((gid_t)number) : NULL;
    }
    if (entry == NULL) {
        return -ENOENT;
    }
    *gid = entry->gr_gid;
    return 0;
}

int serve_process_user(const char *user, uid_t *out)
{
    gid_t gid;

    return find_user(user, out, &gid);
}

int serve_process_drop(const char *user, const char *group, const char *log_file, char *why,
                       size_t cap)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int err = user != NULL ? find_user(user, &uid, &gid) : 0;

    if (err < 0) {
        return fail("user", user, err, why, cap);
    }
    err = group != NULL ? find_group(group, &gid) : 0;
    if (err < 0) {
        return fail("group", group, err, why, cap);
    }
    const bool change = uid != geteuid() || gid != getegid();
    if (change && log_file != NULL && chown(log_file, uid, gid) < 0) {
        return fail("owner of", log_file, -errno, why, cap); /* it is opened again at SIGHUP */
    }
    if (uid != 0) {
        bound_capabilities(0); /* while there is the right to */
    }
    if (change && (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0)) {
        return fail("group", group != NULL ? group : user, -errno, why, cap);
    }
    if (change && setresuid(uid, uid, uid) < 0) {
        return fail("user", user, -errno, why, cap);
    }
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (uid != 0) { /* root stays root: who wants less names a user */
        err = clear_capabilities();
        if (err < 0) {
            (void)snprintf(why, cap, "cannot give up capabilities: %s", strerror(-err));
        }
    }
    return err;
}

/* --- others --------------------------------------------------------------------------------------
 */

int serve_process_pidfile(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return -errno;
    }
    const int n = dprintf(fd, "%ld\n", (long)getpid());
    const int err = n < 0 ? -errno : 0;
    return close(fd) < 0 && err == 0 ? -errno : err;
}

void serve_process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(un.sun_path)) {
        return;
    }
    memcpy(un.sun_path, path, strlen(path));
    if (un.sun_path[0] == '@') {
        un.sun_path[0] = '\0'; /* the abstract name space */
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&un, len);
        (void)close(fd);
    }
}
