/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: TCP, plain or under TLS, that never make anybody wait (streams.md).
 *
 *   input    the engine reads and hands over all bytes it has; what the handler does not consume is
 *            kept, and handed over again with more behind it
 *   output   messages are sent at once while the kernel takes them; then the connection is blocked,
 *            messages queue within bounds, and it goes back to sending at once when the queue is
 *            empty.  Control messages are never lost: a full queue closes the connection. Datagrams
 *            towards a slow reader are dropped, whole and oldest first
 *   splice   two connections become one: bytes as they are, both ways, with back-pressure and
 *            half-close
 *   time     every state has a deadline: handshake, first message, rest of a message, progress of
 *            sending, connecting, idleness
 *
 * An idle connection holds no buffer.
 *
 * Owner   one worker.  A stream is the engine's; it lives until stream_close() or its closed call.
 * Thread  that worker.  Clock  monotonic milliseconds, passed in. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/net_addr.h"
#include "io/loop.h"
#include "stats/counters.h"

struct conn_limit;
struct stream;
struct streams;

/* What may happen to a message that cannot be sent at once. */
enum stream_kind { STREAM_CONTROL, STREAM_DATAGRAM };

/* Why a connection ended, with its name for logs. */
#define STREAM_CLOSES(X)                                                                           \
    X(EOF, "eof")         /* the other side has finished */                                        \
    X(RESET, "reset")     /* RST, or another error of the network */                               \
    X(LOCAL, "local")     /* stream_close(), streams_free() */                                     \
    X(REFUSED, "refused") /* connecting: RST, ICMP */                                              \
    X(CONNECT_TIMEOUT, "connect-timeout")                                                          \
    X(SEND_TIMEOUT, "send-timeout")           /* it took nothing, or too little, for too long */   \
    X(QUEUE_FULL, "queue-full")               /* control messages beyond their bound */            \
    X(MEMORY, "memory")                       /* the bound of all connections */                   \
    X(HANDSHAKE_TIMEOUT, "handshake-timeout") /* TLS */                                            \
    X(TLS, "tls")                             /* an alert, or a broken record */                   \
    X(FIRST_TIMEOUT, "first-message-timeout") /* connected and said nothing that makes sense */    \
    X(MESSAGE_TIMEOUT, "message-timeout")     /* the rest of a message did not come */             \
    X(IDLE, "idle")                                                                                \
    X(LIMIT, "limit")       /* too many connections */                                             \
    X(PROTOCOL, "protocol") /* the handler: stream_fail() */

enum stream_close {

#define X(name, text) STREAM_CLOSE_##name,
    STREAM_CLOSES(X)
#undef X
        STREAM_CLOSE_COUNT
};

const char *stream_close_text(enum stream_close why);

/* Every counter, Kamailio's names where it has one; "established", "queued_bytes" and "blocked" are
 * gauges. */
#define STREAM_COUNTERS(X)                                                                         \
    X(established)                                                                                 \
    X(tls_established)                                                                             \
    X(passive_open)                                                                                \
    X(connect_success)                                                                             \
    X(connect_failed)                                                                              \
    X(local_reject) /* accepted and closed: a limit */                                             \
    X(con_timeout)  /* idle, first message, message, handshake, connect */                         \
    X(con_reset)                                                                                   \
    X(send_timeout)                                                                                \
    X(sendq_full)                                                                                  \
    X(accept_errors) /* out of descriptors or memory */                                            \
    X(queued_bytes)  /* of ours; the kernel's own are not counted */                               \
    X(blocked)       /* connections that wait to send */                                           \
    X(dropped)       /* datagrams towards slow readers */                                          \
    X(dropped_bytes)                                                                               \
    X(rx_calls)                                                                                    \
    X(rx_bytes)                                                                                    \
    X(tx_calls)                                                                                    \
    X(tx_bytes)                                                                                    \
    X(tx_messages)                                                                                 \
    X(tls_handshakes)                                                                              \
    X(tls_failed)                                                                                  \
    X(tls_resumed)                                                                                 \
    X(tls_deferred) /* handshakes that had to wait for their turn */                               \
    X(spliced_bytes)

struct stream_counters {

#define X(name) struct stats_counter name;
    STREAM_COUNTERS(X)
#undef X
};

