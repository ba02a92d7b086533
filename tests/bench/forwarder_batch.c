/* SPDX-License-Identifier: Apache-2.0 */
/* recvmmsg and sendmmsg; with `segments` a received buffer holds several packets of a flow, and
 * packets of a flow that are equal in length leave as one message. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "forwarder.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum {
    BUFFERS = 64,
    PLAIN_SIZE = 2048,
    MERGED_SIZE = 65536 + 2048 + 64, /* no two begin in the same set of a cache */
    VIEWS = 4096,
    VIEWS_A_BUFFER = 64,
    EVENTS = 64,
    RUN_SEGMENTS = 64,
    RUN_BYTES = 65000,
    CONTROL = 64,
};

enum { FROM_LISTENER = 1 << 30, FROM_CLIENT = 1 << 29, FLOW_MASK = FROM_CLIENT - 1 };

/* A packet inside a buffer, without the head. */
struct view {
    uint8_t *p;
    uint32_t n;
    uint32_t flow;
    uint32_t next; /* of the flow's packets; VIEWS: none */
};

struct chain {
    uint32_t head;
    uint32_t tail;
};

struct batch {
    struct forwarder *f;
    int epoll;
    size_t size; /* of a buffer */
    uint8_t *buffer;
    unsigned used; /* buffers */
    struct mmsghdr rx[BUFFERS];
    struct iovec rx_iov[BUFFERS];
    struct sockaddr_in rx_from[BUFFERS];
    uint64_t rx_control[BUFFERS][CONTROL / 8];
    struct view view[2][VIEWS]; /* to peers, to clients */
    uint32_t views[2];
    struct chain *chain; /* of packets to peers, or to connected clients */
    uint32_t *touched;   /* flows that have a chain */
    uint32_t touched_count;
    struct mmsghdr tx[VIEWS];
    struct iovec tx_iov[2 * VIEWS];
    struct sockaddr_in tx_to[VIEWS];
    uint64_t tx_control[VIEWS][CMSG_SPACE(sizeof(uint16_t)) / 8];
    uint8_t head[VIEWS][FORWARDER_HEAD];
    unsigned tx_count;
    unsigned iov_count;
};

enum { TO_PEER, TO_CLIENT };

static void prepare(struct batch *b)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        b->rx_iov[i] = (struct iovec){b->buffer + i * b->size, b->size};
        b->rx[i].msg_hdr = (struct msghdr){
            .msg_name = &b->rx_from[i],
            .msg_namelen = sizeof(b->rx_from[i]),
            .msg_iov = &b->rx_iov[i],
            .msg_iovlen = 1,
            .msg_control = b->f->segments ? b->rx_control[i] : NULL,
            .msg_controllen = b->f->segments ? CONTROL : 0,
        };
    }
}

/* The size of the packets in a message. */
static uint32_t segment_of(struct msghdr *m, uint32_t n)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            return (uint32_t)size;
        }
    }
    return n;
}

static void add_view(struct batch *b, int to, uint8_t *p, uint32_t n, uint32_t flow)
{
    const uint32_t head = to == TO_PEER ? FORWARDER_HEAD : 0;

    if (n < head || flow >= b->f->flows || b->views[to] == VIEWS) {
        return;
    }
    if (to == TO_PEER && be16(p) != FORWARDER_CHANNEL) {
        return;
    }
    b->view[to][b->views[to]++] = (struct view){p + head, n - head, flow, VIEWS};
}

static void cut(struct batch *b, unsigned i, int to, uint32_t flow)
{
    const uint32_t n = b->rx[i].msg_len;
    const uint32_t size = b->f->segments ? segment_of(&b->rx[i].msg_hdr, n) : n;

    for (uint32_t at = 0; at < n; at += size) {
        add_view(b, to, (uint8_t *)b->rx_iov[i].iov_base + at, n - at < size ? n - at : size, flow);
    }
    b->rx[i].msg_hdr.msg_namelen = sizeof(b->rx_from[i]);
    b->rx[i].msg_hdr.msg_controllen = b->f->segments ? CONTROL : 0;
}

static void receive(struct batch *b, uint32_t source)
{
    const struct forwarder *f = b->f;
    const uint32_t flow = source & FLOW_MASK;
    const uint16_t first = ntohs(f->client.sin_port);
    int fd = f->listener;

    if ((source & FROM_LISTENER) == 0) {
        fd = (source & FROM_CLIENT) != 0 ? f->client_fd[flow] : f->relay_fd[flow];
    }
    const int n = recvmmsg(fd, b->rx + b->used, BUFFERS - b->used, MSG_DONTWAIT, NULL);
    for (int k = 0; k < n; k++) {
        const unsigned i = b->used + (unsigned)k;
        if ((source & FROM_LISTENER) != 0) {
            cut(b, i, TO_PEER, (uint32_t)ntohs(b->rx_from[i].sin_port) - first);
        } else {
            cut(b, i, (source & FROM_CLIENT) != 0 ? TO_PEER : TO_CLIENT, flow);
        }
    }
    b->used += n > 0 ? (unsigned)n : 0;
}

static void flush(struct batch *b, int fd)
{
    unsigned at = 0;

    while (at < b->tx_count) {
        const int n = sendmmsg(fd, b->tx + at, b->tx_count - at, 0);
        if (n <= 0 && errno != EAGAIN) {
            forwarder_die("sendmmsg");
        }
        at += n > 0 ? (unsigned)n : 1;
    }
    b->tx_count = 0;
    b->iov_count = 0;
}

/* Begin a message to where packets of `flow` go. */
static struct msghdr *begin(struct batch *b, int to, uint32_t flow, bool addressed)
{
    struct msghdr *m = &b->tx[b->tx_count].msg_hdr;

