/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

enum { RECEIVE_BUFFER = 16 << 20, PROTOCOL_UDP = 17, IP_HEAD = 20 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

void frame_enter(const char *netns)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "/run/netns/%s", netns);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
        fail(path);
    }
    (void)close(fd);
}

static void parse_mac(const char *text, uint8_t out[6])
{
    unsigned b[6];

    if (sscanf(text, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6) {
        (void)fprintf(stderr, "load: %s is no Ethernet address\n", text);
        exit(2);
    }
    for (int i = 0; i < 6; i++) {
        out[i] = (uint8_t)b[i];
    }
}

void end_open(struct end *end, const char *netns, const char *dev, const char *peer_mac)
{
    const int one = 1;
    const int size = RECEIVE_BUFFER;
    struct ifreq ifr = {.ifr_name = ""};

    memset(end, 0, sizeof(*end));
    frame_enter(netns);
    end->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_IP));
    if (end->fd < 0) {
        fail("packet socket");
    }
    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
    if (ioctl(end->fd, SIOCGIFHWADDR, &ifr) < 0) {
        fail(dev);
    }
    memcpy(end->mac, ifr.ifr_hwaddr.sa_data, 6);
    parse_mac(peer_mac, end->peer_mac);
    const struct sockaddr_ll at = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_IP),
        .sll_ifindex = (int)if_nametoindex(dev),
    };
    if (bind(end->fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(end->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
        setsockopt(end->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0 ||
        setsockopt(end->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0) {
        fail("packet socket options");
    }
}

static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i += 2) {
        sum += be16(p + i);
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

void end_send(struct end *end, struct endpoint from, struct endpoint to, const void *p, size_t n)
{
    if (end->queued == FRAME_BATCH) {
        end_flush(end);
    }
    uint8_t *f = end->tx[end->queued];
    uint8_t *ip = f + 14;
    uint8_t *udp = ip + IP_HEAD;

    memcpy(f, end->peer_mac, 6);
    memcpy(f + 6, end->mac, 6);
    be16_put(f + 12, ETH_P_IP);
    memset(ip, 0, IP_HEAD);
    ip[0] = 0x45;
    be16_put(ip + 2, (uint16_t)(IP_HEAD + 8 + n));
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    be32_put(ip + 12, from.ip);
    be32_put(ip + 16, to.ip);
    be16_put(ip + 10, checksum(ip, IP_HEAD));
    be16_put(udp, from.port);
    be16_put(udp + 2, to.port);
    be16_put(udp + 4, (uint16_t)(8 + n));
    be16_put(udp + 6, 0); /* no checksum, as IPv4 permits */
    memcpy(udp + 8, p, n);
    end->tx_len[end->queued++] = (uint16_t)(FRAME_HEAD + n);
}

void end_flush(struct end *end)
{
    struct mmsghdr m[FRAME_BATCH];
    struct iovec v[FRAME_BATCH];
    unsigned at = 0;

    memset(m, 0, sizeof(m));
    for (unsigned i = 0; i < end->queued; i++) {
        v[i] = (struct iovec){end->tx[i], end->tx_len[i]};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    while (at < end->queued) {
        const int n = sendmmsg(end->fd, m + at, end->queued - at, 0);
        if (n <= 0) {
            end->refused++;
            at++;
            continue;
        }
        at += (unsigned)n;
        end->sent += (unsigned)n;
    }
    end->queued = 0;
}

static bool read_frame(const uint8_t *f, size_t n, struct datagram *out)
{
    const uint8_t *ip = f + 14;

    if (n < FRAME_HEAD || ip[0] != 0x45 || ip[9] != PROTOCOL_UDP) {
        return false;
    }
    const uint8_t *udp = ip + IP_HEAD;
    const size_t len = be16(udp + 4);
    if (len < 8 || len > n - 14 - IP_HEAD) {
        return false;
    }
    *out = (struct datagram){
        .from = {be32(ip + 12), be16(udp)},
        .to = {be32(ip + 16), be16(udp + 2)},
        .payload = udp + 8,
        .n = len - 8,
    };
    return true;
}

unsigned end_receive(struct end *end, void (*each)(void *arg, const struct datagram *d), void *arg)
{
    struct mmsghdr m[FRAME_BATCH];
    struct iovec v[FRAME_BATCH];
    struct datagram d;

    memset(m, 0, sizeof(m));
    for (unsigned i = 0; i < FRAME_BATCH; i++) {
        v[i] = (struct iovec){end->rx[i], FRAME_MAX};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    const int n = recvmmsg(end->fd, m, FRAME_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        if (read_frame(end->rx[i], m[i].msg_len, &d)) {
            each(arg, &d);
        }
    }
    return n > 0 ? (unsigned)n : 0;
}
