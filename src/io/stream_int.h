/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the stream engine share: the engine and a connection.
 *
 *   stream.c        the engine: its turn, its memory, ends of connections
 *   stream_open.c   listening, accepting, connecting
 *   stream_in.c     reading and handing over
 *   stream_out.c    sending, queueing, dropping
 *   stream_tls.c    TLS between the two
 *   stream_splice.c two connections that are one
 *   stream_pipe.c   ... without TLS: through the kernel
 *   stream_time.c   deadlines
 *   stream_move.c   from one engine to another */
#pragma once

#include "base/list.h"
#include "base/slab.h"
#include "base/wheel.h"
#include "io/stream.h"
#include "io/stream_queue.h"

enum {
    STREAM_READ = 64 * 1024,         /* bytes of one read */
    STREAM_READ_SPLICE = 256 * 1024, /* of a spliced connection */
    STREAM_KEEP_TINY = 512,          /* what is kept up to here comes from a slab of its own */
    STREAM_KEEP_SMALL = 4096,    /* what is kept up to here is copied in front of the next read */
    STREAM_KEEP_MAX = 72 * 1024, /* the longest message, and more */
    STREAM_MESSAGES = 256,       /* that wait for a flush */
    STREAM_RECORD = 16 * 1024,   /* plaintext of one TLS record */
    STREAM_WIRE = 64 * 1024,     /* ciphertext before it is sent */
    STREAM_WIRE_MAX = 64 * 1024, /* with more of it queued the connection is read no more */
    STREAM_VECTORS = 64,
    STREAM_SPARE_PIPES = 4,
    STREAM_TURN = 512 * 1024, /* bytes that are read in one turn: others have to get on, too */
    STREAM_NONE = UINT16_MAX,
};

enum stream_state {
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_FINISHING, /* stream_finish() */
    STREAM_DYING,     /* in streams->dying: to be told, closed and released */
};

/* A message that waits for the flush: borrowed. */
struct stream_message {
    const uint8_t *data;
    uint32_t len;
    uint16_t next;
    uint8_t kind; /* enum stream_queue_kind */
};

/* Bytes on their way between two sockets. */
struct stream_pipe {
    int in;
    int out;
    uint32_t bytes;
};

/* TLS of one connection. */
struct stream_tls {
    SSL *ssl;
    struct stream_queue wire; /* ciphertext that the kernel has not taken */
    const uint8_t *in;        /* ciphertext under way into OpenSSL */
    size_t in_len;
    uint64_t since_ms;    /* of the handshake */
    struct list node;     /* in streams->handshakes while it waits for its turn */
    struct stream *owner; /* whose it is, for that list */
    bool waiting;         /* in that list */
    bool established;
    bool closed;   /* close_notify has come */
    bool notified; /* and has been sent */
    bool counted;  /* in the shared limit */
};

struct stream {
    struct loop_watch watch;
    struct list ready;   /* in streams->ready, or streams->dying */
    struct list sending; /* in streams->sending */
    struct list all;     /* in streams->all */
    struct streams *engine;
    const struct stream_handler *handler;
    struct stream_listener *listener;
    struct stream_tls *tls;
    struct stream *twin;      /* spliced with it */
    struct stream_pipe *pipe; /* what this connection has not taken of its twin's bytes */
    uint8_t *kept; /* unconsumed input (ciphertext while a handshake waits for its turn) */
    uint32_t kept_len;
    uint32_t kept_cap;
    int fd;
    int error;
    uint16_t first_message;
    uint16_t last_message;
    uint8_t state; /* enum stream_state */
    uint8_t why;   /* FINISHING, DYING: enum stream_close */

