/* SPDX-License-Identifier: Apache-2.0 */
#include "diff/frame.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

enum { ETHER_IPV4 = 0x0800, ETHER_IPV6 = 0x86dd, IP_UDP = 17, DF = 0x4000, PIECE = 0x3fff };

/* One's complement arithmetic is arithmetic modulo 65535. */
enum { MODULUS = 0xffff };

static uint32_t sum_of(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i + 1 < n; i += 2) {
        sum += be16(p + i);
    }
    if (n % 2 != 0) {
        sum += (uint64_t)p[n - 1] << 8;
    }
    return (uint32_t)(sum % MODULUS);
}

static uint32_t sum_of_addr(const struct net_addr *addr)
{
    return addr->family == NET_V4 ? sum_of(net_ip_v4_bytes(&addr->ip), 4) : sum_of(addr->ip.b, 16);
}

/* RFC 768, RFC 8200 section 8.1. */
static uint32_t sum_of_pseudo(const struct frame *f)
{
    return (sum_of_addr(&f->src) + sum_of_addr(&f->dst) + IP_UDP + FRAME_UDP + (uint32_t)f->n) %
           MODULUS;
}

/* Of everything that the UDP checksum is about but itself. */
static uint32_t sum_of_datagram(const struct frame *f)
{
    return (sum_of_pseudo(f) + f->src.port + f->dst.port + FRAME_UDP + (uint32_t)f->n +
            sum_of(f->data, f->n)) %
           MODULUS;
}

/* The field: of the two names of zero that which does not say "none". */
static uint16_t udp_sum(const struct frame *f)
{
    const uint32_t sum = (2 * MODULUS + f->sum_error - sum_of_datagram(f)) % MODULUS;

    return f->no_sum ? 0 : (uint16_t)(sum == 0 ? 0xffff : sum);
}

void frame_ip_sum(uint8_t *ip, size_t words)
{
    be16_put(ip + 10, 0);
    const uint32_t sum = MODULUS - sum_of(ip, words * 4); /* a header is not all zeros */
    be16_put(ip + 10, (uint16_t)(sum == MODULUS ? 0 : sum));
}

static uint8_t *write_ipv4(const struct frame *f, uint8_t *p)
{
    p[0] = 0x45;
    p[1] = f->tos;
    be16_put(p + 2, (uint16_t)(FRAME_IPV4 + FRAME_UDP + f->n));
    be16_put(p + 4, f->id);
    be16_put(p + 6, f->df ? DF : 0);
    p[8] = f->ttl;
    p[9] = IP_UDP;
    memcpy(p + 12, net_ip_v4_bytes(&f->src.ip), 4);
    memcpy(p + 16, net_ip_v4_bytes(&f->dst.ip), 4);
    frame_ip_sum(p, FRAME_IPV4 / 4);
    return p + FRAME_IPV4;
}

static uint8_t *write_ipv6(const struct frame *f, uint8_t *p)
{
    be32_put(p, UINT32_C(6) << 28 | (uint32_t)f->tos << 20 | f->label);
    be16_put(p + 4, (uint16_t)(FRAME_UDP + f->n));
    p[6] = IP_UDP;
    p[7] = f->ttl;
    memcpy(p + 8, f->src.ip.b, 16);
    memcpy(p + 24, f->dst.ip.b, 16);
    return p + FRAME_IPV6;
}

size_t frame_write(const struct frame *f, uint8_t out[FRAME_MAX])
{
    assert(f->n <= FRAME_DATA_MAX && f->src.family == f->dst.family);
    const bool v4 = f->src.family == NET_V4;

    memcpy(out, f->to, FRAME_MAC);
    memcpy(out + 6, f->from, FRAME_MAC);
    be16_put(out + 12, v4 ? ETHER_IPV4 : ETHER_IPV6);
    uint8_t *p = v4 ? write_ipv4(f, out + FRAME_ETHER) : write_ipv6(f, out + FRAME_ETHER);
    be16_put(p, f->src.port);
    be16_put(p + 2, f->dst.port);
    be16_put(p + 4, (uint16_t)(FRAME_UDP + f->n));
    be16_put(p + 6, udp_sum(f));
    if (f->n > 0) {
        memcpy(p + FRAME_UDP, f->data, f->n);
    }
    return frame_size(f);
}

