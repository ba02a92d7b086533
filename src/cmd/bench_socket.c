/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void bench_socket_name(const struct net_addr *addr, struct bench_name *out)
{
    struct sockaddr_storage ss;

    out->len = net_addr_to_sockaddr(addr, &ss);
    memcpy(&out->at, &ss, out->len);
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Larger buffers need a privilege; less than asked for is told when it has cost packets. */
static void set_buffers(int fd, uint32_t bytes)
{
    if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)bytes) < 0) {
        (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, (int)bytes);
    }
    if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)bytes) < 0) {
        (void)set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)bytes);
    }
}

/* Many clients on one socket: their addresses tell them apart. */
static int set_sourced(int fd, bool v4)
{
    int err = v4 ? set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)
                 : set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);

    if (err == 0) { /* addresses of a range need not be on an interface (AnyIP) */
        (void)(v4 ? set_int(fd, IPPROTO_IP, IP_FREEBIND, 1)
                  : set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1));
        err = v4 ? set_int(fd, IPPROTO_IP, IP_RECVERR, 1)
                 : set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
    return err;
}

static int attach(int fd, const struct bench_socket_options *options, bool v4)
{
    struct bench_name name;

    if (options->local.family != NET_NONE) {
        bench_socket_name(&options->local, &name);
        if (options->remote != NULL && v4) { /* a port is chosen when both ends are known */
            (void)set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        }
        if (bind(fd, &name.at.sa, name.len) < 0) {
            return -errno;
        }
    }
    if (options->remote != NULL) {
        bench_socket_name(options->remote, &name);
        if (connect(fd, &name.at.sa, name.len) < 0) {
            return -errno;
        }
    }
    return 0;
}

static int learn_local(int fd, struct net_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    return getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ? -errno
                                                             : net_addr_from_sockaddr(&ss, out);
}

static int prepare(int fd, const struct bench_socket_options *options, bool v4)
{
    int err = 0;

    if (options->buffer_bytes != 0) {
        set_buffers(fd, options->buffer_bytes);
    }
    (void)set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    (void)set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (options->whole && v4) { /* no identification has to be made up (RFC 6864 section 4) */
        (void)set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    }
    if (options->gro) {
        (void)set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
    }
    if (options->sourced) {
        err = set_sourced(fd, v4);
    }
    return err == 0 ? attach(fd, options, v4) : err;
}

int bench_socket_open(const struct bench_socket_options *options, uint32_t number,
                      struct bench_socket *out)
{
    const struct net_addr *known = options->remote != NULL ? options->remote : &options->local;
    const bool v4 = known->family == NET_V4;
    const int fd =
        socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    struct bench_socket s = {
        .fd = fd,
        .number = number,
        .connected = options->remote != NULL,
        .sourced = options->sourced,
    };
    int size = 0;
    socklen_t len = sizeof(size);

    if (fd < 0) {
        return -errno;
    }
    int err = prepare(fd, options, v4);
    if (err == 0) {
        err = learn_local(fd, &s.local);
    }
    if (err < 0) {
        (void)close(fd);
        return err;
    }
    s.gso = getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, &len) == 0;
    *out = s;
    return 0;
}

void bench_socket_close(struct bench_socket *socket)
{
    if (socket->fd >= 0) {
        (void)close(socket->fd);
        socket->fd = -1;
    }
}

bool bench_socket_refused(const struct bench_socket *socket)
{
    uint8_t control[512];
    bool refused = false;

    for (;;) {
        struct msghdr head = {.msg_control = control, .msg_controllen = sizeof(control)};
        if (recvmsg(socket->fd, &head, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            return refused;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c != NULL; c = CMSG_NXTHDR(&head, c)) {
            struct sock_extended_err e;
            if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
                memcpy(&e, CMSG_DATA(c), sizeof(e));
                refused = refused || e.ee_errno == ECONNREFUSED;
            }
        }
    }
}
