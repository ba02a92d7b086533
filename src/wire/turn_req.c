/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/turn_req.h"

#include <errno.h>
#include <stddef.h>

#include "wire/stun_addr.h"

enum {
    STRING_MAX = 763, /* octets that we must be able to parse (RFC 8489 section 14.3) */
    ANY_LENGTH = 65535,
    RESERVE_BIT = 0x80,
};

/* Put one well-formed value into the request.  Returns false when its form is bad after all. */
typedef bool (*set_fn)(struct turn_req *req, struct bytes value);

static bool set_username(struct turn_req *req, struct bytes value)
{
    req->username = value;
    return true;
}

static bool set_userhash(struct turn_req *req, struct bytes value)
{
    req->userhash = value;
    return true;
}

static bool set_realm(struct turn_req *req, struct bytes value)
{
    req->realm = value;
    return true;
}

static bool set_nonce(struct turn_req *req, struct bytes value)
{
    req->nonce = value;
    return true;
}

static bool set_mi(struct turn_req *req, struct bytes value)
{
    req->mi = value;
    return true;
}

static bool set_mi256(struct turn_req *req, struct bytes value)
{
    req->mi256 = value;
    return value.n % 4 == 0;
}

static bool set_fingerprint(struct turn_req *req, struct bytes value)
{
    req->fingerprint = value;
    return true;
}

static bool set_algorithm(struct turn_req *req, struct bytes value)
{
    const size_t params = be16(value.p + 2);

    req->password_algorithm = be16(value.p);
    req->password_algorithm_params = params > 0;
    return value.n == 4 + ((params + 3) & ~(size_t)3);
}

static bool set_algorithms(struct turn_req *req, struct bytes value)
{
    req->password_algorithms = value;
    return true;
}

static bool set_channel(struct turn_req *req, struct bytes value)
{
    req->channel = be16(value.p); /* RFFU ignored */
    return true;
}

static bool set_lifetime(struct turn_req *req, struct bytes value)
{
    req->lifetime_s = be32(value.p);
    return true;
}

static bool set_peer(struct turn_req *req, struct bytes value)
{
    return stun_addr_decode_xor(value, req->msg.tid, &req->peer) == 0;
}

static bool set_data(struct turn_req *req, struct bytes value)
{
    req->data = value;
    return true;
}

static bool set_family(struct turn_req *req, struct bytes value)
{
    req->family = value.p[0]; /* the reserved 24 bits are ignored */
    return true;
}

static bool set_additional_family(struct turn_req *req, struct bytes value)
{
    req->additional_family = value.p[0];
    return true;
}

static bool set_even_port(struct turn_req *req, struct bytes value)
{
    req->even_port_reserve = (value.p[0] & RESERVE_BIT) != 0;
    return true;
}

static bool set_transport(struct turn_req *req, struct bytes value)
{
    req->transport = value.p[0]; /* RFFU ignored */
    return true;
}

static bool set_token(struct turn_req *req, struct bytes value)
{
    req->reservation_token = be64(value.p);
    return true;
}

static bool set_counter(struct turn_req *req, struct bytes value)
{
    req->transmit_count = value.p[2];
    return true;
}

static bool set_connection_id(struct turn_req *req, struct bytes value)
{
    req->connection_id = be32(value.p);
    return true;
}

static bool set_ticket(struct turn_req *req, struct bytes value)
{
    req->ticket = value;
    return true;
}

static bool set_access_token(struct turn_req *req, struct bytes value)
{
    req->token = value;
    return true;
}

static bool set_origin(struct turn_req *req, struct bytes value)
{
    req->origin = value;
    return true;
}

static bool set_change(struct turn_req *req, struct bytes value)
{
    req->change = be32(value.p) & (TURN_CHANGE_IP | TURN_CHANGE_PORT);
    return true;
}

/* RFC 5780 section 7.5: 16 bits "followed by 2 bytes of padding", which some count and some do
 * not. */
static bool set_response_port(struct turn_req *req, struct bytes value)
{
    req->response_port = be16(value.p);
    return value.n != 3;
}

static bool set_padding(struct turn_req *req, struct bytes value)
{
    req->padding = (uint16_t)value.n;
    return true;
}

static bool set_nothing(struct turn_req *req, struct bytes value)
{
    (void)req;
    (void)value;
    return true;
}

