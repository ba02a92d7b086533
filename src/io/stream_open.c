/* SPDX-License-Identifier: Apache-2.0 */
/* Connections begin here: listening, accepting, connecting. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/conn_limit.h"
#include "io/stream_int.h"

enum { ACCEPT_BUDGET = 64 };

static void set(int fd, int level, int name, int value)
{
    /* What the system does not offer is done without. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

void stream_socket_options(const struct streams *e, int fd, uint8_t family)
{
    const struct stream_limits *l = &e->limits;

    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (l->keepalive_idle_s > 0) {
        set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)l->keepalive_idle_s);
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)l->keepalive_interval_s);
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)l->keepalive_count);
    }
    if (l->tos != 0) {
        set(fd, family == NET_V4 ? IPPROTO_IP : IPPROTO_IPV6,
            family == NET_V4 ? IP_TOS : IPV6_TCLASS, l->tos);
    }
}

/* Not before it is up: the kernel would end a connect by it, before RFC 6062's 30 seconds. */
static void set_send_timeout(const struct streams *e, int fd)
{
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)e->limits.send_timeout_ms);
}

/* A non-blocking socket bound to `local`; negative errno. */
static int open_bound(const struct net_addr *local, bool share)
{
    struct sockaddr_storage ss;
    const int fd = socket(local->family == NET_V4 ? AF_INET : AF_INET6,
                          SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (share) {
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (local->family == NET_V6) {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    const socklen_t len = net_addr_to_sockaddr(local, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) < 0) {
        const int err = -errno;
        (void)close(fd);
        return err;
    }
    return fd;
}

int stream_listen_fd(const struct net_addr *local, bool share, int backlog, int *out_fd)
{
    const int fd = open_bound(local, share);
    if (fd < 0) {
        return fd;
    }
    if (listen(fd, backlog) < 0) {
        const int err = -errno;
        (void)close(fd);
        return err;
    }
    *out_fd = fd;
    return 0;
}

/* --- accepting ----------------------------------------------------------------------------------
 */

static void on_listener(void *arg, struct loop_watch *watch, unsigned events)
{
    struct stream_listener *listener = CONTAINER_OF(watch, struct stream_listener, watch);

    (void)arg;
    (void)events;
    if (list_empty(&listener->ready)) {
        list_push(&listener->streams->listeners, &listener->ready);
    }
}

int stream_listen(struct streams *e, struct stream_listener *listener)
{
    listener->streams = e;
    listener->watch.fn = on_listener;
    list_init(&listener->ready);
    return loop_add(e->loop, listener->fd, false, &listener->watch);
}

void stream_unlisten(struct stream_listener *listener)
{
    if (listener->fd >= 0) {
        list_remove(&listener->ready);
        (void)close(listener->fd);
        listener->fd = -1;
    }
}

static int read_addresses(struct stream *s)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (getpeername(s->fd, (struct sockaddr *)&ss, &len) < 0 ||
        net_addr_from_sockaddr(&ss, &s->remote) < 0) {
        return -ENOTCONN;
    }
    len = sizeof(ss);
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) < 0 ||
        net_addr_from_sockaddr(&ss, &s->local) < 0) {
        return -ENOTCONN;
    }
    return 0;
}

/* A connection that this engine may have.  False: refused, the descriptor is the caller's. */
static bool admit(struct stream_listener *listener, int fd, const struct net_addr *remote)
{
    static const struct net_ip unknown;
    struct streams *e = listener->streams;
    const struct net_ip *source = listener->balanced ? &unknown : &remote->ip;

    if (e->shared != NULL && conn_limit_take(e->shared, source) != CONN_ADMITTED) {
        return false;
    }
    struct stream *s = stream_new(e, fd, listener->handler);
    if (s == NULL) {
        if (e->shared != NULL) {
            conn_limit_give(e->shared, source);
        }
        return false;
    }
    s->limited = e->shared != NULL;
    s->source = *source;
    s->listener = listener;
    s->state = STREAM_OPEN;
    stream_socket_options(e, fd, remote->family);
    set_send_timeout(e, fd);
    stats_add(&e->count.passive_open, 1);
    if (read_addresses(s) < 0) { /* reset before it was accepted: nobody has been told of it */
        stream_close(s, true);
        return true;
    }
    stream_rearm(s);
    if (listener->handler->opened != NULL) {
        listener->handler->opened(e->arg, s);
    }
    return true;
}

