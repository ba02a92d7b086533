/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/bench_rx.h"

#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mem.h"

enum {
    BURST_CAP = 65536,
    CONTROL = 160, /* packet info 40, time 32, drops 24, GRO 24 */
};

struct bench_rx {
    bench_rx_fn fn;
    void *arg;
    uint32_t cap;
    struct mmsghdr head[BENCH_RX_BATCH];
    struct iovec vec[BENCH_RX_BATCH];
    _Alignas(struct cmsghdr) uint8_t control[BENCH_RX_BATCH][CONTROL];
    uint8_t *memory;
};

/* What the control messages tell. */
struct told {
    uint64_t when_ns;
    uint32_t segment;
    bool has_to;
    struct net_ip to;
};

struct bench_rx *bench_rx_new(uint32_t cap, bool gro, bench_rx_fn fn, void *arg)
{
    struct bench_rx *rx = mem_new(1, sizeof(*rx));

    if (rx == NULL) {
        return NULL;
    }
    rx->fn = fn;
    rx->arg = arg;
    rx->cap = gro ? BURST_CAP : cap;
    rx->memory = mem_new(BENCH_RX_BATCH, rx->cap);
    if (rx->memory == NULL) {
        bench_rx_free(rx);
        return NULL;
    }
    for (uint32_t i = 0; i < BENCH_RX_BATCH; i++) {
        rx->vec[i] = (struct iovec){
            .iov_base = rx->memory + (size_t)i * rx->cap,
            .iov_len = rx->cap,
        };
        rx->head[i].msg_hdr = (struct msghdr){
            .msg_iov = &rx->vec[i],
            .msg_iovlen = 1,
            .msg_control = rx->control[i],
            .msg_controllen = CONTROL,
        };
    }
    return rx;
}

void bench_rx_free(struct bench_rx *rx)
{
    if (rx != NULL) {
        free(rx->memory);
        free(rx);
    }
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void read_one(const struct cmsghdr *c, struct bench_socket *socket, uint64_t *dropped,
                     struct told *told)
{
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
        struct timespec ts;
        memcpy(&ts, CMSG_DATA(c), sizeof(ts));
        told->when_ns = (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof(size));
        told->segment = (uint32_t)size;
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
        uint32_t count;
        memcpy(&count, CMSG_DATA(c), sizeof(count));
        *dropped += count - socket->dropped;
        socket->dropped = count;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        uint8_t raw[4];
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        memcpy(raw, &info.ipi_addr, sizeof(raw));
        told->to = net_ip_v4(raw);
        told->has_to = true;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof(info));
        memcpy(told->to.b, &info.ipi6_addr, sizeof(told->to.b));
        told->has_to = true;
    }
}

/* Tell of message `i`, cut into its datagrams. */
static void tell(struct bench_rx *rx, struct bench_socket *socket, uint32_t i, uint64_t *dropped)
{
    struct msghdr *head = &rx->head[i].msg_hdr;
    const uint8_t *p = rx->vec[i].iov_base;
    uint32_t left = rx->head[i].msg_len;
    struct told told = {.when_ns = 0};

    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
        read_one(c, socket, dropped, &told);
    }
    head->msg_controllen = CONTROL;
    if (told.when_ns == 0) {
        told.when_ns = now_ns();
    }
    const uint32_t segment = told.segment == 0 ? left : told.segment;
    while (left > 0) {
        const uint32_t n = left < segment ? left : segment;
        rx->fn(rx->arg, socket, told.has_to ? &told.to : NULL, (struct bytes){p, n}, told.when_ns);
        p += n;
        left -= n;
    }
}

int bench_rx_read(struct bench_rx *rx, struct bench_socket *socket, uint64_t *dropped)
{
    const int n = recvmmsg(socket->fd, rx->head, BENCH_RX_BATCH, MSG_DONTWAIT, NULL);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    for (int i = 0; i < n; i++) {
        tell(rx, socket, (uint32_t)i, dropped);
    }
    return n;
}
