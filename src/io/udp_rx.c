/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_rx.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "io/udp.h"
#include "io/udp_batch_int.h"

enum { ICMP_TRIES = 3 }; /* how many pending errors may come before the packets */

static void read_pktinfo_v4(const struct cmsghdr *c, struct pkt *pkt)
{
    struct in_pktinfo info;
    uint8_t raw[4];

    memcpy(&info, CMSG_DATA(c), sizeof(info));
    if (info.ipi_addr.s_addr != info.ipi_spec_dst.s_addr) {
        pkt->len = 0; /* broadcast or multicast: there is no address to answer from */
    }
    memcpy(raw, &info.ipi_addr, sizeof(raw));
    pkt->local.ip = net_ip_v4(raw);
}

static void read_pktinfo_v6(const struct cmsghdr *c, struct pkt *pkt)
{
    struct in6_pktinfo info;

    memcpy(&info, CMSG_DATA(c), sizeof(info));
    memcpy(pkt->local.ip.b, &info.ipi6_addr, sizeof(pkt->local.ip.b));
    if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) {
        pkt->len = 0;
    }
    /* A link-local address names a host only together with its link. */
    pkt->local.scope = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? (uint32_t)info.ipi6_ifindex : 0;
}

/* SO_RXQ_OVFL tells the running count of the socket, and only once it is not zero. */
static void read_overflow(struct udp_batch *b, struct udp_port *port, const struct cmsghdr *c)
{
    uint32_t overflow;

    memcpy(&overflow, CMSG_DATA(c), sizeof(overflow));
    stats_add(&b->count.rx_overflow, overflow - port->overflow);
    port->overflow = overflow;
}

static void read_control(struct udp_batch *b, struct udp_port *port, const struct cmsghdr *c,
                         struct pkt *pkt)
{
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        pkt->tos = *CMSG_DATA(c);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        read_pktinfo_v4(c, pkt);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        int value;
        memcpy(&value, CMSG_DATA(c), sizeof(value));
        pkt->tos = (uint8_t)value;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        read_pktinfo_v6(c, pkt);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
        read_overflow(b, port, c);
    }
}

/* Make the packet of place `i`, and its header ready for the next one. */
static void read_place(struct udp_batch *b, struct udp_port *port, uint32_t i)
{
    struct msghdr *head = &b->rx_head[i].msg_hdr;
    struct pkt *pkt = &b->pkt[i];

    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = b->rx_head[i].msg_len;
    pkt->local = port->local;
    pkt->port = port;
    pkt->tos = 0;
    pkt->df = false;
    pkt->transport = NET_UDP;
    if (net_addr_from_sockaddr(&b->rx_slot[i].addr, &pkt->remote) < 0) {
        pkt->remote = (struct net_addr){.family = NET_NONE};
        pkt->len = 0;
    }
    if (head->msg_controllen > 0) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
            read_control(b, port, c, pkt);
        }
    }
    head->msg_namelen = sizeof(b->rx_slot[i].addr);
    head->msg_controllen = UDP_CONTROL;
    head->msg_flags = 0;
}

uint32_t udp_rx(struct udp_batch *b, struct udp_port *port, uint32_t max, struct pkt **out)
{
    const uint32_t room = UDP_BATCH - b->used;
    const uint32_t want = max < room ? max : room;
    int n = -1;

    if (want == 0) {
        return 0;
    }
    for (int tries = 0; n < 0 && tries < ICMP_TRIES; tries++) {
        n = recvmmsg(port->fd, &b->rx_head[b->used], want, MSG_DONTWAIT, NULL);
        if (n < 0 && errno == EAGAIN) {
            port->readable = false;
            return 0;
        }
    }
    if (n < 0) {
        /* An error that stays must not keep the port ready for ever.  Nothing is lost: errors that
         * come one after another wake the worker again each, and it finds the packets then. */
        port->readable = errno == EINTR;
        stats_add(&b->count.rx_errors, 1);
        return 0;
    }
    if ((uint32_t)n < want) {
        port->readable = false;
    }
    *out = &b->pkt[b->used];
    for (int i = 0; i < n; i++) {
        read_place(b, port, b->used + (uint32_t)i);
    }
    b->used += (uint32_t)n;
    stats_add(&b->count.rx_batches, 1);
    stats_add(&b->count.rx_packets, (uint64_t)n);
    return (uint32_t)n;
}
