/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/proxy_header.h"

#include <errno.h>
#include <string.h>

/* Version 2, "The PROXY protocol" section 2.2:
 *
 *     0       12      13      14       16
 *     +-------+-------+-------+--------+-----------------------------------------+------+
 *     | magic | 2|cmd | fam|tp| length | source, destination, their ports        | TLVs |
 *     +-------+-------+-------+--------+-----------------------------------------+------+
 *
 * Version 1, section 2.1:  PROXY TCP4 192.0.2.1 198.51.100.1 56324 3478 CR LF */
enum {
    MAGIC_LEN = 12,
    VERSION_AT = 12,
    FAMILY_AT = 13,
    LENGTH_AT = 14,

    LOCAL_2 = 0x20, /* version in the upper half of its byte, command in the lower */
    PROXY_2 = 0x21,

    FAMILY_INET = 1, /* upper half; the transport is the lower */
    FAMILY_INET6 = 2,
    FAMILY_MAX = 3, /* AF_UNIX */
    TRANSPORT_UNSPEC = 0,
    TRANSPORT_STREAM = 1,
    TRANSPORT_DGRAM = 2,

    TLV_HEAD = 3,
    TLV_SSL = 0x20,
    SSL_LEN = 5, /* flags, then four bytes that say whether a certificate was verified */
    SSL_CLIENT = 0x01,

    V1_WORD_MAX = 46, /* the longest IPv6 address in text, and its end */
};

static const uint8_t magic[MAGIC_LEN] = "\r\n\r\n\0\r\nQUIT\n";
static const uint8_t v1_word[6] = {'P', 'R', 'O', 'X', 'Y', ' '};

/* All that has come of the first `n` bytes is as in `start`. */
static bool begins_like(struct bytes in, const uint8_t *start, size_t n)
{
    return memcmp(in.p, start, in.n < n ? in.n : n) == 0;
}

/* --- version 1 ----------------------------------------------------------------------------------
 */

