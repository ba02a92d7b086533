/* SPDX-License-Identifier: Apache-2.0 */
/* The world of fuzz_stream: two engines with a listener each, a handler that speaks what clients
 * of a relay speak, and the far ends of its connections, which remember what they have sent.
 *
 * What the handler is given is compared with what was sent, what a far end receives with what the
 * handler has answered, or with what the far end of the spliced connection has sent.
 *
 * Time passes only in the engines' clock. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "io/stream.h"

enum {
    WORLD_CONNS = 16,
    WORLD_ENGINES = 2,
    WORLD_LOG = 512 * 1024, /* most bytes of a far end */
    WORLD_ANSWERS = 1024,
    WORLD_IDLE_MS = 60 * 1000,
    WORLD_ANSWER_HEAD = 8, /* its number and its length */
    WORLD_BULK = 24 * 1024,
};

enum world_phase { WORLD_PROXY, WORLD_FIRST, WORLD_HTTP, WORLD_MESSAGES };

/* What a far end does to open a connection. */
enum world_open { WORLD_ACCEPTED, WORLD_ACCEPTED_PROXY, WORLD_CONNECTED, WORLD_REFUSED };

/* What was sent to a far end. */
struct world_answer {
    uint32_t at; /* where the echoed message lies in the log */
    uint32_t len;
    bool datagram; /* may be missing */
    bool bulk;     /* no echo */
};

struct world_conn {
    struct stream *stream; /* NULL: not accepted yet, or gone */
    struct world_conn *twin;
    unsigned engine;
    uint8_t phase; /* enum world_phase */
    bool begun;
    bool accepted;
    bool paused;
    bool ended;
    bool finished;  /* by the handler, or by its owner */
    bool cleanly;   /* ... and nothing else has ended it */
    bool late;      /* ... and time has passed since */
    bool blind_in;  /* what comes in is not what the log says: TLS that is none */
    bool blind_out; /* what goes out is no list of answers */

    int fd; /* the far end; -1: closed */
    SSL *ssl;
    bool secure; /* it has begun TLS */
    struct net_addr far;
    bool deaf;
    bool shut;   /* it has sent its FIN */
    bool broken; /* it cannot send any more */
    bool quiet;  /* the other side has finished */

    uint8_t *log;
    uint32_t log_len;
    uint32_t sent;
    uint32_t taken; /* by the handler */
    uint32_t seen;  /* the handler was given all before it at least once */

    struct world_answer answers[WORLD_ANSWERS];
    uint32_t answer_count;
    uint32_t answer_next; /* that the far end waits for */
    uint32_t got;         /* of it */
    uint8_t head[WORLD_ANSWER_HEAD];
    uint32_t twin_at; /* spliced: what comes next, in the twin's log */
};

struct world_end {
    struct loop *loop;
    struct streams *streams;
    struct stream_listener listener;
    struct net_addr address;
};

struct stream_world {
    struct world_end ends[WORLD_ENGINES];
    struct world_conn conns[WORLD_CONNS];
    struct conn_limit *shared;
    struct stream_limits limits;
    uint32_t max_streams; /* of an engine */
    uint64_t now_ms;
    int accept_fd; /* where engines connect to */
    struct net_addr accept_address;
    struct net_addr nowhere; /* refuses */
    uint8_t bulk[WORLD_BULK];
};

/* --- stream_world.c -----------------------------------------------------------------------------
 */

/* The low bits of `how` choose among limits. */
void world_begin(struct stream_world *w, uint8_t how);
void world_finish(struct stream_world *w);
bool world_turn(struct stream_world *w);

/* Turns until nothing happens any more, which has to come soon. */
void world_settle(struct stream_world *w);
void world_pass(struct stream_world *w, uint64_t ms);

/* What is true between two turns. */
void world_check(struct stream_world *w);

/* --- stream_world_speak.c: the handler ----------------------------------------------------------
 */

extern const struct stream_handler world_handler;

void world_splice(struct stream_world *w, struct world_conn *a, struct world_conn *b);
void world_move(struct stream_world *w, struct world_conn *c, const uint8_t *data, size_t len);
void world_pause(struct world_conn *c, bool paused);
void world_close(struct world_conn *c, bool abort);

/* --- stream_world_far.c: the far ends -----------------------------------------------------------
 */

void far_open(struct stream_world *w, struct world_conn *c, unsigned engine, enum world_open how);

/* More to be sent: `len` bytes at `data`. */
void far_say(struct world_conn *c, const uint8_t *data, size_t len);

/* Send up to `n` bytes of what has been said. */
void far_push(struct world_conn *c, size_t n);

/* Begin TLS, if nothing else was said in the clear; under TLS: change the keys. */
void far_tls(struct world_conn *c);

/* True when something came. */
bool far_read(struct stream_world *w, struct world_conn *c);
void far_shut(struct world_conn *c, bool notify);
void far_close(struct world_conn *c, bool abort);

/* Contexts that are made once. */
SSL_CTX *far_server_context(void);

/* A real ClientHello. */
size_t far_client_hello(uint8_t *out, size_t cap);