size_t frame_size(const struct frame *f)
{
    const size_t ip = f->src.family == NET_V4 ? FRAME_IPV4 : FRAME_IPV6;

    return FRAME_ETHER + ip + FRAME_UDP + f->n;
}

/* The UDP header at `udp`, and what stands behind it: the IP header says that they are `n` bytes.
 */
static bool read_udp(const uint8_t *udp, size_t n, struct frame *f)
{
    if (n < FRAME_UDP || be16(udp + 4) != n) {
        return false;
    }
    f->src.port = be16(udp);
    f->dst.port = be16(udp + 2);
    f->data = udp + FRAME_UDP;
    f->n = n - FRAME_UDP;
    f->no_sum = be16(udp + 6) == 0;
    f->sum_error = f->no_sum ? 0 : (uint16_t)((sum_of_datagram(f) + be16(udp + 6)) % MODULUS);
    return f->src.family == NET_V4 || !f->no_sum; /* RFC 8200 section 8.1 */
}

static struct net_addr address(const uint8_t *p, bool v4)
{
    struct net_ip ip;

    if (v4) {
        ip = net_ip_v4(p);
    } else {
        memcpy(ip.b, p, sizeof(ip.b));
    }
    struct net_addr addr = net_addr_make(&ip, 0);
    addr.family = v4 ? NET_V4 : NET_V6;
    return addr;
}

static bool read_ipv4(const uint8_t *p, size_t n, struct frame *f)
{
    if (n < FRAME_IPV4 || p[0] != 0x45 || p[9] != IP_UDP || (be16(p + 6) & PIECE) != 0 ||
        sum_of(p, FRAME_IPV4) != 0 || be16(p + 2) > n || be16(p + 2) < FRAME_IPV4) {
        return false;
    }
    f->tos = p[1];
    f->id = be16(p + 4);
    f->df = (be16(p + 6) & DF) != 0;
    f->ttl = p[8];
    f->src = address(p + 12, true);
    f->dst = address(p + 16, true);
    return read_udp(p + FRAME_IPV4, (size_t)be16(p + 2) - FRAME_IPV4, f);
}

static bool read_ipv6(const uint8_t *p, size_t n, struct frame *f)
{
    if (n < FRAME_IPV6 || p[0] >> 4 != 6 || p[6] != IP_UDP || be16(p + 4) > n - FRAME_IPV6) {
        return false;
    }
    f->tos = (uint8_t)(be16(p) >> 4);
    f->label = be32(p) & 0xfffff;
    f->ttl = p[7];
    f->src = address(p + 8, false);
    f->dst = address(p + 24, false);
    return read_udp(p + FRAME_IPV6, be16(p + 4), f);
}

bool frame_read(const uint8_t *p, size_t n, struct frame *out)
{
    struct frame f = {.sum_error = 0};

    if (n < FRAME_ETHER) {
        return false;
    }
    memcpy(f.to, p, FRAME_MAC);
    memcpy(f.from, p + 6, FRAME_MAC);
    const uint16_t kind = be16(p + 12);
    const bool ok = kind == ETHER_IPV4   ? read_ipv4(p + FRAME_ETHER, n - FRAME_ETHER, &f)
                    : kind == ETHER_IPV6 ? read_ipv6(p + FRAME_ETHER, n - FRAME_ETHER, &f)
                                         : false;
    if (ok) {
        *out = f;
    }
    return ok;
}

uint16_t frame_pseudo_sum(const struct frame *f)
{
    const uint32_t sum = sum_of_pseudo(f);

    return (uint16_t)(sum == 0 ? MODULUS : sum);
}

bool frame_is_partial(const struct frame *f, const uint8_t *p)
{
    const size_t udp = frame_size(f) - f->n - FRAME_UDP;

    return !f->no_sum && be16(p + udp + 6) == frame_pseudo_sum(f);
}