/* What we know, by type: lengths that are well-formed and where the value goes.  A row without a
 * presence bit is known but never expected from a client: it is ignored. */
static const struct attr_row {
    uint16_t type;
    uint16_t min;
    uint16_t max;
    uint32_t has;
    set_fn set;
} rows[] = {
    {STUN_MAPPED_ADDRESS, 0, ANY_LENGTH, 0, set_nothing},
    {STUN_CHANGE_REQUEST, 4, 4, HAS_CHANGE_REQUEST, set_change},
    {STUN_USERNAME, 0, STRING_MAX, HAS_USERNAME, set_username},
    {STUN_MESSAGE_INTEGRITY, STUN_MI_LEN, STUN_MI_LEN, HAS_MI, set_mi},
    {STUN_ERROR_CODE, 0, ANY_LENGTH, 0, set_nothing},
    {STUN_UNKNOWN_ATTRIBUTES, 0, ANY_LENGTH, 0, set_nothing},
    {STUN_CHANNEL_NUMBER, 4, 4, HAS_CHANNEL_NUMBER, set_channel},
    {STUN_LIFETIME, 4, 4, HAS_LIFETIME, set_lifetime},
    {STUN_XOR_PEER_ADDRESS, 8, 20, HAS_XOR_PEER_ADDRESS, set_peer},
    {STUN_DATA_ATTR, 0, ANY_LENGTH, HAS_DATA, set_data},
    {STUN_REALM, 0, STRING_MAX, HAS_REALM, set_realm},
    {STUN_NONCE, 0, STRING_MAX, HAS_NONCE, set_nonce},
    {STUN_XOR_RELAYED_ADDRESS, 0, ANY_LENGTH, 0, set_nothing},
    {STUN_REQUESTED_ADDRESS_FAMILY, 4, 4, HAS_REQUESTED_ADDRESS_FAMILY, set_family},
    {STUN_EVEN_PORT, 1, 1, HAS_EVEN_PORT, set_even_port},
    {STUN_REQUESTED_TRANSPORT, 4, 4, HAS_REQUESTED_TRANSPORT, set_transport},
    {STUN_DONT_FRAGMENT, 0, 0, HAS_DONT_FRAGMENT, set_nothing},
    {STUN_ACCESS_TOKEN, 0, ANY_LENGTH, HAS_ACCESS_TOKEN, set_access_token},
    {STUN_MESSAGE_INTEGRITY_SHA256, 16, STUN_MI256_LEN, HAS_MI256, set_mi256},
    {STUN_PASSWORD_ALGORITHM, 4, STRING_MAX, HAS_PASSWORD_ALGORITHM, set_algorithm},
    {STUN_USERHASH, 32, 32, HAS_USERHASH, set_userhash},
    {STUN_XOR_MAPPED_ADDRESS, 0, ANY_LENGTH, 0, set_nothing},
    {STUN_RESERVATION_TOKEN, 8, 8, HAS_RESERVATION_TOKEN, set_token},
    {STUN_PADDING, 0, ANY_LENGTH, HAS_PADDING, set_padding},
    {STUN_RESPONSE_PORT, 2, 4, HAS_RESPONSE_PORT, set_response_port},
    {STUN_CONNECTION_ID, 4, 4, HAS_CONNECTION_ID, set_connection_id},
    {STUN_ADDITIONAL_ADDRESS_FAMILY, 4, 4, HAS_ADDITIONAL_ADDRESS_FAMILY, set_additional_family},
    {STUN_PASSWORD_ALGORITHMS, 0, ANY_LENGTH, HAS_PASSWORD_ALGORITHMS, set_algorithms},
    {STUN_TRANSACTION_TRANSMIT_COUNTER, 4, 4, HAS_TRANSMIT_COUNTER, set_counter},
    {STUN_FINGERPRINT, 4, 4, HAS_FINGERPRINT, set_fingerprint},
    {STUN_ORIGIN, 0, ANY_LENGTH, HAS_ORIGIN, set_origin},
    {STUN_MOBILITY_TICKET, 0, ANY_LENGTH, HAS_MOBILITY_TICKET, set_ticket},
};

