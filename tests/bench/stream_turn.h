/* SPDX-License-Identifier: Apache-2.0 */
/* TURN over a connection, one request at a time: allocations, channels and RFC 6062 for the load
 * generator.  Requests wait for their answers and meet a challenge with credentials.
 *
 * Owner   whoever opens it.  Thread  one.  A refusal exits with a message. */
#pragma once

#include <stdint.h>

#include "crypto/mac.h"
#include "frame.h"
#include "stream_conn.h"

enum { STREAM_TURN_BUF = 2048, STREAM_TURN_NONCE = 256 };

struct stream_login {
    struct crypto_mac *mac;
    const char *user;
    const char *realm;
    uint8_t key[CRYPTO_MD5_LEN];
};

struct stream_turn {
    struct stream_conn conn;
    const struct stream_login *login;
    uint32_t turn; /* counts transactions */
    char nonce[STREAM_TURN_NONCE];
    uint8_t buf[STREAM_TURN_BUF]; /* the last answer */
};

/* Allocate a relayed address for `protocol` (17 UDP, 6 TCP) with what stands in `t->conn` and
 * `t->login`; returns it. */
struct endpoint stream_turn_allocate(struct stream_turn *t, uint8_t protocol);
void stream_turn_bind_channel(struct stream_turn *t, uint16_t channel, struct endpoint peer);

/* RFC 6062: Connect returns the CONNECTION-ID that ConnectionBind on another connection takes. */
uint32_t stream_turn_connect(struct stream_turn *t, struct endpoint peer);
void stream_turn_bind_connection(struct stream_turn *t, uint32_t id);

/* A Binding request of 20 bytes. */
void stream_turn_binding(uint8_t out[20]);
