/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_tx.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "io/udp.h"
#include "io/udp_batch_int.h"

void udp_tx_queue(struct udp_batch *b, struct pkt *pkt)
{
    struct udp_port *port = pkt->port;
    const uint8_t i = (uint8_t)(pkt - b->pkt);

    b->next[i] = UDP_NONE;
    if (port->queued) {
        b->next[port->tx_last] = i;
    } else {
        port->queued = 1;
        port->tx_first = i;
        b->tx_port[b->tx_ports++] = port;
    }
    port->tx_last = i;
}

/* Append one control message of `len` bytes at `p`. */
static void control_add(struct msghdr *head, int level, int type, const void *p, size_t len)
{
    struct cmsghdr *c = (void *)((uint8_t *)head->msg_control + head->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), p, len);
    head->msg_controllen += CMSG_SPACE(len);
}

static void add_source(struct msghdr *head, const struct pkt *pkt)
{
    if (pkt->local.family == NET_V4) {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, net_ip_v4_bytes(&pkt->local.ip), 4);
        control_add(head, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = pkt->local.scope};
        memcpy(&info.ipi6_addr, pkt->local.ip.b, sizeof(pkt->local.ip.b));
        control_add(head, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

/* Prepare header `k` for `pkt`. */
static void head_fill(struct udp_batch *b, uint32_t k, const struct udp_port *port, struct pkt *pkt)
{
    struct msghdr *head = &b->tx_head[k].msg_hdr;
    const bool v4 = port->local.family == NET_V4;

    b->tx_pkt[k] = pkt;
    b->tx_vec[k] = (struct iovec){.iov_base = pkt->data, .iov_len = pkt->len};
    head->msg_namelen = net_addr_to_sockaddr(&pkt->remote, &b->tx_slot[k].addr);
    head->msg_control = b->tx_slot[k].control;
    head->msg_controllen = 0;
    if (port->wildcard) {
        add_source(head, pkt);
    }
    if (pkt->tos != 0) {
        const int tos = pkt->tos;
        control_add(head, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos,
                    sizeof(tos));
    }
    if (pkt->df && !v4) {
        const int on = 1;
        control_add(head, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on));
    }
    if (head->msg_controllen == 0) {
        head->msg_control = NULL;
    }
}

/* The call that costs least for what is to be sent.  Returns how many were, or -1 with errno. */
static int send_some(struct udp_batch *b, int fd, uint32_t first, uint32_t count)
{
    struct mmsghdr *head = &b->tx_head[first];
    const struct msghdr *h = &head->msg_hdr;

    stats_add(&b->count.tx_calls, 1);
    if (count > 1) {
        return sendmmsg(fd, head, count, MSG_DONTWAIT);
    }
    if (h->msg_controllen == 0) {
        return sendto(fd, h->msg_iov->iov_base, h->msg_iov->iov_len, MSG_DONTWAIT, h->msg_name,
                      h->msg_namelen) < 0
                   ? -1
                   : 1;
    }
    return sendmsg(fd, h, MSG_DONTWAIT) < 0 ? -1 : 1;
}

/* What to do about a packet that was not sent: 0 try again, else how many to leave out. */
static uint32_t send_failed(struct udp_batch *b, const struct udp_port *port, uint32_t first,
                            uint32_t left, bool *retried)
{
    const int why = errno;

    if (why == EINTR) {
        return 0;
    }
    if (why == EAGAIN) { /* the send buffer is full: so it is for the rest */
        stats_add(&b->count.tx_full, left);
        return left;
    }
    if (why == ENOBUFS || why == ENOMEM) {
        stats_add(&b->count.tx_full, 1);
        return 1;
    }
    /* An error that an earlier packet met is handed to the next call (socket(7), IP_RECVERR): it
     * says nothing about this packet.  But a packet with DF that is too big is so every time, and
     * each time an error is queued for the client. */
    const bool too_big = why == EMSGSIZE && b->tx_pkt[first]->df;
    if (port->errors && !*retried && !too_big) {
        *retried = true;
        return 0;
    }
    stats_add(&b->count.tx_errors, 1);
    if (too_big) {
        b->too_big(b->arg, b->tx_pkt[first]);
    }
    return 1;
}

static void send_run(struct udp_batch *b, const struct udp_port *port, uint32_t count)
{
    bool retried = false;
    uint32_t i = 0;

    while (i < count) {
        const int n = send_some(b, port->fd, i, count - i);
        if (n > 0) {
            stats_add(&b->count.tx_packets, (uint64_t)n);
            i += (uint32_t)n;
            retried = false;
            continue;
        }
        const uint32_t skip = send_failed(b, port, i, count - i, &retried);
        if (skip > 0) {
            i += skip;
            retried = false;
        }
    }
}

/* IPv4 DF is a property of the socket. */
static void set_v4_df(struct udp_port *port, bool df)
{
    const int value = df ? IP_PMTUDISC_DO : IP_PMTUDISC_OMIT;

    if (setsockopt(port->fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof(value)) == 0) {
        port->v4_df = df;
    }
}

/* Send the chain of `port`, in runs of packets that agree on DF. */
static void send_chain(struct udp_batch *b, struct udp_port *port)
{
    const bool v4 = port->local.family == NET_V4;
    uint8_t i = port->tx_first;

    port->queued = 0; /* what too_big() queues begins a new chain */
    while (i != UDP_NONE) {
        const bool df = b->pkt[i].df;
        uint32_t count = 0;
        for (; i != UDP_NONE && b->pkt[i].df == df; i = b->next[i]) {
            head_fill(b, count++, port, &b->pkt[i]);
        }
        if (v4 && df != port->v4_df) {
            set_v4_df(port, df);
        }
        send_run(b, port, count);
    }
}

void udp_tx_flush(struct udp_batch *b)
{
    for (uint32_t k = 0; k < b->tx_ports; k++) {
        send_chain(b, b->tx_port[k]);
    }
    b->tx_ports = 0;
    b->used = 0;
}