    bool readable : 1; /* the kernel may have input */
    bool hung : 1;     /* ... and its end */
    bool broken : 1;   /* the socket may have an error */
    bool writable : 1; /* the kernel takes data again */
    bool blocked : 1;  /* the kernel takes no more */
    bool pending : 1;  /* something is unsent: the send timeout runs */
    bool eof : 1;      /* all input has been read */
    bool ended : 1;    /* ... and the handler told */
    bool paused : 1;
    bool again : 1; /* kept input is to be handed over again */
    bool proven : 1;
    bool partial : 1;    /* what is kept is an unfinished message */
    bool fin_wanted : 1; /* FIN when everything is sent */
    bool fin_sent : 1;
    bool held : 1;    /* spliced: not read until the twin has sent */
    bool paced : 1;   /* ... nor before resume_ms */
    bool silent : 1;  /* DYING: the handler is not told */
    bool abort : 1;   /* DYING: with RST */
    bool limited : 1; /* counted in the shared limit */

    struct stream_queue queue;
    struct wheel_timer timer;
    uint64_t born_ms;
    uint64_t last_ms;    /* a byte came or went */
    uint64_t message_ms; /* when the message that is kept began */
    uint64_t window_ms;  /* blocked: when the present span of the send timeout began */
    uint64_t finish_ms;
    uint64_t resume_ms;
    uint32_t window_bytes; /* sent in that span */
    uint32_t idle_ms;
    uint64_t spliced_from;
    uint64_t spliced_to;
    struct net_addr remote;
    struct net_addr local;
    struct net_ip source; /* that the shared limit counts */
    _Alignas(16) uint8_t owner[];
};

struct streams {
    struct loop *loop;
    void *arg;
    struct stream_limits limits;
    struct conn_limit *shared;
    struct slab *slab;
    struct slab *small_keeps;
    struct stream_pool pool;
    struct wheel wheel;
    uint64_t handshake_us;  /* when the next handshake may begin, were there no bursts */
    struct list handshakes; /* struct stream_tls, waiting */
    struct list ready;
    struct list sending;
    struct list dying;
    struct list all;
    struct list listeners; /* struct stream_listener, ready */
    uint64_t now_ms;
    size_t owner_bytes;
    uint32_t message_count;
    uint64_t turn_bytes; /* read in this turn */
    uint32_t pipe_count;
    uint32_t pipe_spare;
    struct stream_pipe *pipes[STREAM_SPARE_PIPES]; /* free ones, pipe_spare of them */
    int reserve_fd; /* given up for a moment to accept and refuse when descriptors are used up */
    struct stream_counters count;
    struct stream_message messages[STREAM_MESSAGES];
    uint32_t wire_len;
    uint8_t plain[STREAM_RECORD];
    uint8_t wire[STREAM_WIRE];
    uint8_t cipher[STREAM_KEEP_MAX + STREAM_READ];
    uint8_t input[STREAM_KEEP_MAX + STREAM_READ_SPLICE];
};

/* --- stream.c -----------------------------------------------------------------------------------
 */

/* A stream on `fd`, watched.  NULL at the limit (fd is not closed). */
struct stream *stream_new(struct streams *e, int fd, const struct stream_handler *handler);

/* It has ended: told, closed and released later in this turn. */
void stream_die(struct stream *s, enum stream_close why, int error);

/* As stream_die(), after what is queued has been sent. */
void stream_finish_why(struct stream *s, enum stream_close why);

/* Serve `s` in this turn. */
void stream_wake(struct stream *s);

/* An event of the loop. */
void stream_event(void *arg, struct loop_watch *watch, unsigned events);

/* The socket of `s` is ready for everything that it is meant for: options that every one has. */
void stream_socket_options(const struct streams *e, int fd, uint8_t family);

/* --- stream_open.c ------------------------------------------------------------------------------
 */

void stream_accept(struct stream_listener *listener);
void stream_connected(struct stream *s); /* its socket has become writable, or failed */

/* --- stream_in.c --------------------------------------------------------------------------------
 */

/* Hand over what was kept, and read within the budget. */
void stream_in(struct stream *s);

/* `len` bytes of payload have come (at `data`, which is the engine's input buffer or s->kept). */
void stream_deliver(struct stream *s, uint8_t *data, size_t len);

/* No more input will come: tell the handler, once. */
void stream_in_end(struct stream *s);

