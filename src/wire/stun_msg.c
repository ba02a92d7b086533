/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/stun_msg.h"

#include <assert.h>
#include <errno.h>

#include "crypto/mac.h"

enum {
    LENGTH_AT = 2,
    COOKIE_AT = 4,
    TID_AT = 8,
    FINGERPRINT_LEN = 4,
};

static const uint32_t fingerprint_xor = 0x5354554E; /* RFC 8489 section 14.7 */

uint16_t stun_type(uint16_t method, enum stun_class class)
{
    /* RFC 8489 section 5: M11-M7 C1 M6-M4 C0 M3-M0 */
    return (uint16_t)((method & 0xF80U) << 2 | (method & 0x070U) << 1 | (method & 0x00FU) |
                      ((unsigned)class & 2U) << 7 | ((unsigned)class & 1U) << 4);
}

int stun_msg_parse(struct bytes datagram, struct stun_msg *out)
{
    if (datagram.n < STUN_HEADER) {
        return -EBADMSG;
    }
    const uint16_t type = be16(datagram.p);
    const uint16_t len = be16(datagram.p + LENGTH_AT);
    if ((type & 0xC000) != 0 || be32(datagram.p + COOKIE_AT) != STUN_COOKIE || (len & 3) != 0 ||
        (size_t)len + STUN_HEADER != datagram.n) {
        return -EBADMSG;
    }
    *out = (struct stun_msg){
        .whole = datagram,
        .body = {datagram.p + STUN_HEADER, len},
        .tid = datagram.p + TID_AT,
        .method = (uint16_t)((type & 0x3E00) >> 2 | (type & 0x00E0) >> 1 | (type & 0x000F)),
        .class = (uint8_t)((type & 0x0100) >> 7 | (type & 0x0010) >> 4),
    };
    return 0;
}

int stun_attr_next(struct bytes *body, struct stun_attr *out)
{
    struct bytes rest = *body;
    struct bytes head;
    struct bytes value;
    struct bytes padding;

    if (rest.n == 0) {
        return 0;
    }
    if (bytes_take(&rest, STUN_ATTR_HEAD, &head) < 0) {
        return -EBADMSG;
    }
    const size_t len = be16(head.p + 2);
    if (bytes_take(&rest, len, &value) < 0 || bytes_take(&rest, -len & 3, &padding) < 0) {
        return -EBADMSG;
    }
    *out = (struct stun_attr){.type = be16(head.p), .value = value};
    *body = rest;
    return 1;
}

/* The header with its length set to `end`, the offset of the end of the attribute that is computed
 * over: received bytes are never rewritten. */
static void header_for(uint8_t out[STUN_HEADER], const uint8_t *whole, size_t end)
{
    memcpy(out, whole, STUN_HEADER);
    be16_put(out + LENGTH_AT, (uint16_t)(end - STUN_HEADER));
}

/* The length of the integrity attribute `type`; 0 for another attribute. */
static size_t integrity_len(uint16_t type)
{
    if (type == STUN_MESSAGE_INTEGRITY) {
        return STUN_MI_LEN;
    }
    return type == STUN_MESSAGE_INTEGRITY_SHA256 ? STUN_MI256_LEN : 0;
}

/* The HMAC of `whole` up to the integrity attribute `type` that stands, or will stand, at `at`. */
static int integrity_of(struct crypto_mac *mac, const uint8_t *whole, size_t at, uint16_t type,
                        struct bytes key, uint8_t out[CRYPTO_SHA256_LEN])
{
    uint8_t header[STUN_HEADER];
    const struct bytes parts[] = {
        {header, sizeof(header)},
        {whole + STUN_HEADER, at - STUN_HEADER},
    };
    header_for(header, whole, at + STUN_ATTR_HEAD + integrity_len(type));
    return type == STUN_MESSAGE_INTEGRITY
               ? crypto_hmac_sha1(mac, key, parts, ARRAY_SIZE(parts), out)
               : crypto_hmac_sha256(mac, key, parts, ARRAY_SIZE(parts), out);
}

int stun_msg_check_mi(struct crypto_mac *mac, const struct stun_msg *msg, struct bytes mi,
                      struct bytes key)
{
    uint8_t expected[CRYPTO_SHA256_LEN];