/* Take one space and the word behind it.  0 or -EBADMSG. */
static int take_word(struct bytes *line, char out[V1_WORD_MAX])
{
    size_t n = 0;

    if (line->n == 0 || line->p[0] != ' ') {
        return -EBADMSG;
    }
    while (1 + n < line->n && line->p[1 + n] != ' ') {
        const uint8_t c = line->p[1 + n];
        if (c < 0x21 || c > 0x7E || n + 1 == V1_WORD_MAX) {
            return -EBADMSG;
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
    *line = (struct bytes){line->p + 1 + n, line->n - 1 - n};
    return 0;
}

/* An address in the notation of the line's family and no other. */
static int take_ip(struct bytes *line, bool v4, struct net_ip *out)
{
    char word[V1_WORD_MAX];

    if (take_word(line, word) < 0 || (strchr(word, ':') == NULL) != v4) {
        return -EBADMSG;
    }
    return net_ip_parse(word, out);
}

/* 0 to 65535 without leading zeros. */
static int take_port(struct bytes *line, uint16_t *out)
{
    char word[V1_WORD_MAX];
    uint32_t value = 0;

    if (take_word(line, word) < 0 || word[0] == '\0' || (word[0] == '0' && word[1] != '\0')) {
        return -EBADMSG;
    }
    for (const char *c = word; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return -EBADMSG;
        }
        value = value * 10 + (uint32_t)(*c - '0');
        if (value > UINT16_MAX) {
            return -EBADMSG;
        }
    }
    *out = (uint16_t)value;
    return 0;
}

/* What stands between "PROXY" and CR LF. */
static int v1_line(struct bytes line, struct proxy_header *h)
{
    char word[V1_WORD_MAX];
    struct net_ip ip[2];
    uint16_t port[2];

    if (take_word(&line, word) < 0) {
        return -EBADMSG;
    }
    if (strcmp(word, "UNKNOWN") == 0) { /* the rest is for nobody */
        h->local = true;
        return 0;
    }
    const bool v4 = strcmp(word, "TCP4") == 0;
    if ((!v4 && strcmp(word, "TCP6") != 0) || take_ip(&line, v4, &ip[0]) < 0 ||
        take_ip(&line, v4, &ip[1]) < 0 || take_port(&line, &port[0]) < 0 ||
        take_port(&line, &port[1]) < 0 || line.n != 0) {
        return -EBADMSG;
    }
    h->source = net_addr_make(&ip[0], port[0]);
    h->destination = net_addr_make(&ip[1], port[1]);
    return 0;
}

static int v1_decode(struct bytes in, struct proxy_header *h)
{
    const uint8_t *end = memchr(in.p, '\n', in.n < PROXY_V1_MAX ? in.n : PROXY_V1_MAX);

    if (end == NULL) {
        return in.n < PROXY_V1_MAX ? -EAGAIN : -EBADMSG;
    }
    /* The first six bytes have matched and hold no LF: there is a byte before this one. */
    if (end[-1] != '\r') {
        return -EBADMSG;
    }
    const uint8_t *words = in.p + sizeof(v1_word) - 1; /* from the space on */
    h->len = (uint32_t)(end + 1 - in.p);
    return v1_line((struct bytes){words, (size_t)(end - 1 - words)}, h);
}

/* --- version 2 ----------------------------------------------------------------------------------
 */

/* `block` is addresses of `n` bytes and ports. */
static int v2_addresses(struct bytes *block, size_t n, struct proxy_header *h)
{
    struct bytes source;
    struct bytes destination;
    struct bytes ports;
    struct net_ip ip[2];

    if (bytes_take(block, n, &source) < 0 || bytes_take(block, n, &destination) < 0 ||
        bytes_take(block, 4, &ports) < 0) {
        return -EBADMSG;
    }
    if (n == 4) {
        ip[0] = net_ip_v4(source.p);
        ip[1] = net_ip_v4(destination.p);
    } else {
        memcpy(ip[0].b, source.p, sizeof(ip[0].b));
        memcpy(ip[1].b, destination.p, sizeof(ip[1].b));
    }
    h->source = net_addr_make(&ip[0], be16(ports.p));
    h->destination = net_addr_make(&ip[1], be16(ports.p + 2));
    return 0;
}

/* Every extension must be whole; of their contents only TLS counts. */
static int v2_extensions(struct bytes rest, struct proxy_header *h)
{
    while (rest.n > 0) {
        struct bytes head;
        struct bytes value;
        if (bytes_take(&rest, TLV_HEAD, &head) < 0 ||
            bytes_take(&rest, be16(head.p + 1), &value) < 0) {
            return -EBADMSG;
        }
        if (head.p[0] == TLV_SSL) {
            if (value.n < SSL_LEN) {
                return -EBADMSG;
            }
            h->tls = (value.p[0] & SSL_CLIENT) != 0;
        }
    }
    return 0;
}

/* A family or transport that we do not know by address counts as unknown (section 2.2: "fall back
 * to the UNSPEC mode"), one that does not exist is an error. */
static int v2_block(uint8_t kind, struct bytes block, struct proxy_header *h)
{
    const unsigned family = kind >> 4;
    const unsigned transport = kind & 0x0F;

    if (family > FAMILY_MAX || transport > TRANSPORT_DGRAM) {
        return -EBADMSG;
    }
    h->datagram = transport == TRANSPORT_DGRAM;
    if ((family != FAMILY_INET && family != FAMILY_INET6) || transport == TRANSPORT_UNSPEC) {
        h->local = true;
        return 0;
    }
    const int err = v2_addresses(&block, family == FAMILY_INET ? 4 : 16, h);
    return err < 0 ? err : v2_extensions(block, h);
}

static int v2_decode(struct bytes in, struct proxy_header *h)
{
    if (in.n > VERSION_AT && in.p[VERSION_AT] != PROXY_2 && in.p[VERSION_AT] != LOCAL_2) {
        return -EBADMSG;
    }
    if (in.n < PROXY_V2_HEAD) {
        return -EAGAIN;
    }
    const size_t block = be16(in.p + LENGTH_AT);
    if (block > PROXY_V2_MAX - PROXY_V2_HEAD) {
        return -EBADMSG;
    }
    if (in.n < PROXY_V2_HEAD + block) {
        return -EAGAIN;
    }
    h->len = (uint32_t)(PROXY_V2_HEAD + block);
    if (in.p[VERSION_AT] == LOCAL_2) { /* all that follows is ignored */
        h->local = true;
        return 0;
    }
    return v2_block(in.p[FAMILY_AT], (struct bytes){in.p + PROXY_V2_HEAD, block}, h);
}

int proxy_header_decode(struct bytes in, struct proxy_header *out)
{
    struct proxy_header h = {0};
    int err = -EBADMSG;

    if (in.n == 0) {
        return -EAGAIN;
    }
    if (begins_like(in, magic, sizeof(magic))) {
        err = v2_decode(in, &h);
    } else if (begins_like(in, v1_word, sizeof(v1_word))) {
        err = v1_decode(in, &h);
    }
    if (err == 0) {
        *out = h;
    }
    return err;
}

/* --- writing ------------------------------------------------------------------------------------
 */

static void put_addresses(struct writer *w, const struct proxy_header *h, bool v4)
{
    const size_t skip = v4 ? 12 : 0; /* IPv4 lies at the end of a mapped address */

    writer_put(w, h->source.ip.b + skip, sizeof(h->source.ip.b) - skip);
    writer_put(w, h->destination.ip.b + skip, sizeof(h->destination.ip.b) - skip);
    writer_be16(w, h->source.port);
    writer_be16(w, h->destination.port);
}

static void put_block(struct writer *w, const struct proxy_header *h)
{
    const bool v4 = net_ip_is_v4(&h->source.ip) && net_ip_is_v4(&h->destination.ip);
    const unsigned transport = h->datagram ? TRANSPORT_DGRAM : TRANSPORT_STREAM;
    const unsigned family = v4 ? FAMILY_INET : FAMILY_INET6;

    writer_u8(w, PROXY_2);
    writer_u8(w, (uint8_t)(family << 4 | transport));
    writer_be16(w, (uint16_t)((v4 ? 12 : 36) + (h->tls ? TLV_HEAD + SSL_LEN : 0)));
    put_addresses(w, h, v4);
    if (h->tls) {
        writer_u8(w, TLV_SSL);
        writer_be16(w, SSL_LEN);
        writer_u8(w, SSL_CLIENT);
        writer_be32(w, 1); /* no certificate of the client was verified */
    }
}

int proxy_header_encode(const struct proxy_header *header, uint8_t *out, size_t cap)
{
    struct writer w = writer_over(out, cap);

    writer_put(&w, magic, sizeof(magic));
    if (header->local) {
        writer_u8(&w, LOCAL_2);
        writer_zero(&w, 3); /* no family, no address */
    } else {
        put_block(&w, header);
    }
    return w.full ? -ENOBUFS : (int)w.len;
}