/* Descriptors are used up: the connection is taken with the one kept for that, and refused; else
 * it would wake us for ever. */
static void refuse_without_descriptor(struct stream_listener *listener)
{
    struct streams *e = listener->streams;

    stats_add(&e->count.accept_errors, 1);
    if (e->reserve_fd >= 0) {
        (void)close(e->reserve_fd);
    }
    const int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        (void)close(fd);
        stats_add(&e->count.local_reject, 1);
    }
    e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void stream_accept(struct stream_listener *listener)
{
    struct streams *e = listener->streams;

    for (int i = 0; i < ACCEPT_BUDGET; i++) {
        struct sockaddr_storage ss;
        struct net_addr remote;
        socklen_t len = sizeof(ss);
        const int fd =
            accept4(listener->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            refuse_without_descriptor(listener);
            return;
        }
        if (fd < 0) { /* none left, or one that has gone: the rest comes with the next turn */
            return;
        }
        if (net_addr_from_sockaddr(&ss, &remote) < 0 || !admit(listener, fd, &remote)) {
            stats_add(&e->count.local_reject, 1);
            (void)close(fd);
        }
    }
}

/* --- connecting ---------------------------------------------------------------------------------
 */

int stream_connect(struct streams *e, const struct net_addr *local, const struct net_addr *remote,
                   const struct stream_handler *handler, struct stream **out)
{
    struct sockaddr_storage ss;
    const int fd = open_bound(local, local->port != 0);
    if (fd < 0) {
        return fd;
    }
    stream_socket_options(e, fd, local->family);
    const socklen_t len = net_addr_to_sockaddr(remote, &ss);
    int err = connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS ? -errno : 0;
    struct stream *s = err == 0 ? stream_new(e, fd, handler) : NULL;
    if (s == NULL) {
        (void)close(fd);
        if (err == 0) {
            err = -ENOSPC;
        } else {
            stats_add(&e->count.connect_failed, 1);
        }
        return err;
    }
    s->state = STREAM_CONNECTING;
    s->proven = true;
    s->remote = *remote;
    s->local = *local;
    stream_rearm(s);
    *out = s;
    return 0;
}

static bool timed_out(int error)
{
    return error == ETIMEDOUT;
}

void stream_connected(struct stream *s)
{
    struct streams *e = s->engine;
    int error = 0;
    socklen_t len = sizeof(error);

    s->writable = false;
    s->broken = false;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    struct sockaddr_storage ss;
    len = sizeof(ss);
    if (error == 0 && getpeername(s->fd, (struct sockaddr *)&ss, &len) < 0) {
        return; /* an early event: not connected yet */
    }
    if (error != 0) {
        stream_die(s, timed_out(error) ? STREAM_CLOSE_CONNECT_TIMEOUT : STREAM_CLOSE_REFUSED,
                   error);
        return;
    }
    s->state = STREAM_OPEN;
    s->born_ms = e->now_ms;
    s->last_ms = e->now_ms;
    stats_add(&e->count.connect_success, 1);
    set_send_timeout(e, s->fd);
    len = sizeof(ss);
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) == 0) {
        if (net_addr_from_sockaddr(&ss, &s->local) < 0) {
            s->local.port = 0; /* cannot be: it was bound to one of ours */
        }
    }
    stream_rearm(s);
    if (s->handler->opened != NULL) {
        s->handler->opened(e->arg, s);
    }
    if (s->state == STREAM_OPEN && !stream_queue_empty(&s->queue)) {
        stream_out(s);
    }
    stream_wake(s);
}
