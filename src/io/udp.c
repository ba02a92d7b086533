/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t zeros[16];

bool udp_is_wildcard(const struct net_addr *addr)
{
    return addr->family == NET_V4 ? memcmp(net_ip_v4_bytes(&addr->ip), zeros, 4) == 0
                                  : memcmp(addr->ip.b, zeros, sizeof(zeros)) == 0;
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The kernel doubles what it is asked for and caps it at net.core.?mem_max, unless we may force it.
 * Less than asked is not an error here: udp_buffer_bytes() tells. */
static void set_buffers(int fd, uint32_t bytes)
{
    const int value = (int)bytes;

    if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, value) < 0) {
        (void)set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
    }
    if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, value) < 0) {
        (void)set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
    }
}

static int set_v4(int fd, const struct udp_options *options, bool wildcard)
{
    int err = 0;

    /* RFC 8656 section 14: DF is not set (the alternate behaviour), and what ICMP says of the path
     * is not believed, so a forged message cannot make us fragment.  IP_PMTUDISC_DONT would do the
     * former, but it also keeps "fragmentation needed" out of the error queue, which the sender of
     * a DF packet has to hear about. */
    err = set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    if (err == 0 && wildcard) {
        err = set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    }
    if (err == 0 && options->ask_tos) {
        err = set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
    }
    if (err == 0 && options->ask_errors) {
        err = set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
    }
    return err;
}

static int set_v6(int fd, const struct udp_options *options, bool wildcard)
{
    int err = 0;

    /* Without asking, the kernel fragments to the path's MTU, which is what IPv6 needs. */
    if (wildcard) {
        err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        err = err == 0 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) : err;
    }
    if (err == 0 && options->ask_tos) {
        err = set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    }
    if (err == 0 && options->ask_errors) {
        err = set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
    return err;
}

static int set_options(int fd, const struct udp_options *options, bool wildcard)
{
    int err = options->local.family == NET_V4 ? set_v4(fd, options, wildcard)
                                              : set_v6(fd, options, wildcard);

    if (err == 0 && options->share) {
        err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (err == 0 && options->ask_drops) {
        err = set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    }
    if (options->buffer_bytes != 0) {
        set_buffers(fd, options->buffer_bytes);
    }
    return err;
}

void udp_adopt(struct udp_port *port, int fd, const struct net_addr *local, bool errors)
{
    *port = (struct udp_port){
        .local = *local,
        .fd = fd,
        .wildcard = udp_is_wildcard(local),
        .errors = errors,
        .gso_max = UINT16_MAX,
    };
    list_init(&port->ready);
}

int udp_open(const struct udp_options *options, struct udp_port *port)
{
    const int domain = options->local.family == NET_V4 ? AF_INET : AF_INET6;
    const int fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    struct sockaddr_storage ss;
    if (fd < 0) {
        return -errno;
    }
    int err = set_options(fd, options, udp_is_wildcard(&options->local));
    if (err == 0) {
        const socklen_t len = net_addr_to_sockaddr(&options->local, &ss);
        err = bind(fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : 0;
    }
    if (err < 0) {
        (void)close(fd);
        return err;
    }
    udp_adopt(port, fd, &options->local, options->ask_errors);
    return 0;
}

void udp_close(struct udp_port *port)
{
    if (port->fd >= 0) {
        (void)close(port->fd);
        port->fd = -1;
    }
}

uint32_t udp_buffer_bytes(const struct udp_port *port)
{
    int value = 0;
    socklen_t len = sizeof(value);

    if (getsockopt(port->fd, SOL_SOCKET, SO_RCVBUF, &value, &len) < 0 || value < 0) {
        return 0;
    }
    return (uint32_t)value / 2; /* half is the kernel's own book-keeping (socket(7)) */
}
