/* SPDX-License-Identifier: Apache-2.0 */
/*   0                   1                   2                   3
 *  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 *  |0 0 0 0 0 0 0 0|    Family     |   Port, XORed with 0x2112     |
 *  |        Address (4 or 16 bytes), XORed with cookie | tid       |
 *
 * RFC 8489 sections 14.1 and 14.2. */
#include "wire/stun_addr.h"

#include <errno.h>

enum { HEAD = 4, V4_LEN = HEAD + 4, V6_LEN = HEAD + 16 };

/* Cookie and transaction ID, what addresses are XORed with. */
static void mask_of(uint8_t mask[16], const uint8_t tid[STUN_TID])
{
    be32_put(mask, STUN_COOKIE);
    memcpy(mask + 4, tid, STUN_TID);
}

static int decode(struct bytes value, const uint8_t mask[16], struct net_addr *out)
{
    uint8_t raw[16];

    if (value.n < HEAD) {
        return -EBADMSG;
    }
    const uint8_t family = value.p[1]; /* the first byte is ignored */
    if (value.n != (family == NET_V4 ? V4_LEN : V6_LEN) || (family != NET_V4 && family != NET_V6)) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < value.n - HEAD; i++) {
        raw[i] = value.p[HEAD + i] ^ mask[i];
    }
    *out = (struct net_addr){
        .port = (uint16_t)(be16(value.p + 2) ^ be16(mask)),
        .family = family,
    };
    if (family == NET_V4) {
        out->ip = net_ip_v4(raw);
    } else {
        memcpy(out->ip.b, raw, sizeof(raw));
    }
    return 0;
}

int stun_addr_decode(struct bytes value, struct net_addr *out)
{
    static const uint8_t nothing[16];
    return decode(value, nothing, out);
}

int stun_addr_decode_xor(struct bytes value, const uint8_t tid[STUN_TID], struct net_addr *out)
{
    uint8_t mask[16];

    mask_of(mask, tid);
    return decode(value, mask, out);
}

static void put_addr(struct stun_out *out, uint16_t type, const struct net_addr *addr,
                     const uint8_t mask[16])
{
    uint8_t value[V6_LEN] = {0, addr->family};
    const bool v4 = addr->family == NET_V4;

    be16_put(value + 2, addr->port ^ be16(mask));
    if (v4) {
        memcpy(value + HEAD, net_ip_v4_bytes(&addr->ip), V4_LEN - HEAD);
    } else {
        memcpy(value + HEAD, addr->ip.b, V6_LEN - HEAD);
    }
    for (size_t i = 0; i < V6_LEN - HEAD; i++) {
        value[HEAD + i] ^= mask[i];
    }
    stun_out_attr(out, type, (struct bytes){value, v4 ? V4_LEN : V6_LEN});
}

void stun_out_addr(struct stun_out *out, uint16_t type, const struct net_addr *addr)
{
    static const uint8_t nothing[16];
    put_addr(out, type, addr, nothing);
}

void stun_out_xor_addr(struct stun_out *out, uint16_t type, const struct net_addr *addr)
{
    if (out->w.full && out->w.len < STUN_HEADER) {
        return;
    }
    put_addr(out, type, addr, out->w.p + 4); /* the cookie and the ID after it */
}
