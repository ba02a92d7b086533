/* SPDX-License-Identifier: Apache-2.0 */
/* A stage for DTLS associations: OpenSSL's own clients in this process, datagrams in memory that a
 * test may lose, change and repeat, and a clock that it sets (OpenSSL's wall clock, too).
 *
 * Owner   the test.  Thread  one a stage; the clock is everybody's. */
#pragma once

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/dtls.h"

enum {
    DTLS_STAGE_PEERS = 24,
    DTLS_STAGE_LOG = 64,
    DTLS_STAGE_TEXT = 32,
    DTLS_STAGE_CLOSES = DTLS_CLOSE_LOCAL + 1,
    DTLS_STAGE_RECORD = 17000,
};

struct dtls_datagram {
    struct dtls_datagram *next;
    uint32_t len;
    uint8_t data[];
};

struct dtls_line {
    struct dtls_datagram *first;
    uint32_t count;
};

struct dtls_stage;

/* A client.  What it sends waits in `out` for dtls_stage_run() or for the test. */
struct dtls_peer {
    struct dtls_stage *stage;
    struct net_addr addr;
    SSL *ssl;
    struct dtls_line out; /* towards the server */
    struct dtls_line in;  /* from the server, not read yet */
    bool connected;
    bool closed; /* close_notify has come */
    bool failed;
    uint32_t got_count;
    uint32_t got_len; /* of the last message */
    uint8_t got[DTLS_STAGE_RECORD];
};

struct dtls_stage_message {
    uint32_t len;
    char text[DTLS_STAGE_TEXT]; /* its beginning */
    struct dtls_client *client;
};

struct dtls_stage {
    struct dtls *dtls;
    struct dtls_limits limits;
    SSL_CTX *server;
    SSL_CTX *client;
    uint64_t now_ms;
    struct net_addr local;
    struct dtls_peer *peers[DTLS_STAGE_PEERS];
    bool echo; /* every message goes back as it came */
    bool close_on_message;
    bool detach_on_message; /* into: */
    struct dtls_parcel *detached;
    uint32_t lose; /* so many of the server's next datagrams */
    uint32_t sent; /* datagrams of the server */
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint32_t sent_last; /* bytes */
    uint32_t messages;
    struct dtls_stage_message log[DTLS_STAGE_LOG];
    uint32_t closed[DTLS_STAGE_CLOSES];
    struct dtls_client *closed_last;
    struct dtls_client *client_last; /* whose message came last */
};

/* Contexts with a certificate made on the spot: DTLS 1.2; ALPN "stun.turn" and
 * "stun.nat-discovery".  Released with SSL_CTX_free(). */
SSL_CTX *dtls_stage_server_context(void);
SSL_CTX *dtls_stage_client_context(void);

/* Limits that are not in the way. */
struct dtls_limits dtls_stage_limits(void);

/* `limits` NULL: dtls_stage_limits().  Contexts are made when `server` is NULL, else `server` is
 * used (a reference is taken). */
void dtls_stage_open(struct dtls_stage *stage, const struct dtls_limits *limits, SSL_CTX *server);
void dtls_stage_close(struct dtls_stage *stage);

/* Another server in the place of one that was freed: it knows nothing of the clients. */
void dtls_stage_restart(struct dtls_stage *stage);

/* A client at `text` ("192.0.2.1:4000"), which has not said anything yet.  It takes the first free
 * place of stage->peers; dtls_stage_close() releases it, too. */
struct dtls_peer *dtls_peer_open(struct dtls_stage *stage, const char *text);
void dtls_peer_free(struct dtls_peer *peer);

/* Forget everything, as after a crash, and begin anew from the same address. */
void dtls_peer_restart(struct dtls_peer *peer);

/* One at `text` that has finished its handshake. */
struct dtls_peer *dtls_peer_connected(struct dtls_stage *stage, const char *text);

/* Its ClientHello with the right cookie, not sent yet. */
struct dtls_datagram *dtls_peer_second_hello(struct dtls_peer *peer);

/* What it says next, or NULL. */
struct dtls_datagram *dtls_peer_next(struct dtls_peer *peer);

/* Let it read what has come, and say what it has to. */
void dtls_peer_step(struct dtls_peer *peer);
bool dtls_peer_write(struct dtls_peer *peer, const void *data, uint32_t len);
void dtls_peer_shutdown(struct dtls_peer *peer);

/* The oldest datagram that waits, taken out, or NULL.  Released with free(). */
struct dtls_datagram *dtls_line_take(struct dtls_line *line);
void dtls_line_clear(struct dtls_line *line);

/* Give the server a datagram, in a heap block of exactly its size. */
void dtls_stage_input(struct dtls_stage *stage, const struct net_addr *from, const void *data,
                      uint32_t len);

/* Carry everything both ways until nobody has anything to say. */
void dtls_stage_run(struct dtls_stage *stage);

/* Let time pass, in steps of at most 100 ms, with the server's timers; `peers_too`: and theirs. */
void dtls_stage_pass(struct dtls_stage *stage, uint64_t ms, bool peers_too);

/* Send `text` to the client of an association; false when dtls_output() refuses. */
bool dtls_stage_send(struct dtls_stage *stage, struct dtls_client *client, const void *data,
                     uint32_t len);
