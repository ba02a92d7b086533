/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 6347 section 4.1 and section 4.2.2:
 *
 *    struct {                              struct {
 *      ContentType type;            1        HandshakeType msg_type;     1
 *      ProtocolVersion version;     2        uint24 length;              3
 *      uint16 epoch;                2        uint16 message_seq;         2
 *      uint48 sequence_number;      6        uint24 fragment_offset;     3
 *      uint16 length;               2        uint24 fragment_length;     3
 *      opaque fragment[length];              opaque body[fragment_length];
 *    } DTLSPlaintext;                      } Handshake; */
#include "io/dtls_record.h"

#include <stddef.h>

enum {
    VERSION_MAJOR = 0xfe,
    CLIENT_HELLO = 1,
    MESSAGE_HEAD = 12,
    VERSION_BYTES = 2,
    ALERT_BYTES = 2,
    /* ClientHello (0 or 1), Certificate, ClientKeyExchange, CertificateVerify, Finished. */
    MESSAGE_SEQ_MAX = 5,
};

struct message {
    uint8_t type;
    uint16_t seq;
    uint32_t len;
    uint32_t offset;
    uint32_t part; /* bytes of it that are here */
};

static uint16_t read_16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t read_24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

bool dtls_record_next(const uint8_t *data, uint32_t n, struct dtls_record *out)
{
    if (n < DTLS_RECORD_HEAD || data[1] != VERSION_MAJOR || data[0] < DTLS_CHANGE_CIPHER_SPEC ||
        data[0] > DTLS_APPLICATION) {
        return false;
    }
    const uint32_t body = read_16(data + 11);
    if (body == 0 || body > DTLS_RECORD_BODY_MAX || body > n - DTLS_RECORD_HEAD) {
        return false;
    }
    *out = (struct dtls_record){
        .data = data,
        .len = DTLS_RECORD_HEAD + body,
        .type = data[0],
        .epoch = read_16(data + 3),
    };
    return true;
}

/* The handshake message, or the part of one, at the start of `n` bytes. */
static bool message_read(const uint8_t *p, uint32_t n, struct message *out)
{
    if (n < MESSAGE_HEAD) {
        return false;
    }
    *out = (struct message){
        .type = p[0],
        .seq = read_16(p + 4),
        .len = read_24(p + 1),
        .offset = read_24(p + 6),
        .part = read_24(p + 9),
    };
    return out->part <= n - MESSAGE_HEAD && out->offset + out->part <= out->len;
}

const uint8_t *dtls_record_client_random(const struct dtls_record *r)
{
    const uint8_t *body = r->data + DTLS_RECORD_HEAD;
    struct message m;

    if (r->type != DTLS_HANDSHAKE || r->epoch != 0 ||
        !message_read(body, r->len - DTLS_RECORD_HEAD, &m) || m.type != CLIENT_HELLO ||
        m.offset != 0 || m.part < VERSION_BYTES + DTLS_RANDOM) {
        return NULL;
    }
    return body + MESSAGE_HEAD + VERSION_BYTES;
}

static bool messages_fit(const uint8_t *p, uint32_t n, uint32_t message_max)
{
    struct message m;

    while (n > 0) {
        if (!message_read(p, n, &m) || m.len > message_max || m.seq > MESSAGE_SEQ_MAX) {
            return false;
        }
        p += MESSAGE_HEAD + m.part;
        n -= MESSAGE_HEAD + m.part;
    }
    return true;
}

bool dtls_record_fits_handshake(const struct dtls_record *r, uint32_t message_max)
{
    const uint8_t *body = r->data + DTLS_RECORD_HEAD;
    const uint32_t n = r->len - DTLS_RECORD_HEAD;

    if (r->epoch != 0) {
        return false;
    }
    switch (r->type) {
    case DTLS_HANDSHAKE:
        return messages_fit(body, n, message_max);
    case DTLS_ALERT:
        return n == ALERT_BYTES;
    case DTLS_CHANGE_CIPHER_SPEC:
        return n == 1 && body[0] == 1;
    default:
        return false;
    }
}
