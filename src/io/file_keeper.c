/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { PATH_BYTES = 4096, ANSWER_S = 5 };

/* One packet each way.  The number tells late answers from the one that is waited for. */
struct request {
    uint32_t number;
    char path[PATH_BYTES];
};

struct answer {
    uint32_t number;
    int32_t error; /* 0: a descriptor comes with it */
};

struct file_keeper {
    pthread_mutex_t lock;
    int socket;
    pid_t child;
    uint32_t number;
};

/* --- the child -----------------------------------------------------------------------------------
 */

static int open_for(const char *const *paths, size_t count, const char *path)
{
    struct stat st;
    size_t i = 0;

    while (i < count && strcmp(paths[i], path) != 0) {
        i++;
    }
    if (i == count) {
        return -EACCES;
    }
    const int fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return -EISDIR;
    }
    return fd;
}

/* Send `answer`, with `fd` unless it is negative. */
static void answer_send(int socket, struct answer *answer, int fd)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vec = {.iov_base = answer, .iov_len = sizeof(*answer)};
    struct msghdr msg = {.msg_iov = &vec, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    (void)sendmsg(socket, &msg, MSG_NOSIGNAL);
}

static bool serve_one(int socket, const char *const *paths, size_t count)
{
    struct request request = {0};
    const ssize_t n = recv(socket, &request, sizeof(request), 0);

    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n <= (ssize_t)sizeof(request.number)) {
        return false; /* the other end is gone */
    }
    request.path[PATH_BYTES - 1] = 0;
    const int fd = open_for(paths, count, request.path);
    struct answer answer = {.number = request.number, .error = fd < 0 ? fd : 0};
    answer_send(socket, &answer, fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return true;
}

/* Containers may grant one of the two only.  Whatever fails leaves more rights than needed, and
 * nothing that would not work. */
static void rights_narrow(void)
{
    const uint32_t wanted = 1U << CAP_DAC_READ_SEARCH | 1U << CAP_DAC_OVERRIDE;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (syscall(SYS_capget, &head, data) != 0) {
        return;
    }
    data[0].permitted &= wanted;
    data[0].effective &= wanted;
    data[0].inheritable = 0;
    data[1] = (struct __user_cap_data_struct){0};
    (void)syscall(SYS_capset, &head, data);
}

/* The server's signals are not for the child: it is needed until the last connection has ended. */
static void signals_ignore(void)
{
    static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGPIPE, SIGTSTP, SIGALRM};
    sigset_t all;

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        (void)signal(numbers[i], SIG_IGN);
    }
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
}

/* Keep the socket, as 3, and nothing else of what the server has open. */
static void descriptors_close(int socket)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; null >= 0 && fd < 3; fd++) {
        (void)dup2(null, fd);
    }
    if (socket != 3) {
        (void)dup2(socket, 3);
    }
    (void)syscall(SYS_close_range, 4U, ~0U, 0U);
}

static _Noreturn void child_run(int socket, const char *const *paths, size_t count)
{
    (void)prctl(PR_SET_NAME, "sterna-keeper", 0, 0, 0);
    signals_ignore();
    descriptors_close(socket);
    rights_narrow();
    while (serve_one(3, paths, count)) {
    }
    _exit(0);
}

/* --- the server ----------------------------------------------------------------------------------
 */

static int child_start(struct file_keeper *keeper, const char *const *paths, size_t count)
{
    const struct timeval patience = {.tv_sec = ANSWER_S};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return -errno;
    }
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    keeper->child = fork();
    if (keeper->child == 0) {
        child_run(pair[1], paths, count);
    }
    const int err = keeper->child < 0 ? -errno : 0;
    (void)close(pair[1]);
    if (err < 0) {
        (void)close(pair[0]);
        return err;
    }
    keeper->socket = pair[0];
    return 0;
}

int file_keeper_start(const char *const *paths, size_t count, struct file_keeper **out)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(paths[i]) >= PATH_BYTES) {
            return -EINVAL;
        }
    }
    struct file_keeper *keeper = mem_new(1, sizeof(*keeper));
    if (keeper == NULL || pthread_mutex_init(&keeper->lock, NULL) != 0) {
        free(keeper);
        return -ENOMEM;
    }
    const int err = child_start(keeper, paths, count);
    if (err < 0) {
        (void)pthread_mutex_destroy(&keeper->lock);
        free(keeper);
        return err;
    }
    *out = keeper;
    return 0;
}

static int fd_of(struct msghdr *msg)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    int fd = -EBADMSG;

    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

/* One answer, any: 0 with its number and what it says. */
static int answer_take(int socket, struct answer *answer, int *out_fd)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
    struct iovec vec = {.iov_base = answer, .iov_len = sizeof(*answer)};
    struct msghdr msg = {.msg_iov = &vec,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    do {
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? -ETIMEDOUT : -EPIPE;
    }
    if (n != (ssize_t)sizeof(*answer)) {
        return -EPIPE;
    }
    *out_fd = answer->error == 0 ? fd_of(&msg) : answer->error;
    return 0;
}

static int ask(struct file_keeper *keeper, const struct request *request)
{
    struct answer answer;
    int fd = -EPIPE;
    ssize_t n;

    do {
        n = send(keeper->socket, request, sizeof(*request), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? -ETIMEDOUT : -EPIPE;
    }
    for (;;) {
        const int err = answer_take(keeper->socket, &answer, &fd);
        if (err < 0) {
            return err;
        }
        if (answer.number == request->number) {
            return fd;
        }
        if (fd >= 0) { /* of a question that was given up */
            (void)close(fd);
        }
    }
}

int file_keeper_open(struct file_keeper *keeper, const char *path)
{
    struct request request = {0};
    const size_t n = strlen(path);

    if (n >= PATH_BYTES) {
        return -EACCES;
    }
    memcpy(request.path, path, n);
    (void)pthread_mutex_lock(&keeper->lock);
    request.number = ++keeper->number;
    const int fd = ask(keeper, &request);
    (void)pthread_mutex_unlock(&keeper->lock);
    return fd;
}

void file_keeper_stop(struct file_keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    (void)close(keeper->socket);
    while (waitpid(keeper->child, NULL, 0) < 0 && errno == EINTR) {
    }
    (void)pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}
