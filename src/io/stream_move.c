/* SPDX-License-Identifier: Apache-2.0 */
/* From one engine to another: the socket, the state of TLS, and what has been read. */
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/conn_limit.h"
#include "io/stream_int.h"

struct stream_parcel {
    int fd;
    struct stream_tls *tls; /* without anything queued */
    struct conn_limit *shared;
    struct net_addr remote;
    struct net_addr local;
    struct net_ip source;
    bool limited;
    bool proven;
    bool eof;
    uint8_t *kept;
    uint32_t kept_len;
    size_t owner_bytes;
    uint8_t owner[];
};

static bool may_go(const struct stream *s)
{
    return s->state == STREAM_OPEN && s->twin == NULL && !s->blocked && stream_out_done(s) &&
           (s->tls == NULL || (s->tls->established && s->tls->in_len == 0 && /* it stays here */
                               SSL_pending(s->tls->ssl) == 0));
}

struct stream_parcel *stream_detach(struct stream *s, const uint8_t *data, size_t len)
{
    struct streams *e = s->engine;

    if (!may_go(s)) {
        return NULL;
    }
    if (data == NULL) { /* not from inside input(): what is kept is all there is */
        data = s->kept;
        len = s->kept_len;
    }
    struct stream_parcel *p = mem_new(1, sizeof(*p) + e->owner_bytes);
    uint8_t *kept = p != NULL ? mem_new(1, len + 1) : NULL;
    if (kept == NULL) {
        free(p);
        return NULL;
    }
    if (len > 0) {
        memcpy(kept, data, len);
    }
    *p = (struct stream_parcel){
        .fd = s->fd,
        .tls = s->tls,
        .shared = e->shared,
        .remote = s->remote,
        .local = s->local,
        .source = s->source,
        .limited = s->limited,
        .proven = s->proven,
        .eof = s->eof,
        .kept = kept,
        .kept_len = (uint32_t)len,
        .owner_bytes = e->owner_bytes,
    };
    memcpy(p->owner, s->owner, e->owner_bytes);
    loop_remove(e->loop, s->fd);
    if (s->tls != NULL) {
        stats_set(&e->count.tls_established, stats_read(&e->count.tls_established) - 1);
    }
    s->fd = -1;
    s->tls = NULL;
    s->limited = false;
    stream_close(s, false);
    return p;
}

void stream_parcel_free(struct stream_parcel *parcel)
{
    struct stream_parcel *p = parcel;

    if (p == NULL) {
        return;
    }
    if (p->tls != NULL) {
        SSL_free(p->tls->ssl);
        if (p->tls->counted) {
            conn_limit_give_tls(p->shared);
        }
        free(p->tls);
    }
    if (p->limited) {
        conn_limit_give(p->shared, &p->source);
    }
    if (p->fd >= 0) {
        (void)close(p->fd);
    }
    free(p->kept);
    free(p);
}

struct stream *stream_attach(struct streams *e, struct stream_parcel *parcel,
                             const struct stream_handler *handler)
{
    struct stream_parcel *p = parcel;
    struct stream *s = stream_new(e, p->fd, handler);

    if (s == NULL) {
        stream_parcel_free(p);
        return NULL;
    }
    s->state = STREAM_OPEN;
    s->remote = p->remote;
    s->local = p->local;
    s->source = p->source;
    s->limited = p->limited;
    s->proven = p->proven;
    s->eof = p->eof;
    s->tls = p->tls;
    if (s->tls != NULL) {
        BIO_set_data(SSL_get_rbio(s->tls->ssl), s);
        s->tls->owner = s;
        stats_add(&e->count.tls_established, 1);
    }
    memcpy(s->owner, p->owner, p->owner_bytes < e->owner_bytes ? p->owner_bytes : e->owner_bytes);
    p->fd = -1;
    p->tls = NULL;
    p->limited = false;
    if (p->kept_len > 0 && stream_keep(s, p->kept, p->kept_len)) {
        s->again = true;
    }
    stream_parcel_free(p);
    stream_rearm(s);
    stream_wake(s);
    return s;
}
