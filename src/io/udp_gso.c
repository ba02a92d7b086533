/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_gso.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/pkt.h"
#include "io/udp.h"

enum {
    GAIN = 3, /* packets of a flow in a visit, on average, that make UDP_GRO worth its price */
    SCORE_GAIN = 2, /* a visit that gains outweighs one that does not: audio beside video */
    SCORE_ON = 16,
};

/* --- what the kernel can ------------------------------------------------------------------------
 */

bool udp_gso_is_bad_release(const char *release)
{
    unsigned long number[3] = {0, 0, 0}; /* major, minor, patch */
    const char *at = release;

    for (size_t i = 0; i < ARRAY_SIZE(number) && *at >= '0' && *at <= '9'; i++) {
        char *end;
        number[i] = strtoul(at, &end, 10);
        at = *end == '.' ? end + 1 : end;
    }
    /* Linux b10b446 corrupts heads and checksums of messages whose segments are all equal; 78effd8
     * and 5f17ae0, which mend it, are in 7.1.5. */
    return number[0] == 7 && (number[1] == 0 || (number[1] == 1 && number[2] < 5));
}

enum {
    TEST_SEGMENT = 100,
    TEST_SEGMENTS = 4,
    TEST_TAIL = 37,
    TEST_WAIT_MS = 200,
};

/* Send `n` bytes that count up as segments. */
static int send_segments(const struct udp_port *from, const struct udp_port *to, size_t n)
{
    uint8_t data[TEST_SEGMENT * TEST_SEGMENTS];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    const uint16_t segment = TEST_SEGMENT;
    struct sockaddr_storage ss;
    struct iovec vec = {.iov_base = data, .iov_len = n};
    struct msghdr msg = {
        .msg_name = &ss,
        .msg_namelen = net_addr_to_sockaddr(&to->local, &ss),
        .msg_iov = &vec,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7 + i / 256);
    }
    c->cmsg_level = IPPROTO_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(segment));
    memcpy(CMSG_DATA(c), &segment, sizeof(segment));
    return sendmsg(from->fd, &msg, 0) == (ssize_t)n ? 0 : -EOPNOTSUPP;
}

/* Expect what send_segments() sent, packet by packet. */
static int expect_segments(const struct udp_port *to, size_t n)
{
    uint8_t data[TEST_SEGMENT * TEST_SEGMENTS];
    struct pollfd p = {.fd = to->fd, .events = POLLIN};

    for (size_t at = 0; at < n; at += TEST_SEGMENT) {
        const size_t want = n - at < TEST_SEGMENT ? n - at : TEST_SEGMENT;
        if (poll(&p, 1, TEST_WAIT_MS) != 1 ||
            recv(to->fd, data, sizeof(data), 0) != (ssize_t)want) {
            return -EBADMSG;
        }
        /* cppcheck-suppress knownConditionTrueFalse; it takes want for 0 */
        for (size_t i = 0; i < want; i++) {
            if (data[i] != (uint8_t)((at + i) * 7 + (at + i) / 256)) {
                return -EBADMSG;
            }
        }
    }
    return 0;
}

static int test_pair(const struct udp_port *from, const struct udp_port *to)
{
    static const size_t lengths[] = {
        (size_t)TEST_SEGMENT * TEST_SEGMENTS,
        (size_t)TEST_SEGMENT * (TEST_SEGMENTS - 1) + TEST_TAIL,
    };
    int err = 0;

    for (size_t i = 0; err == 0 && i < ARRAY_SIZE(lengths); i++) {
        err = send_segments(from, to, lengths[i]);
        err = err == 0 ? expect_segments(to, lengths[i]) : err;
    }
    return err;
}

static int open_named(const struct net_addr *local, struct udp_port *out)
{
    const struct udp_options options = {.local = *local};
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int err = udp_open(&options, out);

    if (err < 0) {
        return err;
    }
    err = getsockname(out->fd, (struct sockaddr *)&ss, &len) < 0 ? -errno : 0;
    err = err == 0 ? net_addr_from_sockaddr(&ss, &out->local) : err;
    if (err < 0) {
        udp_close(out);
    }
    return err;
}

static int test_loopback(const char *address)
{
    struct net_addr local;
    struct udp_port from;
    struct udp_port to;
    int err = net_addr_parse(address, 0, &local);

    err = err == 0 ? open_named(&local, &from) : err;
    if (err < 0) {
        return err;
    }
    err = open_named(&local, &to);
    if (err == 0) {
        err = test_pair(&from, &to);
        udp_close(&to);
    }
    udp_close(&from);
    return err;
}

int udp_gso_test(void)
{
    struct utsname name;

    if (uname(&name) < 0 || udp_gso_is_bad_release(name.release)) {
        return -EOPNOTSUPP;
    }
    const int v4 = test_loopback("127.0.0.1");
    const int v6 = test_loopback("::1");
    /* A host without one of the two has nothing to be corrupted there. */
    if (v6 == -EAFNOSUPPORT || v6 == -EADDRNOTAVAIL) {
        return v4;
    }
    return v4 == -EAFNOSUPPORT || v4 == -EADDRNOTAVAIL || v4 == 0 ? v6 : v4;
}

/* --- which sockets ask --------------------------------------------------------------------------
 */

/* True when at least GAIN packets came of each flow, on average.  Flows that share a bit count as
 * one: of 64 packets of as many flows about 40 bits are set. */
static bool is_worth(const struct pkt *pkt, uint32_t count)
{
    uint64_t flows = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct net_addr *remote = &pkt[i].remote;
        flows |= UINT64_C(1) << ((remote->port ^ remote->ip.b[15]) & 63);
    }
    return count >= GAIN * (uint32_t)__builtin_popcountll(flows);
}

void udp_gro_learn(struct udp_port *port, const struct pkt *pkt, uint32_t count)
{
    const int on = 1;

    if (port->gro_never) {
        return;
    }
    if (count < GAIN || !is_worth(pkt, count)) {
        port->gro_score = port->gro_score > 0 ? (uint8_t)(port->gro_score - 1) : 0;
        return;
    }
    port->gro_score = (uint8_t)(port->gro_score + SCORE_GAIN);
    if (port->gro_score < SCORE_ON) {
        return;
    }
    port->gro_score = 0;
    port->gro = setsockopt(port->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0;
    port->gro_never = !port->gro;
}
