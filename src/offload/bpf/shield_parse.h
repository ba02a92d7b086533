/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a stranger's datagram asks for, by its form: wire/stun_msg.c and io/dtls_record.c are as
 * strict. */
#pragma once

#include "offload/bpf/packet.h"
#include "offload/shield_map.h"

enum {
    SHIELD_STUN_HEAD = 20,
    SHIELD_STUN_LEN_MAX = 0x7fff, /* offsets that the verifier can follow */
    SHIELD_CLASS = 0x0110,        /* of the message type: 0 in requests */
    SHIELD_STUN_LAST = 3,         /* first bytes (RFC 7983 section 7) */
    SHIELD_CHANNEL_FIRST = 64,
    SHIELD_CHANNEL_LAST = 127, /* those of RFC 5766, too */
    SHIELD_TYPE_BINDING = 0x0001,
    SHIELD_ATTR_MI = 0x0008,
    SHIELD_ATTR_MI256 = 0x001c,
    SHIELD_ATTR_FINGERPRINT = 0x8028,
    SHIELD_MI = 4 + 20, /* attributes, whole */
    SHIELD_MI256 = 4 + 32,
    SHIELD_FINGERPRINT = 4 + 4,
    SHIELD_DTLS_HEAD = 13, /* RFC 6347 section 4.1 */
    SHIELD_DTLS_BODY_MAX = 16384 + 2048,
    SHIELD_DTLS_FIRST = 20, /* content types */
    SHIELD_DTLS_LAST = 23,
    SHIELD_DTLS_MAJOR = 0xfe,
};

#define SHIELD_COOKIE 0x2112a442U

/* RFC 8489 section 5. */
struct shield_stun {
    __be16 type;
    __be16 len;
    __be32 cookie;
    __be32 tid[3];
};

/* Does an attribute of `type` whose value has `len` bytes begin at `at`? */
static __always_inline bool shield_attr_at(void *data, void *data_end, __u32 at, __u16 type,
                                           __u16 len)
{
    const __be16 *attr = data + (at & SHIELD_STUN_LEN_MAX);

    return (void *)(attr + 2) <= data_end && attr[0] == bpf_htons(type) &&
           attr[1] == bpf_htons(len);
}

/* Credentials show at the end: an integrity attribute is the last, or a FINGERPRINT follows it
 * (RFC 8489 sections 14.5 to 14.7). */
static __always_inline bool shield_has_integrity(void *data, void *data_end, const struct packet *p)
{
    __u32 end = packet_head(p) + p->len;

    if (p->len > SHIELD_STUN_LEN_MAX - PACKET_HEAD6 || p->len < SHIELD_STUN_HEAD + SHIELD_MI) {
        return false;
    }
    if (shield_attr_at(data, data_end, end - SHIELD_FINGERPRINT, SHIELD_ATTR_FINGERPRINT,
                       SHIELD_FINGERPRINT - 4)) {
        end -= SHIELD_FINGERPRINT;
    }
    return shield_attr_at(data, data_end, end - SHIELD_MI, SHIELD_ATTR_MI, SHIELD_MI - 4) ||
           shield_attr_at(data, data_end, end - SHIELD_MI256, SHIELD_ATTR_MI256, SHIELD_MI256 - 4);
}

/* Without magic cookie: a Binding request of RFC 3489 (turn/classic.c), or nobody's. */
static __always_inline __u32 shield_classic_kind(const struct shield_stun *stun,
                                                 const struct packet *p, __u32 takes)
{
    return (takes & SHIELD_TAKE_CLASSIC) != 0 && stun->type == bpf_htons(SHIELD_TYPE_BINDING) &&
                   (p->len & 3) == 0 && bpf_ntohs(stun->len) + SHIELD_STUN_HEAD == p->len
               ? SHIELD_FIRST
               : SHIELD_OF_NOBODY;
}

/* A request, an indication or response, or no STUN message at all. */
static __always_inline __u32 shield_stun_kind(void *data, void *data_end, const struct packet *p,
                                              __u32 takes)
{
    const struct shield_stun *stun = data + packet_head(p);

    if ((void *)(stun + 1) > data_end) {
        return SHIELD_OF_NOBODY;
    }
    if (stun->cookie != bpf_htonl(SHIELD_COOKIE)) {
        return shield_classic_kind(stun, p, takes);
    }
    /* More than one message: merged by the stack, and user space will see them one by one. */
    if ((stun->type & bpf_htons(SHIELD_CLASS)) != 0 || (p->len & 3) != 0 ||
        bpf_ntohs(stun->len) + SHIELD_STUN_HEAD != p->len) {
        return SHIELD_OF_CLIENTS;
    }
    if (stun->type == bpf_htons(SHIELD_TYPE_BINDING)) {
        return SHIELD_BINDING;
    }
    return shield_has_integrity(data, data_end, p) ? SHIELD_SECOND : SHIELD_FIRST;
}

/* Does it begin with a whole record? */
static __always_inline bool shield_is_dtls(void *data, void *data_end, const struct packet *p)
{
    const __u8 *record = data + packet_head(p);

    if ((void *)(record + SHIELD_DTLS_HEAD) > data_end || p->len <= SHIELD_DTLS_HEAD) {
        return false;
    }
    const __u32 body = (__u32)record[11] << 8 | record[12];
    return record[0] >= SHIELD_DTLS_FIRST && record[0] <= SHIELD_DTLS_LAST &&
           record[1] == SHIELD_DTLS_MAJOR && body != 0 && body <= SHIELD_DTLS_BODY_MAX &&
           body <= p->len - SHIELD_DTLS_HEAD;
}

/* What a datagram is to a listener that `takes` (enum shield_take) this and that. */
static __always_inline __u32 shield_kind(void *data, void *data_end, const struct packet *p,
                                         __u32 takes)
{
    const __u8 *first = data + packet_head(p);

    if ((void *)(first + 1) > data_end || p->len == 0) {
        return SHIELD_OF_NOBODY;
    }
    if ((takes & SHIELD_TAKE_PLAIN) != 0 && *first <= SHIELD_STUN_LAST) {
        return shield_stun_kind(data, data_end, p, takes);
    }
    if ((takes & SHIELD_TAKE_PLAIN) != 0 && *first >= SHIELD_CHANNEL_FIRST &&
        *first <= SHIELD_CHANNEL_LAST) {
        return SHIELD_OF_CLIENTS;
    }
    return (takes & SHIELD_TAKE_DTLS) != 0 && shield_is_dtls(data, data_end, p) ? SHIELD_DTLS
                                                                                : SHIELD_OF_NOBODY;
}
