/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for tests of the stream engine: one engine with a listener on 127.0.0.1 and a clock that
 * the test sets, and its clients ("peers"), plain or under OpenSSL, in the same thread.
 *
 * Nothing here sleeps: the kernel is waited for until something is true (STAGE_UNTIL), time passes
 * only in the engine's clock (stage_pass). */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "io/loop.h"
#include "io/stream.h"

enum { STAGE_STREAMS = 64, STAGE_START_MS = 1000000 };

/* Bytes as they come. */
struct stage_bytes {
    uint8_t *data;
    size_t len;
    size_t cap;
};

struct stage {
    struct loop *loop;
    struct streams *streams;
    struct stream_listener listener;
    struct net_addr address; /* of the listener */
    uint64_t now_ms;
    struct stream_handler handler;
    SSL_CTX *tls; /* not NULL: what is accepted is TLS */

    /* What comes in; NULL takes all bytes into `got`. */
    size_t (*input)(struct stage *stage, struct stream *s, uint8_t *data, size_t len);
    void *test;       /* the test's own */
    bool idle_answer; /* of the idle() handler */

    /* What it has seen. */
    struct stream *streams_seen[STAGE_STREAMS]; /* in the order of opened() */
    struct stream *closed_seen[STAGE_STREAMS];  /* in the order of closed(); dangling */
    struct stage_bytes got;
    unsigned opened;
    unsigned inputs;
    unsigned ended;
    unsigned idle;
    unsigned closed;
    enum stream_close why; /* of the last one */
    int error;
};

struct stage_options {
    struct stream_limits limits; /* all zero: the defaults */
    struct conn_limit *shared;
    uint32_t max_streams; /* 0: STAGE_STREAMS */
    size_t owner_bytes;
    int sndbuf; /* SO_SNDBUF of what is accepted; 0: the system's */
};

/* The defaults of stream.h, with 64 MiB in total. */
struct stream_limits stage_limits(void);

/* NULL: the defaults. */
void stage_open(struct stage *stage, const struct stage_options *options);
void stage_close(struct stage *stage);

/* One turn that does not wait; true when something happened or more is to be done. */
bool stage_turn(struct stage *stage);

/* Turns until nothing more happens. */
void stage_settle(struct stage *stage);

/* A turn that waits a little for the kernel. */
void stage_wait(struct stage *stage);

/* Let time pass, and serve what it brings. */
void stage_pass(struct stage *stage, uint64_t ms);

/* Seconds of the wall clock, for limits that only end a test that has failed. */
double stage_wall_s(void);

#define STAGE_UNTIL(stage, condition)                                                              \
    do {                                                                                           \
        const double until_s_ = stage_wall_s() + 20;                                               \
        while (!(condition)) {                                                                     \
            if (stage_wall_s() > until_s_) {                                                       \
                fail_msg("%s:%d: waited in vain for: %s", __FILE__, __LINE__, #condition);         \
            }                                                                                      \
            stage_wait(stage);                                                                     \
        }                                                                                          \
    } while (0)

/* The counter `name` of the stage's engine. */
#define STAGE_COUNT(stage, name) stats_read(&streams_counters((stage)->streams)->name)

/* Send one message now.  As stream_send(). */
bool stage_send(struct stage *stage, struct stream *s, enum stream_kind kind, const uint8_t *data,
                uint32_t len);

/* Send pattern bytes in messages of `size` until the connection is blocked and `more` bytes wait.
 * Returns how many bytes were taken. */
size_t stage_block(struct stage *stage, struct stream *s, size_t size, size_t more);

/* --- peers --------------------------------------------------------------------------------------
 */

struct peer {
    int fd;
    SSL *ssl; /* NULL: plain */
    BIO *in;  /* of the SSL: ciphertext from the socket */
    BIO *out; /* ciphertext to the socket */
    struct stage_bytes got;
    struct stage_bytes unsent;
    size_t wire_bytes; /* that came */
    size_t budget;     /* most bytes that one pump reads; 0: all */
    bool deaf;         /* reads nothing */
    bool eof;          /* FIN has come */
    bool reset;        /* RST has come */
    bool notified;     /* close_notify has come */
    bool failed;       /* OpenSSL has given up */
};

/* Connect to the stage, with a receive buffer of `rcvbuf` bytes (0: the system's).  The engine has
 * not served it yet. */
struct peer *peer_new(struct stage *stage, int rcvbuf);
struct peer *peer_new_from(struct stage *stage, const char *source);

/* As peer_new(), and wait until it is accepted (`*out_s`, may be NULL). */
struct peer *peer_join(struct stage *stage, int rcvbuf, struct stream **out_s);
void peer_free(struct peer *peer);

/* Begin TLS as the client; `context` NULL: TLS 1.3 without verification. */
void peer_tls(struct peer *peer, SSL_CTX *context);

/* Read what is there, and send what is unsent.  Returns `peer->got.len`. */
size_t peer_pump(struct peer *peer);

/* Pump until the handshake is complete on both sides. */
void peer_shake(struct stage *stage, struct peer *peer);

/* Put the bytes on their way; the rest of what the kernel does not take goes with the next pump. */
void peer_send(struct peer *peer, const void *data, size_t len);
void peer_text(struct peer *peer, const char *text);

/* TLS: encrypt, but leave the ciphertext in peer->unsent. */
void peer_seal(struct peer *peer, const void *data, size_t len);

/* Send the first `n` bytes of peer->unsent only. */
void peer_drip(struct peer *peer, size_t n);
void peer_fin(struct peer *peer);
void peer_reset(struct peer *peer); /* RST; the peer can only be freed then */

/* --- data ---------------------------------------------------------------------------------------
 */

/* Byte `at` of an endless pattern without a short period. */
uint8_t pattern_at(size_t at);
void pattern_fill(uint8_t *out, size_t at, size_t len);
void pattern_check(const uint8_t *data, size_t at, size_t len);
void stage_bytes_add(struct stage_bytes *bytes, const void *data, size_t len);
void stage_bytes_drop(struct stage_bytes *bytes, size_t len);

/* Fails, says so and stops unless `got` is `text`. */
void stage_bytes_are(const struct stage_bytes *got, const char *text);

/* A context for servers: TLS 1.2 and 1.3, a certificate made now, options as of io/tls.h. */
SSL_CTX *stage_server_context(void);
