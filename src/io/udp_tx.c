/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_tx.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "io/udp.h"
#include "io/udp_batch_int.h"
#include "io/udp_control.h"

enum {
    GSO_SURE = 1280 - 40 - 8, /* payload that fits the smallest MTU of IPv6 */
};

void udp_tx_queue(struct udp_batch *b, struct pkt *pkt)
{
    struct udp_port *port = pkt->port;
    const uint16_t i = (uint16_t)(pkt - b->pkt);

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

/* Prepare header `k`, whose pieces are filled in, to send `pkt`, or those that begin with it as
 * segments of `segment` bytes. */
static void head_fill(struct udp_batch *b, uint32_t k, const struct udp_port *port,
                      const struct pkt *pkt, uint16_t segment)
{
    struct msghdr *head = &b->tx_head[k].msg_hdr;
    const bool v4 = port->local.family == NET_V4;

    head->msg_name = port->connected ? NULL : &b->tx_slot[k].addr;
    head->msg_namelen = port->connected ? 0 : net_addr_to_sockaddr(&pkt->remote, head->msg_name);
    head->msg_control = b->tx_slot[k].control;
    head->msg_controllen = 0;
    if (port->wildcard) {
        udp_control_source(head, &pkt->local.ip, pkt->local.scope);
    }
    if (pkt->tos != 0) {
        const int tos = pkt->tos;
        udp_control_add(head, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &tos,
                        sizeof(tos));
    }
    if (pkt->df && !v4) {
        const int on = 1;
        udp_control_add(head, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on));
    }
    if (segment != 0) {
        udp_control_add(head, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
    if (head->msg_controllen == 0) {
        head->msg_control = NULL;
    }
}

/* Write the pieces of `pkt` to `vec`.  Returns how many. */
static uint32_t vecs_fill(struct iovec *vec, const struct pkt *pkt)
{
    /* cppcheck-suppress unassignedVariable; never written, but an iovec points to it */
    static uint8_t zeros[PKT_TAIL];
    uint32_t n = 0;

    if (pkt->head_len > 0) {
        vec[n++] = (struct iovec){.iov_base = pkt_head(pkt), .iov_len = pkt->head_len};
    }
    vec[n++] = (struct iovec){.iov_base = pkt->data, .iov_len = pkt->len};
    if (pkt->tail_len > 0) {
        vec[n++] = (struct iovec){.iov_base = zeros, .iov_len = pkt->tail_len};
    }
    return n;
}

/* May `next` be a further segment of the message that begins with `pkt`? */
static bool joins(const struct udp_port *port, const struct pkt *pkt, const struct pkt *next)
{
    return net_addr_equal(&pkt->remote, &next->remote) && pkt->tos == next->tos &&
           pkt->df == next->df && (!port->wildcard || net_addr_equal(&pkt->local, &next->local));
}

/* Add the message that begins with packet `i`: that packet, and those of the chain behind it that
 * may be its segments.  Returns the next packet. */
static uint16_t message_fill(struct udp_batch *b, const struct udp_port *port, uint16_t i)
{
    const struct pkt *pkt = &b->pkt[i];
    const uint32_t segment = pkt_size(pkt);
    const uint32_t k = b->tx_heads++;
    const uint32_t first_vec = b->tx_vecs;
    struct udp_run *run = &b->tx_run[k];
    uint32_t bytes = 0;
    uint32_t size = segment;

    *run = (struct udp_run){.first = (uint16_t)b->tx_pkts, .segment = segment};
    do {
        bytes += size;
        b->tx_pkt[b->tx_pkts++] = &b->pkt[i];
        b->tx_vecs += vecs_fill(&b->tx_vec[b->tx_vecs], &b->pkt[i]);
        run->count++;
        i = b->next[i];
        if (size < segment || i == UDP_NONE || run->count == UDP_RUN || !b->gso || port->gso_off ||
            segment > port->gso_max) {
            break;
        }
        size = pkt_size(&b->pkt[i]);
    } while (size > 0 && size <= segment && bytes + size <= UDP_RUN_BYTES &&
             joins(port, pkt, &b->pkt[i]));
    b->tx_head[k].msg_hdr.msg_iov = &b->tx_vec[first_vec];
    b->tx_head[k].msg_hdr.msg_iovlen = b->tx_vecs - first_vec;
    head_fill(b, k, port, pkt, run->count > 1 ? (uint16_t)segment : 0);
    return i;
}

/* Add messages of the chain that begins with packet `i`, as long as they agree on DF and there is
 * room for them.  Returns the next packet. */
static uint16_t messages_fill(struct udp_batch *b, const struct udp_port *port, uint16_t i)
{
    const bool df = b->pkt[i].df;

    b->tx_heads = 0;
    b->tx_vecs = 0;
    b->tx_pkts = 0;
    do {
        i = message_fill(b, port, i);
    } while (i != UDP_NONE && b->pkt[i].df == df && b->tx_heads < UDP_HEADS &&
             b->tx_vecs + UDP_RUN * UDP_PKT_VECS <= UDP_VECS);
    return i;
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
    if (h->msg_controllen == 0 && h->msg_iovlen == 1) {
        return sendto(fd, h->msg_iov->iov_base, h->msg_iov->iov_len, MSG_DONTWAIT, h->msg_name,
                      h->msg_namelen) < 0
                   ? -1
                   : 1;
    }
    return sendmsg(fd, h, MSG_DONTWAIT) < 0 ? -1 : 1;
}

/* Packets of the messages `first` to `first + count - 1`. */
static uint32_t packets_of(const struct udp_batch *b, uint32_t first, uint32_t count)
{
    uint32_t packets = 0;

    for (uint32_t k = first; k < first + count; k++) {
        packets += b->tx_run[k].count;
    }
    return packets;
}

/* What to do about a message that was not sent: 0 try again, else how many to leave out. */
static uint32_t send_failed(struct udp_batch *b, const struct udp_port *port, uint32_t first,
                            uint32_t left, bool *retried)
{
    const int why = errno;

    if (why == EINTR) {
        return 0;
    }
    if (why == EAGAIN) { /* the send buffer is full: so it is for the rest */
        stats_add(&b->count.tx_full, packets_of(b, first, left));
        return left;
    }
    if (why == ENOBUFS || why == ENOMEM) {
        stats_add(&b->count.tx_full, packets_of(b, first, 1));
        return 1;
    }
    /* An error that an earlier packet met is handed to the next call (socket(7), IP_RECVERR): it
     * says nothing about this packet.  But a packet with DF that is too big is so every time, and
     * each time an error is queued for the client. */
    struct pkt *pkt = b->tx_pkt[b->tx_run[first].first];
    const bool too_big = why == EMSGSIZE && pkt->df;
    if ((port->errors || port->connected) && !*retried && !too_big) {
        *retried = true;
        return 0;
    }
    stats_add(&b->count.tx_errors, packets_of(b, first, 1));
    if (too_big) {
        b->too_big(b->arg, pkt);
    }
    return 1;
}

/* Send the packet tx_pkt[at], whose pieces are at `vec`, by itself. */
static void send_alone(struct udp_batch *b, const struct udp_port *port, uint32_t at,
                       struct iovec *vec, uint32_t vecs)
{
    struct mmsghdr *head = &b->tx_head[UDP_HEADS];
    bool retried = false;
    uint32_t done = 0;

    b->tx_run[UDP_HEADS] = (struct udp_run){.first = (uint16_t)at, .count = 1};
    head->msg_hdr.msg_iov = vec;
    head->msg_hdr.msg_iovlen = vecs;
    head_fill(b, UDP_HEADS, port, b->tx_pkt[at], 0);
    while (done == 0) {
        if (send_some(b, port->fd, UDP_HEADS, 1) > 0) {
            stats_add(&b->count.tx_packets, 1);
            return;
        }
        done = send_failed(b, port, UDP_HEADS, 1, &retried);
    }
}

/* True when the kernel will not send several packets as one message, or not these: EIO without
 * checksums by the device, EINVAL or EMSGSIZE when a segment exceeds the MTU, EINVAL and others
 * where it is not implemented. */
static bool is_refusal(int why)
{
    return why == EIO || why == EINVAL || why == EMSGSIZE || why == EOPNOTSUPP ||
           why == ENOPROTOOPT;
}

/* The message `k` was refused: learn from it, and send its packets one by one. */
static void resend_run(struct udp_batch *b, struct udp_port *port, uint32_t k, int why)
{
    const struct udp_run run = b->tx_run[k];
    struct iovec *vec = b->tx_head[k].msg_hdr.msg_iov;

    /* What fits every path of IPv6 was not refused for its length. */
    if (run.segment <= GSO_SURE || (why != EMSGSIZE && why != EINVAL)) {
        port->gso_off = true;
    } else {
        port->gso_max = (uint16_t)(run.segment - 1);
    }
    stats_add(&b->count.tx_refused, 1);
    for (uint32_t i = 0; i < run.count; i++) {
        struct pkt *pkt = b->tx_pkt[run.first + i];
        const uint32_t vecs = 1U + (pkt->head_len > 0) + (pkt->tail_len > 0);
        send_alone(b, port, run.first + i, vec, vecs);
        vec += vecs;
    }
}

/* `n` messages have left, `first` is the first of them. */
static void count_sent(struct udp_batch *b, uint32_t first, uint32_t n)
{
    for (uint32_t k = first; k < first + n; k++) {
        stats_add(&b->count.tx_packets, b->tx_run[k].count);
        stats_add(&b->count.tx_bursts, b->tx_run[k].count > 1);
    }
}

static void send_messages(struct udp_batch *b, struct udp_port *port)
{
    const uint32_t count = b->tx_heads;
    bool retried = false;
    uint32_t i = 0;

    while (i < count) {
        const int n = send_some(b, port->fd, i, count - i);
        uint32_t done = 0;
        if (n > 0) {
            count_sent(b, i, (uint32_t)n);
            done = (uint32_t)n;
        } else if (b->tx_run[i].count > 1 && is_refusal(errno)) {
            resend_run(b, port, i, errno);
            done = 1;
        } else {
            done = send_failed(b, port, i, count - i, &retried);
        }
        if (done > 0) {
            i += done;
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

static void send_chain(struct udp_batch *b, struct udp_port *port)
{
    const bool v4 = port->local.family == NET_V4;
    uint16_t i = port->tx_first;

    port->queued = 0; /* what too_big() queues begins a new chain */
    while (i != UDP_NONE) {
        const bool df = b->pkt[i].df;
        i = messages_fill(b, port, i);
        if (v4 && df != port->v4_df) {
            set_v4_df(port, df);
        }
        send_messages(b, port);
    }
}

void udp_tx_send(struct udp_batch *b)
{
    for (uint32_t k = 0; k < b->tx_ports; k++) {
        send_chain(b, b->tx_port[k]);
    }
    b->tx_ports = 0;
    b->spares = 0;
}

void udp_tx_flush(struct udp_batch *b)
{
    udp_tx_send(b);
    b->used = 0;
    b->buffers = 0;
}
