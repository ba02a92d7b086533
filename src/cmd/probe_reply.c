/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/probe_reply.h"

#include <errno.h>

#include "wire/stun_addr.h"
#include "wire/stun_code.h"

enum { ERROR_HEAD = 4, U32_LEN = 4 };

static int take_error(struct probe_reply *r, struct bytes value)
{
    const int code = stun_code_decode(value);

    if (code < 0) {
        return code;
    }
    if (r->code == 0) {
        r->code = code;
        r->reason = (struct bytes){value.p + ERROR_HEAD, value.n - ERROR_HEAD};
    }
    return 0;
}

/* Addresses that are not disguised with the cookie. */
static bool is_plain(uint16_t type)
{
    return type == STUN_ALTERNATE_SERVER || type == STUN_RESPONSE_ORIGIN ||
           type == STUN_OTHER_ADDRESS;
}

static int take_addr(struct probe_reply *r, const struct stun_attr *attr, struct net_addr *to)
{
    struct net_addr addr;
    const int err = is_plain(attr->type) ? stun_addr_decode(attr->value, &addr)
                                         : stun_addr_decode_xor(attr->value, r->msg.tid, &addr);

    if (err == 0 && to->family == NET_NONE) {
        *to = addr;
    }
    return err;
}

static int take_integrity(struct bytes value, size_t len, struct bytes *to)
{
    if (value.n != len) {
        return -EBADMSG;
    }
    if (to->n == 0) {
        *to = value;
    }
    return 0;
}

static void take_span(struct bytes value, struct bytes *to)
{
    if (to->p == NULL) {
        *to = value;
    }
}

/* The attributes that carry an address; NULL for another one. */
static struct net_addr *addr_of(struct probe_reply *r, uint16_t type)
{
    switch ((int)type) {
    case STUN_XOR_MAPPED_ADDRESS:
        return &r->mapped;
    case STUN_XOR_RELAYED_ADDRESS:
        return &r->relayed;
    case STUN_XOR_PEER_ADDRESS:
        return &r->peer;
    case STUN_ALTERNATE_SERVER:
        return &r->alternate;
    case STUN_RESPONSE_ORIGIN:
        return &r->origin;
    case STUN_OTHER_ADDRESS:
        return &r->other;
    default:
        return NULL;
    }
}

static struct bytes *span_of(struct probe_reply *r, uint16_t type)
{
    switch ((int)type) {
    case STUN_REALM:
        return &r->realm;
    case STUN_NONCE:
        return &r->nonce;
    case STUN_PASSWORD_ALGORITHMS:
        return &r->algorithms;
    case STUN_SOFTWARE:
        return &r->software;
    case STUN_DATA_ATTR:
        return &r->data;
    case STUN_MOBILITY_TICKET:
        return &r->ticket;
    default:
        return NULL;
    }
}

static int take(struct probe_reply *r, const struct stun_attr *attr)
{
    struct net_addr *addr = addr_of(r, attr->type);
    struct bytes *span = span_of(r, attr->type);

    if (addr != NULL) {
        return take_addr(r, attr, addr);
    }
    if (span != NULL) {
        take_span(attr->value, span);
        return 0;
    }
    switch ((int)attr->type) {
    case STUN_ERROR_CODE:
        return take_error(r, attr->value);
    case STUN_MESSAGE_INTEGRITY:
        return take_integrity(attr->value, STUN_MI_LEN, &r->mi);
    case STUN_MESSAGE_INTEGRITY_SHA256:
        return take_integrity(attr->value, STUN_MI256_LEN, &r->mi256);
    case STUN_LIFETIME:
        if (attr->value.n != U32_LEN) {
            return -EBADMSG;
        }
        r->lifetime_s = be32(attr->value.p);
        return 0;
    default: /* what a client need not know */
        return 0;
    }
}

/* RFC 8489 sections 14.5 and 14.6: what stands behind an integrity attribute does not count. */
static bool counts(const struct probe_reply *r, uint16_t type)
{
    if (r->mi256.n != 0) {
        return false;
    }
    return r->mi.n == 0 || type == STUN_MESSAGE_INTEGRITY_SHA256;
}

int probe_reply_decode(struct bytes datagram, struct probe_reply *out)
{
    struct probe_reply r = {.code = 0};
    struct stun_attr attr;
    int more;

    if (stun_msg_parse(datagram, &r.msg) < 0) {
        return -EBADMSG;
    }
    struct bytes rest = r.msg.body;
    while ((more = stun_attr_next(&rest, &attr)) > 0) {
        if (attr.type == STUN_FINGERPRINT) {
            if (!stun_msg_check_fingerprint(&r.msg, attr.value)) {
                return -EBADMSG;
            }
            r.fingerprint = true;
            break; /* the last attribute (RFC 8489 section 14.7) */
        }
        if (counts(&r, attr.type) && take(&r, &attr) < 0) {
            return -EBADMSG;
        }
    }
    if (more < 0 || (r.msg.class == STUN_ERROR) != (r.code != 0)) {
        return -EBADMSG;
    }
    *out = r;
    return 0;
}
