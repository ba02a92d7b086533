/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_rx.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "io/udp.h"
#include "io/udp_batch_int.h"
#include "io/udp_gso.h"

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

/* `*segment`: bytes of each packet of a burst but the last. */
static void read_control(struct udp_batch *b, struct udp_port *port, const struct cmsghdr *c,
                         struct pkt *pkt, uint32_t *segment)
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
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        int value;
        memcpy(&value, CMSG_DATA(c), sizeof(value));
        *segment = value > 0 ? (uint32_t)value : 0;
        port->gro = true; /* whoever has switched it on */
    }
}

/* Cut the burst that `pkt` is, the last packet of the batch, into views of `segment` bytes. */
static void cut(struct udp_batch *b, const struct pkt *pkt, uint32_t segment)
{
    const struct pkt whole = *pkt;
    uint32_t at = 0;

    stats_add(&b->count.rx_bursts, 1);
    for (b->used--; at < whole.len && b->used < UDP_PACKETS; at += segment) {
        struct pkt *view = &b->pkt[b->used];
        *view = whole;
        view->buf = b->side[b->used++];
        view->cap = 0;
        view->data = whole.data + at;
        view->len = whole.len - at < segment ? whole.len - at : segment;
        view->view = true;
    }
    if (at < whole.len) {
        stats_add(&b->count.rx_truncated, (whole.len - at + segment - 1) / segment);
    }
}

/* Make the packets of message `i`. */
static void read_message(struct udp_batch *b, struct udp_port *port, uint32_t i)
{
    struct msghdr *head = &b->rx_head[i].msg_hdr;
    struct pkt *pkt = &b->pkt[b->used++];
    uint32_t segment = 0;

    pkt->buf = udp_batch_buffer(b, i);
    pkt->cap = UDP_PKT_CAP;
    pkt->data = pkt->buf + PKT_HEADROOM;
    pkt->len = b->rx_head[i].msg_len;
    pkt->local = port->local;
    pkt->port = port;
    pkt->tos = 0;
    pkt->df = false;
    pkt->transport = NET_UDP;
    pkt->view = false;
    pkt->head_len = 0;
    pkt->tail_len = 0;
    if (net_addr_from_sockaddr(&b->rx_slot[i].addr, &pkt->remote) < 0) {
        pkt->remote = (struct net_addr){.family = NET_NONE};
        pkt->len = 0;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        read_control(b, port, c, pkt, &segment);
    }
    if (segment != 0 && segment < pkt->len) {
        cut(b, pkt, segment);
    }
}

/* Make the packets of all `n` messages that have come, and their headers ready for the next. */
static void read_messages(struct udp_batch *b, struct udp_port *port, uint32_t n)
{
    for (uint32_t end = b->buffers + n; b->buffers < end; b->buffers++) {
        struct msghdr *head = &b->rx_head[b->buffers].msg_hdr;
        /* What has lost its end is no datagram of anybody's; and the buffers are large enough. */
        if ((head->msg_flags & MSG_TRUNC) != 0 || b->used == UDP_PACKETS) {
            stats_add(&b->count.rx_truncated, 1);
        } else {
            read_message(b, port, b->buffers);
        }
        head->msg_namelen = sizeof(b->rx_slot[b->buffers].addr);
        head->msg_controllen = UDP_CONTROL;
        head->msg_flags = 0;
    }
}

/* How many messages to ask for: what they hold must fit in. */
static uint32_t room_for(const struct udp_batch *b, const struct udp_port *port, uint32_t max)
{
    const uint32_t packets = (UDP_PACKETS - b->used) / (port->gro ? (uint32_t)UDP_BURST : 1);
    const uint32_t buffers = UDP_BATCH - b->buffers;
    const uint32_t room = buffers < packets ? buffers : packets;

    return max < room ? max : room;
}

uint32_t udp_rx(struct udp_batch *b, struct udp_port *port, uint32_t max, struct pkt **out)
{
    const uint32_t want = room_for(b, port, max);
    const uint32_t first = b->used;
    int n = -1;

    if (want == 0) {
        return 0;
    }
    for (int tries = 0; n < 0 && tries < ICMP_TRIES; tries++) {
        n = recvmmsg(port->fd, &b->rx_head[b->buffers], want, MSG_DONTWAIT, NULL);
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
    *out = &b->pkt[first];
    read_messages(b, port, (uint32_t)n);
    const uint32_t came = b->used - first;
    stats_add(&b->count.rx_batches, 1);
    stats_add(&b->count.rx_packets, came);
    if (b->gro && !port->gro) {
        udp_gro_learn(port, *out, came);
    }
    return came;
}
