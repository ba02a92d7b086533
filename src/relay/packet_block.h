/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams on their way from a dispatcher to a worker, many at a time, in memory that the two use
 * over and over.
 *
 * Owner   the dispatcher; lent to the worker that it was given to until packet_block_done().
 * Thread  whoever has it; packet_block_done() by the worker. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/net_addr.h"
#include "base/pkt.h"

struct front_item;

struct mailbox;

/* Whom to wake when a block is done with: a dispatcher that waits for one. */
struct packet_blocks {
    _Atomic(bool) wanted;
    struct mailbox *mailbox;
};

enum { PACKET_BLOCK_PACKETS = 128, PACKET_BLOCK_BYTES = 128 * 1024 };

struct packet_head {
    const struct front_item *item; /* by which it came */
    struct net_addr remote;
    struct net_addr local;
    uint32_t at; /* of its bytes in the block */
    uint16_t len;
    uint8_t tos;
};

struct packet_block {
    _Atomic(bool) lent;
    struct packet_blocks *blocks;
    uint32_t count;
    uint32_t bytes;
    struct packet_head head[PACKET_BLOCK_PACKETS];
    uint8_t data[PACKET_BLOCK_BYTES];
};

/* Append a copy of `pkt`; false when it does not fit. */
bool packet_block_add(struct packet_block *block, const struct front_item *item,
                      const struct pkt *pkt);

/* The worker has no more use for it. */
void packet_block_done(struct packet_block *block);
