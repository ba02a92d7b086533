/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/serve_signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct {
    int number;
    enum serve_signal meaning;
} handled[] = {
    {SIGTERM, SERVE_STOP},  {SIGINT, SERVE_STOP},   {SIGQUIT, SERVE_STOP},
    {SIGHUP, SERVE_RELOAD}, {SIGUSR1, SERVE_DRAIN}, {SIGUSR2, SERVE_CERTS},
};

/* Their default is to kill, and nobody sends them to a server on purpose. */
static const int ignored[] = {SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF,
                              SIGIO,   SIGPWR,  SIGSTKFLT, SIGXFSZ};

int serve_signals_open(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++) {
        (void)sigaddset(&set, handled[i].number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
        (void)signal(number, SIG_IGN);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return -errno;
    }
    const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

enum serve_signal serve_signals_next(int fd)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return SERVE_NONE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(handled); i++) {
        if (handled[i].number == (int)info.ssi_signo) {
            return handled[i].meaning;
        }
    }
    return SERVE_NONE;
}
