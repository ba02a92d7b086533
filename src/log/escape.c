/* SPDX-License-Identifier: Apache-2.0 */
#include "log/escape.h"

/* RFC 3629 section 4, by first byte: size of the sequence and the range of its second byte, which
 * is what keeps overlong forms, surrogates and numbers above U+10FFFF out. */
struct lead {
    uint8_t first, last;
    uint8_t size;
    uint8_t second_min, second_max;
};

static const struct lead leads[] = {
    {0x00, 0x7f, 1, 0x00, 0x00}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

static const struct lead *lead_of(uint8_t byte)
{
    for (size_t i = 0; i < ARRAY_SIZE(leads); i++) {
        if (byte >= leads[i].first && byte <= leads[i].last) {
            return &leads[i];
        }
    }
    return NULL;
}

/* True when the bytes after the first are those of a sequence of `lead`; those that `data` lacks
 * are not looked at. */
static bool tail_fits(struct bytes data, const struct lead *lead)
{
    const size_t n = data.n < lead->size ? data.n : lead->size;

    if (n > 1 && (data.p[1] < lead->second_min || data.p[1] > lead->second_max)) {
        return false;
    }
    for (size_t i = 2; i < n; i++) {
        if ((data.p[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

size_t escape_utf8(struct bytes data, uint32_t *out_char)
{
    const struct lead *lead = data.n > 0 ? lead_of(data.p[0]) : NULL;

    if (lead == NULL || data.n < lead->size || !tail_fits(data, lead)) {
        return 0;
    }
    uint32_t c = lead->size == 1 ? data.p[0] : data.p[0] & (0x7fU >> lead->size);
    for (size_t i = 1; i < lead->size; i++) {
        c = c << 6 | (data.p[i] & 0x3f);
    }
    *out_char = c;
    return lead->size;
}

struct bytes escape_whole(struct bytes data)
{
    for (size_t back = 1; back <= 3 && back <= data.n; back++) {
        const struct bytes end = {data.p + data.n - back, back};
        const struct lead *lead = lead_of(end.p[0]);
        if (lead != NULL) {
            const bool half = lead->size > back && tail_fits(end, lead);
            return (struct bytes){data.p, half ? data.n - back : data.n};
        }
    }
    return data;
}

/* True for what may stand in a line as it is. */
static bool is_harmless(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c <= 0x9f)) {
        return false; /* C0, DEL, C1: they drive terminals and end lines */
    }
    if (c == 0x2028 || c == 0x2029) {
        return false; /* line and paragraph separator */
    }
    /* Bidi_Control (Unicode Standard Annex 9): they show a line in another order. */
    return !(c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
             (c >= 0x2066 && c <= 0x2069));
}

static void put_hex(struct writer *out, struct bytes data)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < data.n; i++) {
        const char text[] = {'\\', 'x', digits[data.p[i] >> 4], digits[data.p[i] & 15]};
        writer_put(out, text, sizeof(text));
    }
}

void escape_text(struct writer *out, struct bytes data)
{
    while (data.n > 0) {
        uint32_t c;
        struct bytes now;
        const size_t size = escape_utf8(data, &c);
        if (bytes_take(&data, size > 0 ? size : 1, &now) < 0) {
            return;
        }
        if (size == 0 || !is_harmless(c)) {
            put_hex(out, now);
            continue;
        }
        if (c == '"' || c == '\\') {
            writer_u8(out, '\\');
        }
        writer_bytes(out, now);
    }
}

void escape_not_utf8(struct writer *out, struct bytes data)
{
    while (data.n > 0) {
        uint32_t c;
        struct bytes now;
        const size_t size = escape_utf8(data, &c);
        if (bytes_take(&data, size > 0 ? size : 1, &now) < 0) {
            return;
        }
        if (size == 0) {
            put_hex(out, now);
        } else {
            writer_bytes(out, now);
        }
    }
}
