/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of the load generator, plain or TLS.  It is set up blocking; the measured phase
 * reads and writes it without.
 *
 * Owner   whoever opens it.  Thread  one.  What cannot go on exits with a message. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "frame.h"

struct stream_conn {
    int fd;
    SSL *ssl; /* NULL when plain */
};

/* Print `what`, with the errno of now if there is one, and exit. */
_Noreturn void stream_conn_die(const char *what);

/* The generator's client context: one cipher suite and one group, so that every server has the same
 * work; nothing is verified but signatures.  `version`: TLS1_2_VERSION (all that Debian's coturn
 * 4.6.1 speaks) or TLS1_3_VERSION. */
SSL_CTX *stream_conn_context(int version);

/* Connect a socket made here and now (the network namespace counts) to `to` from address `from_ip`.
 * `wait`: until it is connected, with the handshake if `context` is not NULL. */
void stream_conn_open(struct stream_conn *c, uint32_t from_ip, struct endpoint to, SSL_CTX *context,
                      bool wait);

/* From now on reads and writes do not wait. */
void stream_conn_nonblocking(struct stream_conn *c);

/* Go on with connecting and the handshake.  1 when done, 0 to be called again when the socket is
 * ready, -1 when it failed. */
int stream_conn_advance(struct stream_conn *c);

/* Bytes read or written; 0 when it would have to wait; -1 when the connection has ended. */
ssize_t stream_conn_read(struct stream_conn *c, void *p, size_t n);
ssize_t stream_conn_write(struct stream_conn *c, const void *p, size_t n);

/* Read and throw away, as cheaply as it can be. */
ssize_t stream_conn_discard(struct stream_conn *c, void *room, size_t n);

/* Clean end: close_notify under TLS. */
void stream_conn_close(struct stream_conn *c);