    assert(mi.p >= msg->body.p + STUN_ATTR_HEAD && mi.p + mi.n <= msg->whole.p + msg->whole.n);
    const size_t at = (size_t)(mi.p - msg->whole.p) - STUN_ATTR_HEAD;
    const uint16_t type = be16(msg->whole.p + at);
    /* The attribute decides, not the length: an MI256 cut to 20 bytes is no MESSAGE-INTEGRITY. */
    if (integrity_len(type) == 0 || mi.n != integrity_len(type)) {
        return -EPERM;
    }
    const int err = integrity_of(mac, msg->whole.p, at, type, key, expected);
    if (err < 0) {
        return err;
    }
    return crypto_equal(expected, mi.p, mi.n) ? 0 : -EPERM;
}

static uint32_t fingerprint_of(const uint8_t *whole, size_t at)
{
    uint8_t header[STUN_HEADER];
    const struct bytes parts[] = {
        {header, sizeof(header)},
        {whole + STUN_HEADER, at - STUN_HEADER},
    };
    header_for(header, whole, at + STUN_ATTR_HEAD + FINGERPRINT_LEN);
    return crypto_crc32(parts, ARRAY_SIZE(parts)) ^ fingerprint_xor;
}

bool stun_msg_check_fingerprint(const struct stun_msg *msg, struct bytes fp)
{
    if (fp.n != FINGERPRINT_LEN) {
        return false;
    }
    assert(fp.p >= msg->body.p + STUN_ATTR_HEAD && fp.p + fp.n <= msg->whole.p + msg->whole.n);
    const size_t at = (size_t)(fp.p - msg->whole.p) - STUN_ATTR_HEAD;
    return fingerprint_of(msg->whole.p, at) == be32(fp.p);
}

void stun_out_begin(struct stun_out *out, uint8_t *buf, size_t cap, uint16_t type,
                    const uint8_t tid[STUN_TID])
{
    out->w = writer_over(buf, cap);
    writer_be16(&out->w, type);
    writer_be16(&out->w, 0);
    writer_be32(&out->w, STUN_COOKIE);
    writer_put(&out->w, tid, STUN_TID);
}

void stun_out_attr(struct stun_out *out, uint16_t type, struct bytes value)
{
    if (value.n > UINT16_MAX) {
        out->w.full = true;
        return;
    }
    writer_be16(&out->w, type);
    writer_be16(&out->w, (uint16_t)value.n);
    writer_bytes(&out->w, value);
    writer_zero(&out->w, -value.n & 3);
}

void stun_out_u32(struct stun_out *out, uint16_t type, uint32_t value)
{
    uint8_t bytes[4];

    be32_put(bytes, value);
    stun_out_attr(out, type, (struct bytes){bytes, sizeof(bytes)});
}

static int put_integrity(struct stun_out *out, struct crypto_mac *mac, struct bytes key,
                         uint16_t type)
{
    const size_t len = integrity_len(type);
    uint8_t value[CRYPTO_SHA256_LEN];

    if (out->w.full || out->w.len + STUN_ATTR_HEAD + len > UINT16_MAX) {
        out->w.full = true;
        return 0;
    }
    const int err = integrity_of(mac, out->w.p, out->w.len, type, key, value);
    if (err == 0) {
        stun_out_attr(out, type, (struct bytes){value, len});
    }
    return err;
}

int stun_out_mi(struct stun_out *out, struct crypto_mac *mac, struct bytes key)
{
    return put_integrity(out, mac, key, STUN_MESSAGE_INTEGRITY);
}

int stun_out_mi256(struct stun_out *out, struct crypto_mac *mac, struct bytes key)
{
    return put_integrity(out, mac, key, STUN_MESSAGE_INTEGRITY_SHA256);
}

void stun_out_fingerprint(struct stun_out *out)
{
    if (!out->w.full) {
        stun_out_u32(out, STUN_FINGERPRINT, fingerprint_of(out->w.p, out->w.len));
    }
}

int stun_out_end(struct stun_out *out)
{
    if (out->w.full || out->w.len - STUN_HEADER > UINT16_MAX) {
        return -ENOBUFS;
    }
    be16_put(out->w.p + LENGTH_AT, (uint16_t)(out->w.len - STUN_HEADER));
    return (int)out->w.len;
}
