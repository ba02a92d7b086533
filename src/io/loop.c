/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

struct loop {
    int epoll_fd;
    void *arg;
    struct epoll_event events[LOOP_EVENTS];
};

struct loop *loop_new(void *arg)
{
    struct loop *loop = mem_new(1, sizeof(*loop));
    if (loop == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    loop->arg = arg;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    (void)close(loop->epoll_fd);
    free(loop);
}

int loop_add(struct loop *loop, int fd, bool edge, struct loop_watch *watch)
{
    struct epoll_event event = {
        .events = EPOLLIN | (edge ? (uint32_t)EPOLLET : 0),
        .data = {.ptr = watch},
    };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_add_connection(struct loop *loop, int fd, struct loop_watch *watch)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | (uint32_t)EPOLLET,
        .data = {.ptr = watch},
    };
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct loop *loop, int fd)
{
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int timeout_of(uint64_t now_ms, uint64_t until_ms)
{
    if (until_ms == UINT64_MAX) {
        return -1;
    }
    if (until_ms <= now_ms) {
        return 0;
    }
    return until_ms - now_ms < INT_MAX ? (int)(until_ms - now_ms) : INT_MAX;
}

int loop_turn(struct loop *loop, uint64_t now_ms, uint64_t until_ms)
{
    const int n =
        epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS, timeout_of(now_ms, until_ms));

    for (int i = 0; i < n; i++) {
        struct loop_watch *watch = loop->events[i].data.ptr;
        const uint32_t events = loop->events[i].events;
        watch->fn(loop->arg, watch,
                  ((events & EPOLLIN) != 0 ? LOOP_READ : 0U) |
                      ((events & (EPOLLERR | EPOLLHUP)) != 0 ? LOOP_ERROR : 0U) |
                      ((events & EPOLLOUT) != 0 ? LOOP_WRITE : 0U) |
                      ((events & EPOLLRDHUP) != 0 ? LOOP_END : 0U));
    }
    return n < 0 ? 0 : n; /* a signal ends the wait early, and nothing else can go wrong */
}