/* Bounds and times; all may change while connections live. */
struct stream_limits {
    uint32_t control_queue_bytes;  /* 32 KiB; a connection with more is closed */
    uint32_t datagram_queue_bytes; /* 256 KiB */
    uint32_t datagram_age_ms;      /* 200 */
    uint32_t splice_high_bytes;    /* 256 KiB: the other side is read no more */
    uint32_t splice_low_bytes;     /* 64 KiB: it is read again */
    uint64_t total_bytes;          /* of this engine: all queues and unfinished messages */
    uint32_t send_timeout_ms;      /* 10,000 */
    uint32_t send_min_bytes;       /* that a blocked connection takes in that time; 0: any */
    uint32_t connect_timeout_ms;   /* 30,000 */
    uint32_t first_timeout_ms;     /* 10,000: to the first whole message */
    uint32_t message_timeout_ms;   /* 10,000: from the first byte of a message to its last */
    uint32_t handshake_timeout_ms; /* 10,000: TLS, in all */
    uint32_t handshakes_per_s;     /* of this engine; more wait their turn.  0: without limit */
    uint32_t keepalive_idle_s;     /* 60; 0: none */
    uint32_t keepalive_interval_s; /* 10 */
    uint32_t keepalive_count;      /* 3 */
    uint8_t tos;                   /* of every packet sent */
};

struct stream_handler {
    /* It is up: accepted, or connected.  A refused one is not told; connecting ones that fail are
     * told by closed(). */
    void (*opened)(void *arg, struct stream *s);

    /* `len` bytes have come, the unconsumed ones first; they may be overwritten.  Returns how many
     * of them are done with.  What is sent from here may lie in `data`: it is sent, or copied,
     * before the call that follows the return. */
    size_t (*input)(void *arg, struct stream *s, uint8_t *data, size_t len);

    /* The other side has sent its last byte, and all of it was consumed (or never will be).
     * Without a handler the connection is closed then, once all is sent. */
    void (*ended)(void *arg, struct stream *s);

    /* Nothing has come or gone for the idle time: true closes it, false waits once more. */
    bool (*idle)(void *arg, struct stream *s);

    /* It has ended, not by stream_close(); `s` is gone after the call. */
    void (*closed)(void *arg, struct stream *s, enum stream_close why);

    /* Spliced with `twin`, and `bytes` have just gone there, or are about to (0): for how many
     * milliseconds no more is to be read.  Without a handler: none. */
    uint32_t (*pace)(void *arg, struct stream *s, struct stream *twin, size_t bytes);
};

struct streams_options {
    struct loop *loop;
    void *arg; /* first argument of every handler */
    struct stream_limits limits;
    struct conn_limit *shared; /* limits over all engines; NULL: none.  Borrowed */
    uint32_t max_streams;      /* of this engine */
    size_t owner_bytes;        /* kept with every stream for its owner: stream_owner() */
    uint64_t now_ms;
};

/* NULL without memory. */
MUST_USE struct streams *streams_new(const struct streams_options *options);

/* Closes every connection without calling its handler. */
void streams_free(struct streams *e);
void streams_set_limits(struct streams *e, const struct stream_limits *limits);

/* Serve everything that is ready, each connection once within its budget, and send.  True when more
 * is ready: do not wait then. */
bool streams_run(struct streams *e, uint64_t now_ms);

/* What is done before the next streams_run() is done at `now_ms`. */
void streams_set_now(struct streams *e, uint64_t now_ms);

/* Send what was queued with stream_send() since the last flush; the messages may be reused then. */
void streams_flush(struct streams *e);
uint64_t streams_next_deadline(const struct streams *e);
const struct stream_counters *streams_counters(const struct streams *e);

/* --- beginning ---------------------------------------------------------------------------------
 */

/* A listening socket in the engine's hands. */
struct stream_listener {
    struct loop_watch watch;
    struct list ready;
    struct streams *streams;
    const struct stream_handler *handler;
    const void *owner; /* the listener's owner's: stream_listener_of() of what it accepts */
    int fd;
    bool balanced; /* a balancer's: whose connection it is comes with stream_set_addresses() */
};

/* Open a listening socket.  `share`: SO_REUSEPORT.  0 with `*out_fd`; negative errno. */
MUST_USE int stream_listen_fd(const struct net_addr *local, bool share, int backlog, int *out_fd);

/* Watch `listener` (fd, handler and owner set).  Takes the descriptor on success.  0; negative
 * errno. */
