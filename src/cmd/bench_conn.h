/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection to the server, with or without TLS.
 *
 * Owner   the client that it belongs to.  Thread  one. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/net_addr.h"

enum { BENCH_CONN_PENDING = 256 * 1024 }; /* bytes that may wait for a slow server */

struct bench_conn {
    int fd;
    SSL *ssl;
    uint8_t *pending; /* what the kernel did not take; NULL when that never happened */
    uint32_t pending_at;
    uint32_t pending_len;
    uint8_t *carry; /* the beginning of a message whose end has not come; NULL likewise */
    uint32_t carry_len;
    uint32_t carry_cap;
};

/* TLS settings of all connections: the certificates in `ca` (NULL: those of the system), or, with
 * `insecure`, any.  0; -ENOMEM; -EINVAL with `why` (cap bytes). */
MUST_USE int bench_conn_context(const char *ca, bool insecure, SSL_CTX **out, char *why,
                                size_t cap);

/* NULL is allowed. */
void bench_conn_context_free(SSL_CTX *context);

struct bench_conn_options {
    const struct net_addr *server;
    const struct net_addr *local; /* family NET_NONE: the system's choice */
    SSL_CTX *context;             /* NULL: no TLS */
    const char *host;             /* TLS: the name that the certificate must hold */
};

/* Begin to connect.  0 with `*out`; a negative errno. */
MUST_USE int bench_conn_open(const struct bench_conn_options *options, struct bench_conn *out);
void bench_conn_close(struct bench_conn *conn);

/* Go on connecting and shaking hands.  1 done; 0 not yet; a negative errno, -EPROTO when TLS
 * failed, with `why` (cap bytes). */
MUST_USE int bench_conn_advance(struct bench_conn *conn, char *why, size_t cap);

/* Send `n` bytes, all of them or none.  0 taken; -EAGAIN: not taken, earlier ones still wait;
 * -ECONNRESET or another errno: the connection has ended. */
MUST_USE int bench_conn_write(struct bench_conn *conn, const uint8_t *p, uint32_t n);

/* Send what waits.  0; an errno when the connection has ended. */
MUST_USE int bench_conn_flush(struct bench_conn *conn);

/* True when something waits for the kernel to take it. */
static inline bool bench_conn_waits(const struct bench_conn *conn)
{
    return conn->pending_len > 0;
}

/* Read at most `cap` bytes.  How many; 0 none now; -ECONNRESET or another errno when it has ended.
 */
MUST_USE ssize_t bench_conn_read(struct bench_conn *conn, uint8_t *to, size_t cap);

/* Keep `n` bytes for the next time.  0 or -ENOMEM. */
MUST_USE int bench_conn_carry(struct bench_conn *conn, const uint8_t *p, uint32_t n);
