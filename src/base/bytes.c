/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include <errno.h>

int bytes_take(struct bytes *rest, size_t n, struct bytes *out)
{
    if (n > rest->n) {
        return -EBADMSG;
    }
    *out = (struct bytes){rest->p, n};
    if (n > 0) { /* NULL + 0 is undefined */
        rest->p += n;
        rest->n -= n;
    }
    return 0;
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

uint8_t *writer_room(struct writer *w, size_t n)
{
    if (w->full || n > w->cap - w->len) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->p + w->len;
    w->len += n;
    return at;
}

void writer_u8(struct writer *w, uint8_t v)
{
    writer_put(w, &v, 1);
}

void writer_be16(struct writer *w, uint16_t v)
{
    uint8_t *at = writer_room(w, 2);
    if (at != NULL) {
        be16_put(at, v);
    }
}

void writer_be32(struct writer *w, uint32_t v)
{
    uint8_t *at = writer_room(w, 4);
    if (at != NULL) {
        be32_put(at, v);
    }
}

void writer_be64(struct writer *w, uint64_t v)
{
    uint8_t *at = writer_room(w, 8);
    if (at != NULL) {
        be64_put(at, v);
    }
}

void writer_put(struct writer *w, const void *p, size_t n)
{
    uint8_t *at = writer_room(w, n);
    if (at != NULL && n > 0) {
        memcpy(at, p, n);
    }
}

void writer_bytes(struct writer *w, struct bytes b)
{
    writer_put(w, b.p, b.n);
}

void writer_zero(struct writer *w, size_t n)
{
    uint8_t *at = writer_room(w, n);
    if (at != NULL) {
        memset(at, 0, n);
    }
}
