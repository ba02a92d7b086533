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

enum {
    RECEIVE_BUFFER = 16 << 20,
    PROTOCOL_UDP = 17,
    IP_HEAD = 20,
    IP6_HEAD = 40,
    UDP_HEAD = 8,
    TTL = 64,
};

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

/* The addresses, with the namespace entered. */
static void open_link(struct end *end, const char *netns, const char *dev, const char *peer_mac)
{
    struct ifreq ifr = {.ifr_name = ""};

    memset(end, 0, sizeof(*end));
    frame_enter(netns);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", dev);
    if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0) {
        fail(dev);
    }
    (void)close(fd);
    memcpy(end->mac, ifr.ifr_hwaddr.sa_data, 6);
    parse_mac(peer_mac, end->peer_mac);
}

void end_open(struct end *end, const char *netns, const char *dev, const char *peer_mac)
{
    const int one = 1;
    const int size = RECEIVE_BUFFER;

    open_link(end, netns, dev, peer_mac);
    end->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_IP));
    const struct sockaddr_ll at = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_IP),
        .sll_ifindex = (int)if_nametoindex(dev),
    };
    if (end->fd < 0 || bind(end->fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(end->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
        setsockopt(end->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0 ||
        setsockopt(end->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0) {
        fail("packet socket");
    }
}

void end_open_part(struct end *end, const char *netns, const char *dev, const char *peer_mac)
{
    const char *failed;

    open_link(end, netns, dev, peer_mac);
    end->xsk = calloc(1, sizeof(*end->xsk));
    if (end->xsk == NULL) {
        fail("memory");
    }
    const int err = xsk_open(end->xsk, dev, &failed);
    if (err < 0) {
        (void)fprintf(stderr, "load: %s: %s\n", failed, strerror(-err));
        exit(1);
    }
}

void end_open_xsk(struct end *end, const char *netns, const char *dev, const char *peer_mac)
{
    const char *failed;

    end_open_part(end, netns, dev, peer_mac);
    const int err = xsk_take_all(end->xsk, dev, &failed);
    if (err < 0) {
        (void)fprintf(stderr, "load: %s: %s\n", failed, strerror(-err));
        exit(1);
    }
}

/* The ones' complement sum of `n` bytes, in the machine's byte order (RFC 1071 section 2). */
static uint64_t sum_of(uint64_t sum, const uint8_t *p, size_t n)
{
    uint64_t word = 0;

    for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        sum += (word & UINT32_MAX) + (word >> 32);
    }
    word = 0;
    memcpy(&word, p, n);
    return sum + (word & UINT32_MAX) + (word >> 32);
}

static void put_checksum(uint8_t *at, uint64_t sum)
{
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    const uint16_t folded = sum == 0xffff ? 0xffff : (uint16_t)~sum; /* UDP sends no zero */
    memcpy(at, &folded, sizeof(folded));
}

void frame_ip6(uint32_t ip, uint8_t out[16])
{
    memset(out, 0, 16);
    out[0] = 0xfd;
    be32_put(out + 12, ip);
}

static void put_ip4(uint8_t *ip, uint32_t from, uint32_t to, size_t n)
{
    memset(ip, 0, IP_HEAD);
    ip[0] = 0x45;
    be16_put(ip + 2, (uint16_t)(IP_HEAD + n));
    ip[8] = TTL;
    ip[9] = PROTOCOL_UDP;
    be32_put(ip + 12, from);
    be32_put(ip + 16, to);
    put_checksum(ip + 10, sum_of(0, ip, IP_HEAD));
}

static void put_ip6(uint8_t *ip, uint32_t from, uint32_t to, size_t n)
{
    memset(ip, 0, IP6_HEAD);
    ip[0] = 0x60;
    be16_put(ip + 4, (uint16_t)n);
    ip[6] = PROTOCOL_UDP;
    ip[7] = TTL;
    frame_ip6(from, ip + 8);
    frame_ip6(to, ip + 24);
}

size_t end_fill(const struct end *end, uint8_t *frame, struct endpoint from, struct endpoint to,
                const void *p, size_t n)
{
    uint8_t *ip = frame + ETHER_HDR_LEN;
    uint8_t *udp = ip + (end->v6 ? IP6_HEAD : IP_HEAD);
    const uint8_t *addresses = ip + (end->v6 ? 8 : 12);

    memcpy(frame, end->peer_mac, 6);
    memcpy(frame + 6, end->mac, 6);
    be16_put(frame + 12, end->v6 ? ETH_P_IPV6 : ETH_P_IP);
    (end->v6 ? put_ip6 : put_ip4)(ip, from.ip, to.ip, UDP_HEAD + n);
    be16_put(udp, from.port);
    be16_put(udp + 2, to.port);
    be16_put(udp + 4, (uint16_t)(UDP_HEAD + n));
    be16_put(udp + 6, 0);
    memcpy(udp + UDP_HEAD, p, n);
    const uint64_t pseudo = sum_of((uint64_t)htons(PROTOCOL_UDP) + htons((uint16_t)(UDP_HEAD + n)),
                                   addresses, (size_t)(udp - addresses));
    put_checksum(udp + 6, sum_of(pseudo, udp, UDP_HEAD + n));
    return (size_t)(udp - frame) + UDP_HEAD + n;
}

void end_send(struct end *end, struct endpoint from, struct endpoint to, const void *p, size_t n)
{
    if (end->queued == FRAME_BATCH) {
        end_flush(end);
    }
    uint8_t *f = end->xsk != NULL ? xsk_slot(end->xsk) : end->tx[end->queued];
    if (f == NULL) {
        end->refused++;
        end_flush(end);
        return;
    }
    const size_t length = end_fill(end, f, from, to, p, n);
    if (end->xsk != NULL) {
        xsk_push(end->xsk, f, length);
    }
    end->tx_len[end->queued++] = (uint16_t)length;
}

static void flush_packets(struct end *end)
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
}

void end_flush(struct end *end)
{
    if (end->xsk != NULL) {
        xsk_kick(end->xsk);
        end->sent += end->queued;
    } else {
        flush_packets(end);
    }
    end->queued = 0;
}

static bool read_frame(const uint8_t *f, size_t n, struct datagram *out)
{
    const uint8_t *ip = f + ETHER_HDR_LEN;
    const bool v6 = n >= FRAME_HEAD6 && ip[0] >> 4 == 6 && ip[6] == PROTOCOL_UDP;

    if (n < FRAME_HEAD || (!v6 && (ip[0] != 0x45 || ip[9] != PROTOCOL_UDP))) {
        return false;
    }
    const uint8_t *udp = ip + (v6 ? IP6_HEAD : IP_HEAD);
    const size_t len = be16(udp + 4);
    if (len < UDP_HEAD || len > n - (size_t)(udp - f)) {
        return false;
    }
    *out = (struct datagram){
        .from = {be32(ip + (v6 ? 20 : 12)), be16(udp)},
        .to = {be32(ip + (v6 ? 36 : 16)), be16(udp + 2)},
        .payload = udp + UDP_HEAD,
        .n = len - UDP_HEAD,
    };
    return true;
}

/* Hands frames on as datagrams. */
struct receiver {
    void (*each)(void *arg, const struct datagram *d);
    void *arg;
};

static void hand_on(void *arg, const uint8_t *frame, size_t n)
{
    const struct receiver *r = arg;
    struct datagram d;

    if (read_frame(frame, n, &d)) {
        r->each(r->arg, &d);
    }
}

unsigned end_receive(struct end *end, void (*each)(void *arg, const struct datagram *d), void *arg)
{
    struct receiver receiver = {each, arg};
    struct mmsghdr m[FRAME_BATCH];
    struct iovec v[FRAME_BATCH];

    if (end->xsk != NULL) {
        return xsk_receive(end->xsk, hand_on, &receiver);
    }
    memset(m, 0, sizeof(m));
    for (unsigned i = 0; i < FRAME_BATCH; i++) {
        v[i] = (struct iovec){end->rx[i], FRAME_MAX};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    const int n = recvmmsg(end->fd, m, FRAME_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        hand_on(&receiver, end->rx[i], m[i].msg_len);
    }
    return n > 0 ? (unsigned)n : 0;
}