    b->tx_to[b->tx_count] = forwarder_address(to == TO_PEER ? &b->f->peer : &b->f->client, flow);
    *m = (struct msghdr){
        .msg_name = addressed ? &b->tx_to[b->tx_count] : NULL,
        .msg_namelen = addressed ? sizeof(b->tx_to[0]) : 0,
        .msg_iov = &b->tx_iov[b->iov_count],
    };
    return m;
}

static void put(struct batch *b, struct msghdr *m, int to, const struct view *v)
{
    if (to == TO_CLIENT) {
        uint8_t *head = b->head[v - b->view[to]];
        be16_put(head, FORWARDER_CHANNEL);
        be16_put(head + 2, (uint16_t)v->n);
        b->tx_iov[b->iov_count++] = (struct iovec){head, FORWARDER_HEAD};
        m->msg_iovlen++;
    }
    b->tx_iov[b->iov_count++] = (struct iovec){v->p, v->n};
    m->msg_iovlen++;
}

static void end(struct batch *b, struct msghdr *m, uint32_t segments, uint32_t size)
{
    if (segments > 1) {
        const uint16_t value = (uint16_t)size;
        m->msg_control = b->tx_control[b->tx_count];
        m->msg_controllen = CMSG_SPACE(sizeof(value));
        struct cmsghdr *c = CMSG_FIRSTHDR(m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(value));
        memcpy(CMSG_DATA(c), &value, sizeof(value));
    }
    b->tx_count++;
}

/* One message of the packets from `*at` on that may leave together; moves `*at` behind them. */
static void send_run(struct batch *b, int to, uint32_t *at, bool addressed)
{
    const struct view *views = b->view[to];
    const struct view *first = &views[*at];
    const uint32_t most = b->f->segments ? RUN_SEGMENTS : 1;
    const uint32_t extra = to == TO_CLIENT ? FORWARDER_HEAD : 0;
    struct msghdr *m = begin(b, to, first->flow, addressed);
    uint32_t segments = 0;
    uint32_t bytes = 0;
    uint32_t last = first->n;

    while (*at != VIEWS && segments < most) {
        const struct view *v = &views[*at];
        if (v->flow != first->flow || v->n > first->n || last < first->n ||
            bytes + v->n + extra > RUN_BYTES) {
            break;
        }
        put(b, m, to, v);
        last = v->n;
        bytes += v->n + extra;
        segments++;
        *at = v->next;
    }
    end(b, m, segments, first->n + extra);
}

/* Chain packets by flow, so that each socket is used once. */
static void link_by_flow(struct batch *b, int to)
{
    for (uint32_t i = 0; i < b->views[to]; i++) {
        struct chain *c = &b->chain[b->view[to][i].flow];
        if (c->head == VIEWS) {
            b->touched[b->touched_count++] = b->view[to][i].flow;
            c->head = i;
        } else {
            b->view[to][c->tail].next = i;
        }
        c->tail = i;
    }
}

static void send_by_flow(struct batch *b, int to, const int *fds, bool addressed)
{
    link_by_flow(b, to);
    for (uint32_t k = 0; k < b->touched_count; k++) {
        const uint32_t flow = b->touched[k];
        for (uint32_t at = b->chain[flow].head; at != VIEWS;) {
            send_run(b, to, &at, addressed);
        }
        b->chain[flow].head = VIEWS;
        flush(b, fds[flow]);
    }
    b->touched_count = 0;
    b->views[to] = 0;
}

static void send_through_listener(struct batch *b)
{
    const uint32_t count = b->views[TO_CLIENT];

    for (uint32_t i = 0; i < count; i++) {
        b->view[TO_CLIENT][i].next = i + 1 < count ? i + 1 : VIEWS;
    }
    for (uint32_t at = count > 0 ? 0 : VIEWS; at != VIEWS;) {
        send_run(b, TO_CLIENT, &at, true);
    }
    flush(b, b->f->listener);
    b->views[TO_CLIENT] = 0;
}

static void send_all(struct batch *b)
{
    send_by_flow(b, TO_PEER, b->f->relay_fd, true);
    if (b->f->connected) {
        send_by_flow(b, TO_CLIENT, b->f->client_fd, false);
    } else {
        send_through_listener(b);
    }
    b->used = 0;
}

static void watch(const struct batch *b, int fd, uint32_t source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

    if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        forwarder_die("epoll_ctl");
    }
}

static void start(struct batch *b)
{
    const struct forwarder *f = b->f;

    b->size = f->segments ? MERGED_SIZE : PLAIN_SIZE;
    b->buffer = malloc(BUFFERS * b->size);
    b->chain = calloc(f->flows, sizeof(*b->chain));
    b->touched = calloc(f->flows, sizeof(*b->touched));
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (b->buffer == NULL || b->chain == NULL || b->touched == NULL || b->epoll < 0) {
        forwarder_die("memory");
    }
    prepare(b);
    watch(b, f->listener, FROM_LISTENER);
    for (uint32_t i = 0; i < f->flows; i++) {
        b->chain[i].head = VIEWS;
        watch(b, f->relay_fd[i], i);
        if (f->connected) {
            watch(b, f->client_fd[i], i | FROM_CLIENT);
        }
    }
}

void forwarder_batch_run(struct forwarder *f, void (*ready)(void))
{
    static struct batch b;
    struct epoll_event events[EVENTS];

    b.f = f;
    start(&b);
    ready();
    for (;;) {
        const int n = epoll_wait(b.epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            receive(&b, events[i].data.u32);
            if (b.used == BUFFERS) {
                send_all(&b);
            }
        }
        send_all(&b);
    }
}