MUST_USE int stream_listen(struct streams *e, struct stream_listener *listener);
void stream_unlisten(struct stream_listener *listener); /* closes it */

/* Begin a connection from `local` (port 0: any; SO_REUSEPORT with others that share it) to
 * `remote`.  0 with `*out`: opened() or closed() tells; negative errno. */
MUST_USE int stream_connect(struct streams *e, const struct net_addr *local,
                            const struct net_addr *remote, const struct stream_handler *handler,
                            struct stream **out);

/* From now on the connection is TLS, as the server; from inside input(), which then returns 0: the
 * bytes it was given are the beginning of the handshake.  Takes a reference of `context`.  0;
 * -ENOMEM, nothing has changed; -ENOSPC: there are too many already, and this one ends. */
MUST_USE int stream_start_tls(struct stream *s, SSL_CTX *context);

/* --- using --------------------------------------------------------------------------------------
 */

/* Queue a message for the next flush; `data` must stay until then (see input()).  False: it was
 * dropped, or the connection is being closed (closed() is called from streams_run()). */
bool stream_send(struct stream *s, enum stream_kind kind, const uint8_t *data, uint32_t len);

/* Stop handing over input; it stays in the kernel as far as it has not been read.  Resuming hands
 * over at once, from streams_run(), what was kept. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* Close after all is sent: FIN, then what still comes is thrown away until the other side closes,
 * too, or for two seconds.  closed() tells the end (LOCAL). */
void stream_finish(struct stream *s);

/* Close now; the handler is not called.  `abort`: with RST. */
void stream_close(struct stream *s, bool abort);

/* From inside a handler: it is beyond help (STREAM_CLOSE_PROTOCOL). */
void stream_fail(struct stream *s);

/* `idle_ms` 0: never idle. */
void stream_set_idle(struct stream *s, uint32_t idle_ms);

/* The first message has come (see first_timeout_ms): told by whoever knows what a message is. */
void stream_proven(struct stream *s);

/* Make `a` and `b` one: what either has kept or receives goes to the other as it is.  FIN follows
 * the data to the other side, RST becomes RST.  Ends when both directions have, after `idle_ms`
 * without a byte, or by the first error: closed() is then called for both, `a` first.  Handlers'
 * input(), ended() and idle() are called no more.  The send timeout does not hold for them. */
void stream_splice(struct stream *a, struct stream *b, uint32_t idle_ms);

/* Bytes of a splice that came from `s`, and that went to it. */
uint64_t stream_spliced_from(const struct stream *s);
uint64_t stream_spliced_to(const struct stream *s);

void *stream_owner(struct stream *s); /* owner_bytes, zeroed when it begins */
struct stream *stream_of_owner(void *owner);
const struct stream_listener *stream_listener_of(const struct stream *s); /* NULL: we connected */
const struct net_addr *stream_remote(const struct stream *s);
const struct net_addr *stream_local(const struct stream *s);
SSL *stream_ssl(const struct stream *s); /* NULL when plain */
bool stream_is_blocked(const struct stream *s);
uint64_t stream_queued_bytes(const struct stream *s);

/* What the kernel has taken and the other side has not acknowledged; not counted in any bound of
 * ours.  A system call. */
uint32_t stream_kernel_bytes(const struct stream *s);
int stream_error(const struct stream *s); /* in closed(): errno of what failed, or 0 */

/* Behind a balancer: the client's own addresses (PROXY protocol).  False: its source has too many
 * connections. */
bool stream_set_addresses(struct stream *s, const struct net_addr *remote,
                          const struct net_addr *local);

/* --- moving to another worker -------------------------------------------------------------------
 */

/* A connection between two engines: a heap object of the one who holds it. */
struct stream_parcel;

/* Take `s` out, with what it has kept (`data`, `len` of it, when called inside input(), which then
 * returns anything).  NULL, nothing changed: without memory, or while something is unsent or a
 * handshake is under way. */
MUST_USE struct stream_parcel *stream_detach(struct stream *s, const uint8_t *data, size_t len);

/* Take it in; takes `parcel`.  What was kept is handed to handler->input() from streams_run();
 * opened() is not called.  `owner_bytes` have travelled.  NULL when there is no room: closed. */
struct stream *stream_attach(struct streams *e, struct stream_parcel *parcel,
                             const struct stream_handler *handler);
void stream_parcel_free(struct stream_parcel *parcel); /* closes the connection */