/* Where the next payload goes: after what is kept, which is copied in front when it is short.
 * `*out_base` is where the payload handed over begins, `*out_have` bytes of it are kept ones.
 * Returns how many bytes may follow; 0: the memory bound. */
size_t stream_in_room(struct stream *s, size_t want, uint8_t **out_base, size_t *out_have);
void stream_keep_free(struct stream *s);

/* Keep a copy of `len` bytes for later.  False at the memory bound: `s` is dying then. */
bool stream_keep(struct stream *s, const uint8_t *data, size_t len);

/* The bytes that a read has brought, or what its failure means: 0 when nothing came. */
size_t stream_received(struct stream *s, ssize_t n, size_t asked);

/* --- stream_out.c -------------------------------------------------------------------------------
 */

/* The kernel takes data again: send what is queued. */
void stream_out(struct stream *s);

/* Send what waits for the flush. */
void stream_out_flush(struct stream *s);

/* Send `len` bytes after all that is queued; what is not sent is queued, without a bound of its
 * own.
 */
void stream_out_raw(struct stream *s, const uint8_t *data, size_t len);

/* Everything has been handed to the kernel. */
bool stream_out_done(const struct stream *s);

/* send(2) of `vec`; adds to the counters.  Bytes, or negative errno: -EAGAIN sets `blocked`. */
ssize_t stream_socket_send(struct stream *s, struct iovec *vec, size_t count);

/* The kernel has not taken all. */
void stream_set_blocked(struct stream *s);

/* FIN, or the end, when that was asked for and all is sent. */
void stream_out_finish(struct stream *s);

/* --- stream_tls.c -------------------------------------------------------------------------------
 */

/* `len` bytes of ciphertext have come. */
void stream_tls_in(struct stream *s, const uint8_t *data, size_t len);

/* Encrypt and send the first bytes of `data`, at most one record's.  How many; 0: not now (blocked,
 * or a handshake); negative: `s` is dying. */
ssize_t stream_tls_send(struct stream *s, const uint8_t *data, size_t len);

/* Send what is in queue as ciphertext.  True when none is left. */
bool stream_tls_drain(struct stream *s);
void stream_tls_notify(struct stream *s); /* close_notify */
bool stream_tls_backlogged(const struct stream *s);
void stream_tls_free(struct stream *s);

/* Hand ciphertext that was produced to the kernel. */
void stream_tls_push(struct stream *s);

/* Begin those handshakes whose turn has come. */
void stream_tls_admit(struct streams *e);

/* When the next one may begin; UINT64_MAX when none waits. */
uint64_t stream_tls_next(const struct streams *e);

/* --- stream_splice.c ----------------------------------------------------------------------------
 */

void stream_splice_data(struct stream *s, const uint8_t *data, size_t len);
void stream_splice_end(struct stream *s);               /* `s` has sent its last byte */
void stream_splice_drained(struct stream *s);           /* `s` takes data again */
void stream_splice_count(struct stream *s, size_t len); /* bytes that came from `s` */
void stream_splice_pace(struct stream *s, size_t len);  /* ... or may come */

/* --- stream_pipe.c ------------------------------------------------------------------------------
 */

/* May what `s` receives pass through a pipe? */
bool stream_pipe_may(const struct stream *s);

/* Let it pass.  False: there is no pipe, it has to be read. */
bool stream_pipe_in(struct stream *s);

/* Send what is left of a passage.  True when nothing is. */
bool stream_pipe_drain(struct stream *to);
void stream_pipe_drop(struct stream *s);
void stream_pipes_free(struct streams *e);

/* --- stream_time.c ------------------------------------------------------------------------------
 */

/* Something that has a deadline has begun. */
void stream_rearm(struct stream *s);

/* Is something unsent?  Begins or ends the span of the send timeout. */
void stream_pending(struct stream *s);

/* `bytes` were sent. */
void stream_progress(struct stream *s, size_t bytes);
void stream_expire(struct streams *e);
