/* SPDX-License-Identifier: Apache-2.0 */
/* Control messages of a datagram that is to be sent. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/net_addr.h"

/* Append one of `len` bytes at `p`; `head` has room for it behind msg_controllen, which grows. */
static inline void udp_control_add(struct msghdr *head, int level, int type, const void *p,
                                   size_t len)
{
    struct cmsghdr *c = (void *)((uint8_t *)head->msg_control + head->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), p, len);
    head->msg_controllen += CMSG_SPACE(len);
}

/* Have it leave from `source`; `scope`: the link of a link-local IPv6 address. */
static inline void udp_control_source(struct msghdr *head, const struct net_ip *source,
                                      uint32_t scope)
{
    if (net_ip_is_v4(source)) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, net_ip_v4_bytes(source), 4);
        udp_control_add(head, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = scope};
        memcpy(&info.ipi6_addr, source->b, sizeof(source->b));
        udp_control_add(head, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}