static const struct attr_row *row_of(uint16_t type)
{
    size_t low = 0;
    size_t high = ARRAY_SIZE(rows);

    while (low < high) { /* the table is sorted by type */
        const size_t middle = (low + high) / 2;
        if (rows[middle].type < type) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < ARRAY_SIZE(rows) && rows[low].type == type ? &rows[low] : NULL;
}

static void note_unknown(struct turn_req *req, uint16_t type)
{
    for (uint8_t i = 0; i < req->unknown_count; i++) {
        if (req->unknown[i] == type) {
            return;
        }
    }
    if (req->unknown_count < TURN_REQ_MAX_UNKNOWN) {
        req->unknown[req->unknown_count++] = type;
    }
}

/* RFC 8489 section 9: after MESSAGE-INTEGRITY only the other integrity and FINGERPRINT count, after
 * MESSAGE-INTEGRITY-SHA256 only FINGERPRINT, and after that nothing. */
static bool counts(const struct turn_req *req, uint16_t type)
{
    const uint32_t seen = req->has | req->bad;

    if (type == STUN_FINGERPRINT) {
        return true;
    }
    if ((seen & HAS_MI256) != 0) {
        return false;
    }
    return (seen & HAS_MI) == 0 || type == STUN_MESSAGE_INTEGRITY_SHA256;
}

static void decode_attr(struct turn_req *req, const struct stun_attr *attr)
{
    const struct attr_row *row = row_of(attr->type);

    if (row == NULL) {
        if (attr->type < 0x8000) { /* comprehension-required */
            note_unknown(req, attr->type);
        }
        return;
    }
    if (((req->has | req->bad) & row->has) != 0) {
        return; /* RFC 8489 section 14: the first of a kind wins */
    }
    if (attr->value.n >= row->min && attr->value.n <= row->max && row->set(req, attr->value)) {
        req->has |= row->has;
    } else {
        req->bad |= row->has;
        if (row->has == HAS_MI256) {
            req->mi256 = attr->value; /* its length is judged with the credentials */
        }
    }
}

/* Attributes that may be repeated: from the first to the end of the last one. */
static void span_to(struct bytes *span, const uint8_t *at, const uint8_t *end)
{
    if (span->p == NULL) {
        span->p = at;
    }
    span->n = (size_t)(end - span->p);
}

void turn_req_decode(const struct stun_msg *msg, struct turn_req *out)
{
    struct bytes rest = msg->body;
    struct stun_attr attr;
    int step;

    memset(out, 0, offsetof(struct turn_req, unknown));
    out->msg = *msg;
    while (((out->has | out->bad) & HAS_FINGERPRINT) == 0) {
        const uint8_t *at = rest.p;
        step = stun_attr_next(&rest, &attr);
        if (step <= 0) {
            out->overrun = step < 0;
            break;
        }
        if (!counts(out, attr.type)) {
            continue;
        }
        if (attr.type == STUN_XOR_PEER_ADDRESS) {
            span_to(&out->peers, at, rest.p);
        } else if (attr.type == STUN_ORIGIN) {
            span_to(&out->origins, at, rest.p);
        }
        decode_attr(out, &attr);
    }
}

void turn_req_disown(struct turn_req *req, uint32_t has)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if ((rows[i].has & has & (req->has | req->bad)) != 0) {
            note_unknown(req, rows[i].type);
        }
    }
    req->has &= ~has;
    req->bad &= ~has;
}

bool turn_req_next_origin(struct bytes *rest, struct bytes *out)
{
    struct stun_attr attr;

    while (rest->n > 0 && stun_attr_next(rest, &attr) > 0) {
        if (attr.type == STUN_ORIGIN) {
            *out = attr.value;
            return true;
        }
    }
    return false;
}

int turn_req_next_peer(const struct turn_req *req, struct bytes *rest, struct net_addr *out)
{
    struct stun_attr attr;

    while (rest->n > 0) {
        if (stun_attr_next(rest, &attr) < 0) {
            return -EBADMSG;
        }
        if (attr.type == STUN_XOR_PEER_ADDRESS) {
            return stun_addr_decode_xor(attr.value, req->msg.tid, out) < 0 ? -EBADMSG : 1;
        }
    }
    return 0;
}

int turn_req_next_algorithm(struct bytes *rest, uint16_t *out_number, struct bytes *out_params)
{
    struct stun_attr entry; /* number, length, parameters, padding: the form of an attribute */

    const int step = stun_attr_next(rest, &entry);
    if (step > 0) {
        *out_number = entry.type;
        *out_params = entry.value;
    }
    return step;
}
