/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_error.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "io/udp.h"

static void fill(struct udp_error *out, const struct sock_extended_err *see)
{
    static const enum udp_error_origin origins[] = {
        [SO_EE_ORIGIN_LOCAL] = UDP_ERROR_LOCAL,
        [SO_EE_ORIGIN_ICMP] = UDP_ERROR_ICMP,
        [SO_EE_ORIGIN_ICMP6] = UDP_ERROR_ICMP6,
    };

    out->origin = see->ee_origin < ARRAY_SIZE(origins) ? origins[see->ee_origin] : UDP_ERROR_OTHER;
    out->error = (int)see->ee_errno;
    out->type = see->ee_type;
    out->code = see->ee_code;
    out->info = see->ee_info;
}

static bool is_extended_error(const struct cmsghdr *c)
{
    return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
           (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
}

int udp_error_read(const struct udp_port *port, struct udp_error *out)
{
    struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};
    _Alignas(struct cmsghdr) uint8_t control[512];
    uint8_t head[1]; /* of the datagram that failed: not needed */
    struct iovec vec = {.iov_base = head, .iov_len = sizeof(head)};
    struct msghdr msg = {
        .msg_name = &ss,
        .msg_namelen = sizeof(ss),
        .msg_iov = &vec,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };

    if (recvmsg(port->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        return 0;
    }
    *out = (struct udp_error){.origin = UDP_ERROR_OTHER};
    if (net_addr_from_sockaddr(&ss, &out->peer) < 0) {
        out->peer = (struct net_addr){.family = NET_NONE};
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (is_extended_error(c)) {
            struct sock_extended_err see;
            memcpy(&see, CMSG_DATA(c), sizeof(see));
            fill(out, &see);
        }
    }
    return 1;
}
