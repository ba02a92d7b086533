/* SPDX-License-Identifier: Apache-2.0 */
/* Sending datagrams in batches: one call for several messages of a socket, and one message for a
 * burst (UDP_SEGMENT).
 *
 * Owner   the engine.  Thread  one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "cmd/bench_result.h"
#include "cmd/bench_socket.h"

enum {
    BENCH_TX_BATCH = 16, /* messages a call: stamps of the last are that many packets old */
    BENCH_TX_SEGMENTS = 64,
    BENCH_TX_BYTES = 65000, /* of one message, headers of IP and UDP left out */
    BENCH_TX_HEAD = 80,     /* the longest head: a Send indication over IPv6, and the stamp */
    BENCH_TX_REQUEST = 4096,
};

struct bench_tx;

/* What became of packets: `sent` of them with `bytes` of payload left, `unsent` were refused with
 * `err` (negative errno).  Requests have no way and are not told of. */
struct bench_tx_outcome {
    enum bench_way way;
    uint32_t sent;
    uint32_t unsent;
    uint64_t bytes;
    int err;
};

typedef void (*bench_tx_fn)(void *arg, const struct bench_tx_outcome *outcome);

/* `body` is what all packets consist of behind their heads; it must outlive the batch.  NULL
 * without memory. */
MUST_USE struct bench_tx *bench_tx_new(const uint8_t *body, bench_tx_fn fn, void *arg);
void bench_tx_free(struct bench_tx *tx);

/* Where a message goes and comes from. */
struct bench_tx_way {
    struct bench_socket *socket;
    const struct bench_name *to; /* NULL when the socket is connected; kept until the flush */
    const struct net_ip *source; /* of a `sourced` socket; copied */
    enum bench_way way;
};

/* Begin a burst of packets of `size` bytes each on the wire (the last may be shorter).  Sends what
 * is queued first when it has to. */
void bench_tx_begin(struct bench_tx *tx, const struct bench_tx_way *way, uint32_t size);

/* Add a packet: room for its head of `head` bytes, to be filled by the caller; then `body` bytes of
 * the common body; then `pad` zero bytes.  `payload` is what the counters are told. */
uint8_t *bench_tx_packet(struct bench_tx *tx, uint32_t head, uint32_t body, uint32_t pad,
                         uint32_t payload);

/* Queue a request of `n` bytes (at most BENCH_TX_REQUEST), which are copied. */
void bench_tx_request(struct bench_tx *tx, const struct bench_tx_way *way, const uint8_t *request,
                      uint32_t n);

/* Send all that is queued. */
void bench_tx_flush(struct bench_tx *tx);
